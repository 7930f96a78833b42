"""Body pose: who does what with their body: posture, gestures, energy, dance.

Conventions: one span per person, from the first to the last instant with a pose plus one sampling step, and one segment
per gesture; of a crowd the 100 who are seen longest, and a warning tells how many are left out. Left and right are the
person's own. Keypoints are smoothed (see body_motion) where they are seen, that is, with a probability of at least
`keypoint_min_confidence`; elsewhere they are as the network gave them, and nothing is made of them.

Energy is the mean speed of 13 keypoints (eyes and ears move with the nose) in torso lengths per second, in the picture:
a moving camera adds to it.

The score of a segment is, for a person, the mean probability of a person; for a gesture, the mean of that its
keypoints are seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar, get_args

import numpy as np
from numpy.typing import NDArray

from reelscope.analyzers import body_geometry, body_gestures, body_identity, body_motion, body_stretches
from reelscope.analyzers.base import Analyzer, Finding, Labels, Segment, Series
from reelscope.analyzers.body_geometry import Framing, K, Points, Posture
from reelscope.analyzers.body_gestures import Gesture, GestureName, Side
from reelscope.analyzers.body_identity import Person
from reelscope.analyzers.body_stretches import MIN_CONFIDENCE, Stretch
from reelscope.signals import ObjectTracks, Parameter, Poses, Shots

MAX_PEOPLE = 100
"""Of a crowd, those are described who are in the picture longest."""
MAX_LISTED_POSES = 3000
"""Of a clip with more poses, every second one of a person is written, or every third, and so on."""

PARAMETERS: dict[str, Parameter] = {
    "max_people": MAX_PEOPLE,
    "max_listed_poses": MAX_LISTED_POSES,
    **body_identity.PARAMETERS,
    **body_stretches.PARAMETERS,
    **body_geometry.PARAMETERS,
    **body_motion.PARAMETERS,
    **body_gestures.PARAMETERS,
}

_GESTURE_KEYPOINTS = {
    "hand_raised": ("shoulder", "wrist"),
    "pointing": ("shoulder", "elbow", "wrist"),
    "clap": ("wrist",),
}

_GESTURE_SCORE = "mean probability that its keypoints are seen"

Keypoint = tuple[float, float, float]
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonData:
    """One person. Lists have one entry per instant of `times_seconds`."""

    times_seconds: tuple[float, ...]
    """Sampled instants with a pose of this person; every second one, or third, when the clip has more than 3000."""
    keypoints: tuple[tuple[Keypoint, ...], ...]
    """17 per instant, in COCO's order: x and y, 0-1 of the frame, and the probability that it is seen, 0-1."""
    angles_degrees: Mapping[str, tuple[float | None, ...]]
    """Angle of elbows, shoulders, hips and knees in the picture, degrees, 0-180; null where a keypoint is not seen."""
    energy: tuple[float | None, ...]
    """Speed since the sampled instant before, torso lengths per second, >= 0; null where that is not measured."""
    posture: Posture
    """What the person does for the longest time; unknown when the posture never shows."""
    posture_seconds: Mapping[Posture, float]
    """Time in each posture that occurs, seconds."""
    energy_mean: float | None
    """Mean energy, torso lengths per second, >= 0; null when never measured."""
    dance_hz: float | None
    """Repetitions of the motion per second, of the longest stretch; null when it is not periodic, or under 2 s."""
    framing: Framing | None
    """Down to the feet, to hips or elbows, or head and shoulders, most of the time; null when no keypoint is seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GestureData:
    """One gesture of one person."""

    gesture: GestureName
    """What it is."""
    side: Side
    """Whose arm: the person's own left or right, or both."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoseSummary:
    """What people do with their bodies. Every field is null when the pose model is untrained."""

    persons_max: int | None
    """Most people in one sampled frame, >= 0."""
    energy_mean: float | None
    """Mean over all people described and all instants, torso lengths per second, >= 0; null when never
    measured."""
    dance_hz: float | None
    """Repetitions per second of the person longest in the picture whose motion is periodic; null when nobody's is."""
    gesture_counts: Mapping[GestureName, int] | None
    """Gestures by kind, >= 0; two raised hands are two."""
    framing: Framing | None
    """Of the largest person, most of the time; null without people."""


PoseData = PersonData | GestureData


