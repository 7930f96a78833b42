"""Speech rate: how fast somebody talks.

Conventions: talk is what is said without a pause of `passage_gap_seconds` or longer; it includes shorter pauses. Words
per minute and syllables per second are counted over the time of all talk, so that dead air between two sentences does
not make them slow; the articulation rate leaves all pauses out (`speech_pauses`). Syllables are those of the words'
pronunciation; where there are no trained words, or nobody knows how their language is pronounced, they are the nuclei
that are heard. Fewer than three words, or nuclei, tell no rate: null.

The curves are taken over windows of 3 s, every 0.5 s; talk that is shorter is one window. Segments are stretches in
which the windows have one label: slow, normal, fast, very_fast by words per minute, or "speech" where there is no
label.

Labels depend on the language: a German minute has fewer, longer words. The English bounds are scaled by how many words
the same text takes per minute when read aloud (Trauzettel-Klosinski & Dietz 2012, doi:10.1167/iovs.11-8284, table of 17
languages). Where a language is written without spaces the recogniser's words are characters: no words per minute.

Source of the nuclei: de Jong & Wempe (2009), doi:10.3758/BRM.41.2.385. They miss syllables of vowel-rich fast speech.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from reelscope.analyzers import speech_pauses
from reelscope.analyzers.base import Analyzer, Finding, Labels, Segment, Series
from reelscope.analyzers.speech_pauses import Phonation
from reelscope.analyzers.spoken_syllables import SyllableSource, nuclei, syllables
from reelscope.analyzers.windows import cells
from reelscope.signals import Parameter, SpeechActivity, SpokenWords, VoiceAcoustics

PASSAGE_GAP_SECONDS = 2.0
WINDOW_SECONDS, HOP_SECONDS = 3.0, 0.5
MIN_COUNT = 3
SHORTEST_SECONDS = 0.001
"""What has no length of its own, such as a nucleus, gets this."""
LABELS = ("slow", "normal", "fast", "very_fast")
ENGLISH_BOUNDS_WPM = (110.0, 160.0, 200.0)
"""Words per minute at which English speech becomes normal, fast and very fast."""
READING_WPM = dict(
    zip(
        ("ar", "de", "en", "es", "fi", "fr", "he", "it", "nl", "pl", "pt", "ru", "sl", "sv", "tr"),
        (138, 179, 228, 218, 161, 195, 187, 188, 202, 166, 181, 184, 180, 199, 166),
        strict=True,
    )
)
"""Words per minute at which adults read the same text aloud, by language."""
WITHOUT_SPACES = frozenset(("ja", "lo", "my", "th", "yue", "zh"))
"""Languages of which Whisper takes every character for a word."""

PARAMETERS: dict[str, Parameter] = {
    "passage_gap_seconds": PASSAGE_GAP_SECONDS,
    "rate_window_seconds": WINDOW_SECONDS,
    "rate_hop_seconds": HOP_SECONDS,
    "rate_labels": " ".join(LABELS),
    "rate_bounds_en_wpm": " ".join(f"{bound:g}" for bound in ENGLISH_BOUNDS_WPM),
}

Label = Literal["slow", "normal", "fast", "very_fast"]
Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class RateData:
    """A stretch of talk with one pace; means over its windows. The label is that of the words per minute."""

    words_per_minute: float | None
    """Words per minute; null without trained words."""
    syllables_per_second: float
    """Syllables per second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RateSummary:
    """How fast the speech is. Rates are null with fewer than three words, or nuclei where there are no words."""

    words_per_minute: float | None
    """Words per minute of talk, pauses under 2 s included; null without trained words, and where a language is written
    without spaces."""
    speech_rate_syllables_per_second: float | None
    """Syllables per second of talk, pauses under 2 s included."""
    articulation_rate_syllables_per_second: float | None
    """Syllables per second of talk, without pauses."""
    variability_cv: float | None
    """Standard deviation over mean of the syllable rate of 3 s windows, >= 0; null with fewer than two."""
    nuclei_agreement: float | None
    """The smaller over the larger of two counts: syllables of the text, nuclei that are heard, 0-1. Null without
    syllables of a text."""
    pace: Label | None
    """The words per minute by the bounds of the language; null where none are known."""
    syllable_count: int | None
    """Syllables that the rates are counted from."""
    syllable_source: SyllableSource | None
    """text: of the words' pronunciation; nuclei: heard, without words."""
    word_count: int | None
    """Words, as transcribed; null without trained words."""


