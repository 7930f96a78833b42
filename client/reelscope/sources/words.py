"""What is said, from the ensemble `speech`: one word list for everybody."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from reelscope.signals import Parameter, SpeechActivity, SpokenWords, Utterance, Word
from reelscope.sources import syllables
from reelscope.sources.ensemble import AskingSource
from reelscope.types import ClipHeader, SpeechPassage

ANY_LANGUAGE = np.array([[b""]], np.object_)
"""The language is detected."""
SPEECH_MARGIN_SECONDS = 0.2
"""Words lie this near to speech (ANALYZERS.md, I9)."""

PARAMETERS: dict[str, Parameter] = {
    # Constants of the served model, stated here for the results.
    "asr_max_compression_ratio": 2.4,
    "asr_min_mean_logprob": -1.0,
    "asr_max_no_speech_probability": 0.6,
}


class WordSource(AskingSource[SpeechPassage]):
    """Passages in, `SpokenWords` out. A passage without speech is never decoded: Whisper hears words in noise."""

    consumes: ClassVar[type] = SpeechPassage
    needs = (SpeechActivity,)
    ensemble = "speech"
    networks = ("speech_whisper",)
    outputs = (
        "word_texts",
        "word_times_seconds",
        "word_probabilities",
        "word_utterances",
        "utterance_texts",
        "utterance_times_seconds",
        "utterance_scores",
        "detected_language",
        "language_probability",
    )
    parameters = PARAMETERS

    def start(self, header: ClipHeader) -> None:
        """Begin without words."""
        super().start(header)
        self._words: list[Word] = []
        self._utterances: list[Utterance] = []
        self._languages: list[tuple[float, str, float]] = []
        self._sample_count = 0

    def push(self, part: SpeechPassage) -> None:
        """Ask about a passage in which somebody speaks."""
        self._sample_count += len(part.samples)
        if len(part.spans_seconds):
            self.ask_about({"waveform": part.samples[None], "language": ANY_LANGUAGE}, part)

    def consume(self, about: SpeechPassage, answer: dict[str, NDArray[Any]]) -> None:
        """Keep what is said in one passage."""
        answer = {name: array[0] for name, array in answer.items()}
        language = answer["detected_language"][0].decode()
        if language:
            speech_seconds = float((about.spans_seconds[:, 1] - about.spans_seconds[:, 0]).sum())
            self._languages.append((speech_seconds, language, float(answer["language_probability"][0])))
        texts = [text.decode().strip() for text in answer["word_texts"]]
        times = _near_speech(answer["word_times_seconds"].astype(np.float64) + about.start_seconds, about.spans_seconds)
        first = len(self._utterances)
        counts = syllables.count(texts, language)
        self._words += [
            Word(
                text=texts[k],
                start_seconds=float(times[k, 0]),
                end_seconds=float(times[k, 1]),
                probability=float(answer["word_probabilities"][k]),
                utterance=first + int(answer["word_utterances"][k]),
                syllable_count=counts[k],
            )
            for k in range(len(texts))
        ]
        times = answer["utterance_times_seconds"].astype(np.float64) + about.start_seconds
        self._utterances += [
            Utterance(
                text=text.decode().strip(),
                start_seconds=float(start),
                end_seconds=float(end),
                mean_log_probability=float(scores[0]),
                no_speech_probability=float(scores[1]),
                compression_ratio=float(scores[2]),
                temperature=float(scores[3]),
            )
            for text, (start, end), scores in zip(
                answer["utterance_texts"], times, answer["utterance_scores"], strict=True
            )
        ]

    def finish(self, duration_seconds: float) -> SpokenWords:
        """Collect the last answers; what is said after the last frame is left out."""
        self.drain()
        _, language, probability = max(self._languages, default=(0.0, None, None))
        return SpokenWords(
            sampling="A16",
            sample_count=self._sample_count,
            models=self.models(),
            duration_seconds=duration_seconds,
            words=tuple(_until(duration_seconds, self._words)),
            utterances=tuple(_until(duration_seconds, self._utterances)),
            language=language,
            language_probability=probability,
        )


def _near_speech(times: NDArray[np.float64], spans: NDArray[np.float64]) -> NDArray[np.float64]:
    """Times of words, [w, 2], cut off where they reach out of the speech: alignment stretches words over pauses."""
    middles = times.mean(axis=1, keepdims=True)
    distances = np.maximum(spans[:, 0] - middles, middles - spans[:, 1])
    nearest = spans[distances.argmin(axis=1)]
    return np.clip(times, nearest[:, :1] - SPEECH_MARGIN_SECONDS, nearest[:, 1:] + SPEECH_MARGIN_SECONDS)


def _until(end_seconds: float, said: list[Any]) -> list[Any]:
    """Words or utterances that begin before the end of the clip, cut off there."""
    return [
        replace(each, end_seconds=min(each.end_seconds, end_seconds))
        for each in said
        if each.start_seconds < end_seconds
    ]
