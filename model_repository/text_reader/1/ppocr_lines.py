"""Lines of text as pictures: cut out, made upright, scaled and gathered for the networks, and their characters joined.

A line's padding decides a little of what is read, so lines are padded as rapidocr 3.10 does it: those of one frame are
sorted by shape, six at a time are padded to the widest of them. Lines of one padded width are then read together,
whichever frames they are from: rows do not affect each other.
"""

import math
from dataclasses import dataclass
from itertools import groupby

import cv2
import numpy as np

HEIGHT_PX = 48
ORIENTATION_WIDTH_PX = 192
MIN_WIDTH_PX = 320
"""Lines are padded to this at least."""
GROUP_COUNT = 6
UPRIGHT_RATIO = 1.5
"""A cut-out that is higher than this times its width is text from top to bottom, or the reverse."""


@dataclass(slots=True)
class Cut:
    """A line cut out of a frame."""

    frame: int
    quad_px: np.ndarray
    """Float [4, 2] in pixels of the frame: the text's own corners from the top left, as far as is known."""
    pixels: np.ndarray
    """uint8 [h, w, 3]."""

    @property
    def ratio(self):
        """Width over height."""
        return self.pixels.shape[1] / self.pixels.shape[0]

    def turn_round(self):
        """Turn the line upside down."""
        self.pixels = cv2.rotate(self.pixels, cv2.ROTATE_180)
        self.quad_px = np.roll(self.quad_px, 2, axis=0)


def cut(picture, quad, frame, to_frame):
    """Cut the content of a quad out of a picture, and lay it on its side if it is upright.

    Args:
        picture: uint8 [h, w, 3].
        quad: float32 [4, 2] in its pixels, clockwise from the top left.
        frame: number of the frame.
        to_frame: function from a quad in the picture to one in the frame.
    """
    top, right, bottom, left = np.linalg.norm(quad - np.roll(quad, -1, axis=0), axis=1)
    width, height = int(max(top, bottom)), int(max(left, right))
    corners = np.float32([[0, 0], [width, 0], [width, height], [0, height]])
    transform = cv2.getPerspectiveTransform(quad, corners)
    pixels = cv2.warpPerspective(
        picture, transform, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    if height / width >= UPRIGHT_RATIO:
        pixels, quad = np.rot90(pixels), np.roll(quad, -1, axis=0)
    return Cut(frame, to_frame(quad), pixels)


def padded(cuts, width):
    """Scale lines to the networks' height and pad them to one width.

    Returns:
        uint8 [n, 48, width, 3], and int32 [n, 1]: the columns that belong to each line.
    """
    lines = np.zeros((len(cuts), HEIGHT_PX, width, 3), np.uint8)
    widths = np.empty((len(cuts), 1), np.int32)
    for row, each in enumerate(cuts):
        widths[row] = own = min(width, math.ceil(HEIGHT_PX * each.ratio))
        lines[row, :, :own] = cv2.resize(each.pixels, (own, HEIGHT_PX))
    return lines, widths


def by_width(cuts):
    """Numbers of lines by the width that they are to be padded to; `cuts` are sorted by frame."""
    groups = {}
    for _, own in groupby(range(len(cuts)), key=lambda number: cuts[number].frame):
        numbers = np.array(list(own))
        # Like rapidocr's, not a stable sort: which of several lines of one shape shares a group with wider ones.
        numbers = numbers[np.argsort([cuts[number].ratio for number in numbers])]
        for first in range(0, len(numbers), GROUP_COUNT):
            group = numbers[first : first + GROUP_COUNT]
            width = int(HEIGHT_PX * max(MIN_WIDTH_PX / HEIGHT_PX, cuts[group[-1]].ratio))
            groups.setdefault(width, []).extend(group)
    return groups


def joined(ids, probabilities, characters):
    """Text and confidence of one line: each character that is none, and not the one before, once."""
    kept = ids > 0
    kept[1:] &= ids[1:] != ids[:-1]
    text = "".join(characters[index] for index in ids[kept])
    return text, round(float(np.round(probabilities[kept].astype(np.float64), 5).mean()), 5) if text else 0.0
