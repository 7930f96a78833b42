"""Faces by row: the time each stands for, which is the largest of its frame, and curves over the frames."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from reelscope.analyzers.base import Series
from reelscope.signals import Faces

Rows = NDArray[np.intp]


def seconds(faces: Faces) -> NDArray[np.float64]:
    """[m] time that every face stands for: a sampling step, within the clip."""
    return np.minimum(faces.step_seconds, faces.duration_seconds - faces.times_seconds[faces.frame])


def screen_seconds(faces: Faces, rows: Rows) -> float:
    """Time in which at least one of these faces is in the picture."""
    return float(seconds(faces)[rows[np.unique(faces.frame[rows], return_index=True)[1]]].sum())


def largest(faces: Faces, rows: Rows) -> Rows:
    """Of every frame that has some of these faces, the largest; in time order."""
    order = rows[np.lexsort((-faces.sizes_px[rows], faces.frame[rows]))]
    return order[np.unique(faces.frame[order], return_index=True)[1]]


def tracked(faces: Faces) -> Rows:
    """Rows of the faces that some track has."""
    return np.flatnonzero(faces.track_ids >= 0)


def series(faces: Faces, rows: Rows, columns: Mapping[str, NDArray[np.float64]]) -> Series:
    """Curves over the sampled frames of values [k] at rows [k], at most one per frame; null elsewhere, and for NaN."""
    filled: dict[str, tuple[float | None, ...]] = {"t": tuple(faces.times_seconds.tolist())}
    for name, values in columns.items():
        column = np.full(len(faces.times_seconds), np.nan)
        column[faces.frame[rows]] = values
        filled[name] = listed(column)
    return Series(columns=filled)


def listed(values: NDArray[np.float64], decimals: int = 4) -> tuple[float | None, ...]:
    """Values as results hold them: null for NaN."""
    return tuple(None if np.isnan(value) else value for value in values.round(decimals).tolist())
