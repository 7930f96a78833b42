"""What visual effects leave in the frames: brightness, repetition, seams, bars, and edges that outlive a cut."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reelscope.signals.base import Signal

SEAMS_PER_AXIS = 3
"""Candidates of `FrameEffects.seams` per direction and frame."""
BRIGHTNESS_CELLS = 12
"""Rows and columns of `FrameEffects.luminance`."""
EDGE_CELLS = 16
"""Rows and columns of `FrameEffects.kept_edges`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameEffects(Signal):
    """Every frame of the small track in figures, about 400 bytes each; n frames, c abrupt changes."""

    times_seconds: NDArray[np.float64]
    """[n] strictly increasing."""
    duration_seconds: float
    """Duration of the clip."""
    luminance: NDArray[np.float16]
    """[n, BRIGHTNESS_CELLS, BRIGHTNESS_CELLS] mean relative luminance (WCAG 2) of every cell, 0-1."""
    luma_mean: NDArray[np.float32]
    """[n] mean luma, 0-255."""
    luma_deviation: NDArray[np.float32]
    """[n] standard deviation of luma, 0-127.5."""
    change: NDArray[np.float32]
    """[n] mean absolute luma difference to the frame before, 0-255; 0 for the first."""
    peak_change: NDArray[np.float32]
    """[n] the same within the 16-px block that changed most: small things that move count as well."""
    seams: NDArray[np.float32]
    """[n, 2, SEAMS_PER_AXIS, 3] straight lines right across the frame at which it is unlike itself: first those from
    top to bottom, then those from left to right, most complete first. Of each: its place, 0-1 of the width or height;
    the share of its length at which the picture jumps, 0-1, 0 where there is no further one; and by how much the
    quieter of its two sides changed next to it since the frame before, mean absolute grey levels, 0 where one shift
    along the line explains it on both."""
    bars: NDArray[np.float32]
    """[n, 4] black bars at the top, bottom, left and right, 0-1 of the height and width; each 1 in a black frame."""
    abrupt_frames: NDArray[np.int64]
    """[c] index of the frames that begin a new picture."""
    kept_edges: NDArray[np.uint8]
    """[c, EDGE_CELLS, EDGE_CELLS] of the edges in a cell that this frame and the one before both have, the share that
    is the same edge, 0-255 for 0-1; 0 where there are hardly any. Different pictures seldom exceed 60."""
    kept_edge_ratio: NDArray[np.float32]
    """[c] of all edges of both frames, the share that is the same edge, 0-1; NaN where there are none."""
