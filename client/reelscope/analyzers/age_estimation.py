"""Age estimation: how old the people on screen appear, and as which gender they present.

Apparent, never true: what a network trained on faces says of a face. Biometric, so results say `sensitive`, and a
deployment can leave it out.

Conventions: one span per face track. A face is an observation when it is large, sharp enough to be found for sure, and
turned to the camera: `face_min_px` on its shorter side in the uploaded frame, `face_min_score`, `face_max_yaw_degrees`
either way, by the head pose of its five keypoints, and when the network gives a number at all. A track without
observations has no age: null. The score of a segment is the mean probability of a face over its track.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from reelscope.analyzers.base import Analyzer, Finding, Labels, Segment
from reelscope.analyzers.biometrics import OPT_OUT
from reelscope.analyzers.head_pose import KEYPOINT_HEAD, head_poses
from reelscope.signals import FaceAttributes, Faces, Parameter, Track

MIN_FACE_PX = 64
MAX_YAW_DEGREES = 45.0
MIN_SCORE = 0.6
AGE_GROUPS = {"0-12": 0, "13-17": 13, "18-24": 18, "25-34": 25, "35-44": 35, "45-54": 45, "55-64": 55, "65+": 65}
"""Name and first year of every group: the age groups of YouTube Analytics, and children below them."""

PARAMETERS: dict[str, Parameter] = {
    "face_min_px": MIN_FACE_PX,
    "face_max_yaw_degrees": MAX_YAW_DEGREES,
    "face_min_score": MIN_SCORE,
    "age_groups": " ".join(AGE_GROUPS),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PresentedGender:
    """The network's choice of two, over all observations of a face."""

    label: Literal["female", "male"]
    """How the person presents, according to most observations."""
    score: float
    """Share of observations that say so, 0.5-1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgeData:
    """Apparent age of one face. All but the count is null without an observation."""

    age_years: float | None
    """Median of the observations, years."""
    age_p10_years: float | None
    """10th percentile of the observations, years."""
    age_p90_years: float | None
    """90th percentile of the observations, years."""
    gender_presented: PresentedGender | None
    """As which gender the person presents."""
    observation_count: int
    """Sampled frames in which the face was large, certain and frontal enough to judge."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgeSummary:
    """Who is on screen, in aggregate. Counts are null when a model is untrained."""

    persons: int | None
    """Faces with an apparent age, >= 0; somebody who left for more than a second counts again."""
    age_groups: Mapping[str, int] | None
    """Those faces by group of apparent age, >= 0 in every group."""
    sensitive: Literal[True] = True
    """Judged from people's faces: handle as biometric."""
    opt_out: str = OPT_OUT
    """How to leave this analysis out."""


def analyze(faces: Faces, attributes: FaceAttributes) -> Finding[AgeData, AgeSummary]:
    """Judge every face track."""
    usable = _usable(faces) & np.isfinite(attributes.age_years)
    segments = [_segment(track, rows, faces, attributes, usable) for track, rows in faces.tracks()]
    return Finding(segments=tuple(segments), summary=_summary(segments, faces, attributes))


def age_group(age_years: float) -> str:
    """Name of the group that an age belongs to; ages are counted in full years, as people do."""
    return max((name for name, first in AGE_GROUPS.items() if age_years >= first), key=AGE_GROUPS.__getitem__)


def _usable(faces: Faces) -> NDArray[np.bool_]:
    """[m] which faces are observations."""
    poses = head_poses(faces.keypoints * (faces.width_px, faces.height_px), KEYPOINT_HEAD)
    is_frontal = np.abs(poses.yaw_degrees) <= MAX_YAW_DEGREES
    return np.asarray(is_frontal & (faces.sizes_px >= MIN_FACE_PX) & (faces.scores >= MIN_SCORE))


def _segment(
    track: Track, rows: NDArray[np.intp], faces: Faces, attributes: FaceAttributes, usable: NDArray[np.bool_]
) -> Segment[AgeData]:
    return Segment(
        kind="span",
        start_seconds=track.start_seconds,
        end_seconds=track.end_seconds,
        label="face",
        score=float(faces.scores[rows].mean()),
        track_id=track.id,
        data=_data(attributes, rows[usable[rows]]),
    )


def _data(attributes: FaceAttributes, rows: NDArray[np.intp]) -> AgeData:
    if not rows.size:
        return AgeData(
            age_years=None, age_p10_years=None, age_p90_years=None, gender_presented=None, observation_count=0
        )
    p10, median, p90 = np.percentile(np.maximum(attributes.age_years[rows], 0), (10, 50, 90)).tolist()
    male_ratio = float(attributes.is_male[rows].mean())
    return AgeData(
        age_years=median,
        age_p10_years=p10,
        age_p90_years=p90,
        gender_presented=PresentedGender(
            label="male" if male_ratio > 0.5 else "female", score=max(male_ratio, 1 - male_ratio)
        ),
        observation_count=len(rows),
    )


def _summary(segments: list[Segment[AgeData]], faces: Faces, attributes: FaceAttributes) -> AgeSummary:
    if faces.untrained_models or attributes.untrained_models:
        return AgeSummary(persons=None, age_groups=None)
    groups = [age_group(segment.data.age_years) for segment in segments if segment.data.age_years is not None]
    return AgeSummary(persons=len(groups), age_groups={name: groups.count(name) for name in AGE_GROUPS})


def headline(summary: AgeSummary) -> str:
    """Say it in a few words."""
    if summary.age_groups is None:
        return "random weights: nothing is claimed"
    found = [f"{count} of apparent age {name}" for name, count in summary.age_groups.items() if count]
    return ", ".join(found) or "no face to judge"


ANALYZER = Analyzer(
    name="age_estimation",
    version="1",
    title="apparent age and presented gender of people on screen",
    requires=(Faces, FaceAttributes),
    data=AgeData,
    summary=AgeSummary,
    labels=(Labels(names=("face",), meaning="a face that was followed", score="mean probability of a face"),),
    headline=headline,
    analyze=analyze,
    parameters=PARAMETERS,
    is_biometric=True,
)
