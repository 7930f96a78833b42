"""What the pictures measure: colours, motion, technical quality."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reelscope.signals.base import Signal


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameColors(Signal):
    """Colours of sampled frames; n samples, m colour bins of all samples together."""

    times_seconds: NDArray[np.float64]
    """[n] sorted."""
    is_on_grid: NDArray[np.bool_]
    """[n] True for the regular samples, False for extra ones at abrupt changes (so that no shot is left without)."""
    mean_lab: NDArray[np.float64]
    """[n, 3] CIELAB (D65): L* 0-100, a*, b*."""
    mean_xyz: NDArray[np.float64]
    """[n, 3] CIE 1931 XYZ (D65), Y 0-1."""
    saturation: NDArray[np.float64]
    """[n] mean HSV saturation, 0-1."""
    colorfulness: NDArray[np.float64]
    """[n] Hasler-Suesstrunk M, >= 0."""
    bin_sample: NDArray[np.int64]
    """[m] sample that the bin belongs to."""
    bin_lab: NDArray[np.float64]
    """[m, 3] mean CIELAB of the bin's pixels."""
    bin_share: NDArray[np.float64]
    """[m] share of its frame, 0-1; sums to 1 per sample."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PointFlow(Signal):
    """Points followed from frame to frame, to which the camera's motion is fitted; p pairs of frames, m points in all.

    Pairs do not overlap and are at least 1/30 s apart, but for the last before a cut or the end. A frame that repeats
    the picture before it is passed over, so that motion over a pair's time is speed; one that stands still for longer
    is paired with itself. The source knows no shots: pairs may cross their boundaries.
    """

    width_px: int
    """Width of the small track, in whose pixels the points are told."""
    height_px: int
    """Height of the small track."""
    start_seconds: NDArray[np.float64]
    """[p] time of the pair's first frame, sorted."""
    end_seconds: NDArray[np.float64]
    """[p] time of its second frame."""
    offsets: NDArray[np.int64]
    """[p + 1] rows offsets[k]:offsets[k + 1] of `points` belong to pair k; none where there was nothing to follow."""
    points: NDArray[np.int16]
    """[m, 4] x and y in the first frame, x and y in the second, in 1/64 px (POINT_STEPS_PER_PX)."""


POINT_STEPS_PER_PX = 64
"""Resolution of `PointFlow.points`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameQuality(Signal):
    """Technical quality of sampled frames, measured on luma at the size in which they were coded; n samples."""

    times_seconds: NDArray[np.float64]
    """[n] sorted."""
    laplacian_variance: NDArray[np.float64]
    """[n] sharpness: variance of the Laplacian at long side 640, >= 0; NaN where the frame is too small."""
    noise_sigma: NDArray[np.float64]
    """[n] standard deviation of noise (Immerkaer 1996), grey levels 0-255; NaN where the frame is too small."""
    blockiness: NDArray[np.float64]
    """[n] luma steps on the 8-px coding grid over those off it, >= 1, 1 for none; NaN where it cannot be measured."""
    clipped_high: NDArray[np.float64]
    """[n] share of the picture with luma >= 253, 0-1."""
    clipped_low: NDArray[np.float64]
    """[n] share of the picture with luma <= 2, 0-1."""
    rms_contrast: NDArray[np.float64]
    """[n] standard deviation of luma over 255, 0-0.5; NaN for a single pixel."""
