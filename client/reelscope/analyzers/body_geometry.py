"""Bodies in one instant: joint angles, posture and framing from COCO's 17 keypoints.

Conventions: points are x, y [n, 17, 2] in one unit for both axes, y down, NaN where a keypoint is not seen; n instants
at once. Angles are those of the picture, not of the room: a limb that points at the camera looks bent or short.

Posture from the torso's lean off the vertical, the thighs and the knees:
standing  torso within 45 degrees of upright, thighs hang down at least half a torso length, a leg is straight
sitting   torso within 45 degrees of upright, the knees less than half a torso length below the hips
bending   torso further down, thighs within 45 degrees of the vertical
lying     torso within 30 degrees of the horizontal, thighs not so
unknown   anything else, and whatever is not seen well enough
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from reelscope.signals import KEYPOINTS, Parameter

Posture = Literal["standing", "sitting", "bending", "lying", "unknown"]
Framing = Literal["full", "half", "head"]
Points = NDArray[np.float64]

K = {name: number for number, name in enumerate(KEYPOINTS)}
"""Number of every keypoint."""

JOINTS: dict[str, tuple[str, str, str]] = {
    f"{side}_{joint}": (f"{side}_{first}", f"{side}_{joint}", f"{side}_{last}")
    for joint, first, last in (
        ("elbow", "shoulder", "wrist"),
        ("shoulder", "hip", "elbow"),
        ("hip", "shoulder", "knee"),
        ("knee", "hip", "ankle"),
    )
    for side in ("left", "right")
}
"""Joints by name: the angle is that at the middle keypoint, between the other two."""
_JOINT_KEYPOINTS = [[K[name] for name in column] for column in zip(*JOINTS.values(), strict=True)]

UPRIGHT_DEGREES = 45.0
LYING_DEGREES = 30.0
SITTING_TORSO_LENGTHS = 0.5
STRAIGHT_LEG_DEGREES = 140.0
"""A leg from this knee angle on carries somebody who stands; a walker bends the other one more."""
TORSO_SHOULDER_WIDTHS = 0.288 / 0.259
"""Torso length in shoulder widths, for bodies whose hips are out of the picture: Drillis & Contini (1966), shoulder
height 0.818, hip height 0.530, shoulder breadth 0.259 of the stature."""

PARAMETERS: dict[str, Parameter] = {
    "upright_degrees": UPRIGHT_DEGREES,
    "lying_degrees": LYING_DEGREES,
    "sitting_torso_lengths": SITTING_TORSO_LENGTHS,
    "straight_leg_degrees": STRAIGHT_LEG_DEGREES,
}


def joint_angles(points: Points) -> dict[str, Points]:
    """[n] degrees 0-180 of every joint; NaN where one of its three keypoints is not seen, or two of them coincide."""
    firsts, vertices, lasts = (points[:, numbers] for numbers in _JOINT_KEYPOINTS)
    return dict(zip(JOINTS, _angles(vertices, firsts, lasts).T, strict=True))


def torso_lengths(points: Points) -> Points:
    """[n] from the middle of the shoulders to that of the hips, or judged by the shoulders' width; NaN without both."""
    torso = np.linalg.norm(_shoulders(points) - _hips(points), axis=-1)
    width = np.linalg.norm(points[:, K["left_shoulder"]] - points[:, K["right_shoulder"]], axis=-1)
    return np.asarray(np.where(np.isnan(torso), TORSO_SHOULDER_WIDTHS * width, torso))


def lean_degrees(points: Points) -> Points:
    """[n] 0-180: how far the torso leans off the vertical; 0 upright, 90 horizontal, 180 head down."""
    return _lean(_shoulders(points) - _hips(points), up=True)


def postures(points: Points) -> list[Posture]:
    """Posture in every instant, see above; points in torso lengths."""
    lean = lean_degrees(points)
    thigh = _middle(points, "knee") - _hips(points)
    thigh_lean = _lean(thigh, up=False)
    angles = joint_angles(points)
    knee = np.fmax(angles["left_knee"], angles["right_knee"])
    is_hanging = thigh[:, 1] >= SITTING_TORSO_LENGTHS
    is_upright = lean <= UPRIGHT_DEGREES
    # Ankles out of the picture: thighs that hang down are those of somebody who stands.
    is_straight = np.where(np.isnan(knee), thigh_lean <= UPRIGHT_DEGREES, knee >= STRAIGHT_LEG_DEGREES)
    conditions: dict[Posture, NDArray[np.bool_]] = {
        "standing": is_upright & is_hanging & is_straight,
        "sitting": is_upright & ~is_hanging & ~np.isnan(thigh_lean),
        "bending": (lean > UPRIGHT_DEGREES) & (thigh_lean <= UPRIGHT_DEGREES),
        "lying": (np.abs(lean - 90) <= LYING_DEGREES) & ~(thigh_lean <= UPRIGHT_DEGREES),
    }
    names = get_args(Posture)
    chosen = np.select(list(conditions.values()), range(len(conditions)), default=names.index("unknown"))
    return [names[number] for number in chosen]


def framings(points: Points) -> list[Framing | None]:
    """How much of the body is in the picture: down to an ankle, to a hip or elbow, or less; None: nothing is seen."""
    is_seen = ~np.isnan(points[..., 0])
    has = {part: is_seen[:, [K[f"left_{part}"], K[f"right_{part}"]]].any(1) for part in ("ankle", "hip", "elbow")}
    conditions = [has["ankle"], has["hip"] | has["elbow"], is_seen.any(1)]
    names: tuple[Framing | None, ...] = (*get_args(Framing), None)
    return [names[number] for number in np.select(conditions, range(3), default=3)]


def _angles(vertices: Points, firsts: Points, seconds: Points) -> Points:
    """[n, joints] degrees at the vertices [n, joints, 2]."""
    a, b = firsts - vertices, seconds - vertices
    cross, dot = a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0], (a * b).sum(-1)
    is_degenerate = (np.abs(a).sum(-1) == 0) | (np.abs(b).sum(-1) == 0)
    return np.where(is_degenerate, np.nan, np.degrees(np.arctan2(np.abs(cross), dot)))


def _lean(vectors: Points, *, up: bool) -> Points:
    """Degrees between vectors [n, 2] and straight up or down."""
    return np.asarray(np.degrees(np.arctan2(np.abs(vectors[:, 0]), -vectors[:, 1] if up else vectors[:, 1])))


def _shoulders(points: Points) -> Points:
    return _middle(points, "shoulder")


def _hips(points: Points) -> Points:
    return _middle(points, "hip")


def _middle(points: Points, part: str) -> Points:
    """[n, 2] between the left and the right one; the one that is seen where the other is not, as in profile."""
    left, right = points[:, K[f"left_{part}"]], points[:, K[f"right_{part}"]]
    return np.where(np.isnan(left), right, np.where(np.isnan(right), left, (left + right) / 2))
