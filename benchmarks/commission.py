"""Commissioning: whether this machine may go into production with a profile; one command, one verdict.

    doctor        what the profile needs is there
    models        every model alone: loaded, held to its library, its GPU memory, its time (benchmarks.gpu_check)
    together      all models in one server: GPU memory against the budget, the time of every ensemble
    roll          a new version and back under three clients: no failed request (reelscope.rollout)
    acceptance    24 analyzers on the demo clip (benchmarks.acceptance)

    python -m benchmarks.commission --profile rtx8000                     the models as built, each served locally
    python -m benchmarks.commission --profile rtx8000 --url HOST:PORT     through a running server: its own backends are
                                                                          held to the libraries, its version is rolled

With --url the server must serve this checkout's model repository (REELSCOPE_REPOSITORY), which the roll changes and
puts back; GPU memory of single models cannot be told there, and has no gate.

Writes report.txt and report.json to out/commission, acceptance's own report to out/acceptance. Exits with 1 when
something failed or could not be done; the report says why. Seen on the cpu profile, half an hour on two cores; not yet
run on an RTX 8000.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from benchmarks import acceptance, gpu_check, machine, record
from benchmarks.acceptance import Gate, gpu_here
from benchmarks.gpu_check import AsBuilt, Figures, Gpu, Together
from reelscope import doctor, settings
from reelscope.embedded import EmbeddedServer, default_repositories
from reelscope.errors import ReelscopeError, UsageError
from reelscope.inference import InferenceClient, RepositoryClient, sample_inputs
from reelscope.rollout import Rollout
from reelscope.terminal import address, errors, exit_code
from reelscope_export import paths
from reelscope_export.registry import ADAPTERS

OUTPUT = settings.deployment_root() / "out" / "commission"
ROLLED, ROLLED_ENSEMBLE = "object_yolov8", "detections"
CLIENTS = 3
PREDECESSOR_SECONDS = {acceptance.FIRST: 250.0, acceptance.AGAIN: 110.0}
"""What the system before this one took for a clip of ten seconds on the same card."""
_ROLL_SECONDS = 60.0


@dataclass(slots=True)
class Site:
    """What is commissioned."""

    profile: settings.Profile
    url: str | None
    """gRPC address of the running server; None: models are served locally."""
    models: tuple[str, ...]
    """Models that are looked at one by one: those with a library to be held to."""
    repeats: int
    """Of each timing."""
    output: Path
    figures: dict[str, Any] = field(default_factory=dict)
    """What the steps measured, for the report in JSON."""


def check_machine(site: Site) -> Iterator[Gate]:
    """What the doctor finds; only what is missing stops a commissioning."""
    found = doctor.examine(site.profile)
    for each in found:
        if each.state == "missing":
            yield Gate(each.subject, "there", f"{each.finding}; {each.remedy}".rstrip("; "), False)
    warned = [f"{each.subject}: {each.finding}" for each in found if each.state == "warning"]
    counted = f"{len(found)} looked at, {len(warned)} surprise"
    yield Gate(
        "machine", "nothing missing", "; ".join([counted, *warned]), all(each.state != "missing" for each in found)
    )


def check_models(site: Site) -> Iterator[Gate]:
    """Parity, GPU memory and time of every model by itself."""
    built, gpu = AsBuilt(settings.model_repository()), gpu_here() if site.profile.needs_gpu else None
    profiles = paths.read_profiles()
    measured: dict[str, Figures] = {}
    for model in site.models:
        chosen = paths.model_settings(profiles, site.profile.name, model)
        errors.print(f"  {model}", style="dim")
        if site.url:
            measured[model] = _asked(site.url, chosen, built)
        else:
            measured[model] = gpu_check.check(chosen, built, gpu, site.repeats)
        yield _parity(model, measured[model])
    site.figures["models"] = {model: each.to_json() for model, each in measured.items()}
    if site.url:
        yield Gate("GPU memory of each model", "known", "cannot be told apart in a running server", None)
    elif not site.profile.needs_gpu:
        yield Gate("GPU memory of each model", "known", "the profile has no GPU", None)
    else:
        unknown = [model for model, each in measured.items() if each.loaded_mib is None]
        largest = max(measured, key=lambda model: measured[model].full_batch_mib or 0)
        said = (
            f"unknown: {', '.join(unknown)}"
            if unknown
            else f"at most {measured[largest].full_batch_mib} MiB ({largest})"
        )
        yield Gate("GPU memory of each model", "known", said, not unknown)


def _asked(url: str, chosen: paths.ModelSettings, built: AsBuilt) -> Figures:
    """Hold a model of a running server to its library."""
    figures = Figures(chosen.variant, chosen.precision)
    try:
        outcome = built.export(chosen)
        with InferenceClient(url) as client:
            figures.parity = gpu_check.parity(client, chosen, outcome)
    except Exception as error:  # whatever it is, the next model is held to its own
        figures.error = f"{type(error).__name__}: {error}"
    return figures


def _parity(model: str, figures: Figures) -> Gate:
    """One model against its library, and its time where it was taken."""
    broken = [str(measure) for measure in figures.parity if not measure.passed]
    held = [measure.figure for measure in figures.parity if measure.passed]
    if figures.error:
        said = f"cannot be done: {figures.error}"
    elif not figures.parity:
        said = "nothing was compared"
    else:
        said = "; ".join([*(f"{each} BROKEN" for each in broken), *held])
    speed = figures.speed
    timed = f"; {speed.one_row['p50_ms']:.0f} ms a row" if speed else ""
    return Gate(model, "its library's answers", said + timed, figures.passed)


def check_together(site: Site) -> Iterator[Gate]:
    """All models in one server: memory against the budget, and every ensemble answers, with its time."""
    if site.url:
        yield Gate("all models in one server", "in the budget", "see acceptance: memory while it runs", None)
        return
    gpu = gpu_here() if site.profile.needs_gpu else None
    together = gpu_check.check_together(site.profile, gpu, site.repeats)
    site.figures["together"] = asdict(together)
    failed = [f"{name}: {reason}" for name, reason in together.failed.items()]
    yield Gate(
        "models and ensembles", "all answer", "; ".join(failed) or f"{len(together.ensembles)} ensembles", not failed
    )
    for name, speed in together.ensembles.items():
        times = f"one row {speed.one_row['p50_ms']:.0f} ms, a window {speed.window['p50_ms']:.0f} ms"
        yield Gate(f"time of {name}", "recorded", times, None)
    yield memory(site.profile, gpu, together)


def memory(profile: settings.Profile, gpu: Gpu | None, together: Together) -> Gate:
    """GPU memory of all models after windows through every ensemble, against the budget."""
    budget = profile.gpu.memory_budget_gb if profile.gpu else None
    wanted = f"at most {budget:g} GB" if budget else "no budget on this profile"
    if gpu is None or together.used_mib is None:
        why = "nvidia-smi sees none" if profile.needs_gpu else "the profile has no GPU"
        return Gate("GPU memory", wanted, why, False if profile.needs_gpu else None)
    used_gb = together.used_mib * 1024**2 / 1e9
    holds = used_gb <= budget if budget else None
    return Gate("GPU memory", wanted, f"{used_gb:.1f} GB of {gpu.name}", holds)


class Clients:
    """Clients that ask a model and its ensemble without a pause.

    Attributes:
        versions: of the model, how often each answered.
        failures: what went wrong, one line per request.
        asked: requests that were answered or failed.
    """

    def __init__(self, url: str) -> None:
        """Prepare; nothing is asked yet."""
        self.versions: dict[str, int] = {}
        self.failures: list[str] = []
        self.asked = 0
        self._url, self._ended, self._changed = url, threading.Event(), threading.Condition()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(CLIENTS)]

    def __enter__(self) -> Clients:
        """Begin to ask."""
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Stop, and wait for the last answers."""
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def wait_for(self, version: str) -> None:
        """Wait until every client had an answer of a version, or a minute is over."""
        with self._changed:
            wanted = self.versions.get(version, 0) + CLIENTS
            self._changed.wait_for(lambda: self.versions.get(version, 0) >= wanted, _ROLL_SECONDS)

    def _run(self) -> None:
        with RepositoryClient(self._url) as client:
            questions = {
                name: (sample_inputs(config, rows=1, frame_px=(160, 90)), [config["output"][0]["name"]])
                for name in (ROLLED, ROLLED_ENSEMBLE)
                for config in [client.model_config(name)]
            }
            while not self._ended.is_set():
                for name, (inputs, outputs) in questions.items():
                    said: str | None = None
                    try:
                        answer = client.ask(name, inputs, outputs, _ROLL_SECONDS)
                        said = answer.version if name == ROLLED else None
                    except ReelscopeError as error:
                        self.failures.append(f"{name}: {error}")
                    with self._changed:
                        self.asked += 1
                        if said:
                            self.versions[said] = self.versions.get(said, 0) + 1
                        self._changed.notify_all()


