"""Technical quality of sampled frames, on the CPU: sharpness, noise, coding blocks, clipping, contrast.

Read from luma at the size in which it was coded, because scaling removes noise and moves the coding grid; only
sharpness is measured at long side 640 px, so that clips of different sizes compare. Black bars are no part of the
picture. What a frame is too small for is NaN.

- Sharpness: variance of the Laplacian (Pech-Pacheco et al. 2000, Diatom autofocusing in brightfield microscopy).
- Noise: Immerkaer (1996), Fast noise variance estimation, in tiles of 16 px, the median of them. So texture and clipped
  areas count only where they fill most of the picture; there, fine texture still reads as noise: sharp photographs
  read 0.4 to 5, a lawn 11.
- Blockiness: mean luma steps from column to column (row to row) across the 8-px grid of JPEG and most video codecs over
  the other ones, as Wang, Bovik & Evans (2000), Blind measurement of blocking artifacts in images; medians of either,
  so that a few edges of graphics on the grid do not count. Codecs that smooth block edges hide them from it: x264 reads
  1.1 at CRF 18 and 1.4 at 51, where JPEG reaches 2 to 3.
- Contrast: RMS contrast (Peli 1990, Contrast in complex images).
"""

from __future__ import annotations

from typing import ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from reelscope.signals import FrameQuality, Parameter
from reelscope.sources.active_picture import BAR_LEVEL, ActivePicture
from reelscope.sources.base import Source, sampling_name
from reelscope.types import ClipHeader, LumaFrame, fitted_size

SHARPNESS_LONG_SIDE_PX = 640
BARS_LONG_SIDE_PX = 128
CROP_PX = 1024
"""Noise and blockiness are measured in a square of this side in the middle of the picture."""
GRID_PX = 8
NOISE_TILE_PX = 16
CLIPPED_LOW, CLIPPED_HIGH = 2, 253
"""Luma up to the one and from the other on is clipped, 0-255."""
MIN_STEP = 0.25
"""Mean luma step, 0-255, below which an area counts as flat: a ratio of less would tell of rounding."""

PARAMETERS: dict[str, Parameter] = {
    "sharpness_long_side_px": SHARPNESS_LONG_SIDE_PX,
    "crop_px": CROP_PX,
    "grid_px": GRID_PX,
    "min_step": MIN_STEP,
    "noise_tile_px": NOISE_TILE_PX,
    "clipped_low": CLIPPED_LOW,
    "clipped_high": CLIPPED_HIGH,
    "bar_level": BAR_LEVEL,
}


class QualitySource(Source[LumaFrame]):
    """Luma of the F5 samples in, `FrameQuality` out."""

    consumes: ClassVar[type] = LumaFrame
    can_wait = True
    parameters = PARAMETERS

    def start(self, header: ClipHeader) -> None:
        """Set the sampling rate."""
        self._rate = header.base_frame_rate / 2
        self._sampling = sampling_name(self._rate, header.base_frame_rate)
        self._size: tuple[int, ...] = ()
        self._times: list[float] = []
        self._rows: list[tuple[float, ...]] = []

    def push(self, part: LumaFrame) -> None:
        """Measure one frame."""
        luma = part.luma
        if luma.shape != self._size:  # also in the middle of a stream
            self._size, self._active_picture = luma.shape, ActivePicture()
        self._active_picture.note(_fit(luma, BARS_LONG_SIDE_PX))
        rows, columns = self._active_picture.within(*luma.shape)
        picture, crop = luma[rows, columns], luma[_middle(rows), _middle(columns)]
        self._times.append(part.time_seconds)
        self._rows.append(
            (
                _laplacian_variance(_fit(picture, SHARPNESS_LONG_SIDE_PX)),
                noise_sigma(crop),
                blockiness(crop),
                *_tones(picture),
            )
        )

    def finish(self, duration_seconds: float) -> FrameQuality:
        """Put the samples together."""
        measured = np.array(self._rows, np.float64).reshape(-1, 6)
        return FrameQuality(
            sampling=self._sampling,
            sampling_fps=float(self._rate),
            sample_count=len(self._times),
            times_seconds=np.array(self._times),
            laplacian_variance=measured[:, 0],
            noise_sigma=measured[:, 1],
            blockiness=measured[:, 2],
            clipped_high=measured[:, 3],
            clipped_low=measured[:, 4],
            rms_contrast=measured[:, 5],
        )


