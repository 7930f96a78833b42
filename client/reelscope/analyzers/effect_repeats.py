"""What repeated frames tell: freezes, static holds, slow motion.

A frame repeats the one before it when it differs only by what coding leaves. Measured through x264 at 320 and 1280 px
and crf 18 to 32, repeats change by up to 0.5 in the mean and 2 in the block that changes most, and a still but noisy
shot by as little, so a hold is a freeze only where the same shot moves before and after it. Keyframes inside a hold
change by up to 0.9 at once.

Pictures are the frames that do not repeat. Speeds are per 1/30 s between pictures, so that neither the frame rate nor
doubled frames change them. Slow motion is what repeats more than the rest of the clip moves: a clip that does so from
end to end is one of a low frame rate in a file of a high one. Ramps of speed are not told.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from reelscope.analyzers.base import Segment
from reelscope.analyzers.effect_kinds import EffectData, HoldParameters, SlowMotionParameters, effect
from reelscope.runs import runs
from reelscope.signals import FrameEffects, Parameter, Shot, Shots

STILL_CHANGE = 0.25
STILL_PEAK = 2.0
"""Mean and largest change of a block, grey levels, up to which a frame repeats the one before."""
DUPLICATE_CHANGE_RATIO = 0.4
DUPLICATE_PEAK_RATIO = 0.6
"""... or up to these shares of the smaller change beside it: coarse coding completes a picture in its repetition."""
SPIKE_CHANGE = 1.0
SPIKE_PEAK = 3.0
"""Change of a keyframe within a hold, at most."""
SPIKE_SPACING_SECONDS = 0.2
"""Keyframes come no more often than this, on average; motion does."""
MAX_DRIFT = 0.015
"""Largest change of a cell's relative luminance from the first to the last frame of a hold: coding moves it by up to
0.013, a soft picture that turns or zooms, too slowly to be told from frame to frame, by more than 0.02."""
FREEZE_SECONDS = 0.2
HOLD_SECONDS = 0.5
"""Shortest static hold."""
MIN_MOTION = 0.75
"""Median change per 1/30 s on either side of a freeze."""
SIDE_SECONDS = 0.5
MAX_LIGHT_RATIO = 0.5
"""Share of a change that the mean may change by, or it is the light: a flash, a fade."""
FREEZE_OVER_PICTURES = 3.0
"""A freeze lasts so many times as long as the pictures around it: where each of them is held, none is frozen."""
REFERENCE_SECONDS = 0.5
"""Motion that must be seen at the clip's own speed, for anything to be slower."""
SLOW_OVER_NORMAL = 1.6
"""Pictures of slow motion last so many times as long as those of the rest, or longer."""
SLOW_SECONDS = 0.4
SLOW_PICTURES = 5
MIN_SLOW_SHARE = 0.85
"""Share of a slow span's pictures that must be repeated."""

PARAMETERS: dict[str, Parameter] = {
    "still_change": STILL_CHANGE,
    "still_peak": STILL_PEAK,
    "spike_change": SPIKE_CHANGE,
    "hold_max_drift": MAX_DRIFT,
    "freeze_min_seconds": FREEZE_SECONDS,
    "hold_min_seconds": HOLD_SECONDS,
    "freeze_min_motion": MIN_MOTION,
    "slow_motion_over_normal": SLOW_OVER_NORMAL,
    "slow_motion_min_seconds": SLOW_SECONDS,
}


def repeats(effects: FrameEffects) -> NDArray[np.bool_]:
    """[n] which frames repeat the one before."""
    change, peak = effects.change, effects.peak_change
    is_repeat = (change <= STILL_CHANGE) & (peak <= STILL_PEAK)
    is_repeat[0] = True  # until the pictures around a frame are known
    pictures = np.flatnonzero(~is_repeat)
    # Of every picture, whether it changes far less than the one before it and the one after it.
    smaller, smaller_peak = (np.minimum(level[pictures][:-2], level[pictures][2:]) for level in (change, peak))
    between = pictures[1:-1]
    is_repeat[between] = (change[between] <= DUPLICATE_CHANGE_RATIO * smaller) & (
        peak[between] <= DUPLICATE_PEAK_RATIO * smaller_peak
    )
    is_repeat[0] = False
    return np.asarray(is_repeat)


