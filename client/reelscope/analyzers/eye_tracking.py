"""Eye tracking: whether people look at the viewer, where else they look, how often they blink.

No gaze network is served: gaze comes from the 106 landmarks and the head pose (see eyes and head_pose), and the results
say so in `source`. Apparent, and biometric: results say `sensitive`, and a deployment can leave it out.

Conventions: one span per face track. Yaw > 0 looks to the picture's right, pitch > 0 looks up, both off the line of
sight from the camera; contact is a gaze of at most `contact_degrees` off it. Of a face under `face_min_px` (shorter
side, uploaded frame), or turned by more than `face_max_yaw_degrees` as in profile, only the head pose is measured; of
closed eyes the gaze is not. The score of a segment is the mean probability of a face over its track.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from reelscope.analyzers import eyes, face_rows
from reelscope.analyzers.base import Analyzer, Finding, Labels, Segment
from reelscope.analyzers.biometrics import OPT_OUT
from reelscope.analyzers.head_pose import LANDMARK_HEAD, LANDMARK_NUMBERS, head_poses
from reelscope.signals import FaceLandmarks, Faces, Parameter, Track

MIN_FACE_PX = 64
MAX_YAW_DEGREES = 45.0
CONTACT_DEGREES = 12.0
MIN_BLINK_FPS = 10.0
MIN_BLINK_RATE_SECONDS = 5.0
"""How long a face must be measured for a rate of blinks; at rest people blink 17 times a minute (Bentivoglio et al.,
1997)."""
OPENING_SECONDS = 3.0
MAX_LISTED_FACES = 3000
"""Faces written with their angles; of a clip with more, every second one, or third, and so on."""

PARAMETERS: dict[str, Parameter] = {
    "face_min_px": MIN_FACE_PX,
    "face_max_yaw_degrees": MAX_YAW_DEGREES,
    "contact_degrees": CONTACT_DEGREES,
    "blink_min_fps": MIN_BLINK_FPS,
    "blink_rate_min_seconds": MIN_BLINK_RATE_SECONDS,
    "max_listed_faces": MAX_LISTED_FACES,
    **eyes.PARAMETERS,
}

Values = NDArray[np.float64]
Source = Literal["landmarks_and_head_pose"]
Direction = Literal["camera", "left", "right", "up", "down"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GazeData:
    """One face. Lists have one entry per instant of `times_seconds`; null where it is not measured."""

    times_seconds: tuple[float, ...]
    """Sampled instants at which the face was found; at most 3000 in all of the clip's segments."""
    boxes_xyxy: tuple[tuple[float, float, float, float], ...]
    """Where it is: x1, y1, x2, y2, 0-1 of the frame; what lies outside of the frame is cut off."""
    yaw_degrees: tuple[float | None, ...]
    """Gaze, to the picture's right, degrees."""
    pitch_degrees: tuple[float | None, ...]
    """Gaze, upwards, degrees."""
    eye_aspect_ratio: tuple[float | None, ...]
    """Eye aspect ratio: height of the eyes over their width, >= 0; about 0.3 when open."""
    is_contact: tuple[bool | None, ...]
    """Whether the gaze meets the camera."""
    head_yaw_pitch_roll_degrees: tuple[tuple[float, float, float] | None, ...]
    """Head pose: yaw to the picture's right, pitch upwards, roll clockwise, degrees."""
    eye_contact_ratio: float | None
    """Share of the measured instants with contact, 0-1; null without any."""
    blink_times_seconds: tuple[float, ...] | None
    """When it begins to blink, seconds; null when sampled too slowly to see that."""
    source: Source = "landmarks_and_head_pose"
    """What the gaze was measured with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GazeSummary:
    """Where people look. All that is measured is null when a model is untrained."""

    eye_contact_ratio: float | None
    """Share of the measured instants of all faces with contact, 0-1; null without any."""
    contact_first_3_seconds_ratio: float | None
    """The same of the clip's first 3 s, 0-1."""
    blinks_per_minute: float | None
    """Of all faces that are measured for at least 5 s; null below 10 sampled frames per second, or without any."""
    gaze_directions: Mapping[Direction, float] | None
    """Share of the measured instants by direction, 0-1, in sum 1: at the camera, or to the picture's sides; null
    without any."""
    source: Source = "landmarks_and_head_pose"
    """What the gaze was measured with: no gaze network."""
    sensitive: Literal[True] = True
    """Judged from people's faces: handle as biometric."""
    opt_out: str = OPT_OUT
    """How to leave this analysis out."""


