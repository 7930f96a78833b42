"""Whisper's tokens: ids to text, and text to words; equal to openai-whisper's tokenizer, which is not needed here."""

import base64
import json
import string

# Written without spaces: words are then what can be written, character by character.
_UNSPACED = {"zh", "ja", "th", "lo", "my", "yue"}
_REPLACEMENT = "\ufffd"


class Tokens:
    """The tokens of one network.

    Attributes:
        end: ids below it are text.
        first_timestamp: ids from it on are times, 20 ms apart.
        languages: codes of the languages; empty for a network that knows English alone.
    """

    def __init__(self, described):
        """Read the decoder's output `tokenizer`."""
        facts = json.loads(described)
        self._texts = [base64.b64decode(text) for text in facts["texts"]]
        self.languages = facts["languages"]
        self.start, self._transcribe = facts["start"], facts["transcribe"]
        self.first_language, self.no_speech = facts["first_language"], facts["no_speech"]
        self.no_timestamps, self.first_timestamp = facts["no_timestamps"], facts["first_timestamp"]
        self.end, self.context = facts["end"], facts["context_tokens"]

    def prompt(self, language):
        """Tokens that begin a transcript in a language."""
        if not self.languages:
            return [self.start]
        return [self.start, self.first_language + self.languages.index(language), self._transcribe]

    def text(self, tokens):
        """Text of tokens; times and other special tokens have none."""
        return b"".join(self._texts[token] for token in tokens if token < self.end).decode("utf-8", "replace")

    def words(self, tokens, language):
        """Split text tokens into words; returns pairs of a word, with its white space, and its tokens."""
        pieces = self._characters(tokens)
        if language in _UNSPACED:
            return pieces
        words = []
        for text, part in pieces:
            begins = text.startswith(" ") or text.strip() in string.punctuation
            if begins or not words:
                words.append((text, list(part)))
            else:
                words[-1] = (words[-1][0] + text, words[-1][1] + part)
        return words

    def _characters(self, tokens):
        """Split where characters end: a token may hold a part of one."""
        whole, found, waiting, length = self.text(tokens), [], [], 0
        for token in tokens:
            waiting.append(token)
            text = self.text(waiting)
            place = length + text.find(_REPLACEMENT)
            # A replacement that the whole text has as well is no half of a character.
            if _REPLACEMENT not in text or whole[place : place + 1] == _REPLACEMENT:
                found.append((text, waiting))
                waiting, length = [], length + len(text)
        return found
