"""Square crops of objects: a graph without weights, that cuts boxes out of frames where the frames are.

Oracle: Pillow's and torch's antialiased bicubic resize of the same square. Crops are what CLIP's own processor would
make of the square, to the level; a crop is then seen by CLIP whole, and resized no more.

Input   frames           uint8 [N,H,W,3] RGB, displayed orientation, any H and W.
        boxes_xyxy       float32 [B,4], 0-1 of the frame's width and height; any number, also none.
        frame_index      int32 [B], 0 to N-1: which frame the box is in.
Output  crops            uint8 [B,224,224,3] RGB, in the order of the boxes.

A box is widened to a square around its middle with a tenth of its longer side as context on each side. The square is
moved into the frame. Where the frame's shorter side has no room for it, it loses context first; where the frame has no
room for the box itself as a square, what lies beyond the frame is grey.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, compose, helper, inliner
from PIL import Image
from torch import Tensor, nn

from reelscope_export import antialias, graph, photographs
from reelscope_export.contract import Contract
from reelscope_export.contract import Tensor as Spec
from reelscope_export.verify import Array, Measure, Run

SIDE_PX = 224
CONTEXT_RATIO = 0.1
"""Of the box's longer side, on each side."""

_BEYOND_GREY = 114
"""What detectors see around a frame (letterbox.py)."""

CONTRACT = Contract(
    name="object_crops",
    comment=(
        "Square crops of boxes, 224x224, antialiased: a graph without weights. RGB frames of any size; any number of",
        "boxes, 0-1 of the frame; frame_index: the frame of each. The square has a tenth of the box's longer side",
        "around it, lies within the frame where it can, and is grey (114) beyond.",
    ),
    inputs=(
        Spec("frames", "TYPE_UINT8", (-1, -1, -1, 3)),
        Spec("boxes_xyxy", "TYPE_FP32", (-1, 4)),
        Spec("frame_index", "TYPE_INT32", (-1,)),
    ),
    outputs=(Spec("crops", "TYPE_UINT8", (-1, SIDE_PX, SIDE_PX, 3)),),
    batched=False,
)


class Squares(nn.Module):
    """The square of each box, int64 [B,4]: frame, top, left and side in pixels."""

    def forward(self, frames: Tensor, boxes_xyxy: Tensor, frame_index: Tensor) -> Tensor:
        """Place a square around each box; of the frames only the size is read."""
        size = torch.tensor([frames.shape[2], frames.shape[1]], dtype=torch.float64)
        inside = torch.where(boxes_xyxy > 0, torch.clamp(boxes_xyxy, max=1.0), 0.0)  # what is no number is 0 as well
        first, last = (inside.to(torch.float64) * size.repeat(2)).chunk(2, dim=1)
        longer = torch.clamp((last - first).amax(1, keepdim=True), min=1.0)
        side = torch.round(torch.maximum(longer, torch.minimum(longer * (1 + 2 * CONTEXT_RATIO), size.min())))
        corner = torch.round((first + last) / 2 - side / 2)
        room = size - side
        corner = torch.minimum(torch.maximum(corner, torch.clamp(room, max=0.0)), torch.clamp(room, min=0.0))
        return torch.cat((frame_index.unsqueeze(1), corner.flip(1).to(torch.int64), side.to(torch.int64)), 1)


