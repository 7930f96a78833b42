"""Disfluencies: fillers and repetitions among the words, and sounds without a word that may be fillers.

Conventions: words are compared without case, punctuation and repeated letters ("Uhhh," is "uh"). Fillers are looked up
by language: "um" is one in English and a word in German. A repetition is the same one to three words said again at
once, within a sentence; fillers in between do not matter. A candidate is a stretch of at least `filler_min_seconds` of
voice on one note, within speech, in which there is no word: recognisers leave most fillers out.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reelscope.runs import runs
from reelscope.signals import Parameter, SpeechActivity, VoiceAcoustics, Word

FILLERS = {
    "de": frozenset(("äh", "ähm", "öh", "öhm", "hm")),
    "en": frozenset(("uh", "um", "uhm", "er", "erm", "hm")),
}
"""Hesitations by language, without repeated letters."""
FILLER_MIN_SECONDS = 0.2
FILLER_MAX_SEMITONES = 1.5
"""Pitch of a candidate: from its 5th to its 95th percentile; fillers stay on a note (O'Shaughnessy 1992,
doi:10.1109/ICASSP.1992.225857)."""
WORD_MARGIN_SECONDS = 0.05
"""Words are taken to be so much longer on either side: their times are good to about 0.1 s. With such errors (standard
deviation) fluent espeak-ng speech has 0.6 false candidates a minute, without the margin 2.5."""
MAX_REPEATED_WORDS = 3

PARAMETERS: dict[str, Parameter] = {
    "fillers": " ".join(f"{language}:{','.join(sorted(words))}" for language, words in FILLERS.items()),
    "filler_min_seconds": FILLER_MIN_SECONDS,
    "filler_max_semitones": FILLER_MAX_SEMITONES,
    "filler_word_margin_seconds": WORD_MARGIN_SECONDS,
    "max_repeated_words": MAX_REPEATED_WORDS,
}

_SENTENCE_END = (".", "!", "?", "…", "。", "！", "？")  # noqa: RUF001


@dataclass(frozen=True, slots=True)
class Disfluency:
    """One of them."""

    start_seconds: float
    end_seconds: float
    text: str | None
    """What is said; None for a sound without a word."""


def is_filler(word: Word, language: str | None) -> bool:
    """Whether the word is a hesitation; never in a language without a list."""
    return plain(word.text) in FILLERS.get(language or "", ())


def plain(text: str) -> str:
    """A word without case, punctuation and repeated letters."""
    letters = "".join(char for char in text.casefold() if unicodedata.category(char)[0] in "LMN")
    return re.sub(r"([^\W\d])\1+", r"\1", letters)


def repetitions(words: Sequence[Word], language: str | None) -> list[Disfluency]:
    """Words that are said again at once: each stretch of equal copies once."""
    spoken = [word for word in words if plain(word.text) and not is_filler(word, language)]
    texts = [plain(word.text) for word in spoken]
    found, at = [], 0
    while at < len(spoken):
        size = next((n for n in range(MAX_REPEATED_WORDS, 0, -1) if _is_repeated(texts, spoken, at, n)), 0)
        first = at
        while size and _is_repeated(texts, spoken, at, size):
            at += size
        at += size or 1
        if size:
            phrase = " ".join(word.text for word in spoken[first : first + size])
            found.append(Disfluency(spoken[first].start_seconds, spoken[at - 1].end_seconds, phrase))
    return found


def _is_repeated(texts: Sequence[str], spoken: Sequence[Word], at: int, size: int) -> bool:
    copy = texts[at : at + size]
    ends = any(word.text.endswith(_SENTENCE_END) for word in spoken[at : at + size])
    return len(copy) == size and copy == texts[at + size : at + 2 * size] and not ends


def candidates(activity: SpeechActivity, acoustics: VoiceAcoustics, words: Sequence[Word]) -> list[Disfluency]:
    """Sounds without a word that may be fillers."""
    hop = acoustics.hop_seconds
    middles = acoustics.middles_seconds
    is_free = ~np.isnan(acoustics.pitch_hz) & activity.holds(middles)
    for word in words:
        around = (word.start_seconds - WORD_MARGIN_SECONDS, word.end_seconds + WORD_MARGIN_SECONDS)
        is_free[slice(*np.searchsorted(middles, around))] = False
    return [
        Disfluency(float(first * hop), float(min(last * hop, activity.duration_seconds)), None)
        for first, last in runs(is_free).tolist()
        if last - first >= round(FILLER_MIN_SECONDS / hop) and _is_flat(acoustics.pitch_hz[first:last])
    ]


def _is_flat(pitch_hz: NDArray[np.float32]) -> bool:
    low, high = np.percentile(pitch_hz, (5, 95))
    return bool(12 * np.log2(high / low) <= FILLER_MAX_SEMITONES)
