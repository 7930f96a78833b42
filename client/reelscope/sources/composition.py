"""Composition of sampled frames, on the CPU: what stands out, symmetry, empty space, the horizon.

The frame shown at every instant of the F5 rate is read at the size of the small track, an extra one at every abrupt
change. Black bars around the picture are left out.

- Saliency: spectral residual, Hou & Zhang (2007), Saliency detection: a spectral residual approach; of each channel of
  CIELAB, weighted by how much it varies. What stands out most is the centroid of the heaviest patch of the map above
  three times its mean (their threshold): the centroid of all of it moves to the middle as noise is added.
- Symmetry: Pearson's correlation of the luma with its mirror image.
- Negative space: share of the tiles in which luma hardly varies.
- Horizon: line segments of the probabilistic Hough transform (Matas et al. 2000) on Canny's edges, at most 20 degrees
  from level, each fitted to the edges along it: in a small picture the level steps of a slight slope are lines, too.
  The median of their slopes, each as often as it is long.
"""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from reelscope.sampler import Instants
from reelscope.signals import FrameComposition, Parameter
from reelscope.sources.active_picture import BAR_LEVEL, ActivePicture
from reelscope.sources.base import Source, sampling_name
from reelscope.types import ClipHeader, FrameChunk, fitted_size

BARS_LONG_SIDE_PX = 128
SALIENCY_PX = 64
SALIENCY_BLUR_PX = 2.5
SALIENCY_OVER_MEAN = 3.0
SALIENCY_OF_MAX = 0.8
SALIENCY_CLOSING_PX = 9
"""Patches this near are one: the residual is that of the outlines of what stands out."""
MIN_CHANNEL_DEVIATION = 0.8
"""Standard deviation of a channel of CIELAB up to which it tells of coding only."""
MIN_DEVIATION = 2.0
"""Standard deviation of luma, 0-255, below which a picture is even: what varies in it is coding."""
SYMMETRY_PX = 64
TILES = 16
"""Rows and columns of tiles."""
EMPTY_DEVIATION = 4.0
"""Standard deviation of luma in a tile, 0-255, up to which there is next to nothing to see: noise is below."""
EDGE_LEVELS = (60, 150)
EDGE_BLUR_PX = 1.0
MAX_HORIZON_DEGREES = 20.0
MIN_LINE_RATIO = 0.35
"""Shortest segment, and fewest votes for it, in widths of the picture: noise alone hardly makes one of it."""
FIT_PX = 2.0
"""Edges this near to a segment, or to its extension, are of the same line."""
MAX_LINE_GAP_RATIO = 0.1
"""Longest gap in a segment, likewise: what stands in front of a horizon, and the steps of a slight slope."""
AGREEMENT_DEGREES = 2.0
MIN_AGREEMENT_RATIO = 0.6
"""Share of the segments' length that must be this near to the median, or there is no one horizon."""
MIN_SIDE_PX = 16
"""Smaller pictures are not measured."""

PARAMETERS: dict[str, Parameter] = {
    "bar_level": BAR_LEVEL,
    "saliency_px": SALIENCY_PX,
    "saliency_over_mean": SALIENCY_OVER_MEAN,
    "saliency_of_max": SALIENCY_OF_MAX,
    "even_below_deviation": MIN_DEVIATION,
    "empty_tile_deviation": EMPTY_DEVIATION,
    "tiles": TILES,
    "horizon_max_degrees": MAX_HORIZON_DEGREES,
    "horizon_min_line_ratio": MIN_LINE_RATIO,
    "horizon_min_agreement_ratio": MIN_AGREEMENT_RATIO,
}

_NAN = float("nan")


