"""Gestures of one person in one uninterrupted stretch: hands raised, pointing, claps.

Conventions: points are x, y [n, 17, 2] in torso lengths, y down, NaN where a keypoint is not seen; left and right are
the person's own. Gestures are those of somebody upright, or of whom only the upper half is seen.

hand_raised  a wrist at least 0.4 torso lengths above its shoulder: at the height of the nose
pointing     one arm stretched out sideways: elbow straight, within 40 degrees of the horizontal, not foreshortened;
             pointing at the camera cannot be told in a picture
clap         wrists apart, together and apart again within a second, and not below the elbows, where the wrists of a
             walker swing past each other
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from reelscope.analyzers.body_geometry import UPRIGHT_DEGREES, K, Points, joint_angles, lean_degrees
from reelscope.signals import Parameter

GestureName = Literal["hand_raised", "pointing", "clap"]
Side = Literal["left", "right", "both"]

RAISED_TORSO_LENGTHS = 0.4
"""Height of the nose above the shoulders: (0.936 - 0.818) of the stature, over 0.288 (Drillis & Contini 1966)."""
STRETCHED_DEGREES = 155.0
POINTING_DEGREES = 40.0
POINTING_TORSO_LENGTHS = 0.7
"""Least length of the arm in the picture; it is 1.15 when nothing is foreshortened."""
APART_TORSO_LENGTHS, TOGETHER_TORSO_LENGTHS = 0.5, 0.3
"""Between the wrists; those of hands that touch are up to 0.2 apart."""
CLAP_SECONDS = 1.0
CLAP_BELOW_ELBOWS_TORSO_LENGTHS = 0.1
HOLD_SECONDS = 0.3
"""A hand that is up, or points, for less is on its way to somewhere else."""
BRIDGE_SECONDS = 0.45
"""A gesture goes on over gaps of this length, in which a keypoint was not seen."""

PARAMETERS: dict[str, Parameter] = {
    "raised_torso_lengths": RAISED_TORSO_LENGTHS,
    "stretched_degrees": STRETCHED_DEGREES,
    "pointing_degrees": POINTING_DEGREES,
    "pointing_torso_lengths": POINTING_TORSO_LENGTHS,
    "clap_apart_torso_lengths": APART_TORSO_LENGTHS,
    "clap_together_torso_lengths": TOGETHER_TORSO_LENGTHS,
    "clap_seconds": CLAP_SECONDS,
    "gesture_hold_seconds": HOLD_SECONDS,
    "gesture_bridge_seconds": BRIDGE_SECONDS,
}


@dataclass(frozen=True, slots=True)
class Gesture:
    """One gesture."""

    name: GestureName
    side: Side
    first: int
    """Instant in which it begins; a clap's only one."""
    last: int
    """Instant in which it is seen for the last time."""


def gestures(points: Points, times: NDArray[np.float64], step_seconds: float) -> list[Gesture]:
    """Every gesture of a stretch whose instants stand for `step_seconds` each."""
    is_able = ~(lean_degrees(points) > UPRIGHT_DEGREES)
    wrists, elbows, shoulders = (
        {side: points[:, K[f"{side}_{part}"]] for side in ("left", "right")} for part in ("wrist", "elbow", "shoulder")
    )
    raised = {side: shoulders[side][:, 1] - wrists[side][:, 1] >= RAISED_TORSO_LENGTHS for side in wrists}
    stretched = {side: _is_stretched(points, side, wrists[side] - shoulders[side]) for side in wrists}
    sides: tuple[tuple[Side, Side], ...] = (("left", "right"), ("right", "left"))
    held: list[tuple[GestureName, Side, NDArray[np.bool_]]] = []
    for side, other in sides:
        held.append(("hand_raised", side, raised[side]))
        held.append(("pointing", side, stretched[side] & ~stretched[other] & ~raised[side]))
    found = [
        Gesture(name, side, first, last)
        for name, side, is_held in held
        for first, last in _runs(is_held & is_able, times, step_seconds)
    ]
    heights = {side: wrists[side][:, 1] - elbows[side][:, 1] for side in wrists}
    is_high = np.fmax(heights["left"], heights["right"]) <= CLAP_BELOW_ELBOWS_TORSO_LENGTHS
    distance = np.linalg.norm(wrists["left"] - wrists["right"], axis=-1)
    return found + [Gesture("clap", "both", k, k) for k in _claps(distance, is_high & is_able, times)]


def _is_stretched(points: Points, side: str, arm: Points) -> NDArray[np.bool_]:
    slope = np.degrees(np.arctan2(np.abs(arm[:, 1]), np.abs(arm[:, 0])))
    is_straight = joint_angles(points)[f"{side}_elbow"] >= STRETCHED_DEGREES
    is_long = np.linalg.norm(arm, axis=-1) >= POINTING_TORSO_LENGTHS
    return np.asarray(is_straight & is_long & (slope <= POINTING_DEGREES))


def _runs(is_held: NDArray[np.bool_], times: NDArray[np.float64], step_seconds: float) -> Iterator[tuple[int, int]]:
    """First and last instant of everything that is held long enough."""
    instants = np.flatnonzero(is_held)
    gaps = np.flatnonzero(np.diff(times[instants]) > BRIDGE_SECONDS)
    for run in np.split(instants, gaps + 1):
        if run.size and times[run[-1]] - times[run[0]] + step_seconds >= HOLD_SECONDS:
            yield int(run[0]), int(run[-1])


def _claps(distance: NDArray[np.float64], is_high: NDArray[np.bool_], times: NDArray[np.float64]) -> Iterator[int]:
    """The instants in which hands meet that were apart before and are after."""
    apart = np.flatnonzero(distance >= APART_TORSO_LENGTHS)
    for before, after in itertools.pairwise(apart.tolist()):
        between = distance[before + 1 : after]
        if not between.size or np.isnan(between).any() or times[after] - times[before] > CLAP_SECONDS:
            continue
        closest = before + 1 + int(between.argmin())
        if distance[closest] <= TOGETHER_TORSO_LENGTHS and is_high[closest]:
            yield closest
