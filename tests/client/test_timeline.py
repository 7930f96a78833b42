"""One clock for the curves of several analyzers."""

from __future__ import annotations

import math

import numpy as np
import pytest

from reelscope.analyzers.base import Series
from reelscope.analyzers.timeline import MAX_DEVIATION, cell_count, density, on_cells, robust_z, smoothed


@pytest.mark.parametrize(("seconds", "cells"), [(0.0, 1), (0.033, 1), (0.1, 1), (0.1001, 2), (10.0, 100), (9.967, 100)])
def test_cells_hold_the_clip(seconds, cells):
    assert cell_count(seconds) == cells


def test_a_regular_curve_stays_as_it_is():
    values = tuple(float(k) for k in range(20))
    assert on_cells(Series(hop_seconds=0.1, columns={"a": values}), "a", 20).tolist() == list(values)


def test_dense_samples_are_averaged_and_sparse_ones_joined():
    dense = Series(hop_seconds=0.05, columns={"a": (0.0, 2.0, 4.0, 6.0)})
    assert on_cells(dense, "a", 2).tolist() == [1.0, 5.0]
    sparse = Series(columns={"t": (0.0, 0.4), "a": (1.0, 5.0)})
    assert on_cells(sparse, "a", 6)[:5].tolist() == pytest.approx([1, 2, 3, 4, 5])
    assert math.isnan(on_cells(sparse, "a", 6)[5])


def test_what_was_not_measured_stays_unknown():
    gap = Series(columns={"t": (0.0, 0.5, 2.0), "a": (1.0, None, 1.0)})
    assert np.flatnonzero(~np.isnan(on_cells(gap, "a", 30))).tolist() == [0, 20]
    assert np.isnan(on_cells(Series(), "a", 5)).all()
    assert np.isnan(on_cells(Series(hop_seconds=0.1, columns={"a": (None, None)}), "a", 5)).all()


def test_density_counts_every_event_once():
    assert density([0.0, 3.0, 9.99], 100, 0.3).sum() * 0.1 == pytest.approx(3, rel=0.01)
    assert density([], 10, 0.3).tolist() == [0.0] * 10


def test_robust_z():
    curve = np.array([1.0, 2.0, 3.0, 4.0, 5.0, math.nan])
    assert robust_z(curve)[:5] == pytest.approx(np.array([-2, -1, 0, 1, 2]) / 1.4826)
    assert math.isnan(robust_z(curve)[5])
    mostly_equal = np.array([1.0] * 9 + [11.0])
    assert robust_z(mostly_equal)[-1] == pytest.approx(
        min(10 / 1.5, MAX_DEVIATION)
    )  # half of its standard deviation of 3
    assert robust_z(np.array([*[0.0, 1.0] * 50, 1000.0])).max() == MAX_DEVIATION
    assert robust_z(np.array([*[0.0, 1.0] * 50, 1000.0]), limit=math.inf).max() > 10
    assert robust_z(np.array([0.0] * 9 + [0.1]), least=1.0).max() == pytest.approx(0.1)
    assert robust_z(np.full(5, 7.0)).tolist() == [0.0] * 5
    assert np.isnan(robust_z(np.full(5, math.nan))).all()


def test_smoothing_keeps_what_is_unknown():
    curve = np.array([2.0, 2.0, math.nan, math.nan, 2.0, 2.0])
    assert smoothed(curve, 0.2)[[0, 1, 4, 5]] == pytest.approx(2.0)
    assert np.isnan(smoothed(curve, 0.2)[2:4]).all()
    spike = np.zeros(50)
    spike[25] = 1.0
    assert smoothed(spike, 0.3).sum() == pytest.approx(1.0)
    assert smoothed(spike, 0.3)[25] == pytest.approx(0.133, abs=0.002)
