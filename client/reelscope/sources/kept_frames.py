"""Small frames of the uploaded track, kept until it is known which of them are wanted; never more than a few."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from reelscope.types import Window


class KeptFrames:
    """Frames at a spacing that doubles whenever there are too many: 128 of 504x392 pixels take 76 MB."""

    def __init__(self, count: int, largest_px: int) -> None:
        """Keep at most `count` frames, scaled down to `largest_px` pixels."""
        self._count, self._largest_px = count, largest_px
        self._step = 1
        self._frames: dict[int, NDArray[np.uint8]] = {}
        self._times: dict[int, float] = {}

    def add(self, window: Window) -> None:
        """Keep those of a window that fall on the spacing."""
        for row in np.argsort(window.times_seconds[: window.row_count(1)]):
            sample = window.samples[row]
            if sample % self._step == 0:
                self._frames[sample] = self._small(window.buffer.array[row])
                self._times[sample] = window.times_seconds[row]
                self._thin()

    def times_seconds(self) -> NDArray[np.float64]:
        """[n] times of the kept frames, sorted."""
        return np.array([self._times[sample] for sample in sorted(self._times)], np.float64)

    def frames(self, numbers: Sequence[int]) -> NDArray[np.uint8]:
        """uint8 [k, height, width, 3]: kept frames by their place in `times_seconds`."""
        samples = sorted(self._frames)
        return np.stack([self._frames[samples[number]] for number in numbers])

    def clear(self) -> None:
        """Let go of all of them."""
        self._frames.clear()
        self._times.clear()

    def _small(self, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        height, width = frame.shape[:2]
        scale = min(1.0, math.sqrt(self._largest_px / (height * width)))
        size = (max(1, int(width * scale)), max(1, int(height * scale)))
        # Averaging pairs and interpolating the rest takes a seventh of what averaging over broken ratios does.
        while width >= 2 * size[0] and height >= 2 * size[1]:
            width, height = width // 2, height // 2
            frame = np.asarray(cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
        rest = cv2.INTER_LINEAR if width <= 1.5 * size[0] else cv2.INTER_AREA
        return np.asarray(cv2.resize(frame, size, interpolation=rest), np.uint8)

    def _thin(self) -> None:
        while len(self._frames) > self._count:
            self._step *= 2
            for kept in (self._frames, self._times):
                for sample in [sample for sample in kept if sample % self._step]:
                    del kept[sample]
