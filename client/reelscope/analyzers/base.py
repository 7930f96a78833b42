"""The one contract of every analyzer: a pure function from signals, and from others' findings, to a finding.

Analyzers do no I/O, see no pixels and know no server. Adding one costs two places: its file, and one line in
`reelscope.analyzers.ANALYZERS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, Literal, TypeVar

from reelscope.signals import Parameter, Signal

Data = TypeVar("Data")
Summary = TypeVar("Summary")

SegmentKind = Literal["span", "event", "sample"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment(Generic[Data]):
    """One finding in time."""

    kind: SegmentKind
    """span: holds throughout; event: happens once; sample: a measurement at an instant."""
    start_seconds: float
    """Start, seconds from the first displayed frame."""
    end_seconds: float
    """End, exclusive."""
    label: str
    """What it is, for people."""
    score: float | None
    """0-1, meaning as the analyzer declares it; null where nothing of the kind is measured."""
    track_id: str | None = None
    """Track of the shared list `tracks` that it belongs to."""
    data: Data
    """What the analyzer says of it."""
    id: str = ""
    """Unique within the results: analyzer, colon, number. `numbered` gives it."""


def numbered(name: str, segments: Sequence[Segment[Data]]) -> tuple[Segment[Data], ...]:
    """Sort segments by time and give them their ids: analyzer, colon, number.

    The pipeline does it to every finding. An analyzer that refers to its own segments does it before; once more
    changes nothing.
    """
    ordered = sorted(segments, key=lambda segment: (segment.start_seconds, segment.end_seconds, segment.label))
    return tuple(replace(segment, id=f"{name}:{number}") for number, segment in enumerate(ordered, 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Curves over time: regular (hop_seconds) or with their own column `t` of seconds."""

    first_seconds: float = 0.0
    """Time of the first value of a regular series."""
    hop_seconds: float | None = None
    """Spacing of a regular series; null when column `t` holds the times."""
    columns: Mapping[str, tuple[float | None, ...]] = field(default_factory=dict)
    """Values by name; null where nothing was measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding(Generic[Data, Summary]):
    """What an analyzer returns."""

    segments: tuple[Segment[Data], ...]
    """In any order; the results hold them sorted by start."""
    summary: Summary
    series: Series = field(default_factory=Series)
    full_series: Series | None = None
    """Denser curves, written in place of `series` when full detail is asked for."""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """One sort of segment: the labels that it has, and what label and score mean."""

    names: tuple[str, ...] = ()
    """The labels; empty where they are names that the clip or a model's list gives."""
    kind: SegmentKind = "span"
    meaning: str
    score: str | None = None
    """What the score measures; None where it is always null."""


Findings = Mapping[str, Finding[Any, Any]]
"""By the analyzer's name; segments are numbered, curves are those of standard detail."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Analyzer:
    """One entry of the registry."""

    name: str
    version: str
    """Changes when the same signals would give another finding."""
    title: str
    """One line for lists and help."""
    requires: tuple[type[Signal], ...]
    """Signals without which there is no finding. An untrained one is reported, with a warning."""
    uses: tuple[type[Signal], ...] = ()
    """Signals that are evidence: passed as None, and named in missing_inputs, when absent or untrained."""
    consults: tuple[str, ...] = ()
    """Names of analyzers whose findings are evidence: selecting this one selects them. Those that found nothing, or
    read an untrained model, are left out and named in missing_inputs."""
    data: Any
    """Type of its segments' data."""
    summary: Any
    """Type of its summary."""
    labels: tuple[Labels, ...] = ()
    """Every sort of segment that it gives. The schema is generated from these three as well, so that `reelscope check`
    finds what is not declared."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """Every column of its curves but `t`, by wire name, with its meaning, unit and range."""
    warnings: Mapping[str, str] = field(default_factory=dict)
    """Every warning that it gives, without what follows a colon, with its meaning."""
    headline: Callable[[Any], str]
    """Its summary in a few words, for tables."""
    analyze: Callable[..., Finding[Any, Any]]
    """Called with the signals of `requires`, then those of `uses`, in order; then, when it consults anybody, with
    their `Findings`."""
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    """Its own settings; those of the sources are added to the results."""
    is_biometric: bool = False
    """Whether it judges people by face or voice; a deployment can switch all such analyzers off."""
