"""Heads in space, seen by a camera: the truth about pose, gaze and openness that the geometry of faces is held to.

Centimetres, x to the picture's right, y down, z away from the camera; the origin is the nose's base. Angles in degrees:
yaw to the picture's right, pitch up, roll clockwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from feeding import PROVENANCE

from reelscope.signals import FaceAttributes, FaceExpressions, FaceLandmarks, Faces

WIDTH, HEIGHT = 720, 1280
SIDES = (("left", -1), ("right", 1))

_EYE = "bottom center left_corner lower_left_quarter lower_right_quarter pupil right_corner top"
_LIPS = "upper_lip_top upper_lip_bottom lower_lip_top lower_lip_bottom"
NAMES = sorted(
    [
        "contour_chin",
        *(f"contour_{side}{k}" for side, _ in SIDES for k in range(1, 17)),
        *(f"{side}_eye_{part}" for side, _ in SIDES for part in _EYE.split()),
        *(f"{side}_eye_upper_{quarter}_quarter" for side, _ in SIDES for quarter in ("left", "right")),
        *(f"{side}_eyebrow_{side}_corner" for side, _ in SIDES),
        *(f"{side}_eyebrow_{edge}_middle" for side, _ in SIDES for edge in ("lower", "upper")),
        *(
            f"{side}_eyebrow_{edge}_{quarter}_quarter"
            for side, _ in SIDES
            for edge in ("lower", "upper")
            for quarter in ("left", "right")
        ),
        *(f"left_eyebrow_{edge}_right_corner" for edge in ("lower", "upper")),
        *(f"right_eyebrow_{edge}_left_corner" for edge in ("lower", "upper")),
        *(f"mouth_{part}" for part in ("left_corner", "right_corner", *_LIPS.split())),
        *(f"mouth_upper_lip_{side}_contour{k}" for side, _ in SIDES for k in range(1, 5)),
        *(f"mouth_lower_lip_{side}_contour{k}" for side, _ in SIDES for k in range(1, 4)),
        *(f"nose_bridge{k}" for k in range(1, 4)),
        *(f"nose_{side}_contour{k}" for side, _ in SIDES for k in range(1, 6)),
        *("nose_middle_contour", "nose_tip"),
    ]
)
"""Names of the 106 landmarks in the order of their numbers."""
NUMBER = {name: number for number, name in enumerate(NAMES)}

SIZES = {
    "outer_corner": (4.64, -4.80, -3.49),
    "inner_corner": (1.56, -4.71, -3.85),
    "lids": (3.09, -4.88, -4.66),
    "lid_height": 1.06,
    "side": (0.86, -3.98, -5.51),
    "wing": (1.69, -0.37, -5.17),
    "nostril": (0.65, -0.31, -5.47),
    "base": (0.0, 0.0, -5.91),
    "tip": (0.0, -1.68, -6.73),
    "mouth": (2.42, 1.82, -4.41),
}
"""A mean head, on the picture's right of its symmetry plane."""
BALL_CM, PUPIL_DEPTH_CM = 1.35, 0.305
"""Front of the cornea to the eye's centre of rotation, and to the pupil."""


@dataclass(frozen=True, slots=True)
class View:
    """One head, seen once."""

    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    gaze: tuple[float, float] = (0.0, 0.0)
    """Yaw and pitch to the line of sight."""
    openness: float = 1.0
    distance_cm: float = 60.0
    px_per_cm: float = 14.0
    person: int | None = None
    """Seed of somebody whose head differs by about 6 % in width, height and depth and whose points lie about 1 mm off;
    None: the mean head."""

    def points(self) -> tuple[np.ndarray, np.ndarray]:
        """Landmarks [106, 2] and keypoints [5, 2] in pixels."""
        head = _head(self.openness, self.person)
        turned = {name: rotation(self.yaw, self.pitch, self.roll) @ place for name, place in head.items()}
        middle = np.mean(list(turned.values()), axis=0)
        turned = {name: place - middle for name, place in turned.items()}
        for side, _ in SIDES:
            ball = turned[f"{side}_eye_ball"]
            across, down, away = ball + np.array([0, 0, self.distance_cm])
            yaw, pitch = -np.arctan2(across, away), np.arctan2(down, np.hypot(across, away))
            looking = rotation(self.gaze[0] + np.degrees(yaw), self.gaze[1] + np.degrees(pitch), 0) @ (0, 0, -1)
            turned[f"{side}_eye_pupil"] = ball + (BALL_CM - PUPIL_DEPTH_CM) * looking
        seen = {name: self._seen(place) for name, place in turned.items()}
        five = ("left_eye_center", "right_eye_center", "nose_tip", "mouth_left_corner", "mouth_right_corner")
        return np.array([seen.get(name, (WIDTH / 2, HEIGHT / 2)) for name in NAMES]), np.array(
            [seen[name] for name in five]
        )

    def _seen(self, place: np.ndarray) -> np.ndarray:
        scale = self.px_per_cm * self.distance_cm / (self.distance_cm + place[2])
        return np.array([WIDTH / 2, HEIGHT / 2]) + scale * place[:2]


