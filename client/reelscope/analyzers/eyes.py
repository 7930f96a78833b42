"""Eyes from 106 landmarks: how far they are open, where they look, when they blink.

Openness is the eye aspect ratio of Soukupová & Čech (2016), Real-time eye blink detection using facial landmarks: mean
distance of the lids over that of the corners, here over three pairs of lid points and both eyes.

Gaze comes from the landmarks and the head pose, not from a network: the pupil's offset from the centre about which the
eye turns, seen from the camera, over the distance between the two. Where that centre is, the corners of the eye and the
head pose tell. A pixel is about 12 degrees in a face that is 64 px wide, and 4 in one of 200.
"""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from reelscope.analyzers.face_points import EYES, Eye
from reelscope.analyzers.head_pose import EYE, HEAD, HeadPoses
from reelscope.signals import Parameter

Values = NDArray[np.float64]

CLOSED_RATIO = 0.6
OPEN_PERCENTILE = 80
"""Percentile of a track's openness that stands for its open eyes."""
MIN_BLINK_SECONDS = 0.05
MAX_BLINK_SECONDS = 0.4

PARAMETERS: dict[str, Parameter] = {
    "eye_closed_ratio": CLOSED_RATIO,
    "eye_open_percentile": OPEN_PERCENTILE,
    "blink_min_seconds": MIN_BLINK_SECONDS,
    "blink_max_seconds": MAX_BLINK_SECONDS,
}

_OUTER, _INNER = (np.array(HEAD[corner]) * (1, -1, -1) for corner in ("outer_corner", "inner_corner"))

EYE_CM = float(np.linalg.norm(_OUTER - _INNER)) / 3.1
"""A centimetre of real eyes, in those of the generic head: people's are 3.1 cm from corner to corner (Farkas, 1994,
Anthropometry of the head and face)."""

PUPIL_ARM = (1.35 - 0.305) * EYE_CM
"""From the centre of rotation to the pupil: they are 13.5 mm and, as it is seen, 3.05 mm (Gullstrand's eye) behind the
front of the cornea."""

CENTER_OFFSET: Values = (np.add(EYE, (0.0, 0.0, 1.35 * EYE_CM)) - (_OUTER + _INNER) / 2) * (0, 1, 1)
"""[3] from the middle between an eye's corners to its centre of rotation, alike for both eyes. The cornea's front is
where the lids' middle is."""

_TOLERANCE_SECONDS = 1e-6


def aspect_ratios(points_px: Values) -> Values:
    """[m] openness of the eyes of m faces from their landmarks [m, 106, 2]; NaN where corners coincide."""
    return np.asarray(np.mean([_aspect_ratios(points_px, eye) for eye in EYES], axis=0))


def _aspect_ratios(points_px: Values, eye: Eye) -> Values:
    heights = [np.linalg.norm(points_px[:, upper] - points_px[:, lower], axis=1) for upper, lower in eye.lids]
    width = np.linalg.norm(points_px[:, eye.left_corner] - points_px[:, eye.right_corner], axis=1)
    mean_height = np.mean(heights, axis=0)
    return np.asarray(np.divide(mean_height, width, out=np.full(len(width), np.nan), where=width > 0))


def gaze_degrees(points_px: Values, poses: HeadPoses) -> tuple[Values, Values]:
    """Yaw and pitch [m] of the gaze, signs as of head poses; NaN where the pupils are farther off than eyes can turn.

    Args:
        points_px: [m, 106, 2] landmarks in pixels.
        poses: of the same m heads.
    """
    shifts = poses.scales_px[:, None] * (poses.rotations[:, :2] @ CENTER_OFFSET)
    offsets = [
        points_px[:, eye.pupil] - (points_px[:, eye.left_corner] + points_px[:, eye.right_corner]) / 2 - shifts
        for eye in EYES
    ]
    across, down = (np.mean(offsets, axis=0) / (poses.scales_px[:, None] * PUPIL_ARM)).T
    toward = 1 - across**2 - down**2
    toward = np.sqrt(np.where(toward > 0, toward, np.nan))
    return np.degrees(np.arctan2(across, toward)), np.degrees(np.arctan2(-down, np.hypot(across, toward)))


def are_closed(openness: Values) -> NDArray[np.bool_]:
    """[n] whether the eyes of one track are closed; False where the openness is NaN."""
    known = openness[~np.isnan(openness)]
    if not known.size:
        return np.zeros(len(openness), np.bool_)
    return np.asarray(openness < CLOSED_RATIO * np.percentile(known, OPEN_PERCENTILE))


def blinks(times_seconds: Values, openness: Values, step_seconds: float) -> tuple[float, ...]:
    """When one track blinks: starts of closures that last as long as a blink, seen from open to open.

    Args:
        times_seconds: [n] sorted.
        openness: [n] aspect ratio, NaN where it is not known.
        step_seconds: time that one sample stands for.
    """
    is_known = ~np.isnan(openness)
    times, closed = times_seconds[is_known], are_closed(openness)[is_known]
    edges = np.flatnonzero(np.diff(closed)) + 1
    found = []
    for first, end in itertools.pairwise(edges):
        is_whole = closed[first] and np.diff(times[first - 1 : end + 1]).max() < 1.5 * step_seconds
        lasted = (end - first) * step_seconds
        if is_whole and MIN_BLINK_SECONDS - _TOLERANCE_SECONDS <= lasted <= MAX_BLINK_SECONDS + _TOLERANCE_SECONDS:
            found.append(float(times[first]))
    return tuple(found)
