"""Feed sources by hand: headers, chunks and windows from frames in memory."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from reelscope.types import ClipHeader, FrameChunk, Window


def header(frames: Sequence[np.ndarray], *, base_frame_rate: int = 10, rate: int = 30) -> ClipHeader:
    return ClipHeader(
        width=frames[0].shape[1],
        height=frames[0].shape[0],
        frame_rate=Fraction(rate),
        base_frame_rate=Fraction(base_frame_rate),
        hdr=None,
    )


def measure(source, frames: Sequence[np.ndarray], *, times: Sequence[float] | None = None, **options: int):
    """Signal of a source of the small track."""
    times = np.arange(len(frames)) / 30 if times is None else np.asarray(times)
    source.start(header(frames, **options))
    for first in range(0, len(frames), 16):
        part = slice(first, first + 16)
        source.push(FrameChunk(frames=np.stack(frames[part]), times_seconds=times[part], first_index=first))
    return source.finish(float(times[-1]) + 1 / 30)


class Memory:
    """Window memory whose contents nobody reads."""

    def __init__(self, height: int = 2, width: int = 2) -> None:
        self.array = np.zeros((20, height, width, 3), np.uint8)
        self.is_closed = False

    def close(self) -> None:
        self.is_closed = True


def windows(count: int, base_frame_rate: int) -> list[Window]:
    """Windows of a clip of `count` uploaded frames."""
    return [Window(Memory(), first, min(20, count - first), Fraction(base_frame_rate)) for first in range(0, count, 20)]
