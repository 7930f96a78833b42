"""What sampled frames show of people, things and the background behind them.

Conventions: areas are shares 0-1 of the picture within its black bars. The foreground is ADE20K's class person and the
boxes of tracked objects; a person's box counts only where the label map sees nobody in it, and furnishings are
background even when they are tracked. Everything else is background.

A background ends where less than half of it is left: the total variation distance of its classes' shares, 0-1, to their
mean since it began reaches `min_change_score`. An instant with hardly any background changes nothing.

Clutter is the entropy of the background's classes over the largest that ADE20K allows, ln 149: 0 for a bare wall, 0.14
for two classes of equal size, 0.42 for eight. Bokeh is the energy of fine detail on people over that off them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import entr

from reelscope.analyzers import coco_masks
from reelscope.analyzers.coco_masks import CocoMask
from reelscope.signals import ObjectTracks, Parameter, SceneLabels

MIN_CHANGE_SCORE = 0.5
MIN_BACKGROUND_RATIO = 0.05
MIN_PERSON_RATIO = 0.1
"""A person's box of whose cells fewer are of the class person was missed by the label map."""

PARAMETERS: dict[str, Parameter] = {
    "min_change_score": MIN_CHANGE_SCORE,
    "min_background_ratio": MIN_BACKGROUND_RATIO,
    "min_person_ratio": MIN_PERSON_RATIO,
}

FURNISHINGS = frozenset(
    {
        *("bed", "bench", "chair", "clock", "couch", "dining table", "fire hydrant", "microwave", "oven"),
        *("parking meter", "potted plant", "refrigerator", "sink", "stop sign", "toaster", "toilet"),
        *("traffic light", "tv", "vase"),
    }
)
"""Classes of COCO that belong to a place."""


@dataclass(frozen=True, slots=True)
class _Box:
    is_person: bool
    xyxy: NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """What is measured in n sampled frames; NaN where it cannot be."""

    seconds: NDArray[np.float64]
    """[n] time that each is shown for."""
    foreground: tuple[CocoMask, ...]
    """n masks."""
    background: NDArray[np.float64]
    """[n, 150] share of the picture of every class of the background; a row sums to 1 without the foreground."""
    clutter: NDArray[np.float64]
    """[n]."""
    bokeh: NDArray[np.float64]
    """[n]."""
    change_score: NDArray[np.float64]
    """[n] distance to the background so far."""

    @property
    def foreground_ratio(self) -> NDArray[np.float64]:
        """[n] share of the picture."""
        return np.asarray((1 - self.background.sum(1)).clip(0.0))


def measure(scene: SceneLabels, objects: ObjectTracks | None) -> Samples:
    """Measure every sampled frame."""
    boxes = _boxes(objects, scene.times_seconds) if objects else [[]] * scene.sample_count
    picture = scene.picture_rows, scene.picture_columns
    person = scene.labels.index("person")
    masks: list[CocoMask] = []
    background = np.zeros((scene.sample_count, len(scene.labels)))
    for row in range(scene.sample_count):
        label_map = scene.label_map(row)
        mask = _foreground(label_map == person, boxes[row])
        masks.append(coco_masks.encoded(mask))
        cells = label_map[picture]
        background[row] = np.bincount(cells[~mask[picture]], minlength=len(scene.labels)) / cells.size
    on, off = scene.laplacian_energy.T
    return Samples(
        seconds=np.diff(scene.times_seconds, append=scene.duration_seconds),
        foreground=tuple(masks),
        background=background,
        clutter=entr(_shares(background)).sum(1) / np.log(len(scene.labels) - 1),
        bokeh=np.divide(on, off, out=np.full(len(on), np.nan), where=off > 0),
        change_score=_change_scores(background),
    )


def _boxes(objects: ObjectTracks, times: NDArray[np.float64]) -> list[list[_Box]]:
    """For every sampled instant what is tracked there; furnishings are not."""
    labels = np.full(len(objects.frame), "", object)
    for track, rows in objects.tracks():
        labels[rows] = "" if track.label in FURNISHINGS else track.label
    # An extra sample begins a new picture, whose objects the next regular frame shows.
    frames = np.searchsorted(objects.times_seconds, times - 0.0005)
    firsts, ends = (np.searchsorted(objects.frame, frames, side=side) for side in ("left", "right"))
    return [
        [_Box(labels[row] == "person", objects.boxes_xyxy[row]) for row in range(first, end) if labels[row]]
        for first, end in zip(firsts.tolist(), ends.tolist(), strict=True)
    ]


def _foreground(is_person: NDArray[np.bool_], boxes: list[_Box]) -> NDArray[np.bool_]:
    """[rows, columns] people and what is tracked."""
    mask = is_person.copy()
    size = np.array([mask.shape[1], mask.shape[0]] * 2)
    for box in boxes:
        left, top, right, bottom = (box.xyxy.clip(0, 1) * size).round().astype(int).tolist()
        inside = slice(top, bottom), slice(left, right)
        if not (box.is_person and is_person[inside].sum() >= MIN_PERSON_RATIO * (bottom - top) * (right - left)):
            mask[inside] = True
    return mask


def _shares(background: NDArray[np.float64]) -> NDArray[np.float64]:
    """[n, 150] shares of the background; NaN where there is hardly any."""
    total = background.sum(1, keepdims=True)
    shares = np.full_like(background, np.nan)
    return np.asarray(np.divide(background, total, out=shares, where=total >= MIN_BACKGROUND_RATIO))


def _change_scores(background: NDArray[np.float64]) -> NDArray[np.float64]:
    """[n] distance of every background to the mean of those since the last one that was another; NaN for the first."""
    scores = np.full(len(background), np.nan)
    total, count = np.zeros(background.shape[1]), 0
    for row, shares in enumerate(_shares(background)):
        if np.isnan(shares[0]):
            continue
        if count:
            scores[row] = np.abs(shares - total / count).sum() / 2
            if scores[row] >= MIN_CHANGE_SCORE:
                total, count = np.zeros_like(total), 0
        total, count = total + shares, count + 1
    return scores
