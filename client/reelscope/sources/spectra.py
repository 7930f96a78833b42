"""Short-time spectra of sound and what describes them: mel bands, decibels, centre, rolloff, flatness, onsets.

Conventions and numbers are librosa's (0.11), which tests hold them to: Hann windows, silence beyond the ends, Slaney's
mel scale with bands of equal area (Auditory Toolbox, 1998). librosa itself is not imported: it brings a compiler, which
takes 180 MB and five seconds of a core in every process.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.signal import get_window

_BLOCK_WINDOWS = 64
"""Windows that are transformed at a time, in double precision."""
_SLANEY_HZ_PER_MEL = 200 / 3
_SLANEY_LINEAR_HZ = 1000.0
"""Up to here the mel scale is linear; above it, ..."""
_SLANEY_STEP = np.log(6.4) / 27
"""... so much of a logarithm is one mel."""
_FLATNESS_FLOOR = 1e-10


def stft(samples: NDArray[np.float32], window: str, length: int, hop: int) -> NDArray[np.complex64]:
    """[1 + length / 2, windows] spectra of windows whose middles are `hop` samples apart, from the first sample on.

    Args:
        samples: [n] at least one.
        window: as scipy.signal.get_window names it.
        length: of a window, even.
        hop: in samples.
    """
    padded = np.pad(samples, length // 2)
    windows = np.lib.stride_tricks.sliding_window_view(padded, length)[::hop]
    weights = get_window(window, length)
    spectra = np.empty((1 + length // 2, len(windows)), np.complex64, order="F")
    for first in range(0, len(windows), _BLOCK_WINDOWS):
        part = slice(first, first + _BLOCK_WINDOWS)
        spectra[:, part] = fft.rfft(windows[part] * weights).T
    return spectra


def mel_hz(count: int, highest_hz: float) -> NDArray[np.float64]:
    """[count] frequencies at equal steps of the mel scale, from 0 to the highest."""
    linear = _SLANEY_LINEAR_HZ / _SLANEY_HZ_PER_MEL
    highest = highest_hz / _SLANEY_HZ_PER_MEL
    if highest_hz >= _SLANEY_LINEAR_HZ:
        highest = linear + np.log(highest_hz / _SLANEY_LINEAR_HZ) / _SLANEY_STEP
    mels = np.linspace(0, highest, count)
    above = _SLANEY_LINEAR_HZ * np.exp(_SLANEY_STEP * (mels - linear))
    return np.asarray(np.where(mels >= linear, above, mels * _SLANEY_HZ_PER_MEL))


@functools.cache
def mel_filters(rate_hz: int, length: int, bands: int) -> NDArray[np.float32]:
    """[bands, 1 + length / 2] triangles that turn power spectra into mel bands."""
    edges = mel_hz(bands + 2, rate_hz / 2)
    steps = np.diff(edges)[:, None]
    away = edges[:, None] - fft.rfftfreq(length, 1 / rate_hz)
    triangles = np.maximum(0, np.minimum(-away[:-2] / steps[:-1], away[2:] / steps[1:])).astype(np.float32)
    triangles *= (2 / (edges[2:] - edges[:-2]))[:, None]
    return np.asarray(triangles)


def decibels(power: NDArray[np.float32], floor: float) -> NDArray[np.float32]:
    """10 log10 of power, of `floor` where it is less."""
    return np.asarray(10 * np.log10(np.maximum(np.float32(floor), power)))


def centroid_hz(magnitude: NDArray[np.float32], bins_hz: NDArray[np.float64]) -> NDArray[np.float64]:
    """[windows] mean frequency of magnitudes [bins, windows]; 0 in silence."""
    sums = magnitude.sum(axis=0, dtype=np.float64)
    shares = (magnitude / np.where(sums < np.finfo(np.float32).tiny, 1, sums)).astype(np.float32)
    return np.asarray((bins_hz[:, None] * shares).sum(axis=0))


def rolloff_hz(magnitude: NDArray[np.float32], bins_hz: NDArray[np.float64], share: float) -> NDArray[np.float64]:
    """[windows] frequency below which the share of the magnitudes [bins, windows] lies."""
    reached = np.cumsum(magnitude, axis=0)
    return np.asarray(bins_hz[(reached >= share * reached[-1]).argmax(axis=0)])


def flatness(magnitude: NDArray[np.float32]) -> NDArray[np.float32]:
    """[windows] geometric over arithmetic mean of the power of magnitudes [bins, windows]: 0 a tone, 1 noise."""
    power = np.maximum(np.float32(_FLATNESS_FLOOR), magnitude**2)
    return np.asarray(np.exp(np.log(power).mean(axis=0)) / power.mean(axis=0))


def onset_strength(levels: NDArray[np.float32]) -> NDArray[np.float32]:
    """[windows] mean rise of levels [bands, windows] since the window before; the first rises from nothing, by 0."""
    return np.pad(np.maximum(0, np.diff(levels, axis=1)).mean(axis=0), (1, 0))
