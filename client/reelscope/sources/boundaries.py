"""Which cut candidates are boundaries: fades, flashes, motion whose frames are repeated, and what is left.

All thresholds are for frames of long side 320 px; the figures behind them are in ANALYZERS.md, analyzer 10.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from reelscope.runs import runs
from reelscope.signals import Flash, Parameter, TransitionKind

ADAPTIVE_THRESHOLD = 3.0
"""A change counts when it is this many times the mean change of the two frames before and after it."""
MIN_CONTENT_VALUE = 15.0
"""... and at least this large: mean change of hue, saturation and value, 0-255."""
MIN_SHOT_SECONDS = 0.1
FLASH_SECONDS = 0.2
FLASH_CORRELATION = 0.95
"""Flash edges correlate by >= 0.99 with the picture before them, real cuts by <= 0.89 (ANALYZERS.md, analyzer 10)."""
BLACK_MEAN = 12.0
BLACK_DEVIATION = 5.0
"""A frame is black when mean and standard deviation of its luma, 0-255, are below these."""
REPEAT_CHANGE = 1.0
"""A frame that changes by less, mean absolute luma 0-255, repeats the one before. Where low frame rates are stored in
high ones, motion comes in jumps between repeats, each of which looks like a cut to a window of frames."""
MOTION_SECONDS = 0.5
"""So a candidate is held against the nearest changes around it that are no repeats, this far away at most ..."""
MOTION_CORRELATION = 0.8
"""... and is motion when it does not stand out from them and its histograms correlate like this."""
FADE_MIN_FRAMES = 3
"""Shorter ramps are what coding makes of a hard cut to black."""

PARAMETERS: dict[str, Parameter] = {
    "adaptive_threshold": ADAPTIVE_THRESHOLD,
    "min_content_value": MIN_CONTENT_VALUE,
    "min_shot_seconds": MIN_SHOT_SECONDS,
    "flash_seconds": FLASH_SECONDS,
    "flash_correlation": FLASH_CORRELATION,
    "black_mean": BLACK_MEAN,
    "black_deviation": BLACK_DEVIATION,
    "repeat_change": REPEAT_CHANGE,
    "motion_seconds": MOTION_SECONDS,
    "motion_correlation": MOTION_CORRELATION,
    "fade_min_frames": FADE_MIN_FRAMES,
}

_GRADUAL = 0.5
"""A boundary whose neighbouring frame changes by more than this share of it lies inside a gradual change."""


@dataclass(slots=True)
class Frames:
    """Per frame: what is needed to judge a boundary after the fact."""

    times: NDArray[np.float64]
    histograms: NDArray[np.uint16]
    """[frames, bins] pixels of a small frame: their number fits into 16 bits."""
    luma_mean: NDArray[np.float64]
    luma_deviation: NDArray[np.float64]
    change: NDArray[np.float64]
    """Mean absolute luma difference to the frame before, 0-255."""

    def correlation(self, a: int, b: int) -> float:
        """Correlation of two frames' HSV histograms, -1 to 1."""
        first, second = (self.histograms[frame].astype(np.float32) for frame in (a, b))
        return float(cv2.compareHist(first, second, cv2.HISTCMP_CORREL))


@dataclass(frozen=True, slots=True)
class Boundary:
    """The first frame of a new shot, and how it comes about."""

    frame: int
    kind: TransitionKind
    length_seconds: float


def judge(cuts: list[int], frames: Frames) -> tuple[list[Boundary], list[Flash]]:
    """Turn cut candidates (frame indices, sorted) into boundaries, sorted, and flashes."""
    fades, faded = _fades(frames)
    cuts = [cut for cut in cuts if not faded[cut] and not _is_motion(cut, frames)]
    boundaries, flashes = _veto_flashes(cuts, frames)
    return sorted(boundaries + fades, key=lambda boundary: boundary.frame), flashes


