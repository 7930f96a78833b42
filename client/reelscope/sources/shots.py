"""Shot boundaries from every frame, on the CPU.

Hard cuts: PySceneDetect's AdaptiveDetector, with a minimum shot length of 0.1 s (its default of 15 frames loses real
cuts of short videos). Flashes are vetoed: a change after which the picture is as before, within 0.2 s, is no cut.
A fade through black is one boundary, at the black midpoint. Dissolves and wipes need a network: a boundary inside a
gradual change is `unknown`.

Times are those of the frames' PTS, so a variable frame rate moves nothing.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any, ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray
from scenedetect.common import FrameTimecode, Timecode
from scenedetect.detectors import AdaptiveDetector

from reelscope.signals import Shot, Shots, Transition
from reelscope.sources.base import Source
from reelscope.sources.boundaries import (
    ADAPTIVE_THRESHOLD,
    MIN_CONTENT_VALUE,
    MIN_SHOT_SECONDS,
    PARAMETERS,
    Boundary,
    Frames,
    judge,
)
from reelscope.types import ClipHeader, FrameChunk

PADDING_FRAMES = 3
_PADDING_STEP_SECONDS = 0.001
_CLOCK = Fraction(1, 1_000_000)
"""Time base in which PTS are handed to PySceneDetect: microseconds, one second later than they are."""
_HISTOGRAM_BINS = (16, 4, 8)
"""Bins of hue, saturation and value."""


class ShotSource(Source[FrameChunk]):
    """Every frame in, `Shots` out. Keeps about 1 KB per frame."""

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
        frames = Frames(
            times=np.array(self._times),
            histograms=np.stack(self._histograms),
            luma_mean=np.array([mean for mean, _, _ in self._luma]),
            luma_deviation=np.array([deviation for _, deviation, _ in self._luma]),
            change=np.array([change for _, _, change in self._luma]),
        )
        index = {_ticks(time): k for k, time in enumerate(self._times)}
        cuts = sorted({index[cut.pts] for cut in self._cuts if cut.pts in index})
        cuts = [cut for cut in cuts if duration_seconds - self._times[cut] >= MIN_SHOT_SECONDS]
        boundaries, flashes = judge(cuts, frames)
        return Shots(
            sampling="FULL",
            sample_count=len(self._times),
            shots=_shots(boundaries, frames, duration_seconds),
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
        self._histograms.append(histogram.ravel().astype(np.uint16))
        self._luma.append((float(luma.mean()), float(luma.std()), change))


def _ticks(seconds: float) -> int:
    return round((seconds + 1) / _CLOCK)


def _shots(boundaries: list[Boundary], frames: Frames, duration_seconds: float) -> tuple[Shot, ...]:
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