class Crop(nn.Module):
    """One square of one frame, resized."""

    def forward(self, frames: Tensor, frame: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        """Cut the pixels at int64 `rows` and `columns` (equally many) out of frame [1]: uint8 [1,224,224,3]."""
        inside = _within(rows, frames.shape[1]).view(1, -1, 1, 1) & _within(columns, frames.shape[2]).view(1, 1, -1, 1)
        square = frames.index_select(0, frame)
        square = square.index_select(1, torch.clamp(rows, min=0, max=frames.shape[1] - 1))
        square = square.index_select(2, torch.clamp(columns, min=0, max=frames.shape[2] - 1))
        square = torch.where(inside, square, torch.tensor(_BEYOND_GREY, dtype=torch.uint8))
        return antialias.resize_and_crop(square, SIDE_PX).permute(0, 2, 3, 1).to(torch.uint8)


def _within(positions: Tensor, length_px: int) -> Tensor:
    return (positions >= 0) & (positions < length_px)


def build(weights: Path, precision: str) -> onnx.ModelProto:
    """Build the ONNX graph: the squares of all boxes at once, then a loop that holds one of them in float32."""
    boxes = {
        "boxes_xyxy": graph.Example(torch.zeros(2, 4), {0: "box"}),
        "frame_index": graph.Example(torch.zeros(2, dtype=torch.int32), {0: "box"}),
    }
    frames = graph.frames_example()
    places = {
        "frame": graph.Example(torch.zeros(1, dtype=torch.int64), {}),
        "rows": graph.Example(torch.arange(300), {0: "side"}),
        "columns": graph.Example(torch.arange(300), {0: "side"}),
    }
    squares = inliner.inline_local_functions(graph.to_onnx(Squares(), frames | boxes, output_names=("squares",)))
    crop = inliner.inline_local_functions(graph.to_onnx(Crop(), frames | places, output_names=("crop",)))
    return _for_each_square(squares, crop.graph)


def _for_each_square(squares: onnx.ModelProto, crop: onnx.GraphProto) -> onnx.ModelProto:
    """Append to the graph of the squares a loop over them, which reads the frames from outside."""
    model = onnx.ModelProto()
    model.CopyFrom(squares)
    box = model.graph.output[0].type.tensor_type.shape.dim[0].dim_param
    del model.graph.output[:]
    model.graph.output.append(_value("crops", TensorProto.UINT8, [box, SIDE_PX, SIDE_PX, 3]))
    model.graph.initializer.extend(
        (
            helper.make_tensor("step", TensorProto.INT64, [], [1]),
            helper.make_tensor("first", TensorProto.INT64, [1], [0]),
        )
    )
    model.graph.node.extend(
        (
            helper.make_node("Shape", ["squares"], ["box_count"], start=0, end=1),
            helper.make_node("Loop", ["box_count", ""], ["crops"], "for_each_square", body=_loop_body(crop)),
        )
    )
    return model


def _loop_body(crop: onnx.GraphProto) -> onnx.GraphProto:
    """Number of the square in, its crop [224,224,3] out."""
    inner = compose.add_prefix_graph(crop, "one/")
    for node in inner.node:
        node.input[:] = ["frames" if name == "one/frames" else name for name in node.input]
    nodes = [
        helper.make_node("Gather", ["squares", "number"], ["square"], axis=0),
        helper.make_node("Split", ["square"], ["one/frame", "top", "left", "side"], axis=0, num_outputs=4),
    ]
    for start, positions in (("top", "one/rows"), ("left", "one/columns")):
        nodes += [
            helper.make_node("Squeeze", [start, "first"], [f"{start}_px"]),
            helper.make_node("Add", [start, "side"], [f"{start}_end"]),
            helper.make_node("Squeeze", [f"{start}_end", "first"], [f"{start}_end_px"]),
            helper.make_node("Range", [f"{start}_px", f"{start}_end_px", "step"], [positions]),
        ]
    nodes += [
        *inner.node,
        helper.make_node("Squeeze", ["one/crop", "first"], ["crop"]),
        helper.make_node("Identity", ["going"], ["going_on"]),
    ]
    return helper.make_graph(
        nodes,
        "crop_square",
        [_value("number", TensorProto.INT64, []), _value("going", TensorProto.BOOL, [])],
        [_value("going_on", TensorProto.BOOL, []), _value("crop", TensorProto.UINT8, [SIDE_PX, SIDE_PX, 3])],
        inner.initializer,
    )


def _value(name: str, kind: int, shape: list[int | str]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def labels(weights: Path) -> tuple[str, ...]:
    """None."""
    return ()


def verify(run: Run, weights: Path, *, variant: str, precision: str, trained: bool) -> tuple[Measure, ...]:
    """Compare the crops with Pillow's and torch's of the same squares, cut out by numpy.

    A level is the most that fixed-point filters differ by from each other, and TF32 from FP32.
    """
    frames, boxes, frame_index = sample()
    found = run(frames, boxes, frame_index)["crops"].astype(np.int64)
    cut = [square(frames[index], box) for box, index in zip(boxes, frame_index, strict=True)]
    by_pillow = np.abs(found - np.stack([resized_by_pillow(each) for each in cut]))
    by_torch = np.abs(found - np.stack([resized_by_torch(each) for each in cut]))
    singles = [run(frames, boxes[row : row + 1], frame_index[row : row + 1])["crops"] for row in range(len(boxes))]
    none = run(frames, boxes[:0], frame_index[:0])["crops"].shape[0]
    return (
        Measure("within a level of Pillow's", float((by_pillow <= 1).mean()), 0.98, at_least=True),
        Measure("within a level of torch's", float((by_torch <= 1).mean()), 0.98, at_least=True),
        Measure("batch to singles, levels", float(np.abs(found - np.concatenate(singles)).max()), 1),
        Measure("crops of no boxes", none, 0),
    )


def sample() -> tuple[Array, Array, Array]:
    """Two frames with boxes of every kind: small, large, tall, wide, at each border, the whole frame, a point."""
    bus, zidane = photographs.read().values()
    frames = np.stack([bus[:601, :803], zidane[60:661, 240:1043]])
    boxes = [
        (0.4, 0.4, 0.45, 0.43),
        (0.3, 0.2, 0.7, 0.6),
        (0.1, 0.05, 0.2, 0.95),
        (0.02, 0.4, 0.98, 0.5),
        (0.0, 0.0, 0.1, 0.1),
        (0.9, 0.85, 1.0, 1.0),
        (0.0, 0.0, 1.0, 1.0),
        (0.5, 0.5, 0.5, 0.5),
    ]
    return frames, np.array(boxes, np.float32), (np.arange(len(boxes)) % 2).astype(np.int32)


def square(frame: Array, box: Array) -> Array:
    """The square around a box, cut out by numpy from uint8 [H,W,3]; what the graph has to resize."""
    height, width = frame.shape[:2]
    left, top, right, bottom = np.clip(box.astype(np.float64), 0, 1) * (width, height, width, height)
    longer = max(right - left, bottom - top, 1.0)
    side = round(max(longer, min(longer * (1 + 2 * CONTEXT_RATIO), min(height, width))))
    padded = np.full((height + 2 * side, width + 2 * side, 3), _BEYOND_GREY, np.uint8)
    padded[side : side + height, side : side + width] = frame
    row, column = (
        min(max(round((first + last) / 2 - side / 2), min(length - side, 0)), max(length - side, 0)) + side
        for first, last, length in ((top, bottom, height), (left, right, width))
    )
    return padded[row : row + side, column : column + side]


def resized_by_pillow(pixels: Array) -> Array:
    """Pillow's bicubic 224x224 of uint8 [s,s,3]."""
    return np.asarray(Image.fromarray(pixels).resize((SIDE_PX, SIDE_PX), Image.Resampling.BICUBIC)).astype(np.int64)


def resized_by_torch(pixels: Array) -> Array:
    """Torch's antialiased bicubic 224x224 of uint8 [s,s,3]."""
    planes = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None]
    resized = nn.functional.interpolate(planes, (SIDE_PX, SIDE_PX), mode="bicubic", antialias=True)
    found: Array = resized[0].permute(1, 2, 0).numpy().astype(np.int64)
    return found