def _fades(frames: Frames) -> tuple[list[Boundary], NDArray[np.bool_]]:
    """Fades through black, and the frames that they (and fades from or to black at the ends) cover."""
    count = len(frames.times)
    black = (frames.luma_mean < BLACK_MEAN) & (frames.luma_deviation < BLACK_DEVIATION)
    covered = np.zeros(count, bool)
    fades = []
    for start, end in runs(black).tolist():
        first, last = _ramp(frames, start, -1), _ramp(frames, end - 1, 1)
        if max(start - first, last - end + 1) < FADE_MIN_FRAMES:
            continue  # a black shot between two hard cuts
        covered[first : last + 2] = True
        if start > 0 and end < count:
            duration = float(frames.times[last] - frames.times[first])
            fades.append(Boundary((start + end) // 2, "fade", duration))
    return fades, covered


def _ramp(frames: Frames, frame: int, step: int) -> int:
    """Walk away from black for as long as both mean and contrast keep growing; returns the last frame of the ramp."""
    mean, deviation = frames.luma_mean, frames.luma_deviation
    while 0 <= frame + step < len(mean) and (
        mean[frame + step] > mean[frame] and deviation[frame + step] > 1.005 * deviation[frame]
    ):
        frame += step
    return frame


def _is_motion(cut: int, frames: Frames) -> bool:
    """Whether a candidate is one jump of many in motion whose frames are repeated."""
    if frames.correlation(cut - 1, cut) < MOTION_CORRELATION:
        return False
    near = np.abs(frames.times - frames.times[cut]) <= MOTION_SECONDS
    moving = np.flatnonzero(near & (frames.change >= REPEAT_CHANGE))
    around = [*moving[moving < cut][-2:], *moving[moving > cut][:2]]
    return bool(around) and frames.change[cut] < ADAPTIVE_THRESHOLD * frames.change[around].mean()


def _veto_flashes(cuts: list[int], frames: Frames) -> tuple[list[Boundary], list[Flash]]:
    """Sort cut candidates into boundaries and flashes; a strobe's edges collapse into one."""
    kept: list[int] = []
    vetoed: dict[int, int] = {}
    covered_until = -1
    for cut in cuts:
        if cut > covered_until:
            back = _return_frame(cut, frames)
            if back is None:
                kept.append(cut)
            else:
                vetoed[cut] = covered_until = back
    flashes: list[tuple[int, int]] = []
    flash_boundaries: list[Boundary] = []
    for first, last in _chained(vetoed, frames):
        # What goes in and out of a strobe resembles nothing near it, so that its ends are still among the kept.
        before = [cut for cut in kept if cut < first and _seconds_between(cut, first, frames) <= FLASH_SECONDS][-1:]
        after = _chain_after(last, kept, frames)
        if before and after:
            kept = [cut for cut in kept if cut not in (*before, *after)]
            first, last = before[0], after[-1]
            if frames.correlation(first - 1, last) < FLASH_CORRELATION:
                flash_boundaries.append(Boundary(last, "flash", _seconds_between(first, last, frames)))
                continue
        flashes.append((first, last))
    boundaries = [Boundary(cut, _kind(cut, frames), 0.0) for cut in kept]
    times = [(float(frames.times[first]), float(frames.times[last])) for first, last in flashes]
    return boundaries + flash_boundaries, [Flash(start_seconds=start, end_seconds=end) for start, end in times]


def _seconds_between(first: int, last: int, frames: Frames) -> float:
    return float(frames.times[last] - frames.times[first])


def _chain_after(frame: int, cuts: list[int], frames: Frames) -> list[int]:
    """Cuts that follow a frame, each within 0.2 s of the one before."""
    chain: list[int] = []
    for cut in cuts:
        if cut > frame:
            if _seconds_between(frame, cut, frames) > FLASH_SECONDS:
                break
            chain.append(cut)
            frame = cut
    return chain


def _return_frame(cut: int, frames: Frames) -> int | None:
    """First frame within 0.2 s after a candidate that looks like the frame before it; None for a real cut.

    A candidate that itself looks like the frame before (a jump cut within one scene) is a real cut.
    """
    limit = FLASH_CORRELATION
    if frames.correlation(cut - 1, cut) >= limit:
        return None
    end = int(np.searchsorted(frames.times, frames.times[cut] + FLASH_SECONDS, side="right"))
    return next((k for k in range(cut + 1, end) if frames.correlation(cut - 1, k) >= limit), None)


def _chained(vetoed: dict[int, int], frames: Frames) -> list[tuple[int, int]]:
    """Join vetoed bursts that follow one another within 0.2 s."""
    runs: list[tuple[int, int]] = []
    for start, end in vetoed.items():
        if runs and _seconds_between(runs[-1][1], start, frames) <= FLASH_SECONDS:
            runs[-1] = (runs[-1][0], end)
        else:
            runs.append((start, end))
    return runs


def _kind(cut: int, frames: Frames) -> TransitionKind:
    neighbours = [frames.change[k] for k in (cut - 1, cut + 1) if 0 < k < len(frames.change)]
    return "unknown" if max(neighbours, default=0.0) > _GRADUAL * frames.change[cut] else "hard"
