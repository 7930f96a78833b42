"""PP-OCR: detection, orientation and recognition, put together as rapidocr 3.10 does it; equal to `RapidOCR()`."""

from collections import deque

import numpy as np
from lines import Line
from ppocr_boxes import quads_of
from ppocr_layout import STRIDE_PX, Layout
from ppocr_lines import HEIGHT_PX, MIN_WIDTH_PX, ORIENTATION_WIDTH_PX, by_width, cut, joined, padded

DETECTION, ORIENTATION, RECOGNITION = "text_detection_ppocr", "text_orientation_ppocr", "text_recognition_ppocr"
RECOGNITION_OF_SHORT = "text_recognition_ppocr_short"
"""The same network at `MIN_WIDTH_PX` alone, where it is served: a GPU is much quicker with one shape."""
MIN_CONFIDENCE = 0.5
TURN_PROBABILITY = 0.9
"""A line is turned round when it is upside down with more than this."""
LINES_PER_CALL = 32
COLUMNS_PER_CALL = LINES_PER_CALL * MIN_WIDTH_PX
"""Wide lines are read fewer at a time: at every eighth column 18710 characters are weighed, 4 bytes each."""


def _blank(width):
    return {"lines": np.zeros((1, HEIGHT_PX, width, 3), np.uint8), "widths": np.full((1, 1), width, np.int32)}


class Engine:
    """Reads the lines of text in frames."""

    name = "ppocr"
    probes = {  # noqa: RUF012 - constant
        DETECTION: {"frames": np.zeros((1, STRIDE_PX, STRIDE_PX, 3), np.uint8)},
        ORIENTATION: _blank(ORIENTATION_WIDTH_PX),
        RECOGNITION: _blank(MIN_WIDTH_PX),
    }

    def __init__(self, repository, parameters):
        """Read the characters from the recognition's labels; no parameter is PP-OCR's own."""
        text = (repository / RECOGNITION / "labels.txt").read_text(encoding="utf-8")
        self._characters = text.splitlines()

    def read(self, frames, networks):
        """Find and read lines; uint8 [n, h, w, 3] RGB in, `Line`s by frame and in reading order out.

        Raises:
            BadFrames: their shape is too extreme.
            NetworkFailed: a network did not answer.
            Cancelled: nobody waits for the lines any more.
        """
        lines = []
        for cuts in _found(frames, networks):
            _make_upright(cuts, networks)
            read = self._recognised(cuts, networks)
            lines += [
                Line(each.frame, each.quad_px, text, confidence)
                for each, (text, confidence) in zip(cuts, read, strict=True)
                if text.strip() and confidence >= MIN_CONFIDENCE
            ]
        return lines

    def _recognised(self, cuts, networks):
        """Text and confidence of each line."""
        found = [("", 0.0)] * len(cuts)
        of_short = RECOGNITION_OF_SHORT if networks.serves(RECOGNITION_OF_SHORT) else RECOGNITION
        for width, numbers in by_width(cuts).items():
            rows = min(max(COLUMNS_PER_CALL // width, 1), LINES_PER_CALL)
            for first in range(0, len(numbers), rows):
                together = numbers[first : first + rows]
                lines, widths = padded([cuts[number] for number in together], width)
                asked = {"lines": lines, "widths": widths}
                # Never filled up: where the shape matters, it is the width that changes from call to call.
                model = of_short if width == MIN_WIDTH_PX else RECOGNITION
                answer = networks.ask(model, asked, "character_ids", "character_probabilities")
                for number, ids, probabilities in zip(together, *answer.values(), strict=True):
                    found[number] = joined(ids, probabilities, self._characters)
        return found


def _found(frames, networks):
    """Yield the lines cut out of the frames of each detector call; the next call is under way meanwhile."""
    if not len(frames):
        return
    layout = Layout.of(*frames.shape[1:3])
    under_way = deque()
    for first in range(0, len(frames), networks.frames_per_call):
        pictures = [layout.picture_of(frame) for frame in frames[first : first + networks.frames_per_call]]
        seen = np.stack([layout.seen(picture) for picture in pictures])
        pending = networks.submit(DETECTION, {"frames": seen}, "text_probability", most=networks.frames_per_call)
        under_way.append((first, pictures, pending))
        if len(under_way) == 2:
            yield _cut_out(*under_way.popleft(), layout)
    for call in under_way:
        yield _cut_out(*call, layout)


def _cut_out(first, pictures, pending, layout):
    maps = pending.result()["text_probability"]
    return [
        cut(picture, quad, number, layout.to_frame)
        for number, (picture, probability) in enumerate(zip(pictures, maps, strict=True), first)
        for quad in quads_of(probability, *picture.shape[:2])
    ]


def _make_upright(cuts, networks):
    """Turn the lines round that stand on their head."""
    for first in range(0, len(cuts), LINES_PER_CALL):
        together = cuts[first : first + LINES_PER_CALL]
        lines, widths = padded(together, ORIENTATION_WIDTH_PX)
        asked = {"lines": lines, "widths": widths}
        answer = networks.ask(ORIENTATION, asked, "upside_down_probability", most=LINES_PER_CALL)
        for each, probability in zip(together, answer["upside_down_probability"][:, 0], strict=True):
            if probability > TURN_PROBABILITY:
                each.turn_round()
