"""Camera analysis: how the camera moves, and how steadily.

Goal: style of movement, stability. Conventions: pan > 0 turns right (the picture moves left), tilt > 0 turns up, roll >
0 turns clockwise; zoom is the growth of the picture in one second, 1 for none. Speeds are of the picture, in percent of
its width or height; degrees need an assumed field of view. Zoom and dolly look alike to four degrees of freedom.

A movement's strength is the RMS displacement of the picture that it causes, in percent of the picture's mean side
(the root of width times height), so that pan, tilt, zoom and roll compare.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np

from reelscope.analyzers import camera_fit, camera_path
from reelscope.analyzers.base import Analyzer, Finding, Labels, Segment, Series
from reelscope.analyzers.camera_fit import Motions
from reelscope.analyzers.camera_path import Movement, Picture, Piece
from reelscope.analyzers.timeline import SERIES_POINTS
from reelscope.signals import ObjectTracks, Parameter, PointFlow, Shots

STATIC_PERCENT = 0.5
"""Weaker movement is none, percent of the mean side per second."""
MIXED_RATIO = 0.5
"""A second movement of this share of the strongest makes it a mixed one."""
HANDHELD_PERCENT = 0.2
"""Shake from which a camera is in a hand, percent of the width ..."""
HANDHELD_RATIO = 10.0
"""... unless it moves by more than this many times its shake per second: then the movement is what is seen."""
STEADY_PERCENT = 0.5
"""Shake that halves the stability, percent of the width."""
ASSUMED_HFOV_DEGREES = 65.0
"""Horizontal field of view of a phone's main camera; nothing in the clip tells it."""
SERIES_HOP_SECONDS = 0.1

PARAMETERS: dict[str, Parameter] = {
    "inlier_px": camera_fit.INLIER_PX,
    "min_inliers": camera_fit.MIN_INLIERS,
    "min_inlier_ratio": camera_fit.MIN_INLIER_RATIO,
    "min_piece_seconds": camera_path.MIN_PIECE_SECONDS,
    "shake_seconds": camera_path.SHAKE_SECONDS,
    "tolerance_percent": camera_path.TOLERANCE_PERCENT,
    "tolerance_over_shake": camera_path.TOLERANCE_OVER_SHAKE,
    "static_percent": STATIC_PERCENT,
    "mixed_ratio": MIXED_RATIO,
    "handheld_percent": HANDHELD_PERCENT,
    "handheld_ratio": HANDHELD_RATIO,
    "steady_percent": STEADY_PERCENT,
    "assumed_hfov_degrees": ASSUMED_HFOV_DEGREES,
}

Label = Literal["static", "pan", "tilt", "zoom_or_dolly", "roll", "handheld", "mixed", "unknown"]
_MOVEMENTS: tuple[Label, ...] = ("pan", "tilt", "zoom_or_dolly", "roll")


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraData:
    """Mean movement of a span; all null where nothing could be followed."""

    pan_percent_width_per_second: float | None
    """Percent of the frame's width per second, positive when the camera turns right."""
    tilt_percent_height_per_second: float | None
    """Percent of the frame's height per second, positive when the camera turns up."""
    zoom_per_second: float | None
    """Factor by which the picture grows in one second, >= 0; 1 for none."""
    roll_degrees_per_second: float | None
    """Degrees per second, positive when the camera turns clockwise."""
    pan_degrees_per_second: float | None
    """The pan as an angle, degrees per second, if the horizontal field of view is `assumed_hfov_degrees`."""
    shake_rms_percent_width: float | None
    """RMS distance of the picture from its smooth path (Gaussian of 0.25 s), percent of the width, >= 0."""
    inlier_ratio: float | None
    """Share of the points that move with the camera, 0-1: mean over the pairs of frames."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraSummary:
    """The clip's camera work."""

    static_ratio: float | None
    """Share of the time of known movement in which the camera rests, 0-1; null when none is known."""
    dominant: Label
    """Label of the most time; unknown only when nothing is known."""
    stability: float | None
    """0-1: 1 / (1 + s / 0.5), s being the median shake over the known time, percent of the width: 1 for a tripod, 0.5
    for a shaky hand. Null when nothing is known."""


def analyze(flow: PointFlow, shots: Shots, people: ObjectTracks | None) -> Finding[CameraData, CameraSummary]:
    """Describe the camera's movement within every shot, and over the clip."""
    motions = camera_fit.fit(flow, people)
    picture = Picture(flow.width_px, flow.height_px)
    spans: list[tuple[Label, Piece]] = []
    for shot in shots.shots:
        found = camera_path.pieces(motions, shot.start_seconds, shot.end_seconds, picture)
        spans += _merged(found, picture)
    return Finding(
        segments=tuple(
            Segment(
                kind="span",
                start_seconds=piece.start_seconds,
                end_seconds=piece.end_seconds,
                label=label,
                score=None,
                data=_data(piece.movement),
            )
            for label, piece in spans
        ),
        series=_series(motions, shots),
        summary=_summary(spans),
    )


def _label(movement: Movement | None, picture: Picture) -> Label:
    if movement is None:
        return "unknown"
    strengths = np.abs(movement.speed * picture.flow_percent)
    strength = float(np.linalg.norm(strengths))
    shake = movement.shake_percent_width
    if shake >= HANDHELD_PERCENT and strength < HANDHELD_RATIO * shake:
        return "handheld"
    if strength < STATIC_PERCENT:
        return "static"
    second, first = np.sort(strengths)[-2:]
    return "mixed" if second >= MIXED_RATIO * first else _MOVEMENTS[int(strengths.argmax())]


