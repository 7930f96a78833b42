"""Every model of a profile on the machine that is to serve it: exported, loaded, right, how large, how fast.

Each model is exported with random weights at its real size, verified on the CPU as every export is, and served alone by
an embedded server, so that its memory is its own. What the server answers is then held to the upstream library by the
model's own `verify`, with the exporter's bounds. A model that fails is reported, and the next one is measured. At last
all of them are served together, as in production: their memory, and the time of every ensemble.

    python -m benchmarks.gpu_check                  on a machine with a GPU: measures and writes gpu_check.json
    python -m benchmarks.gpu_check --profile cpu    the same steps without a GPU; writes nothing

Exits with 1 when a model does not load, or breaks a bound. GPU memory is the first GPU's, as nvidia-smi counts it.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
import traceback
from dataclasses import asdict, dataclass, field, replace
from importlib import metadata
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import RESULTS, checkpoint, record
from benchmarks.asking import HEIGHT, IN_FLIGHT, NOT_MADE_UP, WIDTH, Asking, Speed, measure_speed, sample, served
from reelscope import settings
from reelscope.embedded import EmbeddedServer
from reelscope.errors import ReelscopeError
from reelscope.inference import InferenceClient
from reelscope.types import WINDOW_FRAMES
from reelscope_export import fingerprint, paths, weights
from reelscope_export.contract import Contract
from reelscope_export.ensembles import ENSEMBLES
from reelscope_export.export import Exporter, Outcome
from reelscope_export.paths import ModelSettings
from reelscope_export.registry import ADAPTERS, load_module
from reelscope_export.verify import Measure

LIBRARIES = (
    "easyocr",
    "insightface",
    "nvidia-pytriton",
    "numpy",
    "rapidocr",
    "onnx",
    "onnxruntime",
    "onnxruntime-gpu",
    "torch",
    "transformers",
    "ultralytics",
)


@dataclass(frozen=True, slots=True)
class Gpu:
    """The first GPU, as nvidia-smi reports it."""

    name: str
    driver: str
    compute_capability: str
    total_mib: int
    used_mib: int


@dataclass(slots=True)
class Figures:
    """One model; filled step by step, None is what was not measured."""

    variant: str
    precision: str
    export_seconds: float | None = None
    file_mb: float | None = None
    instances: list[dict[str, Any]] = field(default_factory=list)
    """Instance groups that it runs with, as Triton reports them."""
    load_seconds: float | None = None
    loaded_mib: int | None = None
    """GPU memory of all its instances once loaded, above what was used before."""
    full_batch_mib: int | None = None
    """The same after full batches at every instance; arenas do not shrink."""
    full_batch_rows: int | None = None
    """Frames, or what else the model takes, in such a batch."""
    speed: Speed | None = None
    parity: list[Measure] = field(default_factory=list)
    """Served answers against the upstream library."""
    error: str | None = None

    @property
    def passed(self) -> bool:
        """Whether it was measured to the end and keeps every bound."""
        return self.error is None and bool(self.parity) and all(measure.passed for measure in self.parity)

    def to_json(self) -> dict[str, Any]:
        """The fields, with the verdicts; a value that is no number becomes null."""
        parity = [
            asdict(measure)
            | {"value": measure.value if math.isfinite(measure.value) else None, "passed": measure.passed}
            for measure in self.parity
        ]
        return asdict(self) | {"parity": parity, "passed": self.passed}


def read_gpu() -> Gpu:
    """Ask nvidia-smi; raises FileNotFoundError where there is none."""
    fields = ("name", "driver_version", "compute_cap", "memory.total", "memory.used")
    command = ["nvidia-smi", f"--query-gpu={','.join(fields)}", "--format=csv,noheader,nounits"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    name, driver, capability, total, used = (value.strip() for value in lines[0].split(","))
    return Gpu(name, driver, capability, int(total), int(used))


@dataclass(frozen=True, slots=True)
class AsBuilt:
    """Stands in for the exporter where graphs come from another machine: takes what lies in the repository."""

    repository: Path

    def export(self, chosen: ModelSettings) -> Outcome:
        """The graph that is there, built anew where there is none; raises FileNotFoundError without its weights."""
        file = self.repository / chosen.model / "1" / chosen.model_file
        recorded = fingerprint.recorded_weights(file, fingerprint.read_metadata(file))
        if recorded is None:
            cache = weights.Cache(paths.weights_folder(), weights.read_manifest())
            return Exporter(self.repository, cache, mode="random").export(chosen)
        kept = file if recorded.source == "reelscope" else checkpoint(recorded.sha256)
        return Outcome(chosen, replace(recorded, file=kept), file, built=False, measures=(), seconds=0.0)


def check(chosen: ModelSettings, exporter: Exporter | AsBuilt, idle: Gpu | None, repeats: int) -> Figures:
    """Export, load, measure and compare one model; `idle` is the GPU before, None measures no GPU memory."""
    figures = Figures(chosen.variant, chosen.precision)

    def used_mib() -> int | None:
        return read_gpu().used_mib - idle.used_mib if idle else None

    began: dict[str, float] = {}

    def on_progress(name: str, state: str) -> None:
        began.setdefault(name, time.perf_counter())
        if (name, state) == (chosen.model, "ready"):
            figures.load_seconds = time.perf_counter() - began[name]

    try:
        outcome = exporter.export(chosen)
        figures.export_seconds, figures.file_mb = outcome.seconds, outcome.file.stat().st_size / 1e6
        contract = load_module(chosen.model).CONTRACT
        profile = settings.profile(chosen.profile)
        with (
            EmbeddedServer(profile, models=[chosen.model], on_progress=on_progress) as server,
            InferenceClient(server.grpc_url) as client,
        ):
            figures.instances = server.models[0].config["instance_group"]
            figures.loaded_mib = used_mib()
            if not NOT_MADE_UP.intersection(tensor.name for tensor in contract.inputs):
                measure_load(figures, Asking.of(client, contract), contract, chosen, repeats)
                figures.full_batch_mib = used_mib()
            figures.parity = parity(client, chosen, outcome)
    except Exception as error:  # whatever it is: a machine with a GPU is not wasted on the first model that fails
        traceback.print_exc()
        figures.error = f"{type(error).__name__}: {error}"
    return figures


def parity(client: InferenceClient, chosen: ModelSettings, outcome: Outcome) -> list[Measure]:
    """What a served model answers, held to its library by the model's own `verify`."""
    module = load_module(chosen.model)
    return list(
        module.verify(
            served(client, module.CONTRACT),
            outcome.weights.file,
            variant=chosen.variant,
            precision=chosen.precision,
            trained=outcome.weights.trained,
        )
    )


