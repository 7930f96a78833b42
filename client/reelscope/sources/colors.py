"""Colours of sampled frames, on the CPU: colour bins, means, saturation, colourfulness.

Frames are read at the F5 rate, long side 128 px, as sRGB; CIELAB and XYZ are D65 (scikit-image). An extra frame is read
at every abrupt change, so that a shot between two samples is measured too.

Source of colourfulness: Hasler & Suesstrunk (2003), Measuring colourfulness in natural images, metric M3.
"""

from __future__ import annotations

from fractions import Fraction
from typing import ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage.color import rgb2xyz, xyz2lab

from reelscope.signals import FrameColors, Parameter
from reelscope.sources.base import Source, sampling_name
from reelscope.types import ClipHeader, FrameChunk

LONG_SIDE_PX = 128
LEVELS = 16
"""Steps per channel of the colour bins; a bin keeps the mean of its pixels, so the step does not limit accuracy."""
ABRUPT_CHANGE = 8.0
"""Mean absolute difference to the frame before, grey levels 0-255; half of what any detected cut shows."""
ABRUPT_RATIO = 2.0
"""... and so many times the difference of the frames before that: steady motion is not abrupt."""

PARAMETERS: dict[str, Parameter] = {
    "long_side_px": LONG_SIDE_PX,
    "levels": LEVELS,
    "abrupt_change": ABRUPT_CHANGE,
    "abrupt_ratio": ABRUPT_RATIO,
}


class ColorSource(Source[FrameChunk]):
    """Frames of the small track in, `FrameColors` out."""

    consumes: ClassVar[type] = FrameChunk

    def start(self, header: ClipHeader) -> None:
        """Set the sampling rate."""
        self._rate = header.base_frame_rate / 2
        self._sampling = sampling_name(self._rate, header.base_frame_rate)
        self._next = Fraction(0)
        self._previous: NDArray[np.uint8] | None = None
        self._change = 0.0
        self._times: list[float] = []
        self._on_grid: list[bool] = []
        self._means: list[NDArray[np.float64]] = []
        self._bins: list[tuple[NDArray[np.float64], NDArray[np.float64]]] = []

    def push(self, part: FrameChunk) -> None:
        """Measure the frames that are samples."""
        for frame, time in zip(part.frames, part.times_seconds, strict=True):
            thumbnail = np.asarray(_fit(frame, LONG_SIDE_PX))
            on_grid = time >= self._next
            change = 0.0 if self._previous is None else float(cv2.absdiff(thumbnail, self._previous).mean())
            abrupt = change >= max(ABRUPT_CHANGE, ABRUPT_RATIO * self._change)
            self._previous, self._change = thumbnail, change
            if on_grid:
                self._next = (Fraction(float(time)) * self._rate // 1 + 1) / self._rate
            if on_grid or abrupt:
                self._times.append(float(time))
                self._on_grid.append(bool(on_grid))
                self._measure(thumbnail)

    def finish(self, duration_seconds: float) -> FrameColors:
        """Put the samples together."""
        means = np.stack(self._means)
        labs, shares = zip(*self._bins, strict=True)
        return FrameColors(
            sampling=self._sampling,
            sample_count=len(self._times),
            parameters=PARAMETERS,
            times_seconds=np.array(self._times),
            is_on_grid=np.array(self._on_grid),
            mean_lab=means[:, 0:3],
            mean_xyz=means[:, 3:6],
            saturation=means[:, 6],
            colorfulness=means[:, 7],
            bin_sample=np.repeat(np.arange(len(shares)), [len(share) for share in shares]),
            bin_lab=np.concatenate(labs),
            bin_share=np.concatenate(shares),
        )

    def _measure(self, rgb: NDArray[np.uint8]) -> None:
        pixels = rgb.reshape(-1, 3)
        xyz = rgb2xyz(pixels[None])[0]
        lab = xyz2lab(xyz[None])[0]
        high, low = pixels.max(1).astype(float), pixels.min(1).astype(float)
        saturation = np.divide(high - low, high, out=np.zeros_like(high), where=high > 0).mean()
        self._means.append(np.array([*lab.mean(0), *xyz.mean(0), saturation, _colorfulness(pixels)]))
        step = 256 // LEVELS
        keys = (pixels // step).astype(np.int64) @ (LEVELS * LEVELS, LEVELS, 1)
        _, inverse, counts = np.unique(keys, return_inverse=True, return_counts=True)
        sums = np.stack([np.bincount(inverse, weights=lab[:, k]) for k in range(3)], axis=1)
        self._bins.append((sums / counts[:, None], counts / counts.sum()))


def _fit(frame: NDArray[np.uint8], long_side_px: int) -> NDArray[np.uint8]:
    height, width = frame.shape[:2]
    scale = min(1.0, long_side_px / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), np.uint8)


def _colorfulness(pixels: NDArray[np.uint8]) -> float:
    red, green, blue = pixels.astype(float).T
    red_green, yellow_blue = red - green, (red + green) / 2 - blue
    deviation = np.hypot(red_green.std(), yellow_blue.std())
    return float(deviation + 0.3 * np.hypot(red_green.mean(), yellow_blue.mean()))
