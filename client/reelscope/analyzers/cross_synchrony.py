"""Whether the clip is cut on the beat.

A cut is on the beat when it lies within 70 ms of one, the tolerance with which beat trackers are judged (Davies et al.
2009, Evaluation methods for musical audio beat tracking algorithms). Fast music has beats near everything: chance is
the share of the clip's time that lies so near to a beat. p is the probability that as many cuts are on the beat where
each is placed anywhere, independently (binomial test).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from reelscope.analyzers.base import Segment
from reelscope.analyzers.cross_kinds import CrossData, Observed, evidence

SYNC_SECONDS = 0.07


@dataclass(frozen=True, slots=True)
class Synchrony:
    """Cuts against beats."""

    ratio: float
    """Share of the cuts that are on a beat, 0-1."""
    chance: float
    """Share expected of cuts placed anywhere, 0-1."""
    p: float
    """Probability of as many by chance, 0-1."""
    segments: tuple[Segment[CrossData], ...]
    """Cuts that are on a beat."""


def cuts_on_beats(observed: Observed) -> Synchrony | None:
    """Compare boundaries between shots with the beats; None without either."""
    beats = observed.segments("audio_analysis", "beat")
    cuts = np.array([shot.start_seconds for shot in observed.shots.shots[1:]])
    if not beats or not cuts.size:
        return None
    times = np.array([beat.start_seconds for beat in beats])
    nearest = np.abs(cuts[:, None] - times).argmin(axis=1)
    late = cuts - times[nearest]
    # Half a millisecond: results hold times to the millisecond.
    is_on = np.abs(late) <= SYNC_SECONDS + 0.0005
    chance = _share_near(times, observed.duration_seconds)
    shots = {shot.start_seconds: shot for shot in observed.segments("cut_analysis", "shot")}
    segments = []
    for cut, beat, offset in zip(cuts[is_on].tolist(), nearest[is_on].tolist(), late[is_on].tolist(), strict=True):
        shown = [shots[cut]] if cut in shots else []
        segments.append(_segment(cut, offset, [*shown, beats[beat]], observed.duration_seconds))
    return Synchrony(
        ratio=float(is_on.mean()),
        chance=chance,
        p=float(binomtest(int(is_on.sum()), len(cuts), chance, alternative="greater").pvalue),
        segments=tuple(segments),
    )


def _share_near(times_seconds: NDArray[np.float64], duration_seconds: float) -> float:
    """Share of the clip that lies within the tolerance of one of the times, sorted."""
    starts = (times_seconds - SYNC_SECONDS).clip(0, duration_seconds)
    ends = (times_seconds + SYNC_SECONDS).clip(0, duration_seconds)
    fresh = np.maximum(starts, np.maximum.accumulate(np.append(0.0, ends[:-1])))
    return min(1.0, float((ends - fresh).clip(0).sum()) / duration_seconds)


def _segment(
    cut_seconds: float, late_seconds: float, shown: list[Segment[object]], duration_seconds: float
) -> Segment[CrossData]:
    milliseconds = round(1000 * abs(late_seconds))
    strength = max(0.0, 1 - abs(late_seconds) / SYNC_SECONDS)
    side = "after" if late_seconds > 0 else "before"
    return Segment(
        kind="event",
        start_seconds=cut_seconds,
        end_seconds=min(cut_seconds + 0.01, duration_seconds),
        label="sync",
        score=strength,
        data=CrossData(
            evidence=evidence(*shown),
            strength=strength,
            text=f"a cut {milliseconds} ms {side} a beat" if milliseconds else "a cut on a beat",
            rule=None,
        ),
    )
