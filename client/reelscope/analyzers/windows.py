"""Windows in a row: the time that each stands for."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def cells(windows_seconds: NDArray[np.float64]) -> NDArray[np.float64]:
    """[n, 2] disjoint times: of windows [n, 2], sorted, each gets the time that is nearest to its middle.

    The first begins, and the last ends, where its window does.
    """
    if not len(windows_seconds):
        return windows_seconds
    middles = windows_seconds.mean(1)
    between = (middles[:-1] + middles[1:]) / 2
    return np.column_stack([np.append(windows_seconds[0, 0], between), np.append(between, windows_seconds[-1, 1])])
