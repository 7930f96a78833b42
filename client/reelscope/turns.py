"""The analyzers of one run: each has its turn when its signals, and the findings that it consults, are there.

An analyzer that fails costs itself.
"""

from __future__ import annotations

import graphlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from reelscope.analyzers.base import Analyzer, Finding, Findings, numbered
from reelscope.results import AnalyzerResult, Detail, Inputs, Status, Timings, require_finite
from reelscope.signals import Signal, SoundSignal
from reelscope.sources import source_of
from reelscope.types import ClipHeader, MediaFacts
from reelscope.worker import Worker

OnResult = Callable[[Analyzer, AnalyzerResult[Any, Any]], None]
"""Called with every analyzer and its result, as soon as it is there."""


class Turns:
    """The analyzers of a run. Each has its turn as soon as all that it reads is there: the first results come early."""

    def __init__(
        self,
        analyzers: Sequence[Analyzer],
        allowed: Sequence[Analyzer],
        workers: Mapping[type[Signal], Worker],
        header: ClipHeader,
        detail: Detail,
        on_result: OnResult,
    ) -> None:
        """Prepare; nobody has had a turn.

        Args:
            analyzers: all that were asked for.
            allowed: those of them that the deployment runs; the others are skipped.
            workers: by the signals that the allowed ones read, as far as the clip can have them.
            header: of the clip.
            detail: full keeps the densest series.
            on_result: told of every result.
        """
        self.found: dict[str, AnalyzerResult[Any, Any]] = {}
        self._waiting = list(_in_turn(analyzers))
        self._allowed, self._workers, self._header = allowed, workers, header
        self._detail, self._on_result = detail, on_result
        self._findings: dict[str, Finding[Any, Any]] = {}

    def take(self, media: MediaFacts, incomplete: str | None) -> None:
        """Run every analyzer that need not wait; once all workers have ended, that is each of them."""
        for analyzer in self._waiting[:]:
            if self._must_wait(analyzer):
                continue
            self._waiting.remove(analyzer)
            self.found[analyzer.name] = result = self._run(analyzer, media, incomplete)
            self._on_result(analyzer, result)

    def _must_wait(self, analyzer: Analyzer) -> bool:
        read = (self._workers[kind] for kind in (*analyzer.requires, *analyzer.uses) if kind in self._workers)
        return any(other.name in analyzer.consults for other in self._waiting) or not all(
            worker.has_ended for worker in read
        )

    def _run(self, analyzer: Analyzer, media: MediaFacts, incomplete: str | None) -> AnalyzerResult[Any, Any]:
        if analyzer not in self._allowed:
            message = "this deployment leaves biometrics out"
            return _without_finding(analyzer, "skipped", "biometrics_off", message)
        if listens(analyzer) and not media.audio.is_present:
            message = "an audio stream without a sample" if self._header.has_audio else "no audio stream"
            return _without_finding(analyzer, "skipped", "no_audio_stream", f"the clip has {message}")
        consulted = {name: self._findings[name] for name in analyzer.consults if name in self._findings}
        result, finding = _result(analyzer, self._workers, consulted, media, incomplete, self._detail)
        if finding and all(model.trained for model in result.models):
            self._findings[analyzer.name] = finding
        return result


def listens(analyzer: Analyzer) -> bool:
    """Whether it finds nothing without sound."""
    return any(issubclass(signal, SoundSignal) for signal in analyzer.requires)


def _in_turn(analyzers: Sequence[Analyzer]) -> Iterable[Analyzer]:
    """The analyzers, those first that others of them consult."""
    named = {analyzer.name: analyzer for analyzer in analyzers}
    order = {name: [other for other in analyzer.consults if other in named] for name, analyzer in named.items()}
    return (named[name] for name in graphlib.TopologicalSorter(order).static_order())


