"""The uploaded track: windows of the frame shown at k/rate seconds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reelscope.types import WINDOW_FRAMES, FrameBuffer, Window, nested_order

Allocate = Callable[[int, int], FrameBuffer]
"""(height, width) -> a buffer for one window."""


class Sampler:
    """Fills windows with the frame shown at k/rate seconds, k = 0, 1, 2, ..."""

    def __init__(self, to_rgb: Callable[[Any], NDArray[np.uint8]], rate: Fraction, allocate: Allocate | None) -> None:
        """Convert frames with `to_rgb`, `rate` times a second, into memory of `allocate`; None samples nothing."""
        self._to_rgb, self._rate, self._allocate = to_rgb, rate, allocate
        self._next = 0
        self._buffer: FrameBuffer | None = None
        self._rows = np.argsort(nested_order(WINDOW_FRAMES))
        self._shown: Any = None
        self._image: NDArray[np.uint8] | None = None

    def show(self, frame: Any) -> None:
        """Put a frame on display; it is converted only when a sample falls into its time, and then once."""
        self._shown, self._image = frame, None

    def advance(self, until_seconds: float) -> Iterator[Window]:
        """Place every sample before `until_seconds`: what was shown is shown until then."""
        if self._allocate is None:
            return
        # 0.5 ms: a frame whose PTS the container rounded up past its instant still counts as shown at it.
        while self._shown is not None and self._next / self._rate < until_seconds - 0.0005:
            if self._image is None:
                self._image = self._to_rgb(self._shown)
            if self._buffer is None:
                self._buffer = self._allocate(*self._image.shape[:2])
            slot = self._next % WINDOW_FRAMES
            self._buffer.array[self._rows[slot]] = self._image
            self._next += 1
            if slot == WINDOW_FRAMES - 1:
                yield self._window(WINDOW_FRAMES)

    def last(self) -> Iterator[Window]:
        """The window that the end of the clip left unfilled, its rows moved together."""
        if self._buffer is not None:
            count = (self._next - 1) % WINDOW_FRAMES + 1
            rows = self._rows[list(nested_order(count))]
            self._buffer.array[:count] = self._buffer.array[rows]
            yield self._window(count)

    def _window(self, count: int) -> Window:
        assert self._buffer is not None
        buffer, self._buffer = self._buffer, None
        return Window(buffer, self._next - count, count, self._rate)

    def close(self) -> None:
        """Give back a window that was not completed."""
        if self._buffer is not None:
            self._buffer.close()
            self._buffer = None
