"""What visual effects leave in the frames, on the CPU: every frame of the small track reduced to figures.

Relative luminance is that of WCAG 2: 0.2126 R + 0.7152 G + 0.0722 B of linear light (IEC 61966-2-1), taken at half the
size of the small track and averaged over cells. Everything else is read from luma as it is coded. What the figures
mean, the analyzer decides; here are only the levels from which a pixel counts as lit, as an edge, or as the same.
"""

from __future__ import annotations

from typing import ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from reelscope.signals import BRIGHTNESS_CELLS, EDGE_CELLS, SEAMS_PER_AXIS, FrameEffects, Parameter
from reelscope.sources.active_picture import BAR_LEVEL
from reelscope.sources.base import Source
from reelscope.types import ClipHeader, FrameChunk

CHANGE_BLOCK_PX = 16
BAR_LIT_RATIO = 0.02
"""Share of a row's or column's pixels brighter than BAR_LEVEL with which it is no bar: coding lights single ones."""
BAR_EDGE_PX = 3
BAR_EDGE_LIT_RATIO = 0.3
"""Within so many pixels of its bar a picture is lit along such a share; what is merely dark begins little by little."""
SEAM_LEVEL = 8
"""Step of any colour channel from one side of a seam to the other, two pixels apart, that counts as a jump."""
SEAM_SPACING_RATIO = 0.03
"""Seams are at least this far apart, and from the border, 0-1 of the side."""
SEAM_APART_PX = 3
"""... and is more than twice the step so far away on either side: a picture may well be steep, a seam is sharp."""
SEAM_PARTS = 5
MIN_SEAM_END_RATIO = 0.3
"""Of these parts of its length the outer two must jump along such a share, or it does not run right across."""
MIN_SEAM_RATIO = 0.5
"""Share of its length at which the picture must jump for a line to be looked at at all."""
SEAM_SIDE_PX = (2, 8)
"""How far from a seam its sides are watched: beyond what scaling mixes, near enough to be beside it."""
SEAM_SHIFT_PX = 16
SEAM_SHIFT_STEP_PX = 0.25
SEAM_SHIFT_LEFT_RATIO = 0.35
"""A camera that moves along a straight edge shifts both of its sides: shifts up to so many pixels per frame, in such
steps, are tried, and one that leaves less than this share of the change on either side explains it."""
EDGE_LEVEL = 96
"""Gradient (Sobel, which is 4 times the step of luma from pixel to pixel) of an edge; of letters it is above 200."""
SAME_LEVEL = 16
"""Luma difference up to which coding explains it."""
SAME_DIRECTION = 0.95
"""Cosine of the angle by which the direction of the same edge may differ."""
MIN_EDGE_RATIO = 0.02
"""Share of a cell's pixels that are edges, from which on it can tell whether they are kept."""

PARAMETERS: dict[str, Parameter] = {
    "change_block_px": CHANGE_BLOCK_PX,
    "bar_level": BAR_LEVEL,
    "bar_lit_ratio": BAR_LIT_RATIO,
    "bar_edge_lit_ratio": BAR_EDGE_LIT_RATIO,
    "seam_level": SEAM_LEVEL,
    "seam_apart_px": SEAM_APART_PX,
    "seam_shift_px": SEAM_SHIFT_PX,
    "seam_shift_left_ratio": SEAM_SHIFT_LEFT_RATIO,
    "seam_spacing_ratio": SEAM_SPACING_RATIO,
    "edge_level": EDGE_LEVEL,
    "same_level": SAME_LEVEL,
    "same_direction": SAME_DIRECTION,
    "min_edge_ratio": MIN_EDGE_RATIO,
}

_STEPS = np.arange(256) / 255
_LIGHT = np.where(_STEPS <= 0.04045, _STEPS / 12.92, ((_STEPS + 0.055) / 1.055) ** 2.4)
_LIGHT_OF_CHANNELS = (np.array([0.2126, 0.7152, 0.0722]) * _LIGHT[:, None]).astype(np.float32)[None]
"""[1, 256, 3] what every value of a channel adds to the relative luminance."""
_AROUND = slice(None, -2 * SEAM_APART_PX), slice(2 * SEAM_APART_PX, None)