@dataclass(frozen=True, slots=True)
class _Measured:
    """All faces, row by row; NaN where nothing is measured."""

    head_degrees: Values
    """[m, 3] yaw, pitch, roll."""
    openness: Values
    yaw_degrees: Values
    pitch_degrees: Values

    @property
    def off_camera_degrees(self) -> Values:
        """[m] between the gaze and the line of sight from the camera."""
        toward = np.cos(np.radians(self.yaw_degrees)) * np.cos(np.radians(self.pitch_degrees))
        return np.asarray(np.degrees(np.arccos(np.clip(toward, -1, 1))))


def analyze(faces: Faces, landmarks: FaceLandmarks) -> Finding[GazeData, GazeSummary]:
    """Follow the eyes of every face."""
    tracks = faces.tracks()
    measured = _measure(faces, landmarks, [rows for _, rows in tracks])
    blinks = [_blinks(faces, rows, measured) for _, rows in tracks]
    stride = max(1, -(-sum(len(rows) for _, rows in tracks) // MAX_LISTED_FACES))
    segments = [
        _segment(track, rows, faces, measured, found, stride)
        for (track, rows), found in zip(tracks, blinks, strict=True)
    ]
    seen = face_rows.tracked(faces)
    seen = seen[~np.isnan(measured.yaw_degrees[seen])]
    summary = GazeSummary(
        eye_contact_ratio=None, contact_first_3_seconds_ratio=None, blinks_per_minute=None, gaze_directions=None
    )
    if not faces.untrained_models and not landmarks.untrained_models:
        opening = seen[faces.times_seconds[faces.frame[seen]] < OPENING_SECONDS]
        summary = GazeSummary(
            eye_contact_ratio=_contact_ratio(measured, seen),
            contact_first_3_seconds_ratio=_contact_ratio(measured, opening),
            blinks_per_minute=_blinks_per_minute(faces, measured, [rows for _, rows in tracks], blinks),
            gaze_directions=_directions(measured, seen),
        )
    largest = face_rows.largest(faces, seen)
    columns = {
        "yaw_deg": measured.yaw_degrees[largest],
        "pitch_deg": measured.pitch_degrees[largest],
        "contact": (measured.off_camera_degrees[largest] <= CONTACT_DEGREES).astype(np.float64),
    }
    return Finding(segments=tuple(segments), series=face_rows.series(faces, largest, columns), summary=summary)


def _measure(faces: Faces, landmarks: FaceLandmarks, tracks: list[NDArray[np.intp]]) -> _Measured:
    points_px = landmarks.points.astype(np.float64) * (faces.width_px, faces.height_px)
    poses = head_poses(points_px[:, LANDMARK_NUMBERS], LANDMARK_HEAD)
    is_measured = (faces.sizes_px >= MIN_FACE_PX) & (np.abs(poses.yaw_degrees) <= MAX_YAW_DEGREES)
    openness = np.where(is_measured, eyes.aspect_ratios(points_px), np.nan)
    is_open = ~np.isnan(openness)
    for rows in tracks:
        is_open[rows] &= ~eyes.are_closed(openness[rows])
    yaw, pitch = (np.where(is_open, angles, np.nan) for angles in eyes.gaze_degrees(points_px, poses))
    return _Measured(
        head_degrees=np.column_stack((poses.yaw_degrees, poses.pitch_degrees, poses.roll_degrees)),
        openness=openness,
        yaw_degrees=yaw,
        pitch_degrees=pitch,
    )


def _blinks(faces: Faces, rows: NDArray[np.intp], measured: _Measured) -> tuple[float, ...] | None:
    if not _sees_blinks(faces):
        return None
    return eyes.blinks(faces.times_seconds[faces.frame[rows]], measured.openness[rows], faces.step_seconds)


def _sees_blinks(faces: Faces) -> bool:
    return faces.sampling_fps is not None and faces.sampling_fps >= MIN_BLINK_FPS


def _segment(
    track: Track,
    rows: NDArray[np.intp],
    faces: Faces,
    measured: _Measured,
    blinks: tuple[float, ...] | None,
    stride: int,
) -> Segment[GazeData]:
    listed = rows[::stride]
    return Segment(
        kind="span",
        start_seconds=track.start_seconds,
        end_seconds=track.end_seconds,
        label="gaze",
        score=float(faces.scores[rows].mean()),
        track_id=track.id,
        data=GazeData(
            times_seconds=tuple(faces.times_seconds[faces.frame[listed]].tolist()),
            boxes_xyxy=tuple((a, b, c, d) for a, b, c, d in faces.boxes_xyxy[listed].clip(0, 1).round(4).tolist()),
            yaw_degrees=face_rows.listed(measured.yaw_degrees[listed], 1),
            pitch_degrees=face_rows.listed(measured.pitch_degrees[listed], 1),
            eye_aspect_ratio=face_rows.listed(measured.openness[listed], 3),
            is_contact=tuple(
                None if np.isnan(angle) else angle <= CONTACT_DEGREES
                for angle in measured.off_camera_degrees[listed].tolist()
            ),
            head_yaw_pitch_roll_degrees=tuple(
                None if np.isnan(yaw) else (yaw, pitch, roll)
                for yaw, pitch, roll in measured.head_degrees[listed].round(1).tolist()
            ),
            eye_contact_ratio=_contact_ratio(measured, rows[~np.isnan(measured.yaw_degrees[rows])]),
            blink_times_seconds=blinks,
        ),
    )


def _contact_ratio(measured: _Measured, seen: NDArray[np.intp]) -> float | None:
    return float((measured.off_camera_degrees[seen] <= CONTACT_DEGREES).mean()) if seen.size else None


def _directions(measured: _Measured, seen: NDArray[np.intp]) -> dict[Direction, float] | None:
    if not seen.size:
        return None
    yaw, pitch = measured.yaw_degrees[seen], measured.pitch_degrees[seen]
    is_sideways = np.abs(yaw) >= np.abs(pitch)
    conditions = [
        measured.off_camera_degrees[seen] <= CONTACT_DEGREES,
        is_sideways & (yaw < 0),
        is_sideways & (yaw > 0),
        ~is_sideways & (pitch > 0),
        ~is_sideways & (pitch < 0),
    ]
    chosen = np.select(conditions, range(len(conditions)))
    return {name: float((chosen == number).mean()) for number, name in enumerate(get_args(Direction))}


def _blinks_per_minute(
    faces: Faces,
    measured: _Measured,
    tracks: list[NDArray[np.intp]],
    blinks: list[tuple[float, ...] | None],
) -> float | None:
    seconds = [float((~np.isnan(measured.openness[rows])).sum()) * faces.step_seconds for rows in tracks]
    known = [
        (len(found), time)
        for found, time in zip(blinks, seconds, strict=True)
        if found is not None and time >= MIN_BLINK_RATE_SECONDS
    ]
    return 60 * sum(count for count, _ in known) / sum(time for _, time in known) if known else None


def headline(summary: GazeSummary) -> str:
    """Say it in a few words."""
    if summary.eye_contact_ratio is None:
        return "no gaze to judge"
    parts = [f"looks at the viewer {summary.eye_contact_ratio:.0%} of the time"]
    if summary.blinks_per_minute is not None:
        parts.append(f"{summary.blinks_per_minute:.0f} blinks a minute")
    return ", ".join(parts)


ANALYZER = Analyzer(
    name="eye_tracking",
    version="2",
    title="apparent gaze, eye contact with the viewer, blinks",
    requires=(Faces, FaceLandmarks),
    data=GazeData,
    summary=GazeSummary,
    labels=(Labels(names=("gaze",), meaning="a face that was followed", score="mean probability of a face"),),
    columns={
        "yaw_deg": "gaze of the largest face, to the picture's right, degrees",
        "pitch_deg": "the same, upwards, degrees",
        "contact": "whether it meets the camera, 0-1: 0 or 1",
    },
    headline=headline,
    analyze=analyze,
    parameters=PARAMETERS,
    is_biometric=True,
)
