"""The active picture: what lies within the black bars that letterboxing and pillarboxing put around it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BAR_LEVEL = 20
"""A row or column that never got brighter than this, grey levels 0-255, on both sides, is a black bar."""


class ActivePicture:
    """Learns from a clip's frames, all of one small size, which rows and columns have been black so far."""

    def __init__(self) -> None:
        """Begin without a frame."""
        self._brightest: tuple[NDArray[np.uint8], NDArray[np.uint8]] | None = None

    def note(self, thumbnail: NDArray[np.uint8]) -> None:
        """Take the next frame: uint8 [height, width] or [height, width, channels], long side about 128 px.

        Small, because averaging keeps noise and ringing from lighting a bar.
        """
        levels = thumbnail.reshape(*thumbnail.shape[:2], -1)
        # One axis at a time: colours take a thirteenth of what both axes at once take.
        rows, columns = levels.reshape(len(levels), -1).max(axis=1), levels.max(axis=0).max(axis=1)
        if self._brightest is not None:
            rows, columns = np.maximum(self._brightest[0], rows), np.maximum(self._brightest[1], columns)
        self._brightest = rows, columns

    def within(self, height: int, width: int) -> tuple[slice, slice]:
        """Rows and columns inside the bars, for a frame of any size; everything before the first frame."""
        if self._brightest is None:
            return slice(0, height), slice(0, width)
        rows, columns = self._brightest
        return _inside_bars(rows, height), _inside_bars(columns, width)


def _inside_bars(brightest: NDArray[np.uint8], length: int) -> slice:
    lit = np.flatnonzero(brightest > BAR_LEVEL)
    if not lit.size:
        return slice(0, length)
    before, after = int(lit[0]), len(brightest) - 1 - int(lit[-1])
    if not before or not after or lit.size < 4:
        return slice(0, length)
    # Bars come in pairs; one pixel more, because scaling mixes their edge with the picture.
    scale = length / len(brightest)
    first, end = (before + 1) * scale, (len(brightest) - after - 1) * scale
    return slice(int(np.ceil(first)), int(end))
