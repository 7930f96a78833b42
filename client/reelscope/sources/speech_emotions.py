"""How voices sound, from the ensemble `speech_emotions`: every span of speech, in pieces."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from reelscope.signals import Parameter, SpeechActivity, SpeechEmotions
from reelscope.sources.ensemble import AskingSource
from reelscope.sources.speech_spans import within
from reelscope.types import MONO_SAMPLE_RATE_HZ, ClipHeader, SpeechPassage

MAX_SECONDS = 6.0
MIN_SECONDS = 0.5
"""Less than this is a word or two: nothing to judge a voice by."""

PARAMETERS: dict[str, Parameter] = {"emotion_max_piece_seconds": MAX_SECONDS, "emotion_min_piece_seconds": MIN_SECONDS}
_OUTPUTS = ("arousal", "dominance", "valence")


class SpeechEmotionSource(AskingSource[SpeechPassage]):
    """Passages in, `SpeechEmotions` out. The pieces are not padded, so they are asked about one by one."""

    consumes: ClassVar[type] = SpeechPassage
    needs = (SpeechActivity,)
    ensemble = "speech_emotions"
    networks = ("speech_emotion_wav2vec2",)
    outputs = _OUTPUTS
    parameters = PARAMETERS

    def start(self, header: ClipHeader) -> None:
        """Begin without speech."""
        super().start(header)
        self._spans = [np.empty((0, 2))]
        self._values = [np.empty((0, len(_OUTPUTS)), np.float32)]
        self._sample_count = 0

    def push(self, part: SpeechPassage) -> None:
        """Ask about every piece of its speech."""
        self._sample_count += len(part.samples)
        for start, end in _pieces(part.spans_seconds):
            first, last = (round((time - part.start_seconds) * MONO_SAMPLE_RATE_HZ) for time in (start, end))
            self.ask_about({"waveform": part.samples[None, first:last]}, (start, end))

    def consume(self, about: tuple[float, float], answer: dict[str, NDArray[Any]]) -> None:
        """Keep the answer about one piece."""
        self._spans.append(np.array([about]))
        self._values.append(np.concatenate([answer[name] for name in _OUTPUTS], axis=1))

    def finish(self, duration_seconds: float) -> SpeechEmotions:
        """Collect the last answers; what is said after the last frame is left out."""
        self.drain()
        spans = within(np.concatenate(self._spans), duration_seconds)
        arousal, dominance, valence = np.concatenate(self._values)[: len(spans)].T
        return SpeechEmotions(
            sampling="A16",
            sample_count=self._sample_count,
            models=self.models(),
            duration_seconds=duration_seconds,
            spans_seconds=spans,
            arousal=arousal,
            dominance=dominance,
            valence=valence,
            class_names=(),
            class_probabilities=np.empty((len(spans), 0), np.float32),
        )


def _pieces(spans_seconds: NDArray[np.float64]) -> list[tuple[float, float]]:
    """Spans cut into equal pieces of at most MAX_SECONDS, without those that are too short."""
    pieces = []
    for start, end in spans_seconds.tolist():
        edges = np.linspace(start, end, math.ceil((end - start) / MAX_SECONDS) + 1).tolist()
        pieces += [piece for piece in pairwise(edges) if piece[1] - piece[0] >= MIN_SECONDS]
    return pieces
