"""Windows to words: passes over every window until it is heard to its end, as `whisper.transcribe` does it.

No text is given to the next pass (`condition_on_previous_text=False`), so that windows depend on nothing but
themselves and can be decoded together.
"""

from dataclasses import dataclass, field

import numpy as np
from alignment import align
from decoding import decode, first_logits, languages, softmax
from segments import FRAMES_PER_SECOND, cut
from tokens import Tokens

FRAME_SAMPLES = 160


class UnknownLanguage(Exception):
    """The network knows no such language."""


@dataclass(frozen=True)
class Utterance:
    """Words that were said together; times are seconds of the request's waveform."""

    text: str
    times: tuple
    words: list
    result: object


@dataclass
class Progress:
    """Where the decoding of one window stands."""

    window: object
    seek: int = 0
    passes: int = 0
    last_speech_end: float = 0.0
    found: list = field(default_factory=list)

    @property
    def frame_count(self):
        """Frames of the window."""
        return len(self.window.samples) // FRAME_SAMPLES

    @property
    def is_heard(self):
        """Whether the window has been heard to its end."""
        return self.seek >= self.frame_count


class Vocabulary:
    """The tokens of the decoder in service, read anew when another one answers."""

    def __init__(self):
        """Know nothing yet."""
        self.described = self.tokens = None

    def ask(self, networks, cross):
        """The tokens of the decoder, and its logits after the first of them."""
        while True:
            logits, described = first_logits(networks, cross, self.tokens.start if self.tokens else 0)
            if described == self.described:
                return self.tokens, logits
            self.described, self.tokens = described, Tokens(described)


class Transcriber:
    """Decodes the windows of one request."""

    def __init__(self, networks, vocabulary, settings, language):
        """Decode on behalf of a request.

        Args:
            networks: of the request.
            vocabulary: of the process.
            settings: how much is tried, as a function of nothing, called once networks have answered.
            language: code of the language; empty to detect it.
        """
        self.language, self.language_probability = language, None
        self._networks, self._vocabulary, self._settings = networks, vocabulary, settings

    def transcribe(self, windows):
        """Utterances of windows, in order."""
        everything = [Progress(window) for window in windows]
        waiting = everything
        while waiting:
            self._pass(waiting)
            passes = self._settings().max_passes
            waiting = [each for each in waiting if not each.is_heard and each.passes < passes]
        return [utterance for each in everything for utterance in each.found]

    def _pass(self, waiting):
        """Decode windows once, from where each stands."""
        cross = self._encode(waiting)
        tokens, logits = self._vocabulary.ask(self._networks, cross)
        self._choose_language(tokens, logits)
        prompt = tokens.prompt(self.language)
        no_speech = softmax(logits)[:, tokens.no_speech]
        results = decode(self._networks, cross, prompt, tokens, no_speech, self._settings())
        for row, (progress, result) in enumerate(zip(waiting, results, strict=True)):
            progress.passes += 1
            heard = min(progress.frame_count - progress.seek, 30 * FRAMES_PER_SECOND)
            if result.is_silence:
                progress.seek += heard
                continue
            done = cut(result.tokens, tokens.first_timestamp, progress.seek, heard)
            begun, before = progress.seek, progress.last_speech_end
            align(self._networks, cross.rows([row]), tokens, prompt, done.segments, self.language, begun, heard, before)
            words = [word for segment in done.segments for word in segment.words]
            end = progress.last_speech_end = words[-1].end if words else done.segments[-1].end
            # An unfinished segment is heard again from the last word on, which is more exact than a time stamp.
            again = not done.is_complete and end > begun / FRAMES_PER_SECOND
            progress.seek = round(end * FRAMES_PER_SECOND) if again else done.seek
            progress.found += [
                utterance for segment in done.segments if (utterance := _utterance(segment, tokens, result, progress))
            ]

    def _encode(self, waiting):
        samples = [each.window.samples for each in waiting]
        waveform = np.zeros((len(samples), max(map(len, samples))), np.float32)
        for row, each in zip(waveform, samples, strict=True):
            row[: len(each)] = each
        counts = np.array([[len(each)] for each in samples], np.int32)
        seeks = np.array([[each.seek] for each in waiting], np.int32)
        return self._networks.encode(waveform, counts, seeks)

    def _choose_language(self, tokens, logits):
        """The language that was asked for, else that of the first window, as the library decides it."""
        if self.language_probability is not None:
            return
        if not tokens.languages:
            if self.language not in ("", "en"):
                raise UnknownLanguage(f"language {self.language!r}: this network knows English alone")
            self.language, self.language_probability = "en", 1.0
            return
        probabilities = languages(logits[:1], tokens)[0]
        if self.language and self.language not in tokens.languages:
            raise UnknownLanguage(f"language {self.language!r}; the network knows {', '.join(tokens.languages)}")
        number = tokens.languages.index(self.language) if self.language else int(probabilities.argmax())
        self.language, self.language_probability = tokens.languages[number], float(probabilities[number])


def _utterance(segment, tokens, result, progress):
    """The segment in the request's time; None when nothing is said in it."""
    text = tokens.text(segment.tokens).strip()
    if segment.start == segment.end or not text:
        return None
    move = progress.window.moved
    words = [(word.text.strip(), move(word.start, word.end), word.probability) for word in segment.words]
    words = [word for word in words if word[0]]
    times = (words[0][1][0], words[-1][1][1]) if words else move(segment.start, segment.end)
    return Utterance(text, times, words, result)