def check_roll(site: Site) -> Iterator[Gate]:
    """A copy of the serving detector becomes the next version and goes again, under clients."""
    if ROLLED not in site.profile.models:
        raise UsageError(f"profile {site.profile.name} does not serve {ROLLED}")
    if site.url:
        yield from _rolled(site, site.url, settings.model_repository())
        return
    with tempfile.TemporaryDirectory() as scratch:
        repository = Path(scratch)
        shutil.copytree(settings.model_repository() / ROLLED, repository / ROLLED)
        folders = [repository, *default_repositories()[1:]]
        with EmbeddedServer(site.profile, models=[ROLLED], repositories=folders) as server:
            yield from _rolled(site, server.grpc_url, repository)


def _rolled(site: Site, url: str, repository: Path) -> Iterator[Gate]:
    with _candidate(repository / ROLLED), RepositoryClient(url) as client, Clients(url) as clients:
        rollout = Rollout(client, lambda: (repository,), lambda line: errors.print(line, soft_wrap=True))
        began = time.monotonic()
        change = rollout.roll(ROLLED)
        clients.wait_for(change.version)
        back = rollout.roll_back(ROLLED)
        clients.wait_for(back.version)
        seconds = time.monotonic() - began
    site.figures["roll"] = {"asked": clients.asked, "versions": clients.versions, "failures": clients.failures}
    first = f"; the first: {clients.failures[0]}" if clients.failures else ""
    said = f"{len(clients.failures)} of {clients.asked}{first}"
    yield Gate("failed requests", "none", said, clients.asked > 0 and not clients.failures)
    answers = ", ".join(f"version {version}: {count}" for version, count in sorted(clients.versions.items()))
    both = {change.version, change.before} <= clients.versions.keys()
    yield Gate("who answered", f"versions {change.before} and {change.version}", answers or "nobody", both)
    yield Gate(
        "who serves",
        f"version {change.before}",
        f"version {back.version}, after {seconds:.1f} s",
        back.version == change.before,
    )


