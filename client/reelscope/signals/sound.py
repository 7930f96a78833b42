"""What is heard: speech, words, voices, sounds. Times are seconds of the clip; sound starts at time 0."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reelscope.signals.base import SoundSignal


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechActivity(SoundSignal):
    """When somebody speaks: the one mask that all analyzers share."""

    hop_seconds: float
    """Spacing of `probabilities`."""
    probabilities: NDArray[np.float32]
    """[n] probability of speech in [k * hop, (k + 1) * hop)."""
    spans_seconds: NDArray[np.float64]
    """[k, 2] start and end of speech, sorted, disjoint, within the clip."""

    @property
    def speech_seconds(self) -> float:
        """Time in which somebody speaks."""
        return float((self.spans_seconds[:, 1] - self.spans_seconds[:, 0]).sum())

    def holds(self, times_seconds: NDArray[np.float64]) -> NDArray[np.bool_]:
        """[n] whether somebody speaks at each time."""
        starts, ends = self.spans_seconds.T
        span = np.searchsorted(starts, times_seconds, side="right") - 1
        return (span >= 0) & (times_seconds < ends[np.maximum(span, 0)]) if len(starts) else span >= 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """One spoken word."""

    text: str
    """As it is written, with its punctuation, without white space around it."""
    start_seconds: float
    end_seconds: float
    """>= start_seconds."""
    probability: float
    """Mean probability of its tokens, 0-1."""
    utterance: int
    """Index of the utterance that it belongs to."""
    syllable_count: int | None
    """Syllables of its pronunciation; None where the language's is not known or it is not pronounced."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Utterance:
    """Words that were said together; what Whisper calls a segment."""

    text: str
    start_seconds: float
    end_seconds: float
    mean_log_probability: float
    """Mean natural logarithm of its tokens' probabilities, <= 0."""
    no_speech_probability: float
    """0-1."""
    compression_ratio: float
    """Length of the text over its length after zlib; above 2.4 it repeats itself."""
    temperature: float
    """Of the sampling that gave it, 0-1; 0 is greedy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpokenWords(SoundSignal):
    """What is said: the one word list that all analyzers share."""

    words: tuple[Word, ...]
    """Sorted by start."""
    utterances: tuple[Utterance, ...]
    """Sorted by start."""
    language: str | None
    """ISO 639-1 code of the language, by the passage with the most speech; None without speech."""
    language_probability: float | None
    """0-1; None without speech."""

    def between(self, start_seconds: float, end_seconds: float) -> tuple[Word, ...]:
        """Words of which something is said in [start, end)."""
        return tuple(
            word for word in self.words if word.start_seconds < end_seconds and word.end_seconds > start_seconds
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class VoiceAcoustics(SoundSignal):
    """Level, pitch and syllable nuclei of the mono track, without any network."""

    hop_seconds: float
    """Spacing of `power` and `pitch_hz`."""
    power: NDArray[np.float32]
    """[n] mean square of the samples in [k * hop, (k + 1) * hop), full scale 1; 0 is digital silence."""
    pitch_hz: NDArray[np.float32]
    """[n] fundamental frequency at (k + 1/2) * hop; NaN where nothing is voiced."""
    nuclei_seconds: NDArray[np.float64]
    """[k] sorted: syllable nuclei after de Jong & Wempe (2009), doi:10.3758/BRM.41.2.385, speech or not."""

    @property
    def middles_seconds(self) -> NDArray[np.float64]:
        """[n] middle of every hop."""
        return np.asarray((np.arange(len(self.power)) + 0.5) * self.hop_seconds, np.float64)


@dataclass(frozen=True, slots=True, kw_only=True)
class SoundTags(SoundSignal):
    """AudioSet's labels of windows of sound; long windows say what is there, short ones when."""

    windows_seconds: NDArray[np.float64]
    """[n, 2] start and end, sorted by start, within the clip."""
    is_long: NDArray[np.bool_]
    """[n] whether it is one of the long windows."""
    probabilities: NDArray[np.float32]
    """[n, 527] by line of the model's labels.txt, each independent of the others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechEmotions(SoundSignal):
    """How voices sound, in pieces of the speech."""

    spans_seconds: NDArray[np.float64]
    """[n, 2] start and end, sorted: spans of `SpeechActivity`, cut into pieces of 2 to 6 s where they are longer."""
    arousal: NDArray[np.float32]
    """[n] 0 calm to 1 excited."""
    dominance: NDArray[np.float32]
    """[n] 0 weak to 1 strong."""
    valence: NDArray[np.float32]
    """[n] 0 negative to 1 positive."""
    class_names: tuple[str, ...]
    """Names of the classes where the served head has them; empty where it has none."""
    class_probabilities: NDArray[np.float32]
    """[n, c] by `class_names`; each row sums to 1."""
