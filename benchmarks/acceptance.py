"""Acceptance: 24 analyzers on the demo clip, held against what is promised.

`reelscope analyze` runs three times, each in a process of its own, through one server: first, again, and with
`--detail full`. The server is the local one that runs, else one that is started here, so that the first run is a cold
one. The gates:

- all 24 analyzers are there, by name, and every one of them is ok (biometric ones may be left out by the profile);
- what is true of the demo clip and needs no trained network was found, by value (`tests/demo/compare.py`);
- the results keep the invariants, and the second run's are those of the first but for run and timings;
- on the cpu profile, the second run takes at most 12 times the clip's length;
- on a GPU, the vision-language model takes less than 30 s of it.

    python -m benchmarks.acceptance                       some five minutes on 2 cores
    python -m benchmarks.acceptance --profile rtx8000     the profile of another machine
    python -m benchmarks.acceptance --url HOST:PORT       a server of your own; its processes' memory is not seen

Writes report.txt, report.json and the results to out/acceptance. Exits with 1 when a gate does not hold.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text
from tritonclient.utils import InferenceServerException

from benchmarks import DEMO, machine, record
from benchmarks.analysis import Memory, MemoryWatch, analyze, resident_mb
from benchmarks.gpu_check import Gpu, read_gpu
from reelscope import check, embedded, settings
from reelscope.errors import ReelscopeError
from reelscope.inference.connection import connect
from reelscope.sources.understanding import UnderstandingSource
from reelscope.terminal import address, errors, exit_code, progress
from tests.demo.compare import compare, truth

ANALYZERS = (
    *("qwen2_vl_temporal", "object_detection", "text_overlay", "background_segmentation", "body_pose"),
    *("age_estimation", "content_quality", "color_analysis", "camera_analysis", "cut_analysis", "scene_segmentation"),
    *("temporal_flow", "eye_tracking", "audio_analysis", "audio_environment", "speech_emotion", "speech_flow"),
    *("speech_transcription", "speech_rate", "face_emotion", "visual_effects", "product_detection"),
    *("composition_analysis", "cross_analyzer_intelligence"),
)
"""The 24, by name: not the registry's, which could lack one."""
MODEL_FREE = (
    *("shot boundary", "flash, no cut", "palette colour", "camera", "text", "call to action"),
    *("tempo", "key", "beats", "cuts on beats", "speech", "pause"),
    *("pace", "first speech", "first text", "last call to action"),
)
"""Kinds of facts that are judged on every machine; text and speech by networks that come in a package."""
MAX_TIMES_CLIP = 12.0
MAX_VLM_SECONDS = 30.0
FIRST, AGAIN, FULL = "first", "again", "full"
PREDECESSOR = "250 s the first time, 110 s again, 2-3 MB of results, GPU 0.4 / 15-20 / 16 GB"
"""What the system before this one promised for a clip of ten seconds."""
OUTPUT = settings.deployment_root() / "out" / "acceptance"


@dataclass(frozen=True, slots=True)
class Run:
    """One analysis of the demo clip."""

    name: str
    exit_code: int
    wall_seconds: float
    results: dict[str, Any] | None
    """None when it wrote none."""
    results_mb: float = 0.0
    client_peak_mb: float | None = None
    """Resident set; before and after there is no client."""
    memory: Mapping[str, Memory] = field(default_factory=dict)
    """Of "server", all its processes, and "gpu", everything on it; without what cannot be read."""
    vlm_seconds: float | None = None
    """Time that the server computed in the vision-language model; None when it was not asked."""


@dataclass(frozen=True, slots=True)
class Gate:
    """Something promised, and what was measured."""

    name: str
    wanted: str
    measured: str
    holds: bool | None
    """None: not promised on this profile."""

    @property
    def verdict(self) -> str:
        """In words."""
        return {True: "pass", False: "FAIL", None: "not on this profile"}[self.holds]


