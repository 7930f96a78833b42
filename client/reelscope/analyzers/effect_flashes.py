"""Flashes by the rule of photosensitivity: pairs of opposing changes in luminance.

Source: WCAG 2.2, general flash thresholds (those of ITU-R BT.1702): a flash is an increase of the relative luminance by
0.10 or more and then a decrease, or the reverse, where the darker side is below 0.80; flashes count when together they
fill a quarter of what is looked at, here of the frame, and more than three within any second are a risk. A transition
is told from peak to valley, per cell of the frame. Saturated red, which has a threshold of its own, is not looked at.

Two changes belong to one flash when they come at the same instants in a quarter of the frame. That alone would make a
flash of a fast pan, in which every part changes all the time; so either most of what changes does so in the same
direction, as light does, or the picture comes back.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from reelscope.signals import BRIGHTNESS_CELLS, FrameEffects, Parameter

MIN_CHANGE = 0.10
DARKER_BELOW = 0.80
MIN_AREA_RATIO = 0.25
RISK_PER_SECOND = 3
"""More flashes than this within a second are a risk."""
FLASH_SECONDS = 1 / 3
"""Longest time between the two changes: at more than three per second none takes longer."""
TOGETHER_SECONDS = 0.05
"""Changes this close come at the same instant: coding and blending smear them over a frame or two."""
MAX_OPPOSING_RATIO = 1 / 3
"""Light changes less than this share of its area the other way."""
RETURN_SECONDS = 0.2
RETURN_RATIO = 0.2
"""The picture has come back when, within RETURN_SECONDS, it differs from what it was by less than this share of the
change; where it is not the light, at once."""

PARAMETERS: dict[str, Parameter] = {
    "flash_min_change": MIN_CHANGE,
    "flash_darker_below": DARKER_BELOW,
    "flash_min_area_ratio": MIN_AREA_RATIO,
    "flash_risk_per_second": RISK_PER_SECOND,
    "flash_max_seconds": round(FLASH_SECONDS, 4),
}

_ROUNDING = 0.0005
"""Resolution of the signal's 16-bit luminance near 1, and half a millisecond."""
_CELLS = BRIGHTNESS_CELLS * BRIGHTNESS_CELLS


@dataclass(frozen=True, slots=True)
class Flash:
    """A pair of opposing changes."""

    start_seconds: float
    """First change."""
    end_seconds: float
    """Second change."""
    area_ratio: float
    """Share of the frame, 0-1."""
    has_returned: bool
    """Whether the picture is as before; else it may be a short shot between two others."""


@dataclass(frozen=True, slots=True)
class _Change:
    """A quarter of the frame or more gets brighter, or darker, at once."""

    frame: int
    direction: int
    """1 brighter, -1 darker."""
    cells: NDArray[np.bool_]
    is_light: bool
    """Whether hardly anything changes the other way."""


def find(effects: FrameEffects) -> tuple[Flash, ...]:
    """Every flash, sorted by time."""
    luminance = effects.luminance.reshape(len(effects.times_seconds), _CELLS).astype(np.float32)
    times = effects.times_seconds
    found: dict[tuple[float, float], Flash] = {}
    for chain in _chains(luminance, times):
        for flash in _paired(chain, luminance, times):
            instants = flash.start_seconds, flash.end_seconds
            area = flash.area_ratio + (found[instants].area_ratio if instants in found else 0.0)
            found[instants] = replace(flash, area_ratio=min(1.0, area))
    return tuple(sorted(found.values(), key=lambda flash: flash.start_seconds))


def most_per_second(flashes: tuple[Flash, ...]) -> int:
    """Most flashes that begin within any second."""
    starts = np.array([flash.start_seconds for flash in flashes])
    ends = np.searchsorted(starts, starts + 1 - _ROUNDING)
    return int((ends - np.arange(len(starts))).max(initial=0))


def bursts(flashes: tuple[Flash, ...]) -> list[list[Flash]]:
    """Flashes that follow each other as fast as one may last."""
    groups: list[list[Flash]] = []
    for flash in flashes:
        if groups and flash.start_seconds - groups[-1][-1].end_seconds <= FLASH_SECONDS:
            groups[-1].append(flash)
        else:
            groups.append([flash])
    return groups


def _chains(luminance: NDArray[np.float32], times: NDArray[np.float64]) -> list[list[_Change]]:
    """Changes that follow each other closely and in turn; what brightens and what darkens at once are two chains."""
    chains: list[list[_Change]] = []
    recent: list[list[_Change]] = []
    for change in _changes(luminance, times):
        since = times[change.frame] - FLASH_SECONDS - _ROUNDING
        recent = [chain for chain in recent if times[chain[-1].frame] >= since]
        opposite = [chain for chain in recent if _may_follow(chain[-1], change)]
        same = [chain for chain in recent if chain[-1].direction == change.direction]
        if opposite:
            max(opposite, key=lambda chain: _shared_ratio(chain[-1], change)).append(change)
        elif same:
            # It goes on: a long ramp, or light on top of it.
            same[-1][-1] = replace(same[-1][-1], cells=same[-1][-1].cells | change.cells)
        else:
            chains.append([change])
            recent.append(chains[-1])
    return chains


