"""What cross-analyzer intelligence reads, and what it tells: the types that its rules share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from reelscope.analyzers.base import Findings, Segment
from reelscope.analyzers.timeline import cell_count
from reelscope.signals import Faces, Shots, SpeechActivity

Rule = Literal["caption_and_speech", "face_and_voice", "speech_without_face", "call_to_action"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """A segment of another analyzer that a finding rests on."""

    analyzer: str
    """Its analyzer."""
    id: str
    """Its id there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossData:
    """Several analyzers' segments put side by side. What occurs together, not why."""

    evidence: tuple[Evidence, ...]
    """Segments that this rests on; empty where only curves or signals tell of it, which no segment stands for."""
    strength: float
    """The same as the score, 0-1."""
    text: str
    """In words."""
    rule: Rule | None
    """Of a conflict, the rule that it breaks; null for the other segments. caption_and_speech: 1 less the likeness of
    both texts; face_and_voice: the expression's probability times how far the voice is from neutral;
    speech_without_face: the share of that stretch of speech; call_to_action: 1 less the likeness of both calls."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """Everything that the rules read. What is absent, or comes from an untrained model, is evidence for nothing."""

    shots: Shots
    activity: SpeechActivity | None
    faces: Faces | None
    findings: Findings

    @property
    def duration_seconds(self) -> float:
        """Duration of the clip."""
        return self.shots.shots[-1].end_seconds

    @property
    def cells(self) -> int:
        """Cells of 0.1 s that hold the clip."""
        return cell_count(self.duration_seconds)

    def segments(self, analyzer: str, *labels: str) -> list[Segment[Any]]:
        """Segments of an analyzer with one of these labels, or with any; in time order, none where it is missing."""
        found = self.findings[analyzer].segments if analyzer in self.findings else ()
        return [segment for segment in found if not labels or segment.label in labels]


def evidence(*segments: Segment[Any]) -> tuple[Evidence, ...]:
    """References to segments; their ids begin with their analyzer."""
    return tuple(Evidence(analyzer=segment.id.rpartition(":")[0], id=segment.id) for segment in segments)
