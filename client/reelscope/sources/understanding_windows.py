"""Which parts of a clip the vision-language model is asked about, and which frames it sees of each.

A window is at most 2 s long and never holds a cut. Frames are scarce: windows have eight of them, fewer where there are
many windows, and of very long clips an even choice of windows is left.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reelscope.signals import Shot

WINDOW_SECONDS = 2.0
WINDOW_FRAMES = 8
LEAST_FRAMES = 2
"""The network looks at frames in pairs."""
MAX_FRAMES = 64
LONG_SECONDS, LONG_FRAMES = 60.0, 96
"""Clips that are longer get more frames."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One window and its frames."""

    start_seconds: float
    end_seconds: float
    numbers: tuple[int, ...]
    """Frames by their place among those that were kept, in time order; at least one."""


def plan(shots: Sequence[Shot], times_seconds: NDArray[np.float64], duration_seconds: float) -> tuple[Plan, ...]:
    """Cut shots into windows and choose frames; windows of which no frame was kept are left out.

    Args:
        shots: sorted.
        times_seconds: [n] times of the kept frames, sorted.
        duration_seconds: of the clip.
    """
    found = []
    for shot in shots:
        inside = np.flatnonzero(shot.holds(times_seconds))
        count = max(1, math.ceil((shot.end_seconds - shot.start_seconds) / WINDOW_SECONDS - 1e-6))
        edges = np.linspace(shot.start_seconds, shot.end_seconds, count + 1)
        # 0.5 ms: as the sampling rounds.
        places = np.searchsorted(edges[1:-1], times_seconds[inside] + 0.0005, side="right")
        found += [
            (float(edges[place]), float(edges[place + 1]), inside[places == place])
            for place in range(count)
            if (places == place).any()
        ]
    budget = MAX_FRAMES if duration_seconds <= LONG_SECONDS else LONG_FRAMES
    found = [found[number] for number in _spread(len(found), budget // LEAST_FRAMES)]
    each = min(WINDOW_FRAMES, budget // max(1, len(found)))
    return tuple(
        Plan(start, end, tuple(int(inside[number]) for number in _spread(len(inside), each)))
        for start, end, inside in found
    )


def _spread(count: int, at_most: int) -> list[int]:
    """Numbers 0 ... count - 1, or an even choice of them."""
    if count <= at_most:
        return list(range(count))
    # The middles of equal parts: neither end is favoured.
    return [int((k + 0.5) * count / at_most) for k in range(at_most)]
