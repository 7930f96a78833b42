"""The kinds of visual effect, and what each of them is told by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from reelscope.analyzers.base import Labels, Segment

EffectType = Literal[
    "flash",
    "fade",
    "freeze",
    "static_hold",
    "slow_motion",
    "split_screen",
    "letterbox",
    "pillarbox",
    "overlay",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class FlashParameters:
    """One flash, or a burst of them."""

    flash_count: int
    """Pairs of opposing changes in luminance."""
    flashes_per_second: float | None
    """From the first to the last flash of the burst; null for a single one."""
    area_ratio: float
    """Mean share of the frame that flashes, 0.25-1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FadeParameters:
    """The picture comes out of black, or goes into it."""

    direction: Literal["from_black", "to_black"]
    """A fade through black is two fades."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldParameters:
    """One picture that stays: a freeze where the shot moves before and after it, else a static hold."""

    motion_before: float | None
    """Median change of the picture in the half second before, grey levels per 1/30 s, >= 0; null where the shot begins
    here."""
    motion_after: float | None
    """The same in the half second after it, >= 0; null where the shot ends here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SlowMotionParameters:
    """Pictures repeated so that they last longer than elsewhere in the clip."""

    duplicate_ratio: float
    """Share of the frames that repeat the one before, over what the rest of the clip repeats, 0-1; 0.5 for half
    speed."""
    speed_ratio: float
    """How fast it plays compared with the rest of the clip, 0-1."""
    is_whole_shot: bool
    """True when all of the shot is like this: it may just as well have been filmed at a lower frame rate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitScreenParameters:
    """A seam between two pictures that both move."""

    seam: Literal["vertical", "horizontal"]
    """Direction of the seam: vertical parts left from right."""
    position_ratio: float
    """Where it is, 0-1 of the frame's width or height."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BarParameters:
    """Black bars on two opposite sides."""

    before_ratio: float
    """Height of the upper bar (letterbox) or width of the left one (pillarbox), 0-1 of the frame."""
    after_ratio: float
    """The same of the lower or right one, 0-1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OverlayParameters:
    """Something laid over the picture that cuts leave where it is."""

    box_xyxy: tuple[float, float, float, float]
    """x1, y1, x2, y2, 0-1 of the frame, to 1/16 of it."""
    cut_count: int
    """Cuts that it outlives."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectData:
    """One effect."""

    effect_type: EffectType
    """What it is. static_hold is none, but what a freeze must not be taken for; dissolves and wipes need a network and
    are never claimed without one."""
    parameters: (
        FlashParameters
        | FadeParameters
        | HoldParameters
        | SlowMotionParameters
        | SplitScreenParameters
        | BarParameters
        | OverlayParameters
    )
    """What the type is told by."""
    confidence: float
    """What the segment's score is as well, 0-1."""


LABELS = (
    Labels(names=("flash",), kind="event", meaning="flashes in a burst, or one", score="area that flashes"),
    Labels(
        names=("fade",),
        meaning="out of black, or into it",
        score="how much of the change in brightness and contrast a straight ramp explains",
    ),
    Labels(
        names=("freeze", "static_hold"),
        meaning="a picture that stays: freeze where the shot moves before and after it; static_hold is no effect",
        score="share of its frames that repeat the one before",
    ),
    Labels(
        names=("slow_motion",),
        meaning="pictures repeated so that they last longer",
        score="share of its pictures that are repeated, halved where it is a whole shot",
    ),
    Labels(
        names=("split_screen",),
        meaning="two pictures side by side, or one above the other",
        score="share of the seam's length at which the picture jumps",
    ),
    Labels(
        names=("letterbox", "pillarbox"),
        meaning="black bars above and below, or left and right",
        score="share of the frames that show the bars",
    ),
    Labels(
        names=("overlay",),
        meaning="something laid over the picture that cuts leave where it is",
        score="share of its edges that the cuts leave",
    ),
)
"""Sorts of effect; dissolves and wipes are none of them."""


def effect(start_seconds: float, end_seconds: float, data: EffectData) -> Segment[EffectData]:
    """Segment of an effect."""
    return Segment(
        kind="event" if data.effect_type == "flash" else "span",
        start_seconds=start_seconds,
        end_seconds=end_seconds,
        label=data.effect_type,
        score=data.confidence,
        data=data,
    )
