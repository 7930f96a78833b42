"""Lines of text over time: what was read in single frames, linked, voted on and timed.

Conventions: quads and boxes in 0-1 of the frame. A line goes on in the next sample where a box lies that overlaps the
expected place (IoU) and reads alike (edit ratio). It is expected where it was, as overlays stay; else where its own
motion takes it; else where the camera's motion carries the scene. One sample without it is tolerated; what is read in
its place just then, and never again, is a misreading of it.

A line begins half-way between the sample in which it is first seen and the one before, and ends alike, so that either
time is good to half a sampling step: 0.2 s at 2.5 fps. What is seen in the first or last sample is taken to be there
from the start or to the end of the clip.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reelscope.analyzers.edit_distance import are_alike
from reelscope.analyzers.picture_motion import PictureMotion
from reelscope.signals import Parameter, TextRegions

MIN_IOU = 0.5
MIN_EDIT_RATIO = 0.8
MISSED_SAMPLES = 1
COMPARED_READINGS = 9
"""A reading continues a line when it is like its last one, or like what so many last ones agree on: two bad readings
are less alike than either is like a good one."""
MIN_CONFIDENCE = 0.5
"""Mean confidence below which a line is taken for a misreading."""
DOUBTFUL_MIN_CONFIDENCE = 0.8
"""The same for a single letter, and for what was read in a single one of several samples: texture looks like that now
and then."""
EDGE_RATIO = 0.01
"""What lies nearer to the left or right edge of the frame is cut by it."""
_ROUNDING_SECONDS = 0.001

PARAMETERS: dict[str, Parameter] = {
    "line_min_iou": MIN_IOU,
    "line_min_edit_ratio": MIN_EDIT_RATIO,
    "line_missed_samples": MISSED_SAMPLES,
    "line_min_confidence": MIN_CONFIDENCE,
    "line_doubtful_min_confidence": DOUBTFUL_MIN_CONFIDENCE,
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Line:
    """One line of text, from where it comes to where it goes."""

    text: str
    """What most readings agree on."""
    start_seconds: float
    end_seconds: float
    rows: NDArray[np.intp]
    """[k] its rows of `TextRegions`, in time order; k >= 1."""
    quad: NDArray[np.float64]
    """[4, 2] its corners in the sample in which it is nearest to its median place."""
    height_ratio: float
    """Median height of its quads, 0-1 of the frame's height."""
    confidence: float
    """Mean confidence of its readings, 0-1."""

    @property
    def seconds(self) -> float:
        """How long it is there."""
        return self.end_seconds - self.start_seconds

    @property
    def center(self) -> NDArray[np.float64]:
        """[2] centre of its quad."""
        return np.asarray(self.quad.mean(axis=0))

    def overlap_seconds(self, other: Line) -> float:
        """How long both are there."""
        return max(0.0, min(self.end_seconds, other.end_seconds) - max(self.start_seconds, other.start_seconds))


def lines_of(regions: TextRegions, motion: PictureMotion | None) -> tuple[Line, ...]:
    """Every line in reading order: by time, then from top to bottom, then from left to right."""
    places = _Places(regions, motion)
    chains = [chain for chain in _chains(regions, places) if _is_text(chain, regions, places)]
    lines = [_line(np.array(chain), regions) for chain in chains if not _is_misread(chain, chains, places)]
    return tuple(sorted(lines, key=lambda line: (line.start_seconds, line.center[1], line.center[0])))


def covered_seconds(spans: Iterable[tuple[float, float]]) -> float:
    """Length of the union of spans (start, end)."""
    covered, reached = 0.0, -np.inf
    for start, end in sorted(spans):
        covered += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return covered


def voted(texts: Sequence[str], confidences: Sequence[float]) -> str:
    """The reading that most agree on, each with its confidence: of its length first, then of every character of it."""
    lengths: defaultdict[int, float] = defaultdict(float)
    for text, confidence in zip(texts, confidences, strict=True):
        lengths[len(text)] += confidence
    length = max(lengths, key=lambda one: lengths[one])
    votes: list[defaultdict[str, float]] = [defaultdict(float) for _ in range(length)]
    for text, confidence in zip(texts, confidences, strict=True):
        if len(text) == length:
            for place, character in enumerate(text):
                votes[place][character] += confidence
    return "".join(max(vote, key=lambda one: vote[one]) for vote in votes)


def areas(quads: NDArray[np.float64]) -> NDArray[np.float64]:
    """[k] share of the frame, 0-1, that quads [k, 4, 2] cover."""
    after = np.roll(quads, -1, axis=1)
    return np.asarray(np.abs((quads[..., 0] * after[..., 1] - after[..., 0] * quads[..., 1]).sum(axis=1)) / 2)


class _Places:
    """Where a chain of rows is expected at a later time: boxes [4], NaN where that cannot be told."""

    def __init__(self, regions: TextRegions, motion: PictureMotion | None) -> None:
        self.boxes = np.concatenate((regions.quads.min(axis=1), regions.quads.max(axis=1)), axis=1)
        self.times: NDArray[np.float64] = regions.times_seconds[regions.frame]
        self._motion = motion

    def still(self, chain: list[int], time: float) -> NDArray[np.float64]:
        """Where it was."""
        return np.asarray(self.boxes[chain[-1]])

    def going_on(self, chain: list[int], time: float) -> NDArray[np.float64]:
        """Where its own motion takes it."""
        if len(chain) < 2:
            return np.full(4, np.nan)
        (before, last), (then, now) = self.boxes[chain[-2:]], self.times[chain[-2:]]
        return np.asarray(last + (last - before) * ((time - now) / (now - then)))

    def filmed(self, chain: list[int], time: float) -> NDArray[np.float64]:
        """Where the camera's motion carries it."""
        corners = self.boxes[chain[-1]].reshape(2, 2)
        moved = self._motion.carried(corners, float(self.times[chain[-1]]), time) if self._motion else None
        return np.full(4, np.nan) if moved is None else moved.ravel()