def measure_load(figures: Figures, asking: Asking, contract: Contract, chosen: ModelSettings, repeats: int) -> None:
    """Ask for full batches at every instance, and take the times."""
    rows = figures.full_batch_rows = chosen.max_batch_size if contract.batched else WINDOW_FRAMES
    full = {each.name: sample(each, rows, batched=contract.batched) for each in contract.inputs}
    at_once = 2 * chosen.instance_count  # so that every instance gets one
    asking.several(full, at_once, at_once)
    window_rows = min(rows, WINDOW_FRAMES)
    figures.speed = measure_speed(
        asking, contract.inputs, batched=contract.batched, repeats=repeats, window_rows=window_rows
    )


@dataclass(frozen=True, slots=True)
class Together:
    """All models of the profile in one server."""

    loaded_mib: int | None
    """GPU memory once everything is loaded, above what was used before."""
    used_mib: int | None
    """The same after windows through every ensemble."""
    failed: dict[str, str]
    """Models and ensembles that were not served, or failed when asked, and why."""
    ensembles: dict[str, Speed]


def check_together(profile: settings.Profile, idle: Gpu | None, repeats: int) -> Together:
    """Serve every model that was exported, and time every ensemble."""

    def used_mib() -> int | None:
        return read_gpu().used_mib - idle.used_mib if idle else None

    speeds, contracts = {}, {each.name: each for each in ENSEMBLES}
    with EmbeddedServer(profile) as server, InferenceClient(server.grpc_url) as client:
        loaded = used_mib()
        failed = {name: str(error) for name, error in server.failed.items()}
        for model in server.models:
            if not model.steps or model.name in failed:
                continue
            outputs = tuple(each["name"] for each in model.config["output"] if not each["name"].endswith("_provenance"))
            ensemble = contracts[model.name]
            try:
                speeds[model.name] = measure_speed(
                    Asking(client, model.name, outputs),
                    ensemble.inputs,
                    batched=ensemble.max_batch_size > 0,
                    repeats=repeats,
                    window_rows=min(model.config.get("max_batch_size") or WINDOW_FRAMES, WINDOW_FRAMES),
                )
            except ReelscopeError as error:
                failed[model.name] = str(error)
        return Together(loaded, used_mib(), failed, speeds)


class Record:
    """The file of figures, written after every model; what was not checked this time keeps its figures, with the commit
    and the GPU that they are of."""

    def __init__(self, profile: str, gpu: Gpu, commit: str | None) -> None:
        """Read what is recorded; `commit` stands in for git where there is none."""
        self._about: dict[str, Any] = {
            "profile": profile,
            "gpu": {name: value for name, value in asdict(gpu).items() if name != "used_mib"},
            "versions": _versions(),
            "frame": [HEIGHT, WIDTH],
            "windows_in_flight": IN_FLIGHT,
        }
        self._commit = {"commit": commit} if commit else {}
        file = RESULTS / "gpu_check.json"
        before = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
        self._models: dict[str, Any] = {}
        self._together: Any = None
        if before:
            of_then = {"commit": before["commit"], "gpu": before["gpu"]["name"]}
            self._models = {model: of_then | figures for model, figures in before["models"].items()}
            self._together = before["together"] and of_then | before["together"]

    def add(self, model: str, figures: Figures) -> None:
        """Note one model's figures, and write."""
        self._models[model] = figures.to_json()
        self.write(None)

    def write(self, together: Together | None) -> Path:
        """Write everything that is known."""
        if together:
            self._together = asdict(together)
        passed = all(each["passed"] for each in self._models.values()) and not (self._together or {}).get("failed")
        found = {"models": dict(sorted(self._models.items())), "together": self._together, "passed": passed}
        return record("gpu_check", {**self._commit, **self._about, **found})


