"""Curves of the sound over time, on one grid of tenths of a second."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from reelscope.analyzers.audio_loudness import (
    MOMENTARY_STEPS,
    SHORT_TERM_STEPS,
    SILENCE_LUFS,
    STEP_SECONDS,
    loudness_curve,
)
from reelscope.analyzers.base import Series
from reelscope.analyzers.timeline import SERIES_POINTS
from reelscope.signals import SoundLevels, SoundSpectrum

MFCC_COUNT = 13
COLUMNS = {
    "lufs_m": "momentary loudness (0.4 s) centred here, LUFS; null in silence",
    "lufs_s": "short-term loudness (3 s) centred here, LUFS; null in silence",
    "rms_dbfs": "power, dBFS; null for digital silence",
    "true_peak_dbtp": "largest value, between the samples as well, dBTP; null for digital silence",
    "centroid_hz": "spectral centroid, Hz; null in silence",
    "rolloff_hz": "frequency below which 85 % of the magnitude lies, Hz; null in silence",
    "flatness": "spectral flatness, from a tone to white noise, 0-1; null in silence",
    **{f"mfcc_{number}": "mel-frequency cepstral coefficient, dB; full detail only" for number in range(MFCC_COUNT)},
}


def series(levels: SoundLevels, spectrum: SoundSpectrum) -> Series:
    """Loudness, levels and spectral shape; a step is a tenth of a second, or as many as keep to SERIES_POINTS."""
    count = _step_count(levels)
    factor = -(-count // SERIES_POINTS)
    return _series(_columns(levels, spectrum, factor), STEP_SECONDS * factor)


def full_series(levels: SoundLevels, spectrum: SoundSpectrum) -> Series:
    """The same for every tenth of a second, and the MFCC."""
    columns = _columns(levels, spectrum, 1)
    means = _means(spectrum.mfcc.astype(np.float64), spectrum.hop_seconds, STEP_SECONDS, _step_count(levels))
    columns |= {f"mfcc_{number}": column for number, column in enumerate(means.T)}
    return _series(columns, STEP_SECONDS)


def _step_count(levels: SoundLevels) -> int:
    return max(1, int(np.ceil(levels.duration_seconds / STEP_SECONDS - 1e-6)))


def _columns(levels: SoundLevels, spectrum: SoundSpectrum, factor: int) -> dict[str, NDArray[np.float64]]:
    step = STEP_SECONDS * factor
    count = -(-_step_count(levels) // factor)
    shapes = np.stack((spectrum.centroid_hz, spectrum.rolloff_hz, spectrum.flatness), axis=1).astype(np.float64)
    centroid, rolloff, flatness = _means(shapes, spectrum.hop_seconds, step, count).T
    power = _means(levels.power[:, None], levels.hop_seconds, step, count)[:, 0]
    firsts = _firsts(len(levels.true_peak), levels.hop_seconds, step, count)
    with np.errstate(divide="ignore"):
        rms, peak = 10 * np.log10(power), 20 * np.log10(np.maximum.reduceat(levels.true_peak, firsts))
    return {
        "lufs_m": _centered(loudness_curve(levels, MOMENTARY_STEPS), MOMENTARY_STEPS, count, factor),
        "lufs_s": _centered(loudness_curve(levels, SHORT_TERM_STEPS), SHORT_TERM_STEPS, count, factor),
        "rms_dbfs": rms,
        "true_peak_dbtp": peak,
        "centroid_hz": centroid,
        "rolloff_hz": rolloff,
        "flatness": flatness,
    }


def _centered(curve: NDArray[np.float64], steps: int, count: int, factor: int) -> NDArray[np.float64]:
    """Loudness at the middle of its windows; NaN where no window is centred, and in silence."""
    placed = np.full(count * factor, np.nan)
    placed[steps // 2 : steps // 2 + len(curve)] = np.where(curve >= SILENCE_LUFS, curve, np.nan)
    return placed[::factor]


def _firsts(length: int, hop_seconds: float, step_seconds: float, count: int) -> NDArray[np.int64]:
    """[count] index of the first row of every step; the last row where there is none."""
    firsts = np.searchsorted(np.arange(length) * hop_seconds, np.arange(count) * step_seconds - 1e-9)
    return np.minimum(firsts, length - 1)


def _means(rows: NDArray[np.float64], hop_seconds: float, step_seconds: float, count: int) -> NDArray[np.float64]:
    """[count, width] mean of the numbers among the rows of every step; NaN where there are none."""
    firsts = _firsts(len(rows), hop_seconds, step_seconds, count)
    known = ~np.isnan(rows)
    sums = np.add.reduceat(np.where(known, rows, 0), firsts, axis=0)
    counts = np.add.reduceat(known.astype(np.int64), firsts, axis=0)
    return np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)


def _series(columns: Mapping[str, NDArray[np.float64]], hop_seconds: float) -> Series:
    return Series(
        hop_seconds=hop_seconds,
        columns={
            name: tuple(value if np.isfinite(value) else None for value in column.tolist())
            for name, column in columns.items()
        },
    )
