"""PP-OCRv6 (small) text detection: the probability that a pixel lies inside a line of text.

A differentiable binarisation network (Liao et al. 2020, arXiv:1911.08947), as the package rapidocr brings it. Oracle:
rapidocr's `TextDetector`, its scaling and session; the boxes are made of the map by model_repository/text_reader.

Input   frames            uint8 [N,H,W,3] RGB, any H and W, padded to multiples of 32 inside; rapidocr scales the
                          shorter side to 736 at least.
Output  text_probability  float32 [N,H,W], 0-1.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx

from reelscope_export import photographs, ppocr
from reelscope_export.contract import Contract
from reelscope_export.contract import Tensor as Spec
from reelscope_export.verify import Array, Measure, Run, batch_difference

CONTRACT = Contract(
    name="text_detection_ppocr",
    comment=(
        "PP-OCRv6 (small) text detection, differentiable binarisation. RGB frames of any size.",
        "text_probability: that a pixel lies inside a line of text.",
    ),
    inputs=(Spec("frames", "TYPE_UINT8", (-1, -1, 3)),),
    outputs=(Spec("text_probability", "TYPE_FP32", (-1, -1)),),
)

# rapidocr multiplies by 1/255 here and divides by 255 elsewhere; the last bit differs.
_BEFORE = f"""{ppocr.HEADER}
before (uint8[batch, height, width, 3] frames) => (float[batch, 3, high, wide] pixels, int64[2] size)
<int64[3] bgr = {{2, 1, 0}}, float scale = {{{1 / 255!r}}}, float half = {{0.5}},
 int64[1] stride = {{32}}, int64[2] none = {{0, 0}}, int64[2] sides = {{2, 3}}, float black = {{-1}}>
{{
    swapped = Gather<axis = 3>(frames, bgr)
    planes = Transpose<perm = [0, 3, 1, 2]>(swapped)
    levels = Cast<to = {onnx.TensorProto.FLOAT}>(planes)
    ratios = Mul(levels, scale)
    centred = Sub(ratios, half)
    normalised = Div(centred, half)
    size = Shape<start = 1, end = 3>(frames)
    negative = Neg(size)
    missing = Mod(negative, stride)
    pads = Concat<axis = 0>(none, missing)
    pixels = Pad(normalised, pads, black, sides)
}}
"""
_AFTER = f"""{ppocr.HEADER}
after (float[batch, 1, high, wide] map, int64[2] size) => (float[batch, height, width] text_probability)
<int64[1] channel = {{1}}, int64[2] corner = {{0, 0}}, int64[2] sides = {{1, 2}}>
{{
    padded = Squeeze(map, channel)
    text_probability = Slice(padded, corner, size, sides)
}}
"""


def build(weights: Path, precision: str) -> onnx.ModelProto:
    """Build the ONNX graph, without provenance."""
    return ppocr.build(weights, _BEFORE, _AFTER)


def labels(weights: Path) -> tuple[str, ...]:
    """No classes."""
    return ()


def verify(run: Run, weights: Path, *, variant: str, precision: str, trained: bool) -> tuple[Measure, ...]:
    """Compare the map with that of rapidocr's detector, on photographs and a page of lines."""
    detector = ppocr.oracle(Det=weights)._load_det_model()
    frames = [_scaled(detector, frame) for frame in (*_photographs(), _page())]
    found = [run(_rgb(frame)[None])["text_probability"][0] for frame in frames]
    upstream = [detector.session(detector.preprocess_op(frame))[0, 0] for frame in frames]
    thirds = np.stack([_rgb(frames[0][:224, shift : shift + 224]) for shift in (0, 160, 320)])
    return (
        Measure("fewest pixels of text", min(int((each > 0.3).sum()) for each in upstream), 50, at_least=True),
        Measure(
            "probability difference",
            max(float(np.abs(a - b).max()) for a, b in zip(found, upstream, strict=True)),
            1e-3,
        ),
        Measure("batch to singles", batch_difference(run, thirds), 1e-4),
    )


def _photographs() -> list[Array]:
    return [np.ascontiguousarray(frame[..., ::-1]) for frame in photographs.read().values()]


def _page() -> Array:
    """A light page with lines of text, uint8 [H,W,3] BGR."""
    page = np.full((480, 640, 3), 225, np.uint8)
    top_px = 20
    for line in ppocr.drawn_lines():
        height, width = line.shape[:2]
        page[top_px : top_px + height, 20 : 20 + width] = line[:, :620]
        top_px += height + 16
    return page


def _scaled(detector: Any, frame: Array) -> Array:
    detector.preprocess_op = detector.get_preprocess()
    scaled: Array = detector.preprocess_op.resize(frame)
    return scaled


def _rgb(frame: Array) -> Array:
    return np.ascontiguousarray(frame[..., ::-1])