class EffectSource(Source[FrameChunk]):
    """Every frame in, `FrameEffects` out. Keeps one frame."""

    consumes: ClassVar[type] = FrameChunk
    can_wait = True
    parameters = PARAMETERS

    def start(self, header: ClipHeader) -> None:
        """Begin without a frame."""
        self._before: NDArray[np.uint8] | None = None
        self._times: list[float] = []
        self._luminance: list[NDArray[np.float16]] = []
        self._levels: list[tuple[float, float, float, float]] = []
        self._seams: list[NDArray[np.float32]] = []
        self._bars: list[tuple[float, ...]] = []
        self._abrupt: list[int] = []
        self._kept: list[tuple[NDArray[np.uint8], float]] = []

    def push(self, part: FrameChunk) -> None:
        """Measure every frame against the one before it."""
        for frame, time, is_abrupt in zip(part.frames, part.times_seconds, part.is_abrupt, strict=True):
            luma = np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), np.uint8)
            before = luma if self._before is None else self._before
            if is_abrupt:
                self._abrupt.append(len(self._times))
                self._kept.append(_kept_edges(before, luma))
            changed = np.asarray(cv2.absdiff(luma, before), np.uint8)
            mean, deviation = cv2.meanStdDev(luma)
            self._times.append(float(time))
            self._luminance.append(_luminance(frame))
            self._levels.append((float(mean[0, 0]), float(deviation[0, 0]), *_change(changed)))
            self._seams.append(_seams(frame, before, luma))
            self._bars.append(_bars(luma))
            self._before = luma

    def finish(self, duration_seconds: float) -> FrameEffects:
        """Put the frames together."""
        levels = np.array(self._levels, np.float32)
        cells = np.array([cells for cells, _ in self._kept], np.uint8)
        return FrameEffects(
            sampling="FULL",
            sample_count=len(self._times),
            times_seconds=np.array(self._times),
            duration_seconds=duration_seconds,
            luminance=np.stack(self._luminance),
            luma_mean=levels[:, 0],
            luma_deviation=levels[:, 1],
            change=levels[:, 2],
            peak_change=levels[:, 3],
            seams=np.stack(self._seams),
            bars=np.array(self._bars, np.float32),
            abrupt_frames=np.array(self._abrupt, np.int64),
            kept_edges=cells.reshape(-1, EDGE_CELLS, EDGE_CELLS),
            kept_edge_ratio=np.array([ratio for _, ratio in self._kept], np.float32),
        )


