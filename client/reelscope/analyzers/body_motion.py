"""Bodies in motion: keypoints smoothed, energy, and the beat of a dance.

Conventions: points are x, y [n, 17, 2] in torso lengths, NaN where a keypoint is not seen, of one person in one
uninterrupted stretch; times are seconds.

Smoothing: the One-Euro filter, Casiez, Roussel & Vogel (2012), 1 Euro Filter: a simple speed-based low-pass filter for
noisy input in interactive systems; with the speed of a keypoint along both axes together, so that no direction is
preferred. Periodicity: normalised cross-correlation of the motion with itself, as in pitch tracking (Talkin 1995, A
robust algorithm for pitch tracking).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d
from scipy.signal import detrend, resample

from reelscope.signals import KEYPOINTS, Parameter

MIN_CUTOFF_HZ = 1.5
"""Cut-off at rest: keypoints jitter by about 1 % of a torso length, which this halves at 10 frames a second."""
CUTOFF_PER_SPEED = 3.0
"""Hz more per torso length/s: a gesture at full speed passes as it is."""
SPEED_CUTOFF_HZ = 1.0
"""As in the paper."""

MIN_MOVING_POINTS = 4
"""Keypoints that must be seen in two instants running, for the energy between them."""
MIN_DANCE_SECONDS = 2.0
SLOWEST_DANCE_SECONDS = 2.0
"""Longest period that is looked for."""
MIN_PERIODICITY = 0.6
"""Correlation of the motion with itself one period later, from which it is periodic."""
MIN_SWING_TORSO_LENGTHS = 0.03
"""A coordinate that swings by less, RMS, is at rest: its jitter would only hide the motion of the others."""

PARAMETERS: dict[str, Parameter] = {
    "one_euro_min_cutoff_hz": MIN_CUTOFF_HZ,
    "one_euro_beta": CUTOFF_PER_SPEED,
    "one_euro_speed_cutoff_hz": SPEED_CUTOFF_HZ,
    "dance_min_seconds": MIN_DANCE_SECONDS,
    "dance_min_periodicity": MIN_PERIODICITY,
    "dance_min_swing_torso_lengths": MIN_SWING_TORSO_LENGTHS,
}

Points = NDArray[np.float64]

MOVING = [number for number, name in enumerate(KEYPOINTS) if not name.endswith(("_eye", "_ear"))]
"""Keypoints that energy and dance are made of: eyes and ears move with the nose."""

_FINER = 10
"""Steps of the correlation per step between samples."""
_SAME_PEAK = 0.8
_MIN_SEEN_RATIO = 0.8


def smoothed(points: Points, times: NDArray[np.float64]) -> Points:
    """[n, 17, 2] after the One-Euro filter; a keypoint that was not seen begins anew."""
    result = points.copy()
    velocity = np.zeros_like(points[0])
    for k, step in enumerate(np.diff(times), 1):
        before = result[k - 1]
        is_new = np.isnan(before)
        change = np.where(is_new, 0.0, (points[k] - before) / step)
        velocity = np.where(is_new, 0.0, velocity + _gain(SPEED_CUTOFF_HZ, step) * (change - velocity))
        cutoff = MIN_CUTOFF_HZ + CUTOFF_PER_SPEED * np.linalg.norm(velocity, axis=-1, keepdims=True)
        result[k] = np.where(is_new, points[k], before + _gain(cutoff, step) * (points[k] - before))
    return result


def energies(points: Points, times: NDArray[np.float64]) -> NDArray[np.float64]:
    """[n] mean speed of the keypoints since the instant before, torso lengths/s; NaN for the first, and unseen."""
    moves = np.linalg.norm(np.diff(points[:, MOVING], axis=0), axis=-1)
    is_seen = ~np.isnan(moves)
    count = is_seen.sum(1)
    speeds = np.where(is_seen, moves, 0.0).sum(1) / np.maximum(count, 1) / np.diff(times)
    return np.concatenate([[np.nan], np.where(count >= MIN_MOVING_POINTS, speeds, np.nan)])


def periodicity_hz(points: Points, times: NDArray[np.float64]) -> float | None:
    """Repetitions per second of the motion; None when it is too short, too small or not periodic.

    Best asked about points that were not smoothed: the correlation averages noise out by itself. Motion faster than
    half the sampling rate cannot be told from slower motion.
    """
    if len(times) < 4 or times[-1] - times[0] < MIN_DANCE_SECONDS:
        return None
    step = float(np.median(np.diff(times)))
    motion = _motion(points, step, times)
    if not motion.size:
        return None
    correlation = _correlation(motion, step)
    # Motion always resembles itself a moment later: the search begins where it has become its opposite.
    opposite = np.flatnonzero(correlation < 0)
    inner = correlation[1:-1]
    peaks = 1 + np.flatnonzero((inner >= correlation[:-2]) & (inner > correlation[2:]) & (inner >= MIN_PERIODICITY))
    peaks = peaks[peaks > opposite[0]] if opposite.size else peaks[:0]
    if not peaks.size:
        return None
    # Every multiple of the period is a peak as well: take the first that is about as high as the highest.
    first = int(peaks[correlation[peaks] >= _SAME_PEAK * correlation[peaks].max()][0])
    a, b, c = correlation[first - 1 : first + 2]
    return float(_FINER / step / (first + (a - c) / (a - 2 * b + c) / 2))


def _gain(cutoff_hz: float | NDArray[np.float64], step_seconds: float) -> float | NDArray[np.float64]:
    """Weight of a new value in a first-order low-pass filter."""
    return 1 / (1 + 1 / (2 * np.pi * cutoff_hz * step_seconds))


def _motion(points: Points, step_seconds: float, times: NDArray[np.float64]) -> Points:
    """[m, d] coordinates that move, of points mostly seen, at regular instants, without what is slower than a dance."""
    columns = points[:, MOVING].reshape(len(times), -1)
    is_seen = ~np.isnan(columns)
    grid = np.arange(times[0], times[-1] + step_seconds / 2, step_seconds)
    kept = [
        np.interp(grid, times[seen], column[seen])
        for column, seen in zip(columns.T, is_seen.T, strict=True)
        if seen.mean() >= _MIN_SEEN_RATIO
    ]
    if not kept:
        return np.empty((0, 0))
    motion = detrend(np.stack(kept, axis=1), axis=0)
    motion -= uniform_filter1d(motion, round(SLOWEST_DANCE_SECONDS / step_seconds), axis=0)
    return np.asarray(motion[:, motion.std(axis=0) >= MIN_SWING_TORSO_LENGTHS])


def _correlation(motion: Points, step_seconds: float) -> NDArray[np.float64]:
    """Correlation of motion [m, d] with itself, by lag in tenths of a step; for lags that fit into it twice."""
    last = min(round(SLOWEST_DANCE_SECONDS / step_seconds), len(motion) // 2)
    energy = np.concatenate([[0.0], np.cumsum((motion**2).sum(1))])
    lags = np.arange(last + 1)
    shared = np.array([(motion[lag:] * motion[: len(motion) - lag]).sum() for lag in lags])
    powers = energy[len(motion) - lags] * (energy[-1] - energy[lags])
    correlation = np.divide(shared, np.sqrt(powers), out=np.zeros(len(lags)), where=powers > 0)
    # A period may be little more than two steps long. The correlation is even, so that it goes on as its mirror image;
    # between its values lies what holds no frequency that they do not have.
    even = np.concatenate([correlation, correlation[-2:0:-1]])
    return np.asarray(resample(even, _FINER * len(even))[: _FINER * last + 1])
