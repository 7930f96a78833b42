"""Fades from and to black.

A fade multiplies the picture by a gain that grows from 0 to 1: mean and contrast of the luma grow together, and their
ratio stays. From a black frame the ramp is followed for as long as it does so; then a ramp that ends in a level is
fitted to the mean, so that a picture that gets brighter for other reasons does not move the end of the fade.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from reelscope.analyzers.base import Segment
from reelscope.analyzers.effect_kinds import EffectData, FadeParameters, effect
from reelscope.signals import FrameEffects, Parameter, Shots

BLACK_MEAN = 12.0
BLACK_DEVIATION = 5.0
"""A frame is black when mean and standard deviation of its luma, 0-255, are below these; as in `cut_analysis`."""
VISIBLE_LEVELS = 0.5
"""The gain is 0 as long as the mean is no further than this above that of the darkest black frame."""
MIN_SECONDS = 0.1
MIN_FRAMES_BETWEEN = 2
"""Frames between black and full: shorter ramps are what coding makes of a hard cut."""
MAX_SECONDS = 5.0
STALL_SECONDS = 0.15
"""A ramp may stand still for this long, where frames are repeated."""
MAX_RATIO_CHANGE = 0.25
"""Contrast over mean may differ by this share from that of the whole ramp."""
MAX_LEVEL_CHANGE = 0.1
"""Share by which the mean may change after the ramp; more is a flash, or the next fade."""
MIN_CONFIDENCE = 0.9
SHAPES = (1.0, 1 / 2.2, 2.2)
"""Exponents of the ramps that are tried: blended as coded, in linear light, and eased."""
CURVE_PENALTY = 2.0
"""A curve must leave less than half of a straight ramp's error: over moving pictures it fits by chance."""

PARAMETERS: dict[str, Parameter] = {
    "fade_black_mean": BLACK_MEAN,
    "fade_black_deviation": BLACK_DEVIATION,
    "fade_min_seconds": MIN_SECONDS,
    "fade_max_seconds": MAX_SECONDS,
    "fade_min_confidence": MIN_CONFIDENCE,
}


def find(effects: FrameEffects, shots: Shots) -> list[Segment[EffectData]]:
    """Every fade, in any order."""
    times, mean, deviation = (
        effects.times_seconds,
        effects.luma_mean.astype(float),
        effects.luma_deviation.astype(float),
    )
    last = len(times) - 1
    cuts = np.array([shot.frame_in for shot in shots.shots])
    found = []
    for ramp in _ramps(_Levels(times, mean, deviation), cuts):
        found.append(_fade(times[ramp.black + 1], times[ramp.full], "from_black", ramp.confidence))
    # A fade to black is one from black with time reversed; frame k begins a shot where frame last + 1 - k ended one.
    backwards = _Levels(times[-1] - times[::-1], mean[::-1], deviation[::-1])
    for ramp in _ramps(backwards, np.sort(last + 1 - cuts)):
        found.append(_fade(times[last - ramp.full + 1], times[last - ramp.black], "to_black", ramp.confidence))
    return found


class _Levels(NamedTuple):
    """[n] each, in one direction of time."""

    times: NDArray[np.float64]
    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]


class _Ramp(NamedTuple):
    black: int
    """Last frame of gain 0."""
    full: int
    """First frame of gain 1."""
    confidence: float


def _fade(
    start_seconds: float, end_seconds: float, direction: Literal["from_black", "to_black"], confidence: float
) -> Segment[EffectData]:
    parameters = FadeParameters(direction=direction)
    return effect(
        float(start_seconds),
        float(end_seconds),
        EffectData(effect_type="fade", parameters=parameters, confidence=confidence),
    )


def _ramps(levels: _Levels, cuts: NDArray[np.int64]) -> Iterator[_Ramp]:
    """Every ramp from black; `cuts` are the frames that begin a shot, sorted."""
    is_black = (levels.mean < BLACK_MEAN) & (levels.deviation < BLACK_DEVIATION)
    for black in np.flatnonzero(is_black[:-1] & ~is_black[1:]):
        later = cuts[cuts > black + 1]
        end = int(later[0]) if later.size else len(is_black)
        end = min(end, int(np.searchsorted(levels.times, levels.times[black] + MAX_SECONDS, side="right")))
        if ramp := _ramp(levels, is_black, int(black), end):
            yield ramp


def _ramp(levels: _Levels, is_black: NDArray[np.bool_], edge: int, end: int) -> _Ramp | None:
    """The ramp that follows black frame `edge`, before frame `end`; None where there is no fade."""
    times, mean = levels.times, levels.mean
    top = _climb(levels, edge, end)
    lit = np.flatnonzero(~is_black[:edge])
    run = mean[int(lit[-1]) + 1 if lit.size else 0 : edge + 1]
    black = edge + 1 - len(run) + int(np.flatnonzero(run <= run.min() + VISIBLE_LEVELS)[-1])
    if top - black <= MIN_FRAMES_BETWEEN or not _has_one_contrast(levels, black, top):
        return None
    # What comes after the ramp, half as long again, tells the level in which it ends, for as long as that stays.
    end = min(end, int(np.searchsorted(times, times[top] + (times[top] - times[black]) / 2, side="right")))
    others = np.flatnonzero(np.abs(mean[top:end] - mean[top]) > MAX_LEVEL_CHANGE * mean[top])
    end = top + int(others[0]) if others.size else end
    level, time = mean[black:end] - mean[black], times[black:end] - times[black]
    fits = []
    for exponent in SHAPES:
        for full in range(black + MIN_FRAMES_BETWEEN + 1, top + 1):
            shape = np.minimum(time / time[full - black], 1) ** exponent
            height = float(level @ shape / (shape @ shape))
            error = float(((level - height * shape) ** 2).sum())
            fits.append((error * (1 if exponent == 1 else CURVE_PENALTY), error, full))
    _, error, full = min(fits)
    confidence = 1 - error / float(((level - level.mean()) ** 2).sum())
    if confidence < MIN_CONFIDENCE or times[full] - times[black] < MIN_SECONDS:
        return None
    return _Ramp(black, full, confidence)


def _climb(levels: _Levels, frame: int, end: int) -> int:
    """The last frame before `end` up to which mean and contrast grow from `frame` on."""
    times, mean, deviation = levels
    top = frame
    for k in range(frame + 1, end):
        keeps_contrast = deviation[k] >= 0.97 * deviation[top]
        if mean[k] > mean[top] and keeps_contrast:
            top = k
        elif mean[k] < 0.97 * mean[top] or not keeps_contrast or times[k] - times[top] > STALL_SECONDS:
            break
    return top


def _has_one_contrast(levels: _Levels, black: int, top: int) -> bool:
    """Whether contrast over mean is the same all along the ramp, but where both are too small to tell."""
    mean, deviation = levels.mean[black : top + 1], levels.deviation[black : top + 1]
    is_bright = mean >= 0.2 * mean[-1]
    ratios = deviation[is_bright] / np.maximum(mean[is_bright], 1)
    middle = float(np.median(ratios))
    return bool((np.abs(ratios - middle) <= MAX_RATIO_CHANGE * middle + 0.02).all())
