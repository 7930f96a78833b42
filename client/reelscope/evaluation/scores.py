"""Figures of one clip, and of all clips together, as `figures` defines them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, TypeGuard

import numpy as np

from reelscope.evaluation.figures import (
    AnalyzerScore,
    ClipScore,
    DetectionScore,
    Evaluation,
    Mistake,
    Sweep,
    SweepPoint,
    TextScore,
    ValueScore,
)
from reelscope.evaluation.judging import Comparison, Judged, Judgement, ValuePair
from reelscope.evaluation.matching import Mark
from reelscope.evaluation.texts import TextErrors, text_errors

MAX_THRESHOLDS = 100
"""Of a sweep; more would not be told apart, and would take long where thousands of findings have a score."""


def evaluate(judged: Mapping[str, Judged]) -> Evaluation:
    """Figures of clips, by clip name: what `judging.judge` says of each."""
    names = dict.fromkeys(name for judgements, _ in judged.values() for name in judgements)
    return Evaluation(
        analyzers={
            name: _analyzer([judgements[name] for judgements, _ in judged.values() if name in judgements], swept=True)
            for name in names
        },
        clips=tuple(
            ClipScore(
                clip=clip,
                analyzers={name: _analyzer([judgement], swept=False) for name, judgement in judgements.items()},
                not_judged=left_out,
                mistakes=tuple(mistake for name, each in judgements.items() for mistake in _mistakes(name, each)),
            )
            for clip, (judgements, left_out) in judged.items()
        ),
    )


def _analyzer(judgements: Sequence[Judgement], *, swept: bool) -> AnalyzerScore:
    comparisons = [comparison for judgement in judgements for comparison in judgement.comparisons]
    labels = sorted({comparison.label for comparison in comparisons})
    texts = [text_errors(*judgement.text) for judgement in judgements if judgement.text]
    paths = dict.fromkeys(path for judgement in judgements for path in judgement.values)
    return AnalyzerScore(
        total=_detection(comparisons, swept=swept) if comparisons else None,
        labels={
            label: _detection([each for each in comparisons if each.label == label], swept=swept) for label in labels
        },
        text=_text(texts, len(texts)),
        values={
            path: _value([judgement.values[path] for judgement in judgements if path in judgement.values])
            for path in paths
        },
        unjudged=dict(sum((Counter(judgement.unjudged) for judgement in judgements), Counter[str]())),
    )


def _detection(comparisons: Sequence[Comparison], *, swept: bool) -> DetectionScore:
    complete = [each for each in comparisons if each.is_complete]
    hits = sum(len(each.pairs) for each in comparisons)
    true = sum(len(each.true) for each in comparisons)
    sure = sum(len(each.pairs) for each in complete)
    found, true_of_complete = (sum(len(getattr(each, side)) for each in complete) for side in ("found", "true"))
    pairs = [(each.true[row], each.found[column], each.clip) for each in comparisons for row, column in each.pairs]
    starts = [abs(there.start_seconds - here.start_seconds) for here, there, _ in pairs]
    ends = [
        abs(there.end_seconds - here.end_seconds)
        for here, there, _ in pairs
        if here.end_seconds is not None and there.end_seconds is not None
    ]
    read = [(here.text, there.text or "", clip) for here, there, clip in pairs if here.text is not None]
    return DetectionScore(
        clip_count=len({each.clip for each in comparisons}),
        complete_clip_count=len({each.clip for each in complete}),
        true_positive_count=hits,
        false_positive_count=found - sure if complete else None,
        false_negative_count=true - hits,
        precision=_ratio(sure, found),
        recall=_ratio(hits, true),
        f1=_ratio(2 * sure, found + true_of_complete),
        start_error_median_seconds=_median(starts),
        start_error_max_seconds=max(starts, default=None),
        end_error_median_seconds=_median(ends),
        end_error_max_seconds=max(ends, default=None),
        text=_text([text_errors(here, there) for here, there, _ in read], len({clip for *_, clip in read})),
        sweep=_sweep(complete) if swept else None,
    )


def _sweep(complete: Sequence[Comparison]) -> Sweep | None:
    true = sum(len(each.true) for each in complete)
    scores = sorted({mark.score for each in complete for mark in each.found if mark.score is not None})
    if not (true and scores):
        return None
    chosen = np.unique(np.linspace(0, len(scores) - 1, MAX_THRESHOLDS).round().astype(int))
    points = [_point(complete, scores[number], true) for number in chosen]
    best = max(points, key=lambda point: (point.f1, -point.threshold))
    return Sweep(lowest_score=scores[0], best_threshold=best.threshold, best_f1=best.f1, points=tuple(points))


def _point(complete: Sequence[Comparison], threshold: float, true: int) -> SweepPoint:
    counts = [each.keeping(threshold) for each in complete]
    hits, found = (sum(column) for column in zip(*counts, strict=True))
    return SweepPoint(
        threshold=threshold,
        true_positive_count=hits,
        false_positive_count=found - hits,
        false_negative_count=true - hits,
        precision=_ratio(hits, found),
        recall=hits / true,
        f1=2 * hits / (found + true),
    )


def _text(errors: Sequence[TextErrors], clip_count: int) -> TextScore | None:
    if not errors:
        return None
    pooled = sum(errors, TextErrors())
    return TextScore(
        clip_count=clip_count,
        word_count=pooled.words,
        word_error_rate=_ratio(pooled.word_edits, pooled.words),
        character_count=pooled.characters,
        character_error_rate=_ratio(pooled.character_edits, pooled.characters),
    )


def _value(pairs: Sequence[ValuePair]) -> ValueScore:
    numbers = [(pair.true, pair.found) for pair in pairs if _is_number(pair.true) and _is_number(pair.found)]
    absolute = [abs(found - true) for true, found in numbers]
    relative = [abs(found - true) / abs(true) for true, found in numbers if true]
    return ValueScore(
        unit=next((pair.unit for pair in pairs if pair.unit), ""),
        clip_count=len(pairs),
        equal_count=sum(pair.found == pair.true for pair in pairs),
        missed_count=sum(pair.true is not None and pair.found is None for pair in pairs),
        unexpected_count=sum(pair.true is None and pair.found is not None for pair in pairs),
        absolute_error_median=_median(absolute),
        absolute_error_max=max(absolute, default=None),
        relative_error_median=_median(relative),
        relative_error_max=max(relative, default=None),
    )


def _mistakes(name: str, judgement: Judgement) -> Iterator[Mistake]:
    for each in judgement.comparisons:
        met, right = {row for row, _ in each.pairs}, {column for _, column in each.pairs}
        missed = [mark for number, mark in enumerate(each.true) if number not in met]
        spurious = [mark for number, mark in enumerate(each.found) if each.is_complete and number not in right]
        yield from (_mistake("missed", name, each.label, mark) for mark in missed)
        yield from (_mistake("spurious", name, each.label, mark) for mark in spurious)


def _mistake(kind: Literal["missed", "spurious"], analyzer: str, label: str, mark: Mark) -> Mistake:
    return Mistake(
        analyzer=analyzer,
        label=label,
        kind=kind,
        start_seconds=mark.start_seconds,
        end_seconds=mark.end_seconds,
        score=mark.score,
    )


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _median(values: Sequence[float]) -> float | None:
    return float(np.median(values)) if values else None
