"""The predecessor's way of working: one process, upstream libraries in PyTorch, one analyzer after the other.

As its document describes it: models are loaded once and kept, the analyzers are run in four stages, each of them opens
the video itself and asks its own networks, Qwen2-VL is asked about all windows in one batch, in mixed precision.
Weights, variants and sampling rates are those of the profile. What untrained networks would make more or less of is
forced to be as much as on the other side (`Work`): faces and objects that are looked at, tokens, windows of sound.

In its favour: it tracks nothing, keeps no exact time stamps, writes no results. Two of the 24 analyzers (temporal_flow,
cross_analyzer_intelligence) only read what the others found, and cost it nothing here; Qwen2-VL is asked for no
synopsis. What a network says twice about the same frames, because several analyzers ask it, is timed apart
(`repeated_seconds`), so that it can be left out of a comparison.

    python -m benchmarks.predecessor --clip CLIP                                    the cpu profile, once
    python -m benchmarks.predecessor --clip CLIP --profile h200 --device cuda:0     on a GPU

`benchmarks.end_to_end` runs it beside the system. A library that is not installed is named, and its analyzers are left
out.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch
from rich.console import Console
from rich.table import Table

from benchmarks import footage
from benchmarks.predecessor_steps import STEPS, Step
from benchmarks.upstream import Absent, Libraries, Weights
from reelscope import settings

THREADS = 2
"""Of PyTorch on a CPU, as many as every served model has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What both sides have to do with a clip."""

    clip: str
    weights: Weights
    profile: str = "cpu"
    device: str = "cpu"
    faces: int = 50
    """Faces that are looked at, over all frames."""
    crops: int = 8
    """Objects that are looked at, over all frames."""
    sound_windows: tuple[float, ...] = (10.0,)
    """Seconds of each window in which sounds are looked for."""
    voice_pieces: tuple[float, ...] = (2.0,)
    """Seconds of each piece of speech whose tone is judged."""
    spoken_tokens: int | None = 48
    """Tokens that Whisper decodes; None: until it stops."""
    windows: tuple[int, ...] = (8, 8, 8, 8, 8)
    """Frames of each window that Qwen2-VL is asked about."""
    window_size: tuple[int, int] = (504, 280)
    """Height and width of these frames."""
    window_tokens: int = 128
    """Tokens of each answer."""

    @property
    def rate(self) -> Fraction:
        """Frames per second of the detectors; others look at half or a quarter of them."""
        return settings.profile(self.profile).base_frame_rate


@dataclass(slots=True)
class Predecessor:
    """Everything loaded; `run` analyses the clip."""

    work: Work
    libraries: Libraries
    missing: dict[str, str] = field(default_factory=dict)
    """Analyzers that cannot run here, and why."""
    load_seconds: dict[str, float] = field(default_factory=dict)
    repeated_seconds: float = 0.0

    @property
    def clip(self) -> Path:
        """The clip."""
        return Path(self.work.clip)

    def load(self) -> None:
        """Load the networks of every analyzer, or say why not."""
        for step in STEPS:
            began = time.perf_counter()
            try:
                self.libraries.load(step.libraries)
            except Absent as error:
                self.missing[step.analyzer] = str(error)
            self.load_seconds[step.analyzer] = time.perf_counter() - began

    def run(self) -> list[dict[str, Any]]:
        """Analyse the clip once: what every analyzer took, in the order in which they ran."""
        found = []
        began = time.perf_counter()
        present = [step for step in STEPS if step.analyzer not in self.missing]
        for _, stage in itertools.groupby(present, key=lambda step: step.stage):
            found += [self._timed(step, began) for step in stage]
            self._empty_memory()
        return found

    def _timed(self, step: Step, began_all: float) -> dict[str, Any]:
        self.repeated_seconds = 0.0
        if self.work.device == "cpu":
            torch.set_num_threads(THREADS)  # ultralytics takes one thread less than there are cores
        began, cpu_began = time.perf_counter(), time.process_time()
        with torch.no_grad():
            step.run(self)
        self._wait()
        return {
            "analyzer": step.analyzer,
            "stage": step.stage,
            "began_seconds": began - began_all,
            "wall_seconds": time.perf_counter() - began,
            "cpu_seconds": time.process_time() - cpu_began,
            "repeated_seconds": self.repeated_seconds,
        }

    @contextmanager
    def again(self) -> Iterator[None]:
        """Time what an earlier analyzer has asked the same network about the same frames."""
        self._wait()
        began = time.perf_counter()
        yield
        self._wait()
        self.repeated_seconds += time.perf_counter() - began

    def _wait(self) -> None:
        if self.work.device != "cpu":
            torch.cuda.synchronize()

    def _empty_memory(self) -> None:
        gc.collect()
        if self.work.device != "cpu":
            torch.cuda.empty_cache()


class PredecessorProcess:
    """The predecessor in a process of its own, which waits between clips with everything loaded.

    Attributes:
        pid: its process id.
        loaded: what it says once it has loaded: `missing` and `load_seconds`.
        ready_seconds: from its start until then.
    """

    def __init__(self, work: Work) -> None:
        """Start it, and wait until it has loaded."""
        began = time.perf_counter()
        command = [sys.executable, "-m", "benchmarks.predecessor", "--work", json.dumps(asdict(work))]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1]
        )
        self.pid = self._process.pid
        self.loaded: dict[str, Any] = self._read()
        self.ready_seconds = time.perf_counter() - began

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def analyze(self) -> list[dict[str, Any]]:
        """Analyse the clip once, as `Predecessor.run`."""
        assert self._process.stdin is not None
        self._process.stdin.write("run\n")
        self._process.stdin.flush()
        found: list[dict[str, Any]] = self._read()
        return found

    def _read(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the predecessor ended with {self._process.wait()}; its messages are above")
        return json.loads(line)


def _serve(predecessor: Predecessor) -> None:
    """Load, then analyse once for every line of stdin. Libraries print: what they say goes to stderr."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    predecessor.load()
    print(
        json.dumps({"missing": predecessor.missing, "load_seconds": predecessor.load_seconds}), file=answers, flush=True
    )
    for _ in sys.stdin:
        print(json.dumps(predecessor.run()), file=answers, flush=True)


