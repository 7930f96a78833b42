"""Objects and people, followed over time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reelscope.signals.base import Signal


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """One object or person followed over time; results list them once, for all analyzers."""

    id: str
    """Unique within the clip: object-1, object-2, ..."""
    label: str
    """Class with the largest summed score of its boxes."""
    start_seconds: float
    end_seconds: float
    """One sampling step after its last sampled frame, at most the clip's end."""
    trained: bool
    """False when the detector has random weights: the track means nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectTracks(Signal):
    """Detected objects, linked over time; n frames sampled, m detections in all of them."""

    times_seconds: NDArray[np.float64]
    """[n] sorted."""
    height_over_width: float
    """Shape of the displayed frame, so that speeds can be told in widths."""
    frame: NDArray[np.int64]
    """[m] index into times_seconds, sorted."""
    boxes_xyxy: NDArray[np.float64]
    """[m, 4] 0-1."""
    scores: NDArray[np.float64]
    """[m] class probability, 0-1."""
    class_ids: NDArray[np.int64]
    """[m] index into labels."""
    track_ids: NDArray[np.int64]
    """[m] >= 0, unique per object within the clip; -1 for a detection that joined no track."""
    labels: tuple[str, ...]
    """Class names."""
    duration_seconds: float
    """Duration of the clip."""

    @property
    def step_seconds(self) -> float:
        """Time that one sampled frame stands for."""
        assert self.sampling_fps is not None
        return 1 / self.sampling_fps

    def tracks(self) -> tuple[tuple[Track, NDArray[np.intp]], ...]:
        """Every track with its rows (in time order), sorted by first appearance."""
        found = []
        for track_id in np.unique(self.track_ids[self.track_ids >= 0]):
            rows = np.flatnonzero(self.track_ids == track_id)
            votes = np.bincount(self.class_ids[rows], weights=self.scores[rows])
            times = self.times_seconds[self.frame[rows]]
            track = Track(
                id=f"object-{track_id + 1}",
                label=self.labels[int(votes.argmax())],
                start_seconds=float(times[0]),
                end_seconds=min(float(times[-1]) + self.step_seconds, self.duration_seconds),
                trained=not self.untrained_models,
            )
            found.append((track, rows))
        return tuple(sorted(found, key=lambda item: (item[0].start_seconds, item[1][0])))
