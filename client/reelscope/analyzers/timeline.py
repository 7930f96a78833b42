"""Curves of several analyzers on one clock: what is compared is compared at the same ten instants per second.

Cell k of a timeline is the time [k / 10, (k + 1) / 10). Nothing is made up: where a curve was not measured, it is NaN.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from reelscope.analyzers.base import Series

CELL_SECONDS = 0.1
"""Length of a cell: 10 Hz."""
BRIDGED_SECONDS = 1.0
"""Longest gap between two samples that is filled by a straight line; a longer one was not measured. The slowest nested
rate of the smallest profile, 1.25 frames per second, leaves 0.8 s."""
SERIES_POINTS = 3000
"""Points of a curve in standard detail, at most."""
MAX_DEVIATION = 6.0
"""Robust z-scores end here, so that one outlier does not outvote all the other curves."""
_MAD_TO_SIGMA = 1.4826  # of a normal distribution

Curve = NDArray[np.float64]
"""float64 [cells], NaN where nothing was measured."""


def cell_count(duration_seconds: float) -> int:
    """Cells that hold the clip; at least 1."""
    return max(1, math.ceil(duration_seconds / CELL_SECONDS - 1e-6))


def on_cells(series: Series, column: str, cells: int) -> Curve:
    """One column of an analyzer's curves: the mean of what was measured in each cell, between samples a straight line.

    A column that is not there was not measured.
    """
    values = np.array([math.nan if value is None else value for value in series.columns.get(column, ())], np.float64)
    if series.hop_seconds is None:
        times = np.array(series.columns.get("t", ()), np.float64)
    else:
        times = series.first_seconds + series.hop_seconds * np.arange(len(values), dtype=np.float64)
    measured = ~np.isnan(values)
    values, times = values[measured], times[measured]
    # Half a millisecond: as the sampling rounds, a sample at 0.3 s belongs to the cell that begins there.
    cell = np.floor((times + 0.0005) / CELL_SECONDS).astype(int)
    inside = (cell >= 0) & (cell < cells)
    counts = np.bincount(cell[inside], minlength=cells)
    sums = np.bincount(cell[inside], weights=values[inside], minlength=cells)
    curve = np.full(cells, math.nan)
    np.divide(sums, counts, out=curve, where=counts > 0)
    known = np.flatnonzero(counts)
    for before, after in itertools.pairwise(known):
        if 1 < after - before <= round(BRIDGED_SECONDS / CELL_SECONDS):
            curve[before : after + 1] = np.linspace(curve[before], curve[after], after - before + 1)
    return curve


def density(times_seconds: Iterable[float], cells: int, sigma_seconds: float) -> Curve:
    """Events per second around every cell: each event a Gaussian of this width, mirrored at the clip's ends."""
    centers = (np.arange(cells) + 0.5) * CELL_SECONDS
    end = cells * CELL_SECONDS
    curve = np.zeros(cells)
    for time in times_seconds:
        for mirrored in (time, -time, 2 * end - time):
            curve += np.exp(-0.5 * ((centers - mirrored) / sigma_seconds) ** 2)
    return curve / (sigma_seconds * math.sqrt(2 * math.pi))


def robust_z(curve: Curve, limit: float = MAX_DEVIATION, least: float = 0.0) -> Curve:
    """Deviation from the median in units of the median absolute deviation, scaled to a normal distribution's sigma.

    The unit is at least half a standard deviation: of a curve that rests but for a few moments the median absolute
    deviation is next to nothing, and those moments would all count the same. A constant curve deviates nowhere. Within
    +-limit.

    Args:
        curve: in its own unit.
        limit: where scores end.
        least: deviation that counts as one at least, in the curve's unit: what is less than that goes unnoticed, even
            where the curve otherwise rests.
    """
    if np.isnan(curve).all():
        return curve
    deviation = curve - np.nanmedian(curve)
    scale = max(_MAD_TO_SIGMA * np.nanmedian(np.abs(deviation)), np.nanstd(curve) / 2, least)
    return np.clip(deviation / scale, -limit, limit) if scale > 0 else 0 * deviation


def smoothed(curve: Curve, sigma_seconds: float) -> Curve:
    """Gaussian mean of what was measured around every cell; cells that were not measured stay so."""
    known = ~np.isnan(curve)
    sums, weights = (
        gaussian_filter1d(values, sigma_seconds / CELL_SECONDS, mode="nearest")
        for values in (np.nan_to_num(curve), known.astype(np.float64))
    )
    return np.where(known, sums / np.maximum(weights, 1e-12), np.nan)


def series(columns: Mapping[str, Curve]) -> tuple[Series, Series]:
    """Curves as series: with at most SERIES_POINTS points, each the mean of as many cells as that takes; and whole."""
    cells = len(next(iter(columns.values())))
    factor = -(-cells // SERIES_POINTS)
    return _series(columns, factor), _series(columns, 1)


def _series(columns: Mapping[str, Curve], factor: int) -> Series:
    firsts = np.arange(0, len(next(iter(columns.values()))), factor)
    means = {name: [_mean(curve[first : first + factor]) for first in firsts] for name, curve in columns.items()}
    return Series(
        hop_seconds=round(factor * CELL_SECONDS, 6), columns={name: tuple(values) for name, values in means.items()}
    )


def _mean(values: Curve) -> float | None:
    return None if np.isnan(values).all() else float(np.nanmean(values))