def table(checked: dict[str, Figures]) -> Table:
    """One row per model; - is what was not measured."""
    shown = Table("model", "load s", "MiB", f"1, {WINDOW_FRAMES} rows ms", "rows/s", "served against upstream")
    for name, figures in checked.items():
        speed = figures.speed
        times = [
            _number(each["p50_ms"] if each else None, 1) for each in (speed and speed.one_row, speed and speed.window)
        ]
        verdicts = [f"{measure}{'' if measure.passed else ' BROKEN'}" for measure in figures.parity]
        shown.add_row(
            f"{name}\n{figures.variant} {figures.precision}",
            _number(figures.load_seconds, 1),
            f"{_number(figures.loaded_mib)}\nfull {_number(figures.full_batch_mib)}",
            "\n".join(times),
            _number(speed.rows_per_second if speed else None),
            "\n".join([*verdicts, *([figures.error] if figures.error else [])]),
        )
    return shown


def ensemble_table(together: Together) -> Table:
    """One row per ensemble, and the memory of all of them."""
    title = f"all models in one server: {_number(together.loaded_mib)} MiB loaded, {_number(together.used_mib)} used"
    shown = Table("ensemble", "1 row ms", f"{WINDOW_FRAMES} rows ms", "rows/s", title=title)
    for name, speed in together.ensembles.items():
        times = (_number(each["p50_ms"], 1) for each in (speed.one_row, speed.window))
        shown.add_row(name, *times, _number(speed.rows_per_second))
    for name, reason in together.failed.items():
        shown.add_row(name, f"FAILED: {reason}")
    return shown


def _number(value: float | None, decimals: int = 0) -> str:
    return "-" if value is None else f"{value:.{decimals}f}"


def _versions() -> dict[str, str]:
    installed: dict[str, str] = {}
    for distribution in metadata.distributions():
        installed.setdefault(distribution.name.lower(), distribution.version)  # of two, the first is imported
    return {library: installed[library] for library in LIBRARIES if library in installed}


def main(arguments: list[str] | None = None) -> int:
    """Check every model of the profile, print the table, and on a GPU write the figures down."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu_check", description="Models on their GPU.")
    parser.add_argument("--profile", default="h200", choices=settings.profile_names())
    parser.add_argument("--repository", type=Path, help="where to build; default: a folder that goes afterwards")
    parser.add_argument("--as-built", action="store_true", help="take the graphs that lie there, whatever built them")
    parser.add_argument("--only", help="models to check, separated by commas; the others' figures stay as recorded")
    parser.add_argument("--together", action="store_true", help="with --only: serve all models together as well")
    parser.add_argument("--repeats", type=int, default=20, help="runs of each timing, at most (default: 20)")
    parser.add_argument("--commit", help="recorded where there is no git to ask")
    options = parser.parse_args(arguments)
    profile, profiles = settings.profile(options.profile), paths.read_profiles()
    try:
        gpu = read_gpu() if profile.needs_gpu else None
    except FileNotFoundError:
        parser.error(f"profile {profile.name} needs a GPU, and nvidia-smi is not here")
    console = Console()
    with tempfile.TemporaryDirectory() as scratch:
        repository = options.repository or Path(scratch)
        os.environ["REELSCOPE_REPOSITORY"] = str(repository)  # for server and exporter alike
        cache = weights.Cache(paths.weights_folder(), weights.read_manifest())
        exporter = AsBuilt(repository) if options.as_built else Exporter(repository, cache, mode="random")
        record_of = Record(profile.name, gpu, options.commit) if gpu else None
        checked: dict[str, Figures] = {}
        wanted = options.only.split(",") if options.only else [each for each in profile.models if each not in ADAPTERS]
        for model in wanted:
            chosen = paths.model_settings(profiles, profile.name, model)
            checked[model] = check(chosen, exporter, gpu, options.repeats)
            console.print(table({model: checked[model]}))  # at once: a machine may be taken back before the last
            if record_of:
                record_of.add(model, checked[model])
        is_whole = options.together or not options.only
        together = check_together(profile, gpu, options.repeats) if is_whole else None
    if together:
        console.print(ensemble_table(together))
    passed = all(figures.passed for figures in checked.values()) and not (together and together.failed)
    if gpu and record_of:
        path = record_of.write(together)
        console.print(f"{gpu.name}, driver {gpu.driver}; written to {path}", highlight=False, soft_wrap=True)
    else:
        console.print("no GPU in this profile: nothing is written")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