@contextlib.contextmanager
def _candidate(folder: Path) -> Iterator[None]:
    """A copy of the highest version as the candidate; afterwards nothing is left of it, unless it serves."""
    before = {path.name for path in folder.iterdir()}
    if "candidate" in before:
        raise UsageError(
            f"{folder}/candidate: there is one, which this would replace", f"mv {folder}/candidate ELSEWHERE"
        )
    highest = max((name for name in before if name.isdigit()), key=int)
    try:
        shutil.copytree(folder / highest, folder / "candidate")
    except OSError as error:
        raise UsageError(f"{folder}: a candidate cannot be written ({error})") from error
    try:
        yield
    finally:
        for path in folder.iterdir():
            if path.name not in before and not path.name.isdigit() and path.is_dir():
                shutil.rmtree(path)


def check_acceptance(site: Site) -> Iterator[Gate]:
    """The acceptance run, as one gate, with what only a commissioning asks: memory and the predecessor's times."""
    file = acceptance.OUTPUT / "report.json"
    status = acceptance.main(["--profile", site.profile.name, *(["--url", site.url] if site.url else [])])
    if not file.is_file():
        yield Gate("24 analyzers", "accepted", f"no report, exit code {status}: see above", False)
        return
    report = json.loads(file.read_text(encoding="utf-8"))
    yield from accepted(site.profile, report)


def accepted(profile: settings.Profile, report: Mapping[str, Any]) -> Iterator[Gate]:
    """Judge a report of `benchmarks.acceptance`."""
    judged = [gate for gate in report["gates"] if gate["holds"] is not None]
    broken = [f"{gate['name']}: {gate['measured']}" for gate in judged if not gate["holds"]]
    said = "; ".join([f"{len(judged) - len(broken)} of {len(judged)} gates hold", *broken])
    yield Gate("24 analyzers", "accepted", said, bool(judged) and not broken and report["passed"])
    budget = profile.gpu.memory_budget_gb if profile.gpu else None
    for run in report["runs"]:
        if limit := PREDECESSOR_SECONDS.get(run["name"]):
            holds = run["wall_seconds"] <= limit if profile.needs_gpu else None
            measured, wanted = f"{run['wall_seconds']:.1f} s", f"at most the predecessor's {limit:g} s, on a GPU"
            yield Gate(f"the demo clip, {run['name']}", wanted, measured, holds)
    peaks = [run["memory"]["gpu"]["peak_mb"] / 1000 for run in report["runs"] if "gpu" in run["memory"]]
    if budget:
        measured = f"{max(peaks):.1f} GB at its highest" if peaks else "nvidia-smi sees no GPU"
        yield Gate("GPU memory while it runs", f"at most {budget:g} GB", measured, bool(peaks) and max(peaks) <= budget)


