"""One analysis observed: when each source, call of the server and analyzer was at work, and what it cost."""

from __future__ import annotations

import functools
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from unittest import mock

import numpy as np

from reelscope import pipeline, settings
from reelscope.analyzers.base import Analyzer
from reelscope.decode import Decoder
from reelscope.errors import ModelUnavailable
from reelscope.inference import InferenceClient, PendingAnswer
from reelscope.results import AnalyzerResult, Results
from reelscope.sources import CPU_SOURCES, ENSEMBLE_SOURCES
from reelscope.types import WINDOW_FRAMES, FrameBuffer

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
GPU_FIELDS = {
    "busy_percent": "utilization.gpu",
    "used_mib": "memory.used",
    "sm_clock_mhz": "clocks.sm",
    "temperature_celsius": "temperature.gpu",
    "power_watts": "power.draw",
}
"""Names here, and those of nvidia-smi."""
GPU_SAMPLE_MILLISECONDS = 100
DEADLINE_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Span:
    """Something that was at work for a while; seconds from the start of the analysis."""

    lane: str
    """Who: decode, a source, an ensemble, or analyzers."""
    kind: str
    """decode, cpu, server or analyzer."""
    start_seconds: float
    end_seconds: float


@dataclass(frozen=True, slots=True)
class Call:
    """What the server was asked, and in counting mode what it answered."""

    ensemble: str
    inputs: Mapping[str, np.ndarray]
    answer: Mapping[str, np.ndarray] | None


class ObservedClient(InferenceClient):
    """A client that notes its calls.

    Attributes:
        calls: of the current analysis.
        uploaded_bytes: what went to the server: frames once for each window, everything else as often as it was sent.
        refused: ensembles that are made unavailable, to leave out what the other side leaves out.
    """

    def __init__(self, url: str) -> None:
        """Connect."""
        super().__init__(url)
        self.refused: frozenset[str] = frozenset()
        self.is_counting = False
        self.begin([])

    def begin(self, spans: list[Span]) -> None:
        """Note what follows in `spans`, and forget earlier calls."""
        self.calls: list[Call] = []
        self._spans, self._began, self._uploaded_bytes = spans, time.perf_counter(), 0
        self._frame_bytes: dict[int, int] = {}
        self._waiting: list[threading.Thread] = []

    @property
    def uploaded_bytes(self) -> int:
        """Frames once, the rest as it was sent."""
        return self._uploaded_bytes + sum(self._frame_bytes.values())

    def settle(self) -> None:
        """Wait until every call is noted."""
        for thread in self._waiting:
            thread.join()

    def allocate(self, height: int, width: int, rows: int = WINDOW_FRAMES) -> FrameBuffer:
        """As the client does."""
        buffer = super().allocate(height, width, rows)
        self._uploaded_bytes += self._frame_bytes.pop(id(buffer), 0)  # of an earlier buffer that is gone
        return buffer

    def submit(
        self,
        model: str,
        buffer: FrameBuffer,
        rows: int,
        outputs: Sequence[str],
        timeout_seconds: float,
        inputs: Mapping[str, np.ndarray] | None = None,
    ) -> PendingAnswer:
        """As the client does."""
        self._refuse(model)
        known, size = self._frame_bytes.get(id(buffer), 0), buffer.array[:rows].nbytes
        self._frame_bytes[id(buffer)] = max(known, size)
        self._uploaded_bytes += sum(array.nbytes for array in (inputs or {}).values())
        asked = functools.partial(super().submit, model, buffer, rows, outputs, timeout_seconds, inputs)
        return self._noted(model, inputs or {}, asked)

    def ask(
        self, model: str, inputs: Mapping[str, np.ndarray], outputs: Sequence[str], timeout_seconds: float
    ) -> PendingAnswer:
        """As the client does; in counting mode also for the number of tokens."""
        self._refuse(model)
        self._uploaded_bytes += sum(array.nbytes for array in inputs.values())
        wanted = (*outputs, "token_counts") if self.is_counting and model == "understanding" else outputs
        return self._noted(model, inputs, functools.partial(super().ask, model, inputs, wanted, timeout_seconds))

    def _refuse(self, model: str) -> None:
        if model in self.refused:
            raise ModelUnavailable(f"{model} is left out of this comparison")

    def _noted(self, model: str, inputs: Mapping[str, np.ndarray], ask: Callable[[], PendingAnswer]) -> PendingAnswer:
        spans, calls, asked = self._spans, self.calls, time.perf_counter() - self._began
        began, is_counting = self._began, self.is_counting
        pending = ask()

        def wait() -> None:
            pending._answered.wait(DEADLINE_SECONDS)
            spans.append(Span(model, "server", asked, time.perf_counter() - began))
            answer = pending.result() if is_counting and pending._error is None else None
            calls.append(Call(model, inputs, answer))

        self._waiting.append(threading.Thread(target=wait, daemon=True))
        self._waiting[-1].start()
        return pending


@dataclass(slots=True)
class Observation:
    """One analysis."""

    wall_seconds: float
    client_cpu_seconds: float
    server_cpu_seconds: float
    uploaded_bytes: int
    results: Results
    ready_seconds: dict[str, float]
    """Analyzer to the moment at which its result was there, from the start."""
    spans: list[Span]
    gpu: dict[str, float] | None = None


