"""Non-maximum suppression as one operator that runs in torch and translates to ONNX's NonMaxSuppression.

torch.export cannot trace torchvision's NMS with its data-dependent row count through a batch. The operator here
returns a mask of static shape instead: 1.0 where a box is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torchvision
from onnxscript import opset18
from torch import Tensor

op: Any = opset18
"""Untyped on purpose: the stubs give Constant no type that the other operators accept."""


@torch.library.custom_op("reelscope::nms_keep", mutates_args=())
def nms_keep(boxes: Tensor, scores: Tensor, iou_ratio: float, score_ratio: float, max_count: int) -> Tensor:
    """Mark the boxes that survive suppression.

    Args:
        boxes: float32 [N,A,4], xyxy; boxes of different classes must not overlap (offset them by class).
        scores: float32 [N,A].
        iou_ratio: a box is dropped when it overlaps a better one by more than this.
        score_ratio: boxes at or below this score are dropped.
        max_count: at most so many are kept per row.

    Returns:
        float32 [N,A]: 1.0 kept, 0.0 dropped.
    """
    keep = torch.zeros_like(scores)
    for row in range(boxes.shape[0]):
        candidates = (scores[row] > score_ratio).nonzero().flatten()
        kept = torchvision.ops.nms(boxes[row][candidates], scores[row][candidates], iou_ratio)[:max_count]
        keep[row, candidates[kept]] = 1.0
    return keep


@nms_keep.register_fake
def _(boxes: Tensor, scores: Tensor, iou_ratio: float, score_ratio: float, max_count: int) -> Tensor:
    return torch.empty_like(scores)


def _to_onnx(boxes: Any, scores: Any, iou_ratio: float, score_ratio: float, max_count: int) -> Any:
    selected = op.NonMaxSuppression(
        boxes,
        op.Unsqueeze(scores, op.Constant(value_ints=[1])),
        op.Constant(value_ints=[max_count]),
        op.Constant(value_floats=[iou_ratio]),
        op.Constant(value_floats=[score_ratio]),
    )
    row_and_box = op.Gather(selected, op.Constant(value_ints=[0, 2]), axis=1)
    count = op.Gather(op.Shape(selected), op.Constant(value_ints=[0]))
    dropped = op.Mul(scores, op.Constant(value_float=0.0))
    return op.ScatterND(dropped, row_and_box, op.Expand(op.Constant(value_floats=[1.0]), count))


ONNX_TRANSLATIONS: dict[Callable[..., Any], Callable[..., Any]] = {torch.ops.reelscope.nms_keep.default: _to_onnx}
"""Custom translation table for `torch.onnx.export`."""