Step = Callable[[Site], Iterator[Gate]]
STEPS: dict[str, Step] = {
    "doctor": check_machine,
    "models": check_models,
    "together": check_together,
    "roll": check_roll,
    "acceptance": check_acceptance,
}


@dataclass(frozen=True, slots=True)
class Done:
    """One step, with what it found."""

    step: str
    gates: tuple[Gate, ...]
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether nothing in it failed."""
        return all(gate.holds is not False for gate in self.gates)


def perform(name: str, step: Step, site: Site) -> Done:
    """Do one step to its end, or to where it cannot be done, which is a failure like any other."""
    gates: list[Gate] = []
    began = time.monotonic()
    try:
        gates += step(site)
    except Exception as error:  # the other steps are still worth doing
        reason = str(error) if isinstance(error, ReelscopeError) else f"{type(error).__name__}: {error}"
        gates.append(Gate(name, "done", f"cannot be done: {reason}", False))
    return Done(name, tuple(gates), time.monotonic() - began)


def table(done: Sequence[Done]) -> Table:
    """One row per gate, a section per step."""
    shown = Table("step", "what", "wanted", Column("measured", overflow="fold"), "", title="commissioning")
    colours = {True: "green", False: "bold red", None: "dim"}
    for each in done:
        for number, gate in enumerate(each.gates):
            step = "" if number else f"{each.step}\n{each.seconds:.0f} s"
            shown.add_row(step, gate.name, gate.wanted, Text(gate.measured), Text(_verdict(gate), colours[gate.holds]))
        shown.add_section()
    return shown


def _verdict(gate: Gate) -> str:
    return {True: "pass", False: "FAIL", None: "no gate here"}[gate.holds]


def report(done: Sequence[Done], site: Site, console: Console) -> bool:
    """Print and write everything; True when every step was done and nothing failed."""
    left_out = [name for name in STEPS if name not in {each.step for each in done}]
    passed = all(each.passed for each in done)
    console.print(table(done))
    gpu = gpu_here()
    about = {"profile": site.profile.name, "server": site.url or "local", "gpu": asdict(gpu) if gpu else None}
    verdict = "fit for production" if passed else "NOT fit for production"
    if passed and left_out:
        verdict = f"what was asked for holds; not done: {', '.join(left_out)}"
    console.print(f"{machine()}; {gpu.name if gpu else 'no GPU'}; profile {site.profile.name}", highlight=False)
    console.print(verdict, style="bold green" if passed else "bold red")
    steps = {
        each.step: {
            "passed": each.passed,
            "seconds": round(each.seconds, 1),
            "gates": [asdict(gate) | {"verdict": _verdict(gate)} for gate in each.gates],
        }
        for each in done
    }
    figures = {"passed": passed, "complete": not left_out, **about, "steps": steps, "figures": site.figures}
    written = record("report", figures, site.output)
    written.with_suffix(".txt").write_text(console.export_text(), encoding="utf-8")
    console.print(f"written to {written.with_suffix('.txt')} and {written.name}", highlight=False, soft_wrap=True)
    return passed


def main(arguments: list[str] | None = None) -> int:
    """Take the steps, judge, report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.commission", description="Fit for production, or not.")
    parser.add_argument("--profile", default="cpu", choices=settings.profile_names())
    parser.add_argument("--url", help="HOST:PORT of the running production server (gRPC); default: served locally")
    parser.add_argument("--steps", default=",".join(STEPS), help=f"some of: {', '.join(STEPS)}")
    parser.add_argument("--models", help="models that are looked at alone, separated by commas; default: all")
    parser.add_argument("--repeats", type=int, default=20, help="runs of each timing, at most (default: 20)")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="folder of the report")
    options = parser.parse_args(arguments)
    console = Console(record=True)
    try:
        profile, url = settings.profile(options.profile), address(options.url)
        judged = tuple(model for model in profile.models if model not in ADAPTERS)
        site = Site(profile, url, _some(options.models, judged, "model"), options.repeats, options.output)
        steps = _some(options.steps, tuple(STEPS), "step")
    except ReelscopeError as error:
        errors.print(f"error ({error.code}): {error}")
        return exit_code(error)
    done = []
    for name in steps:
        console.print(f"step {name}", style="bold")
        done.append(perform(name, STEPS[name], site))
    return 0 if report(done, site, console) else 1


def _some(asked: str | None, known: tuple[str, ...], what: str) -> tuple[str, ...]:
    if asked is None:
        return known
    if unknown := [name for name in asked.split(",") if name not in known]:
        raise UsageError(f"no {what} {', '.join(unknown)}; there are: {', '.join(known)}")
    return tuple(name for name in known if name in asked.split(","))


if __name__ == "__main__":
    sys.exit(main())
