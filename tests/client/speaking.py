"""Speech with a known truth: espeak-ng speaks, words carry the sample at which they start, signals follow from that.

Everything is mono, 16 kHz, as networks hear it.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import parselmouth
import soxr
from feeding import PROVENANCE

from demo.soundtrack import speak, voiced_span
from reelscope.signals import SpeechActivity, SpokenWords, Utterance, VoiceAcoustics, Word
from reelscope.sources import syllables

RATE = 16_000
HOP_SECONDS = 0.01
VAD = replace(PROVENANCE, name="voice_activity_silero", ensemble="speech_activity")
WHISPER = replace(PROVENANCE, name="speech_whisper", ensemble="speech")

Times = Sequence[tuple[float, float]]


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
    ((waveform, starts),), rate = speak([text], voice, speed, pitch)
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


def activity(
    spans: Times, seconds: float, *, pad_seconds: float = 0.0, hop_seconds: float = 0.032, trained: bool = True
) -> SpeechActivity:
    """The mask of a detector that widens every span by `pad_seconds` on both sides."""
    found = np.array([(max(0.0, a - pad_seconds), min(seconds, b + pad_seconds)) for a, b in spans]).reshape(-1, 2)
    count = int(np.ceil(seconds / hop_seconds))
    mask = SpeechActivity(
        sampling="A16",
        sample_count=round(seconds * RATE),
        models=(replace(VAD, trained=trained),),
        duration_seconds=seconds,
        hop_seconds=hop_seconds,
        probabilities=np.zeros(count, np.float32),
        spans_seconds=found,
    )
    middles = (np.arange(count) + 0.5) * hop_seconds
    return replace(mask, probabilities=mask.holds(middles).astype(np.float32))


def acoustics(waveform: np.ndarray, *, nuclei: Sequence[float] = (), pitch: bool = False) -> VoiceAcoustics:
    """Power of a sound; its pitch by Praat where asked for; nuclei as they are given."""
    size = round(HOP_SECONDS * RATE)
    count = len(waveform) // size
    blocks = waveform[: count * size].reshape(count, size).astype(np.float64)
    pitch_hz = np.full(count, np.nan)
    if pitch:
        praat = parselmouth.Sound(waveform.astype(np.float64), RATE).to_pitch(HOP_SECONDS, 65, 600)
        middles = (np.arange(count) + 0.5) * HOP_SECONDS
        pitch_hz = np.array([praat.get_value_at_time(time) for time in middles])
    return VoiceAcoustics(
        sampling="A16",
        sample_count=len(waveform),
        duration_seconds=len(waveform) / RATE,
        hop_seconds=HOP_SECONDS,
        power=(blocks**2).mean(1).astype(np.float32),
        pitch_hz=pitch_hz.astype(np.float32),
        nuclei_seconds=np.asarray(nuclei, np.float64),
    )


def heard(
    words: Sequence[tuple[str, float, float]],
    seconds: float,
    *,
    language: str | None = "en",
    utterances: Sequence[int] | None = None,
    probability: float = 0.9,
    trained: bool = True,
) -> SpokenWords:
    """Words as if a model had heard them; `utterances` is the number of each word's, all 0 where not given."""
    numbers = [0] * len(words) if utterances is None else list(utterances)
    counts = syllables.count([word for word, _, _ in words], language or "")
    found = tuple(
        Word(
            text=text,
            start_seconds=start,
            end_seconds=end,
            probability=probability,
            utterance=number,
            syllable_count=syllable_count,
        )
        for (text, start, end), number, syllable_count in zip(words, numbers, counts, strict=True)
    )
    groups = [[word for word in found if word.utterance == number] for number in sorted(set(numbers))]
    return SpokenWords(
        sampling="A16",
        sample_count=round(seconds * RATE),
        models=(replace(WHISPER, trained=trained),),
        duration_seconds=seconds,
        words=found,
        utterances=tuple(
            Utterance(
                text=" ".join(word.text for word in group),
                start_seconds=group[0].start_seconds,
                end_seconds=group[-1].end_seconds,
                mean_log_probability=-0.2,
                no_speech_probability=0.01,
                compression_ratio=1.2,
                temperature=0.0,
            )
            for group in groups
        ),
        language=language if words else None,
        language_probability=0.98 if words and language else None,
    )


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
