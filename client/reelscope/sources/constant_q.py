"""Constant-Q magnitudes: spectra whose bins are fractions of a semitone, for pitch classes.

By octaves, from the highest down: every octave is the same filters on the sound at half the rate (Schoerkhuber &
Klapuri 2010, Constant-Q transform toolbox for music processing). Filters, resampling and numbers are those of librosa
(0.11), which tests hold them to; `spectra` says why it is not imported. The filters are made once.
"""

from __future__ import annotations

import functools

import numpy as np
import soxr
from numpy.typing import NDArray
from scipy import fft
from scipy.signal import get_window
from scipy.sparse import csr_matrix

from reelscope.sources.spectra import stft

_LEFT_OUT = 0.01
"""Share of a filter's spectrum that is left out: its smallest values, which are nearly all of them."""


def constant_q(
    samples: NDArray[np.float32], rate_hz: float, hop: int, lowest_hz: float, octaves: int, bins_per_octave: int
) -> NDArray[np.float32]:
    """[octaves * bins_per_octave, windows] magnitudes, from the lowest bin up.

    Args:
        samples: [n].
        rate_hz: of the samples; at least four times the highest bin.
        hop: samples between windows, divisible by 2 as often as the rate is halved.
        lowest_hz: of the first bin.
        octaves: above it.
        bins_per_octave: in each.
    """
    while rate_hz > 8 * lowest_hz * 2**octaves:
        samples, rate_hz, hop = _half(samples), rate_hz / 2, hop // 2
    first_rate_hz = rate_hz
    rows = []
    for octave in reversed(range(octaves)):
        lowest = lowest_hz * 2.0**octave
        basis, length = _filters(lowest, bins_per_octave, rate_hz)
        rows.append(np.abs((basis * np.sqrt(first_rate_hz / rate_hz)) @ stft(samples, "boxcar", length, hop)))
        samples, rate_hz, hop = _half(samples), rate_hz / 2, hop // 2
    count = min(row.shape[1] for row in rows)
    magnitudes = np.concatenate([row[:, :count] for row in reversed(rows)])
    frequencies = lowest_hz * 2.0 ** (np.arange(len(magnitudes)) / bins_per_octave)
    return np.asarray(magnitudes / np.sqrt(_lengths(frequencies, bins_per_octave, first_rate_hz))[:, None], np.float32)


def _half(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """The sound at half the rate, at the same power."""
    count = -(-len(samples) // 2)
    halved = soxr.resample(samples, 2, 1, "HQ")[:count]
    return np.asarray(np.pad(halved, (0, count - len(halved))) / np.float32(np.sqrt(0.5)), np.float32)


def _lengths(frequencies: NDArray[np.float64], bins_per_octave: int, rate_hz: float) -> NDArray[np.float64]:
    """Samples of the filters: as many periods as tell a bin from the next."""
    step = 2.0 ** (2 / bins_per_octave)
    return np.asarray((step + 1) / (step - 1) * rate_hz / frequencies)


@functools.cache
def _filters(lowest_hz: float, bins_per_octave: int, rate_hz: float) -> tuple[csr_matrix, int]:
    """Spectra of the filters of one octave, complex64 [bins, 1 + length / 2], and the length of their windows."""
    frequencies = lowest_hz * 2.0 ** (np.arange(bins_per_octave) / bins_per_octave)
    lengths = _lengths(frequencies, bins_per_octave, rate_hz)
    size = 2 ** int(np.ceil(np.log2(lengths.max())))
    waves = np.zeros((bins_per_octave, size), np.complex64)
    for wave, hz, length in zip(waves, frequencies, lengths, strict=True):
        shape = np.exp(2j * np.pi * hz / rate_hz * np.arange(-length // 2, length // 2))
        shape *= get_window("hann", len(shape))
        first = (size - len(shape)) // 2
        wave[first : first + len(shape)] = shape / np.abs(shape).sum()
    waves *= (lengths / size)[:, None]
    spectra = fft.fft(waves)[:, : size // 2 + 1]
    sizes = np.abs(spectra)
    ordered = np.sort(sizes, axis=1)
    reached = np.cumsum(ordered / sizes.sum(axis=1, keepdims=True), axis=1)
    least = np.take_along_axis(ordered, (reached >= _LEFT_OUT).argmax(axis=1)[:, None], 1)
    return csr_matrix(np.where(sizes >= least, spectra, 0)), size
