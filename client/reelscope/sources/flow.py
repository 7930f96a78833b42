"""Points followed from picture to picture, on the CPU: what the camera's motion is fitted to.

Corners of Shi & Tomasi (1994), spread evenly over the frame, are followed by pyramidal Lucas-Kanade (Bouguet 2001)
there and back; a point that does not come back to within a pixel is dropped (Kalal et al. 2010).

Pairs of pictures are at least 1/30 s apart: shorter ones move by fractions of a pixel. A frame that repeats the
picture before it says nothing of the motion and is passed over, so that the next pair spans the true time between two
pictures (10 fps stored in a 30 fps file, 60 fps made of 30 by doubling). A picture that stands still for longer than
any such repetition is measured against itself: a camera at rest, or so slow that the longer time only helps.
"""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from reelscope.signals import POINT_STEPS_PER_PX, Parameter, PointFlow
from reelscope.sources.base import Source
from reelscope.types import ClipHeader, FrameChunk

MIN_PAIR_SECONDS = 1 / 30
MAX_PAIRS = 9000
"""Longer clips than 5 minutes get wider pairs instead of more: 15 per second for 10 minutes."""
MAX_POINTS = 180
"""Per pair; with MAX_PAIRS 13 MB."""
CORNER_QUALITY = 0.001
"""Strength of a corner over that of the frame's strongest."""
CORNER_DISTANCE_PX = 8
CELL_PX = 20
"""Every cell of this size gives its best corner before any gives its second."""
WINDOW_PX = 21
LEVELS = 4
"""Halvings of the picture in which motion is first looked for; OpenCV takes fewer of small ones."""
MIN_TEXTURE = 0.0002
"""Smallest eigenvalue of a window's gradients, in OpenCV's units: twice its default, at which noise of 6 grey levels at
720p is followed over a flat wall like texture (81 of 180 points; now 2); smooth textures keep nearly all points."""
RETURN_PX = 1.0
LOST_POINTS = 20
"""Fewer are what chance leaves between the two sides of a cut."""
REPEAT_LEVEL = 4
"""A frame repeats a picture when no 16-px block differs by more, mean absolute grey levels. Repeats through x264 at
crf 23 and 32 differ by at most 4; motion of 3 % of the width in 0.1 s by at least 5."""
REPEAT_BLOCK_PX = 16
HOLD_SECONDS = 0.15
"""A picture repeated for longer stands still; so pictures of 7 fps and more are told from stillness."""
_ROUNDING_SECONDS = 0.001
"""Containers round times to the millisecond."""
_THREADS = max(1, min(4, len(os.sched_getaffinity(0)) // 4))
"""Pairs of one chunk that are followed at once: decoding waits for the slowest source of frames, which is this."""

PARAMETERS: dict[str, Parameter] = {
    "min_pair_seconds": round(MIN_PAIR_SECONDS, 6),
    "max_pairs": MAX_PAIRS,
    "max_points": MAX_POINTS,
    "corner_quality": CORNER_QUALITY,
    "corner_distance_px": CORNER_DISTANCE_PX,
    "window_px": WINDOW_PX,
    "levels": LEVELS,
    "min_texture": MIN_TEXTURE,
    "return_px": RETURN_PX,
    "lost_points": LOST_POINTS,
    "repeat_level": REPEAT_LEVEL,
    "hold_seconds": HOLD_SECONDS,
}


class _Picture(NamedTuple):
    luma: NDArray[np.uint8]
    seconds: float


class _Pair(NamedTuple):
    first: _Picture
    last: _Picture
    """Last repetition of `first`; itself where there is none."""
    second: _Picture


class FlowSource(Source[FrameChunk]):
    """Every frame in, `PointFlow` out. Keeps a chunk of lumas, and 8 bytes per point."""

    consumes: ClassVar[type] = FrameChunk
    can_wait = True
    parameters = PARAMETERS

    def __init__(self) -> None:
        """Threads begin with the first pairs."""
        super().__init__()
        self._threads = ThreadPoolExecutor(_THREADS, "points")

    def start(self, header: ClipHeader) -> None:
        """Set the spacing of pairs."""
        self._spacing = max(MIN_PAIR_SECONDS, (header.stated_seconds or 0.0) / MAX_PAIRS) - _ROUNDING_SECONDS
        self._first: _Picture | None = None
        self._count = 0
        self._spans: list[tuple[float, float]] = []
        self._offsets = [0]
        self._points = bytearray()

    def push(self, part: FrameChunk) -> None:
        """Follow points to every new picture."""
        pairs = []
        for frame, seconds in zip(part.frames, part.times_seconds, strict=True):
            self._count += 1
            picture = _Picture(np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), np.uint8), float(seconds))
            if self._first is None:
                self._first = self._last = picture
                continue
            waited = picture.seconds - self._first.seconds
            if waited >= HOLD_SECONDS or (waited >= self._spacing and not _repeats(self._first, picture)):
                pairs.append(_Pair(self._first, self._last, picture))
                self._first = self._last = picture
            else:
                self._last = picture
        for pair, (points, cpu_seconds) in zip(pairs, self._threads.map(_followed, pairs), strict=True):
            self.helper_cpu_seconds += cpu_seconds
            self._add_pair(pair, points)

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown(cancel_futures=True)

    def finish(self, duration_seconds: float) -> PointFlow:
        """Measure what stood still until the end, and put the pairs together."""
        assert self._first is not None
        self._add_still(self._first, self._last)
        spans = np.array(self._spans, np.float64).reshape(-1, 2)
        return PointFlow(
            sampling="FULL",
            sample_count=self._count,
            width_px=self._first.luma.shape[1],
            height_px=self._first.luma.shape[0],
            start_seconds=spans[:, 0],
            end_seconds=spans[:, 1],
            offsets=np.array(self._offsets, np.int64),
            points=np.frombuffer(self._points, np.int16).reshape(-1, 4),
        )

    def _add_pair(self, pair: _Pair, points: NDArray[np.float32]) -> None:
        first = pair.first
        if len(points) < LOST_POINTS:
            first = self._add_still(first, pair.last)
        self._add(first, pair.second, points)

    def _add_still(self, first: _Picture, last: _Picture) -> _Picture:
        """Pair a picture that ends here, at a cut or the clip's end, with its last repetition, and return that.

        Only if no motion led to it: repetitions after motion are the wait for more of it.
        """
        if last is first or (self._spans and self._offsets[-1] - self._offsets[-2] >= LOST_POINTS):
            return first
        self._add(first, last, _follow(first.luma, last.luma))
        return last

    def _add(self, first: _Picture, second: _Picture, points: NDArray[np.float32]) -> None:
        steps = np.rint(points * POINT_STEPS_PER_PX)
        # A point that leaves the frame may lie a window outside it: still far within 16 bits.
        self._points += steps.astype(np.int16).tobytes()
        self._offsets.append(self._offsets[-1] + len(points))
        self._spans.append((first.seconds, second.seconds))


