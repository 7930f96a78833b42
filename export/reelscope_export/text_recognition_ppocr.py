"""PP-OCRv6 (small) text recognition: the characters of a line of text, step by step.

Convolutions and attention under connectionist temporal classification (Graves et al. 2006), as the package rapidocr
brings it. Oracle: rapidocr's `TextRecognizer`, its scaling and session.

Input   lines                    uint8 [N,48,W,3] RGB, one line of text each, padded on the right; rapidocr pads to 320
                                 at least.
        widths                   int32 [N,1], columns that belong to the line.
Output  character_ids            int32 [N,T], index into labels.txt; 0 between characters. T is about W / 8.
        character_probabilities  float32 [N,T], 0-1.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx

from reelscope_export import ppocr
from reelscope_export.contract import Contract
from reelscope_export.contract import Tensor as Spec
from reelscope_export.errors import WeightsUnreadable
from reelscope_export.verify import Array, Measure, Run

CONTRACT = Contract(
    name="text_recognition_ppocr",
    comment=(
        "PP-OCRv6 (small) text recognition. RGB lines of text, scaled to 48 px and padded on the right to one width.",
        "widths: columns that belong to the line. character_ids: by line of labels.txt, at each step; 0 is none.",
    ),
    inputs=(
        Spec("lines", "TYPE_UINT8", (ppocr.LINE_HEIGHT_PX, -1, 3)),
        Spec("widths", "TYPE_INT32", (1,)),
    ),
    outputs=(
        Spec("character_ids", "TYPE_INT32", (-1,)),
        Spec("character_probabilities", "TYPE_FP32", (-1,)),
    ),
)

AFTER = f"""{ppocr.HEADER}
after (float[batch, steps, classes] probabilities)
    => (int32[batch, steps] character_ids, float[batch, steps] character_probabilities)
<int64[1] best = {{1}}, int64[1] last_axis = {{2}}>
{{
    values, indices = TopK<axis = 2>(probabilities, best)
    character_probabilities = Squeeze(values, last_axis)
    flat = Squeeze(indices, last_axis)
    character_ids = Cast<to = {onnx.TensorProto.INT32}>(flat)
}}
"""
"""ONNX in its text form: the best character of each step of the network's answer."""


def build(weights: Path, precision: str) -> onnx.ModelProto:
    """Build the ONNX graph, without provenance."""
    return ppocr.build(weights, ppocr.lines_to_pixels("width"), AFTER)


def labels(weights: Path) -> tuple[str, ...]:
    """The characters by index; the first stands for none, and the last is the space.

    Raises:
        WeightsUnreadable: the graph does not name its characters.
    """
    named = {entry.key: entry.value for entry in onnx.load(str(weights)).metadata_props}
    if "character" not in named:
        raise WeightsUnreadable(f"{weights}: the graph does not name its characters")
    return ("<none>", *named["character"].splitlines(), " ")


def verify(run: Run, weights: Path, *, variant: str, precision: str, trained: bool) -> tuple[Measure, ...]:
    """Compare characters and probabilities with those of rapidocr's recogniser, and a batch with its lines alone."""
    lines = ppocr.drawn_lines()
    return compare(run, weights, lines, max(line.shape[1] / line.shape[0] for line in lines))


def compare(run: Run, weights: Path, lines: Sequence[Array], ratio: float) -> tuple[Measure, ...]:
    """Measures of lines, uint8 [h,w,3] BGR, padded to the width that has this ratio to the height."""
    import cv2

    recognizer = ppocr.oracle(Rec=weights)._load_rec_model()
    probabilities = recognizer.session(np.stack([recognizer.resize_norm_img(line, ratio) for line in lines]))
    height, width = ppocr.LINE_HEIGHT_PX, int(ppocr.LINE_HEIGHT_PX * ratio)
    padded = np.full((len(lines), height, width, 3), 99, np.uint8)  # any level: it must not count
    widths = np.array(
        [[min(width, int(np.ceil(height * (line.shape[1] / line.shape[0]))))] for line in lines], np.int32
    )
    for row, line in enumerate(lines):
        padded[row, :, : widths[row, 0]] = cv2.resize(line, (int(widths[row, 0]), height))[..., ::-1]
    found = run(padded, widths)
    alone = [run(padded[row : row + 1], widths[row : row + 1]) for row in range(len(lines))]
    ids, best = probabilities.argmax(2), probabilities.max(2)
    single_ids, singles = (np.concatenate([each[name] for each in alone]) for name in found if name != "provenance")
    return (
        Measure("characters", int((ids > 0).sum()), 20, at_least=True),
        Measure("characters that differ", int((found["character_ids"] != ids).sum()), 0),
        Measure("probability difference", _difference(found["character_probabilities"], best), 1e-3),
        Measure("batch to singles, characters", int((found["character_ids"] != single_ids).sum()), 0),
        Measure("batch to singles", _difference(found["character_probabilities"], singles), 1e-4),
    )


def _difference(found: Array, expected: Array) -> float:
    return float(np.abs(found - expected).max())
