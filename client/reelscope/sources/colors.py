"""Colours of sampled frames, on the CPU: colour bins, means, saturation, colourfulness.

The frame shown at every instant of the F5 rate is read, long side 128 px, as sRGB; CIELAB and XYZ are D65
(scikit-image). An extra frame is read at every abrupt change, so that a shot between two samples is measured too. Black
bars around the picture are left out.

Source of colourfulness: Hasler & Suesstrunk (2003), Measuring colourfulness in natural images, metric M3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage.color import rgb2xyz, xyz2lab

from reelscope.sampler import Instants
from reelscope.signals import FrameColors, Parameter
from reelscope.sources.active_picture import BAR_LEVEL, ActivePicture
from reelscope.sources.base import Source, sampling_name
from reelscope.types import ClipHeader, FrameChunk, fitted_size

LONG_SIDE_PX = 128
LEVELS = 16
"""Steps per channel of the colour bins; a bin keeps the mean of its pixels, so the step does not limit accuracy."""

PARAMETERS: dict[str, Parameter] = {
    "long_side_px": LONG_SIDE_PX,
    "levels": LEVELS,
    "bar_level": BAR_LEVEL,
}


class ColorSource(Source[FrameChunk]):
    """Frames of the small track in, `FrameColors` out."""

    consumes: ClassVar[type] = FrameChunk
    can_wait = True
    parameters = PARAMETERS

    def start(self, header: ClipHeader) -> None:
        """Set the sampling rate."""
        self._rate = header.base_frame_rate / 2
        self._sampling = sampling_name(self._rate, header.base_frame_rate)
        self._instants = Instants(self._rate)
        self._shown: _Shown | None = None
        self._active_picture = ActivePicture()
        self._times: list[float] = []
        self._on_grid: list[bool] = []
        self._means: list[NDArray[np.float64]] = []
        self._bins: list[tuple[NDArray[np.float64], NDArray[np.float64]]] = []

    def push(self, part: FrameChunk) -> None:
        """Measure the frames that are shown at a sampling instant."""
        for frame, time, is_abrupt in zip(part.frames, part.times_seconds, part.is_abrupt, strict=True):
            thumbnail = _fit(frame, LONG_SIDE_PX)
            self._sample_until(float(time))
            self._active_picture.note(thumbnail)
            self._shown = _Shown(thumbnail, float(time), bool(is_abrupt))

    def finish(self, duration_seconds: float) -> FrameColors:
        """Put the samples together."""
        self._sample_until(duration_seconds)
        means = np.stack(self._means)
        labs, shares = zip(*self._bins, strict=True)
        return FrameColors(
            sampling=self._sampling,
            sampling_fps=float(self._rate),
            sample_count=sum(self._on_grid),
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

    def _sample_until(self, end_seconds: float) -> None:
        """Sample the frame on display at every instant of the grid before `end_seconds`, and once if it is abrupt."""
        if self._shown is None:
            return
        instants = [float(sample / self._rate) for sample in self._instants.until(end_seconds)]
        on_grid = bool(instants)
        if not on_grid and self._shown.is_abrupt:
            instants.append(self._shown.time_seconds)
        if instants:
            means, bins = _measure(self._shown.thumbnail[self._active_picture.within(*self._shown.thumbnail.shape[:2])])
            for instant in instants:
                self._times.append(instant)
                self._on_grid.append(on_grid)
                self._means.append(means)
                self._bins.append(bins)


@dataclass(frozen=True, slots=True)
class _Shown:
    """The frame on display."""

    thumbnail: NDArray[np.uint8]
    time_seconds: float
    is_abrupt: bool


def _measure(
    rgb: NDArray[np.uint8],
) -> tuple[NDArray[np.float64], tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Means (L*, a*, b*, X, Y, Z, saturation, colourfulness), and the Lab and share of every colour bin."""
    pixels = rgb.reshape(-1, 3)
    xyz = rgb2xyz(pixels[None])[0]
    lab = xyz2lab(xyz[None])[0]
    high, low = pixels.max(1).astype(float), pixels.min(1).astype(float)
    saturation = np.divide(high - low, high, out=np.zeros_like(high), where=high > 0).mean()
    means = np.array([*lab.mean(0), *xyz.mean(0), saturation, _colorfulness(pixels)])
    step = 256 // LEVELS
    keys = (pixels // step).astype(np.int64) @ (LEVELS * LEVELS, LEVELS, 1)
    _, inverse, counts = np.unique(keys, return_inverse=True, return_counts=True)
    sums = np.stack([np.bincount(inverse, weights=lab[:, k]) for k in range(3)], axis=1)
    return means, (sums / counts[:, None], counts / counts.sum())


def _fit(frame: NDArray[np.uint8], long_side_px: int) -> NDArray[np.uint8]:
    size = fitted_size((frame.shape[1], frame.shape[0]), long_side_px)
    return np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), np.uint8)


def _colorfulness(pixels: NDArray[np.uint8]) -> float:
    red, green, blue = pixels.astype(float).T
    red_green, yellow_blue = red - green, (red + green) / 2 - blue
    deviation = np.hypot(red_green.std(), yellow_blue.std())
    return float(deviation + 0.3 * np.hypot(red_green.mean(), yellow_blue.mean()))
