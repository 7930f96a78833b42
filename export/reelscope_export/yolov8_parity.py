"""YOLOv8 graphs against `ultralytics.YOLO.predict`: the frames, the rows compared, and the measures.

A row is one box, float64: xyxy in pixels, score, class, and whatever a network says besides.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from reelscope_export import photographs, yolov8_graph
from reelscope_export.verify import Array, Measure

Find = Callable[[Array], list[Array]]
"""Rows [n,k] that are found in each frame of uint8 [N,H,W,3]."""
Match = tuple[Array | None, Array]
"""A row of the graph, None where it has none, and the row of the reference that it stands for."""

_BOX_BOUND_PX = {"n": 0.05}
_LARGE_BOX_BOUND_PX = 0.15
"""Deeper networks accumulate more rounding between torch's and onnxruntime's kernels."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What both sides found in the same frames; lists of rows [n,k], one for each frame."""

    fewest: int
    """Boxes of upstream in the photograph where it finds fewest."""
    frames: list[tuple[Array, Array]]
    """The graph's and upstream's, frame by frame."""
    batch: list[tuple[Array, Array]]
    """The graph's in a batch, and in its frames one by one."""


def compare(find: Find, find_upstream: Callable[[Array], Array], *, precision: str) -> Comparison:
    """Ask both about ultralytics' two photographs and one portrait frame, and the graph about a batch.

    In FP16, where a share of the boxes is held, about every quarter turn of the photographs: some 30 boxes in three
    pictures tell one share from another no better than a coin.
    """
    frames = photographs.read()
    upright = len(frames)
    turned = [(frame, turns) for turns in (1, 2, 3) for frame in frames.values()]
    if precision == "fp32":
        turned = [(frames["zidane.jpg"], 1)]
    pictures = [*frames.values(), *(np.ascontiguousarray(np.rot90(frame, turns)) for frame, turns in turned)]
    pairs = [(find(frame[None])[0], find_upstream(frame)) for frame in pictures]
    shifted = shifted_frames()
    singles = [find(frame[None])[0] for frame in shifted]
    return Comparison(
        fewest=min(len(upstream) for _, upstream in pairs[:upright]),
        frames=pairs,
        batch=list(zip(find(shifted), singles, strict=True)),
    )


def shifted_frames() -> Array:
    """Four frames that differ, uint8 [4,H,W,3]: a photograph, moved sideways."""
    bus = photographs.read()["bus.jpg"]
    return np.stack([np.roll(bus, 50 * shift, axis=1) for shift in range(4)])


def predict(oracle: Any, frame: Array) -> Any:
    """Ultralytics' `Results` for uint8 [H,W,3] RGB, with the settings that the graphs have."""
    return oracle.predict(
        [np.ascontiguousarray(frame[..., ::-1])],
        imgsz=yolov8_graph.SIDE_PX,
        rect=True,
        conf=yolov8_graph.SCORE_THRESHOLD,
        iou=yolov8_graph.IOU_THRESHOLD,
        max_det=yolov8_graph.MAX_COUNT,
        device="cpu",
        verbose=False,
    )[0]


def box_bound_px(variant: str) -> float:
    """How far a box may be from upstream's in FP32, by the size in the variant's name (yolov8n, yolov8m-pose)."""
    return _BOX_BOUND_PX.get(variant.removeprefix("yolov8")[:1], _LARGE_BOX_BOUND_PX)


def nearest(pairs: Sequence[tuple[Array, Array]]) -> list[Match]:
    """For each row of the references, the row of its class whose sides are nearest, whatever the order."""
    found: list[Match] = []
    for ours, reference in pairs:
        for row in reference:
            same = ours[ours[:, 5] == row[5]]
            distances = np.abs(same[:, :4] - row[:4]).max(1, initial=0.0)
            found.append((same[distances.argmin()] if len(same) else None, row))
    return found


def largest(matches: Sequence[Match], difference: Callable[[Array, Array], float]) -> float:
    """The largest difference over all matches; infinite where a row is missing."""
    return max((float("inf") if ours is None else float(difference(ours, row)) for ours, row in matches), default=0.0)


def equal_boxes(pairs: Sequence[tuple[Array, Array]], bound_px: float) -> tuple[Measure, ...]:
    """Counts equal; each upstream box has a box of its class within the bounds."""
    matches = nearest(pairs)
    count = max(abs(len(ours) - len(upstream)) for ours, upstream in pairs)
    box = largest(matches, lambda ours, row: np.abs(ours[:4] - row[:4]).max())
    score = largest(matches, lambda ours, row: abs(ours[4] - row[4]))
    return (
        Measure("count difference", count, 0),
        Measure("box difference", box, bound_px, "px"),
        Measure("score difference", score, 1e-3),
    )


FP16_SHARE, UNTRAINED_FP16_SHARE = 0.98, 0.85
"""Clear boxes of upstream's that an FP16 graph finds at least. Random filters weigh small differences of large
numbers, so rounding loses more. On one H200, of the random yolov8m's 304 clear boxes and the random yolov8m-pose's 282:
the FP32 graphs lose none, ultralytics' own `half` 5.3 % and 2.5 %, these graphs 10.2 % and 6 % in bare onnxruntime, and
11.2 % and 4.6 % served on another H200."""


def matched(name: str, pairs: Sequence[tuple[Array, Array]], *, bound: float = FP16_SHARE) -> Measure:
    """Share of the reference's clear boxes that are found: same class, IoU >= 0.95. Pairs are (found, reference).

    Without any clear box nothing is shown, and the share is 0.
    """
    wanted = [(row, ours) for ours, reference in pairs for row in clear(reference)]
    found = sum(overlapping(row, ours) is not None for row, ours in wanted)
    return Measure(name, found / max(len(wanted), 1), bound, at_least=True)


def clear(rows: Array) -> Array:
    """Rows that FP16 cannot lose: a score of 0.3 or more, and sides of a pixel, which boxes in the bars have not."""
    found: Array = rows[(rows[:, 4] >= 0.3) & (rows[:, 2:4] - rows[:, :2] >= 1).all(1)]
    return found


def overlapping(row: Array, ours: Array) -> Array | None:
    """The row of `ours` that overlaps `row` most, if it is of the same class and the IoU is 0.95 or more."""
    same = ours[ours[:, 5] == row[5]]
    overlaps = _iou(same[:, :4], row[:4])
    return same[overlaps.argmax()] if overlaps.max(initial=0.0) >= 0.95 else None


def _iou(boxes: Array, box: Array) -> Array:
    overlap = np.clip(np.minimum(boxes[:, 2:], box[2:]) - np.maximum(boxes[:, :2], box[:2]), 0, None).prod(1)
    union = (boxes[:, 2:] - boxes[:, :2]).prod(1) + (box[2:] - box[:2]).prod() - overlap
    ratio: Array = overlap / np.maximum(union, 1e-12)
    return ratio
