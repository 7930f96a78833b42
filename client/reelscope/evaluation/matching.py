"""Which finding is which true one: one to one, as many as possible, and of those ways the one that fits best.

Events: a finding that starts within the tolerance, as mir_eval.onset and mir_eval.beat have it. Spans: intersection
over union (IoU) of at least 0.5, as PASCAL VOC has it for boxes and ActivityNet for time. The assignment is optimal,
not greedy (`scipy.optimize.linear_sum_assignment`): the order of the lists plays no part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from reelscope.analyzers.edit_distance import edit_ratio
from reelscope.evaluation.texts import normalized

MIN_IOU = 0.5
_ROUNDING = 1e-6
"""Seconds, and IoU: times are written to the millisecond, their differences are not exact."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A true or a found occurrence."""

    start_seconds: float
    end_seconds: float | None
    """Exclusive; None for a true event."""
    score: float | None = None
    """Of a finding, 0-1; None where the analyzer gives none."""
    text: str | None = None


def event_fitness(true: Sequence[Mark], found: Sequence[Mark], tolerance_seconds: float) -> NDArray[np.float64]:
    """How well each finding fits each event: [true, found], 0-1, nan where it does not."""
    errors = np.abs(_column(true, "start_seconds")[:, None] - _column(found, "start_seconds")[None])
    return np.where(errors <= tolerance_seconds + _ROUNDING, 1 - errors / tolerance_seconds, np.nan)


def span_fitness(true: Sequence[Mark], found: Sequence[Mark]) -> NDArray[np.float64]:
    """IoU of each finding with each true span: [true, found], nan below MIN_IOU.

    Where both have a text, likeness of the texts (0-1) is added: lines that come and go together are told apart by it.
    """
    starts, ends = _column(true, "start_seconds")[:, None], _column(true, "end_seconds")[:, None]
    others, other_ends = _column(found, "start_seconds")[None], _column(found, "end_seconds")[None]
    common = np.clip(np.minimum(ends, other_ends) - np.maximum(starts, others), 0, None)
    iou = common / (ends - starts + other_ends - others - common)
    fitness = np.where(iou >= MIN_IOU - _ROUNDING, iou, np.nan)
    for row, column in np.argwhere(~np.isnan(fitness)):
        read, written = true[row].text, found[column].text
        if read is not None and written is not None:
            fitness[row, column] += edit_ratio(normalized(read), normalized(written))
    return fitness


def assign(fitness: NDArray[np.float64]) -> list[tuple[int, int]]:
    """Pairs (true, found) by row and column; nan never pairs, and one pair more outweighs any better fit."""
    if not fitness.size:
        return []
    one_more = 2.0 * min(fitness.shape) + 1
    gains = np.nan_to_num(fitness + one_more, nan=0.0)
    rows, columns = linear_sum_assignment(gains, maximize=True)
    return [(int(row), int(column)) for row, column in zip(rows, columns, strict=True) if gains[row, column] > 0]


def _column(marks: Sequence[Mark], name: str) -> NDArray[np.float64]:
    return np.array([getattr(mark, name) for mark in marks], np.float64)