def _result(
    analyzer: Analyzer,
    workers: Mapping[type[Signal], Worker],
    consulted: Findings,
    media: MediaFacts,
    incomplete: str | None,
    detail: Detail,
) -> tuple[AnalyzerResult[Any, Any], Finding[Any, Any] | None]:
    """Run one analyzer on its signals and the findings it consults, or say why it cannot run."""
    required = [workers[kind] for kind in analyzer.requires]
    sources = [*required, *(workers[kind] for kind in analyzer.uses if kind in workers)]
    if failed := next((worker for worker in required if worker.signal is None), None):
        assert failed.error is not None
        return _without_finding(analyzer, "failed", failed.error.code, str(failed.error), _timings(sources)), None
    signals = [worker.signal for worker in required if worker.signal is not None]
    evidence = [_evidence(workers.get(kind)) for kind in analyzer.uses]
    began, cpu_began = time.monotonic(), time.thread_time()
    try:
        finding = analyzer.analyze(*signals, *evidence, *([consulted] if analyzer.consults else []))
        require_finite(finding)
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
        return _without_finding(analyzer, "failed", "internal_error", said, _timings(sources)), None
    finding = replace(finding, segments=numbered(analyzer.name, finding.segments))
    read = [*signals, *(signal for signal in evidence if signal is not None)]
    coverage = media.coverage
    if listens(analyzer) and media.audio.coverage is not None and media.audio.coverage < coverage:
        incomplete, coverage = incomplete or "damaged_input", media.audio.coverage
    missing = [kind.signal_name() for kind, signal in zip(analyzer.uses, evidence, strict=True) if signal is None]
    result: AnalyzerResult[Any, Any] = AnalyzerResult(
        version=analyzer.version,
        status="partial" if incomplete else "ok",
        reason=incomplete,
        message=f"{coverage:.0%} of {media.duration_seconds:.2f} s was analysed" if incomplete else None,
        models=tuple(dict.fromkeys(model for signal in read for model in signal.models)),
        parameters={name: value for signal in read for name, value in source_of(type(signal)).parameters.items()}
        | dict(analyzer.parameters),
        inputs=Inputs(
            sampling=signals[0].sampling,
            sampling_fps=signals[0].sampling_fps,
            sample_count=signals[0].sample_count,
            depends_on=(*(signal.signal_name() for signal in read), *consulted),
            missing_inputs=(*missing, *(name for name in analyzer.consults if name not in consulted)),
        ),
        timings=_timings(sources, time.thread_time() - cpu_began, time.monotonic() - began),
        coverage=coverage,
        segments=finding.segments,
        series=finding.full_series if detail == "full" and finding.full_series else finding.series,
        summary=finding.summary,
        warnings=(*_untrained(signals), *finding.warnings),
    )
    return result, finding


def _timings(sources: Iterable[Worker], own_cpu_seconds: float = 0.0, own_seconds: float = 0.0) -> Timings:
    sources = list(sources)
    return Timings(
        queue_milliseconds=1000 * max((worker.queue_seconds for worker in sources), default=0.0),
        infer_milliseconds=1000 * sum(worker.infer_seconds for worker in sources),
        cpu_milliseconds=1000 * (sum(worker.cpu_seconds for worker in sources) + own_cpu_seconds),
        refused_call_count=sum(worker.refused_calls for worker in sources),
        wall_milliseconds=1000 * (max((worker.wall_seconds for worker in sources), default=0.0) + own_seconds),
    )


def _without_finding(
    analyzer: Analyzer, status: Status, reason: str, message: str, timings: Timings | None = None
) -> AnalyzerResult[Any, Any]:
    return AnalyzerResult(
        version=analyzer.version,
        status=status,
        reason=reason,
        message=message,
        parameters=analyzer.parameters,
        timings=timings or _timings(()),
    )


def _evidence(worker: Worker | None) -> Signal | None:
    """The signal, unless it is absent or comes from an untrained model: that is evidence for nothing."""
    signal = worker.signal if worker else None
    return signal if signal is not None and not signal.untrained_models else None


def _untrained(signals: Iterable[Signal]) -> list[str]:
    return sorted({f"untrained_model:{name}" for signal in signals for name in signal.untrained_models})
