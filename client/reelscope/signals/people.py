"""People: their poses and their faces."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reelscope.signals.base import Signal
from reelscope.signals.objects import Followed

KEYPOINTS = (
    "nose",
    "left_eye",
    "right_eye",
    "left_ear",
    "right_ear",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "left_hip",
    "right_hip",
    "left_knee",
    "right_knee",
    "left_ankle",
    "right_ankle",
)
"""COCO's 17 keypoints in the order of `Poses.keypoints`; left and right are the person's own."""

EXPRESSIONS = ("neutral", "happy", "sad", "surprise", "fear", "disgust", "anger", "contempt")
"""Classes of `FaceExpressions.probabilities`, in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Poses(Signal):
    """Poses of people in sampled frames; n frames, m people in all of them. Who is who, `ObjectTracks` tells."""

    times_seconds: NDArray[np.float64]
    """[n] sorted; the same instants as those of `ObjectTracks`."""
    height_over_width: float
    """Shape of the displayed frame."""
    frame: NDArray[np.int64]
    """[m] index into times_seconds, sorted."""
    boxes_xyxy: NDArray[np.float64]
    """[m, 4] 0-1."""
    scores: NDArray[np.float64]
    """[m] probability of a person, 0-1."""
    keypoints: NDArray[np.float64]
    """[m, 17, 3] x and y, 0-1 of the frame, and the probability 0-1 that the point is visible; see KEYPOINTS."""
    duration_seconds: float
    """Duration of the clip."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Faces(Followed):
    """Faces in sampled frames; n frames, m faces in all of them. Boxes are not clipped to the frame."""

    width_px: int
    """Width of the uploaded frames, so that face sizes can be told in the pixels that the networks saw."""
    height_px: int
    """Height of the uploaded frames."""
    keypoints: NDArray[np.float64]
    """[m, 5, 2] 0-1 of the frame: the eye, the eye, the nose, the mouth's corners; those to the image's left first."""

    @property
    def sizes_px(self) -> NDArray[np.float64]:
        """[m] shorter side of every box in pixels of the uploaded frame."""
        sides = (self.boxes_xyxy[:, 2:] - self.boxes_xyxy[:, :2]) * (self.width_px, self.height_px)
        return np.asarray(sides.min(axis=1))

    def name_of(self, track_id: int, rows: NDArray[np.intp]) -> tuple[str, str]:
        """A face is a face."""
        return f"face-{track_id + 1}", "face"


@dataclass(frozen=True, slots=True, kw_only=True)
class FaceAttributes(Signal):
    """Apparent age and gender of the faces of `Faces`, row by row. Biometric."""

    age_years: NDArray[np.float64]
    """[m]."""
    is_male: NDArray[np.bool_]
    """[m] the network's choice of two."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FaceLandmarks(Signal):
    """Landmarks of the faces of `Faces`, row by row. Biometric."""

    points: NDArray[np.float32]
    """[m, 106, 2] x and y, 0-1 of the frame; InsightFace's 106 points."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FaceExpressions(Signal):
    """Apparent expressions of the faces of `Faces`, row by row: expression, not feeling. Biometric."""

    probabilities: NDArray[np.float32]
    """[m, 8] by EXPRESSIONS; each row sums to 1."""
    valence: NDArray[np.float32]
    """[m] -1 unpleasant to 1 pleasant; NaN where the network does not say."""
    arousal: NDArray[np.float32]
    """[m] -1 calm to 1 excited; NaN where the network does not say."""