def rotation(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """Turn about the nose's own axis, then up, then to the side."""
    a, b, c = np.radians((-yaw, -pitch, roll))
    about_y = np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    about_z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return about_y @ about_x @ about_z


def mirrored(landmarks: np.ndarray) -> np.ndarray:
    """Landmarks [106, 2] in pixels of the mirrored picture: points swap names with their counterparts."""
    swap = str.maketrans({"<": "right", ">": "left"})
    order = [NUMBER[name.replace("left", "<").replace("right", ">").translate(swap)] for name in NAMES]
    return landmarks[order] * (-1, 1) + (WIDTH, 0)


def mirrored_keypoints(keypoints: np.ndarray) -> np.ndarray:
    """Keypoints [5, 2] in pixels of the mirrored picture."""
    return keypoints[[1, 0, 2, 4, 3]] * (-1, 1) + (WIDTH, 0)


def _head(openness: float, person: int | None) -> dict[str, np.ndarray]:
    sizes = {name: np.array(size) for name, size in SIZES.items()}
    if person is not None:
        random = np.random.default_rng(person)
        shape = random.normal(1, 0.06, 3)
        sizes = {
            name: size * shape + random.normal(0, 0.1, 3) if size.shape else size * shape[1]
            for name, size in sizes.items()
        }
    head = {
        "nose_middle_contour": sizes["base"],
        "nose_tip": sizes["tip"],
        **{f"nose_{name}_contour1": sizes["side"] * (side, 1, 1) for name, side in SIDES},
        **{f"nose_{name}_contour4": sizes["wing"] * (side, 1, 1) for name, side in SIDES},
        **{f"nose_{name}_contour5": sizes["nostril"] * (side, 1, 1) for name, side in SIDES},
        **{f"mouth_{name}_corner": sizes["mouth"] * (side, 1, 1) for name, side in SIDES},
    }
    for name, side in SIDES:
        outer, inner, lids = (sizes[part] * (side, 1, 1) for part in ("outer_corner", "inner_corner", "lids"))
        left, right = (outer, inner) if name == "left" else (inner, outer)
        half = np.array([0, openness * sizes["lid_height"] / 2, 0])
        head |= {
            f"{name}_eye_left_corner": left,
            f"{name}_eye_right_corner": right,
            f"{name}_eye_center": lids,
            f"{name}_eye_top": lids - half,
            f"{name}_eye_bottom": lids + half,
            f"{name}_eye_ball": lids + np.array([0, 0, BALL_CM]),
        }
        for quarter, corner in (("left", left), ("right", right)):
            head[f"{name}_eye_upper_{quarter}_quarter"] = (corner + lids) / 2 - 0.75 * half
            head[f"{name}_eye_lower_{quarter}_quarter"] = (corner + lids) / 2 + 0.75 * half
    return head


def faces(
    frame: Sequence[int],
    track_ids: Sequence[int] | None = None,
    *,
    boxes_px: Sequence[Sequence[float]] | None = None,
    keypoints_px: np.ndarray | None = None,
    scores: Sequence[float] | float = 0.9,
    frame_count: int | None = None,
    fps: float = 10.0,
    trained: bool = True,
) -> Faces:
    """Faces in these frames; unless told otherwise one track of a face of 200 x 260 px that looks straight ahead."""
    count = len(frame)
    frames = frame_count if frame_count is not None else max(frame, default=0) + 1
    boxes = np.broadcast_to((260, 500, 460, 760) if boxes_px is None else boxes_px, (count, 4))
    keypoints = View().points()[1] if keypoints_px is None else keypoints_px
    return Faces(
        sampling="F10",
        sampling_fps=fps,
        sample_count=frames,
        models=(replace(PROVENANCE, name="face_detection_scrfd", trained=trained),),
        times_seconds=np.arange(frames) / fps,
        width_px=WIDTH,
        height_px=HEIGHT,
        frame=np.array(frame, np.int64),
        boxes_xyxy=boxes / (WIDTH, HEIGHT, WIDTH, HEIGHT),
        scores=np.broadcast_to(np.asarray(scores, float), count),
        keypoints=np.broadcast_to(keypoints, (count, 5, 2)) / (WIDTH, HEIGHT),
        track_ids=np.zeros(count, np.int64) if track_ids is None else np.array(track_ids, np.int64),
        duration_seconds=frames / fps,
    )


def _head_of(network: str, count: int, trained: bool) -> dict:
    models = (replace(PROVENANCE, name=network, trained=trained),)
    return {"sampling": "F10", "sampling_fps": 10.0, "sample_count": count, "models": models}


def attributes(ages: Sequence[float], is_male: Sequence[bool] | None = None, trained: bool = True) -> FaceAttributes:
    """Ages and genders, one per face."""
    return FaceAttributes(
        age_years=np.array(ages, float),
        is_male=np.zeros(len(ages), bool) if is_male is None else np.array(is_male),
        **_head_of("face_attributes", len(ages), trained),
    )


def landmarks(views: Sequence[np.ndarray], trained: bool = True) -> FaceLandmarks:
    """Landmarks [106, 2] in pixels, one array per face."""
    points = np.array(views).reshape(-1, 106, 2) / (WIDTH, HEIGHT)
    return FaceLandmarks(points=points.astype(np.float32), **_head_of("face_landmarks", len(points), trained))


def expressions(
    probabilities: np.ndarray, valence: Sequence[float] | None = None, trained: bool = True
) -> FaceExpressions:
    """Probabilities [m, 8]; arousal is half the valence, both unknown unless told."""
    told = np.full(len(probabilities), np.nan) if valence is None else np.array(valence)
    return FaceExpressions(
        probabilities=np.asarray(probabilities, np.float32).reshape(-1, 8),
        valence=told.astype(np.float32),
        arousal=(told / 2).astype(np.float32),
        **_head_of("face_expression", len(probabilities), trained),
    )