def analyze(poses: Poses, objects: ObjectTracks | None, shots: Shots | None) -> Finding[PoseData, PoseSummary]:
    """Describe everybody, or the most of a crowd."""
    everybody = body_identity.people(poses, objects)
    persons = sorted(everybody, key=lambda person: -len(person.rows))[:MAX_PEOPLE]
    cuts = np.array([shot.start_seconds for shot in shots.shots[1:]] if shots else [])
    stretches = [body_stretches.stretches(person, poses, cuts) for person in persons]
    stride = max(1, -(-sum(len(person.rows) for person in persons) // MAX_LISTED_POSES))
    people = [_person(*found, poses, stride) for found in zip(persons, stretches, strict=True)]
    gestures = [
        _gesture(gesture, stretch, person, poses)
        for person, parts in zip(persons, stretches, strict=True)
        for stretch in parts
        for gesture in stretch.gestures
    ]
    energy = np.full(len(poses.frame), np.nan)
    for stretch in (stretch for parts in stretches for stretch in parts):
        energy[stretch.rows] = stretch.energy
    return Finding(
        segments=(*people, *gestures),
        series=_series(poses, energy),
        summary=_summary(poses, people, gestures, energy),
        warnings=(f"people_left_out:{len(everybody) - len(persons)}",) if len(everybody) > len(persons) else (),
    )


def _person(person: Person, stretches: list[Stretch], poses: Poses, stride: int) -> Segment[PoseData]:
    rows = np.array(person.rows)
    points, energy = (np.concatenate(part) for part in zip(*((s.points, s.energy) for s in stretches), strict=True))
    times = poses.times_seconds[poses.frame[rows]]
    postures = [posture for stretch in stretches for posture in stretch.postures]
    shown = np.minimum(poses.step_seconds, poses.duration_seconds - times)
    listed = slice(None, None, stride)
    return Segment(
        kind="span",
        start_seconds=float(times[0]),
        end_seconds=min(float(times[-1]) + poses.step_seconds, poses.duration_seconds),
        label="person",
        score=float(poses.scores[rows].mean()),
        track_id=person.track.id if person.track else None,
        data=PersonData(
            times_seconds=tuple(times[listed].tolist()),
            keypoints=_keypoints(points[listed], poses.keypoints[rows[listed]], poses.height_over_width),
            angles_degrees={
                name: _values(angles, 1) for name, angles in body_geometry.joint_angles(points[listed]).items()
            },
            energy=_values(energy[listed], 3),
            posture=_most_frequent([posture for posture in postures if posture != "unknown"]) or "unknown",
            posture_seconds={
                name: float(shown[[posture == name for posture in postures]].sum())
                for name in get_args(Posture)
                if name in postures
            },
            energy_mean=_mean(energy),
            dance_hz=max(stretches, key=lambda stretch: stretch.times_seconds[-1] - stretch.times_seconds[0]).dance_hz,
            framing=_most_frequent(body_geometry.framings(points)),
        ),
    )


def _keypoints(points: Points, raw: NDArray[np.float64], height_over_width: float) -> tuple[tuple[Keypoint, ...], ...]:
    """As they are written, to a tenth of a pixel: smoothed where they are seen."""
    positions = np.where(np.isnan(points), raw[..., :2], points / (1.0, height_over_width))
    written = np.concatenate([positions.round(4), raw[..., 2:].round(2)], axis=-1)
    return tuple(tuple((x, y, confidence) for x, y, confidence in instant) for instant in written.tolist())


def _gesture(gesture: Gesture, stretch: Stretch, person: Person, poses: Poses) -> Segment[PoseData]:
    start, last = float(stretch.times_seconds[gesture.first]), float(stretch.times_seconds[gesture.last])
    sides = ("left", "right") if gesture.side == "both" else (gesture.side,)
    involved = [K[f"{side}_{part}"] for side in sides for part in _GESTURE_KEYPOINTS[gesture.name]]
    confidences = poses.keypoints[stretch.rows[gesture.first : gesture.last + 1]][:, involved, 2]
    return Segment(
        kind="event" if gesture.name == "clap" else "span",
        start_seconds=start,
        end_seconds=min(last + poses.step_seconds, stretch.end_seconds),
        label=gesture.name,
        score=float(confidences.mean()),
        track_id=person.track.id if person.track else None,
        data=GestureData(gesture=gesture.name, side=gesture.side),
    )


def _summary(
    poses: Poses,
    people: list[Segment[PoseData]],
    gestures: list[Segment[PoseData]],
    energy: NDArray[np.float64],
) -> PoseSummary:
    if poses.untrained_models:
        return PoseSummary(persons_max=None, energy_mean=None, dance_hz=None, gesture_counts=None, framing=None)
    dances = [
        (segment.end_seconds - segment.start_seconds, segment.data.dance_hz)
        for segment in people
        if isinstance(segment.data, PersonData) and segment.data.dance_hz is not None
    ]
    labels = [gesture.label for gesture in gestures]
    return PoseSummary(
        persons_max=int(np.bincount(poses.frame).max(initial=0)),
        energy_mean=_mean(energy),
        dance_hz=max(dances)[1] if dances else None,
        gesture_counts={name: labels.count(name) for name in get_args(GestureName)},
        framing=_most_frequent(_leading_framings(poses)),
    )


def _leading_framings(poses: Poses) -> list[Framing | None]:
    """Framing of the largest person in every frame that has one."""
    areas = np.prod(poses.boxes_xyxy[:, 2:] - poses.boxes_xyxy[:, :2], axis=1)
    order = np.lexsort((-areas, poses.frame))
    leading = order[np.unique(poses.frame[order], return_index=True)[1]]
    keypoints = poses.keypoints[leading]
    return body_geometry.framings(np.where(keypoints[..., 2:] >= MIN_CONFIDENCE, keypoints[..., :2], np.nan))


def _series(poses: Poses, energy: NDArray[np.float64]) -> Series:
    frames = len(poses.times_seconds)
    is_measured = ~np.isnan(energy)
    total = np.bincount(poses.frame[is_measured], energy[is_measured], frames)
    measured = np.bincount(poses.frame[is_measured], minlength=frames)
    mean = np.divide(total, measured, out=np.full(frames, np.nan), where=measured > 0)
    return Series(
        columns={
            "t": tuple(poses.times_seconds.tolist()),
            "persons": tuple(np.bincount(poses.frame, minlength=frames).astype(float).tolist()),
            "energy": _values(mean, 3),
        }
    )


def _values(values: NDArray[np.float64], decimals: int) -> tuple[float | None, ...]:
    return tuple(None if np.isnan(value) else value for value in values.round(decimals).tolist())


def _mean(values: NDArray[np.float64]) -> float | None:
    measured = values[~np.isnan(values)]
    return float(measured.mean()) if measured.size else None


def _most_frequent(values: Sequence[Value | None]) -> Value | None:
    known = [value for value in values if value is not None]
    return max(dict.fromkeys(known), key=known.count) if known else None


def headline(summary: PoseSummary) -> str:
    """Say it in a few words."""
    if summary.gesture_counts is None:
        return "random weights: nothing is claimed"
    if not summary.persons_max:
        return "nobody"
    parts = ["1 person" if summary.persons_max == 1 else f"up to {summary.persons_max} people"]
    if summary.energy_mean is not None:
        parts.append(f"energy {summary.energy_mean:.2f}")
    if summary.dance_hz is not None:
        parts.append(f"moving at {summary.dance_hz:.1f} Hz")
    parts += [f"{count} x {name}" for name, count in summary.gesture_counts.items() if count]
    return ", ".join(parts)


ANALYZER = Analyzer(
    name="body_pose",
    version="1",
    title="posture, gestures, energy, dance",
    requires=(Poses,),
    uses=(ObjectTracks, Shots),
    data=PoseData,
    summary=PoseSummary,
    labels=(
        Labels(
            names=("person",), meaning="a person, from the first pose to the last", score="mean probability of a person"
        ),
        Labels(names=("hand_raised", "pointing"), meaning="a gesture that is held", score=_GESTURE_SCORE),
        Labels(names=("clap",), kind="event", meaning="hands that meet", score=_GESTURE_SCORE),
    ),
    columns={
        "persons": "people with a pose, >= 0",
        "energy": "mean speed of their keypoints, torso lengths per second, >= 0",
    },
    warnings={"people_left_out": "a crowd: so many people are not described, the number follows"},
    headline=headline,
    analyze=analyze,
    parameters=PARAMETERS,
)
