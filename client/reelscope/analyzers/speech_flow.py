"""Speech flow: pauses, fillers, repetitions; how fluently somebody talks, and where the sound is dead.

Conventions: everything is measured from the first sound of speech to the last (`speech_pauses`): pauses per minute of
it, as a share of it, and its phonation ratio, 1 less that share. Pauses and fillers need not be faults. Recognisers
leave most fillers out, so `filler_count` is a lower bound; sounds that may be further fillers are counted apart
(`disfluencies`). Without trained words only pauses are told, and runs are measured by syllable nuclei.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from reelscope.analyzers import disfluencies, speech_pauses
from reelscope.analyzers.base import Analyzer, Finding, Labels, Segment
from reelscope.analyzers.disfluencies import Disfluency
from reelscope.analyzers.speech_pauses import Phonation
from reelscope.analyzers.spoken_syllables import Syllables, syllables
from reelscope.signals import SpeechActivity, SpokenWords, VoiceAcoustics

Break = Literal["pause", "filler", "repetition"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowData:
    """A pause, a filler or a repetition; the label says which."""

    length_seconds: float
    """How long it lasts, seconds."""
    source: Literal["sound", "words"]
    """What tells of it: the sound (pauses, and fillers that are candidates only), or the words."""
    text: str | None
    """What is said, or said again; null for pauses and candidates."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowSummary:
    """How fluent the speech is. All is null where nobody speaks or the detector of speech is untrained; what comes
    from words also where the recogniser is."""

    pause_count: int | None
    """Pauses of at least 0.25 s between sounds of speech."""
    pauses_per_minute: float | None
    """Pauses per minute, from the first sound of speech to the last."""
    pause_ratio: float | None
    """Share of that time which is pause, 0-1."""
    longest_pause_seconds: float | None
    """Longest pause, seconds; null without one."""
    filler_count: int | None
    """Fillers among the words: a lower bound, for recognisers leave many out. Null in a language without a list."""
    fillers_per_minute: float | None
    """The same per minute: a lower bound."""
    filler_candidate_count: int | None
    """Stretches of voice on one note without a word: fillers that the recogniser may have left out."""
    repetition_count: int | None
    """Stretches in which one to three words are said again at once."""
    phonation_ratio: float | None
    """Share of the time from the first sound of speech to the last in which there is sound, 0-1."""
    mean_run_syllables: float | None
    """Mean length of run: syllables between two pauses; null without syllables."""
    first_word_seconds: float | None
    """When the first word begins, seconds; null without words."""
    word_count: int | None
    """Words, as transcribed; null without trained words."""


def analyze(
    activity: SpeechActivity, acoustics: VoiceAcoustics, words: SpokenWords | None
) -> Finding[FlowData, FlowSummary]:
    """Find what breaks the flow."""
    spoken = speech_pauses.phonation(activity, acoustics)
    pauses = [Disfluency(start, end, None) for start, end in spoken.pauses_seconds.tolist()] if spoken else []
    fillers, candidates, repetitions = _in_words(activity, acoustics, words)
    segments = [
        *_segments("pause", "sound", pauses),
        *_segments("filler", "words", fillers),
        *_segments("filler", "sound", candidates),
        *_segments("repetition", "words", repetitions),
    ]
    minutes = spoken.span_seconds / 60 if spoken else 0.0
    is_listed = words is not None and (words.language in disfluencies.FILLERS or not words.words)
    is_known = spoken is not None and not activity.untrained_models
    has_words = is_known and words is not None
    lengths = [pause.end_seconds - pause.start_seconds for pause in pauses]
    pause_ratio = sum(lengths) / spoken.span_seconds if spoken and is_known else None
    summary = FlowSummary(
        pause_count=len(pauses) if is_known else None,
        pauses_per_minute=len(pauses) / minutes if is_known else None,
        pause_ratio=pause_ratio,
        longest_pause_seconds=max(lengths, default=None) if is_known else None,
        filler_count=len(fillers) if has_words and is_listed else None,
        fillers_per_minute=len(fillers) / minutes if has_words and is_listed else None,
        filler_candidate_count=len(candidates) if has_words else None,
        repetition_count=len(repetitions) if has_words else None,
        phonation_ratio=1 - pause_ratio if pause_ratio is not None else None,
        mean_run_syllables=_mean_run(spoken, syllables(activity, acoustics, words)) if spoken and is_known else None,
        first_word_seconds=words.words[0].start_seconds if words and words.words else None,
        word_count=len(words.words) if words else None,
    )
    return Finding(segments=tuple(segments), summary=summary)


def _in_words(
    activity: SpeechActivity, acoustics: VoiceAcoustics, words: SpokenWords | None
) -> tuple[list[Disfluency], list[Disfluency], list[Disfluency]]:
    """Fillers, sounds that may be fillers, repetitions; none without words to tell them by."""
    if words is None or not words.words:
        return [], [], []
    fillers = [
        Disfluency(word.start_seconds, word.end_seconds, word.text)
        for word in words.words
        if disfluencies.is_filler(word, words.language)
    ]
    candidates = disfluencies.candidates(activity, acoustics, words.words)
    return fillers, candidates, disfluencies.repetitions(words.words, words.language)


def _segments(label: Break, source: Literal["sound", "words"], found: Sequence[Disfluency]) -> list[Segment[FlowData]]:
    return [
        Segment(
            kind="span",
            start_seconds=each.start_seconds,
            end_seconds=each.end_seconds,
            label=label,
            score=None,
            data=FlowData(length_seconds=each.end_seconds - each.start_seconds, source=source, text=each.text),
        )
        for each in found
        if each.end_seconds > each.start_seconds
    ]


def _mean_run(spoken: Phonation, said: Syllables) -> float | None:
    """Syllables per run; runs without any (a breath, a laugh) are none."""
    run = np.searchsorted(spoken.pauses_seconds.mean(1), said.times_seconds)
    return len(run) / len(np.unique(run)) if len(run) else None


def headline(summary: FlowSummary) -> str:
    """Say it in a few words."""
    if summary.pause_count is None or summary.phonation_ratio is None:
        return "no speech"
    pauses = "1 pause" if summary.pause_count == 1 else f"{summary.pause_count} pauses"
    parts = [
        pauses if summary.longest_pause_seconds is None else f"{pauses}, {summary.longest_pause_seconds:.1f} s at most"
    ]
    parts.append(f"voice {summary.phonation_ratio:.0%} of the time")
    if summary.filler_count:
        parts.append(f"fillers: at least {summary.filler_count}")
    if summary.repetition_count:
        parts.append(f"{summary.repetition_count} repeated")
    return ", ".join(parts)


ANALYZER = Analyzer(
    name="speech_flow",
    version="1",
    title="pauses, fillers, repetitions, runs of speech",
    requires=(SpeechActivity, VoiceAcoustics),
    uses=(SpokenWords,),
    data=FlowData,
    summary=FlowSummary,
    labels=(
        Labels(names=("pause",), meaning="nobody speaks for at least 0.25 s, within speech"),
        Labels(names=("filler",), meaning="a word such as uh, or (source sound) a voice on one note without a word"),
        Labels(names=("repetition",), meaning="one to three words are said again at once"),
    ),
    headline=headline,
    analyze=analyze,
    parameters={**speech_pauses.PARAMETERS, **disfluencies.PARAMETERS},
)
