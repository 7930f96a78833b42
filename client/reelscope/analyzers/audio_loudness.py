"""Loudness from K-weighted power: integrated, momentary, short-term, and its range.

Sources: ITU-R BS.1770-4 (gating), EBU Tech 3341 (momentary 0.4 s, short-term 3 s, every 0.1 s), EBU Tech 3342 (range).
What lies behind the sound's end, up to the clip's, is silence; the gates leave it out.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from reelscope.signals import SoundLevels

STEP_SECONDS = 0.1
MOMENTARY_STEPS, SHORT_TERM_STEPS = 4, 30
"""Lengths of the windows."""
SILENCE_LUFS = -70.0
"""Absolute gate: what is quieter does not count."""
GATE_LU, RANGE_GATE_LU = -10.0, -20.0
"""Relative gates of the integrated loudness and of the range, below the mean of what passes the absolute one."""
RANGE_PERCENTILES = (10, 95)
DUAL_MONO_LU = 3.0103
"""Two loudspeakers have twice the power of one."""


def loudness_curve(levels: SoundLevels, steps: int) -> NDArray[np.float64]:
    """[n] LUFS of windows of `steps` tenths of a second, one beginning at every tenth; -inf for digital silence."""
    per_step = round(STEP_SECONDS / levels.hop_seconds)
    # A window counts when all of it lies within the clip.
    count = int(np.floor(levels.duration_seconds / STEP_SECONDS + 1e-6))
    power = levels.loudness_power[: count * per_step].reshape(-1, per_step).mean(axis=1)
    if len(power) < steps:
        return np.empty(0)
    return _lufs(np.convolve(power, np.full(steps, 1 / steps), "valid"))


def integrated_lufs(momentary: NDArray[np.float64]) -> float | None:
    """Integrated loudness; None where nothing passes the absolute gate, or the clip is shorter than a window."""
    counted = _gated(momentary, GATE_LU)
    return float(_lufs(_power(counted).mean())) if counted.size else None


def loudness_range_lu(short_term: NDArray[np.float64]) -> float | None:
    """Range between the quiet and the loud parts; None where nothing passes the gate, or a clip is too short."""
    counted = _gated(short_term, RANGE_GATE_LU)
    if not counted.size:
        return None
    low, high = np.percentile(counted, RANGE_PERCENTILES)
    return float(high - low)


def loudest_lufs(curve: NDArray[np.float64]) -> float | None:
    """Maximum of a curve; None where all of it is silent."""
    loudest = curve.max(initial=-np.inf)
    return float(loudest) if loudest >= SILENCE_LUFS else None


def _gated(curve: NDArray[np.float64], relative_lu: float) -> NDArray[np.float64]:
    """What passes the absolute gate and that relative to its mean power."""
    heard = curve[curve >= SILENCE_LUFS]
    return heard[heard > _lufs(_power(heard).mean()) + relative_lu] if heard.size else heard


def _lufs(power: NDArray[np.float64]) -> NDArray[np.float64]:
    # -0.691 makes a 997 Hz tone of 0 dBFS in one channel -3.01 LUFS (BS.1770-4).
    with np.errstate(divide="ignore"):
        return np.asarray(-0.691 + 10 * np.log10(power))


def _power(lufs: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(10 ** ((lufs + 0.691) / 10))
