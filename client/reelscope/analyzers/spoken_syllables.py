"""Syllables in time: those of the words' pronunciation, or the nuclei that are heard where there are no words.

Conventions: the syllables of a word share its time evenly; nuclei are instants, and count only where somebody speaks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from reelscope.signals import SpeechActivity, SpokenWords, VoiceAcoustics

SyllableSource = Literal["text", "nuclei"]


@dataclass(frozen=True, slots=True)
class Syllables:
    """When syllables are spoken."""

    spans_seconds: NDArray[np.float64]
    """[n, 2] start and end, sorted; the same for nuclei."""
    source: SyllableSource

    @property
    def times_seconds(self) -> NDArray[np.float64]:
        """[n] their middles."""
        return np.asarray(self.spans_seconds.mean(1), np.float64)


def syllables(activity: SpeechActivity, acoustics: VoiceAcoustics, words: SpokenWords | None) -> Syllables:
    """By the words where their language can be pronounced, else by the nuclei."""
    counted = [(word, word.syllable_count) for word in words.words if word.syllable_count] if words else []
    if not counted:
        return Syllables(np.column_stack([nuclei(activity, acoustics)] * 2), "nuclei")
    edges = [np.linspace(word.start_seconds, word.end_seconds, count + 1) for word, count in counted]
    spans = np.concatenate([np.column_stack([each[:-1], each[1:]]) for each in edges])
    return Syllables(spans[np.argsort(spans[:, 0], kind="stable")], "text")


def nuclei(activity: SpeechActivity, acoustics: VoiceAcoustics) -> NDArray[np.float64]:
    """[n] nuclei within speech."""
    return acoustics.nuclei_seconds[activity.holds(acoustics.nuclei_seconds)]
