"""Speech transcription: what is said, word by word.

Conventions: one span per utterance, as the recogniser divides speech; its score is the mean probability of its tokens
(the exponential of the mean logarithm). Words carry their punctuation and no white space. Who speaks is not told apart.
Nothing is decoded where the shared mask hears no speech, so that silence, noise and music have no words.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from reelscope.analyzers.base import Analyzer, Finding, Labels, Segment
from reelscope.signals import SpeechActivity, SpokenWords, Utterance, Word

MIN_SECONDS = 0.001
"""Utterances that the recogniser gives no length get this: results hold times to the millisecond."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscribedWord:
    """One word."""

    spoken_word: str
    """As it is written, with its punctuation."""
    start_seconds: float
    """When it begins."""
    end_seconds: float
    """When it ends, not before it begins."""
    word_probability: float
    """Mean probability of its tokens, 0-1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscriptionData:
    """One utterance."""

    text: str
    """What is said."""
    words: tuple[TranscribedWord, ...]
    """Its words, in order."""
    lang: str | None
    """ISO 639-1 code of the clip's language."""
    speaker: str | None
    """Who speaks; null: speakers are not told apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpokenLanguage:
    """The language of the passage with the most speech."""

    code: str
    """ISO 639-1 code."""
    language_probability: float
    """Probability of it, 0-1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscriptionSummary:
    """What is said in the clip. What comes from words is null when the recogniser is untrained."""

    text: str | None
    """All utterances, one a row; empty where nothing is said."""
    language: SpokenLanguage | None
    """Language; null where nothing is said."""
    word_count: int | None
    """Words transcribed."""
    speech_seconds: float | None
    """Time in which somebody speaks, seconds, by the mask that all analyzers share."""
    speech_spans_seconds: tuple[tuple[float, float], ...] | None
    """That mask: start and end of every span of speech, seconds; every word lies within 0.2 s of one."""
    asr_confidence: float | None
    """Mean probability of the words, 0-1; null where nothing is said."""


def analyze(words: SpokenWords, activity: SpeechActivity | None) -> Finding[TranscriptionData, TranscriptionSummary]:
    """Put the words into their utterances."""
    segments = [_segment(number, utterance, words) for number, utterance in enumerate(words.utterances)]
    return Finding(segments=tuple(filter(None, segments)), summary=_summary(words, activity))


def _segment(number: int, utterance: Utterance, heard: SpokenWords) -> Segment[TranscriptionData] | None:
    """The utterance and its words; None where it holds none."""
    words = [word for word in heard.words if word.utterance == number]
    text = utterance.text.strip()
    if not words and not text:
        return None
    start, end = _times(utterance, words, heard.duration_seconds)
    return Segment(
        kind="span",
        start_seconds=start,
        end_seconds=end,
        label="utterance",
        score=min(1.0, math.exp(utterance.mean_log_probability)),
        data=TranscriptionData(
            text=text or " ".join(word.text for word in words),
            words=tuple(
                TranscribedWord(
                    spoken_word=word.text,
                    start_seconds=word.start_seconds,
                    end_seconds=word.end_seconds,
                    word_probability=word.probability,
                )
                for word in words
            ),
            lang=heard.language,
            speaker=None,
        ),
    )


def _times(utterance: Utterance, words: Sequence[Word], duration_seconds: float) -> tuple[float, float]:
    """Start and end of an utterance: those of its words, which are finer than its own."""
    start = words[0].start_seconds if words else utterance.start_seconds
    end = max(word.end_seconds for word in words) if words else utterance.end_seconds
    start = max(0.0, min(start, duration_seconds - MIN_SECONDS))
    return start, max(min(end, duration_seconds), start + MIN_SECONDS)


def _summary(heard: SpokenWords, activity: SpeechActivity | None) -> TranscriptionSummary:
    is_known = not heard.untrained_models
    language = None
    if is_known and heard.language and heard.language_probability is not None:
        language = SpokenLanguage(code=heard.language, language_probability=heard.language_probability)
    probabilities = [word.probability for word in heard.words] if is_known else []
    spans = activity.spans_seconds.tolist() if activity else []
    return TranscriptionSummary(
        text="\n".join(filter(None, (utterance.text.strip() for utterance in heard.utterances))) if is_known else None,
        language=language,
        word_count=len(heard.words) if is_known else None,
        speech_seconds=activity.speech_seconds if activity else None,
        speech_spans_seconds=tuple((start, end) for start, end in spans) if activity else None,
        asr_confidence=sum(probabilities) / len(probabilities) if probabilities else None,
    )


def headline(summary: TranscriptionSummary) -> str:
    """Say it in a few words."""
    if summary.text is None or summary.word_count is None:
        return "random weights: nothing is claimed"
    if not summary.word_count:
        return "no words"
    language = f" in {summary.language.code}" if summary.language else ""
    count = "1 word" if summary.word_count == 1 else f"{summary.word_count} words"
    first = summary.text.partition("\n")[0]
    return f'{count}{language}: "{first if len(first) <= 60 else first[:59] + "…"}"'


ANALYZER = Analyzer(
    name="speech_transcription",
    version="1",
    title="what is said, word by word, in which language",
    requires=(SpokenWords,),
    uses=(SpeechActivity,),
    data=TranscriptionData,
    summary=TranscriptionSummary,
    labels=(Labels(names=("utterance",), meaning="words said together", score="mean probability of its tokens"),),
    headline=headline,
    analyze=analyze,
)
