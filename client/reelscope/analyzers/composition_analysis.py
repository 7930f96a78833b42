"""Composition: how shots are framed.

Conventions: one span per shot, over its samples: medians of measures, the most frequent of kinds (the first of equals).
subject_xy is 0-1 of the displayed frame; everything else is told of the picture within black bars. The score of a
segment is the mean probability of the faces, persons or objects that are its subject, null where the subject is what
merely stands out (`signals`: saliency), which is good to about a tenth of the frame. Only the samples whose subject is
of the shot's kind count for what is told of the subject.

Layout goes by where the subject is across the picture, because that is where portrait frames leave a choice: centered
on its upright middle, on an upright line of the rule of thirds, or off center, further out; the limits are half way
between those lines and the next. It is symmetric where both sides of the picture are alike and no face, person or
object is out of the middle.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from reelscope.analyzers import composition_subject, safe_zones
from reelscope.analyzers.base import Analyzer, Finding, Labels, Segment, Series
from reelscope.analyzers.composition_subject import SHOT_SIZES, ShotSize, Subject, SubjectSource
from reelscope.analyzers.measured import median
from reelscope.signals import Faces, FrameComposition, ObjectTracks, Parameter, Shot, Shots

Layout = Literal["symmetric", "centered", "thirds", "off_center"]
Kind = TypeVar("Kind", bound=str)

SYMMETRIC_FROM = 0.7
"""Correlation with the mirror image; of natural pictures it is mostly below 0.5."""
COLUMN_RATIO = 1 / 12
"""Distance across to the middle, or to a line of the thirds, up to which a subject is on it; of the picture's width."""
TILTED_DEGREES = 2.0
"""A horizon further from level is tilted."""

