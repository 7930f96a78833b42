"""Runs: where in a row of instants something holds without a break."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def runs(values: NDArray[np.bool_]) -> NDArray[np.intp]:
    """[k, 2] first place of every run of True, and the place after its last."""
    return np.flatnonzero(np.diff(values, prepend=False, append=False)).reshape(-1, 2)
