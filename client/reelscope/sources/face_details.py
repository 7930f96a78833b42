"""What is said of each face: age and gender, landmarks, expression; row by row as `Faces` has them.

The ensemble `faces` answers all of it at once, through the face source. Each signal here carries the provenance of its
own network only, so that one that is untrained does not spoil the others.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, TypedDict

import numpy as np

from reelscope.signals import EXPRESSIONS, FaceAttributes, FaceExpressions, FaceLandmarks, Faces
from reelscope.sources.base import Source, sampling_name
from reelscope.sources.faces import ATTRIBUTES, EXPRESSION, LANDMARKS, FaceAnswer
from reelscope.types import ClipHeader, ModelProvenance

LANDMARK_COUNT = 106


class _Head(TypedDict):
    """What all signals have in common."""

    sampling: str
    sampling_fps: float
    sample_count: int
    models: tuple[ModelProvenance, ...]


class FaceDetailSource(Source[FaceAnswer]):
    """Collects the answers of one network."""

    consumes: ClassVar[type] = FaceAnswer
    needs = (Faces,)
    network: ClassVar[str]

    def start(self, header: ClipHeader) -> None:
        """Begin without faces."""
        self._rate = header.base_frame_rate
        self._frame_count = 0
        self._models: tuple[ModelProvenance, ...] = ()

    def push(self, part: FaceAnswer) -> None:
        """Keep what is said of the faces of one window."""
        self._frame_count += part.frame_count
        self._models = part.models[self.network]
        self.keep(part)

    @abstractmethod
    def keep(self, part: FaceAnswer) -> None:
        """Keep this network's share of it."""

    def head(self) -> _Head:
        """Fields that all signals have."""
        return {
            "sampling": sampling_name(self._rate, self._rate),
            "sampling_fps": float(self._rate),
            "sample_count": self._frame_count,
            "models": self._models,
        }


class FaceAttributeSource(FaceDetailSource):
    """`FaceAnswer` in, `FaceAttributes` out."""

    network = ATTRIBUTES

    def start(self, header: ClipHeader) -> None:
        """Begin without faces."""
        super().start(header)
        self._ages = [np.empty(0)]
        self._is_male = [np.empty(0, np.bool_)]

    def keep(self, part: FaceAnswer) -> None:
        """Keep ages and genders."""
        self._ages.append(part.age_years.astype(np.float64))
        self._is_male.append(part.is_male.astype(np.bool_))

    def finish(self, duration_seconds: float) -> FaceAttributes:
        """Put them together."""
        return FaceAttributes(
            age_years=np.concatenate(self._ages), is_male=np.concatenate(self._is_male), **self.head()
        )


class FaceLandmarkSource(FaceDetailSource):
    """`FaceAnswer` in, `FaceLandmarks` out."""

    network = LANDMARKS

    def start(self, header: ClipHeader) -> None:
        """Begin without faces."""
        super().start(header)
        self._points = [np.empty((0, LANDMARK_COUNT, 2), np.float32)]

    def keep(self, part: FaceAnswer) -> None:
        """Keep the points."""
        self._points.append(part.landmarks)

    def finish(self, duration_seconds: float) -> FaceLandmarks:
        """Put them together."""
        return FaceLandmarks(points=np.concatenate(self._points), **self.head())


class FaceExpressionSource(FaceDetailSource):
    """`FaceAnswer` in, `FaceExpressions` out."""

    network = EXPRESSION

    def start(self, header: ClipHeader) -> None:
        """Begin without faces."""
        super().start(header)
        self._probabilities = [np.empty((0, len(EXPRESSIONS)), np.float32)]
        self._valence = [np.empty(0, np.float32)]
        self._arousal = [np.empty(0, np.float32)]

    def keep(self, part: FaceAnswer) -> None:
        """Keep the probabilities, and valence and arousal."""
        self._probabilities.append(part.expression)
        self._valence.append(part.valence)
        self._arousal.append(part.arousal)

    def finish(self, duration_seconds: float) -> FaceExpressions:
        """Put them together."""
        return FaceExpressions(
            probabilities=np.concatenate(self._probabilities),
            valence=np.concatenate(self._valence),
            arousal=np.concatenate(self._arousal),
            **self.head(),
        )
