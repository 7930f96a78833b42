"""How frames are composed, as far as the picture alone tells."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reelscope.signals.base import Signal


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameComposition(Signal):
    """Composition of sampled frames, within the black bars around them; n samples. NaN is what cannot be told."""

    times_seconds: NDArray[np.float64]
    """[n] sorted."""
    is_on_grid: NDArray[np.bool_]
    """[n] True for the regular samples, False for extra ones at abrupt changes (so that no shot is left without)."""
    height_over_width: float
    """Shape of the displayed frame."""
    pictures_xyxy: NDArray[np.float64]
    """[n, 4] what lies within the bars, 0-1 of the frame."""
    saliency_xy: NDArray[np.float64]
    """[n, 2] x and y of what stands out most, 0-1 of the frame; NaN where nothing does."""
    symmetry: NDArray[np.float64]
    """[n] correlation of the picture with its mirror image, left to right, -1 to 1; NaN for an even picture."""
    negative_space: NDArray[np.float64]
    """[n] share of the picture in which there is next to nothing to see, 0-1."""
    horizon_degrees: NDArray[np.float64]
    """[n] slope of the near-horizontal lines, positive where their right end is lower; NaN where there are none, or
    they do not agree."""
