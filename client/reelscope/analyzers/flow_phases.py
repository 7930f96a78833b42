"""The clip's phases: hook, build, climax, resolution, call to action; found by rules over the intensity's changes.

Change points: PELT (Killick, Fearnhead & Eckley 2012, doi:10.1080/01621459.2012.737745) with a squared-error cost, as
`ruptures` has it, on means of half a second.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import ruptures

from reelscope.analyzers.timeline import CELL_SECONDS, Curve

STEP_SECONDS = 0.5
"""Spacing of the means that change points are looked for in; a shot that begins within half of it begins the change."""
MIN_PHASE_SECONDS = 1.0
PENALTY_FACTOR = 2.0
"""Cost of a change point: this times the noise's variance times the logarithm of the count (as the Bayesian information
criterion has it)."""
HOOK_SECONDS = 3.0
"""The hook ends at the change point or cut next to this ..."""
MIN_HOOK_SECONDS, MAX_HOOK_SECONDS = 1.5, 6.0
"""... within these, or at HOOK_SECONDS where there is none; and after a third of the clip at the latest."""

PhaseName = Literal["hook", "build", "climax", "resolution", "cta"]
PHASES: tuple[PhaseName, ...] = get_args(PhaseName)
"""In order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """A part of the clip."""

    name: PhaseName
    start_seconds: float
    end_seconds: float


def change_points(intensity: Curve) -> list[float]:
    """Times at which the intensity changes its level, sorted, the clip's ends not among them."""
    cells = round(STEP_SECONDS / CELL_SECONDS)
    steps = [float(intensity[first : first + cells].mean()) for first in range(0, len(intensity), cells)]
    min_size = round(MIN_PHASE_SECONDS / STEP_SECONDS)
    if len(steps) < 2 * min_size:
        return []
    differences = np.abs(np.diff(steps))
    # Differences of two values have twice their variance; the median is of the noise, not of the changes looked for.
    variance = (1.4826 * float(np.median(differences))) ** 2 / 2
    penalty = PENALTY_FACTOR * max(variance, 1e-9) * math.log(len(steps))
    search = ruptures.KernelCPD(kernel="linear", min_size=min_size).fit(np.array(steps)[:, None])
    return [STEP_SECONDS * float(step) for step in search.predict(pen=penalty)[:-1]]


def climax(intensity: Curve, duration_seconds: float) -> float:
    """Time of the greatest intensity: the middle of its cell, of the last one as far as the clip reaches."""
    start = int(np.argmax(intensity)) * CELL_SECONDS
    return (start + min(start + CELL_SECONDS, duration_seconds)) / 2


def phases(
    duration_seconds: float,
    changes: Sequence[float],
    cuts_seconds: Sequence[float],
    climax_seconds: float | None,
    cta_seconds: float | None,
) -> tuple[Phase, ...]:
    """The clip's phases in order.

    The hook is the opening, the cta what follows a call to action in the clip's last half. Between them the climax
    is the stretch between two changes that holds the greatest intensity, the build comes before it, the resolution
    after it. Where the greatest intensity is in the hook everything behind it is resolution; where it is in the cta
    everything before is build. They partition the clip; without a climax what lies between hook and cta is no phase.

    Args:
        duration_seconds: of the clip.
        changes: of `change_points`.
        cuts_seconds: where shots begin.
        climax_seconds: of `climax`; None where the intensity never changes.
        cta_seconds: when the call to action comes; None without one.
    """
    if duration_seconds < 3 * MIN_PHASE_SECONDS:
        return ()
    changes = [_at_cut(change, cuts_seconds) for change in changes]
    hook_end = _hook_end(duration_seconds, [*changes, *cuts_seconds])
    end = duration_seconds
    if cta_seconds is not None and cta_seconds > max(duration_seconds / 2, hook_end):
        end = cta_seconds
    edges: list[tuple[PhaseName, float]] = [("hook", 0.0)]
    if climax_seconds is not None:
        if climax_seconds < hook_end:
            edges += [("resolution", hook_end)]
        elif climax_seconds >= end:
            edges += [("build", hook_end)]
        else:
            # What is shorter than a phase belongs to the climax: no build or resolution is a leftover.
            latest = min(climax_seconds, end - STEP_SECONDS)
            before = [time for time in changes if hook_end + MIN_PHASE_SECONDS <= time <= latest]
            after = [time for time in changes if climax_seconds < time <= end - MIN_PHASE_SECONDS]
            edges += [("build", hook_end), ("climax", max(before, default=hook_end))]
            edges += [("resolution", min(after, default=end))]
    edges += [("cta", end)]
    ends = [start for _, start in edges[1:]] + [duration_seconds]
    found = [
        Phase(name=name, start_seconds=start, end_seconds=stop)
        for (name, start), stop in zip(edges, ends, strict=True)
        if stop > start
    ]
    if climax_seconds is None:
        found[0] = Phase(name="hook", start_seconds=0.0, end_seconds=hook_end)
    return tuple(found)


def _at_cut(change: float, cuts_seconds: Sequence[float]) -> float:
    """The change, or the cut next to it: the change is known to half a step."""
    nearest = min(cuts_seconds, key=lambda cut: abs(cut - change), default=change)
    return nearest if abs(nearest - change) <= STEP_SECONDS / 2 else change


def _hook_end(duration_seconds: float, candidates: Sequence[float]) -> float:
    latest = min(MAX_HOOK_SECONDS, duration_seconds / 3)
    fitting = [time for time in candidates if MIN_HOOK_SECONDS <= time <= latest]
    return min(fitting, key=lambda time: (abs(time - HOOK_SECONDS), time), default=min(HOOK_SECONDS, latest))
