"""Visual effects: flashes, fades, freezes, slow motion, split screens, bars and overlays, and whether flashing is safe.

Conventions: one segment per effect; a burst of flashes is one. Times are those of the frames, so that the frame rate, a
variable one or doubled frames change nothing. Score and confidence are the same, and mean what `LABELS` says of
each type. Dissolves and wipes need a network that is not served yet: none is ever claimed. The photosensitivity figures
count every pair of opposing changes, also those that short shots or a fade through black make; `counts` does not, as
these are cuts and fades. The rules of every type are in its module.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from reelscope.analyzers import effect_fades, effect_flashes, effect_layout, effect_repeats
from reelscope.analyzers.base import Analyzer, Finding, Segment, Series
from reelscope.analyzers.effect_flashes import Flash
from reelscope.analyzers.effect_kinds import LABELS, EffectData, FlashParameters, effect
from reelscope.signals import FrameEffects, Shots

NO_EFFECT = "static_hold"
_NEAR_CUT_SECONDS = 0.05
"""A change this near to a cut is that of the cut."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectSummary:
    """Effects of the whole clip."""

    counts: Mapping[str, int]
    """Effects by type, >= 1; a burst of flashes is one, static holds are none."""
    effects_per_minute: float | None
    """Effects per 60 s; null for a single frame."""
    flash_count: int
    """Single flashes, bursts taken apart."""
    max_flashes_per_second: int | None
    """Most pairs of opposing luminance changes within any second; null for a single frame."""
    photosensitive_risk: bool | None
    """Whether that is more than three, the limit of WCAG 2 and ITU-R BT.1702; null for a single frame."""
    repeated_frame_ratio: float | None
    """Share of the frames that repeat the one before while the picture moves, 0-1: 0.5 for 15 pictures a second in a
    file of 30; null where nothing moves."""


def analyze(effects: FrameEffects, shots: Shots) -> Finding[EffectData, EffectSummary]:
    """Find every effect."""
    flashes = effect_flashes.find(effects)
    fades = effect_fades.find(effects, shots)
    shown = tuple(flash for flash in flashes if not _is_edit(flash, shots) and not _is_fade(flash, fades))
    segments = [
        *(_flash_segment(burst) for burst in effect_flashes.bursts(shown)),
        *fades,
        *effect_repeats.find(effects, shots),
        *effect_layout.find(effects, shots, effect_repeats.repeats(effects)),
    ]
    counts = Counter(segment.label for segment in segments if segment.label != NO_EFFECT)
    is_video = len(effects.times_seconds) > 1
    most = effect_flashes.most_per_second(flashes)
    return Finding(
        segments=tuple(segments),
        summary=EffectSummary(
            counts=dict(sorted(counts.items())),
            effects_per_minute=60 * counts.total() / effects.duration_seconds if is_video else None,
            flash_count=len(shown),
            max_flashes_per_second=most if is_video else None,
            photosensitive_risk=most > effect_flashes.RISK_PER_SECOND if is_video else None,
            repeated_frame_ratio=effect_repeats.repeated_ratio(effects),
        ),
        full_series=Series(
            columns={
                "t": tuple(effects.times_seconds.tolist()),
                "luminance": tuple(effects.luminance.mean(axis=(1, 2), dtype=np.float64).tolist()),
                "change": tuple(effects.change.tolist()),
            }
        ),
        warnings=("gradual_transitions_not_detected",),
    )


def _is_edit(flash: Flash, shots: Shots) -> bool:
    """Whether a flash is a short shot between others, after which the picture is not as before."""
    starts = np.array([shot.start_seconds for shot in shots.shots[1:]])
    edges = (flash.start_seconds, flash.end_seconds)
    return not flash.has_returned and all((np.abs(starts - edge) <= _NEAR_CUT_SECONDS).any() for edge in edges)


def _is_fade(flash: Flash, fades: Sequence[Segment[EffectData]]) -> bool:
    """Whether both changes of a flash are those of fades."""
    return all(
        any(fade.start_seconds - _NEAR_CUT_SECONDS <= edge <= fade.end_seconds + _NEAR_CUT_SECONDS for fade in fades)
        for edge in (flash.start_seconds, flash.end_seconds)
    )


def _flash_segment(burst: Sequence[Flash]) -> Segment[EffectData]:
    between = burst[-1].start_seconds - burst[0].start_seconds
    area = float(np.mean([flash.area_ratio for flash in burst]))
    parameters = FlashParameters(
        flash_count=len(burst),
        flashes_per_second=(len(burst) - 1) / between if len(burst) > 1 else None,
        area_ratio=area,
    )
    return effect(
        burst[0].start_seconds,
        burst[-1].end_seconds,
        EffectData(effect_type="flash", parameters=parameters, confidence=area),
    )


def headline(summary: EffectSummary) -> str:
    """Say it in a few words."""
    found = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in summary.counts.items()) or "no effects"
    risk = f", {summary.max_flashes_per_second} flashes per second: photosensitive risk"
    return found + (risk if summary.photosensitive_risk else "")


ANALYZER = Analyzer(
    name="visual_effects",
    version="1",
    title="flashes, fades, freezes, slow motion, split screens, bars and overlays",
    requires=(FrameEffects, Shots),
    data=EffectData,
    summary=EffectSummary,
    labels=LABELS,
    columns={
        "luminance": "mean relative luminance, 0-1; full detail only",
        "change": "mean absolute difference to the frame before, grey levels, 0-255; full detail only",
    },
    warnings={
        "gradual_transitions_not_detected": "dissolves and wipes are never claimed: no network for them is served"
    },
    headline=headline,
    analyze=analyze,
    parameters=effect_flashes.PARAMETERS
    | effect_fades.PARAMETERS
    | effect_repeats.PARAMETERS
    | effect_layout.PARAMETERS,
)
