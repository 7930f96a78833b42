"""evaluation.json: its types, its JSON values, its JSON Schema.

Figures of several clips are micro-averages: occurrences, words and values are pooled, clips are not averaged. What is
not defined is null, never 0: precision when nothing was found, recall when nothing is true, F1 when neither.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, Field

from reelscope import __version__
from reelscope.evaluation.matching import MIN_IOU
from reelscope.results import wire_model, wire_values

SCHEMA = "reelscope-evaluation/1"
"""Name and version of evaluation.json."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepPoint:
    """What would remain if only findings with at least this score were kept."""

    threshold: float
    """Score of the lowest finding that is kept."""
    true_positive_count: int
    false_positive_count: int
    false_negative_count: int
    precision: float | None
    recall: float
    f1: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """Precision and recall over the score, in the clips in which the label is completely annotated.

    Findings below the analyzer's present threshold are not in results: this tells what raising it would do, and nothing
    of lowering it.
    """

    lowest_score: float
    """Lowest score that was found. Where the best threshold is this one, a lower one may be better still."""
    best_threshold: float
    """Threshold with the highest F1; the lowest of several."""
    best_f1: float
    points: tuple[SweepPoint, ...]
    """By rising threshold; at most 100 of them, evenly spread over the scores that were found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextScore:
    """Error rates of text; all clips pooled."""

    clip_count: int
    """Clips with an annotated text."""
    word_count: int
    """Words of the truth."""
    word_error_rate: float | None
    """Word substitutions, deletions and insertions per true word, >= 0; null when no word is true."""
    character_count: int
    """Characters of the truth."""
    character_error_rate: float | None
    """The same of characters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueScore:
    """Errors of one value of the summary; all clips pooled."""

    unit: str
    clip_count: int
    """Clips in which it is annotated."""
    equal_count: int
    """Clips in which exactly the true value was found."""
    missed_count: int
    """Clips in which there is a value, and none was found."""
    unexpected_count: int
    """Clips in which there is none, and one was found."""
    absolute_error_median: float | None
    """Of true and found numbers, in the value's unit; null without any."""
    absolute_error_max: float | None
    relative_error_median: float | None
    """Absolute error over the true value's magnitude; null where no true value differs from 0."""
    relative_error_max: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectionScore:
    """What was found of one label, or of all labels of an analyzer."""

    clip_count: int
    """Clips in which it is annotated."""
    complete_clip_count: int
    """Those of them in which it is completely annotated: precision, F1 and the sweep are theirs alone."""
    true_positive_count: int
    """True occurrences that were found."""
    false_positive_count: int | None
    """Findings that are not true, in the completely annotated clips; null without any such clip."""
    false_negative_count: int
    """True occurrences that were not found."""
    precision: float | None
    """Share of the findings that are true."""
    recall: float | None
    """Share of the true occurrences that were found, in all clips."""
    f1: float | None
    """2 tp / (2 tp + fp + fn)."""
    start_error_median_seconds: float | None
    """Absolute difference between true and found start, of what was found."""
    start_error_max_seconds: float | None
    end_error_median_seconds: float | None
    """The same of ends; null for events."""
    end_error_max_seconds: float | None
    text: TextScore | None
    """Of found spans whose text is annotated; null without any."""
    sweep: Sweep | None
    """Null for a single clip, and where nothing is true or no finding has a score."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalyzerScore:
    """Everything judged of one analyzer."""

    total: DetectionScore | None
    """All labels together; null when none is annotated."""
    labels: Mapping[str, DetectionScore]
    text: TextScore | None
    """All that is said, or all that can be read; null when not annotated."""
    values: Mapping[str, ValueScore]
    """By path in the summary."""
    unjudged: Mapping[str, int]
    """Segments by label, of labels that are not annotated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """One occurrence that was missed or made up."""

    analyzer: str
    label: str
    kind: Literal["missed", "spurious"]
    """missed, or spurious: found, not true, and of a completely annotated label."""
    start_seconds: float
    end_seconds: float | None
    """Null for a true event."""
    score: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipScore:
    """One clip."""

    clip: str
    """Name that pairs clip and annotation."""
    analyzers: Mapping[str, AnalyzerScore]
    not_judged: Mapping[str, str]
    """Annotated analyzers that no figure counts, and why: untrained, not in the results, or status and reason."""
    mistakes: tuple[Mistake, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """All clips."""

    analyzers: Mapping[str, AnalyzerScore]
    """All clips together."""
    clips: tuple[ClipScore, ...]


def to_json(evaluation: Evaluation) -> dict[str, Any]:
    """The evaluation as JSON values, under wire names."""
    members = {
        "tool": f"reelscope {__version__}",
        "min_iou": MIN_IOU,
        "analyzers": evaluation.analyzers,
        "clips": evaluation.clips,
    }
    return wire_values(_model().model_validate({"schema_": SCHEMA, **members}))


def json_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of evaluation.json."""
    schema = _model().model_json_schema(by_alias=True, mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": SCHEMA}


@functools.cache
def _model() -> type[BaseModel]:
    return wire_model(
        "Evaluation",
        schema_=(str, Field(alias="schema", pattern=f"^{SCHEMA}$", description="Name and version of this format.")),
        tool=(str, Field(description="Program and version.")),
        min_iou=(float, Field(description="Overlap (IoU) from which on a span counts as found.")),
        analyzers=(Mapping[str, AnalyzerScore], Field(description="All clips together.")),
        clips=(tuple[ClipScore, ...], Field(description="Every clip by itself.")),
    )