@dataclass(frozen=True, slots=True)
class _Windows:
    """Windows of all talk, in order."""

    spans_seconds: Values
    cells_seconds: Values
    words_per_minute: Values | None
    syllables_per_second: Values


def analyze(
    activity: SpeechActivity, acoustics: VoiceAcoustics, words: SpokenWords | None
) -> Finding[RateData, RateSummary]:
    """Count over all talk, and in windows."""
    spoken = speech_pauses.phonation(activity, acoustics)
    said = syllables(activity, acoustics, words)
    count = len(words.words) if words else len(said.spans_seconds)
    if spoken is None or count < MIN_COUNT or activity.untrained_models:
        return Finding(segments=(), summary=_nothing(words))
    word_spans = None
    if words and words.language not in WITHOUT_SPACES:
        word_spans = np.array([(word.start_seconds, word.end_seconds) for word in words.words])
    talk = _talk(spoken)
    windows = _windows(talk, word_spans, said.spans_seconds)
    bounds = _bounds(words.language if words else None)
    seconds = float((talk[:, 1] - talk[:, 0]).sum())
    rates = windows.syllables_per_second
    heard = len(nuclei(activity, acoustics))
    total = len(said.spans_seconds)
    wpm = None if word_spans is None else 60 * len(word_spans) / seconds
    summary = RateSummary(
        words_per_minute=wpm,
        speech_rate_syllables_per_second=total / seconds,
        articulation_rate_syllables_per_second=total / spoken.sounding_seconds,
        variability_cv=float(rates.std() / rates.mean()) if len(rates) > 1 and rates.any() else None,
        nuclei_agreement=min(heard, total) / max(heard, total) if said.source == "text" else None,
        pace=_pace(wpm, bounds),
        syllable_count=total,
        syllable_source=said.source,
        word_count=len(words.words) if words else None,
    )
    return Finding(segments=tuple(_segments(windows, bounds)), summary=summary, series=_series(windows))


def _nothing(words: SpokenWords | None) -> RateSummary:
    return RateSummary(
        words_per_minute=None,
        speech_rate_syllables_per_second=None,
        articulation_rate_syllables_per_second=None,
        variability_cv=None,
        nuclei_agreement=None,
        pace=None,
        syllable_count=None,
        syllable_source=None,
        word_count=len(words.words) if words else None,
    )


def _talk(spoken: Phonation) -> Values:
    """[k, 2] start and end of talk without long pauses."""
    pauses = spoken.pauses_seconds
    long = pauses[pauses[:, 1] - pauses[:, 0] >= PASSAGE_GAP_SECONDS]
    runs = spoken.runs_seconds
    return np.column_stack([np.append(runs[0, 0], long[:, 1]), np.append(long[:, 0], runs[-1, 1])])


def _windows(talk: Values, word_spans: Values | None, syllable_spans: Values) -> _Windows:
    spans, places = [], []
    for start, end in talk.tolist():
        count = 1 + max(0, int((end - start - WINDOW_SECONDS) / HOP_SECONDS + 1e-6))
        starts = start + HOP_SECONDS * np.arange(count)
        spans.append(np.column_stack([starts, np.minimum(starts + WINDOW_SECONDS, end)]))
        places.append(cells(spans[-1]))
        places[-1][-1, 1] = end
    windows = np.concatenate(spans)
    lengths = windows[:, 1] - windows[:, 0]
    return _Windows(
        spans_seconds=windows,
        cells_seconds=np.concatenate(places),
        words_per_minute=None if word_spans is None else 60 * _counts(word_spans, windows) / lengths,
        syllables_per_second=_counts(syllable_spans, windows) / lengths,
    )


