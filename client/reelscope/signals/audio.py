"""The clip's own sound in figures: levels and spectrum. Sound starts at time 0; behind its end, it is silent."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reelscope.signals.base import SoundSignal

ONSET_BANDS_HZ = ((0, 22_050), (0, 150), (5000, 22_050))
"""Columns of `SoundSpectrum.onset_strength`: everything; kicks and basses, below most of a voice; hats and claps, above
it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SoundLevels(SoundSignal):
    """Levels of the sound at its own rate, in hops of 10 ms up to the clip's end; n hops.

    Full scale is 1, powers are means of squares; 0 is digital silence.
    """

    hop_seconds: float
    """Spacing of all arrays."""
    channel_count: int
    """0 where the stream held no sound at all."""
    loudness_power: NDArray[np.float64]
    """[n] K-weighted power, summed over the channels with their weights (ITU-R BS.1770-4)."""
    power: NDArray[np.float64]
    """[n] power, mean of the channels."""
    side_power: NDArray[np.float64]
    """[n] power of half the difference between two channels; 0 with more or fewer."""
    sample_peak: NDArray[np.float64]
    """[n] largest absolute sample of any channel."""
    true_peak: NDArray[np.float64]
    """[n] largest absolute value of any channel between the samples as well (BS.1770-4, annex 2)."""
    clipped_count: NDArray[np.int64]
    """[n] samples that belong to at least three in a row at full scale, in any channel."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SoundSpectrum(SoundSignal):
    """Spectrum of the sound, mixed to mono at 22.05 kHz, in windows centred at multiples of the hop; n windows.

    Windows without sound have NaN in place of what describes its spectrum.
    """

    hop_seconds: float
    """Spacing of the windows; the first is centred at 0."""
    onset_strength: NDArray[np.float32]
    """[n, 3] by how much the mel bands became louder since the window before, mean dB, >= 0: for each of
    ONSET_BANDS_HZ."""
    beat_hops: tuple[NDArray[np.int64], ...]
    """[k] windows of the most likely beats by each of the three onset strengths, sorted; whether they keep time is for
    the reader to say."""
    percussive_power: NDArray[np.float32]
    """[n] mel power that is percussive: narrow in time, broad in frequency."""
    mel_power: NDArray[np.float32]
    """[n] mel power in all; `percussive_power` is a part of it."""
    centroid_hz: NDArray[np.float32]
    """[n] mean frequency, weighted by magnitude."""
    rolloff_hz: NDArray[np.float32]
    """[n] frequency below which 85 % of the magnitude lies."""
    flatness: NDArray[np.float32]
    """[n] geometric over arithmetic mean of the power spectrum: 1 for white noise, near 0 for a tone."""
    mfcc: NDArray[np.float32]
    """[n, 13] mel-frequency cepstral coefficients."""
    chroma_hop_seconds: float
    """Spacing of the windows of `chroma`; the first is centred at 0."""
    chroma: NDArray[np.float32]
    """[m, 36] constant-Q magnitude by pitch class in thirds of a semitone, 0 is C at 440 Hz for A; octaves summed."""
