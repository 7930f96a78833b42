"""Boxes to lines: level boxes side by side become one line, slanted ones stay alone.

The rules and constants are those of EasyOCR 1.7's `readtext`.
"""

from dataclasses import dataclass

import numpy as np

SLOPE_THRESHOLD = 0.1
"""A box is level when its upper and its lower edge rise or fall by less than this per pixel."""
MIN_RUN_PX = 10
"""Slopes are measured over at least this many pixels."""
CENTRE_RATIO = 0.5
"""Boxes are on one level when their centres differ by less than this share of their height."""
HEIGHT_RATIO = 0.5
"""Neighbours are joined when their heights differ by less than this share of the height..."""
GAP_RATIO = 0.5
"""... and the gap is smaller than this share of it."""
MARGIN_RATIO = 0.1
"""Lines grow on every side by this share of their shorter side."""
SLANTED_MARGIN_RATIO = 1.44 * MARGIN_RATIO
"""The same, along the diagonals, for slanted lines."""
MIN_LENGTH_PX = 20
"""The longer side of a line must exceed this."""


@dataclass(frozen=True, slots=True)
class Level:
    """A level box or line; whole pixels of the frame, perhaps beyond its borders."""

    left: int
    right: int
    top: int
    bottom: int

    @property
    def height(self):
        """Pixels from top to bottom."""
        return self.bottom - self.top

    @property
    def centre(self):
        """Half-way down, in pixels of the frame."""
        return 0.5 * (self.top + self.bottom)


def group(boxes):
    """Put boxes together to lines.

    Args:
        boxes: int32 [n, 4, 2] pixels, clockwise.

    Returns:
        The level lines, a list of `Level` from top to bottom, and the slanted ones, a list of float64 [4, 2] corners.
    """
    level, slanted = [], []
    for box in boxes.astype(np.float64):
        if _is_level(box):
            (left, top), (right, bottom) = box.min(0).astype(int).tolist(), box.max(0).astype(int).tolist()
            level.append(Level(left, right, top, bottom))
        else:
            slanted.append(_grown(box))
    lines = [_around(run) for row in _rows(level) for run in _runs(row)]
    return (
        [line for line in lines if max(line.right - line.left, line.height) > MIN_LENGTH_PX],
        [line for line in slanted if np.ptp(line, axis=0).max() > MIN_LENGTH_PX],
    )


def _is_level(box):
    top_left, top_right, bottom_right, bottom_left = box
    slopes = (
        (end[1] - start[1]) / max(MIN_RUN_PX, end[0] - start[0])
        for start, end in ((top_left, top_right), (bottom_left, bottom_right))
    )
    return max(map(abs, slopes)) < SLOPE_THRESHOLD


def _grown(box):
    """Move the corners of a slanted box outwards."""
    top_left, top_right, bottom_right, bottom_left = box
    sides = np.linalg.norm(bottom_left - top_left), np.linalg.norm(top_right - top_left)
    margin = int(SLANTED_MARGIN_RATIO * min(sides))
    falling, rising = _inclination(top_left, bottom_right), _inclination(top_right, bottom_left)
    away = [(-1, -1), (1, -1), (1, 1), (-1, 1)]
    turns = [(np.cos(angle), np.sin(angle)) for angle in (falling, rising, falling, rising)]
    return box + np.array(away) * np.array(turns) * margin


def _inclination(start, end):
    """Angle of a diagonal as EasyOCR takes it: over MIN_RUN_PX where the diagonal runs to the right."""
    return abs(np.arctan((start[1] - end[1]) / max(MIN_RUN_PX, start[0] - end[0])))


def _rows(boxes):
    """Boxes on one level, level by level from top to bottom."""
    rows = []
    for box in sorted(boxes, key=lambda box: box.centre):
        if rows:
            centre, height = (np.mean([getattr(each, name) for each in rows[-1]]) for name in ("centre", "height"))
            if abs(centre - box.centre) < CENTRE_RATIO * height:
                rows[-1].append(box)
                continue
        rows.append([box])
    return rows


def _runs(row):
    """Neighbours of like height, from left to right."""
    runs = []
    for box in sorted(row, key=lambda box: box.left):
        if runs:
            height = np.mean([each.height for each in runs[-1]])
            gap = box.left - runs[-1][-1].right
            if abs(height - box.height) < HEIGHT_RATIO * height and gap < GAP_RATIO * box.height:
                runs[-1].append(box)
                continue
        runs.append([box])
    return runs


def _around(boxes):
    left, right = min(box.left for box in boxes), max(box.right for box in boxes)
    top, bottom = min(box.top for box in boxes), max(box.bottom for box in boxes)
    margin = int(MARGIN_RATIO * min(right - left, bottom - top))
    return Level(left - margin, right + margin, top - margin, bottom + margin)
