"""Signals of what is heard, from speech with a known truth (`speech`) or by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import parselmouth
from feeding import PROVENANCE

from reelscope.signals import SpeechActivity, SpokenWords, Utterance, VoiceAcoustics, Word
from reelscope.sources import syllables
from speech import RATE, Spoken, joined, noise, reverberant, say

__all__ = ["RATE", "Spoken", "acoustics", "activity", "heard", "joined", "noise", "reverberant", "say"]

HOP_SECONDS = 0.01
VAD = replace(PROVENANCE, name="voice_activity_silero", ensemble="speech_activity")
WHISPER = replace(PROVENANCE, name="speech_whisper", ensemble="speech")

Times = Sequence[tuple[float, float]]


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
