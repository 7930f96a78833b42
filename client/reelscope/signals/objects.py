"""Objects and people, followed over time."""

from __future__ import annotations

from abc import ABC, abstractmethod
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
    """Time of the first sampled frame that shows it."""
    end_seconds: float
    """One sampling step after its last sampled frame, at most the clip's end."""
    trained: bool
    """False when the detector has random weights: the track means nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed(Signal, ABC):
    """What was found in sampled frames and linked over time; n frames sampled, m findings in all of them."""

    times_seconds: NDArray[np.float64]
    """[n] sorted."""
    frame: NDArray[np.int64]
    """[m] index into times_seconds, sorted."""
    boxes_xyxy: NDArray[np.float64]
    """[m, 4] 0-1 of the frame."""
    scores: NDArray[np.float64]
    """[m] probability that it is what it was taken for, 0-1."""
    track_ids: NDArray[np.int64]
    """[m] >= 0, unique within the clip for each that is followed; -1 for what joined no track."""
    duration_seconds: float
    """Duration of the clip."""

    @abstractmethod
    def name_of(self, track_id: int, rows: NDArray[np.intp]) -> tuple[str, str]:
        """Id and label of the track with this number, whose findings are in these rows."""

    def tracks(self) -> tuple[tuple[Track, NDArray[np.intp]], ...]:
        """Every track with its rows (in time order), sorted by first appearance."""
        found = []
        for track_id in np.unique(self.track_ids[self.track_ids >= 0]):
            rows = np.flatnonzero(self.track_ids == track_id)
            times = self.times_seconds[self.frame[rows]]
            name, label = self.name_of(int(track_id), rows)
            track = Track(
                id=name,
                label=label,
                start_seconds=float(times[0]),
                end_seconds=min(float(times[-1]) + self.step_seconds, self.duration_seconds),
                trained=not self.untrained_models,
            )
            found.append((track, rows))
        return tuple(sorted(found, key=lambda item: (item[0].start_seconds, item[1][0])))


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectTracks(Followed):
    """Detected objects and people; scores are class probabilities, boxes lie within the frame."""

    height_over_width: float
    """Shape of the displayed frame, so that speeds can be told in widths."""
    class_ids: NDArray[np.int64]
    """[m] index into labels."""
    labels: tuple[str, ...]
    """Class names."""

    def name_of(self, track_id: int, rows: NDArray[np.intp]) -> tuple[str, str]:
        """An object is of the class with the largest summed score of its boxes."""
        votes = np.bincount(self.class_ids[rows], weights=self.scores[rows])
        return f"object-{track_id + 1}", self.labels[int(votes.argmax())]