def table(steps: list[dict[str, Any]], missing: Mapping[str, str], title: str) -> Table:
    """One row per analyzer, and the sum."""
    shown_ = Table("stage", "analyzer", "wall s", "CPU s", "asked before s", title=title)
    names = ("wall_seconds", "cpu_seconds", "repeated_seconds")
    for step in steps:
        shown_.add_row(str(step["stage"]), step["analyzer"], *(f"{step[name]:.2f}" for name in names))
    for analyzer, reason in missing.items():
        shown_.add_row("-", analyzer, f"left out: {reason}")
    shown_.add_section()
    shown_.add_row("", "all", *(f"{sum(step[name] for step in steps):.2f}" for name in names), style="bold")
    return shown_


def main(arguments: list[str] | None = None) -> int:
    """Analyse a clip as the predecessor did, print what it took; or serve `PredecessorProcess`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.predecessor", description="The predecessor's way.")
    parser.add_argument("--clip", type=Path, help="default: ten seconds that are made on the fly")
    parser.add_argument("--profile", default="cpu", choices=settings.profile_names())
    parser.add_argument("--device", default="cpu", help="cpu (default) or cuda:0")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--work", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.work:
        lists = {name: tuple(value) for name, value in options.work.items() if isinstance(value, list)}
        work = Work(**(options.work | lists | {"weights": Weights(**options.work["weights"])}))
        _serve(Predecessor(work, Libraries(work.weights, work.device)))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        clip = options.clip or footage.write_clip(
            Path(folder) / "clip.mp4", width=1080, height=1920, rate=30, seconds=10.0
        )
        work = Work(clip=str(clip), weights=Weights.of(options.profile), profile=options.profile, device=options.device)
        with PredecessorProcess(work) as predecessor:
            for _ in range(options.repeats):
                title = (
                    f"{clip.name}, {options.profile} on {options.device}, ready after {predecessor.ready_seconds:.1f} s"
                )
                Console().print(table(predecessor.analyze(), predecessor.loaded["missing"], title))
    return 0


if __name__ == "__main__":
    sys.exit(main())
