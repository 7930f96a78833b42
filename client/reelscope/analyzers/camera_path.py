"""The camera's path through one shot, cut where the movement changes.

The path is simplified to straight pieces of at least 0.3 s (Douglas & Peucker 1973): what is larger than the tolerance
is movement, what is smaller is shake, or the movement's own easing. Shake is what a Gaussian of 0.25 s takes out of the
path.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from reelscope.analyzers.camera_fit import Motions

MIN_PIECE_SECONDS = 0.3
SHAKE_SECONDS = 0.25
"""Sigma of the Gaussian: what is faster than about 1 Hz is shake."""
TOLERANCE_PERCENT = 1.0
"""Distance from a straight path that is a change of movement, percent of the picture's mean side ..."""
TOLERANCE_OVER_SHAKE = 8.0
"""... or this many times the shake of the steadiest quarter of the path: the sway of a hand is no series of pans."""
_GRID_HZ = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Movement:
    """Even movement of the camera."""

    speed: NDArray[np.float64]
    """[4] units of `Motions.moves` per second."""
    shake_percent_width: float
    """RMS distance from the smooth path, percent of the width."""
    inlier_ratio: float
    """Share of the points that move with the camera, 0-1."""

    @classmethod
    def mean(cls, movements: Sequence[Movement], weights: Sequence[float]) -> Movement:
        """Mean over time: `weights` are seconds."""
        shakes = np.array([movement.shake_percent_width for movement in movements])
        return cls(
            speed=np.average([movement.speed for movement in movements], axis=0, weights=weights),
            shake_percent_width=float(np.sqrt(np.average(shakes**2, weights=weights))),
            inlier_ratio=float(np.average([movement.inlier_ratio for movement in movements], weights=weights)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A stretch of a shot."""

    start_seconds: float
    end_seconds: float
    movement: Movement | None
    """None where it is unknown."""

    @property
    def seconds(self) -> float:
        """Length."""
        return self.end_seconds - self.start_seconds


class Picture:
    """Size of a picture, and what a movement means in it."""

    def __init__(self, width: float, height: float) -> None:
        """`width` and `height` in any common unit."""
        self.height_over_width = height / width
        side = np.sqrt(width * height)
        radius = np.sqrt((width**2 + height**2) / 12)  # RMS distance of its points from the centre
        self.flow_percent = np.array([width, height, 100 * radius, np.radians(100 * radius)]) / side
        """[4] moves of 1 (`Motions.moves`) as RMS displacement of the picture, percent of its mean side."""


def pieces(motions: Motions, start_seconds: float, end_seconds: float, picture: Picture) -> list[Piece]:
    """Cut one shot into pieces that follow each other without gaps. Pairs that cross its boundaries are left out."""
    is_inside = (motions.start_seconds >= start_seconds) & (motions.end_seconds < end_seconds)
    pairs = np.flatnonzero(is_inside & ~np.isnan(motions.inlier_ratio))
    gaps = motions.start_seconds[pairs[1:]] - motions.end_seconds[pairs[:-1]]
    shortest = min(MIN_PIECE_SECONDS, (end_seconds - start_seconds) / 2)
    found: list[Piece] = []
    now = start_seconds
    for run in np.split(pairs, np.flatnonzero(gaps >= MIN_PIECE_SECONDS) + 1):
        if not run.size or motions.end_seconds[run[-1]] - motions.start_seconds[run[0]] < shortest:
            continue
        for piece in _of_run(motions, run, picture):
            if piece.start_seconds - now >= MIN_PIECE_SECONDS:
                found.append(Piece(start_seconds=now, end_seconds=piece.start_seconds, movement=None))
                now = piece.start_seconds
            found.append(replace(piece, start_seconds=now))
            now = piece.end_seconds
    if not found or end_seconds - now >= MIN_PIECE_SECONDS:
        return [*found, Piece(start_seconds=now, end_seconds=end_seconds, movement=None)]
    return [*found[:-1], replace(found[-1], end_seconds=end_seconds)]


def _of_run(motions: Motions, pairs: NDArray[np.intp], picture: Picture) -> Iterator[Piece]:
    """Pieces of a stretch of pairs without long gaps."""
    times, path = _path(motions, pairs)
    flow = path * picture.flow_percent
    shake = np.linalg.norm(_rough(times, flow), axis=1)
    corners = _corners(times, flow, max(TOLERANCE_PERCENT, TOLERANCE_OVER_SHAKE * float(np.quantile(shake, 0.25))))
    for first, last in itertools.pairwise(corners):
        knots = slice(first, last + 1)
        # Within the piece alone, so that a change of movement is not taken for shake.
        shake_width = _rough(times[knots], flow[knots, :2]) * np.sqrt(picture.height_over_width)
        is_of_piece = (motions.start_seconds[pairs] >= times[first]) & (motions.start_seconds[pairs] < times[last])
        yield Piece(
            start_seconds=float(times[first]),
            end_seconds=float(times[last]),
            movement=Movement(
                speed=_slope(times[knots], path[knots]),
                shake_percent_width=float(np.sqrt((shake_width**2).sum(axis=1).mean())),
                inlier_ratio=float(motions.inlier_ratio[pairs[is_of_piece]].mean()),
            ),
        )


def _path(motions: Motions, pairs: NDArray[np.intp]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Times [n] and positions [n, 4] of the path; short gaps are crossed at the mean speed of their neighbours."""
    starts, ends, moves = motions.start_seconds[pairs], motions.end_seconds[pairs], motions.moves[pairs]
    speeds = moves / (ends - starts)[:, None]
    gaps = starts[1:] - ends[:-1]
    steps = np.empty((2 * len(pairs) - 1, 4))
    steps[::2], steps[1::2] = moves, gaps[:, None] * (speeds[1:] + speeds[:-1]) / 2
    times = np.empty(2 * len(pairs))
    times[::2], times[1::2] = starts, ends
    path = np.vstack((np.zeros(4), np.cumsum(steps, axis=0)))
    is_new = np.append(True, np.diff(times) > 0)
    return times[is_new], path[is_new]


def _corners(times: NDArray[np.float64], flow: NDArray[np.float64], tolerance: float) -> list[int]:
    """Knots between straight pieces, the first and the last included."""
    corners, open_ends = [0], [len(times) - 1]
    while open_ends:
        first, last = corners[-1], open_ends[-1]
        ends = times[[first, last]]
        distance = np.linalg.norm(flow - _interpolate(times, ends, flow[[first, last]]), axis=1)
        distance[(times < ends[0] + MIN_PIECE_SECONDS) | (times > ends[1] - MIN_PIECE_SECONDS)] = 0
        if distance.max() > tolerance:
            open_ends.append(int(distance.argmax()))
        else:
            corners.append(open_ends.pop())
    return corners


def _rough(times: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """[n, k] what a Gaussian of SHAKE_SECONDS takes out of `values`: of a straight line nothing, up to its ends."""
    seconds = times[-1] - times[0]
    grid = np.linspace(times[0], times[-1], round(seconds * _GRID_HZ) + 2)
    sigma = SHAKE_SECONDS * (len(grid) - 1) / seconds
    margin = int(4 * sigma) + 1
    extended = np.pad(_interpolate(grid, times, values), ((margin, margin), (0, 0)), "reflect", reflect_type="odd")
    smooth = gaussian_filter1d(extended, sigma, axis=0)[margin:-margin]
    return np.asarray(values - _interpolate(times, grid, smooth))


def _interpolate(
    at: NDArray[np.float64], times: NDArray[np.float64], values: NDArray[np.float64]
) -> NDArray[np.float64]:
    return np.stack([np.interp(at, times, column) for column in values.T], axis=1)


def _slope(times: NDArray[np.float64], path: NDArray[np.float64]) -> NDArray[np.float64]:
    """[k] speed of the straight line that fits best: shake at the ends hardly moves it."""
    offsets = times - times.mean()
    return np.asarray(offsets @ path / (offsets @ offsets))
