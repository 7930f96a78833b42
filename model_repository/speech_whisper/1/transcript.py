"""Windows to words: passes over every window until it is heard to its end, as `whisper.transcribe` does it.

No text is given to the next pass (`condition_on_previous_text=False`), so that windows depend on nothing but
themselves and can be decoded together, whosever they are.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from alignment import align
from decoding import decode, first_logits, languages, softmax
from segments import FRAMES_PER_SECOND, cut
from tokens import Tokens

FRAME_SAMPLES = 160


class UnknownLanguage(Exception):
    """The network knows no such language."""


class Cancelled(Exception):
    """Nobody waits for the answer any more."""


@dataclass(frozen=True)
class Utterance:
    """Words that were said together; times are seconds of the request's waveform."""

    text: str
    times: tuple
    words: list
    result: object


@dataclass(eq=False)
class Clip:
    """What one request wants to know, and what has become of it.

    Attributes:
        language: code of the language; empty until it is detected.
        error: why there is no answer, if there is none.
    """

    windows: list
    language: str
    is_cancelled: Callable
    language_probability: float | None = None
    utterances: list = field(default_factory=list)
    error: Exception | None = None

    def is_wanted(self):
        """Whether anybody waits for more of it."""
        if self.error is None and self.is_cancelled():
            self.error = Cancelled()
        return self.error is None

    def fail(self, error):
        """Give it up; without the traceback, which would hold frames, and these what Triton wants back."""
        self.error = error.with_traceback(None)


@dataclass
class Progress:
    """Where the decoding of one window stands."""

    clip: Clip
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
    """Decodes the windows of clips together."""

    def __init__(self, networks, vocabulary, settings, windows_per_call):
        """Decode on behalf of a batch of requests.

        Args:
            networks: of the batch.
            vocabulary: of the process.
            settings: how much is tried, as a function of nothing, called once networks have answered.
            windows_per_call: windows that are decoded together.
        """
        self._networks, self._vocabulary, self._settings = networks, vocabulary, settings
        self._windows_per_call = windows_per_call

    def transcribe(self, clips):
        """Give clips their languages and utterances, in order; or errors, each its own."""
        everything = [Progress(clip, window) for clip in clips for window in clip.windows]
        waiting = everything
        while waiting := [each for each in waiting if each.clip.is_wanted()]:
            some, others = waiting[: self._windows_per_call], waiting[self._windows_per_call :]
            self._attempt(some)
            passes = self._settings().max_passes
            waiting = [each for each in some if not each.is_heard and each.passes < passes] + others
        for each in everything:
            each.clip.utterances += each.found

    def _attempt(self, some):
        """Decode windows once; where that fails, those of each clip by themselves, so that each has its own error."""
        clips = list({id(each.clip): each.clip for each in some}.values())
        try:
            self._pass(some)
        except Exception as error:  # whatever it is: other clips may be answered
            if len(clips) == 1:
                clips[0].fail(error)
                return
            for clip in clips:
                self._attempt([each for each in some if each.clip is clip])

    def _pass(self, some):
        """Decode windows once, from where each stands."""
        cross = self._encode(some)
        tokens, logits = self._vocabulary.ask(self._networks, cross)
        for each, row in zip(some, logits, strict=True):
            # The first window of a clip is decoded before its others, or above them.
            _choose_language(each.clip, tokens, row)
        rows = [row for row, each in enumerate(some) if each.clip.is_wanted()]
        if not rows:
            return
        some, cross, logits = [some[row] for row in rows], cross.rows(rows), logits[rows]
        prompts = [tokens.prompt(each.clip.language) for each in some]
        no_speech = softmax(logits)[:, tokens.no_speech]
        results = decode(
            self._networks, cross, prompts, tokens, no_speech, self._settings(), lambda row: some[row].clip.is_wanted()
        )
        for row, (progress, result) in enumerate(zip(some, results, strict=True)):
            if result is None or not progress.clip.is_wanted():
                continue
            try:
                self._advance(progress, result, cross.rows([row]), tokens, prompts[row])
            except Exception as error:  # the words of one clip are no other's business
                progress.clip.fail(error)

    def _advance(self, progress, result, cross, tokens, prompt):
        """Take what one pass over a window has given."""
        progress.passes += 1
        heard = min(progress.frame_count - progress.seek, 30 * FRAMES_PER_SECOND)
        if result.is_silence:
            progress.seek += heard
            return
        done = cut(result.tokens, tokens.first_timestamp, progress.seek, heard)
        begun, before, language = progress.seek, progress.last_speech_end, progress.clip.language
        align(self._networks, cross, tokens, prompt, done.segments, language, begun, heard, before)
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


def _choose_language(clip, tokens, logits):
    """The language that was asked for, else that of the clip's first window, as the library decides it."""
    if clip.language_probability is not None or clip.error:
        return
    if not tokens.languages:
        if clip.language not in ("", "en"):
            clip.error = UnknownLanguage(f"language {clip.language!r}: this network knows English alone")
        clip.language, clip.language_probability = "en", 1.0
        return
    if clip.language and clip.language not in tokens.languages:
        known = ", ".join(tokens.languages)
        clip.error = UnknownLanguage(f"language {clip.language!r}; the network knows {known}")
        return
    probabilities = languages(logits[None], tokens)[0]
    number = tokens.languages.index(clip.language) if clip.language else int(probabilities.argmax())
    clip.language, clip.language_probability = tokens.languages[number], float(probabilities[number])


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