def _counts(spans: Values, windows: Values) -> Values:
    """[n] how many of the spans [k, 2] lie in each window [n, 2]; those that it cuts count by the part within."""
    starts, ends = spans[:, 0], np.maximum(spans[:, 1], spans[:, 0] + SHORTEST_SECONDS)
    parts = [
        np.maximum(0, np.minimum(ends, end) - np.maximum(starts, start)) / (ends - starts) for start, end in windows
    ]
    return np.array([part.sum() for part in parts])


def _bounds(language: str | None) -> tuple[float, ...] | None:
    """Words per minute at which speech of the language becomes normal, fast and very fast."""
    if language not in READING_WPM or language is None:
        return None
    return tuple(bound * READING_WPM[language] / READING_WPM["en"] for bound in ENGLISH_BOUNDS_WPM)


def _pace(wpm: float | None, bounds: Sequence[float] | None) -> Label | None:
    if wpm is None or bounds is None:
        return None
    labels: tuple[Label, ...] = ("slow", "normal", "fast", "very_fast")
    return labels[sum(wpm >= bound for bound in bounds)]


def _segments(windows: _Windows, bounds: Sequence[float] | None) -> list[Segment[RateData]]:
    """Consecutive windows of one label and one piece of talk, joined."""
    wpm = windows.words_per_minute
    labels = [_pace(None if wpm is None else float(wpm[k]), bounds) for k in range(len(windows.cells_seconds))]
    places = windows.cells_seconds
    first = 0
    segments = []
    for k in range(1, len(labels) + 1):
        if k < len(labels) and labels[k] == labels[first] and places[k, 0] == places[k - 1, 1]:
            continue
        data = RateData(
            words_per_minute=None if wpm is None else float(wpm[first:k].mean()),
            syllables_per_second=float(windows.syllables_per_second[first:k].mean()),
        )
        segments.append(
            Segment(
                kind="span",
                start_seconds=float(places[first, 0]),
                end_seconds=float(places[k - 1, 1]),
                label=labels[first] or "speech",
                score=None,
                data=data,
            )
        )
        first = k
    return segments


def _series(windows: _Windows) -> Series:
    columns = {"t": windows.spans_seconds.mean(1), "syll_s": windows.syllables_per_second}
    if windows.words_per_minute is not None:
        columns["wpm"] = windows.words_per_minute
    return Series(columns={name: tuple(values.round(3).tolist()) for name, values in columns.items()})


def headline(summary: RateSummary) -> str:
    """Say it in a few words."""
    if summary.speech_rate_syllables_per_second is None:
        return "too little speech to tell a rate"
    parts = [f"{summary.speech_rate_syllables_per_second:.1f} syllables/s"]
    if summary.words_per_minute is not None:
        parts.insert(0, f"{summary.words_per_minute:.0f} words/min")
    if summary.pace:
        parts.append(summary.pace.replace("_", " "))
    return ", ".join(parts)


ANALYZER = Analyzer(
    name="speech_rate",
    version="1",
    title="words per minute, syllables per second, pace",
    requires=(SpeechActivity, VoiceAcoustics),
    uses=(SpokenWords,),
    data=RateData,
    summary=RateSummary,
    labels=(
        Labels(
            names=(*get_args(Label), "speech"),
            meaning="talk of one pace; the label is that of its words per minute, speech where no bounds are known",
        ),
    ),
    columns={
        "syll_s": "syllables per second in a window of 3 s, >= 0",
        "wpm": "words per minute in it, >= 0; missing without trained words",
    },
    headline=headline,
    analyze=analyze,
    parameters={**speech_pauses.PARAMETERS, **PARAMETERS},
)
