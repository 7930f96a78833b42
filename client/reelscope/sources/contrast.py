"""Contrast of letters to what surrounds them, from the pixels of one line of text.

Contrast ratio of WCAG 2: (L1 + 0.05) / (L2 + 0.05) with the relative luminances, 1 to 21. The line is cut out upright
and parted in two by Otsu's threshold (1979) on the logarithm of L + 0.05, on which equal steps are equal ratios. The
part that holds less of the cut-out's edge is the letters. Both sides are read where they are pure: the letters without
their outermost pixel, where that leaves some, and a narrow ring around them, one pixel off. So what a letter touches
counts: with an outline that is the outline, on a box it is the box, whatever lies beyond.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

MIN_HEIGHT_PX = 8
"""Lower lines have no pixel that is all letter."""
MAX_HEIGHT_PX = 48
"""Taller ones are scaled down: large letters need no more."""
MAX_WIDTH_PX = 1024
MIN_PIXELS = 10
"""Fewer are noise."""
RING_RATIO = 0.1
"""Width of the ring around the letters, in heights of the line."""

_STEPS = np.arange(256) / 255
_LUMINANCE = np.where(_STEPS <= 0.04045, _STEPS / 12.92, ((_STEPS + 0.055) / 1.055) ** 2.4).astype(np.float32)
"""Linear light of every sRGB value (IEC 61966-2-1)."""
_WEIGHTS = np.array([0.2126, 0.7152, 0.0722], np.float32)
_DARKEST, _BRIGHTEST = np.log(0.05), np.log(1.05)


def contrast_ratio(frame: NDArray[np.uint8], quad: NDArray[np.floating]) -> float:
    """Contrast of the line of text in `quad` [4, 2] (0-1; its top left, top right, bottom right, bottom left).

    `frame` is uint8 RGB [height, width, 3]. NaN where the line is too small, or no letters stand out at all.
    """
    luminance = _upright(frame, quad) @ _WEIGHTS
    if min(luminance.shape) < MIN_HEIGHT_PX:
        return float("nan")
    levels = (np.log(luminance + 0.05) - _DARKEST) / (_BRIGHTEST - _DARKEST) * 255
    _, is_bright = cv2.threshold(levels.astype(np.uint8), 0, 1, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    edge = np.concatenate((is_bright[0], is_bright[-1], is_bright[:, 0], is_bright[:, -1]))
    letters = is_bright if edge.mean() < 0.5 else 1 - is_bright
    near = cv2.dilate(letters, np.ones((3, 3), np.uint8))
    width = 2 * max(1, round(RING_RATIO * len(luminance))) + 1
    ring = cv2.dilate(near, np.ones((width, width), np.uint8)) > near
    cores = cv2.erode(letters, np.ones((3, 3), np.uint8)) > 0
    inside = luminance[cores if cores.sum() >= MIN_PIXELS else letters > 0]
    outside = luminance[ring]
    if min(inside.size, outside.size) < MIN_PIXELS:
        return float("nan")
    darker, brighter = sorted((float(np.median(inside)), float(np.median(outside))))
    return (brighter + 0.05) / (darker + 0.05)


def _upright(frame: NDArray[np.uint8], quad: NDArray[np.floating]) -> NDArray[np.float32]:
    """Linear light [height, width, 3] of the line, its text level, at most MAX_HEIGHT_PX high; empty if it is tiny."""
    height_px, width_px = frame.shape[:2]
    corners = (quad * (width_px, height_px)).astype(np.float32)
    sides = np.linalg.norm(corners - np.roll(corners, -1, axis=0), axis=1)
    width, height = (sides[0] + sides[2]) / 2, (sides[1] + sides[3]) / 2
    scale = min(1.0, MAX_HEIGHT_PX / max(height, 1), MAX_WIDTH_PX / max(width, 1))
    columns, rows = round(float(width * scale)), round(float(height * scale))
    if min(columns, rows) < MIN_HEIGHT_PX:
        return np.empty((0, 0, 3), np.float32)
    # Pixel (0, 0) covers 0 to 1, and its middle is the 0 of OpenCV's coordinates.
    target = np.array([[0, 0], [columns, 0], [columns, rows], [0, rows]], np.float32)
    matrix = cv2.getPerspectiveTransform(corners - np.float32(0.5), target - np.float32(0.5))
    patch = cv2.warpPerspective(frame, matrix, (columns, rows), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(_LUMINANCE[patch])