def judge(runs: Sequence[Run], profile: settings.Profile) -> list[Gate]:
    """Hold the runs, which are named FIRST, AGAIN and FULL, against every promise."""
    lost = [f"{run.name}: none, exit code {run.exit_code}" for run in runs if run.results is None]
    gates = [Gate("results", f"of {len(runs)} runs", "; ".join(lost) or f"of {len(runs)}", not lost)]
    if lost:
        return gates
    results = {run.name: run.results for run in runs if run.results is not None}
    again = next(run for run in runs if run.name == AGAIN)
    return [
        *gates,
        *_analyzers(results, profile),
        *_truths(results[AGAIN]),
        *_invariants(results),
        _time(again, profile),
        _understanding(again, profile),
    ]


def _analyzers(results: Mapping[str, dict[str, Any]], profile: settings.Profile) -> Iterator[Gate]:
    missing = [name for name in ANALYZERS if not all(name in found["analyzers"] for found in results.values())]
    there = f"{len(ANALYZERS) - len(missing)} of {len(ANALYZERS)}"
    yield Gate("analyzers", "24 of 24", f"{there}; missing: {', '.join(missing)}" if missing else there, not missing)
    left_out = ("ok", None) if profile.biometrics else ("skipped", "biometrics_off")
    wrong = {
        f"{name}: {each['status']} ({each['reason']})": None
        for found in results.values()
        for name, each in found["analyzers"].items()
        if each["status"] != "ok" and (each["status"], each["reason"]) != left_out
    }
    yield Gate("failed, partial or skipped", "none", "; ".join(wrong) or "none", not wrong)


def _truths(results: dict[str, Any]) -> Iterator[Gate]:
    """One gate per kind of fact; a kind that nobody judged does not pass."""
    rows = compare(results, truth())
    for kind in dict.fromkeys((*MODEL_FREE, *(row.what for row in rows if row.is_right is False))):
        judged = [row for row in rows if row.what == kind and row.is_right is not None]
        wrong = [f"{row.found} for {row.true}" for row in judged if not row.is_right]
        measured = "; ".join([f"{len(judged) - len(wrong)} of {len(judged)}", *wrong])
        yield Gate(kind, "all right", measured if judged else "not judged", bool(judged) and not wrong)


def _invariants(results: Mapping[str, dict[str, Any]]) -> Iterator[Gate]:
    broken = [
        f"{each.invariant} {name}: {each.where} {each.message}"
        for name, found in results.items()
        for each in check.check(found)
    ]
    yield Gate("I1-I6, I9", "no violation", "; ".join(broken[:5]) or "none", not broken)
    differing = [each.where for each in check.check_rerun(results[FIRST], results[AGAIN])]
    measured = f"differ: {', '.join(differing)}" if differing else "identical"
    yield Gate("two runs (I7)", "identical", measured, not differing)


def _time(run: Run, profile: settings.Profile) -> Gate:
    assert run.results is not None
    times = run.wall_seconds / run.results["media"]["duration_s"]
    holds = None if profile.needs_gpu else times <= MAX_TIMES_CLIP
    measured = f"{run.wall_seconds:.1f} s, {times:.2f} x"
    wanted = f"at most {MAX_TIMES_CLIP:g} x the clip, on CPUs"
    return Gate("time, warm server", wanted, measured, holds)


def _understanding(run: Run, profile: settings.Profile) -> Gate:
    seconds = run.vlm_seconds
    holds = (seconds is not None and seconds < MAX_VLM_SECONDS) if profile.needs_gpu else None
    measured = "was not asked" if seconds is None else f"{seconds:.1f} s"
    return Gate("vision-language model", f"< {MAX_VLM_SECONDS:g} s, on a GPU", measured, holds)


