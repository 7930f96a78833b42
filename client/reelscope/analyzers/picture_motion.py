"""Where the camera's motion carries what is filmed between two instants; fitted only for the spans that are asked for.

Conventions: points in 0-1 of the frame. Moves of pairs of frames are summed, which is exact for pans and tilts and good
to the second order for the little that a picture zooms and turns between two samples.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from reelscope.analyzers import camera_fit
from reelscope.signals import PointFlow, Shots

MIN_COVERED_RATIO = 0.5
"""Share of a span over which the camera's motion must be known; the rest is taken to go on as that."""


class PictureMotion:
    """The motion of the picture of one clip."""

    def __init__(self, flow: PointFlow, shots: Shots | None) -> None:
        """Fit nothing yet; without shots, pairs of frames that cross a cut are left to the fit, which mostly fails."""
        self._flow = flow
        self._middles = (flow.start_seconds + flow.end_seconds) / 2
        self._cuts = np.array([shot.start_seconds for shot in shots.shots[1:]] if shots else [])
        self._moves: dict[tuple[float, float], NDArray[np.float64] | None] = {}

    def carried(
        self, points: NDArray[np.float64], start_seconds: float, end_seconds: float
    ) -> NDArray[np.float64] | None:
        """Where points [..., 2] of the scene that are seen at one instant are at a later one.

        Returns:
            None when a cut lies between the two, or the camera's motion is not known for most of the time.
        """
        span = start_seconds, end_seconds
        if span not in self._moves:
            self._moves[span] = self._move(*span)
        move = self._moves[span]
        if move is None:
            return None
        pan, tilt, zoom, roll = move
        turn, scale = np.radians(-roll), np.exp(zoom)
        # x, y as rows: the matrix is that of a turn, transposed.
        matrix = scale * np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
        shape = np.array([1.0, self._flow.height_px / self._flow.width_px])
        # The picture moves against the camera; y points down.
        moved = (points - 0.5) * shape @ matrix / shape + 0.5 + (-pan / 100, tilt / 100)
        return np.asarray(moved)

    def _move(self, start_seconds: float, end_seconds: float) -> NDArray[np.float64] | None:
        """[4] pan, tilt, logarithm of the zoom and roll over a span, in the units of `camera_fit.Motions`."""
        if ((self._cuts > start_seconds) & (self._cuts <= end_seconds)).any():
            return None
        first, end = np.searchsorted(self._middles, (start_seconds, end_seconds))
        flow = self._flow
        offsets = flow.offsets[first : end + 1]
        part = replace(
            flow,
            start_seconds=flow.start_seconds[first:end],
            end_seconds=flow.end_seconds[first:end],
            offsets=offsets - offsets[0],
            points=flow.points[offsets[0] : offsets[-1]],
        )
        motions = camera_fit.fit(part, None)
        is_known = np.isfinite(motions.moves).all(axis=1)
        covered = float((motions.end_seconds - motions.start_seconds)[is_known].sum())
        if covered < MIN_COVERED_RATIO * (end_seconds - start_seconds):
            return None
        return np.asarray(motions.moves[is_known].sum(axis=0) * ((end_seconds - start_seconds) / covered))