def _merged(pieces: Sequence[Piece], picture: Picture) -> list[tuple[Label, Piece]]:
    """Neighbours of one label become one span, unless they move against each other."""
    spans: list[tuple[Label, Piece]] = []
    for piece in pieces:
        label = _label(piece.movement, picture)
        known = spans[-1][1] if spans and spans[-1][0] == label else None
        if known and known.movement and piece.movement:
            directions = [part.speed * picture.flow_percent for part in (known.movement, piece.movement)]
            if label in ("static", "handheld") or directions[0] @ directions[1] > 0:
                movement = Movement.mean((known.movement, piece.movement), (known.seconds, piece.seconds))
                spans[-1] = label, replace(known, end_seconds=piece.end_seconds, movement=movement)
                continue
        spans.append((label, piece))
    return spans


def _data(movement: Movement | None) -> CameraData:
    if movement is None:
        return CameraData(
            pan_percent_width_per_second=None,
            tilt_percent_height_per_second=None,
            zoom_per_second=None,
            roll_degrees_per_second=None,
            pan_degrees_per_second=None,
            shake_rms_percent_width=None,
            inlier_ratio=None,
        )
    pan, tilt, zoom, roll = movement.speed.tolist()
    # At the centre of the picture, whose width is 2 tan(hfov / 2) focal lengths.
    widths_per_radian = 2 * np.tan(np.radians(ASSUMED_HFOV_DEGREES) / 2)
    return CameraData(
        pan_percent_width_per_second=pan,
        tilt_percent_height_per_second=tilt,
        zoom_per_second=float(np.exp(zoom)),
        roll_degrees_per_second=roll,
        pan_degrees_per_second=float(np.degrees(pan / 100 * widths_per_radian)),
        shake_rms_percent_width=movement.shake_percent_width,
        inlier_ratio=movement.inlier_ratio,
    )


def _summary(spans: Sequence[tuple[Label, Piece]]) -> CameraSummary:
    seconds: dict[Label, float] = {}
    for label, piece in spans:
        if piece.movement:
            seconds[label] = seconds.get(label, 0.0) + piece.seconds
    if not seconds:
        return CameraSummary(static_ratio=None, dominant="unknown", stability=None)
    # The median, because a whip pan is no straight piece, and what it deviates is no shake of the camera.
    shakes = sorted((piece.movement.shake_percent_width, piece.seconds) for _, piece in spans if piece.movement)
    reached = np.cumsum([length for _, length in shakes])
    shake = shakes[int(np.searchsorted(reached, reached[-1] / 2))][0]
    return CameraSummary(
        static_ratio=seconds.get("static", 0.0) / sum(seconds.values()),
        dominant=max(seconds, key=lambda label: seconds[label]),
        stability=1 / (1 + shake / STEADY_PERCENT),
    )


def _series(motions: Motions, shots: Shots) -> Series:
    """Mean speeds of every hop; null where no pair of frames within one shot is known."""
    starts = np.array([shot.start_seconds for shot in shots.shots])
    is_within = np.searchsorted(starts, motions.start_seconds, "right") == np.searchsorted(
        starts, motions.end_seconds, "right"
    )
    known = np.flatnonzero(is_within & ~np.isnan(motions.inlier_ratio))
    duration = shots.shots[-1].end_seconds
    hop = max(SERIES_HOP_SECONDS, duration / SERIES_POINTS)
    edges = np.arange(np.ceil(round(duration / hop, 6)) + 1) * hop
    # Time that is known and movement in it, both summed up to every knot; hops read the difference.
    knots = np.append(0.0, np.stack((motions.start_seconds, motions.end_seconds), axis=1)[known])
    spent = np.zeros((len(knots), 5))
    spent[2::2] = np.column_stack((motions.end_seconds - motions.start_seconds, motions.moves))[known]
    seconds, *moves = (np.diff(np.interp(edges, knots, column)) for column in np.cumsum(spent, axis=0).T)
    is_known = seconds > 1e-6
    pan, tilt, zoom, roll = (np.divide(move, seconds, out=np.zeros_like(move), where=is_known) for move in moves)
    columns = {"pan_pct_w_s": pan, "tilt_pct_h_s": tilt, "zoom_per_s": np.exp(zoom), "roll_deg_s": roll}
    return Series(
        hop_seconds=hop,
        columns={
            name: tuple(value if known else None for value, known in zip(values.tolist(), is_known, strict=True))
            for name, values in columns.items()
        },
    )


def headline(summary: CameraSummary) -> str:
    """Say it in a few words."""
    if summary.static_ratio is None or summary.stability is None:
        return "nothing could be followed"
    return f"mostly {summary.dominant}, at rest {summary.static_ratio:.0%}, stability {summary.stability:.2f}"


ANALYZER = Analyzer(
    name="camera_analysis",
    version="1",
    title="how the camera moves, and how steadily",
    requires=(PointFlow, Shots),
    uses=(ObjectTracks,),
    data=CameraData,
    summary=CameraSummary,
    labels=(
        Labels(
            names=get_args(Label),
            meaning="a movement within a shot, named by the label; unknown where nothing could be followed",
        ),
    ),
    columns={
        "pan_pct_w_s": "speed to the right, percent of the width per second",
        "tilt_pct_h_s": "speed upwards, percent of the height per second",
        "zoom_per_s": "growth of the picture in one second, a factor, >= 0; 1 for none",
        "roll_deg_s": "speed clockwise, degrees per second",
    },
    headline=headline,
    analyze=analyze,
    parameters=PARAMETERS,
)
