"""What a vision-language model says of the clip, window by window and in all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from reelscope.signals.base import Signal

ShotSize = Literal["ECU", "CU", "MCU", "MS", "MLS", "LS", "EWS"]
Hook = Literal["question", "claim", "demonstration", "surprise", "story", "person", "text", "other"]


@dataclass(frozen=True, slots=True, kw_only=True)
class UnderstoodWindow:
    """One window of the clip, within one shot. Texts are English; None where the model says nothing."""

    start_seconds: float
    end_seconds: float
    frames_seconds: tuple[float, ...]
    """Times of the frames that the model saw, sorted."""
    caption: str
    """One sentence."""
    subjects: tuple[str, ...]
    action: str | None
    setting: str | None
    shot_size: ShotSize
    mood: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Synopsis:
    """The clip as a whole. Texts are English; None where the model says nothing."""

    synopsis: str
    genre: str | None
    topics: tuple[str, ...]
    hook_type: Hook
    """What the first seconds hook viewers with."""
    call_to_action: str | None
    claims: tuple[str, ...]
    language: str | None
    """ISO 639-1 code of what is said or shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Understanding(Signal):
    """Answers about windows of at most 2 s, and about all of them together."""

    windows: tuple[UnderstoodWindow, ...]
    """Sorted, disjoint; they may leave out parts of a long clip."""
    whole: Synopsis | None
    """None where there is no window."""
    duration_seconds: float
    """Duration of the clip."""
