"""Face emotion: which expressions faces show, when, and how strongly.

Apparent expression, not feeling: what a network trained on pictures of faces reads in a face. Biometric, so results say
`sensitive`, and a deployment can leave it out.

Conventions: probabilities are smoothed per face track by an exponential mean over time (`smoothing_seconds`), which
begins anew where the face was out of sight. The dominant expression of an instant is the most probable one, its
intensity 1 less the probability of neutral. One span per stretch of a track with one dominant expression; its score is
the mean probability of that. Valence and arousal are -1 to 1; what the network says beyond is cut off. Faces under
`face_min_px` (shorter side, uploaded frame), and those for which the network gives no numbers, are not judged.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from reelscope.analyzers import face_rows
from reelscope.analyzers.base import Analyzer, Finding, Labels, Segment, Series
from reelscope.analyzers.biometrics import OPT_OUT
from reelscope.signals import EXPRESSIONS, FaceExpressions, Faces, Parameter

SMOOTHING_SECONDS = 0.5
"""Time constant of the mean: a change has arrived by 63 % after it."""
MIN_FACE_PX = 32

PARAMETERS: dict[str, Parameter] = {"smoothing_seconds": SMOOTHING_SECONDS, "face_min_px": MIN_FACE_PX}

Values = NDArray[np.float64]

_NEUTRAL = EXPRESSIONS.index("neutral")
_HAPPY = EXPRESSIONS.index("happy")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpressionData:
    """A stretch of one face with one dominant expression; means over its instants, smoothed."""

    probabilities: tuple[float, ...]
    """Probabilities, 0-1, that sum to 1: neutral, happy, sad, surprise, fear, disgust, anger, contempt."""
    dominant: str
    """The most probable one throughout."""
    intensity: float
    """1 less the probability of neutral, 0-1."""
    valence: float | None
    """-1 (unpleasant) to 1 (pleasant), not smoothed; null where the network does not say."""
    arousal: float | None
    """-1 (calm) to 1 (excited), not smoothed; null where the network does not say."""
    face_area_percent: float
    """Area of the face's box within the picture, percent of the frame."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpressionPeak:
    """The strongest expression other than neutral."""

    label: str
    """Which one."""
    time_seconds: float
    """When, seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpressionSummary:
    """What faces show in the clip. All that is measured is null when a model is untrained."""

    time_share: Mapping[str, float] | None
    """By expression: share of the judged time of all faces in which it is dominant, 0-1, in sum 1; null without
    any."""
    smile_ratio: float | None
    """Share of the time with a judged face in which at least one of them is dominantly happy, 0-1; null without
    any."""
    transitions: int | None
    """Changes of the dominant expression, of all faces, >= 0."""
    peak: ExpressionPeak | None
    """Where an expression other than neutral is dominant and most probable; null where that never happens."""
    face_screen_time_seconds: float | None
    """Time with at least one tracked face in the picture, judged or not."""
    sensitive: Literal[True] = True
    """Judged from people's faces: handle as biometric. Apparent expression, not feeling."""
    opt_out: str = OPT_OUT
    """How to leave this analysis out."""


@dataclass(frozen=True, slots=True)
class _Stretch:
    track_id: str
    rows: NDArray[np.intp]
    """Rows of `Faces`, in time order, without gaps."""
    dominant: int


def analyze(faces: Faces, expressions: FaceExpressions) -> Finding[ExpressionData, ExpressionSummary]:
    """Follow the expression of every face."""
    smoothed = np.full((len(faces.frame), len(EXPRESSIONS)), np.nan)
    is_known: NDArray[np.bool_] = np.asarray(np.isfinite(expressions.probabilities).all(axis=1))
    tracks: list[list[_Stretch]] = []
    for track, rows in faces.tracks():
        judged = rows[(faces.sizes_px[rows] >= MIN_FACE_PX) & is_known[rows]]
        parts = _without_gaps(faces, judged)
        for part in parts:
            times = faces.times_seconds[faces.frame[part]]
            smoothed[part] = smooth(times, expressions.probabilities[part].astype(np.float64))
        tracks.append([stretch for part in parts for stretch in _stretches(track.id, part, smoothed)])
    stretches = [stretch for found in tracks for stretch in found]
    return Finding(
        segments=tuple(_segment(stretch, faces, expressions, smoothed) for stretch in stretches),
        series=_series(faces, expressions, smoothed),
        summary=_summary(faces, expressions, smoothed, tracks),
    )


def smooth(times_seconds: Values, values: Values) -> Values:
    """Exponential mean over time [n, c] of values [n, c] at [n] instants; it begins with the first."""
    kept = np.exp(-np.diff(times_seconds, prepend=times_seconds[:1]) / SMOOTHING_SECONDS)
    found = values.copy()
    for k in range(1, len(found)):
        found[k] = kept[k] * found[k - 1] + (1 - kept[k]) * values[k]
    return found


