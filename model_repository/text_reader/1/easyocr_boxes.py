"""Score maps to boxes: where CRAFT sees text.

Letters that touch in the region map, or that the affinity map links, are one piece of text (Baek et al. 2019,
arXiv:1904.01941, section 3.3). Constants are those of EasyOCR 1.7's `readtext`.
"""

import math

import cv2
import numpy as np

LOW_TEXT = 0.4
"""Region score above which a cell belongs to a letter."""
LINK_THRESHOLD = 0.4
"""Affinity score above which a cell links letters."""
TEXT_THRESHOLD = 0.7
"""Region score that the best cell of a piece must reach."""
MIN_CELLS = 10
SQUARE_TOLERANCE = 0.1
"""Rectangles whose sides differ by less than about this share are taken for upright: a letter alone looks tilted."""
CELL_PX = 2
"""A cell of the maps is this many pixels of what the network saw."""


def find_boxes(score_maps, frame_px_per_seen_px):
    """Find the pieces of text in one frame.

    Args:
        score_maps: float32 [rows, columns, 2], region and affinity.
        frame_px_per_seen_px: how much the frame was scaled down for the network.

    Returns:
        int32 [n, 4, 2] corners in pixels of the frame, clockwise from the one nearest to its top left.
    """
    region, affinity = score_maps[..., 0], score_maps[..., 1]
    letters = region > LOW_TEXT
    links_alone = (affinity > LINK_THRESHOLD) & ~letters
    joined = (letters | links_alone).astype(np.uint8)
    _, pieces, extents, _ = cv2.connectedComponentsWithStats(joined, connectivity=4)
    boxes = []
    for number, (left, top, width, height, area) in enumerate(extents[1:], 1):
        if area < MIN_CELLS:
            continue
        margin = int(math.sqrt(area * min(width, height) / (width * height)) * 2)
        top_margin, left_margin = max(top - margin, 0), max(left - margin, 0)
        window = np.s_[top_margin : top + height + margin + 1, left_margin : left + width + margin + 1]
        piece = pieces[window] == number
        if region[window][piece].max() < TEXT_THRESHOLD:
            continue
        # What links letters joins them to one piece, but takes no room of its own.
        grown = cv2.dilate((piece & ~links_alone[window]).astype(np.uint8), np.ones((1 + margin, 1 + margin), np.uint8))
        rows, columns = np.nonzero(grown)
        boxes.append(_rectangle(np.stack((columns + left_margin, rows + top_margin), 1).astype(np.int32)))
    scale = float(frame_px_per_seen_px * CELL_PX)
    scaled = np.array(boxes, np.float32).reshape(-1, 4, 2).astype(np.float64) * scale
    return scaled.astype(np.float32).astype(np.int32)


def _rectangle(cells):
    """Smallest rectangle around cells, int32 [n, 2] x and y: its corners, float32 [4, 2]."""
    corners = cv2.boxPoints(cv2.minAreaRect(cells))
    sides = np.linalg.norm(corners[0] - corners[1]), np.linalg.norm(corners[1] - corners[2])
    if abs(1 - max(sides) / (min(sides) + 1e-5)) <= SQUARE_TOLERANCE:
        (left, top), (right, bottom) = cells.min(0), cells.max(0)
        corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.float32)
    return np.roll(corners, -corners.sum(1).argmin(), axis=0)
