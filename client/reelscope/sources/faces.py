"""Faces from the ensemble `faces` or `face_boxes`, linked over time by ByteTrack: one tracker per clip.

The ensemble `faces` also judges every face, from crops that are cut on the server; what it says of them is passed on
to the sources that listen. When nobody listens, because only boxes are wanted or because the deployment leaves
biometrics out, `face_boxes` is asked instead, and no face is ever cropped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reelscope.signals import Faces, Parameter
from reelscope.sources import tracking
from reelscope.sources.ensemble import Asked, EnsembleSource
from reelscope.types import ClipHeader, ModelProvenance

DETECTOR = "face_detection_scrfd"
ATTRIBUTES = "face_attributes"
LANDMARKS = "face_landmarks"
EXPRESSION = "face_expression"

PARAMETERS: dict[str, Parameter] = {
    "face_min_confidence": 0.5,  # both are constants of the exported graph, stated here for the results
    "face_nms_iou": 0.4,
    **tracking.PARAMETERS,
}

_BOXES = ("boxes_xyxy", "scores", "keypoints", "count")
_JUDGED = ("frame_index", "face_boxes", "face_scores", "face_keypoints")
_DETAILS = ("age_years", "is_male", "landmarks", "expression", "valence", "arousal")


@dataclass(frozen=True, slots=True, kw_only=True)
class FaceAnswer:
    """What the networks say of the k faces of one window, in the order of `Faces`; what the face source passes on."""

    frame_count: int
    """Frames that were looked at."""
    age_years: NDArray[np.float32]
    """[k]."""
    is_male: NDArray[np.int32]
    """[k] 1 or 0."""
    landmarks: NDArray[np.float32]
    """[k, 106, 2] 0-1 of the frame."""
    expression: NDArray[np.float32]
    """[k, 8] probabilities by EXPRESSIONS."""
    valence: NDArray[np.float32]
    """[k] -1 to 1, or NaN."""
    arousal: NDArray[np.float32]
    """[k] -1 to 1, or NaN."""
    models: Mapping[str, tuple[ModelProvenance, ...]]
    """By network: the models that have answered so far."""


@dataclass(frozen=True, slots=True)
class _Found:
    """The k faces of one window, in time order."""

    numbers: NDArray[np.int64]
    """[k] number of the frame among those asked about, sorted."""
    boxes: NDArray[np.float64]
    scores: NDArray[np.float64]
    keypoints: NDArray[np.float64]


class FaceSource(EnsembleSource):
    """Windows of the uploaded track in, `Faces` out; emits what is said of the faces of every window."""

    ensemble = "faces"
    networks: tuple[str, ...] = (DETECTOR, ATTRIBUTES, LANDMARKS, EXPRESSION)
    outputs: tuple[str, ...] = (*_JUDGED, *_DETAILS)
    by_frame = False
    divisor = 1
    parameters = PARAMETERS

    def start(self, header: ClipHeader) -> None:
        """Choose the ensemble and create the tracker."""
        if not self.listeners:
            self.ensemble, self.networks, self.outputs = "face_boxes", (DETECTOR,), _BOXES
        super().start(header)
        self._tracker = tracking.Tracker(float(self._rate))
        self._width_px, self._height_px = header.width, header.height
        self._times: list[float] = []
        self._frames = [np.empty(0, np.int64)]
        self._boxes = [np.empty((0, 4))]
        self._scores = [np.empty(0)]
        self._keypoints = [np.empty((0, 5, 2))]

    def consume_frames(self, asked: Asked, answer: dict[str, NDArray[Any]]) -> None:
        """Track the faces of one window; its frames come in time order."""
        self._height_px, self._width_px = asked.window.buffer.array.shape[1:3]
        if "frame_index" in answer:
            numbers = asked.numbers(answer["frame_index"])
            order = np.argsort(numbers, kind="stable")
            boxes, scores, keypoints = (answer[name][order].astype(np.float64) for name in _JUDGED[1:])
            self._track(asked, _Found(numbers[order], boxes, scores, keypoints))
            self._pass_on({name: answer[name][order] for name in _DETAILS}, len(asked.times_seconds))
        else:
            self._track(asked, _unpadded(asked, answer))

    def finish(self, duration_seconds: float) -> Faces:
        """Collect the last answers."""
        self.drain()
        return Faces(
            sampling=self._sampling,
            sampling_fps=float(self._rate),
            sample_count=len(self._times),
            models=self.models(DETECTOR),
            times_seconds=np.array(self._times),
            width_px=self._width_px,
            height_px=self._height_px,
            frame=np.concatenate(self._frames),
            boxes_xyxy=np.concatenate(self._boxes),
            scores=np.concatenate(self._scores),
            keypoints=np.concatenate(self._keypoints),
            track_ids=self._tracker.track_ids(),
            duration_seconds=duration_seconds,
        )

    def _track(self, asked: Asked, found: _Found) -> None:
        boxes_px = found.boxes * (self._width_px, self._height_px, self._width_px, self._height_px)
        self._frames.append(found.numbers + len(self._times))
        for number, time in enumerate(asked.times_seconds.tolist()):
            is_here = found.numbers == number
            self._tracker.update(boxes_px[is_here], found.scores[is_here], time)
            self._times.append(time)
        self._boxes.append(found.boxes)
        self._scores.append(found.scores)
        self._keypoints.append(found.keypoints)

    def _pass_on(self, details: dict[str, NDArray[Any]], frame_count: int) -> None:
        models = {network: self.models(network) for network in self.networks}
        self.emit(FaceAnswer(frame_count=frame_count, models=models, **details))


def _unpadded(asked: Asked, answer: dict[str, NDArray[Any]]) -> _Found:
    """Faces of the frames in time order, from an answer with 128 rows per frame; the first `count` are filled."""
    counts = answer["count"][asked.rows, 0].astype(np.int64)
    is_filled = np.arange(answer["scores"].shape[1]) < counts[:, None]
    boxes, scores, keypoints = (answer[name][asked.rows][is_filled].astype(np.float64) for name in _BOXES[:3])
    return _Found(np.repeat(np.arange(len(counts)), counts), boxes, scores, keypoints)
