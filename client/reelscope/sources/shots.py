"""Shot boundaries from every frame, on the CPU.

Hard cuts: PySceneDetect's AdaptiveDetector, with a minimum shot length of 0.1 s (its default of 15 frames loses real
cuts of short videos). Flashes are vetoed: a change after which the picture is as before, within 0.2 s, is no cut.
A fade through black is one boundary, at the black midpoint. Dissolves and wipes need a network: a boundary inside a
gradual change is `unknown`.

Times are those of the frames' PTS, so a variable frame rate moves nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray
from scenedetect.common import FrameTimecode, Timecode
from scenedetect.detectors import AdaptiveDetector

from reelscope.signals import Flash, Parameter, Shot, Shots, Transition, TransitionKind
from reelscope.sources.base import Source
from reelscope.types import ClipHeader, FrameChunk

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

PADDING_FRAMES = 3
_PADDING_STEP_SECONDS = 0.001
_CLOCK = Fraction(1, 1_000_000)
"""Time base in which PTS are handed to PySceneDetect: microseconds, one second later than they are."""
_HISTOGRAM_BINS = (16, 4, 8)
"""Bins of hue, saturation and value."""
_GRADUAL = 0.5
"""A boundary whose neighbouring frame changes by more than this share of it lies inside a gradual change."""


@dataclass(slots=True)
class _Frames:
    """Per frame: what is needed to judge a boundary after the fact."""

    times: NDArray[np.float64]
    histograms: NDArray[Any]
    luma_mean: NDArray[np.float64]
    luma_deviation: NDArray[np.float64]
    change: NDArray[np.float64]
    """Mean absolute luma difference to the frame before, 0-255."""

    def correlation(self, a: int, b: int) -> float:
        """Correlation of two frames' HSV histograms, -1 to 1."""
        return float(cv2.compareHist(self.histograms[a], self.histograms[b], cv2.HISTCMP_CORREL))


@dataclass(frozen=True, slots=True)
class _Boundary:
    frame: int
    kind: TransitionKind
    length_seconds: float


