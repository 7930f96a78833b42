"""The safe zone: the part of a full-screen portrait video that the player's own controls leave free.

Conventions: points and boxes in 0-1 of the displayed frame, origin top left. TikTok publishes no one figure; the guides
of 2025 and 2026 give margins for 1080x1920 px that differ: top 120 to 250 px (tabs and search), bottom 270 to 460
(description, sound, progress bar), right 40 to 180 (avatar, like, share), left 40 to 80 (taller screens crop the
sides). The values here are in the middle of those that most of them give. Other platforms are similar; other shapes are
shown between bars, where no such zone is defined.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from reelscope.signals import Parameter

SAFE_ZONE_XYXY = (40 / 1080, 150 / 1920, 1 - 120 / 1080, 1 - 340 / 1920)
"""x1, y1, x2, y2 of the safe zone, 0-1 of a 9:16 frame."""
HEIGHT_OVER_WIDTH = 16 / 9
SHAPE_TOLERANCE_RATIO = 0.02
"""A frame this near to 9:16 counts as such: encoders round sides to multiples of 16 px."""

PARAMETERS: dict[str, Parameter] = {
    f"safe_zone_{name}": round(side, 4) for name, side in zip(("x1", "y1", "x2", "y2"), SAFE_ZONE_XYXY, strict=True)
}


def is_defined(height_over_width: float) -> bool:
    """Whether a frame of this shape has a safe zone: 9:16 does, landscape and square do not."""
    return abs(height_over_width / HEIGHT_OVER_WIDTH - 1) <= SHAPE_TOLERANCE_RATIO


def holds(points: NDArray[np.float64], height_over_width: float) -> bool | None:
    """Whether all points [n, 2] (the corners of a box, of a line of text) are in the safe zone; None where none is."""
    if not is_defined(height_over_width):
        return None
    x1, y1, x2, y2 = SAFE_ZONE_XYXY
    return bool(((points >= (x1, y1)) & (points <= (x2, y2))).all())
