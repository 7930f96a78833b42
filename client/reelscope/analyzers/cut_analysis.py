"""Cut analysis: where the clip is cut, how, and in which rhythm.

Goal: edit rhythm. Conventions: a shot is an uninterrupted run of frames, not a scene; frame_out is the first frame
after the shot; a flash is an event, not a cut. Score of a shot: dissimilarity across its first boundary, 0-1.
Dissolves and wipes need a network that is not served yet: they are mostly missed, and never named when found.
Average shot length (ASL): Salt (1974), Statistical style analysis of motion pictures.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reelscope.analyzers.base import Analyzer, Finding, Labels, Segment, Series
from reelscope.signals import Shots, Transition


@dataclass(frozen=True, slots=True, kw_only=True)
class CutData:
    """A shot, or a flash within one."""

    frame_in: int | None
    """Index of the first frame, >= 0; null for a flash."""
    frame_out: int | None
    """Index of the first frame after the shot, >= 1; null for a flash."""
    transition_in: Transition | None
    """How the shot begins; null for the first one and for a flash."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CutSummary:
    """Edit rhythm of the clip."""

    cut_count: int
    """Boundaries between shots, of any kind: shots - 1."""
    cuts_per_minute: float | None
    """Boundaries per 60 s; null for a single frame."""
    shot_length_mean_seconds: float
    """Average shot length, seconds."""
    shot_length_median_seconds: float
    """Median shot length, seconds."""
    shot_length_p10_seconds: float
    """10th percentile of the shot lengths, seconds."""
    shot_length_p90_seconds: float
    """90th percentile of the shot lengths, seconds."""
    shot_length_shortest_seconds: float
    """Length of the shortest shot, seconds."""
    flash_count: int
    """Bursts that are no cuts."""


def analyze(shots: Shots) -> Finding[CutData, CutSummary]:
    """Describe the shots and their rhythm."""
    segments = [
        Segment(
            kind="span",
            start_seconds=shot.start_seconds,
            end_seconds=shot.end_seconds,
            label="shot",
            score=shot.score,
            data=CutData(frame_in=shot.frame_in, frame_out=shot.frame_out, transition_in=shot.transition_in),
        )
        for shot in shots.shots
    ] + [
        Segment(
            kind="event",
            start_seconds=flash.start_seconds,
            end_seconds=flash.end_seconds,
            label="flash",
            score=None,
            data=CutData(frame_in=None, frame_out=None, transition_in=None),
        )
        for flash in shots.flashes
    ]
    lengths = np.array([shot.end_seconds - shot.start_seconds for shot in shots.shots])
    cut_count = len(shots.shots) - 1
    return Finding(
        segments=tuple(segments),
        summary=CutSummary(
            cut_count=cut_count,
            cuts_per_minute=60 * cut_count / float(lengths.sum()) if shots.sample_count > 1 else None,
            shot_length_mean_seconds=float(lengths.mean()),
            shot_length_median_seconds=float(np.median(lengths)),
            shot_length_p10_seconds=float(np.percentile(lengths, 10)),
            shot_length_p90_seconds=float(np.percentile(lengths, 90)),
            shot_length_shortest_seconds=float(lengths.min()),
            flash_count=len(shots.flashes),
        ),
        full_series=Series(
            columns={"t": tuple(shots.times_seconds.tolist()), "luma_change": tuple(shots.luma_change.tolist())}
        ),
        warnings=("gradual_transitions_not_detected",),
    )


def headline(summary: CutSummary) -> str:
    """Say it in a few words."""
    rate = "" if summary.cuts_per_minute is None else f", {summary.cuts_per_minute:.0f} per minute"
    cuts = "1 cut" if summary.cut_count == 1 else f"{summary.cut_count} cuts"
    return f"{cuts}{rate}, shots of {summary.shot_length_mean_seconds:.2f} s on average"


ANALYZER = Analyzer(
    name="cut_analysis",
    version="1",
    title="where the clip is cut, how, and in which rhythm",
    requires=(Shots,),
    data=CutData,
    summary=CutSummary,
    labels=(
        Labels(
            names=("shot",), meaning="a shot", score="dissimilarity across its first boundary; null for the first shot"
        ),
        Labels(names=("flash",), kind="event", meaning="a burst after which the picture is as before: no cut"),
    ),
    columns={"luma_change": "mean absolute difference to the frame before, grey levels, 0-255; full detail only"},
    warnings={
        "gradual_transitions_not_detected": "dissolves and wipes are mostly missed: no network for them is served"
    },
    headline=headline,
    analyze=analyze,
)
