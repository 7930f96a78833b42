"""Spectrum of the clip's own sound, on the CPU: onsets, beats, spectral shape, MFCC, percussion, pitch classes.

By the conventions of librosa: 22.05 kHz mono, Hann windows of 2048 samples, hop 512, 128 mel bands, magnitudes not
scaled (`spectra`, `constant_q`, `beats`). Blocks of ten seconds that overlap by one on either side are measured, so
that everything but some sixty numbers per window is dropped as the sound comes. Channels are averaged: what is opposite
in two channels is not there.

Source of the percussion: FitzGerald (2010), median filters, on mel bands instead of bins: 0.05 s for 10 s of sound
instead of 1 s.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import soxr
from numpy.typing import NDArray
from scipy import fft
from scipy.ndimage import median_filter

from reelscope.signals import ONSET_BANDS_HZ, Parameter, SoundSpectrum
from reelscope.sources import spectra
from reelscope.sources.base import Source
from reelscope.sources.beats import autocorrelation, beats
from reelscope.sources.constant_q import constant_q
from reelscope.types import AudioChunk, ClipHeader

RATE_HZ = 22_050
WINDOW = 2048
HOP = 512
MEL_BANDS = 128
MEL_FLOOR = 1e-4
"""Mel power that counts as none, 80 dB below a tone at full scale; librosa's default lies 80 dB below the loudest of
what it is given, which would be another in every block."""
MFCC_COUNT = 13
ROLLOFF_SHARE = 0.85
SILENCE_DBFS = -70.0
"""A window with less power has no spectrum worth describing."""
PERCUSSION_HOPS, PERCUSSION_BANDS = 31, 17
"""Lengths of the median filters in time (0.7 s) and frequency."""
CHROMA_HOP = 4096
CHROMA_BINS = 36
"""Three per semitone, so that instruments need not be tuned to 440 Hz."""
CHROMA_LOWEST_HZ = 440 * 2 ** (-33 / 12)
"""C2: lower notes are mostly drums and rumble."""
CHROMA_OCTAVES = 5
LIKELY_BPM, SLOWEST_BPM, FASTEST_BPM = 120.0, 40.0, 240.0
"""Beats are looked for at the period that repeats most, weighted by a log-normal of one octave about the likely one."""

PARAMETERS: dict[str, Parameter] = {
    "spectrum_rate_hz": RATE_HZ,
    "spectrum_window_samples": WINDOW,
    "spectrum_hop_samples": HOP,
    "mel_bands": MEL_BANDS,
    "mel_floor": MEL_FLOOR,
    "rolloff_share": ROLLOFF_SHARE,
    "spectrum_silence_dbfs": SILENCE_DBFS,
    "percussion_hops": PERCUSSION_HOPS,
    "percussion_bands": PERCUSSION_BANDS,
    "chroma_hop_samples": CHROMA_HOP,
    "likely_bpm": LIKELY_BPM,
    "slowest_bpm": SLOWEST_BPM,
    "fastest_bpm": FASTEST_BPM,
}

_CONTEXT = 48 * HOP
"""Samples on either side of a block; half of the longest of all windows, the constant-Q one of C2, is 9 000."""
_EDGE_HOPS = WINDOW // 2 // HOP
_ROW = {"shape": 3 + MFCC_COUNT, "power": 2, "onset": len(ONSET_BANDS_HZ), "chroma": CHROMA_BINS}
"""Numbers per window: centroid, rolloff, flatness and MFCC; percussive and whole mel power; and so on."""


class SoundSpectrumSource(Source[AudioChunk]):
    """Sound in, `SoundSpectrum` out. Keeps a block of sound."""

    consumes: ClassVar[type] = AudioChunk
    parameters = PARAMETERS

    block_hops: int = 432
    """A multiple of CHROMA_HOP / HOP."""

    def start(self, header: ClipHeader) -> None:
        """Begin before the sound."""
        self._resampler: soxr.ResampleStream | None = None
        self._pending: list[NDArray[np.float32]] = []
        self._pending_count = self._sample_count = self._hop_count = 0
        self._rows: dict[str, list[NDArray[np.float32]]] = {name: [] for name in _ROW}

    def push(self, part: AudioChunk) -> None:
        """Measure every block that is complete."""
        if self._resampler is None:
            self._resampler = soxr.ResampleStream(part.sample_rate_hz, RATE_HZ, 1, dtype="float32")
        self._take(self._resampler.resample_chunk(part.samples.mean(axis=0)))

    def finish(self, duration_seconds: float) -> SoundSpectrum:
        """Measure what is left; cut, or extend with silence, to the clip's length."""
        if self._resampler is not None:
            self._take(self._resampler.resample_chunk(np.empty(0, np.float32), last=True))
        left = -(-self._sample_count // HOP) - self._hop_count
        if left > 0:
            self._measure(left, is_last=True)
        count = int(np.ceil(duration_seconds * RATE_HZ / HOP - 1e-6))
        chroma_count = int(np.ceil(duration_seconds * RATE_HZ / CHROMA_HOP - 1e-6))
        shape, power = self._fitted("shape", count, np.nan), self._fitted("power", count, 0.0)
        onsets = self._fitted("onset", count, 0.0)
        # Where a window reaches beyond the sound there is no telling what begins.
        onsets[:_EDGE_HOPS] = onsets[max(0, self._hop_count - _EDGE_HOPS) : self._hop_count] = 0
        return SoundSpectrum(
            sampling="A22",
            sample_count=min(self._sample_count, round(duration_seconds * RATE_HZ)),
            duration_seconds=duration_seconds,
            hop_seconds=HOP / RATE_HZ,
            onset_strength=onsets,
            beat_hops=tuple(_beats(column) for column in onsets.T),
            percussive_power=power[:, 0],
            mel_power=power[:, 1],
            centroid_hz=shape[:, 0],
            rolloff_hz=shape[:, 1],
            flatness=shape[:, 2],
            mfcc=shape[:, 3:],
            chroma_hop_seconds=CHROMA_HOP / RATE_HZ,
            chroma=self._fitted("chroma", chroma_count, 0.0),
        )

    def _take(self, samples: NDArray[np.float32]) -> None:
        self._pending.append(samples)
        self._pending_count += len(samples)
        self._sample_count += len(samples)
        before = _CONTEXT if self._hop_count else 0
        while self._pending_count >= before + self.block_hops * HOP + _CONTEXT:
            self._measure(self.block_hops)
            before = _CONTEXT

    def _measure(self, hops: int, *, is_last: bool = False) -> None:
        """Measure the next hops, and drop the samples before them."""
        # Beyond its ends the sound is its mirror image: silence would make a click of them.
        beyond = (0 if self._hop_count else _CONTEXT, _CONTEXT + HOP if is_last else 0)
        pending = np.pad(np.concatenate(self._pending), beyond, mode="symmetric")
        block = pending[: 2 * _CONTEXT + hops * HOP]
        first = _CONTEXT // HOP
        for name, row in _spectral(block).items():
            self._rows[name].append(row[first : first + hops].astype(np.float32))
        first = _CONTEXT // CHROMA_HOP
        self._rows["chroma"].append(_chroma(block)[first : first - (-hops * HOP // CHROMA_HOP)])
        self._hop_count += hops
        self._pending = [pending[hops * HOP :]]
        self._pending_count = len(self._pending[0])

    def _fitted(self, name: str, count: int, beyond: float) -> NDArray[np.float32]:
        """What was measured as one array [count, width], cut or extended."""
        whole = np.concatenate([np.empty((0, _ROW[name]), np.float32), *self._rows[name]])[:count]
        return np.pad(whole, ((0, count - len(whole)), (0, 0)), constant_values=beyond)


def _spectral(block: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """What is measured of every window of a block, [windows, width]."""
    magnitude = np.abs(spectra.stft(block, "hann", WINDOW, HOP))
    power = magnitude**2
    mel = spectra.mel_filters(RATE_HZ, WINDOW, MEL_BANDS) @ power
    levels = spectra.decibels(mel, MEL_FLOOR)
    bins_hz = fft.rfftfreq(WINDOW, 1 / RATE_HZ)
    shape = np.vstack(
        (
            spectra.centroid_hz(magnitude, bins_hz),
            spectra.rolloff_hz(magnitude, bins_hz, ROLLOFF_SHARE),
            spectra.flatness(magnitude),
            fft.dct(levels, axis=0, norm="ortho")[:MFCC_COUNT],
        )
    )
    # The windows' own power, by Parseval: a Hann window's mean square is 3/8.
    shape[:, 2 * power.sum(axis=0) / (WINDOW * WINDOW * 3 / 8) < 10 ** (SILENCE_DBFS / 10)] = np.nan
    centers = spectra.mel_hz(MEL_BANDS + 2, RATE_HZ / 2)[1:-1]
    onsets = [spectra.onset_strength(levels[(centers >= low) & (centers < high)]) for low, high in ONSET_BANDS_HZ]
    return {"shape": shape.T, "power": _percussion(mel).T, "onset": np.stack(onsets, axis=1)}


def _percussion(mel: NDArray[np.float32]) -> NDArray[np.float32]:
    """[2, windows] percussive and whole power of mel spectra [bands, windows]."""
    steady = median_filter(mel, (1, PERCUSSION_HOPS))
    broad = median_filter(mel, (PERCUSSION_BANDS, 1))
    share = np.divide(broad, broad + steady, out=np.zeros_like(mel), where=broad + steady > 0)
    return np.stack(((mel * share).sum(axis=0), mel.sum(axis=0)))


def _chroma(block: NDArray[np.float32]) -> NDArray[np.float32]:
    """[windows, CHROMA_BINS] constant-Q magnitudes by pitch class."""
    found = constant_q(block, RATE_HZ, CHROMA_HOP, CHROMA_LOWEST_HZ, CHROMA_OCTAVES, CHROMA_BINS)
    return np.asarray(found.reshape(CHROMA_OCTAVES, CHROMA_BINS, -1).sum(axis=0).T)


def _beats(strength: NDArray[np.float32]) -> NDArray[np.int64]:
    """[k] hops of the beats of an onset strength [n], by dynamic programming; none where nothing repeats."""
    longest = int(60 * RATE_HZ / HOP / SLOWEST_BPM)
    correlation = autocorrelation(strength - strength.mean(), longest + 1)[1:]
    tempos = 60 * RATE_HZ / HOP / np.arange(1, len(correlation) + 1)
    weighted = correlation * np.exp(-0.5 * np.log2(tempos / LIKELY_BPM) ** 2) * (tempos <= FASTEST_BPM)
    if not weighted.max(initial=0.0) > 0:
        return np.empty(0, np.int64)
    return beats(strength, float(weighted.argmax() + 1))