PARAMETERS: dict[str, Parameter] = {
    "symmetric_from": SYMMETRIC_FROM,
    "column_max_distance": round(COLUMN_RATIO, 4),
    "tilted_above_degrees": TILTED_DEGREES,
    **composition_subject.PARAMETERS,
    **safe_zones.PARAMETERS,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CompositionData:
    """How one shot is framed."""

    subject_source: SubjectSource | None
    """face, person, object, or saliency for what merely stands out; null where nothing does."""
    subject_xy: tuple[float, float] | None
    """Centre of the subject, 0-1 of the frame; null without a subject."""
    thirds_distance: float | None
    """From the subject to the nearest of the four points of the rule of thirds, 0-0.48, where the picture's sides are
    1; null without a subject."""
    center_distance: float | None
    """From the subject to the centre, likewise, 0-0.71; null without a subject."""
    symmetry: float | None
    """Correlation of the picture with its mirror image, left to right, -1 to 1; null for an even picture."""
    negative_space: float | None
    """Share of the picture in which there is next to nothing to see, 0-1; null where the picture is too small."""
    horizon_degrees: float | None
    """Slope of the near-horizontal lines, degrees, positive where the right end is lower, -20 to 20; null where
    there are none."""
    headroom_percent: float | None
    """Picture above the head, percent of its height, 0-100; null without face or person."""
    look_room_percent: float | None
    """Picture ahead of a face that is turned to a side, percent of its width, 0-100; null for one that is not,
    or none."""
    shot_size: ShotSize | None
    """ECU, CU, MCU, MS, MLS, LS or EWS by the height of the face; null without a face or a whole person."""
    layout: Layout | None
    """symmetric, centered, thirds or off_center; null where there is neither symmetry nor subject."""
    safe_zone_ok: bool | None
    """Whether the player's controls leave the subject free in most samples: all of a face, the centre of anything
    else; null unless the frame is 9:16 and there is a subject."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CompositionSummary:
    """Framing of the whole clip, by its samples."""

    dominant_layout: Layout | None
    """Layout of most samples; null where there is none."""
    shot_size_shares: Mapping[ShotSize, float] | None
    """Share of the samples that have a shot size, by size, closest first, 0-1; sums to 1. Null where none has."""
    tilt_ratio: float | None
    """Share of the samples with a horizon in which it is more than two degrees from level, 0-1; null without a
    horizon."""
    safe_zone_violations: int | None
    """Shots whose subject the player's controls cover, >= 0; null unless the frame is 9:16 and there is a subject."""


ShotComposition = CompositionData | None
"""Of a shot; null when no sample fell into it."""


def analyze(
    composition: FrameComposition, shots: Shots, faces: Faces | None, objects: ObjectTracks | None
) -> Finding[ShotComposition, CompositionSummary]:
    """Describe the framing of every shot and of the clip."""
    subjects = composition_subject.find(composition, shots, faces, objects)
    segments = [_segment(shot, composition, subjects) for shot in shots.shots]
    grid: list[int] = np.flatnonzero(composition.is_on_grid).tolist()
    layouts = [_layout(composition, subjects, row) for row in grid]
    slopes = composition.horizon_degrees[grid]
    is_known = ~np.isnan(slopes)
    zones = [segment.data.safe_zone_ok for segment in segments if segment.data is not None]
    judged = [is_ok for is_ok in zones if is_ok is not None]
    return Finding(
        segments=tuple(segments),
        summary=CompositionSummary(
            dominant_layout=_most(layouts),
            shot_size_shares=_shot_size_shares(subject for row in grid if (subject := subjects[row])),
            tilt_ratio=float((np.abs(slopes[is_known]) > TILTED_DEGREES).mean()) if is_known.any() else None,
            safe_zone_violations=judged.count(False) if judged else None,
        ),
        series=_series(composition, subjects),
    )


def _segment(shot: Shot, composition: FrameComposition, subjects: Sequence[Subject | None]) -> Segment[ShotComposition]:
    rows: list[int] = np.flatnonzero(shot.holds(composition.times_seconds)).tolist()
    source = _most(subject.source for row in rows if (subject := subjects[row]))
    of_source = [(row, subject) for row in rows if (subject := subjects[row]) and subject.source == source]
    scores = [subject.score for _, subject in of_source if subject.score is not None]
    return Segment(
        kind="span",
        start_seconds=shot.start_seconds,
        end_seconds=shot.end_seconds,
        label="shot_composition",
        score=float(np.mean(scores)) if scores else None,
        data=_describe(composition, subjects, rows, of_source) if rows else None,
    )


def _describe(
    composition: FrameComposition,
    subjects: Sequence[Subject | None],
    rows: list[int],
    of_source: Sequence[tuple[int, Subject]],
) -> CompositionData:
    """Framing of the samples `rows`, whose subject is that of `of_source`."""
    center = np.median([subject.center_xy for _, subject in of_source], axis=0).tolist() if of_source else None
    places = np.array([_in_picture(composition, subject, row) for row, subject in of_source]).reshape(-1, 2)
    zone = [is_ok for _, subject in of_source if (is_ok := _is_in_zone(composition, subject)) is not None]
    return CompositionData(
        subject_source=of_source[0][1].source if of_source else None,
        subject_xy=(center[0], center[1]) if center else None,
        thirds_distance=median(_thirds_distances(places)),
        center_distance=median(_center_distances(places)),
        symmetry=median(composition.symmetry[rows]),
        negative_space=median(composition.negative_space[rows]),
        horizon_degrees=median(composition.horizon_degrees[rows]),
        headroom_percent=_percent(subject.headroom_ratio for _, subject in of_source),
        look_room_percent=_percent(subject.look_room_ratio for _, subject in of_source),
        shot_size=_most(subject.shot_size for _, subject in of_source),
        layout=_most(_layout(composition, subjects, row) for row in rows),
        safe_zone_ok=2 * sum(zone) > len(zone) if zone else None,
    )


def _layout(composition: FrameComposition, subjects: Sequence[Subject | None], row: int) -> Layout | None:
    subject = subjects[row]
    across = None if subject is None else abs(float(_in_picture(composition, subject, row)[0]) - 0.5)
    is_seen = subject is not None and subject.source != "saliency"
    is_centered = across is not None and across <= COLUMN_RATIO
    if composition.symmetry[row] >= SYMMETRIC_FROM and (is_centered or not is_seen):
        return "symmetric"
    if across is None:
        return None
    if is_centered:
        return "centered"
    return "thirds" if abs(across - 1 / 6) <= COLUMN_RATIO else "off_center"


def _in_picture(composition: FrameComposition, subject: Subject, row: int) -> NDArray[np.float64]:
    """Centre of the subject, 0-1 of the picture within the bars."""
    picture = composition.pictures_xyxy[row]
    return np.asarray((subject.center_xy - picture[:2]) / (picture[2:] - picture[:2]))


def _thirds_distances(places: NDArray[np.float64]) -> NDArray[np.float64]:
    # The nearest of the four points is the nearest in either direction.
    return np.asarray(np.linalg.norm(np.abs(np.abs(places - 0.5) - 1 / 6), axis=1))


def _center_distances(places: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.linalg.norm(places - 0.5, axis=1))


def _is_in_zone(composition: FrameComposition, subject: Subject) -> bool | None:
    face = subject.box_xyxy if subject.source == "face" else None
    points = subject.center_xy[None] if face is None else face.reshape(2, 2)
    return safe_zones.holds(points, composition.height_over_width)


def _shot_size_shares(subjects: Iterable[Subject]) -> dict[ShotSize, float] | None:
    counts = Counter(subject.shot_size for subject in subjects if subject.shot_size is not None)
    return {size: counts[size] / counts.total() for size, _ in SHOT_SIZES if size in counts} or None


def _most(kinds: Iterable[Kind | None]) -> Kind | None:
    """The most frequent, the first of equals; None where there is none."""
    counts = Counter(kind for kind in kinds if kind is not None)
    return counts.most_common(1)[0][0] if counts else None


def _percent(ratios: Iterable[float | None]) -> float | None:
    measured = median(np.array([ratio for ratio in ratios if ratio is not None]))
    return None if measured is None else 100 * measured


def _series(composition: FrameComposition, subjects: Sequence[Subject | None]) -> Series:
    grid: list[int] = np.flatnonzero(composition.is_on_grid).tolist()
    centers, places = np.full((2, len(grid), 2), np.nan)
    headroom = np.full(len(grid), np.nan)
    for k, row in enumerate(grid):
        if subject := subjects[row]:
            centers[k], places[k] = subject.center_xy, _in_picture(composition, subject, row)
            headroom[k] = np.nan if subject.headroom_ratio is None else 100 * subject.headroom_ratio
    columns = {
        "t": composition.times_seconds[grid],
        "subject_x": centers[:, 0],
        "subject_y": centers[:, 1],
        "thirds_dist": _thirds_distances(places),
        "symmetry": composition.symmetry[grid],
        "negative_space": composition.negative_space[grid],
        "horizon_deg": composition.horizon_degrees[grid],
        "headroom_pct": headroom,
    }
    return Series(
        columns={
            name: tuple(None if math.isnan(value) else value for value in values.tolist())
            for name, values in columns.items()
        }
    )


def headline(summary: CompositionSummary) -> str:
    """Say it in a few words."""
    parts = []
    if summary.dominant_layout:
        parts.append(f"mostly {summary.dominant_layout.replace('_', ' ')}")
    if shares := summary.shot_size_shares:
        parts.append(max(shares, key=shares.__getitem__))
    if summary.safe_zone_violations:
        parts.append(f"{summary.safe_zone_violations} shots with the subject under the player's controls")
    return ", ".join(parts) or "nothing stands out"


ANALYZER = Analyzer(
    name="composition_analysis",
    version="1",
    title="how pictures are composed: subject, thirds, symmetry, horizon, shot size",
    requires=(FrameComposition, Shots),
    uses=(Faces, ObjectTracks),
    data=ShotComposition,
    summary=CompositionSummary,
    labels=(
        Labels(
            names=("shot_composition",),
            meaning="a shot; without data where no sample fell into it",
            score="mean probability of the face, person or object that is its subject; null for what merely stands out",
        ),
    ),
    columns={
        "subject_x": "centre of the subject, 0-1 of the frame's width",
        "subject_y": "the same, 0-1 of its height",
        "thirds_dist": "from the subject to the nearest point of the rule of thirds, 0-0.48",
        "symmetry": "correlation with the mirror image, -1 to 1",
        "negative_space": "share of the picture in which there is next to nothing to see, 0-1",
        "horizon_deg": "slope of the horizon, positive where the right end is lower, degrees, -20 to 20",
        "headroom_pct": "picture above the head, percent of its height, 0-100",
    },
    headline=headline,
    analyze=analyze,
    parameters=PARAMETERS,
)
