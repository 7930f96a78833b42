"""A map of probabilities to quads: the boxes of differentiable binarisation.

Liao et al. (2020), arXiv:1911.08947, section 3.5: the map is cut at a threshold, each connected part becomes its
smallest rectangle, and that grows to where the network's training had shrunken it from. Constants are rapidocr 3.10's
defaults.
"""

import cv2
import numpy as np
import pyclipper

PIXEL_THRESHOLD = 0.3
BOX_THRESHOLD = 0.5
"""Mean probability inside a box, at least."""
GROWTH_RATIO = 1.6
"""A box grows on all sides by its area over its circumference, times this."""
MAX_PARTS = 1000
MIN_SIDE_PX = 3
"""Shortest side of a part; 2 more after growth."""
LINE_GAP_PX = 10
"""Boxes that begin less than this below the one before stand in one line, and are read from left to right."""


def quads_of(probability, height, width):
    """Find quads in a map, in reading order.

    Args:
        probability: float32 [h, w], 0-1.
        height: of the picture that the map is of, in pixels.
        width: likewise.

    Returns:
        float32 [n, 4, 2], whole pixels of the picture, clockwise from the top left corner.
    """
    text = (probability > PIXEL_THRESHOLD).astype(np.uint8)
    text = cv2.dilate(text, np.ones((2, 2), np.uint8))
    parts, _ = cv2.findContours(text * 255, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
    scale = np.float32((width, height)) / np.float32(probability.shape[::-1])
    quads = []
    for part in parts[:MAX_PARTS]:
        box = _smallest_box(part, MIN_SIDE_PX)
        if box is None or _mean_inside(probability, box) < BOX_THRESHOLD:
            continue
        box = _smallest_box(_grown(box), MIN_SIDE_PX + 2)
        if box is None:
            continue
        quad = _clockwise(np.clip(np.round(box * scale), 0, (width, height)).astype(np.float32))
        quad = np.clip(quad, 0, np.float32((width - 1, height - 1)))
        if min(int(np.linalg.norm(quad[0] - quad[1])), int(np.linalg.norm(quad[0] - quad[3]))) > MIN_SIDE_PX:
            quads.append(quad)
    return _in_reading_order(np.array(quads, np.float32).reshape(-1, 4, 2))


def _smallest_box(points, min_side_px):
    """Corners of the smallest rectangle around points, float32 [4, 2] clockwise, or None if a side is shorter."""
    rectangle = cv2.minAreaRect(points)
    if min(rectangle[1]) < min_side_px:  # most parts of a frame without text, a thousand of them
        return None
    return _clockwise(cv2.boxPoints(rectangle))


def _clockwise(corners):
    """Order corners from the top left: the two on the left and the two on the right, each from top to bottom."""
    by_x = corners[np.argsort(corners[:, 0], kind="stable")]
    left, right = (pair[np.argsort(pair[:, 1], kind="stable")] for pair in (by_x[:2], by_x[2:]))
    return np.stack((left[0], right[0], right[1], left[1]))


def _mean_inside(probability, box):
    """Mean of the map inside a box."""
    height, width = probability.shape
    left, top = np.clip(np.floor(box.min(0)), 0, (width - 1, height - 1)).astype(int)
    right, bottom = np.clip(np.ceil(box.max(0)), 0, (width - 1, height - 1)).astype(int) + 1
    inside = np.zeros((bottom - top, right - left), np.uint8)
    cv2.fillPoly(inside, [(box - np.float32((left, top))).astype(np.int32)], 1)
    return cv2.mean(probability[top:bottom, left:right], inside)[0]


def _grown(box):
    """Points around a box, at GROWTH_RATIO from it."""
    x, y = box.astype(np.float64).T
    area = abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2
    circumference = np.hypot(x - np.roll(x, -1), y - np.roll(y, -1)).sum()
    growth = pyclipper.PyclipperOffset()
    growth.AddPath(box, pyclipper.JT_ROUND, pyclipper.ET_CLOSEDPOLYGON)
    return np.array(growth.Execute(area * GROWTH_RATIO / circumference), np.int32).reshape(-1, 1, 2)


def _in_reading_order(quads):
    quads = quads[np.argsort(quads[:, 0, 1], kind="stable")]
    lines = np.cumsum(np.diff(quads[:, 0, 1], prepend=quads[:1, 0, 1]) >= LINE_GAP_PX)
    return quads[np.lexsort((quads[:, 0, 0], lines))]
