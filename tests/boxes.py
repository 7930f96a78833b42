"""Boxes that two implementations found in the same picture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def in_order_of(
    expected: NDArray[np.float32], boxes: NDArray[np.float32], scores: NDArray[np.float32]
) -> NDArray[np.intp]:
    """Rows of `boxes` that are nearest to those of `expected`, [n]; each is one of them, and `scores` [n] fall.

    Boxes, [n,4] xyxy in pixels, whose scores differ by less than their bound may come in either order.
    """
    order = np.abs(boxes[None] - expected[:, None]).max(2).argmin(1)
    assert sorted(order) == list(range(len(boxes)))
    assert (np.diff(scores) <= 0).all()
    return order
