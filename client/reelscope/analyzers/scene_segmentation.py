"""Scene segmentation: the locations, or story units, that runs of shots make up.

Conventions: scenes are runs of whole shots and partition the clip. A shot is its samples' normalised mean embedding; a
shot into which no sample fell joins the scene before it (at the clip's start, the one after it). Two shots are linked
when the cosine of their embeddings reaches `same_similarity` and at most `window_shots` cuts lie between them.

The boundary score of a cut, 0-1, is 1 minus the largest cosine of any two shots on either side of it, at most
`window_shots` cuts apart; where it stays above 1 - `same_similarity` a scene begins. So scenes hold together by links
that overlap in time (Hanjalic, Lagendijk & Biemond 1999, Automated high-level movie segmentation), within a limited
time (Yeung & Yeo 1996, Time-constrained clustering): shot and reverse shot are one scene, and so are a speaker and
what is cut in while he speaks.

One link does not count: one that reaches over a scene of its own, that is, over two neighbouring linked shots none of
whose links leaves the stretch in between. A A B B A is therefore three scenes, the last a return to the first, while
the interlocking links of A B A B, A B C A B C and A A B B A B make each of them one. In A B A C A D the inserts B and C
lie within the scene of A; D, to which nothing returns, begins another.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from reelscope.analyzers.base import Analyzer, Finding, Labels, Segment, numbered
from reelscope.signals import FrameEmbeddings, Parameter, Shot, Shots

NAME = "scene_segmentation"
WINDOW_SHOTS = 4
SAME_SIMILARITY = 0.75
"""Between the cosines of CLIP's embeddings of unrelated photographs, about 0.5, and of two views of one place, about
0.9. To be calibrated on real clips."""
LABEL_MARGIN = 0.2
"""A label is given when its probability exceeds that of every other label of its group by so much."""

PARAMETERS: dict[str, Parameter] = {
    "window_shots": WINDOW_SHOTS,
    "same_similarity": SAME_SIMILARITY,
    "label_margin": LABEL_MARGIN,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneLabel:
    """What the embedding model calls a scene."""

    label: str
    """One of the labels of its group."""
    probability: float
    """Mean over the scene's samples, 0-1; the labels of a group sum to 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneData:
    """A run of shots."""

    shot_ids: tuple[str, ...]
    """Its shots, in order."""
    setting: SceneLabel | None
    """Where it is, e.g. kitchen; null when that is not clear."""
    int_ext: SceneLabel | None
    """interior or exterior; null when that is not clear."""
    day_night: SceneLabel | None
    """day or night; null when that is not clear."""
    boundary_score: float | None
    """Dissimilarity across its first cut, 0-1; null for the first scene."""
    returns_to: str | None
    """Segment of the most similar earlier scene, not the one just before, when it is the same; null for a new one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneSummary:
    """The clip in scenes. Every field is null when the embedding model is untrained."""

    scene_count: int | None
    """Scenes of the clip."""
    scene_length_mean_seconds: float | None
    """Mean length of a scene, seconds."""
    revisit_count: int | None
    """Scenes that return to an earlier one, >= 0."""


def analyze(shots: Shots, embeddings: FrameEmbeddings) -> Finding[SceneData, SceneSummary]:
    """Join the shots to scenes; random weights know none."""
    samples = [np.flatnonzero(shot.holds(embeddings.times_seconds)) for shot in shots.shots]
    seen = [k for k, rows in enumerate(samples) if rows.size]
    if embeddings.untrained_models or not seen:
        summary = SceneSummary(scene_count=None, scene_length_mean_seconds=None, revisit_count=None)
        return Finding(segments=(), summary=summary)
    pictures = _unit(np.stack([embeddings.embeddings[samples[k]].mean(0) for k in seen]))
    scores = boundary_scores(pictures)
    cuts = np.flatnonzero(scores > 1 - SAME_SIMILARITY)
    edges = [0, *(seen[cut + 1] for cut in cuts), len(shots.shots)]
    segments = numbered(
        NAME,
        [
            _segment(shots.shots[first:end], np.concatenate(samples[first:end]), score, embeddings)
            for (first, end), score in zip(itertools.pairwise(edges), (None, *scores[cuts].tolist()), strict=True)
        ],
    )
    scenes = _unit(np.stack([run.mean(0) for run in np.split(pictures, cuts + 1)]))
    origins = _origins(scenes)
    return Finding(
        segments=tuple(
            segment if origin is None else replace(segment, data=replace(segment.data, returns_to=segments[origin].id))
            for segment, origin in zip(segments, origins, strict=True)
        ),
        summary=SceneSummary(
            scene_count=len(segments),
            scene_length_mean_seconds=float(np.mean([scene.end_seconds - scene.start_seconds for scene in segments])),
            revisit_count=sum(origin is not None for origin in origins),
        ),
    )


def boundary_scores(pictures: NDArray[np.float64]) -> NDArray[np.float64]:
    """[n - 1] dissimilarity across every cut, 0-1, from the unit embeddings [n, d] of n shots."""
    spans = range(1, min(WINDOW_SHOTS, len(pictures) - 1) + 1)
    cosines = {span: (pictures[:-span] * pictures[span:]).sum(1) for span in spans}
    links: list[set[int]] = [set() for _ in pictures]
    for span in spans:
        for first in np.flatnonzero(cosines[span] >= SAME_SIMILARITY).tolist():
            links[first].add(first + span)
            links[first + span].add(first)
    closest = np.zeros(len(pictures) - 1)
    for span in spans:
        for first, cosine in enumerate(cosines[span].tolist()):
            if not _reaches_over_a_scene(first, first + span, links):
                closest[first : first + span] = np.maximum(closest[first : first + span], cosine)
    return np.clip(1 - closest, 0.0, 1.0)


def _reaches_over_a_scene(first: int, last: int, links: list[set[int]]) -> bool:
    """Whether two neighbouring linked shots lie between, and none of their links leads to the ends or beyond."""
    return any(
        k + 1 in links[k] and first < min(links[k] | links[k + 1]) and max(links[k] | links[k + 1]) < last
        for k in range(first + 1, last - 1)
    )


def _origins(scenes: NDArray[np.float64]) -> list[int | None]:
    """For every scene the index of the earlier one that it returns to; scenes are unit embeddings [n, d]."""
    origins: list[int | None] = []
    for k, scene in enumerate(scenes):
        cosines = scenes[: max(0, k - 1)] @ scene
        origins.append(int(cosines.argmax()) if cosines.size and cosines.max() >= SAME_SIMILARITY else None)
    return origins


def _segment(
    shots: tuple[Shot, ...], rows: NDArray[np.intp], score: float | None, embeddings: FrameEmbeddings
) -> Segment[SceneData]:
    setting, int_ext, day_night = (_label(group, rows, embeddings) for group in ("setting", "int_ext", "day_night"))
    return Segment(
        kind="span",
        start_seconds=shots[0].start_seconds,
        end_seconds=shots[-1].end_seconds,
        label="scene",
        score=None,
        data=SceneData(
            shot_ids=tuple(shot.id for shot in shots),
            setting=setting,
            int_ext=int_ext,
            day_night=day_night,
            boundary_score=score,
            returns_to=None,
        ),
    )


def _label(group: str, rows: NDArray[np.intp], embeddings: FrameEmbeddings) -> SceneLabel | None:
    names, probabilities = embeddings.group(group)
    means = probabilities[rows].mean(0)
    second, first = np.argsort(means)[-2:]
    if means[first] - means[second] < LABEL_MARGIN:
        return None
    return SceneLabel(label=names[first], probability=float(means[first]))


def _unit(vectors: NDArray[np.floating]) -> NDArray[np.float64]:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float64)


def headline(summary: SceneSummary) -> str:
    """Say it in a few words."""
    if summary.scene_count is None:
        return "random weights: nothing is claimed"
    scenes = "1 scene" if summary.scene_count == 1 else f"{summary.scene_count} scenes"
    return f"{scenes} of {summary.scene_length_mean_seconds:.2f} s on average, {summary.revisit_count} returned to"


ANALYZER = Analyzer(
    name=NAME,
    version="1",
    title="which shots make up a scene, and where it is set",
    requires=(Shots, FrameEmbeddings),
    data=SceneData,
    summary=SceneSummary,
    labels=(Labels(names=("scene",), meaning="a run of shots: a place, or a unit of the story"),),
    headline=headline,
    analyze=analyze,
    parameters=PARAMETERS,
)
