"""Shots and flashes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from reelscope.signals.base import Signal

TransitionKind = Literal["hard", "dissolve", "fade", "wipe", "flash", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """How one shot becomes the next."""

    kind: TransitionKind
    """dissolve and wipe need a network and are never claimed without one: unknown stands for them."""
    length_seconds: float
    """How long it lasts; 0 for a hard cut."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """An uninterrupted run of frames from one camera; not a scene."""

    id: str
    """Unique within the clip: shot-1, shot-2, ..."""
    start_seconds: float
    """Time of its first frame."""
    end_seconds: float
    """Time of the first frame after it, or the clip's end."""
    frame_in: int
    """Index of the first frame, >= 0."""
    frame_out: int
    """Index of the first frame after it, >= 1."""
    transition_in: Transition | None
    """How it begins; null for the clip's first shot."""
    score: float | None
    """Dissimilarity across its first boundary: 1 minus the HSV-histogram correlation, 0-1; null for the first shot."""

    def holds(self, times_seconds: NDArray[np.float64]) -> NDArray[np.bool_]:
        """[n] which of the sampled instants [n] show this shot."""
        # 0.5 ms: as the sampling rounds, so that a frame shown at an instant counts for its own shot.
        times = times_seconds + 0.0005
        return (times >= self.start_seconds) & (times < self.end_seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Flash:
    """A short burst after which the picture is as before: an effect, not a cut."""

    start_seconds: float
    end_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Shots(Signal):
    """The clip cut into shots, and what looked like a cut but was a flash."""

    shots: tuple[Shot, ...]
    """Sorted; they partition [0, duration]. At least one."""
    flashes: tuple[Flash, ...]
    """Sorted."""
    times_seconds: NDArray[np.float64]
    """[n] time of every frame."""
    luma_change: NDArray[np.float64]
    """[n] mean absolute luma difference to the frame before, 0-255; 0 for the first."""
