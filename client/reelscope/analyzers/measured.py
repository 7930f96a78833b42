"""Statistics of what was measured: NaN stands for what was not."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def median(values: NDArray[np.float64]) -> float | None:
    """Median of the values that are numbers; None when none is."""
    known = values[~np.isnan(values)]
    return float(np.median(known)) if known.size else None
