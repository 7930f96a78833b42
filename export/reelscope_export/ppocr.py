"""PP-OCR's networks as the package rapidocr brings them, our steps around them, and rapidocr itself as their oracle.

Source: Cui et al. (2025), PaddleOCR 3.0, arXiv:2507.05595. The networks come as ONNX, so nothing is traced: the steps
before and after are ONNX in its text form, which the network is joined with.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper, parser

from reelscope_export import foreign_onnx
from reelscope_export.graph import OPSET
from reelscope_export.verify import Array

IR_VERSION = 10
HEADER = f'<ir_version: {IR_VERSION}, opset_import: ["" : {OPSET}]>'
"""What every graph in text form begins with."""

LINE_HEIGHT_PX = 48
"""Height at which lines are judged and read."""
BATCH_COUNT = 6
"""Lines that rapidocr puts into one batch (its rec_batch_num and cls_batch_num)."""


def lines_to_pixels(width: str) -> str:
    """Graph in text form: RGB lines and their widths to the pixels that the networks take.

    BGR, from -1 to 1, and 0 past a line's own width: that is no grey level, so the lines cannot hold it.

    Args:
        width: a number, or the name of a dimension.
    """
    return f"""{HEADER}
before (uint8[batch, {LINE_HEIGHT_PX}, {width}, 3] lines, int32[batch, 1] widths)
    => (float[batch, 3, {LINE_HEIGHT_PX}, {width}] pixels)
<int64[3] bgr = {{2, 1, 0}}, float full = {{255}}, float half = {{0.5}}, float nothing = {{0}},
 int64 first = {{0}}, int64 step = {{1}}, int64[2] planes_axes = {{1, 2}}>
{{
    swapped = Gather<axis = 3>(lines, bgr)
    planes = Transpose<perm = [0, 3, 1, 2]>(swapped)
    levels = Cast<to = {onnx.TensorProto.FLOAT}>(planes)
    ratios = Div(levels, full)
    centred = Sub(ratios, half)
    normalised = Div(centred, half)
    padded_width = Shape<start = 2, end = 3>(lines)
    last = Squeeze(padded_width)
    columns = Range(first, last, step)
    ends = Cast<to = {onnx.TensorProto.INT64}>(widths)
    is_line = Less(columns, ends)
    mask = Unsqueeze(is_line, planes_axes)
    pixels = Where(mask, normalised, nothing)
}}
"""


def build(weights: Path, before: str, after: str) -> onnx.ModelProto:
    """Put a network between the graphs before and after it.

    Args:
        weights: ONNX graph of one input and one output.
        before: graph in text form whose first output is the network's input; the others are inputs of `after`.
        after: graph in text form whose first input is the network's output.

    Raises:
        WeightsUnreadable: the file is no ONNX graph.
    """
    network, last = foreign_onnx.read(weights), parser.parse_model(after)
    for tensor in network.graph.initializer:
        _flush_denormals(tensor)
    answers = {network.graph.output[0].name: last.graph.input[0].name}
    joined = foreign_onnx.surround(parser.parse_model(before), network, last, answers=answers)
    del joined.metadata_props[:]  # upstream's; the characters are in labels.txt
    return joined


def _flush_denormals(tensor: onnx.TensorProto) -> None:
    """Set weights to 0 that are too small for a normal float.

    No answer changes, their products vanish in any sum; but CPUs take them a hundred times slower, and training has
    left so many of them in the detector that they cost two thirds of its time.
    """
    if tensor.data_type != onnx.TensorProto.FLOAT:
        return
    values = numpy_helper.to_array(tensor)
    tiny = np.abs(values) < np.finfo(np.float32).tiny
    if values[tiny].any():
        tensor.CopyFrom(numpy_helper.from_array(np.where(tiny, np.float32(0), values), tensor.name))


def oracle(**weights: Path) -> Any:
    """`RapidOCR()` with its defaults, over these files (Det, Cls, Rec) instead of its own where given."""
    from rapidocr import RapidOCR

    files = {f"{part}.model_path": str(file) for part, file in weights.items()}
    return RapidOCR(params={"Global.log_level": "error", **files})


def drawn_lines() -> list[Array]:
    """Pictures of one line of text each, uint8 [h,w,3] BGR of different sizes, some upside down or light on dark."""
    import cv2

    lines = []
    for number, text in enumerate(_TEXTS):
        scale = 0.8 + 0.25 * number
        (width, height), below = cv2.getTextSize(text, cv2.FONT_HERSHEY_DUPLEX, scale, 2)
        light = number % 3 == 1
        line = np.full((height + below + 12, width + 16, 3), (40, 60, 20) if light else (200, 230, 215), np.uint8)
        place = (8, height + 6)
        cv2.putText(line, text, place, cv2.FONT_HERSHEY_DUPLEX, scale, (255,) * 3 if light else (20, 20, 60), 2)
        lines.append(np.ascontiguousarray(line[::-1, ::-1]) if number % 4 == 3 else line)
    return lines


_TEXTS = (
    "Follow",
    "50% OFF today only",
    "wait for it...",
    "Link in bio",
    "POV: you found it",
    "www.example.com/sale?id=7",
)
