"""Object detection: what is visible, how long, how prominently.

Conventions: one segment per track, from its first to its last sampled frame plus one sampling step; boxes x1, y1, x2,
y2 in 0-1 of the displayed frame; the score of a segment is the mean class probability of its boxes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reelscope.analyzers.base import Analyzer, Finding, Labels, Segment
from reelscope.signals import ObjectTracks, Track


@dataclass(frozen=True, slots=True, kw_only=True)
class BoxSeries:
    """Boxes of one track over time."""

    times_seconds: tuple[float, ...]
    """Sampled instants at which it was detected, seconds."""
    boxes_xyxy: tuple[tuple[float, float, float, float], ...]
    """One box per instant: x1, y1, x2, y2, 0-1 of the frame."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectData:
    """One tracked object."""

    class_name: str
    """Class of the model's label list."""
    confidence_mean: float
    """Mean class probability, 0-1."""
    area_percent: float
    """Mean box area, percent of the frame."""
    screen_time_seconds: float
    """Time in which it was detected: a sampling step for each sampled frame, within the clip."""
    speed_percent_width_per_second: float | None
    """Median speed of its centre, percent of the frame's width per second, >= 0; null when
    seen once."""
    boxes: BoxSeries
    """Where it was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectSummary:
    """What the clip shows. Every field is null when the detector is untrained."""

    unique_per_class: Mapping[str, int] | None
    """Tracks per class, >= 1; an object that left for more than a second counts again."""
    max_concurrent: int | None
    """Most tracks in one sampled frame, >= 0."""
    prominence: Mapping[str, float] | None
    """Per class: sum over its tracks of the mean share of the frame times screen time, seconds, >= 0."""


def analyze(objects: ObjectTracks) -> Finding[ObjectData, ObjectSummary]:
    """Describe every track."""
    segments = [_segment(track, rows, objects) for track, rows in objects.tracks()]
    return Finding(segments=tuple(segments), summary=_summary(segments, objects))


def _segment(track: Track, rows: NDArray[np.intp], objects: ObjectTracks) -> Segment[ObjectData]:
    times, boxes = objects.times_seconds[objects.frame[rows]], objects.boxes_xyxy[rows]
    confidence = float(objects.scores[rows].mean())
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return Segment(
        kind="span",
        start_seconds=track.start_seconds,
        end_seconds=track.end_seconds,
        label=track.label,
        score=confidence,
        track_id=track.id,
        data=ObjectData(
            class_name=track.label,
            confidence_mean=confidence,
            area_percent=100 * float(areas.mean()),
            screen_time_seconds=float(np.minimum(objects.step_seconds, objects.duration_seconds - times).sum()),
            speed_percent_width_per_second=_speed(times, boxes, objects.height_over_width),
            boxes=BoxSeries(
                times_seconds=tuple(times.tolist()),
                boxes_xyxy=tuple((a, b, c, d) for a, b, c, d in boxes.tolist()),
            ),
        ),
    )


def _speed(times: NDArray[np.float64], boxes: NDArray[np.float64], height_over_width: float) -> float | None:
    if len(times) < 2:
        return None
    centers = (boxes[:, :2] + boxes[:, 2:]) / 2 * (1, height_over_width)
    steps = np.linalg.norm(np.diff(centers, axis=0), axis=1) / np.diff(times)
    return 100 * float(np.median(steps))


def _summary(segments: list[Segment[ObjectData]], objects: ObjectTracks) -> ObjectSummary:
    if objects.untrained_models:
        return ObjectSummary(unique_per_class=None, max_concurrent=None, prominence=None)
    unique: dict[str, int] = {}
    prominence: dict[str, float] = {}
    for segment in segments:
        name, data = segment.data.class_name, segment.data
        unique[name] = unique.get(name, 0) + 1
        prominence[name] = prominence.get(name, 0.0) + data.area_percent / 100 * data.screen_time_seconds
    tracked = objects.frame[objects.track_ids >= 0]
    return ObjectSummary(
        unique_per_class=dict(sorted(unique.items())),
        max_concurrent=int(np.bincount(tracked).max()) if tracked.size else 0,
        prominence=dict(sorted(prominence.items())),
    )


def headline(summary: ObjectSummary) -> str:
    """Say it in a few words."""
    if summary.unique_per_class is None:
        return "random weights: nothing is claimed"
    return ", ".join(f"{count} {name}" for name, count in summary.unique_per_class.items()) or "nothing found"


ANALYZER = Analyzer(
    name="object_detection",
    version="1",
    title="what is visible, how long, how prominently",
    requires=(ObjectTracks,),
    data=ObjectData,
    summary=ObjectSummary,
    labels=(
        Labels(
            meaning="a tracked object or person; the label is its class", score="mean class probability of its boxes"
        ),
    ),
    headline=headline,
    analyze=analyze,
)
