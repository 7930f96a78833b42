"""PP-OCRv6 (small) text recognition for GPUs, of lines of at most 320 px: rapidocr pads lines to that at least.

The network of text_recognition_ppocr at one width and one number of rows. On a GPU onnxruntime plans every convolution
anew when its input's shape changes, for seconds; text_recognition_ppocr, whose lines have any width, has to do with
plans that are quick to make, and thirty times slower. Oracle: rapidocr's `TextRecognizer`, its scaling and session.

Input   lines                    uint8 [N,48,320,3] RGB, one line of text each, padded on the right.
        widths                   int32 [N,1], columns that belong to the line.
Output  character_ids            int32 [N,40], index into labels.txt of text_recognition_ppocr; 0 between characters.
        character_probabilities  float32 [N,40], 0-1.
"""

from __future__ import annotations

from itertools import zip_longest
from pathlib import Path

import onnx

from reelscope_export import chunks, paths, ppocr, text_recognition_ppocr
from reelscope_export.contract import Contract
from reelscope_export.contract import Tensor as Spec
from reelscope_export.verify import Measure, Run

WIDTH_PX = 320
_COLUMNS_PER_STEP = 8
_STEPS = WIDTH_PX // _COLUMNS_PER_STEP

CONTRACT = Contract(
    name="text_recognition_ppocr_short",
    comment=(
        "PP-OCRv6 (small) text recognition of lines of at most 320 px: RGB, scaled to 48 px and padded on the right.",
        "widths: columns that belong to the line. character_ids: by line of text_recognition_ppocr's labels.txt, at",
        "each step; 0 is none.",
    ),
    inputs=(
        Spec("lines", "TYPE_UINT8", (ppocr.LINE_HEIGHT_PX, WIDTH_PX, 3)),
        Spec("widths", "TYPE_INT32", (1,)),
    ),
    outputs=(
        Spec("character_ids", "TYPE_INT32", (_STEPS,)),
        Spec("character_probabilities", "TYPE_FP32", (_STEPS,)),
    ),
)


def build(weights: Path, precision: str) -> onnx.ModelProto:
    """Build the ONNX graph, without provenance."""
    joined = ppocr.build(weights, ppocr.lines_to_pixels(str(WIDTH_PX)), text_recognition_ppocr.AFTER)
    for output in joined.graph.output:
        output.type.tensor_type.shape.dim[1].dim_value = _STEPS
    return chunks.in_chunks(joined, ppocr.BATCH_COUNT, filled=True)


def labels(weights: Path) -> tuple[str, ...]:
    """None of its own: the characters are text_recognition_ppocr's."""
    return ()


def verify(run: Run, weights: Path, *, variant: str, precision: str, trained: bool) -> tuple[Measure, ...]:
    """Compare characters and probabilities with those of rapidocr's recogniser, and a batch with its lines alone; the
    alphabet with the committed one, by which the text reader reads both networks."""
    ratio = WIDTH_PX / ppocr.LINE_HEIGHT_PX
    short = [line for line in ppocr.drawn_lines() if line.shape[1] / line.shape[0] <= ratio]
    committed = paths.committed_labels(text_recognition_ppocr.CONTRACT.name)
    alphabets = zip_longest(text_recognition_ppocr.labels(weights), committed)
    return (
        *text_recognition_ppocr.compare(run, weights, 3 * short, ratio),  # more of them than one chunk
        Measure("labels that differ", sum(own != known for own, known in alphabets), 0),
    )