def _repeats(first: _Picture, second: _Picture) -> bool:
    difference = cv2.absdiff(first.luma, second.luma)
    height, width = difference.shape
    blocks = max(1, width // REPEAT_BLOCK_PX), max(1, height // REPEAT_BLOCK_PX)
    return bool(cv2.resize(difference, blocks, interpolation=cv2.INTER_AREA).max() <= REPEAT_LEVEL)


def _followed(pair: _Pair) -> tuple[NDArray[np.float32], float]:
    """What `_follow` finds, and the CPU seconds that it took."""
    began = time.thread_time()
    return _follow(pair.first.luma, pair.second.luma), time.thread_time() - began


def _follow(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.float32]:
    """[n, 4] x and y in the first picture, x and y in the second, pixels; none where nothing can be followed."""
    start = _corners(first)
    if not len(start):
        return np.empty((0, 4), np.float32)
    end, is_found = _track(first, second, start)
    back, is_found_back = _track(second, first, end)
    has_returned = (np.abs(back - start) < RETURN_PX).all(axis=(1, 2))
    kept = is_found & is_found_back & has_returned
    return np.hstack((start[kept, 0], end[kept, 0]))


def _track(
    first: NDArray[np.uint8], second: NDArray[np.uint8], points: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Where points [n, 1, 2] of the first picture are in the second, and which of them were found [n]."""
    moved, status, _ = cv2.calcOpticalFlowPyrLK(
        first,
        second,
        points,
        np.empty_like(points),
        winSize=(WINDOW_PX, WINDOW_PX),
        maxLevel=LEVELS,
        minEigThreshold=MIN_TEXTURE,
    )
    return np.asarray(moved, np.float32), np.asarray(status).ravel() == 1


def _corners(luma: NDArray[np.uint8]) -> NDArray[np.float32]:
    """[n, 1, 2] x, y of at most MAX_POINTS corners, spread over the frame."""
    found = cv2.goodFeaturesToTrack(luma, 0, CORNER_QUALITY, CORNER_DISTANCE_PX)
    if found is None:
        return np.empty((0, 1, 2), np.float32)
    corners = np.asarray(found, np.float32).reshape(-1, 1, 2)  # strongest first
    columns, rows = (corners[:, 0] // CELL_PX).astype(np.int64).T
    cells = rows * (luma.shape[1] // CELL_PX + 1) + columns
    by_cell = np.argsort(cells, kind="stable")
    _, starts, counts = np.unique(cells[by_cell], return_index=True, return_counts=True)
    rank = np.empty(len(cells), np.int64)
    rank[by_cell] = np.arange(len(cells)) - np.repeat(starts, counts)
    return corners[np.argsort(rank, kind="stable")[:MAX_POINTS]]
