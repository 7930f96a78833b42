"""Text in the picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reelscope.signals.base import Signal


@dataclass(frozen=True, slots=True, kw_only=True)
class TextRegions(Signal):
    """Lines of text in sampled frames; n frames, m lines in all of them."""

    times_seconds: NDArray[np.float64]
    """[n] sorted."""
    height_over_width: float
    """Shape of the displayed frame."""
    frame: NDArray[np.int64]
    """[m] index into times_seconds, sorted."""
    quads: NDArray[np.float64]
    """[m, 4, 2] corners, 0-1 of the frame: the text's own top left, top right, bottom right, bottom left."""
    texts: tuple[str, ...]
    """m strings as they were read; never empty."""
    confidences: NDArray[np.float64]
    """[m] 0-1, as the engine states it."""
    contrast_ratios: NDArray[np.float64]
    """[m] contrast of the letters to what is behind them, 1-21 (WCAG 2); NaN where it cannot be measured."""
    duration_seconds: float
    """Duration of the clip."""
