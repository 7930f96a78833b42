"""Word and character error rates: edits that turn the true text into what was found, per true word or character.

Word error rate: substitutions, deletions and insertions over the words of the truth (NIST SCTK); it exceeds 1 when much
is made up. Counted by jiwer. Before, both texts are normalised: Unicode NFKC, case folded, apostrophes dropped, other
punctuation and line breaks are spaces, spaces are single. Characters are counted with the spaces between words.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

import jiwer

_APOSTROPHES = "'\u2019\u02bc`"


@dataclass(frozen=True, slots=True, kw_only=True)
class TextErrors:
    """Edits of one or more texts."""

    word_edits: int = 0
    words: int = 0
    """Words of the truth."""
    character_edits: int = 0
    characters: int = 0
    """Characters of the truth."""

    def __add__(self, other: TextErrors) -> TextErrors:
        """Errors of both together."""
        return TextErrors(
            word_edits=self.word_edits + other.word_edits,
            words=self.words + other.words,
            character_edits=self.character_edits + other.character_edits,
            characters=self.characters + other.characters,
        )


def normalized(text: str) -> str:
    """The text as it is compared."""
    kept = (
        " " if unicodedata.category(character).startswith("P") else character
        for character in unicodedata.normalize("NFKC", text).casefold()
        if character not in _APOSTROPHES
    )
    return " ".join("".join(kept).split())


def text_errors(true: str, found: str) -> TextErrors:
    """Edits between two texts, normalised here; either may be empty."""
    reference, hypothesis = normalized(true), normalized(found)
    words = jiwer.process_words(reference, hypothesis)
    characters = jiwer.process_characters(reference, hypothesis)
    return TextErrors(
        word_edits=words.substitutions + words.deletions + words.insertions,
        words=len(reference.split()),
        character_edits=characters.substitutions + characters.deletions + characters.insertions,
        characters=len(reference),
    )