class CompositionSource(Source[FrameChunk]):
    """Frames of the small track in, `FrameComposition` out. Keeps one frame."""

    consumes: ClassVar[type] = FrameChunk
    can_wait = True
    parameters = PARAMETERS

    def start(self, header: ClipHeader) -> None:
        """Set the sampling rate."""
        self._rate = header.base_frame_rate / 2
        self._sampling = sampling_name(self._rate, header.base_frame_rate)
        self._height_over_width = header.height / header.width
        self._instants = Instants(self._rate)
        self._shown: _Shown | None = None
        self._active_picture = ActivePicture()
        self._times: list[float] = []
        self._on_grid: list[bool] = []
        self._rows: list[tuple[float, ...]] = []

    def push(self, part: FrameChunk) -> None:
        """Measure the frames that are shown at a sampling instant."""
        for frame, time, is_abrupt in zip(part.frames, part.times_seconds, part.is_abrupt, strict=True):
            self._sample_until(float(time))
            size = fitted_size((frame.shape[1], frame.shape[0]), BARS_LONG_SIDE_PX)
            self._active_picture.note(_resized(frame, size))
            self._shown = _Shown(frame, float(time), bool(is_abrupt))

    def finish(self, duration_seconds: float) -> FrameComposition:
        """Put the samples together."""
        self._sample_until(duration_seconds)
        measured = np.array(self._rows, np.float64).reshape(-1, 9)
        return FrameComposition(
            sampling=self._sampling,
            sampling_fps=float(self._rate),
            sample_count=sum(self._on_grid),
            times_seconds=np.array(self._times),
            is_on_grid=np.array(self._on_grid, bool),
            height_over_width=self._height_over_width,
            pictures_xyxy=measured[:, :4],
            saliency_xy=measured[:, 4:6],
            symmetry=measured[:, 6],
            negative_space=measured[:, 7],
            horizon_degrees=measured[:, 8],
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
            row = _measure(self._shown.frame, *self._active_picture.within(*self._shown.frame.shape[:2]))
            self._times += instants
            self._on_grid += [on_grid] * len(instants)
            self._rows += [row] * len(instants)


class _Shown(NamedTuple):
    """The frame on display."""

    frame: NDArray[np.uint8]
    time_seconds: float
    is_abrupt: bool


def _measure(frame: NDArray[np.uint8], rows: slice, columns: slice) -> tuple[float, ...]:
    """Picture, salient point (both 0-1 of the frame), symmetry, negative space and horizon of uint8 RGB."""
    height, width = frame.shape[:2]
    picture = frame[rows, columns]
    box = (columns.start / width, rows.start / height, columns.stop / width, rows.stop / height)
    if min(picture.shape[:2]) < MIN_SIDE_PX:
        return (*box, _NAN, _NAN, _NAN, _NAN, _NAN)
    x, y = salient_point(picture)
    point = box[0] + x * (box[2] - box[0]), box[1] + y * (box[3] - box[1])
    luma = np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.uint8)
    return (*box, *point, symmetry(luma), negative_space(luma), horizon_degrees(luma))


def salient_point(picture: NDArray[np.uint8]) -> tuple[float, float]:
    """x and y, 0-1, of what stands out most in uint8 RGB [height, width, 3]; NaN in an even picture."""
    small = _resized(picture, (SALIENCY_PX, SALIENCY_PX)).astype(np.float32) / 255
    lab = np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2LAB), np.float32)
    channels = [channel for channel in np.moveaxis(lab, 2, 0) if channel.std() >= MIN_CHANNEL_DEVIATION]
    if not channels:
        return _NAN, _NAN
    energy = np.sum([channel.std() * _residual_energy(channel) for channel in channels], axis=0)
    saliency = cv2.GaussianBlur(energy.astype(np.float32), (0, 0), SALIENCY_BLUR_PX)
    # Where so much stands out that nothing does threefold, the best of it counts.
    threshold = min(SALIENCY_OVER_MEAN * saliency.mean(), SALIENCY_OF_MAX * saliency.max())
    stands_out = (saliency > threshold).astype(np.uint8)
    closing = np.ones((SALIENCY_CLOSING_PX, SALIENCY_CLOSING_PX), np.uint8)
    _, patches = cv2.connectedComponents(cv2.morphologyEx(stands_out, cv2.MORPH_CLOSE, closing))
    saliency *= stands_out
    weights = np.bincount(patches.ravel(), weights=saliency.ravel())
    heaviest = np.where(patches == 1 + int(weights[1:].argmax()), saliency, 0)
    centers = (np.arange(SALIENCY_PX) + 0.5) / SALIENCY_PX
    total = float(heaviest.sum())
    return float(heaviest.sum(axis=0) @ centers) / total, float(heaviest.sum(axis=1) @ centers) / total


