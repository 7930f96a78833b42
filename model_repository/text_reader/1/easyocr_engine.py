"""EasyOCR: detection and recognition, put together as EasyOCR 1.7 does it; equal to `Reader.readtext`.

Its defaults on a CPU: every line is read at its own width, and again with stretched contrast if it was hardly read.
"""

from collections import defaultdict, deque

import cv2
import numpy as np
from easyocr_boxes import find_boxes
from easyocr_crops import HEIGHT_PX, crop_lines
from easyocr_decoding import decode, read_characters
from easyocr_lines import group
from lines import Line

DETECTION, RECOGNITION = "text_detection_craft", "text_recognition_crnn"
RETRY_BELOW = 0.1
"""Confidence below which a line is read again."""
LINES_PER_CALL = 32
COLUMNS_PER_CALL = 8192
"""Wide lines are read fewer at a time: a column takes 8 kB in the first layer of the recognition."""
_PROBE_PX = 32


class Engine:
    """Reads the lines of text in frames."""

    name = "easyocr"
    probes = {  # noqa: RUF012 - constant
        DETECTION: {
            "frames": np.zeros((1, _PROBE_PX, _PROBE_PX, 3), np.uint8),
            "canvas_px": np.full((1, 1), _PROBE_PX, np.int32),
        },
        RECOGNITION: {"lines": np.zeros((1, HEIGHT_PX, HEIGHT_PX), np.uint8)},
    }

    def __init__(self, repository, parameters):
        """Read the characters from the recognition's labels, and the parameter `canvas_px`: the detection sees frames
        scaled down so that their longer side is at most this."""
        self._characters = read_characters(repository / RECOGNITION / "labels.txt")
        self._canvas_px = int(parameters["canvas_px"])

    def read(self, frames, networks):
        """Find and read lines; uint8 [n, h, w, 3] RGB in, `Line`s by frame and in EasyOCR's order out.

        Lines in which no character is found are left out.

        Raises:
            NetworkFailed: a network did not answer.
            Cancelled: nobody waits for the lines any more.
        """
        lines = []
        for found in self._found(frames, networks):
            crops = [crop for _, crop in found]
            read = self._recognised(crops, [crop.padded() for crop in crops], networks)
            hardly = [row for row, (_, confidence) in enumerate(read) if confidence < RETRY_BELOW]
            faint = [crops[row] for row in hardly]
            again = self._recognised(faint, [crop.padded_with_contrast() for crop in faint], networks)
            for row, second in zip(hardly, again, strict=True):
                if second[1] >= read[row][1]:
                    read[row] = second
            lines += [
                Line(frame, crop.quad_px, text, confidence)
                for (frame, crop), (text, confidence) in zip(found, read, strict=True)
                if text
            ]
        return lines

    def _found(self, frames, networks):
        """Yield the lines, frame and `Crop`, of each call of the detection; the next call is under way meanwhile."""
        under_way = deque()
        for first in range(0, len(frames), networks.frames_per_call):
            together = frames[first : first + networks.frames_per_call]
            canvas = np.full((len(together), 1), self._canvas_px, np.int32)
            asked = {"frames": together, "canvas_px": canvas}
            most = networks.frames_per_call
            pending = networks.submit(DETECTION, asked, "score_maps", "long_side_px", most=most)
            under_way.append((first, together, pending))
            if len(under_way) == 2:
                yield _lines_of(*under_way.popleft())
        for call in under_way:
            yield _lines_of(*call)

    def _recognised(self, crops, lines, networks):
        """Text and confidence of each line; those of one width are read together."""
        by_width = defaultdict(list)
        for row, crop in enumerate(crops):
            by_width[crop.padded_width_px].append(row)
        read = [("", 0.0)] * len(crops)
        for width, rows in by_width.items():
            count = min(max(COLUMNS_PER_CALL // width, 1), LINES_PER_CALL)
            for first in range(0, len(rows), count):
                together = rows[first : first + count]
                asked = {"lines": np.stack([lines[row] for row in together])}
                answer = networks.ask(RECOGNITION, asked, "character_ids", "character_probabilities")
                for row, ids, probabilities in zip(together, *answer.values(), strict=True):
                    read[row] = decode(ids, probabilities, self._characters)
        return read


def _lines_of(first, frames, pending):
    answer = pending.result()
    found = []
    for number, frame in enumerate(frames):
        frame_px_per_seen_px = 1 / (float(answer["long_side_px"][number, 0]) / max(frame.shape[:2]))
        level, slanted = group(find_boxes(answer["score_maps"][number], frame_px_per_seen_px))
        grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
        found += [(first + number, crop) for crop in crop_lines(grey, level, slanted)]
    return found