def repeated_ratio(effects: FrameEffects) -> float | None:
    """Share of the frames that repeat the one before while the picture moves; None where it does not."""
    pictures = _Pictures(effects)
    is_moving = pictures.is_moving
    frames = int(pictures.frame_counts[is_moving].sum())
    return float((pictures.frame_counts[is_moving] - 1).sum()) / frames if frames else None


def find(effects: FrameEffects, shots: Shots) -> list[Segment[EffectData]]:
    """Every freeze, static hold and stretch of slow motion, in any order."""
    pictures = _Pictures(effects)
    return [*_holds(pictures, shots), *_slow_motion(pictures, shots)]


class _Hold(NamedTuple):
    first: int
    """First frame of the picture."""
    end: int
    """First frame after it."""
    spike_count: int


class _Pictures:
    """The frames of a clip without their repetitions; p of them. The last lasts until the clip's end."""

    def __init__(self, effects: FrameEffects) -> None:
        """Tell pictures from repetitions."""
        self.frame_times = np.append(effects.times_seconds, effects.duration_seconds)
        self.holds = _merged(repeats(effects), effects, self.frame_times)
        is_first = ~repeats(effects)
        for hold in self.holds:
            is_first[hold.first + 1 : hold.end] = False
        self.frames: NDArray[np.intp] = np.flatnonzero(is_first)
        ends = np.append(self.frames[1:], len(is_first))
        self.frame_counts: NDArray[np.intp] = ends - self.frames
        self.times = self.frame_times[self.frames]
        self.seconds = self.frame_times[ends] - self.times
        waited = np.concatenate(([np.inf], self.seconds[:-1]))
        self.motion: NDArray[np.float64] = effects.change[self.frames] / (30 * waited)
        """[p] change per 1/30 s from the picture before."""
        self.is_held = self.seconds >= FREEZE_SECONDS
        lightened = np.abs(np.diff(effects.luma_mean, prepend=effects.luma_mean[0]))[self.frames]
        is_light = lightened >= MAX_LIGHT_RATIO * effects.change[self.frames]
        self.is_moving: NDArray[np.bool_] = ~self.is_held & (self.motion > 0) & ~is_light
        self.is_moving[1:] &= ~self.is_held[:-1]

    def motion_within(self, start_frame: int, end_frame: int) -> tuple[float, float] | None:
        """Median motion, and median seconds of a picture, of what moves in these frames; None for fewer than two."""
        rows = np.flatnonzero((self.frames >= start_frame) & (self.frames < end_frame) & self.is_moving)
        if len(rows) < 2:
            return None
        return float(np.median(self.motion[rows])), float(np.median(self.seconds[rows]))


def _merged(is_repeat: NDArray[np.bool_], effects: FrameEffects, frame_times: NDArray[np.float64]) -> list[_Hold]:
    """Runs of repetitions of FREEZE_SECONDS and more, joined across the keyframes within them."""
    joined: list[_Hold] = []
    for run in [_Hold(first - 1, end, 0) for first, end in runs(is_repeat).tolist()]:
        is_spike = effects.change[run.first] <= SPIKE_CHANGE and effects.peak_change[run.first] <= SPIKE_PEAK
        if joined and joined[-1].end == run.first and is_spike:
            both = _Hold(joined[-1].first, run.end, joined[-1].spike_count + 1)
            seconds = frame_times[both.end] - frame_times[both.first]
            if seconds >= SPIKE_SPACING_SECONDS * (both.spike_count + 1):
                joined[-1] = both
                continue
        joined.append(run)
    cells = effects.luminance
    return [
        hold
        for hold in joined
        if frame_times[hold.end] - frame_times[hold.first] >= FREEZE_SECONDS - 0.0005
        and np.abs(cells[hold.end - 1].astype(np.float32) - cells[hold.first]).max() <= MAX_DRIFT
    ]


def _holds(pictures: _Pictures, shots: Shots) -> Iterator[Segment[EffectData]]:
    times = pictures.frame_times
    for hold in pictures.holds:
        for shot in shots.shots:
            # A cut between two stills is one more keyframe: each shot has its own hold.
            first, end = max(hold.first, shot.frame_in), min(hold.end, shot.frame_out)
            if end - first > 1:
                yield from _hold(pictures, shot, _Hold(first, end, hold.spike_count), times[end] - times[first])


