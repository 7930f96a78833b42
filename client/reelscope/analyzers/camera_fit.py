"""The camera's motion over every pair of frames: a similarity about the centre of the picture, fitted to its points.

Four degrees of freedom tell pan, tilt, zoom and roll, but not zoom from dolly. Points on people are left out: they
move by themselves. The largest set of points that agree is found by RANSAC (Fischler & Bolles 1981), their motion by
least median of squares (Rousseeuw 1984).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from reelscope.signals import POINT_STEPS_PER_PX, ObjectTracks, PointFlow

INLIER_PX = 0.4
"""Of a picture of long side 320. Points are good to 0.1 px; at 1.5 px, a motion halfway between the camera's and that
of a quarter of the picture that moves 2 px by itself fits both, and wins."""
MIN_INLIERS = 12
"""Fewer points agree by chance: a fade to black left 11, of which 6 fitted something."""
MIN_INLIER_RATIO = 0.3
"""Below it no one motion is the camera's."""
MAX_SCALE = 2.0
"""A picture that grows or shrinks more than this from one frame to the next is a misfit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Motions:
    """What the camera did over p pairs of frames."""

    start_seconds: NDArray[np.float64]
    """[p] sorted."""
    end_seconds: NDArray[np.float64]
    """[p] pairs do not overlap."""
    moves: NDArray[np.float64]
    """[p, 4] pan (percent of the width, positive right), tilt (percent of the height, positive up), logarithm of the
    zoom (positive in), roll (degrees, positive clockwise); NaN where unknown."""
    inlier_ratio: NDArray[np.float64]
    """[p] share of the points that move with the camera, 0-1; NaN where unknown."""


def fit(flow: PointFlow, people: ObjectTracks | None) -> Motions:
    """Fit every pair, without the points on people where they are known."""
    points = flow.points.astype(np.float32) / POINT_STEPS_PER_PX
    is_used = np.ones(len(points), bool) if people is None else ~_on_people(flow, people)
    moves = np.full((len(flow.start_seconds), 4), np.nan)
    inlier_ratio = np.full(len(moves), np.nan)
    center = np.array([flow.width_px, flow.height_px]) / 2
    for pair in range(len(moves)):
        rows = slice(flow.offsets[pair], flow.offsets[pair + 1])
        used = points[rows][is_used[rows]]
        if len(used) < MIN_INLIERS:
            continue
        similarity, is_inlier = _similarity(used, cv2.RANSAC)
        if is_inlier.sum() < max(MIN_INLIERS, MIN_INLIER_RATIO * len(used)):
            continue
        # Points at the edge of something that moves are drawn along by less than INLIER_PX: they are outliers here.
        similarity, is_exact = _similarity(used[is_inlier], cv2.LMEDS)
        scale = np.hypot(similarity[0, 0], similarity[1, 0])
        if not is_exact.any() or not 1 / MAX_SCALE <= scale <= MAX_SCALE:
            continue
        shift = similarity[:, :2] @ center + similarity[:, 2] - center
        turn = np.degrees(np.arctan2(similarity[1, 0], similarity[0, 0]))
        # The picture moves against the camera; y points down.
        moves[pair] = (-100 * shift[0] / flow.width_px, 100 * shift[1] / flow.height_px, np.log(scale), -turn)
        inlier_ratio[pair] = np.mean(is_inlier)
    return Motions(
        start_seconds=flow.start_seconds, end_seconds=flow.end_seconds, moves=moves, inlier_ratio=inlier_ratio
    )


def _similarity(points: NDArray[np.float32], method: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Matrix [2, 3] that takes x, y in the first frame to those in the second, and which points [n, 4] fit it."""
    first, second = np.ascontiguousarray(points[:, :2]), np.ascontiguousarray(points[:, 2:])
    matrix, fits = cv2.estimateAffinePartial2D(first, second, method=method, ransacReprojThreshold=INLIER_PX)
    if matrix is None:
        return np.eye(2, 3), np.zeros(len(points), bool)
    return np.asarray(matrix, np.float64), np.asarray(fits).ravel() == 1


def _on_people(flow: PointFlow, objects: ObjectTracks) -> NDArray[np.bool_]:
    """[m] whether a point starts within the box of a person, interpolated to the time of its pair."""
    is_on = np.zeros(len(flow.points), bool)
    positions = flow.points[:, :2] / POINT_STEPS_PER_PX / (flow.width_px, flow.height_px)
    for track, rows in objects.tracks():
        if track.label != "person":
            continue
        times = objects.times_seconds[objects.frame[rows]]
        # A person may be there for up to a step before and after being sampled.
        seen = times[0] - objects.step_seconds, times[-1] + objects.step_seconds
        first, end = np.searchsorted(flow.start_seconds, seen)
        counts = np.diff(flow.offsets[first : end + 1])
        x1, y1, x2, y2 = (
            np.repeat(np.interp(flow.start_seconds[first:end], times, side), counts)
            for side in objects.boxes_xyxy[rows].T
        )
        x, y = positions[flow.offsets[first] : flow.offsets[end]].T
        is_on[flow.offsets[first] : flow.offsets[end]] |= (x1 <= x) & (x <= x2) & (y1 <= y) & (y <= y2)
    return is_on
