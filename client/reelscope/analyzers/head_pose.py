"""Head pose from points of a face: the scaled orthographic view of a generic head that fits them best.

An affine view of the head is fitted by least squares, in closed form, and the rotation nearest to it is taken: the
first step of DeMenthon & Davis (1995), Model-based object pose in 25 lines of code. The angles are those to the line of
sight from the camera to the face, wherever in the picture that is.

The generic head is the anthropometric model of Martins & Batista (2008), Accurate single view model-based head pose
estimation (https://aifi.isr.uc.pt/HeadPoseEstimation.html): a laser scan, made symmetric.

Conventions: yaw > 0 looks to the picture's right, pitch > 0 looks up, roll > 0 is turned clockwise in the picture. A
mirrored picture negates yaw and roll.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reelscope.analyzers import face_points

Points = NDArray[np.float64]

HEAD: dict[str, tuple[float, float, float]] = {
    "outer_corner": (5.31, 5.49, 3.99),
    "inner_corner": (1.79, 5.39, 4.41),
    "upper_lid": (3.55, 6.19, 5.71),
    "lower_lid": (3.53, 4.98, 4.94),
    "nose_side": (0.98, 4.55, 6.30),
    "nose_wing": (1.93, 0.42, 5.91),
    "nostril": (0.75, 0.35, 6.26),
    "nose_base": (0.0, 0.0, 6.76),
    "nose_tip": (0.0, 1.92, 7.70),
    "mouth_corner": (2.77, -2.08, 5.05),
}
"""The generic head, in its own centimetres: away from the symmetry plane, up, and out of the face."""


def _at(name: str, side: int = 0) -> tuple[float, float, float]:
    """Place of a point: x to the picture's right, y down, z away from the camera; `side` -1 is the picture's left."""
    across, up, out = HEAD[name]
    return side * across, -up, -out


EYE: Points = np.mean([_at("upper_lid", 1), _at("lower_lid", 1)], axis=0)
"""[3] the eye on the picture's right, midway between its lids."""

KEYPOINT_HEAD: Points = np.array(
    [EYE * (-1, 1, 1), EYE, _at("nose_tip"), _at("mouth_corner", -1), _at("mouth_corner", 1)]
)
"""[5, 3] the five keypoints of `Faces`."""

LANDMARK_NUMBERS = (
    *(face_points.LEFT_EYE.left_corner, face_points.LEFT_EYE.right_corner),
    *(face_points.RIGHT_EYE.left_corner, face_points.RIGHT_EYE.right_corner),
    *face_points.NOSE_SIDES,
    *face_points.NOSE_WINGS,
    *face_points.NOSTRILS,
    face_points.NOSE_BASE,
    face_points.NOSE_TIP,
    *face_points.MOUTH_CORNERS,
)
"""Those of the 106 landmarks that the head is fitted to: what neither blinking nor speaking moves much."""

LANDMARK_HEAD: Points = np.array(
    [
        *(_at("outer_corner", -1), _at("inner_corner", -1)),
        *(_at("inner_corner", 1), _at("outer_corner", 1)),
        *(_at(name, side) for name in ("nose_side", "nose_wing", "nostril") for side in (-1, 1)),
        *(_at("nose_base"), _at("nose_tip")),
        *(_at("mouth_corner", side) for side in (-1, 1)),
    ]
)
"""[14, 3] the same points of the generic head."""


@dataclass(frozen=True, slots=True)
class HeadPoses:
    """Poses of m heads; NaN for a head whose points do not tell."""

    yaw_degrees: Points
    """[m]."""
    pitch_degrees: Points
    """[m]."""
    roll_degrees: Points
    """[m]."""
    rotations: Points
    """[m, 3, 3] from the generic head's axes to those of the camera: right, down, away."""
    scales_px: Points
    """[m] pixels per centimetre of the generic head."""


def head_poses(points_px: Points, head: Points) -> HeadPoses:
    """Fit heads to points.

    Args:
        points_px: [m, k, 2] in pixels, x to the right and y down.
        head: [k, 3] the same points of the generic head: KEYPOINT_HEAD or LANDMARK_HEAD.
    """
    # Points of a network gone astray must not stop the others: the decomposition refuses what is not finite.
    is_known = np.asarray(np.isfinite(points_px).all(axis=(1, 2)))
    points = np.where(is_known[:, None, None], points_px, 0.0)
    offsets = points - points.mean(axis=1, keepdims=True)
    views = (np.linalg.pinv(head - head.mean(axis=0)) @ offsets).transpose(0, 2, 1)
    left, stretches, right = np.linalg.svd(views, full_matrices=False)
    across_and_down = left @ right
    away = np.cross(across_and_down[:, 0], across_and_down[:, 1])[:, None]
    is_known = is_known & (stretches[:, 1] > 0)
    rotations = np.where(is_known[:, None, None], np.concatenate([across_and_down, away], axis=1), np.nan)
    return HeadPoses(
        yaw_degrees=np.degrees(np.arctan2(-rotations[:, 0, 2], rotations[:, 2, 2])),
        pitch_degrees=np.degrees(np.arcsin(np.clip(rotations[:, 1, 2], -1, 1))),
        roll_degrees=np.degrees(np.arctan2(rotations[:, 1, 0], rotations[:, 1, 1])),
        rotations=rotations,
        scales_px=np.where(is_known, stretches.mean(axis=1), np.nan),
    )