def _chains(regions: TextRegions, places: _Places) -> Iterator[list[int]]:
    """Rows of `regions` that are one line each."""
    assert regions.sampling_fps is not None
    patience_seconds = (1 + MISSED_SAMPLES) / regions.sampling_fps + _ROUNDING_SECONDS
    edges = np.searchsorted(regions.frame, np.arange(len(regions.times_seconds) + 1))
    under_way: list[list[int]] = []
    for number, time in enumerate(regions.times_seconds.tolist()):
        is_over = [time - places.times[chain[-1]] > patience_seconds for chain in under_way]
        yield from itertools.compress(under_way, is_over)
        under_way = list(itertools.compress(under_way, np.logical_not(is_over)))
        waiting, rows = list(under_way), list(range(edges[number], edges[number + 1]))
        for place in (places.still, places.going_on, places.filmed):
            if not waiting or not rows:
                break
            overlaps = _iou(np.stack([place(chain, time) for chain in waiting]), places.boxes[rows])
            for chain, row in _pairs(overlaps, waiting, rows, regions):
                chain.append(row)
                rows.remove(row)
            waiting = [chain for chain in waiting if places.times[chain[-1]] < time]
        under_way += [[row] for row in rows]
    yield from under_way


def _pairs(
    overlaps: NDArray[np.float64], chains: list[list[int]], rows: list[int], regions: TextRegions
) -> list[tuple[list[int], int]]:
    """Chains with the row that continues each, those that overlap most first; overlaps [chains, rows]."""
    found: list[tuple[list[int], int]] = []
    first, second = np.nonzero(overlaps >= MIN_IOU)
    for k in np.argsort(-overlaps[first, second], kind="stable"):
        chain, row = chains[first[k]], rows[second[k]]
        if any(chain is other or row == taken for other, taken in found):
            continue
        if _reads_on(chain, row, regions):
            found.append((chain, row))
    return found


def _reads_on(chain: list[int], row: int, regions: TextRegions) -> bool:
    if are_alike(regions.texts[chain[-1]], regions.texts[row], MIN_EDIT_RATIO):
        return True
    last = chain[-COMPARED_READINGS:]
    agreed = voted([regions.texts[each] for each in last], regions.confidences[last].tolist())
    return are_alike(agreed, regions.texts[row], MIN_EDIT_RATIO)


def _iou(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """[a, b] intersection over union of boxes [a, 4] and [b, 4]; NaN where one is nowhere, or both are empty."""
    corner = np.maximum(first[:, None, :2], second[:, :2])
    sides = np.minimum(first[:, None, 2:], second[:, 2:]) - corner
    shared = sides.clip(0).prod(axis=2)
    sizes = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (first, second)]
    with np.errstate(invalid="ignore"):
        return np.asarray(shared / (sizes[0][:, None] + sizes[1] - shared))


def _is_text(chain: list[int], regions: TextRegions, places: _Places) -> bool:
    """Whether it was read with confidence, has a letter or digit, and is no part of something yet to come into view."""
    letters = max(sum(character.isalnum() for character in regions.texts[row]) for row in chain)
    is_lone = len(chain) == 1 < len(regions.times_seconds)
    if is_lone and _is_cut(places.boxes[chain[0]]):
        return False
    needed = DOUBTFUL_MIN_CONFIDENCE if is_lone or letters == 1 else MIN_CONFIDENCE
    return letters > 0 and bool(regions.confidences[chain].mean() >= needed)


def _is_cut(box: NDArray[np.float64]) -> bool:
    return bool(box[0] <= EDGE_RATIO or box[2] >= 1 - EDGE_RATIO)


def _is_misread(chain: list[int], chains: Sequence[list[int]], places: _Places) -> bool:
    """Whether it is a single reading in the place of a line that is there before and after, but not just then."""
    row, *more = chain
    if more:
        return False
    for other in chains:
        after = int(np.searchsorted(places.times[other], places.times[row]))
        is_around = 0 < after < len(other) and places.times[other[after]] > places.times[row]
        if is_around and _iou(places.boxes[[other[after - 1]]], places.boxes[[row]])[0, 0] >= MIN_IOU:
            return True
    return False


def _line(rows: NDArray[np.intp], regions: TextRegions) -> Line:
    quads = regions.quads[rows]
    middle = np.abs(quads - np.median(quads, axis=0)).sum(axis=(1, 2)).argmin()
    sides = (quads[:, 3:1:-1] - quads[:, :2]) * (1 / regions.height_over_width, 1)
    start, end = _times(int(regions.frame[rows[0]]), int(regions.frame[rows[-1]]), regions)
    return Line(
        text=voted([regions.texts[row] for row in rows], regions.confidences[rows].tolist()),
        start_seconds=start,
        end_seconds=end,
        rows=rows,
        quad=quads[middle],
        height_ratio=float(np.median(np.linalg.norm(sides, axis=2).mean(axis=1))),
        confidence=float(regions.confidences[rows].mean()),
    )


def _times(first: int, last: int, regions: TextRegions) -> tuple[float, float]:
    times = regions.times_seconds
    assert regions.sampling_fps is not None
    start = float(times[first - 1 : first + 1].mean()) if first else 0.0
    if last + 1 < len(times):
        return start, float(times[last : last + 2].mean())
    # Frames after the last sample are fewer than a step; more were not decoded, or not read.
    return start, min(regions.duration_seconds, float(times[last]) + 1 / regions.sampling_fps)