def analyze(
    clip: Path,
    profile: settings.Profile,
    client: ObservedClient,
    analyzers: Sequence[Analyzer],
    server_pid: int,
    *,
    counting: bool = False,
) -> Observation:
    """Analyse a clip and note everything."""
    spans: list[Span] = []
    ready: dict[str, float] = {}
    client.is_counting = counting
    client.begin(spans)
    began, cpu_began, server_began = time.perf_counter(), time.process_time(), tree_cpu_seconds(server_pid)

    def told(analyzer: Analyzer, result: AnalyzerResult[Any, Any]) -> None:
        ready[analyzer.name] = time.perf_counter() - began

    with GpuWatch(profile.needs_gpu) as gpu, _noting(spans, began):
        results = pipeline.analyze(
            clip,
            analyzers=[_noted_analyzer(analyzer, spans, began) for analyzer in analyzers],
            profile=profile,
            client=client,
            budget_seconds=DEADLINE_SECONDS,
            on_result=told,
        )
        wall_seconds = time.perf_counter() - began
    client.settle()
    return Observation(
        wall_seconds=wall_seconds,
        client_cpu_seconds=time.process_time() - cpu_began,
        server_cpu_seconds=tree_cpu_seconds(server_pid) - server_began,
        uploaded_bytes=client.uploaded_bytes,
        results=results,
        ready_seconds=ready,
        spans=sorted(spans, key=lambda span: span.start_seconds),
        gpu=gpu.found,
    )


@contextmanager
def _noting(spans: list[Span], began: float) -> Iterator[None]:
    """Note when the decoder and every source are at work."""

    def noted(lane: str, kind: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            start = time.perf_counter() - began
            try:
                return call(*args, **kwargs)
            finally:
                spans.append(Span(lane, kind, start, time.perf_counter() - began))

        return run

    class NotedDecoder(Decoder):
        def __iter__(self) -> Iterator[Any]:
            parts = super().__iter__()
            step = noted("decode", "decode", lambda: next(parts, None))
            while (part := step()) is not None:
                yield part

    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(pipeline, "Decoder", NotedDecoder))
        for kind, source in CPU_SOURCES.items():
            for name in ("push", "finish"):
                lane = kind.signal_name()
                stack.enter_context(mock.patch.object(source, name, noted(lane, "cpu", getattr(source, name))))
        yield


def _noted_analyzer(analyzer: Analyzer, spans: list[Span], began: float) -> Analyzer:
    def run(*signals: Any) -> Any:
        start = time.perf_counter() - began
        try:
            return analyzer.analyze(*signals)
        finally:
            spans.append(Span("analyzers", "analyzer", start, time.perf_counter() - began))

    return replace(analyzer, analyze=run)


def required_ensembles(analyzers: Sequence[Analyzer], names: set[str]) -> frozenset[str]:
    """Ensembles that some of the analyzers cannot do without."""
    return frozenset(
        ENSEMBLE_SOURCES[kind].ensemble
        for analyzer in analyzers
        if analyzer.name in names
        for kind in analyzer.requires
        if kind in ENSEMBLE_SOURCES
    )


def tree_cpu_seconds(pid: int) -> float:
    """CPU time of a process and everything below it so far, with what has ended below it."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return sum(map(int, fields[11:15])) / TICKS_PER_SECOND + sum(tree_cpu_seconds(int(child)) for child in children)


@dataclass(slots=True)
class GpuWatch:
    """Reads the first GPU every tenth of a second during a block; nothing where the profile has no GPU.

    Attributes:
        found: mean, and for memory, clock, temperature and power the highest; None without a GPU.
    """

    is_wanted: bool
    found: dict[str, float] | None = None
    _process: subprocess.Popen[str] | None = field(default=None, repr=False)
    _lines: list[str] = field(default_factory=list, repr=False)

    def __enter__(self) -> Self:
        """Begin."""
        if self.is_wanted:
            command = ["nvidia-smi", "-i", "0", f"--query-gpu={','.join(GPU_FIELDS.values())}"]
            command += ["--format=csv,noheader,nounits", f"-lms={GPU_SAMPLE_MILLISECONDS}"]
            self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            assert self._process.stdout is not None
            threading.Thread(target=self._lines.extend, args=(self._process.stdout,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End, and put the samples together."""
        if self._process:
            self._process.terminate()
            self._process.wait()
            self.found = gpu_summary(self._lines)


def gpu_summary(lines: Sequence[str]) -> dict[str, float] | None:
    """Mean busy share, and the highest of the rest, of lines as nvidia-smi writes them; None when there is none."""
    samples = np.array([[_number(value) for value in line.split(",")] for line in lines if line.count(",") == 4])
    if not len(samples):
        return None
    highest = dict(zip(GPU_FIELDS, np.nanmax(samples, axis=0).tolist(), strict=True))
    busy, clock = (float(np.nanmean(samples[:, number])) for number in (0, 2))
    return highest | {"busy_percent": busy, "sm_clock_mhz": clock, "samples": float(len(samples))}


def _number(value: str) -> float:
    try:
        return float(value)
    except ValueError:  # [N/A]
        return float("nan")
