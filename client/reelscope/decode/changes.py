"""Abrupt changes of the picture: cuts and flashes as they come, before any source has judged them.

Cheap enough for the decoder: it decides which frames between two samples are kept. What is a cut is for `Shots`.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

ABRUPT_CHANGE = 8.0
"""Mean absolute difference to the frame before, grey levels 0-255; half of what any detected cut shows."""
ABRUPT_RATIO = 2.0
"""... and so many times the difference of the frames before that: steady motion is not abrupt."""


class AbruptChanges:
    """Compares every frame of a clip with the one before it."""

    def __init__(self) -> None:
        """Begin before the first frame, which is no change."""
        self._picture: NDArray[np.uint8] | None = None
        self._change = 0.0

    def is_abrupt(self, frame: NDArray[np.uint8]) -> bool:
        """Whether the next frame, uint8 RGB [height, width, 3], begins a new picture."""
        # Halved, because averaging takes coding noise out, and by two it is almost free.
        half = max(1, frame.shape[1] // 2), max(1, frame.shape[0] // 2)
        picture = np.asarray(cv2.resize(frame, half, interpolation=cv2.INTER_AREA), np.uint8)
        before, self._picture = self._picture, picture
        change = 0.0 if before is None else cv2.norm(picture, before, cv2.NORM_L1) / picture.size
        is_abrupt = change >= max(ABRUPT_CHANGE, ABRUPT_RATIO * self._change)
        self._change = change
        return is_abrupt
