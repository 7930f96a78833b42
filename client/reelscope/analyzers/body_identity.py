"""Who is who: poses get their identity from the tracks of object detection, so that nobody is tracked twice.

In every frame poses and the boxes of person tracks are matched one to one, by overlap. A pose that no track claims goes
on with whom it overlaps: with a person whose track misses a box here, or with one whom no track knows at all.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from reelscope.signals import ObjectTracks, Parameter, Poses, Track

MIN_IOU = 0.3
"""Overlap from which two boxes are one person's."""
LOST_SECONDS = 0.5
"""How long somebody without a pose is waited for."""

PARAMETERS: dict[str, Parameter] = {"person_min_iou": MIN_IOU, "person_lost_seconds": LOST_SECONDS}


@dataclass(slots=True, eq=False)
class Person:
    """One person's poses."""

    track: Track | None
    """None for a person whom no track claims."""
    rows: list[int] = field(default_factory=list)
    """Rows of `Poses`, in time order."""


def people(poses: Poses, objects: ObjectTracks | None) -> list[Person]:
    """Everybody in the clip, in order of appearance; every pose is exactly one person's."""
    found: list[Person] = []
    present: list[Person] = []
    claims = _claims(objects) if objects else {}
    bounds = np.searchsorted(poses.frame, np.arange(len(poses.times_seconds) + 1)).tolist()
    for frame, time in enumerate(poses.times_seconds.tolist()):
        rows = list(range(*bounds[frame : frame + 2]))
        tracked, boxes = claims.get(_milliseconds(time), ([], np.empty((0, 4))))
        claimed = _give(rows, poses, tracked, boxes)
        waiting = [person for person in present if person not in claimed and _may_go_on(person, time, poses)]
        boxes = poses.boxes_xyxy[[person.rows[-1] for person in waiting]]
        went_on = _give(rows, poses, waiting, boxes)
        born = [Person(None, [row]) for row in rows]
        found += [person for person in claimed if len(person.rows) == 1] + born
        present = claimed + [person for person in waiting if person not in went_on] + went_on + born
    return found


def _claims(objects: ObjectTracks) -> dict[int, tuple[list[Person], NDArray[np.float64]]]:
    """People that object detection follows and their boxes [k, 4], by the instant in milliseconds."""
    rows_at: dict[int, list[tuple[Person, int]]] = {}
    for track, rows in objects.tracks():
        if track.label == "person":
            person = Person(track)
            for row in rows.tolist():
                instant = _milliseconds(float(objects.times_seconds[objects.frame[row]]))
                rows_at.setdefault(instant, []).append((person, row))
    return {
        instant: ([person for person, _ in pairs], objects.boxes_xyxy[[row for _, row in pairs]])
        for instant, pairs in rows_at.items()
    }


def _milliseconds(seconds: float) -> int:
    return round(1000 * seconds)


def _may_go_on(person: Person, time: float, poses: Poses) -> bool:
    if time - poses.times_seconds[poses.frame[person.rows[-1]]] > LOST_SECONDS:
        return False
    return person.track is None or time < person.track.end_seconds


def _give(rows: list[int], poses: Poses, persons: list[Person], boxes: NDArray[np.float64]) -> list[Person]:
    """Give poses to the people whose boxes [k, 4] they overlap, and take them off `rows`; who got one."""
    if not rows or not persons:
        return []
    overlaps = _ious(poses.boxes_xyxy[rows], boxes)
    pairs = [(rows[k], persons[m]) for k, m in zip(*_assigned(overlaps), strict=True) if overlaps[k, m] >= MIN_IOU]
    for row, person in pairs:
        person.rows.append(row)
        rows.remove(row)
    return [person for _, person in pairs]


def _assigned(overlaps: NDArray[np.float64]) -> tuple[list[int], list[int]]:
    # Overlaps too small to count must not draw others away from their own.
    first, second = linear_sum_assignment(np.where(overlaps >= MIN_IOU, overlaps, 0.0), maximize=True)
    return first.tolist(), second.tolist()


def _ious(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """[n, m] intersection over union of boxes [n, 4] and [m, 4]; 0 where both are empty."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    shared = np.prod(np.maximum(high - low, 0.0), axis=2)
    areas = [np.prod(np.maximum(boxes[:, 2:] - boxes[:, :2], 0.0), axis=1) for boxes in (first, second)]
    union = areas[0][:, None] + areas[1][None] - shared
    return np.asarray(np.divide(shared, union, out=np.zeros_like(shared), where=union > 0))
