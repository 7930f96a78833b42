"""A finding in the envelope of a results file, as the pipeline would write it, and what `check` says of it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from reelscope import check, results
from reelscope.analyzers.base import Analyzer, Finding, numbered
from reelscope.results import AnalyzerResult, Results, RunFacts, Timings, Tracks
from reelscope.signals import Signal, Track
from reelscope.types import AudioFacts, MediaFacts

_NO_TIME = Timings(queue_milliseconds=0.0, infer_milliseconds=0.0, cpu_milliseconds=0.0, wall_milliseconds=0.0)


def written(
    analyzer: Analyzer,
    finding: Finding,
    signal: Signal,
    seconds: float,
    persons: tuple[Track, ...] = (),
    faces: tuple[Track, ...] = (),
) -> Any:
    """JSON values of a results file that holds this finding alone, read back from their text."""
    result = AnalyzerResult(
        version=analyzer.version,
        status="ok",
        models=signal.models,
        parameters=analyzer.parameters,
        timings=_NO_TIME,
        coverage=1.0,
        segments=numbered(analyzer.name, finding.segments),
        series=finding.series,
        summary=finding.summary,
        warnings=tuple(f"untrained_model:{name}" for name in signal.untrained_models),
    )
    media = MediaFacts(
        sha256="0" * 64,
        duration_seconds=seconds,
        width=720,
        height=1280,
        rotation_degrees=0,
        frame_count=round(30 * seconds),
        frame_rate_average=30.0,
        is_variable_frame_rate=False,
        hdr=None,
        audio=AudioFacts(is_present=False),
        coverage=1.0,
    )
    run = RunFacts(id="1", tool="test", created="", config_sha256="", profile="cpu", biometrics=True, detail="standard")
    found = Results(
        run=run,
        media=media,
        shots=(),
        tracks=replace(Tracks(), person=persons, face=faces),
        analyzers={analyzer.name: result},
    )
    return json.loads(json.dumps(results.to_json(found, [analyzer]), allow_nan=False))


def violations(values: Any, analyzer: Analyzer, monkeypatch: Any) -> list[check.Violation]:
    """What breaks the invariants, where this is the only analyzer that there is."""
    monkeypatch.setattr(check, "ANALYZERS", (analyzer,))
    return check.check(values)
