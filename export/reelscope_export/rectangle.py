"""Graphs that look at a rectangle whose size follows the frame's: scaled frames, padded to multiples of a stride.

Sizes are data here, not shapes, and an exported torch module cannot make the one from the other. So a plan, written as
ONNX, comes before the module: it computes the scaled size and lays out the rectangle's rows and columns, whose number
is a shape again. They come as blocks of one stride, so that torch knows every map's size to divide evenly.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import onnx
import torch
from onnx import compose, parser
from torch import nn

from reelscope_export import graph
from reelscope_export.graph import OPSET, Example

STRIDE_PX = 32
"""Of the coarsest maps of CRAFT and YOLOv8."""

_IR_VERSION = 10
_FRAMES = "uint8[batch, height, width, 3] frames"
_LAID_OUT = (
    "uint8[batch, height, width, 3] same_frames, double[2] scaled_px, "
    f"double[row_blocks, {STRIDE_PX}] row_places, double[column_blocks, {STRIDE_PX}] column_places"
)
_LAY_OUT = f"""
    same_frames = Identity(frames)
    scaled_px = Cast<to = {onnx.TensorProto.DOUBLE}>(scaled)
    first = Constant<value_int = 0>()
    one = Constant<value_int = 1>()
    stride = Constant<value_int = {STRIDE_PX}>()
    rest = Constant<value_int = {STRIDE_PX - 1}>()
    block = Constant<value_ints = [-1, {STRIDE_PX}]>()
    with_rest = Add(scaled, rest)
    strides = Div(with_rest, stride)
    padded = Mul(strides, stride)
    height_px, width_px = Split<axis = 0, num_outputs = 2>(padded)
    height_scalar = Squeeze(height_px)
    width_scalar = Squeeze(width_px)
    rows_whole = Range(first, height_scalar, one)
    columns_whole = Range(first, width_scalar, one)
    rows_exact = Cast<to = {onnx.TensorProto.DOUBLE}>(rows_whole)
    columns_exact = Cast<to = {onnx.TensorProto.DOUBLE}>(columns_whole)
    row_places = Reshape(rows_exact, block)
    column_places = Reshape(columns_exact, block)
"""


def to_onnx(
    plan: str,
    module: nn.Module,
    *,
    output_names: tuple[str, ...],
    inputs: str = "",
    outputs: str = "",
    translations: Mapping[Callable[..., Any], Callable[..., Any]] | None = None,
) -> onnx.ModelProto:
    """Put a plan before a module.

    Args:
        plan: lines in ONNX's text form that make of `frames`, uint8 [N,H,W,3], `scaled`: int64 [2], height and width of
            the scaled frame.
        module: takes the frames, the scaled size, float64 [2], and the rectangle's rows and columns from 0 up, each
            float64 [blocks,32].
        output_names: of the joined graph, in order.
        inputs: what else the plan takes, in ONNX's text form.
        outputs: what the plan answers by itself, in that form; they come first among what is passed on.
        translations: as in `graph.to_onnx`.

    Raises:
        TracingFailed: this torch cannot turn the module into a graph.
    """
    takes, gives = (", ".join(filter(None, side)) for side in ((_FRAMES, inputs), (_LAID_OUT, outputs)))
    header = f'<ir_version: {_IR_VERSION}, opset_import: ["" : {OPSET}]>'
    planned = parser.parse_model(f"{header} plan ({takes}) => ({gives}) {{ {plan} {_LAY_OUT} }}")
    told = {value.name for value in planned.graph.output} & set(output_names)
    rows, columns = (torch.arange(edge, dtype=torch.float64).view(-1, STRIDE_PX) for edge in (192, 320))
    network = graph.to_onnx(
        module,
        {
            "same_frames": graph.frames_example()["frames"],
            "scaled_px": Example(torch.tensor([180.0, 320.0], dtype=torch.float64), {}),
            "row_places": Example(rows, {0: "row_blocks"}),
            "column_places": Example(columns, {0: "column_blocks"}),
        },
        output_names=tuple(name for name in output_names if name not in told),
        translations=translations,
    )
    network.ir_version = _IR_VERSION
    passed = [(value.name, f"seen_{value.name}") for value in network.graph.input]
    seen = compose.add_prefix(network, "seen_", rename_outputs=False)
    joined = compose.merge_models(planned, seen, passed, outputs=list(output_names))
    joined.graph.output.sort(key=lambda value: output_names.index(value.name))
    return joined