def weights(analyzer: Mapping[str, Any]) -> str:
    """What an analyzer's findings rest on: trained networks, random weights, or no model; - where it has none."""
    if analyzer["summary"] is None:
        return "-"
    count, random = len(analyzer["models"]), sum(not model["trained"] for model in analyzer["models"])
    if 0 < random < count:
        return f"{random} of {count} random"
    return "random weights" if random else "trained" if count else "no model"


def analyzer_rows(results: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What the report says of every analyzer, those first that are promised; a missing one has a status alone."""

    def row(each: Mapping[str, Any] | None) -> dict[str, Any]:
        if each is None:
            return {"status": "MISSING"}
        return {
            "status": ": ".join(filter(None, (each["status"], each["reason"]))),
            "segments": len(each["segments"]),
            "weights": weights(each),
            "wall_seconds": each["timings"]["wall_ms"] / 1000,
        }

    names = dict.fromkeys((*ANALYZERS, *results["analyzers"]))
    return {name: row(results["analyzers"].get(name)) for name in names}


def analyzer_table(rows: Mapping[str, Mapping[str, Any]]) -> Table:
    """One row per analyzer."""
    shown = Table(Column("analyzer", no_wrap=True), "status", "segments", "weights", "wall s", title="the second run")
    for name, row in rows.items():
        cells = (f"{value:.1f}" if isinstance(value, float) else str(value) for value in row.values())
        shown.add_row(name, *cells, style=None if row["status"] == "ok" else "red")
    return shown


def run_table(runs: Sequence[Run]) -> Table:
    """Time, size and memory of every run."""

    def gigabytes(memory: Memory | None) -> str:
        return " / ".join(f"{mb / 1000:.1f}" for mb in asdict(memory).values()) if memory else ""

    columns = ("run", "wall s", "results MB", "client MB, peak", "server GB", "GPU GB")
    shown = Table(*columns, title="memory: before / peak / after", caption=f"the predecessor: {PREDECESSOR}")
    for run in runs:
        peak = "killed" if run.client_peak_mb is None else f"{run.client_peak_mb:.0f}"
        server, gpu = (gigabytes(run.memory.get(name)) for name in ("server", "gpu"))
        sizes = f"{run.wall_seconds:.1f}", f"{run.results_mb:.2f}"
        shown.add_row(run.name, *sizes, peak, server or "not seen", gpu or "no GPU")
    return shown


def gate_table(gates: Sequence[Gate]) -> Table:
    """One row per gate."""
    shown = Table("gate", "wanted", Column("measured", overflow="fold"), "", title="gates")
    colours = {True: "green", False: "bold red", None: "dim"}
    for gate in gates:
        shown.add_row(gate.name, gate.wanted, Text(gate.measured), Text(gate.verdict, colours[gate.holds]))
    return shown


@contextlib.contextmanager
def serving(profile: settings.Profile, url: str | None) -> Iterator[tuple[str, int | None, str]]:
    """A server of the profile: its gRPC address, the process above all of its own (None: not seen), what it is."""
    record = None if url else embedded.running()
    if url:
        yield url, None, url
    elif record and not record.lacks(profile):
        yield record.grpc_url, record.supervisor_pid, "the local server, which ran before"
    else:
        began = time.perf_counter()
        with contextlib.ExitStack() as stack:
            with progress() as show:
                started = embedded.EmbeddedServer(
                    profile, on_progress=lambda model, state: show(f"model {model}", 0.5 if state == "loading" else 1.0)
                )
                stack.enter_context(started)
            said = f"started for this in {time.perf_counter() - began:.0f} s"
            yield started.grpc_url, started.supervisor.pid, said


def gpu_here() -> Gpu | None:
    """The first GPU of this machine."""
    try:
        return read_gpu()
    except (FileNotFoundError, subprocess.CalledProcessError):
        return None


def computed_seconds(url: str, model: str) -> float:
    """Time that a server has computed in a model so far, every batch once; 0 when it does not serve it."""
    with connect(url) as client:
        try:
            found = client.get_inference_statistics(model)
        except InferenceServerException:
            return 0.0
    return float(sum(batch.compute_infer.ns for each in found.model_stats for batch in each.batch_stats) / 1e9)


def run_once(name: str, url: str, server_pid: int | None, profile: settings.Profile, folder: Path) -> Run:
    """Analyse the demo clip, and watch."""
    readers: dict[str, Callable[[], float]] = {}
    if server_pid is not None:
        readers["server"] = lambda: resident_mb(server_pid)
    if gpu_here():
        readers["gpu"] = lambda: read_gpu().used_mib * 1024**2 / 1e6
    (network,) = UnderstandingSource.networks
    options = ["--profile", profile.name, *(["--detail", "full"] if name == FULL else [])]
    before = computed_seconds(url, network)
    with MemoryWatch(readers) as watch:
        done = analyze(DEMO, folder / name, url, *options)
    computed = computed_seconds(url, network) - before
    return Run(
        name=name,
        exit_code=done.exit_code,
        wall_seconds=done.wall_seconds,
        results=done.results(),
        results_mb=done.results_mb,
        client_peak_mb=None if done.peak_mib is None else done.peak_mib * 1024**2 / 1e6,
        memory=watch.found,
        vlm_seconds=computed if computed > 0 else None,
    )


def report(runs: Sequence[Run], gates: Sequence[Gate], about: dict[str, Any], console: Console, folder: Path) -> bool:
    """Print and write everything; True when no gate is broken."""
    again = next(run for run in runs if run.name == AGAIN)
    rows = analyzer_rows(again.results) if again.results else {}
    for table in (*([analyzer_table(rows)] if rows else []), run_table(runs), gate_table(gates)):
        console.print(table)
    for name, value in about.items():
        console.print(f"{name}: {value}", highlight=False)
    broken = [gate for gate in gates if gate.holds is False]
    judged = [gate for gate in gates if gate.holds is not None]
    colour = "bold red" if broken else "bold green"
    console.print(f"{len(judged) - len(broken)} of {len(judged)} gates hold", style=colour)
    figures = {
        "passed": not broken,
        **about,
        "gates": [asdict(gate) | {"verdict": gate.verdict} for gate in gates],
        "analyzers": rows,
        "runs": [{name: value for name, value in asdict(run).items() if name != "results"} for run in runs],
    }
    written = record("report", figures, folder)
    written.with_suffix(".txt").write_text(console.export_text(), encoding="utf-8")
    console.print(f"written to {written.with_suffix('.txt')} and {written.name}", highlight=False, soft_wrap=True)
    return not broken


def main(arguments: list[str] | None = None) -> int:
    """Run, judge, report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.acceptance", description="24 analyzers, or not.")
    parser.add_argument("--profile", default="cpu", choices=settings.profile_names())
    parser.add_argument("--url", help="HOST:PORT of a Triton server (gRPC); default: the local one, or one for this")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="folder of the report and the results")
    options = parser.parse_args(arguments)
    console = Console(record=True)
    try:
        profile, url = settings.profile(options.profile), address(options.url)
        others = f"{os.getloadavg()[0]:.1f} when it began"
        for old in ("report.json", "report.txt"):
            (options.output / old).unlink(missing_ok=True)
        with serving(profile, url) as (grpc_url, pid, said):
            runs = []
            for name in (FIRST, AGAIN, FULL):
                console.print(f"analysis of the demo clip: {name}")
                runs.append(run_once(name, grpc_url, pid, profile, options.output))
    except ReelscopeError as error:
        errors.print(f"error ({error.code}): {error}")
        return exit_code(error)
    gpu = gpu_here()
    here = {"machine": machine(), "load": others, "gpu": gpu.name if gpu else "no GPU"}
    about = {"profile": profile.name, "server": said, **here}
    return 0 if report(runs, judge(runs, profile), about, console, options.output) else 1


if __name__ == "__main__":
    sys.exit(main())
