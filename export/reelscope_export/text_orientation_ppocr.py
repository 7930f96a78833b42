"""PP-OCR's text orientation (mobile v2.0): the probability that a line of text stands upside down.

A MobileNetV3 classifier, as the package rapidocr brings it. Oracle: rapidocr's `TextClassifier`, its scaling and
session; rapidocr turns a line round when the probability is above 0.9.

Input   lines                    uint8 [N,48,192,3] RGB, one line of text each, padded on the right.
        widths                   int32 [N,1], columns that belong to the line.
Output  upside_down_probability  float32 [N,1], 0-1.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx

from reelscope_export import ppocr
from reelscope_export.contract import Contract
from reelscope_export.contract import Tensor as Spec
from reelscope_export.verify import Array, Measure, Run

WIDTH_PX = 192

CONTRACT = Contract(
    name="text_orientation_ppocr",
    comment=(
        "PP-OCR text orientation (mobile v2.0). RGB lines of text, scaled to 48 px and padded on the right to 192.",
        "widths: columns that belong to the line. upside_down_probability: that the line stands on its head.",
    ),
    inputs=(
        Spec("lines", "TYPE_UINT8", (ppocr.LINE_HEIGHT_PX, WIDTH_PX, 3)),
        Spec("widths", "TYPE_INT32", (1,)),
    ),
    outputs=(Spec("upside_down_probability", "TYPE_FP32", (1,)),),
)

_AFTER = f"""{ppocr.HEADER}
after (float[batch, 2] probabilities) => (float[batch, 1] upside_down_probability)
<int64[1] upside_down = {{1}}>
{{
    upside_down_probability = Gather<axis = 1>(probabilities, upside_down)
}}
"""


def build(weights: Path, precision: str) -> onnx.ModelProto:
    """Build the ONNX graph, without provenance."""
    return ppocr.build(weights, ppocr.lines_to_pixels(str(WIDTH_PX)), _AFTER)


def labels(weights: Path) -> tuple[str, ...]:
    """No classes: one probability."""
    return ()


def verify(run: Run, weights: Path, *, variant: str, precision: str, trained: bool) -> tuple[Measure, ...]:
    """Compare the probabilities with those of rapidocr's classifier, on upright and turned lines."""
    import cv2

    classifier = ppocr.oracle(Cls=weights)._load_cls_model()
    lines = ppocr.drawn_lines()
    upstream = classifier.session(np.stack([classifier.resize_norm_img(line) for line in lines]))[:, 1:]
    padded = np.full((len(lines), ppocr.LINE_HEIGHT_PX, WIDTH_PX, 3), 99, np.uint8)  # any level: it must not count
    widths = np.empty((len(lines), 1), np.int32)
    for row, line in enumerate(lines):
        width = min(WIDTH_PX, int(np.ceil(ppocr.LINE_HEIGHT_PX * (line.shape[1] / line.shape[0]))))
        padded[row, :, :width] = cv2.resize(line, (width, ppocr.LINE_HEIGHT_PX))[..., ::-1]
        widths[row] = width
    found = run(padded, widths)["upside_down_probability"]
    singles = [
        run(padded[row : row + 1], widths[row : row + 1])["upside_down_probability"] for row in range(len(lines))
    ]
    return (
        Measure("turned lines", int((upstream > 0.9).sum()), 1, at_least=True),
        Measure("upright lines", int((upstream < 0.1).sum()), 1, at_least=True),
        Measure("probability difference", _difference(found, upstream), 1e-3),
        Measure("batch to singles", _difference(found, np.concatenate(singles)), 1e-4),
    )


def _difference(found: Array, expected: Array) -> float:
    return float(np.abs(found - expected).max())
