"""One person without interruption: smoothing, motion and gestures end at a cut, and where somebody is out of sight.

Lengths are told in torso lengths, the median of the stretch: a cut may change how large a person is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reelscope.analyzers import body_geometry, body_gestures, body_motion
from reelscope.analyzers.body_geometry import Points, Posture
from reelscope.analyzers.body_gestures import Gesture
from reelscope.analyzers.body_identity import Person
from reelscope.signals import Parameter, Poses

MIN_CONFIDENCE = 0.5
"""A keypoint is seen from this probability on."""
MAX_GAP_SECONDS = 0.5
"""Somebody who is not seen for longer begins anew."""

PARAMETERS: dict[str, Parameter] = {
    "keypoint_min_confidence": MIN_CONFIDENCE,
    "motion_max_gap_seconds": MAX_GAP_SECONDS,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """What one person does without interruption; n instants."""

    rows: NDArray[np.intp]
    """[n] rows of `Poses`."""
    times_seconds: NDArray[np.float64]
    """[n] sorted."""
    end_seconds: float
    """One sampling step after the last instant, at most the next cut or the end of the clip."""
    points: Points
    """[n, 17, 2] x and y in frame widths, smoothed; NaN where a keypoint is not seen."""
    energy: NDArray[np.float64]
    """[n] torso lengths per second; NaN where it is not measured."""
    postures: Sequence[Posture]
    """n postures."""
    gestures: Sequence[Gesture]
    """Gestures by instants of the stretch."""
    dance_hz: float | None
    """Repetitions of the motion per second; None when it is not periodic."""


def stretches(person: Person, poses: Poses, cuts_seconds: NDArray[np.float64]) -> list[Stretch]:
    """Everything that a person does, in time order; at least one stretch."""
    rows = np.array(person.rows)
    times = poses.times_seconds[poses.frame[rows]]
    shot = np.searchsorted(cuts_seconds, times + 0.0005, side="right")  # rounded as in `Shot.holds`
    breaks = np.flatnonzero((np.diff(times) > MAX_GAP_SECONDS) | (np.diff(shot) > 0)) + 1
    limits = np.append(cuts_seconds, poses.duration_seconds)[shot]
    return [
        _stretch(part, poses, float(limits[first]))
        for part, first in zip(np.split(rows, breaks), (0, *breaks.tolist()), strict=True)
    ]


def _stretch(rows: NDArray[np.intp], poses: Poses, limit_seconds: float) -> Stretch:
    times, keypoints = poses.times_seconds[poses.frame[rows]], poses.keypoints[rows]
    is_seen = keypoints[..., 2:] >= MIN_CONFIDENCE
    points = np.where(is_seen, keypoints[..., :2] * (1.0, poses.height_over_width), np.nan)
    lengths = body_geometry.torso_lengths(points)
    lengths = lengths[lengths > 0]
    torso = float(np.median(lengths)) if lengths.size else np.nan
    # A head alone is smoothed as well: its box is about as wide as a torso is long, and the filter needs no more.
    unit = torso if lengths.size else float(np.median(np.diff(poses.boxes_xyxy[rows][:, ::2]))) or 1.0
    dance_hz = body_motion.periodicity_hz(points / torso, times)
    points = unit * body_motion.smoothed(points / unit, times)
    relative = points / torso
    return Stretch(
        rows=rows,
        times_seconds=times,
        end_seconds=min(float(times[-1]) + poses.step_seconds, limit_seconds),
        points=points,
        energy=body_motion.energies(relative, times),
        postures=body_geometry.postures(relative),
        gestures=body_gestures.gestures(relative, times, poses.step_seconds),
        dance_hz=dance_hz,
    )
