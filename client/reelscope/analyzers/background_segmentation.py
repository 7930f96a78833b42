"""Background segmentation: where it is, how cluttered, how far people stand out from it.

Conventions: areas are shares 0-1 of the picture within its black bars; `background_samples` says what foreground,
change, clutter and bokeh are. Spans partition the clip, and each shows one background; its score is the share of the
background that its label has. Between two samples a background changes in the middle, or with the second one when that
was taken because the picture changed there.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reelscope.analyzers import background_samples
from reelscope.analyzers.background_samples import MIN_BACKGROUND_RATIO, MIN_CHANGE_SCORE, Samples
from reelscope.analyzers.base import Analyzer, Finding, Labels, Segment, Series
from reelscope.analyzers.coco_masks import CocoMask
from reelscope.analyzers.measured import median
from reelscope.signals import ObjectTracks, SceneLabels

MIN_AREA = 5e-6
"""Smaller areas are written as 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskSeries:
    """Masks over time."""

    times_seconds: tuple[float, ...]
    """Sampled instants, seconds."""
    rle: tuple[CocoMask, ...]
    """One mask per instant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackgroundData:
    """One background."""

    class_areas: Mapping[str, float]
    """Mean share of the picture of every ADE20K class that occurs, 0-1; they sum to 1."""
    background_label: str | None
    """Class with the largest background area; null when there is hardly any background."""
    foreground_ratio: float
    """Mean share of people and tracked objects, 0-1."""
    foreground: MaskSeries
    """Where people and tracked objects are."""
    clutter: float | None
    """Mean clutter, 0-1; null when there is hardly any background."""
    bokeh: float | None
    """Median detail of people over that of what surrounds them, >= 0; above 1 they are the sharper. Null without one
    of the two, or with a surrounding that has no detail at all."""
    change_score: float | None
    """Distance to the background before, 0-1; null for the first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackgroundSummary:
    """The clip's backgrounds. Every field is null when the segmentation model is untrained."""

    dominant_background: str | None
    """Class with the largest background area; null when there is hardly any background."""
    foreground_ratio: float | None
    """Mean share of people and tracked objects, 0-1."""
    background_change_count: int | None
    """Times that the background becomes another."""
    clutter: float | None
    """Mean clutter, 0-1; null when there is hardly any background."""
    bokeh: float | None
    """Median detail of people over that of what surrounds them, >= 0; null where it cannot be measured."""


def analyze(scene: SceneLabels, objects: ObjectTracks | None) -> Finding[BackgroundData, BackgroundSummary]:
    """Tell the backgrounds apart and describe each."""
    samples = background_samples.measure(scene, objects)
    starts = [0, *np.flatnonzero(samples.change_score >= MIN_CHANGE_SCORE).tolist()] if scene.sample_count else []
    edges = [0.0, *(_edge_seconds(row, scene) for row in starts[1:]), scene.duration_seconds]
    return Finding(
        segments=tuple(
            _segment(np.arange(first, end), (edges[k], edges[k + 1]), scene, samples)
            for k, (first, end) in enumerate(itertools.pairwise([*starts, scene.sample_count]))
        ),
        series=Series(
            columns={
                "t": tuple(scene.times_seconds.tolist()),
                "fg_ratio": _values(samples.foreground_ratio),
                "clutter": _values(samples.clutter),
                "bokeh": _values(samples.bokeh),
                "change_score": _values(samples.change_score),
            }
        ),
        summary=_summary(scene, samples, len(starts) - 1),
    )


def _edge_seconds(row: int, scene: SceneLabels) -> float:
    """When the background of a sample began."""
    assert scene.sampling_fps is not None
    before, time = scene.times_seconds[row - 1 : row + 1].tolist()
    is_regular = abs(time - round(time * scene.sampling_fps) / scene.sampling_fps) < 0.0005
    return float((before + time) / 2 if is_regular else time)


def _segment(
    rows: NDArray[np.intp], edges: tuple[float, float], scene: SceneLabels, samples: Samples
) -> Segment[BackgroundData]:
    seconds = samples.seconds[rows]
    areas = np.average(scene.areas[rows], axis=0, weights=seconds)
    background = np.average(samples.background[rows], axis=0, weights=seconds)
    label = _largest(background, scene)
    change = float(samples.change_score[rows[0]])
    return Segment(
        kind="span",
        start_seconds=edges[0],
        end_seconds=edges[1],
        label=label or "no background",
        score=float(background.max() / background.sum()) if label else None,
        data=BackgroundData(
            class_areas={
                name: area for name, area in zip(scene.labels, areas.tolist(), strict=True) if area >= MIN_AREA
            },
            background_label=label,
            foreground_ratio=max(0.0, float(1 - background.sum())),
            foreground=MaskSeries(
                times_seconds=tuple(scene.times_seconds[rows].tolist()),
                rle=tuple(samples.foreground[row] for row in rows),
            ),
            clutter=_mean(samples.clutter[rows], seconds),
            bokeh=median(samples.bokeh[rows]),
            change_score=None if np.isnan(change) else change,
        ),
    )


def _summary(scene: SceneLabels, samples: Samples, change_count: int) -> BackgroundSummary:
    if scene.untrained_models or not scene.sample_count:
        return BackgroundSummary(
            dominant_background=None, foreground_ratio=None, background_change_count=None, clutter=None, bokeh=None
        )
    background = np.average(samples.background, axis=0, weights=samples.seconds)
    return BackgroundSummary(
        dominant_background=_largest(background, scene),
        foreground_ratio=max(0.0, float(1 - background.sum())),
        background_change_count=change_count,
        clutter=_mean(samples.clutter, samples.seconds),
        bokeh=median(samples.bokeh),
    )


def _largest(background: NDArray[np.float64], scene: SceneLabels) -> str | None:
    return scene.labels[int(background.argmax())] if background.sum() >= MIN_BACKGROUND_RATIO else None


def _mean(values: NDArray[np.float64], seconds: NDArray[np.float64]) -> float | None:
    known = ~np.isnan(values)
    return float(np.average(values[known], weights=seconds[known])) if known.any() else None


def _values(values: NDArray[np.float64]) -> tuple[float | None, ...]:
    return tuple(None if np.isnan(value) else value for value in values.tolist())


def headline(summary: BackgroundSummary) -> str:
    """Say it in a few words."""
    if summary.foreground_ratio is None:
        return "random weights: nothing is claimed"
    changes = summary.background_change_count
    parts = [
        summary.dominant_background or "no background",
        "1 change" if changes == 1 else f"{changes} changes",
        f"{summary.foreground_ratio:.0%} people and objects",
    ]
    return ", ".join(parts + ([f"clutter {summary.clutter:.2f}"] if summary.clutter is not None else []))


ANALYZER = Analyzer(
    name="background_segmentation",
    version="1",
    title="where it is, clutter, how far people stand out",
    requires=(SceneLabels,),
    uses=(ObjectTracks,),
    data=BackgroundData,
    summary=BackgroundSummary,
    labels=(
        Labels(
            meaning="a background; the label is its ADE20K class, or no background",
            score="share of the background that has this class",
        ),
    ),
    columns={
        "fg_ratio": "share of people and tracked objects, 0-1",
        "clutter": "clutter of the background, 0-1",
        "bokeh": "detail of people over that of what surrounds them, >= 0",
        "change_score": "distance to the background of the sample before, 0-1",
    },
    headline=headline,
    analyze=analyze,
    parameters=background_samples.PARAMETERS,
)
