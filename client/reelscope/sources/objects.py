"""Objects from the ensemble `detections`, linked over time by ByteTrack: one tracker per clip, so that ids persist."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from reelscope.settings import labels
from reelscope.signals import ObjectTracks, Parameter
from reelscope.sources import tracking
from reelscope.sources.ensemble import Asked, EnsembleSource
from reelscope.types import ClipHeader, TrackedWindow

PARAMETERS: dict[str, Parameter] = {
    "min_confidence": 0.25,  # this and the next are constants of the exported graph, stated here for the results
    "nms_iou": 0.7,
    **tracking.PARAMETERS,
}


class ObjectSource(EnsembleSource):
    """Windows of the uploaded track in, `ObjectTracks` out; emits every window with its objects."""

    ensemble = "detections"
    networks = ("object_yolov8",)
    outputs = ("boxes_xyxy", "scores", "class_ids", "count")
    divisor = 1
    parameters = PARAMETERS

    def start(self, header: ClipHeader) -> None:
        """Create the tracker."""
        super().start(header)
        self._size = np.array([header.width, header.height, header.width, header.height], float)
        self._tracker = tracking.Tracker(float(self._rate))
        self._times: list[float] = []
        self._rows: list[NDArray[np.float64]] = []

    def consume_frames(self, asked: Asked, answer: dict[str, NDArray[Any]]) -> None:
        """Track the detections of one window; its frames come in time order."""
        first = len(self._times)
        for row, time in enumerate(asked.times_seconds):
            count = int(answer["count"][row, 0])
            boxes = answer["boxes_xyxy"][row, :count].astype(float)
            scores = answer["scores"][row, :count].astype(float)
            self._tracker.update(boxes * self._size, scores, float(time))
            frame = np.full(count, len(self._times))
            self._rows.append(np.column_stack((frame, boxes, scores, answer["class_ids"][row, :count])))
            self._times.append(float(time))
        if self.listeners:
            rows = np.concatenate(self._rows[first:])
            self.emit(
                TrackedWindow(
                    window=asked.window,
                    rows=asked.rows[rows[:, 0].astype(np.int64) - first],
                    boxes_xyxy=rows[:, 1:5],
                    scores=rows[:, 5],
                    track_ids=self._tracker.latest_ids(len(asked.times_seconds)),
                )
            )

    def finish(self, duration_seconds: float) -> ObjectTracks:
        """Collect the last answers."""
        self.drain()
        rows = np.concatenate([np.empty((0, 7)), *self._rows])
        return ObjectTracks(
            sampling=self._sampling,
            sampling_fps=float(self._rate),
            sample_count=len(self._times),
            models=self.models(),
            times_seconds=np.array(self._times),
            height_over_width=float(self._size[1] / self._size[0]),
            frame=rows[:, 0].astype(np.int64),
            boxes_xyxy=rows[:, 1:5],
            scores=rows[:, 5],
            class_ids=rows[:, 6].astype(np.int64),
            track_ids=self._tracker.track_ids(),
            labels=labels(*self.networks),
            duration_seconds=duration_seconds,
        )
