"""What a frame is about, as far as its composition goes: a face, else a person, else an object, else what stands out.

Of several the largest counts; of objects, furnishings only where there is nothing else. What belongs to a sample is
what the detectors saw at its instant. Between their samples, where a picture begins, it is what they saw next, as long
as the shot lasts. A box that joined no track is nobody.

Shot sizes are named by what of a standing body the picture shows: the face, down to the shoulders, the chest, the
waist, the knees, or all of it (Bowen & Thompson, Grammar of the Shot). They are told by the height of the face, as a
share of that of the picture. Where those places are on a body is from Drillis & Contini (1966), in Winter (2009),
Biomechanics and motor control of human movement: from the crown, 0.13 of the stature to the chin, 0.18 to the
shoulders, 0.42 to the waist, 0.72 to the knees. A face as detected, from forehead to chin, is three quarters of the
head, a tenth of the stature; a tenth of the picture is headroom. The limits are the geometric means of neighbours.
Of a person without a face the tenth is taken, where the picture shows all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from reelscope.analyzers.background_samples import FURNISHINGS
from reelscope.analyzers.head_pose import KEYPOINT_HEAD, head_poses
from reelscope.signals import Faces, FrameComposition, ObjectTracks, Parameter, Shots

SubjectSource = Literal["face", "person", "object", "saliency"]
ShotSize = Literal["ECU", "CU", "MCU", "MS", "MLS", "LS", "EWS"]

SHOT_SIZES: tuple[tuple[ShotSize, float], ...] = (
    ("ECU", 0.70),
    ("CU", 0.40),
    ("MCU", 0.26),
    ("MS", 0.16),
    ("MLS", 0.11),
    ("LS", 0.025),
    ("EWS", 0.0),
)
"""Extreme close-up (a face of all the picture's height), close-up (to the shoulders, 0.50), medium close-up (chest,
0.32), medium (waist, 0.21), medium long (knees, 0.13), long (all of the body, 0.09), extreme wide (a body of less than
a quarter of the height); each from this height of the face on."""
FACE_OVER_BODY = 0.1
HEAD_OVER_FACE = 4 / 3
CUT_OFF_RATIO = 0.02
"""A person whose box comes this near to the lower edge of the picture, 0-1 of its height, may go on beyond it."""
TURNED_DEGREES = 15.0
"""A head of this yaw looks to a side."""

PARAMETERS: dict[str, Parameter] = {
    **{f"shot_size_{name.lower()}_from_face_ratio": limit for name, limit in SHOT_SIZES},
    "face_over_body": FACE_OVER_BODY,
    "head_over_face": HEAD_OVER_FACE,
    "cut_off_ratio": CUT_OFF_RATIO,
    "turned_from_degrees": TURNED_DEGREES,
}


@dataclass(frozen=True, slots=True)
class Subject:
    """The subject of one sample; positions in 0-1 of the displayed frame, shares of the picture within the bars."""

    source: SubjectSource
    center_xy: NDArray[np.float64]
    score: float | None
    """Probability that the detector gives it; None for what merely stands out."""
    box_xyxy: NDArray[np.float64] | None
    """What of it is in the picture; None for what merely stands out."""
    headroom_ratio: float | None
    """Picture above the head over all of its height; None without face or person."""
    look_room_ratio: float | None
    """Picture ahead of a turned face over all of its width; None for a face that is not turned, or none."""
    shot_size: ShotSize | None
    """None without a face or a whole person."""


def find(
    composition: FrameComposition, shots: Shots, faces: Faces | None, objects: ObjectTracks | None
) -> list[Subject | None]:
    """The subject of every sample; None where nothing stands out."""
    faces_seen, objects_seen = (_seen(composition, shots, found) for found in (faces, objects))
    turns = _turns(faces) if faces is not None else np.empty(0)
    subjects: list[Subject | None] = []
    for row, picture in enumerate(composition.pictures_xyxy):
        subject = _salient(composition.saliency_xy[row])
        if objects is not None and objects_seen[row].size:
            subject = _thing(picture, objects, objects_seen[row])
        if faces is not None and faces_seen[row].size:
            people = _people(objects, objects_seen[row])
            subject = _face(picture, faces, _largest(faces, faces_seen[row]), turns, people)
        subjects.append(subject)
    return subjects


def _face(
    picture: NDArray[np.float64], faces: Faces, face: int, turns: NDArray[np.float64], people: NDArray[np.float64]
) -> Subject:
    """A face, and the head that it is of: `people` [k, 4] are the boxes of everybody in the picture."""
    whole, (left, top, right, bottom) = faces.boxes_xyxy[face], picture
    box, height = _within(whole, picture), whole[3] - whole[1]
    center = (box[:2] + box[2:]) / 2
    around = people[((people[:, :2] <= center) & (people[:, 2:] >= center)).all(axis=1), 1]
    crown = min(whole[1], around.max()) if around.size else whole[3] - HEAD_OVER_FACE * height
    look_room = {-1: box[0] - left, 1: right - box[2]}.get(int(turns[face]))
    return Subject(
        source="face",
        center_xy=center,
        score=float(faces.scores[face]),
        box_xyxy=box,
        headroom_ratio=_share(crown - top, bottom - top),
        look_room_ratio=None if look_room is None else _share(look_room, right - left),
        shot_size=_shot_size(height / (bottom - top)),
    )


def _thing(picture: NDArray[np.float64], objects: ObjectTracks, rows: NDArray[np.intp]) -> Subject:
    """The largest person, else the largest object, else the largest of the furnishings."""
    labels = [objects.labels[class_id] for class_id in objects.class_ids[rows]]
    ranks = np.array([2 if label == "person" else 0 if label in FURNISHINGS else 1 for label in labels])
    largest = _largest(objects, rows[ranks == ranks.max()])
    is_person = bool(ranks.max() == 2)
    box, (_, top, _, bottom) = _within(objects.boxes_xyxy[largest], picture), picture
    height = bottom - top
    is_whole = is_person and box[3] < bottom - CUT_OFF_RATIO * height
    return Subject(
        source="person" if is_person else "object",
        center_xy=(box[:2] + box[2:]) / 2,
        score=float(objects.scores[largest]),
        box_xyxy=box,
        headroom_ratio=_share(box[1] - top, height) if is_person else None,
        look_room_ratio=None,
        shot_size=_shot_size(FACE_OVER_BODY * (box[3] - box[1]) / height) if is_whole else None,
    )


def _salient(point: NDArray[np.float64]) -> Subject | None:
    return None if np.isnan(point).any() else Subject("saliency", point, None, None, None, None, None)


def _seen(composition: FrameComposition, shots: Shots, found: Faces | ObjectTracks | None) -> list[NDArray[np.intp]]:
    """For every sample, the rows of what the detector saw at its instant, or else next in the same shot."""
    times = composition.times_seconds
    if found is None or not found.times_seconds.size:
        return [np.empty(0, np.intp)] * len(times)
    frames = np.searchsorted(found.times_seconds, times - 0.0005)
    is_tracked = found.track_ids >= 0
    seen_at = found.times_seconds[frames.clip(max=len(found.times_seconds) - 1)]
    is_same_shot = np.any([shot.holds(times) & shot.holds(seen_at) for shot in shots.shots], axis=0)
    is_seen = (frames < len(found.times_seconds)) & is_same_shot
    rows_at = [np.flatnonzero((found.frame == frame) & is_tracked) for frame in frames]
    return [rows if known else rows[:0] for rows, known in zip(rows_at, is_seen, strict=True)]


def _people(objects: ObjectTracks | None, rows: NDArray[np.intp]) -> NDArray[np.float64]:
    """Boxes [k, 4] of the people among these rows."""
    if objects is None:
        return np.empty((0, 4))
    return objects.boxes_xyxy[[row for row in rows if objects.labels[objects.class_ids[row]] == "person"]]


def _largest(found: Faces | ObjectTracks, rows: NDArray[np.intp]) -> int:
    sides = found.boxes_xyxy[rows, 2:] - found.boxes_xyxy[rows, :2]
    return int(rows[sides.prod(axis=1).argmax()])


def _within(box: NDArray[np.float64], picture: NDArray[np.float64]) -> NDArray[np.float64]:
    """The part of a box that is in the picture."""
    return np.asarray(box.clip(picture[[0, 1, 0, 1]], picture[[2, 3, 2, 3]]))


def _turns(faces: Faces) -> NDArray[np.float64]:
    """[m] -1 for a head turned to the left of the picture, 1 to the right, 0 for neither, or where it does not show."""
    yaw = head_poses(faces.keypoints * (faces.width_px, faces.height_px), KEYPOINT_HEAD).yaw_degrees
    return np.where(np.abs(yaw) >= TURNED_DEGREES, np.sign(yaw), 0.0)


def _share(part: float, whole: float) -> float:
    return min(1.0, max(0.0, float(part / whole)))


def _shot_size(face_ratio: float) -> ShotSize:
    return next(name for name, limit in SHOT_SIZES if face_ratio >= limit)
