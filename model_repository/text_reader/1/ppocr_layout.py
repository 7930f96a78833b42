"""The sizes at which frames are searched for text: rapidocr 3.10's defaults, and a bound on what a frame costs."""

from dataclasses import dataclass

import cv2
import numpy as np
from lines import BadFrames

SHORT_SIDE_PX = 736
"""The detector sees the shorter side at this size at least."""
STRIDE_PX = 32
"""Sides of what is scaled become multiples of this."""
MIN_SIDE_PX, MAX_SIDE_PX = 30, 2000
"""Frames are scaled to between these first: the shorter side up, the longer side down."""
FLAT_RATIO = 8
"""Frames wider than this times their height, or no higher than MIN_SIDE_PX, get black above and below."""
MAX_AREA_PX = 2**23
"""The detector is shown no more, whatever the frame's shape; no ordinary one comes near half of it."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Frames are scaled to `picture`, padded and cut; the detector sees them at `detector`. All (height, width)."""

    frame: tuple[int, int]
    picture: tuple[int, int]
    top_px: int
    """Rows of black above the picture, and as many below."""
    detector: tuple[int, int]

    @classmethod
    def of(cls, height, width):
        """Lay out frames of one size.

        Raises:
            BadFrames: the shape is so extreme that the detector would see far more than the frame.
        """
        picture = (height, width)
        if max(picture) > MAX_SIDE_PX:
            picture = _scaled(picture, MAX_SIDE_PX / max(picture))
        elif min(picture) < MIN_SIDE_PX:
            picture = _scaled(picture, MIN_SIDE_PX / min(picture))
        high, wide = picture
        top_px = 0
        if high <= MIN_SIDE_PX or wide / high > FLAT_RATIO:
            top_px = abs(max(int(wide / FLAT_RATIO), MIN_SIDE_PX) * 2 - high) // 2
        padded = (high + 2 * top_px, wide)
        detector = _scaled(padded, max(SHORT_SIDE_PX / min(padded), 1.0))
        if detector[0] * detector[1] > MAX_AREA_PX:
            raise BadFrames(f"frames of {width}x{height} pixels are too long and narrow to be searched for text")
        return cls((height, width), picture, top_px, detector)

    def picture_of(self, frame):
        """Where lines are cut: the frame itself, or scaled and padded."""
        pixels = frame if self.picture == self.frame else cv2.resize(frame, self.picture[::-1])
        black = (self.top_px, self.top_px, 0, 0)
        return cv2.copyMakeBorder(pixels, *black, cv2.BORDER_CONSTANT) if self.top_px else pixels

    def seen(self, picture):
        """What the detector sees of a picture."""
        return cv2.resize(picture, self.detector[::-1])

    def to_frame(self, quad):
        """Corners in a picture, float32 [4, 2], to corners in the frame, inside it."""
        scale = np.divide(self.frame, self.picture)[::-1]
        return np.clip((quad - (0, self.top_px)) * scale, 0, self.frame[::-1])


def _scaled(size, ratio):
    return tuple(max(round(int(side * ratio) / STRIDE_PX), 1) * STRIDE_PX for side in size)
