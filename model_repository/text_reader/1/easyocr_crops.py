"""Lines to what the recognition reads: cut out of the grey frame, 64 pixels high, padded on the right.

The steps, their order and their rounding are those of EasyOCR 1.7, so that equal pixels are read.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np

HEIGHT_PX = 64
"""Height at which lines are read; their padded widths are multiples of it."""
CONTRAST_TARGET = 0.5
"""Contrast below which a line that was hardly read is stretched before it is read again."""

_BICUBIC_A = -0.5
_BICUBIC_REACH = 2
_FIXED_POINT = 1 << 22
"""Pillow's resampling weighs 8-bit pixels with multiples of 1 over this (Resample.c, PRECISION_BITS)."""


@dataclass(frozen=True, slots=True)
class Crop:
    """One line, cut out."""

    quad_px: np.ndarray
    """[4, 2] corners in pixels of the frame."""
    pixels: np.ndarray
    """uint8 [h, w] grey; 64 high, or 64 wide if it is higher than wide."""
    padded_width_px: int
    """Width at which the line is read, a multiple of 64."""

    def padded(self):
        """The line as it is read, uint8 [64, padded width]: its last column fills the rest."""
        return self._padded(self.pixels)

    def padded_with_contrast(self):
        """The same, with the contrast stretched if it is low."""
        return self._padded(_stretched(self.pixels))

    def _padded(self, pixels):
        width = math.ceil(HEIGHT_PX * (pixels.shape[1] / pixels.shape[0]))
        line = _bicubic(pixels, HEIGHT_PX, width)
        return np.pad(line, ((0, 0), (0, self.padded_width_px - width)), "edge")


def crop_lines(grey, level, slanted):
    """Cut lines out of a frame; those without a pixel inside are left out.

    Args:
        grey: uint8 [h, w].
        level: list of `Level` lines.
        slanted: list of float64 [4, 2] corners in pixels.

    Returns:
        A list of `Crop`, the level ones first.
    """
    crops = [_level_crop(grey, line) for line in level] + [_slanted_crop(grey, corners) for corners in slanted]
    return [crop for crop in crops if crop is not None]


def _level_crop(grey, line):
    height, width = grey.shape
    left, right = max(0, line.left), min(line.right, width)
    top, bottom = max(0, line.top), min(line.bottom, height)
    if left >= right or top >= bottom:
        return None
    quad = np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.float64)
    return _crop(quad, grey[top:bottom, left:right])


def _slanted_crop(grey, corners):
    """Straighten a slanted line; what lies outside the frame is black."""
    source = corners.astype(np.float32)
    top_left, top_right, bottom_right, bottom_left = source
    width = max(_whole_distance(bottom_right, bottom_left), _whole_distance(top_right, top_left))
    height = max(_whole_distance(top_right, bottom_right), _whole_distance(top_left, bottom_left))
    if not width or not height:
        return None
    upright = np.array([[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]], np.float32)
    straight = cv2.warpPerspective(grey, cv2.getPerspectiveTransform(source, upright), (width, height))
    return _crop(np.clip(corners, 0, grey.shape[::-1]), straight)


def _whole_distance(start, end):
    return int(np.sqrt(((start - end) ** 2).sum()))


def _crop(quad, pixels):
    """Scale the shorter side to 64 pixels."""
    height, width = pixels.shape
    ratio = width / height
    size = (int(HEIGHT_PX * ratio), HEIGHT_PX) if ratio >= 1 else (HEIGHT_PX, int(HEIGHT_PX * (1 / ratio)))
    scaled = cv2.resize(pixels, size, interpolation=cv2.INTER_LINEAR)
    return Crop(quad, scaled, HEIGHT_PX * math.ceil(ratio if ratio >= 1 else 1 / ratio))


def _stretched(pixels):
    """Spread the grey levels between the 10th and the 90th percentile, if they are close."""
    high, low = np.percentile(pixels, 90), np.percentile(pixels, 10)
    if (high - low) / max(10, high + low) >= CONTRAST_TARGET:
        return pixels
    spread = (pixels.astype(int) - low + 25) * (200 / max(10, high - low))
    return np.clip(spread, 0, 255).astype(np.uint8)


def _bicubic(pixels, height, width):
    """Scale grey pixels as Pillow's BICUBIC does, to the level: one direction, to whole levels, then the other.

    Pillow 13 begins with the rows where twice as many of them are lost as of the columns, else with the columns.
    """
    source_height, source_width = pixels.shape
    passes = [(1, width), (0, height)]
    if source_height - height > max(0, 2 * (source_width - width)):
        passes.reverse()
    for axis, length in passes:
        if pixels.shape[axis] != length:
            weights = _bicubic_weights(pixels.shape[axis], length)
            levels = np.moveaxis(pixels, axis, -1).astype(np.int64) @ weights.T
            levels = (levels + _FIXED_POINT // 2) // _FIXED_POINT
            pixels = np.moveaxis(np.clip(levels, 0, 255), -1, axis).astype(np.uint8)
    return pixels


def _bicubic_weights(source, length):
    """Weight of each source pixel in each scaled one, int64 [length, source] multiples of 1 / _FIXED_POINT."""
    scale = source / length
    reduction = max(scale, 1.0)
    reach = _BICUBIC_REACH * reduction
    centres = ((np.arange(length) + 0.5) * scale)[:, None]
    begin, end = np.trunc(centres - reach + 0.5), np.trunc(centres + reach + 0.5)
    positions = np.arange(source)
    distance = np.abs((positions - centres + 0.5) * (1 / reduction))
    near = ((_BICUBIC_A + 2) * distance - (_BICUBIC_A + 3)) * distance * distance + 1
    far = (((distance - 5) * distance + 8) * distance - 4) * _BICUBIC_A
    weights = np.where(distance < 1, near, np.where(distance < _BICUBIC_REACH, far, 0.0))
    weights *= (positions >= begin) & (positions < end)
    weights /= weights.sum(1, keepdims=True)
    return np.trunc(weights * _FIXED_POINT + np.copysign(0.5, weights)).astype(np.int64)
