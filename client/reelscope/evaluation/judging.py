"""One clip: what was found beside what is true, in the terms of one analyzer.

Only an analyzer that is `ok`, and all of whose models are trained, is judged; every other one is named, and why.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reelscope.errors import TruthError
from reelscope.evaluation.matching import Mark, assign, event_fitness, span_fitness
from reelscope.evaluation.truth import ANY, CUT, TEXTS, Annotation, Truth, require_within

Values = Mapping[str, Any]
_ABSENT = "not in the results"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Comparison:
    """All occurrences of one label in one clip."""

    clip: str
    """Name of the clip."""
    label: str
    is_complete: bool
    """Whether what is found and not true is false; else it may be true, and is not counted."""
    true: Sequence[Mark]
    found: Sequence[Mark]
    fitness: NDArray[np.float64]
    """[true, found]; nan where the two cannot be the same."""
    pairs: Sequence[tuple[int, int]]
    """What was found, and as what: indices of `true` and `found`."""

    def keeping(self, min_score: float) -> tuple[int, int]:
        """True positives and findings left when those with a lower score are dropped; those without one stay."""
        kept = [number for number, mark in enumerate(self.found) if mark.score is None or mark.score >= min_score]
        return len(assign(self.fitness[:, kept])), len(kept)


@dataclass(frozen=True, slots=True, kw_only=True)
class ValuePair:
    """A value of the summary: what is true, and what was found."""

    unit: str
    true: float | bool | str | None
    found: Any
    """None: null, or nothing at that path."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """One analyzer on one clip."""

    comparisons: Sequence[Comparison]
    """One per label that is annotated."""
    text: tuple[str, str] | None
    """All that is true and all that was found; None: not annotated."""
    values: Mapping[str, ValuePair]
    """By path in the summary."""
    unjudged: Mapping[str, int]
    """Segments by label, of the labels that are not annotated."""


Judged = tuple[Mapping[str, Judgement], Mapping[str, str]]
"""Judgements of one clip, and why there is none, both by analyzer."""


def judge(clip: str, results: Values, truth: Truth) -> Judged:
    """Hold the results of a clip against its annotation.

    Args:
        clip: name of the clip.
        results: values of a results file that fits its schema (`results.read_fitting`).
        truth: what is true of this clip.

    Returns:
        Judgements; and of the others why not: `untrained: <models>`, `not in the results`, or status and reason.

    Raises:
        TruthError: the annotation is of another clip, or of times after its end.
    """
    media = results["media"]
    if truth.sha256 not in (None, media["sha256"]):
        raise TruthError(f"{truth.path}: sha256: annotates another file than the one that was analysed as {clip}")
    require_within(truth, media["duration_s"])
    judged, left_out = {}, {}
    for name, annotation in truth.analyzers.items():
        result = results["analyzers"].get(name)
        if reason := _reason(result):
            left_out[name] = reason
        else:
            judged[name] = _judgement(clip, name, result, annotation)
    return judged, left_out


def is_gap(reason: str) -> bool:
    """Whether that an analyzer was not judged is a fault of the run: it failed, was cut short, or is not there."""
    return reason == _ABSENT or reason.startswith(("failed", "partial"))


def _reason(result: Values | None) -> str | None:
    """Why an analyzer cannot be judged."""
    if result is None:
        return _ABSENT
    if result["status"] != "ok":
        return ": ".join(filter(None, (result["status"], result["reason"])))
    untrained = sorted(model["name"] for model in result["models"] if not model["trained"])
    return f"untrained: {', '.join(untrained)}" if untrained else None


def _judgement(clip: str, name: str, result: Values, annotation: Annotation) -> Judgement:
    marks = list(_marks(name, result["segments"]))
    annotated = (*(event.label for event in annotation.events), *(span.label for span in annotation.spans))
    labels = dict.fromkeys((*annotated, *annotation.complete))
    text = None
    if annotation.text is not None:
        text = annotation.text, result["summary"][TEXTS[name]] or ""
    return Judgement(
        comparisons=[_comparison(clip, label, marks, annotation) for label in labels],
        text=text,
        values={
            path: ValuePair(unit=value.unit, true=value.value, found=_at(result["summary"], path))
            for path, value in annotation.values.items()
        },
        unjudged=Counter(label for label, _ in marks if not {label, ANY} & labels.keys() and label != CUT),
    )


def _marks(name: str, segments: Sequence[Values]) -> Iterator[tuple[str, Mark]]:
    """What the analyzer found, under its labels; and of shots, the cuts that they begin with."""
    for segment in segments:
        start, data = segment["start"], segment["data"] or {}
        text = data.get("text")
        mark = Mark(start_seconds=start, end_seconds=segment["end"], score=segment["score"], text=text)
        yield segment["label"], mark
        if name == "cut_analysis" and data["transition_in"]:
            yield CUT, mark


def _comparison(clip: str, label: str, marks: Sequence[tuple[str, Mark]], annotation: Annotation) -> Comparison:
    found = [mark for other, mark in marks if label == other or (label == ANY and other != CUT)]
    events = [
        Mark(start_seconds=event.time_seconds, end_seconds=None) for event in annotation.events if event.label == label
    ]
    spans = [
        Mark(start_seconds=span.start_seconds, end_seconds=span.end_seconds, text=span.text)
        for span in annotation.spans
        if span.label == label
    ]
    fitness = span_fitness(spans, found) if spans else event_fitness(events, found, annotation.tolerance_seconds)
    return Comparison(
        clip=clip,
        label=label,
        is_complete=label in annotation.complete,
        true=spans or events,
        found=found,
        fitness=fitness,
        pairs=assign(fitness),
    )


def _at(summary: Any, path: str) -> Any:
    """Value at a path of names and list indices; None where there is nothing."""
    for part in path.split("."):
        if isinstance(summary, Mapping):
            summary = summary.get(part)
        elif isinstance(summary, list) and part.isdecimal() and int(part) < len(summary):
            summary = summary[int(part)]
        else:
            return None
    return summary
