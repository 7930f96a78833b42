"""The annotation of one clip: what is true, per analyzer, and how completely that was written down.

Wire names and JSON Schema come from the types, as those of results do (`reelscope schema truth`); docs/truth-format.md
explains the format to annotators. Times are seconds from the first displayed frame, spans half-open.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field, ValidationError

from reelscope.analyzers import ANALYZERS
from reelscope.analyzers.base import Analyzer
from reelscope.errors import TruthError
from reelscope.results import wire_model, wire_name

SCHEMA = "reelscope-truth/1"
"""Name and version of the format; the number changes when a reader of the old one would be misled."""
ANY = "*"
"""The label that every finding has: what it is called is not judged."""
CUT = "cut"
"""Label that cut_analysis has for annotators: the start of every shot but the first."""
TEXTS = {"speech_transcription": "text", "text_overlay": "full_text"}
"""Where the summaries of those analyzers that read or hear text tell all of it."""
_SHOWN_ERRORS = 3
_SAID = dict.fromkeys(("extra_forbidden", "unexpected_keyword_argument"), "no such member")
"""Pydantic's words are about Python where the file is JSON."""
_ROUNDING_SECONDS = 0.001

Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Label = Annotated[str, Field(min_length=1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrueEvent:
    """Something that happens or begins at an instant. It is found by a segment that starts then."""

    time_seconds: Seconds
    """When, seconds from the first displayed frame."""
    label: Label
    """The label that the analyzer gives it; * when the label is not to be judged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrueSpan:
    """Something that lasts. It is found by a segment that overlaps it by at least half of what both cover (IoU)."""

    start_seconds: Seconds
    """Start, seconds from the first displayed frame."""
    end_seconds: Seconds
    """End, exclusive; later than the start."""
    label: Label
    """The label that the analyzer gives it; * when the label is not to be judged."""
    text: str | None = None
    """What can be read or heard meanwhile; null: not annotated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrueValue:
    """One value of the analyzer's summary."""

    value: Annotated[float, Field(allow_inf_nan=False)] | bool | str | None
    """What is true; null: there is nothing of the kind, and the analyzer should say null."""
    unit: str = ""
    """Unit of a number, for readers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotation:
    """What is true of one clip in the terms of one analyzer. What is left out was not annotated."""

    complete: tuple[Label, ...] = ()
    """Labels of which every occurrence is annotated, so that whatever else is found under them is false. A label that
    has no event and no span, and is named here, never occurs. * means any label at all."""
    events: tuple[TrueEvent, ...] = ()
    """In any order."""
    spans: tuple[TrueSpan, ...] = ()
    """In any order; they may overlap."""
    text: str | None = None
    """All that is said, or all that can be read, in order of appearance; empty: nothing; null: not annotated."""
    values: Mapping[str, TrueValue] = field(default_factory=dict)
    """By path in the analyzer's summary: names and list indices, separated by dots."""
    tolerance_seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 0.1
    """Largest difference in time at which an event counts as found: how exact the annotation is, at least."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """What is true of one clip."""

    path: Path
    """The annotation file."""
    sha256: str | None
    """SHA-256 of the clip's file, when the annotation names it."""
    analyzers: Mapping[str, Annotation]


def read(path: Path) -> Truth:
    """Read an annotation file.

    Raises:
        TruthError: it is missing, no JSON, or not in the format; names file and place.
    """
    try:
        found: Any = _model().model_validate_json(path.read_bytes())
    except OSError as error:
        raise TruthError(f"{path}: cannot be read ({error.strerror})") from error
    except ValidationError as error:
        raise TruthError(f"{path}: {_said(error)}") from error
    for name, annotation in found.analyzers.items():
        for place, message in _misfits(name, annotation):
            raise TruthError(f"{path}: {'.'.join(filter(None, ('analyzers', name, place)))}: {message}")
    return Truth(path=path, sha256=found.sha256, analyzers=found.analyzers)


def json_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of an annotation file."""
    schema = _model().model_json_schema(by_alias=True)
    schema["properties"]["analyzers"]["propertyNames"] = {"enum": [analyzer.name for analyzer in ANALYZERS]}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": SCHEMA}


def require_within(truth: Truth, duration_seconds: float) -> None:
    """Refuse an annotation of what comes after the end of the clip.

    Raises:
        TruthError: names the first such time.
    """
    for name, annotation in truth.analyzers.items():
        ends = {f"events[{number}]": event.time_seconds for number, event in enumerate(annotation.events)}
        ends |= {f"spans[{number}]": span.end_seconds for number, span in enumerate(annotation.spans)}
        for place, last in ends.items():
            if last > duration_seconds + _ROUNDING_SECONDS:
                said = f"{last:.3f} s is outside the clip, which has {duration_seconds:.3f} s"
                raise TruthError(f"{truth.path}: analyzers.{name}.{place}: {said}")


@functools.cache
def _model() -> type[BaseModel]:
    """Pydantic model of the file."""
    return wire_model(
        "Truth",
        schema_=(str, Field(alias="schema", pattern=f"^{SCHEMA}$", description="Name and version of this format.")),
        sha256=(
            str | None,
            Field(None, pattern="^[0-9a-f]{64}$", description="SHA-256 of the clip's file; another file is refused."),
        ),
        notes=(str, Field("", description="For people: who annotated, how, what was left out.")),
        analyzers=(
            Mapping[str, Annotation],
            Field(min_length=1, description="By analyzer name; what is not named is not run and not judged."),
        ),
    )


def _said(error: ValidationError) -> str:
    """What pydantic found: the first places, as paths."""
    found = {}
    for each in error.errors(include_url=False):
        place, message = each["loc"], _SAID.get(each["type"], each["msg"])
        if place[-2:-1] == ("value",):  # each type that it could be, and is not, is an error of its own
            place, message = place[:-1], "should be a number, a text, true, false or null"
        found[_path(place)] = message
    shown = [f"{place}: {message}" if place else message for place, message in found.items()]
    more = f" (and {len(shown) - _SHOWN_ERRORS} more)" if len(shown) > _SHOWN_ERRORS else ""
    return "; ".join(shown[:_SHOWN_ERRORS]) + more


def _path(parts: tuple[int | str, ...]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts).removeprefix(".")


def _misfits(name: str, annotation: Annotation) -> Iterator[tuple[str, str]]:
    """What types alone do not tell: place within the annotation, and what is wrong there."""
    known = {analyzer.name: analyzer for analyzer in ANALYZERS}
    if name not in known:
        yield "", f"no such analyzer; there are: {', '.join(sorted(known))}"
        return
    if annotation == Annotation(tolerance_seconds=annotation.tolerance_seconds):
        yield "", "annotates nothing; name under `complete` what never occurs, or leave the analyzer out"
    for number, span in enumerate(annotation.spans):
        if span.end_seconds <= span.start_seconds:
            yield f"spans[{number}]", f"ends at {span.end_seconds:g} s, and starts at {span.start_seconds:g} s"
    yield from _unknown_labels(known[name], annotation)
    events, spans = ({mark.label for mark in marks} for marks in (annotation.events, annotation.spans))
    if both := sorted(events & spans):
        yield "events", f"{both[0]!r} is annotated as a span, too; a label is one or the other"
    named = {*events, *spans, *annotation.complete}
    if ANY in named and len(named) > 1:
        others = ", ".join(repr(label) for label in sorted(named - {ANY}))
        yield "", f"'*' stands for every label, and other labels are named beside it: {others}"
    if annotation.text is not None and name not in TEXTS:
        yield "text", f"its summary has no text; only those of {' and '.join(sorted(TEXTS))} have"
    there = sorted(wire_name(each.name) for each in fields(known[name].summary))
    for path in annotation.values:
        if path.partition(".")[0] not in there:
            yield f"values.{path}", f"its summary has no such value; there are: {', '.join(there)}"


def _unknown_labels(analyzer: Analyzer, annotation: Annotation) -> Iterator[tuple[str, str]]:
    """Labels that the analyzer never gives, where it declares all that it gives."""
    if not all(labels.names for labels in analyzer.labels):
        return
    given = {ANY, *(name for labels in analyzer.labels for name in labels.names)}
    if analyzer.name == "cut_analysis":
        given.add(CUT)
    places = {f"complete[{number}]": label for number, label in enumerate(annotation.complete)}
    places |= {f"events[{number}]": event.label for number, event in enumerate(annotation.events)}
    places |= {f"spans[{number}]": span.label for number, span in enumerate(annotation.spans)}
    for place, label in places.items():
        if label not in given:
            yield place, f"it gives no label {label!r}; there are: {', '.join(sorted(given))}"