def _luminance(frame: NDArray[np.uint8]) -> NDArray[np.float16]:
    """Relative luminance of the cells of a frame."""
    half = (max(1, frame.shape[1] // 2), max(1, frame.shape[0] // 2))
    small = cv2.resize(frame, half, interpolation=cv2.INTER_AREA)
    light = cv2.LUT(small, _LIGHT_OF_CHANNELS)
    cells = cv2.resize(light, (BRIGHTNESS_CELLS, BRIGHTNESS_CELLS), interpolation=cv2.INTER_AREA)
    return np.asarray(cells.sum(axis=2), np.float16)


def _change(changed: NDArray[np.uint8]) -> tuple[float, float]:
    """Mean of the change from pixel to pixel, and that of the block where it is largest."""
    height, width = changed.shape
    blocks = max(1, width // CHANGE_BLOCK_PX), max(1, height // CHANGE_BLOCK_PX)
    means = cv2.resize(changed, blocks, interpolation=cv2.INTER_AREA)
    return cv2.norm(changed, cv2.NORM_L1) / changed.size, float(means.max())


def _bars(luma: NDArray[np.uint8]) -> tuple[float, ...]:
    """Width of the bars at the top, bottom, left and right, 0-1 of the frame."""
    _, lit = cv2.threshold(luma, BAR_LEVEL, 255, cv2.THRESH_BINARY)
    found: list[float] = []
    for axis in (1, 0):
        shares = cv2.reduce(lit, axis, cv2.REDUCE_AVG, dtype=cv2.CV_32F).ravel() / 255
        picture = np.flatnonzero(shares >= BAR_LIT_RATIO)
        if picture.size:
            first, end = int(picture[0]), int(picture[-1]) + 1
            widths = first, len(shares) - end
            insides = shares[first : first + BAR_EDGE_PX], shares[max(0, end - BAR_EDGE_PX) : end]
            found += [
                width / len(shares) if inside.max() >= BAR_EDGE_LIT_RATIO else 0.0
                for width, inside in zip(widths, insides, strict=True)
            ]
        else:
            found += [1.0, 1.0]
    return tuple(found)


def _seams(frame: NDArray[np.uint8], before: NDArray[np.uint8], luma: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Candidates of both directions, as in `FrameEffects.seams`; `before` and `luma` are the lumas of two frames."""
    found = np.zeros((2, SEAMS_PER_AXIS, 3), np.float32)
    if min(luma.shape) < 3 * (SEAM_SIDE_PX[1] + SEAM_SHIFT_PX):
        return found
    found[0] = _strongest(_jumps(frame[:, :-2], frame[:, 2:], axis=1), before.T, luma.T)
    found[1] = _strongest(_jumps(frame[:-2], frame[2:], axis=0), before, luma)
    return found


def _jumps(before: NDArray[np.uint8], after: NDArray[np.uint8], axis: int) -> NDArray[np.float32]:
    """Share of every line at which the picture jumps; the pixels before and after it are those of two arrays."""
    steps = cv2.absdiff(before, after)
    red, green, blue = cv2.split(steps)
    step = np.asarray(cv2.max(cv2.max(red, green), blue), np.uint8)
    inner = slice(SEAM_APART_PX, -SEAM_APART_PX)
    if axis:
        around, step = cv2.max(*(step[:, part] for part in _AROUND)), step[:, inner]
    else:
        around, step = cv2.max(*(step[part] for part in _AROUND)), step[inner]
    _, is_step = cv2.threshold(step, SEAM_LEVEL, 255, cv2.THRESH_BINARY)
    is_jump = cv2.min(is_step, cv2.compare(step, cv2.add(around, around), cv2.CMP_GT))
    if axis:
        is_jump = np.ascontiguousarray(is_jump.T)
    parts = cv2.resize(is_jump, (SEAM_PARTS, is_jump.shape[0]), interpolation=cv2.INTER_AREA)
    goes_across = np.minimum(parts[:, 0], parts[:, -1]) >= 255 * MIN_SEAM_END_RATIO
    means = cv2.reduce(parts, 1, cv2.REDUCE_SUM, dtype=cv2.CV_32F).ravel() / np.float32(parts.shape[1])
    shares = np.zeros(len(parts) + 2 * SEAM_APART_PX, np.float32)
    shares[SEAM_APART_PX:-SEAM_APART_PX] = np.where(goes_across, means / 255, 0)
    return shares


def _strongest(shares: NDArray[np.float32], before: NDArray[np.uint8], luma: NDArray[np.uint8]) -> NDArray[np.float32]:
    """[SEAMS_PER_AXIS, 3] place, share and change of the rows at which most of the picture jumps.

    `shares` [height - 2] is that of the jumps between the pixels on either side of each row of both lumas.
    """
    found = np.zeros((SEAMS_PER_AXIS, 3), np.float32)
    # What lies between two pixels shows in the steps around both of them.
    pairs = shares[:-1] + shares[1:]
    spacing = max(SEAM_SIDE_PX[1], round(SEAM_SPACING_RATIO * len(luma)))
    free = np.zeros(len(pairs), bool)
    free[spacing : len(pairs) - spacing] = True
    for number in range(SEAMS_PER_AXIS):
        k = int(np.where(free, pairs, 0).argmax())
        share = float(shares[k : k + 2].max())
        if not free[k] or share < MIN_SEAM_RATIO:
            break
        free[max(0, k - spacing) : k + spacing + 1] = False
        row = k + 2  # the first after the seam
        near, far = SEAM_SIDE_PX
        sides = slice(row - far, row - near), slice(row + near, row + far)
        found[number] = row / len(luma), share, _change_beyond_shift(before, luma, sides)
    return found


def _change_beyond_shift(before: NDArray[np.uint8], luma: NDArray[np.uint8], sides: tuple[slice, slice]) -> float:
    """Change of the quieter of two sides of a seam, rows of both lumas; 0 where one shift along it explains both."""
    shifts = np.arange(-SEAM_SHIFT_PX, SEAM_SHIFT_PX, SEAM_SHIFT_STEP_PX)
    inner = np.arange(SEAM_SHIFT_PX, luma.shape[1] - SEAM_SHIFT_PX)
    changes, left = [], []
    for side in sides:
        was, now = (picture[side].mean(axis=0) for picture in (before, luma))
        shifted = np.interp(inner + shifts[:, None], np.arange(len(was)), was)
        changes.append(float(np.abs(was - now).mean()))
        left.append(np.abs(shifted - now[inner]).mean(axis=1))
    quieter = min(changes)
    if quieter > 0 and (np.array(left) / np.array(changes)[:, None]).max(axis=0).min() <= SEAM_SHIFT_LEFT_RATIO:
        return 0.0
    return quieter


def _kept_edges(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], float]:
    """Of the edges that two frames share, the share in every cell that is the same, 0-255; of all edges, 0-1."""
    slopes = [np.stack([cv2.Sobel(luma, cv2.CV_32F, *order) for order in ((1, 0), (0, 1))]) for luma in (before, after)]
    steepness = [np.hypot(*slope) for slope in slopes]
    edges = [steep > EDGE_LEVEL for steep in steepness]
    is_same = (slopes[0] * slopes[1]).sum(axis=0) >= SAME_DIRECTION * steepness[0] * steepness[1]
    is_same &= cv2.absdiff(before, after) <= SAME_LEVEL
    shared = edges[0] & edges[1]
    of_cells, kept_of_cells = (
        cv2.resize(mask.astype(np.float32), (EDGE_CELLS, EDGE_CELLS), interpolation=cv2.INTER_AREA)
        for mask in (shared, shared & is_same)
    )
    shares = np.divide(kept_of_cells, of_cells, out=np.zeros_like(of_cells), where=of_cells >= MIN_EDGE_RATIO)
    total = np.count_nonzero(edges[0] | edges[1])
    ratio = np.count_nonzero(shared & is_same) / total if total else float("nan")
    return np.rint(255 * np.clip(shares, 0, 1)).astype(np.uint8), ratio