def noise_sigma(luma: NDArray[np.uint8]) -> float:
    """Standard deviation of the noise in uint8 [height, width], grey levels; NaN where not one tile fits."""
    height, width = ((side - 2) // NOISE_TILE_PX for side in luma.shape)
    if min(height, width) < 1:
        return float("nan")
    # The second derivative in both directions is Immerkaer's mask; the outermost pixels have no neighbours.
    response = cv2.Sobel(luma, cv2.CV_16S, 2, 2, ksize=3)[1 : 1 + height * NOISE_TILE_PX, 1 : 1 + width * NOISE_TILE_PX]
    tiles = cv2.resize(np.abs(response).astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
    return float(np.median(tiles) * np.sqrt(np.pi / 2) / 6)


def blockiness(luma: NDArray[np.uint8]) -> float:
    """Steps across the coding grid over the others in uint8 [height, width] that begins on the grid.

    Mean of both directions, at least 1, around which pictures without blocks scatter; NaN where the grid crosses
    nothing, or everything is flat.
    """
    ratios = []
    for axis, (before, after) in enumerate(((luma[:, :-1], luma[:, 1:]), (luma[:-1], luma[1:]))):
        if before.size and before.shape[1 - axis] >= GRID_PX:
            steps = cv2.reduce(cv2.absdiff(before, after), axis, cv2.REDUCE_AVG, dtype=cv2.CV_32F).ravel()
            is_on_grid = np.arange(1, len(steps) + 1) % GRID_PX == 0
            on_grid, off_grid = float(np.median(steps[is_on_grid])), float(np.median(steps[~is_on_grid]))
            if max(on_grid, off_grid) >= MIN_STEP:
                ratios.append(on_grid / max(off_grid, MIN_STEP))
    return max(1.0, float(np.mean(ratios))) if ratios else float("nan")


def _laplacian_variance(luma: NDArray[np.uint8]) -> float:
    if min(luma.shape) < 3:
        return float("nan")
    return float(cv2.meanStdDev(cv2.Laplacian(luma, cv2.CV_16S))[1][0, 0] ** 2)


def _tones(luma: NDArray[np.uint8]) -> tuple[float, float, float]:
    """Share clipped high and low, 0-1, and RMS contrast; a single pixel has no contrast."""
    shares = cv2.calcHist([luma], [0], None, [256], [0, 256]).ravel().astype(np.float64) / luma.size
    levels = np.arange(256)
    deviation = np.sqrt(shares @ (levels - shares @ levels) ** 2)
    contrast = float(deviation) / 255 if luma.size > 1 else float("nan")
    return float(shares[CLIPPED_HIGH:].sum()), float(shares[: CLIPPED_LOW + 1].sum()), contrast


def _middle(picture: slice) -> slice:
    """At most CROP_PX pixels in the middle of one side, from a grid line on."""
    first = picture.start + max(0, picture.stop - picture.start - CROP_PX) // 2
    aligned = min(-(-first // GRID_PX) * GRID_PX, picture.stop)
    return slice(aligned, min(picture.stop, aligned + CROP_PX))


def _fit(luma: NDArray[np.uint8], long_side_px: int) -> NDArray[np.uint8]:
    size = fitted_size((luma.shape[1], luma.shape[0]), long_side_px)
    return np.asarray(cv2.resize(luma, size, interpolation=cv2.INTER_AREA), np.uint8)