def _changes(luminance: NDArray[np.float32], times: NDArray[np.float64]) -> Iterator[_Change]:
    """Changes of a quarter of the frame, in order."""
    is_new = {1: np.zeros(_CELLS, bool), -1: np.zeros(_CELLS, bool)}
    since = {1: np.full(_CELLS, -np.inf), -1: np.full(_CELLS, -np.inf)}
    for frame, turned in enumerate(_turns(luminance, times)):
        if not turned.any():
            continue
        for direction in (1, -1):
            is_new[direction] |= turned == direction
            since[direction][turned == direction] = times[frame]
        recent = times[frame] - TOGETHER_SECONDS
        together = {direction: is_new[direction] & (since[direction] >= recent) for direction in (1, -1)}
        areas = {direction: int(cells.sum()) for direction, cells in together.items()}
        for direction in (1, -1):
            if areas[direction] >= MIN_AREA_RATIO * _CELLS:
                middle = int(np.searchsorted(times, np.median(since[direction][together[direction]])))
                is_light = areas[-direction] <= MAX_OPPOSING_RATIO * areas[direction]
                is_new[direction] &= ~together[direction]
                yield _Change(middle, direction, together[direction], is_light)


def _turns(luminance: NDArray[np.float32], times: NDArray[np.float64]) -> Iterator[NDArray[np.int8]]:
    """For every frame, which cells have just turned out to rise from a valley (1) or to fall from a peak (-1).

    One that goes on rising or falling is told again after a while: light may come on top of a slow change.
    """
    lowest, highest = luminance[0].copy(), luminance[0].copy()
    heading = np.zeros(_CELLS, np.int8)
    last_turn = np.full(_CELLS, -np.inf)
    for now, time in zip(luminance, times, strict=True):
        np.minimum(lowest, now, out=lowest)
        np.maximum(highest, now, out=highest)
        may_repeat = time - last_turn > TOGETHER_SECONDS
        rises = (now - lowest >= MIN_CHANGE - _ROUNDING) & (lowest < DARKER_BELOW) & ((heading <= 0) | may_repeat)
        falls = (highest - now >= MIN_CHANGE - _ROUNDING) & (now < DARKER_BELOW) & ((heading >= 0) | may_repeat)
        turned = np.where(rises & falls, -heading, rises.astype(np.int8) - falls.astype(np.int8))
        is_turning = turned != 0
        heading[is_turning] = turned[is_turning]
        last_turn[is_turning] = time
        lowest[is_turning] = highest[is_turning] = now[is_turning]
        yield turned


def _shared_ratio(first: _Change, second: _Change) -> float:
    """Share of the frame in which both are, 0-1."""
    return float((first.cells & second.cells).mean())


def _may_follow(first: _Change, second: _Change) -> bool:
    is_opposite = first.direction == -second.direction and first.frame < second.frame
    return is_opposite and _shared_ratio(first, second) >= MIN_AREA_RATIO


def _paired(chain: Sequence[_Change], luminance: NDArray[np.float32], times: NDArray[np.float64]) -> list[Flash]:
    """The flashes of a chain, each change in one at most: as many as there are, and of the clearest."""
    # What the flashes up to the change before the last, and up to the last, are worth, and which they are.
    earlier: tuple[float, list[Flash]] = (0.0, [])
    best: tuple[float, list[Flash]] = (0.0, [])
    for first, second in itertools.pairwise(chain):
        flash = _pair(first, second, luminance, times)
        if flash is None:
            earlier = best
            continue
        # At least 2 and less than 4: two flashes are always worth more than one.
        worth = earlier[0] + 2 + 0.99 * (flash.area_ratio + flash.has_returned)
        earlier, best = best, (worth, [*earlier[1], flash]) if worth > best[0] else best
    return best[1]


def _pair(first: _Change, second: _Change, luminance: NDArray[np.float32], times: NDArray[np.float64]) -> Flash | None:
    """The flash that two changes of a chain make, if they do."""
    cells = first.cells & second.cells
    before = luminance[max(0, first.frame - 1), cells]
    end = int(np.searchsorted(times, times[second.frame] + RETURN_SECONDS, side="right"))
    left = np.abs(luminance[second.frame : end, cells] - before).mean(axis=1)
    after = times[second.frame : end] - times[second.frame]
    changed = np.abs(luminance[first.frame : second.frame, cells] - before).mean(axis=1).max()
    is_light = first.is_light and second.is_light
    if not is_light and left[after <= TOGETHER_SECONDS].min() > RETURN_RATIO * changed:
        return None
    has_returned = bool(left.min() <= RETURN_RATIO * changed)
    return Flash(float(times[first.frame]), float(times[second.frame]), _shared_ratio(first, second), has_returned)