def _without_gaps(faces: Faces, rows: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    steps = np.diff(faces.times_seconds[faces.frame[rows]])
    parts = np.split(rows, np.flatnonzero(steps > 1.5 * faces.step_seconds) + 1)
    return [part for part in parts if part.size]


def _stretches(track_id: str, rows: NDArray[np.intp], smoothed: Values) -> list[_Stretch]:
    dominant = smoothed[rows].argmax(axis=1)
    edges = np.flatnonzero(np.diff(dominant)) + 1
    return [_Stretch(track_id, part, int(smoothed[part[0]].argmax())) for part in np.split(rows, edges)]


def _segment(
    stretch: _Stretch, faces: Faces, expressions: FaceExpressions, smoothed: Values
) -> Segment[ExpressionData]:
    rows = stretch.rows
    times = faces.times_seconds[faces.frame[rows]]
    probabilities = smoothed[rows].mean(axis=0)
    boxes = faces.boxes_xyxy[rows].clip(0, 1)
    return Segment(
        kind="span",
        start_seconds=float(times[0]),
        end_seconds=min(float(times[-1]) + faces.step_seconds, faces.duration_seconds),
        label=EXPRESSIONS[stretch.dominant],
        score=float(probabilities[stretch.dominant].clip(0, 1)),
        track_id=stretch.track_id,
        data=ExpressionData(
            probabilities=tuple(probabilities.tolist()),
            dominant=EXPRESSIONS[stretch.dominant],
            intensity=float((1 - probabilities[_NEUTRAL]).clip(0, 1)),
            valence=_mean(expressions.valence[rows]),
            arousal=_mean(expressions.arousal[rows]),
            face_area_percent=100 * float(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1).mean()),
        ),
    )


def _mean(values: NDArray[np.float32]) -> float | None:
    known = _within(values[~np.isnan(values)])
    return float(known.mean()) if known.size else None


def _within(values: NDArray[np.float32]) -> Values:
    return np.asarray(values.clip(-1, 1), np.float64)


def _summary(
    faces: Faces, expressions: FaceExpressions, smoothed: Values, tracks: list[list[_Stretch]]
) -> ExpressionSummary:
    if faces.untrained_models or expressions.untrained_models:
        return ExpressionSummary(
            time_share=None, smile_ratio=None, transitions=None, peak=None, face_screen_time_seconds=None
        )
    judged = _judged(smoothed)
    dominant = smoothed[judged].argmax(axis=1)
    weights = face_rows.seconds(faces)[judged]
    share = np.bincount(dominant, weights, len(EXPRESSIONS)) / weights.sum() if judged.size else None
    smiling = face_rows.screen_seconds(faces, judged[dominant == _HAPPY])
    return ExpressionSummary(
        time_share=dict(zip(EXPRESSIONS, share.tolist(), strict=True)) if share is not None else None,
        smile_ratio=smiling / face_rows.screen_seconds(faces, judged) if judged.size else None,
        transitions=sum(
            before.dominant != after.dominant for found in tracks for before, after in itertools.pairwise(found)
        ),
        peak=_peak(faces, smoothed, judged[dominant != _NEUTRAL]),
        face_screen_time_seconds=face_rows.screen_seconds(faces, face_rows.tracked(faces)),
    )


def _judged(smoothed: Values) -> NDArray[np.intp]:
    return np.flatnonzero(~np.isnan(smoothed[:, 0]))


def _peak(faces: Faces, smoothed: Values, rows: NDArray[np.intp]) -> ExpressionPeak | None:
    if not rows.size:
        return None
    row = rows[smoothed[rows].max(axis=1).argmax()]
    return ExpressionPeak(
        label=EXPRESSIONS[int(smoothed[row].argmax())], time_seconds=float(faces.times_seconds[faces.frame[row]])
    )


def _series(faces: Faces, expressions: FaceExpressions, smoothed: Values) -> Series:
    """Of the largest judged face of every sampled frame."""
    rows = face_rows.largest(faces, _judged(smoothed))
    columns = {
        "happy": smoothed[rows, _HAPPY],
        "intensity": 1 - smoothed[rows, _NEUTRAL],
        "valence": _within(expressions.valence[rows]),
        "arousal": _within(expressions.arousal[rows]),
    }
    return face_rows.series(faces, rows, columns)


def headline(summary: ExpressionSummary) -> str:
    """Say it in a few words."""
    if summary.face_screen_time_seconds is None:
        return "random weights: nothing is claimed"
    if not summary.time_share:
        return "no face to judge"
    name, share = max(summary.time_share.items(), key=lambda item: item[1])
    parts = [f"faces for {summary.face_screen_time_seconds:.1f} s", f"expression {name} {share:.0%} of it"]
    if summary.peak:
        parts.append(f"peak {summary.peak.label} at {summary.peak.time_seconds:.1f} s")
    return ", ".join(parts)


ANALYZER = Analyzer(
    name="face_emotion",
    version="2",
    title="apparent facial expressions, smiles, peaks",
    requires=(Faces, FaceExpressions),
    data=ExpressionData,
    summary=ExpressionSummary,
    labels=(
        Labels(
            names=EXPRESSIONS,
            meaning="a face with one dominant expression; the label names it",
            score="mean probability of that expression",
        ),
    ),
    columns={
        "happy": "smoothed probability of happy, of the largest judged face, 0-1",
        "intensity": "1 less that of neutral, 0-1",
        "valence": "unpleasant to pleasant, not smoothed, -1 to 1",
        "arousal": "calm to excited, not smoothed, -1 to 1",
    },
    headline=headline,
    analyze=analyze,
    parameters=PARAMETERS,
    is_biometric=True,
)