class ShotSource(Source[FrameChunk]):
    """Every frame in, `Shots` out. Keeps about 2 KB per frame."""

    consumes: ClassVar[type] = FrameChunk
    parameters = PARAMETERS

    def start(self, header: ClipHeader) -> None:
        """Create the detector."""
        self._frame_rate = header.frame_rate
        self._detector = AdaptiveDetector(
            adaptive_threshold=ADAPTIVE_THRESHOLD,
            min_content_val=MIN_CONTENT_VALUE,
            min_scene_len=MIN_SHOT_SECONDS,
        )
        self._cuts: list[FrameTimecode] = []
        self._times: list[float] = []
        self._histograms: list[NDArray[Any]] = []
        self._luma: list[tuple[float, float, float]] = []
        self._previous: NDArray[Any] | None = None

    def push(self, part: FrameChunk) -> None:
        """Run the detector and measure every frame."""
        for frame, time in zip(part.frames, part.times_seconds, strict=True):
            bgr = cv2.cvtColor(frame, cv2.COLOR_RGB2BGR)
            if not self._times:
                # The detector compares with two frames on either side: the first and the last frame get neighbours.
                for step in range(PADDING_FRAMES, 0, -1):
                    self._detect(bgr, float(time) - step * _PADDING_STEP_SECONDS)
            self._detect(bgr, float(time))
            self._times.append(float(time))
            self._measure(bgr)
            self._last = bgr

    def finish(self, duration_seconds: float) -> Shots:
        """Veto flashes, join fades, and cut the clip into shots."""
        for step in range(1, PADDING_FRAMES + 1):
            self._detect(self._last, self._times[-1] + step * _PADDING_STEP_SECONDS)
        frames = _Frames(
            times=np.array(self._times),
            histograms=np.stack(self._histograms),
            luma_mean=np.array([mean for mean, _, _ in self._luma]),
            luma_deviation=np.array([deviation for _, deviation, _ in self._luma]),
            change=np.array([change for _, _, change in self._luma]),
        )
        index = {_ticks(time): k for k, time in enumerate(self._times)}
        cuts = sorted({index[cut.pts] for cut in self._cuts if cut.pts in index})
        cuts = [cut for cut in cuts if duration_seconds - self._times[cut] >= MIN_SHOT_SECONDS]
        fades, faded = _fades(frames)
        cuts = [cut for cut in cuts if not faded[cut] and not _is_motion(cut, frames)]
        boundaries, flashes = _veto_flashes(cuts, frames)
        return Shots(
            sampling="FULL",
            sample_count=len(self._times),
            parameters=PARAMETERS,
            shots=_shots(sorted(boundaries + fades, key=lambda b: b.frame), frames, duration_seconds),
            flashes=tuple(flashes),
            times_seconds=frames.times,
            luma_change=frames.change,
        )

    def _detect(self, bgr: NDArray[Any], time: float) -> None:
        # PySceneDetect knows no negative times; the padding lies before zero.
        timecode = FrameTimecode(Timecode(_ticks(time), _CLOCK), fps=self._frame_rate)
        self._cuts += self._detector.process_frame(timecode, bgr)

    def _measure(self, bgr: NDArray[Any]) -> None:
        # A quarter of the pixels decides the same and costs a quarter; area averaging also removes coding noise.
        half = (max(1, bgr.shape[1] // 2), max(1, bgr.shape[0] // 2))
        small = cv2.resize(bgr, half, interpolation=cv2.INTER_AREA)
        luma = cv2.cvtColor(small, cv2.COLOR_BGR2GRAY)
        histogram = cv2.calcHist(
            [cv2.cvtColor(small, cv2.COLOR_BGR2HSV)], [0, 1, 2], None, _HISTOGRAM_BINS, [0, 180, 0, 256, 0, 256]
        )
        change = 0.0 if self._previous is None else float(cv2.absdiff(luma, self._previous).mean())
        self._previous = luma
        self._histograms.append(histogram.ravel())
        self._luma.append((float(luma.mean()), float(luma.std()), change))


def _ticks(seconds: float) -> int:
    return round((seconds + 1) / _CLOCK)


def _fades(frames: _Frames) -> tuple[list[_Boundary], NDArray[np.bool_]]:
    """Fades through black, and the frames that they (and fades from or to black at the ends) cover."""
    count = len(frames.times)
    black = (frames.luma_mean < BLACK_MEAN) & (frames.luma_deviation < BLACK_DEVIATION)
    covered = np.zeros(count, bool)
    fades = []
    for start, end in _runs(black):
        first, last = _ramp(frames, start, -1), _ramp(frames, end - 1, 1)
        if max(start - first, last - end + 1) < FADE_MIN_FRAMES:
            continue  # a black shot between two hard cuts
        covered[first : last + 2] = True
        if start > 0 and end < count:
            duration = float(frames.times[last] - frames.times[first])
            fades.append(_Boundary((start + end) // 2, "fade", duration))
    return fades, covered


def _runs(mask: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """Half-open runs of True."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], mask.astype(np.int8), [0]))))
    return ((int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True))


def _ramp(frames: _Frames, frame: int, step: int) -> int:
    """Walk away from black for as long as both mean and contrast keep growing; returns the last frame of the ramp."""
    mean, deviation = frames.luma_mean, frames.luma_deviation
    while 0 <= frame + step < len(mean) and (
        mean[frame + step] > mean[frame] and deviation[frame + step] > 1.005 * deviation[frame]
    ):
        frame += step
    return frame


def _is_motion(cut: int, frames: _Frames) -> bool:
    """Whether a candidate is one jump of many in motion whose frames are repeated."""
    if frames.correlation(cut - 1, cut) < MOTION_CORRELATION:
        return False
    near = np.abs(frames.times - frames.times[cut]) <= MOTION_SECONDS
    moving = np.flatnonzero(near & (frames.change >= REPEAT_CHANGE))
    around = [*moving[moving < cut][-2:], *moving[moving > cut][:2]]
    return bool(around) and frames.change[cut] < ADAPTIVE_THRESHOLD * frames.change[around].mean()


def _veto_flashes(cuts: list[int], frames: _Frames) -> tuple[list[_Boundary], list[Flash]]:
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
    flash_boundaries: list[_Boundary] = []
    for first, last in _chained(vetoed, frames):
        # What goes in and out of a strobe resembles nothing near it, so that its ends are still among the kept.
        before = [cut for cut in kept if cut < first and _seconds_between(cut, first, frames) <= FLASH_SECONDS][-1:]
        after = _chain_after(last, kept, frames)
        if before and after:
            kept = [cut for cut in kept if cut not in (*before, *after)]
            first, last = before[0], after[-1]
            if frames.correlation(first - 1, last) < FLASH_CORRELATION:
                flash_boundaries.append(_Boundary(last, "flash", _seconds_between(first, last, frames)))
                continue
        flashes.append((first, last))
    boundaries = [_Boundary(cut, _kind(cut, frames), 0.0) for cut in kept]
    times = [(float(frames.times[first]), float(frames.times[last])) for first, last in flashes]
    return boundaries + flash_boundaries, [Flash(start_seconds=start, end_seconds=end) for start, end in times]


def _seconds_between(first: int, last: int, frames: _Frames) -> float:
    return float(frames.times[last] - frames.times[first])


def _chain_after(frame: int, cuts: list[int], frames: _Frames) -> list[int]:
    """Cuts that follow a frame, each within 0.2 s of the one before."""
    chain: list[int] = []
    for cut in cuts:
        if cut > frame:
            if _seconds_between(frame, cut, frames) > FLASH_SECONDS:
                break
            chain.append(cut)
            frame = cut
    return chain


def _return_frame(cut: int, frames: _Frames) -> int | None:
    """First frame within 0.2 s after a candidate that looks like the frame before it; None for a real cut.

    A candidate that itself looks like the frame before (a jump cut within one scene) is a real cut.
    """
    limit = FLASH_CORRELATION
    if frames.correlation(cut - 1, cut) >= limit:
        return None
    end = int(np.searchsorted(frames.times, frames.times[cut] + FLASH_SECONDS, side="right"))
    return next((k for k in range(cut + 1, end) if frames.correlation(cut - 1, k) >= limit), None)


def _chained(vetoed: dict[int, int], frames: _Frames) -> list[tuple[int, int]]:
    """Join vetoed bursts that follow one another within 0.2 s."""
    runs: list[tuple[int, int]] = []
    for start, end in vetoed.items():
        if runs and _seconds_between(runs[-1][1], start, frames) <= FLASH_SECONDS:
            runs[-1] = (runs[-1][0], end)
        else:
            runs.append((start, end))
    return runs


def _kind(cut: int, frames: _Frames) -> TransitionKind:
    neighbours = [frames.change[k] for k in (cut - 1, cut + 1) if 0 < k < len(frames.change)]
    return "unknown" if max(neighbours, default=0.0) > _GRADUAL * frames.change[cut] else "hard"


def _shots(boundaries: list[_Boundary], frames: _Frames, duration_seconds: float) -> tuple[Shot, ...]:
    starts = [0, *(boundary.frame for boundary in boundaries)]
    ends = [*starts[1:], len(frames.times)]
    shots = []
    for k, (frame_in, frame_out) in enumerate(zip(starts, ends, strict=True)):
        transition, score = None, None
        if k:
            transition = Transition(kind=boundaries[k - 1].kind, length_seconds=boundaries[k - 1].length_seconds)
            score = min(1.0, max(0.0, 1 - frames.correlation(frame_in - 1, frame_in)))
        shots.append(
            Shot(
                id=f"shot-{k + 1}",
                start_seconds=float(frames.times[frame_in]),
                end_seconds=float(frames.times[frame_out]) if frame_out < len(frames.times) else duration_seconds,
                frame_in=frame_in,
                frame_out=frame_out,
                transition_in=transition,
                score=score,
            )
        )
    return tuple(shots)
