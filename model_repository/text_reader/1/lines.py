"""What every engine finds."""

from dataclasses import dataclass

import numpy as np


class BadFrames(Exception):
    """Frames that cannot be read, whichever engine is asked; the message says why."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of text in one frame."""

    frame: int
    """Index into the frames that were read."""
    quad_px: np.ndarray
    """[4, 2] pixels of the frame: the text's own top left, top right, bottom right, bottom left."""
    text: str
    """Never empty."""
    confidence: float
    """0-1, as the engine states it."""
