"""What is taken at regular instants: the uploaded track, with what falls between its samples, and luma."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reelscope.types import WINDOW_FRAMES, ExtraWindow, FrameBuffer, LumaFrame, Window, nested_order

EXTRA_FRAMES = 5
"""Extra frames of one window: a quarter of a regular one's memory. A GPU works at as many at once."""
EXTRA_SPACING_SECONDS = 0.1
"""Extra frames are at least this far apart: no shot is shorter."""
EXTRA_ALLOWANCE = 20
"""Extra frames of a clip beyond one per sample at base/2: flashing pictures must not double the work."""

Allocate = Callable[[int, int, int], FrameBuffer]
"""(height, width, rows) -> a buffer for one window."""
Convert = Callable[[Any], NDArray[np.uint8]]
"""A decoded frame -> its picture."""


class Instants:
    """Counts the instants k/rate seconds, k = 0, 1, 2, ..."""

    def __init__(self, rate: Fraction) -> None:
        """Begin at zero; `rate` is per second."""
        self.rate = rate
        self.next = 0

    def until(self, end_seconds: float) -> Iterator[int]:
        """Every k whose instant comes before `end_seconds` and was not given yet."""
        # 0.5 ms: a frame whose PTS the container rounded up past its instant still counts as shown at it.
        while self.next * self.rate.denominator < (end_seconds - 0.0005) * self.rate.numerator:
            self.next += 1
            yield self.next - 1


class Sampler:
    """Fills windows with the frame shown at k/rate seconds, and extra windows with new pictures between samples."""

    def __init__(self, to_rgb: Convert, rate: Fraction, allocate: Allocate | None) -> None:
        """Convert frames with `to_rgb`, `rate` times a second, into memory of `allocate`; None samples nothing."""
        self._to_rgb, self._allocate = to_rgb, allocate
        self._instants = Instants(rate)
        self._buffer: FrameBuffer | None = None
        self._rows = np.argsort(nested_order(WINDOW_FRAMES))
        self._shown: Any = None
        self._image: NDArray[np.uint8] | None = None
        self._extra_buffer: FrameBuffer | None = None
        self._extras: list[tuple[float, bool]] = []
        self._extra_count = 0
        self._last_extra = -EXTRA_SPACING_SECONDS

    def show(self, frame: Any, seconds: float, *, is_abrupt: bool) -> None:
        """Put a frame on display from `seconds` on; it is converted only when it is sampled, and then once."""
        self._shown, self._image = frame, None
        self._shown_from, self._is_abrupt = seconds, is_abrupt

    def advance(self, until_seconds: float) -> Iterator[Window]:
        """End the display of the shown frame: place every sample before `until_seconds`, or keep it as an extra."""
        if self._allocate is None or self._shown is None:
            return
        samples = list(self._instants.until(until_seconds))
        for sample in samples:
            if self._buffer is None:
                self._buffer = self._allocated(WINDOW_FRAMES)
            slot = sample % WINDOW_FRAMES
            self._buffer.array[self._rows[slot]] = self._picture()
            if slot == WINDOW_FRAMES - 1:
                yield self._window(sample + 1, WINDOW_FRAMES)
        if self._is_abrupt and all(sample % 4 for sample in samples):
            yield from self._add_extra(lacks_half=all(sample % 2 for sample in samples))

    def last(self) -> Iterator[Window]:
        """The windows that the end of the clip left unfilled, their rows moved together."""
        if self._buffer is not None:
            end = self._instants.next
            count = (end - 1) % WINDOW_FRAMES + 1
            rows = self._rows[list(nested_order(count))]
            self._buffer.array[:count] = self._buffer.array[rows]
            yield self._window(end, count)
        if self._extras:
            yield self._extra_window()

    def close(self) -> None:
        """Give back windows that were not completed."""
        for buffer in (self._buffer, self._extra_buffer):
            if buffer is not None:
                buffer.close()
        self._buffer = self._extra_buffer = None

    def _picture(self) -> NDArray[np.uint8]:
        if self._image is None:
            self._image = self._to_rgb(self._shown)
        return self._image

    def _allocated(self, rows: int) -> FrameBuffer:
        assert self._allocate is not None
        height, width = self._picture().shape[:2]
        return self._allocate(height, width, rows)

    def _window(self, end: int, count: int) -> Window:
        assert self._buffer is not None
        buffer, self._buffer = self._buffer, None
        return Window(buffer, end - count, count, self._instants.rate)

    def _add_extra(self, *, lacks_half: bool) -> Iterator[Window]:
        allowed = self._instants.next // 2 + EXTRA_ALLOWANCE
        if self._shown_from - self._last_extra < EXTRA_SPACING_SECONDS or self._extra_count >= allowed:
            return
        if self._extra_buffer is None:
            self._extra_buffer = self._allocated(EXTRA_FRAMES)
        self._extra_buffer.array[len(self._extras)] = self._picture()
        self._extras.append((self._shown_from, lacks_half))
        self._extra_count += 1
        self._last_extra = self._shown_from
        if len(self._extras) == EXTRA_FRAMES:
            yield self._extra_window()

    def _extra_window(self) -> Window:
        assert self._extra_buffer is not None
        buffer, self._extra_buffer = self._extra_buffer, None
        extras, self._extras = self._extras, []
        order = sorted(range(len(extras)), key=lambda row: not extras[row][1])
        if order != list(range(len(extras))):
            buffer.array[: len(extras)] = buffer.array[order]
        return ExtraWindow(buffer, [extras[row][0] for row in order], sum(lacks_half for _, lacks_half in extras))


class LumaSampler:
    """Luma of the frame shown at k/rate seconds."""

    def __init__(self, to_luma: Convert, rate: Fraction) -> None:
        """Convert frames with `to_luma`, `rate` times a second."""
        self._to_luma = to_luma
        self._instants = Instants(rate)
        self._shown: Any = None

    def show(self, frame: Any) -> None:
        """Put a frame on display."""
        self._shown = frame

    def advance(self, until_seconds: float) -> Iterator[LumaFrame]:
        """Every sample before `until_seconds`: what was shown is shown until then."""
        if self._shown is None:
            return
        luma = None
        for sample in self._instants.until(until_seconds):
            if luma is None:
                luma = self._to_luma(self._shown)
            yield LumaFrame(luma=luma, time_seconds=float(sample / self._instants.rate))