def _hold(pictures: _Pictures, shot: Shot, hold: _Hold, seconds: float) -> Iterator[Segment[EffectData]]:
    """The freeze or static hold of one shot."""
    times = pictures.frame_times
    first_before = max(shot.frame_in + 1, int(np.searchsorted(times, times[hold.first] - SIDE_SECONDS)))
    end_after = min(shot.frame_out, int(np.searchsorted(times, times[hold.end] + SIDE_SECONDS)))
    # The motion of a picture is that which led to it, so the first of the hold still tells of what was before.
    before = pictures.motion_within(first_before, hold.first)
    after = pictures.motion_within(hold.end, end_after)
    is_freeze = (
        before is not None
        and after is not None
        and min(before[0], after[0]) >= MIN_MOTION
        and seconds >= max(FREEZE_SECONDS - 0.0005, FREEZE_OVER_PICTURES * max(before[1], after[1]))
    )
    if is_freeze or seconds >= HOLD_SECONDS:
        count = hold.end - hold.first - 1
        yield effect(
            float(times[hold.first]),
            float(times[hold.end]),
            EffectData(
                effect_type="freeze" if is_freeze else "static_hold",
                parameters=HoldParameters(
                    motion_before=None if before is None else before[0],
                    motion_after=None if after is None else after[0],
                ),
                confidence=max(0.0, 1 - hold.spike_count / count),
            ),
        )


def _slow_motion(pictures: _Pictures, shots: Shots) -> Iterator[Segment[EffectData]]:
    normal = _normal_seconds(pictures)
    if normal is None:
        return
    is_normal = pictures.is_moving & (pictures.seconds < SLOW_OVER_NORMAL * normal)
    repeated = float(np.median(pictures.frame_counts[is_normal]))
    is_slow = pictures.is_moving & ~is_normal & (pictures.frame_counts >= SLOW_OVER_NORMAL * repeated)
    for shot in shots.shots:
        rows = np.flatnonzero((pictures.frames >= shot.frame_in) & (pictures.frames < shot.frame_out))
        for first, end in _slow_spans(is_slow[rows], pictures.seconds[rows]):
            span = rows[first:end]
            frames = pictures.frame_counts[span]
            # An even pace: pictures that stay for as long as it happens are not slowed down.
            median = float(np.median(frames))
            share = float((np.abs(frames - median) <= 0.5 * repeated).mean())
            if share < MIN_SLOW_SHARE or len(span) < SLOW_PICTURES or pictures.seconds[span].sum() < SLOW_SECONDS:
                continue
            is_whole_shot = first <= 1 and end >= len(rows) - 1
            ratio = max(0.0, 1 - repeated * len(span) / float(frames.sum()))
            yield effect(
                float(pictures.times[span[0]]),
                float(pictures.times[span[-1]] + pictures.seconds[span[-1]]),
                EffectData(
                    effect_type="slow_motion",
                    parameters=SlowMotionParameters(
                        duplicate_ratio=ratio, speed_ratio=1 - ratio, is_whole_shot=is_whole_shot
                    ),
                    confidence=share / 2 if is_whole_shot else share,
                ),
            )


def _normal_seconds(pictures: _Pictures) -> float | None:
    """How long the pictures last where the clip moves fastest, for long enough; None where it never does."""
    seconds = np.sort(pictures.seconds[pictures.is_moving])
    reached = np.flatnonzero(np.cumsum(seconds) >= REFERENCE_SECONDS)
    return float(seconds[reached[0]]) if reached.size else None


def _slow_spans(is_slow: NDArray[np.bool_], seconds: NDArray[np.float64]) -> Iterator[tuple[int, int]]:
    """Half-open runs of slow pictures; one that is not slow does not end a run."""
    slow = np.flatnonzero(is_slow)
    if slow.size:
        edges = np.flatnonzero(np.diff(slow) > 2) + 1
        for run in np.split(slow, edges):
            yield int(run[0]), int(run[-1]) + 1