def _residual_energy(channel: NDArray[np.float32]) -> NDArray[np.float64]:
    """What is left of a channel when the usual of its spectrum is taken away, mean 1."""
    spectrum = np.fft.fft2(channel)
    amplitude = np.log(np.abs(spectrum) + 1e-9).astype(np.float32)
    residual = amplitude - cv2.blur(amplitude, (3, 3))
    energy = np.abs(np.fft.ifft2(np.exp(residual + 1j * np.angle(spectrum)))) ** 2
    return np.asarray(energy / energy.mean())


def symmetry(luma: NDArray[np.uint8]) -> float:
    """Correlation of uint8 [height, width] with its mirror image, -1 to 1; NaN for an even picture."""
    small = _resized(luma, (SYMMETRY_PX, SYMMETRY_PX)).astype(np.float64)
    if small.std() < MIN_DEVIATION:
        return _NAN
    off_mean = small - small.mean()
    return float((off_mean * off_mean[:, ::-1]).sum() / (off_mean**2).sum())


def negative_space(luma: NDArray[np.uint8]) -> float:
    """Share of uint8 [height, width] in which luma hardly varies, 0-1."""
    side = TILES * max(1, min(luma.shape) // TILES)
    tiles = _resized(luma, (side, side)).reshape(TILES, side // TILES, TILES, side // TILES)
    return float((tiles.std(axis=(1, 3)) <= EMPTY_DEVIATION).mean())


def horizon_degrees(luma: NDArray[np.uint8]) -> float:
    """Slope of the near-horizontal lines of uint8 [height, width]; NaN where there are none, or they do not agree."""
    width = luma.shape[1]
    edges = cv2.Canny(cv2.GaussianBlur(luma, (0, 0), EDGE_BLUR_PX), *EDGE_LEVELS)
    lines = cv2.HoughLinesP(
        edges,
        1,
        np.pi / 720,
        max(8, round(MIN_LINE_RATIO * width)),
        minLineLength=MIN_LINE_RATIO * width,
        maxLineGap=MAX_LINE_GAP_RATIO * width,
    )
    if lines is None:
        return _NAN
    ends = np.asarray(lines, np.float64).reshape(-1, 4)
    along = ends[:, 2:] - ends[:, :2]
    is_near = np.abs(along[:, 1]) <= np.tan(np.radians(MAX_HORIZON_DEGREES)) * np.abs(along[:, 0])
    if not is_near.any():
        return _NAN
    lengths = np.linalg.norm(along[is_near], axis=1)
    slopes = _fitted_degrees(np.argwhere(edges)[:, ::-1].astype(np.float64), ends[is_near, :2], along[is_near])
    order = np.argsort(slopes)
    reached = np.cumsum(lengths[order])
    median = slopes[order][np.searchsorted(reached, reached[-1] / 2)]
    agreeing = lengths[np.abs(slopes - median) <= AGREEMENT_DEGREES].sum()
    return float(median) if agreeing >= MIN_AGREEMENT_RATIO * reached[-1] else _NAN


def _fitted_degrees(
    edges: NDArray[np.float64], starts: NDArray[np.float64], along: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Slopes [k] of the lines that fit the edges, x and y [m, 2], along k segments best."""
    slopes = np.empty(len(starts))
    for k, (start, (run, rise)) in enumerate(zip(starts, along, strict=True)):
        x, y = (edges - start).T
        is_along = np.abs(y * run - x * rise) <= FIT_PX * np.hypot(run, rise)
        off_mean = x[is_along] - x[is_along].mean()
        slopes[k] = off_mean @ y[is_along] / (off_mean @ off_mean)
    return np.degrees(np.arctan(slopes))


def _resized(picture: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
