"""What kind of product a tracked object is, or that it is none.

CLIP's choice among the labels of the group `product` for the object's crops (mean), when the three best products lead
the three best rejects ("not: ...") by a margin, together each: labels that are much alike share what is one object's.
Where the rejects lead by as much, the object is no product. Where CLIP cannot tell or is not there, the detector's own
class counts if it is one of things that are sold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from reelscope.signals import CropEmbeddings, Track

GROUP = "product/"
REJECT = "not: "
BEST = 3
MARGIN = 0.2

COCO_PRODUCTS = frozenset(
    {
        "backpack",
        "umbrella",
        "handbag",
        "tie",
        "suitcase",
        "frisbee",
        "skis",
        "snowboard",
        "sports ball",
        "kite",
        "baseball bat",
        "baseball glove",
        "skateboard",
        "surfboard",
        "tennis racket",
        "bottle",
        "wine glass",
        "cup",
        "fork",
        "knife",
        "spoon",
        "bowl",
        "laptop",
        "mouse",
        "remote",
        "keyboard",
        "cell phone",
        "microwave",
        "toaster",
        "book",
        "clock",
        "vase",
        "scissors",
        "teddy bear",
        "hair drier",
        "toothbrush",
    }
)
"""Classes of the detector that are sold and held in hands; people, animals, vehicles, food, furniture are not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One label of the zero-shot classification."""

    label: str
    """Label of the group `product`; rejects begin with "not: "."""
    probability: float
    """Mean over the object's crops, 0-1; the labels of the group sum to 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Category:
    """What a product is."""

    label: str
    """Label of the source."""
    probability: float
    """0-1: that of the zero-shot label, or the mean class probability of the detector."""
    source: Literal["clip", "detector"]
    """Who says so."""


def candidates_of(track_id: int, crops: CropEmbeddings) -> tuple[Candidate, ...] | None:
    """The zero-shot labels of a track, most probable first; None for one of which no crop was seen."""
    columns = [k for k, label in enumerate(crops.labels) if label.startswith(GROUP)]
    seen = crops.label_probabilities[crops.track_ids == track_id][:, columns]
    if not seen.size:
        return None
    means = seen.mean(axis=0)
    return tuple(
        Candidate(label=crops.labels[columns[k]].removeprefix(GROUP), probability=float(means[k]))
        for k in np.argsort(-means, kind="stable")
    )


def category_of(track: Track, score: float, candidates: Sequence[Candidate] | None) -> Category | None:
    """What a track is; None when it is no product. `score` is its mean class probability."""
    if candidates:
        products = [one for one in candidates if not one.label.startswith(REJECT)]
        rejects = [one for one in candidates if one.label.startswith(REJECT)]
        lead = _together(products) - _together(rejects)
        if products and lead >= MARGIN:
            return Category(label=products[0].label, probability=products[0].probability, source="clip")
        if lead <= -MARGIN:
            return None
    return Category(label=track.label, probability=score, source="detector") if track.label in COCO_PRODUCTS else None


def _together(candidates: Sequence[Candidate]) -> float:
    return sum(one.probability for one in candidates[:BEST])
