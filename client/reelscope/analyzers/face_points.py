"""Which of InsightFace's 106 landmarks is what. Left and right are the picture's.

The model 2d106det numbers the points by name (insightface, alignment/coordinate_reg: "ordered by point names"): those
of the Face++ Landmark API's 106 points, in alphabetical order. So 33-42 are left_eye_bottom, _center, _left_corner,
_lower_left_quarter, _lower_right_quarter, _pupil, _right_corner, _top, _upper_left_quarter, _upper_right_quarter, and
87-96 the same of the right eye.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Eye:
    """Numbers of the points of one eye."""

    left_corner: int
    right_corner: int
    lids: tuple[tuple[int, int], ...]
    """Upper and lower lid: the left quarter, the middle, the right quarter."""
    pupil: int
    """Of the pupil; the point named center is that of the eye, wherever it looks."""


LEFT_EYE = Eye(left_corner=35, right_corner=39, lids=((41, 36), (40, 33), (42, 37)), pupil=38)
RIGHT_EYE = Eye(left_corner=89, right_corner=93, lids=((95, 90), (94, 87), (96, 91)), pupil=92)
EYES = (LEFT_EYE, RIGHT_EYE)

NOSE_SIDES = (75, 81)
"""nose_left_contour1 and nose_right_contour1: beside the bridge."""
NOSE_WINGS = (78, 84)
"""nose_left_contour4 and nose_right_contour4: where the nose is widest."""
NOSTRILS = (79, 85)
"""nose_left_contour5 and nose_right_contour5."""
NOSE_BASE = 80
"""nose_middle_contour."""
NOSE_TIP = 86
MOUTH_CORNERS = (52, 61)
