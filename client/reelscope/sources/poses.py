"""Poses of people from the ensemble `poses`. Nobody is tracked here: `ObjectTracks` knows who is who."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from reelscope.signals import KEYPOINTS, Parameter, Poses
from reelscope.sources.ensemble import Asked, EnsembleSource
from reelscope.types import ClipHeader

PARAMETERS: dict[str, Parameter] = {
    "pose_min_confidence": 0.25,  # both are constants of the exported graph, stated here for the results
    "pose_nms_iou": 0.7,
}


class PoseSource(EnsembleSource):
    """Windows of the uploaded track in, `Poses` out."""

    ensemble = "poses"
    networks = ("pose_yolov8",)
    outputs = ("boxes_xyxy", "scores", "keypoints", "count")
    divisor = 1
    parameters = PARAMETERS

    def start(self, header: ClipHeader) -> None:
        """Begin without frames."""
        super().start(header)
        self._height_over_width = header.height / header.width
        self._times: list[float] = []
        self._counts: list[int] = []
        self._boxes = [np.empty((0, 4))]
        self._scores = [np.empty(0)]
        self._keypoints = [np.empty((0, len(KEYPOINTS), 3))]

    def consume_frames(self, asked: Asked, answer: dict[str, NDArray[Any]]) -> None:
        """Keep the people of one window; its frames come in time order."""
        for row, time in enumerate(asked.times_seconds):
            count = int(answer["count"][row, 0])
            self._times.append(float(time))
            self._counts.append(count)
            # Copies: a view would keep the padded answer, 300 people per frame.
            self._boxes.append(answer["boxes_xyxy"][row, :count].astype(np.float64))
            self._scores.append(answer["scores"][row, :count].astype(np.float64))
            self._keypoints.append(answer["keypoints"][row, :count].astype(np.float64))

    def finish(self, duration_seconds: float) -> Poses:
        """Collect the last answers."""
        self.drain()
        return Poses(
            sampling=self._sampling,
            sampling_fps=float(self._rate),
            sample_count=len(self._times),
            models=self.models(),
            times_seconds=np.array(self._times),
            height_over_width=self._height_over_width,
            frame=np.repeat(np.arange(len(self._times)), self._counts).astype(np.int64),
            boxes_xyxy=np.concatenate(self._boxes),
            scores=np.concatenate(self._scores),
            keypoints=np.concatenate(self._keypoints),
            duration_seconds=duration_seconds,
        )
