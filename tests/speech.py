"""Speech with a known truth: espeak-ng speaks, and every word carries the sample at which it starts.

Everything is mono, 16 kHz, as networks hear it.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import soxr

from demo.soundtrack import speak, voiced_span

RATE = 16_000


@dataclass(frozen=True)
class Spoken:
    """Sound, and what is said in it."""

    waveform: np.ndarray
    """float32 [n]."""
    words: tuple[tuple[str, float, float], ...]
    """Text, start and end; a word ends where the next one starts, the last one of a piece where its sound does."""
    spans: tuple[tuple[float, float], ...]
    """Start and end of every piece that was said without a gap of ours."""

    @property
    def seconds(self) -> float:
        return len(self.waveform) / RATE


@functools.cache
def say(text: str, voice: str = "en-us", speed: int = 150, pitch: int = 50) -> Spoken:
    """Speak a text of plain words; begins and ends with its sound, without espeak-ng's own silence around it."""
    # Where other languages were pronounced before, espeak-ng drops the first word's event: not of a second text.
    (_, (waveform, starts)), rate = speak(["a", text], voice, speed, pitch)
    first, last = voiced_span(waveform, rate)
    tokens = text.split()
    edges = [*_starts(tokens, [(word, (sample - first) / rate) for word, sample in starts]), (last - first) / rate]
    sound = soxr.resample(waveform[first:last], rate, RATE).astype(np.float32)
    return Spoken(sound, tuple(zip(tokens, edges[:-1], edges[1:], strict=True)), ((0.0, len(sound) / RATE),))


def _starts(tokens: Sequence[str], events: Sequence[tuple[str, float]]) -> list[float]:
    """Start of every token; where espeak-ng draws words together, those without an event share the time evenly."""
    known: dict[int, float] = {0: 0.0}
    at = 0
    for word, seconds in events:
        at = next(k for k in range(at, len(tokens)) if word in tokens[k])
        known[at] = max(0.0, seconds) if at else 0.0
        at += 1
    return np.interp(range(len(tokens)), list(known), list(known.values())).tolist()


def joined(pieces: Sequence[Spoken], gaps_seconds: Sequence[float], around_seconds: float = 0.5) -> Spoken:
    """Pieces in a row, with digital silence of these lengths between them, and some before and after all."""
    parts, words, spans = [], [], []
    at = 0.0
    for piece, gap in zip(pieces, [around_seconds, *gaps_seconds], strict=True):
        parts += [np.zeros(round(gap * RATE), np.float32), piece.waveform]
        at += round(gap * RATE) / RATE
        words += [(word, start + at, end + at) for word, start, end in piece.words]
        spans += [(start + at, end + at) for start, end in piece.spans]
        at += piece.seconds
    parts.append(np.zeros(round(around_seconds * RATE), np.float32))
    return Spoken(np.concatenate(parts), tuple(words), tuple(spans))


def noise(seconds: float, level_db: float = 0.0, seed: int = 0) -> np.ndarray:
    """White noise of this level, RMS in dB of full scale."""
    return np.random.default_rng(seed).normal(0, 10 ** (level_db / 20), round(seconds * RATE)).astype(np.float32)


def reverberant(waveform: np.ndarray, rt60_seconds: float, seed: int = 0) -> np.ndarray:
    """The sound in a room whose echo falls by 60 dB in this time: exponentially decaying noise as impulse response."""
    times = np.arange(round(1.5 * rt60_seconds * RATE)) / RATE
    response = np.random.default_rng(seed).normal(size=len(times)) * 10 ** (-3 * times / rt60_seconds)
    response /= np.sqrt((response**2).sum())
    size = len(waveform) + len(response)
    return np.fft.irfft(np.fft.rfft(waveform, size) * np.fft.rfft(response, size), size)[: len(waveform)].astype(
        np.float32
    )
