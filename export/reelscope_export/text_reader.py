"""Text reader: the lines of text in frames, found and read by whichever engine's networks are served.

Two engines behind one contract: EasyOCR's networks (text_detection_craft, text_recognition_crnn) and PP-OCR's
(text_detection_ppocr, text_orientation_ppocr, text_recognition_ppocr; for lines of the least width
text_recognition_ppocr_short, where it is served). The model is Python (model_repository/text_reader/1) and has no
weights of its own.

Input   frames       uint8 [N,H,W,3] RGB, displayed orientation, any H and W, any N.
Output  frame_index  int32 [M], sorted: the frame that the line is in.
        quads        float32 [M,4,2], 0-1 of the frame's width and height: the text's own top left, top right, bottom
                     right, bottom left.
        texts        STRING [M], UTF-8, never empty.
        confidences  float32 [M], 0-1, as the engine states them.
"""

from __future__ import annotations

from reelscope_export.contract import Contract, Tensor

CONTRACT = Contract(
    name="text_reader",
    comment=(
        "Text reader: lines of text in frames, by EasyOCR's networks or PP-OCR's. RGB frames of any size and number.",
        "frame_index: the frame that a line is in, sorted. quads: 0-1 of the frame; the text's own top left, top",
        "right, bottom right, bottom left. provenance: one JSON per network that answered; its key model names it.",
    ),
    inputs=(Tensor("frames", "TYPE_UINT8", (-1, -1, -1, 3)),),
    outputs=(
        Tensor("frame_index", "TYPE_INT32", (-1,)),
        Tensor("quads", "TYPE_FP32", (-1, 4, 2)),
        Tensor("texts", "TYPE_STRING", (-1,)),
        Tensor("confidences", "TYPE_FP32", (-1,)),
    ),
    batched=False,
    backend="python",
    provenance_count=-1,
)
