"""The figures for people, in tables that fit 80 columns: what was found, when, from which score on, what it says."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator

from rich import box
from rich.table import Table
from rich.text import Text

from reelscope.evaluation.figures import AnalyzerScore, DetectionScore, Evaluation, TextScore
from reelscope.terminal import console, counted

_NONE = "-"
Rows = Iterator[tuple[str, ...]]


def print_evaluation(evaluation: Evaluation) -> None:
    """Print the figures of all clips together; those of each clip are in evaluation.json."""
    tables: tuple[tuple[Callable[[AnalyzerScore], Rows], tuple[str, ...]], ...] = (
        (_found, ("found", "clips", "tp", "fp", "fn", "precision", "recall", "F1")),
        (_times, ("time errors, s", "start median", "max", "end median", "max")),
        (_thresholds, ("thresholds", "lowest score", "F1 now", "best threshold", "F1 there")),
        (_texts, ("text", "clips", "words", "WER", "characters", "CER")),
        (_values, ("values", "clips", "equal", "missed", "extra", "error", "max", "rel.")),
    )
    for rows, columns in tables:
        table = Table(*columns, box=box.SIMPLE_HEAD)
        table.columns[0].min_width = 18
        for name, score in evaluation.analyzers.items():
            if found := list(rows(score)):
                table.add_row(Text(name, "bold"))
            for label, *cells in found:
                table.add_row(Text(f"  {label}", overflow="fold"), *cells)
        if table.row_count:
            console.print(table)
    if not evaluation.analyzers:
        console.print("nothing could be judged")
    for line in (*_notes(evaluation), *_left_out(evaluation)):
        console.print(line, soft_wrap=True)


def _detections(score: AnalyzerScore) -> Iterator[tuple[str, DetectionScore]]:
    yield from score.labels.items()
    if score.total and len(score.labels) > 1:
        yield "all labels", score.total


def _found(score: AnalyzerScore) -> Rows:
    for label, each in _detections(score):
        counts = (each.clip_count, each.true_positive_count, each.false_positive_count, each.false_negative_count)
        yield label, *map(_number, counts), *map(_share, (each.precision, each.recall, each.f1))


def _times(score: AnalyzerScore) -> Rows:
    for label, each in _detections(score):
        if each.true_positive_count:
            starts = each.start_error_median_seconds, each.start_error_max_seconds
            yield label, *map(_share, (*starts, each.end_error_median_seconds, each.end_error_max_seconds))


def _thresholds(score: AnalyzerScore) -> Rows:
    for label, each in _detections(score):
        if sweep := each.sweep:
            is_lowest = sweep.best_threshold <= sweep.lowest_score
            best = "no higher one" if is_lowest else f"{sweep.best_threshold:.5f}"
            yield label, f"{sweep.lowest_score:.5f}", _share(each.f1), best, _share(sweep.best_f1)


def _texts(score: AnalyzerScore) -> Rows:
    texts: list[tuple[str, TextScore | None]] = [("all of it", score.text)]
    texts += [(f"of found spans: {label}", each.text) for label, each in score.labels.items()]
    for what, text in texts:
        if text:
            words = str(text.word_count), _share(text.word_error_rate)
            yield what, str(text.clip_count), *words, str(text.character_count), _share(text.character_error_rate)


def _values(score: AnalyzerScore) -> Rows:
    for path, each in score.values.items():
        counts = (each.clip_count, each.equal_count, each.missed_count, each.unexpected_count)
        errors = (each.absolute_error_median, each.absolute_error_max)
        relative = _NONE if each.relative_error_median is None else f"{each.relative_error_median:.1%}"
        yield f"{path} ({each.unit})" if each.unit else path, *map(str, counts), *map(_number, errors), relative


def _notes(evaluation: Evaluation) -> Iterator[str]:
    """What the figures do not tell."""
    if any(each.sweep for score in evaluation.analyzers.values() for each in score.labels.values()):
        yield "thresholds: what scores less than the present one is not in results, so that lower ones are not judged"
    for name, score in evaluation.analyzers.items():
        if incomplete := [label for label, each in score.labels.items() if not each.complete_clip_count]:
            yield f"{name}: not completely annotated, so that nothing found is false: {', '.join(incomplete)}"
        if score.unjudged:
            found = ", ".join(f"{label} ({count})" for label, count in sorted(score.unjudged.items()))
            yield f"{name}: found, and not annotated: {found}"


def _left_out(evaluation: Evaluation) -> Iterator[str]:
    clips: dict[tuple[str, str], list[str]] = defaultdict(list)
    for clip in evaluation.clips:
        for name, why in clip.not_judged.items():
            clips[name, why].append(clip.clip)
    for (name, why), named in clips.items():
        yield f"{name}: not judged in {counted(len(named), 'clip')}, {why} ({', '.join(named)})"


def _share(value: float | None) -> str:
    return _NONE if value is None else f"{value:.3f}"


def _number(value: float | None) -> str:
    return _NONE if value is None else f"{value:.3g}"
