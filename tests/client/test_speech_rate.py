"""Speech rate: oracle words, windows, labels by language, nuclei in place of words, what is too little to tell."""

from __future__ import annotations

import numpy as np
import pytest
import speaking
from envelope import violations, written
from sounds import mono_chunks
from speaking import acoustics, activity, heard, joined, say

from reelscope.analyzers import speech_rate
from reelscope.signals import VoiceAcoustics
from reelscope.sources.voice_acoustics import VoiceAcousticsSource

FOX = "The quick brown fox jumps over the lazy dog near the river bank"
CAKE = "Today I will show you how to bake a simple chocolate cake with three basic ingredients at home"


def rate(spoken, *, words=True, language="en", sound=None, pad=0.05):
    mask = activity(spoken.spans, spoken.seconds, pad_seconds=pad)
    said = heard(spoken.words, spoken.seconds, language=language) if words else None
    return speech_rate.analyze(mask, sound or acoustics(spoken.waveform), said)


def measured(spoken) -> VoiceAcoustics:
    source = VoiceAcousticsSource()
    source.start(None)
    for chunk in mono_chunks(spoken.waveform):
        source.push(chunk)
    return source.finish(spoken.seconds)


@pytest.mark.parametrize("speed", [120, 150, 200, 260])
@pytest.mark.parametrize(("text", "syllable_count"), [(FOX, 16), (CAKE, 25)])
def test_rates_of_a_sentence(text, syllable_count, speed):
    """ANALYZERS.md 19: words per minute within 5 % of what was spoken; truth from the samples."""
    sentence = say(text, speed=speed)
    summary = rate(joined([sentence], [])).summary
    words = len(text.split())
    assert summary.words_per_minute == pytest.approx(60 * words / sentence.seconds, rel=0.05)
    assert summary.syllable_count == syllable_count
    assert summary.syllable_source == "text"
    assert summary.speech_rate_syllables_per_second == pytest.approx(syllable_count / sentence.seconds, rel=0.05)
    assert summary.articulation_rate_syllables_per_second == pytest.approx(summary.speech_rate_syllables_per_second)
    assert summary.word_count == words


@pytest.mark.parametrize("speed", [120, 150, 200])
@pytest.mark.parametrize("text", [FOX, CAKE])
def test_nuclei_agree_with_the_text(text, speed):
    """ANALYZERS.md 19: nuclei within 20 % on normal sentences."""
    spoken = joined([say(text, speed=speed)], [])
    summary = rate(spoken, sound=measured(spoken)).summary
    assert 0.8 <= summary.nuclei_agreement <= 1


def test_vowel_rich_fast_speech_is_a_known_limit():
    """Nuclei merge where vowel follows vowel: the check says so."""
    spoken = joined([say("Banana potato tomato avocado", speed=260)], [])
    summary = rate(spoken, sound=measured(spoken)).summary
    assert summary.syllable_count == 13
    assert summary.nuclei_agreement < 1


def test_short_pauses_count_dead_air_does_not():
    sentence = say(CAKE)
    words, syllables = 2 * len(CAKE.split()), 50
    short = rate(joined([sentence] * 2, [1.0])).summary
    assert short.words_per_minute == pytest.approx(60 * words / (2 * sentence.seconds + 1), rel=0.03)
    assert short.articulation_rate_syllables_per_second == pytest.approx(syllables / (2 * sentence.seconds), rel=0.05)
    assert short.articulation_rate_syllables_per_second > 1.05 * short.speech_rate_syllables_per_second
    long = rate(joined([sentence] * 2, [30.0])).summary
    assert long.words_per_minute == pytest.approx(60 * words / (2 * sentence.seconds), rel=0.05)


def test_variability_and_windows_follow_the_pace():
    slow, fast = say(CAKE, speed=110), say(CAKE, speed=280)
    spoken = joined([slow, slow, fast, fast], [0.3, 0.3, 0.3])
    finding = rate(spoken)
    columns = finding.series.columns
    assert np.diff(columns["t"]) == pytest.approx(0.5, abs=0.002)
    away = np.array(columns["t"]) - spoken.spans[1][1]
    paces = np.array(columns["wpm"])
    assert paces[away < -1.5].max() < speech_rate.ENGLISH_BOUNDS_WPM[-1] < paces[away > 1.5].min()
    assert finding.segments[-1].label == "very_fast"
    steady = rate(joined([slow] * 4, [0.3] * 3)).summary.variability_cv
    assert finding.summary.variability_cv > 2 * steady
    rates = np.array(columns["syll_s"])
    assert finding.summary.variability_cv == pytest.approx(rates.std() / rates.mean(), abs=0.001)


def test_segments_cover_the_talk():
    spoken = joined([say(CAKE), say(CAKE, speed=260), say(FOX)], [0.5, 3.0])
    segments = rate(spoken, pad=0).segments
    assert segments[0].start_seconds == pytest.approx(spoken.spans[0][0], abs=0.05)
    assert segments[-1].end_seconds == pytest.approx(spoken.spans[-1][1], abs=0.05)
    total = sum(segment.end_seconds - segment.start_seconds for segment in segments)
    assert total == pytest.approx(
        spoken.spans[1][1] - spoken.spans[0][0] + spoken.spans[2][1] - spoken.spans[2][0], abs=0.1
    )


def spread(wpm, language, seconds=6.0):
    """Words of one syllable at this pace, over noise that never pauses."""
    length = 60 / wpm
    words = [("so", k * length, (k + 1) * length) for k in range(int(seconds / length))]
    mask = activity([(0, seconds)], seconds)
    return speech_rate.analyze(mask, acoustics(speaking.noise(seconds, -20)), heard(words, seconds, language=language))


@pytest.mark.parametrize(
    ("language", "wpm", "pace"),
    [
        *(
            ("en", 100, "slow"),
            ("en", 120, "normal"),
            ("en", 150, "normal"),
            ("en", 180, "fast"),
            ("en", 220, "very_fast"),
        ),
        *(("de", 100, "normal"), ("de", 80, "slow"), ("de", 150, "fast"), ("de", 170, "very_fast")),
        *(("es", 150, "normal"), ("es", 205, "very_fast"), ("el", 150, None)),
    ],
)
def test_labels_depend_on_the_language(language, wpm, pace):
    finding = spread(wpm, language)
    assert finding.summary.pace == pace
    assert finding.summary.words_per_minute == pytest.approx(wpm, rel=0.05)
    assert {segment.label for segment in finding.segments} == {pace or "speech"}


@pytest.mark.parametrize("language", ["zh", "ja"])
def test_characters_are_no_words(language):
    finding = spread(200, language)
    assert finding.summary.words_per_minute is None
    assert finding.summary.pace is None
    assert finding.summary.speech_rate_syllables_per_second is not None
    assert "wpm" not in finding.series.columns


@pytest.mark.parametrize("count", [0, 1, 2])
def test_fewer_than_three_words_tell_no_rate(count):
    words = [("so", 0.3 * k, 0.3 * k + 0.3) for k in range(count)]
    mask = activity([(0, 1)], 1.0)
    finding = speech_rate.analyze(
        mask, acoustics(speaking.noise(1, -20), nuclei=[0.1, 0.3, 0.5, 0.7]), heard(words, 1.0)
    )
    assert finding.segments == ()
    assert finding.summary.word_count == count
    rest = [name for name in finding.summary.__slots__ if name != "word_count"]
    assert all(getattr(finding.summary, name) is None for name in rest)


def test_without_trained_words_nuclei_tell_the_rate():
    spoken = joined([say(CAKE)], [])
    finding = rate(spoken, words=False, sound=measured(spoken))
    summary = finding.summary
    assert summary.syllable_source == "nuclei"
    assert summary.speech_rate_syllables_per_second == pytest.approx(25 / spoken.words[-1][2] * 1.1, rel=0.25)
    assert (summary.words_per_minute, summary.word_count, summary.pace) == (None, None, None)
    assert summary.nuclei_agreement is None
    assert {segment.label for segment in finding.segments} == {"speech"}
    assert "syllables/s" in speech_rate.headline(summary)


def test_a_language_that_is_not_pronounced_is_counted_by_nuclei():
    words = [("apa", 0.4 * k, 0.4 * k + 0.4) for k in range(10)]
    mask = activity([(0, 4)], 4.0)
    nuclei = np.arange(0.1, 4, 0.2)
    summary = speech_rate.analyze(
        mask, acoustics(speaking.noise(4, -20), nuclei=nuclei), heard(words, 4.0, language="jw")
    ).summary
    assert summary.words_per_minute == pytest.approx(150, rel=0.02)
    assert (summary.syllable_source, summary.syllable_count, summary.nuclei_agreement) == ("nuclei", 20, None)


def test_nuclei_outside_speech_are_not_heard():
    mask = activity([(1, 3)], 4.0)
    sound = acoustics(speaking.noise(4, -20), nuclei=[0.2, 0.5, 1.2, 1.6, 2.0, 2.4, 3.5])
    assert speech_rate.analyze(mask, sound, None).summary.syllable_count == 4


@pytest.mark.parametrize("sound", [np.zeros(32_000, np.float32), speaking.noise(2, -30), np.zeros(0, np.float32)])
def test_nobody_speaks(sound):
    seconds = max(len(sound) / speaking.RATE, 0.1)
    for words in (heard([], seconds), None):
        finding = speech_rate.analyze(activity([], seconds), acoustics(sound, nuclei=[0.05]), words)
        assert finding.segments == ()
        assert finding.summary.speech_rate_syllables_per_second is None
        assert finding.summary.word_count == (0 if words else None)
    assert speech_rate.headline(finding.summary) == "too little speech to tell a rate"


def test_an_untrained_detector_claims_nothing():
    mask = activity([(0, 4)], 4.0, trained=False)
    summary = speech_rate.analyze(mask, acoustics(speaking.noise(4, -20), nuclei=[1, 2, 3]), None).summary
    assert all(getattr(summary, name) is None for name in summary.__slots__)


def test_ten_minutes_stay_within_the_bound_of_series():
    words = [("so", 0.4 * k, 0.4 * k + 0.4) for k in range(1500)]
    mask = activity([(0, 600)], 600.0)
    finding = speech_rate.analyze(mask, acoustics(speaking.noise(600, -20)), heard(words, 600.0))
    assert len(finding.series.columns["t"]) == 1195


def test_what_is_written(monkeypatch):
    spoken = joined([say(FOX), say(CAKE)], [0.8])
    finding = rate(spoken)
    values = written(speech_rate.ANALYZER, finding, activity(spoken.spans, spoken.seconds), spoken.seconds)
    found = values["analyzers"]["speech_rate"]
    assert set(found["segments"][0]["data"]) == {"wpm", "syll_s"}
    assert {"wpm", "speech_rate_syll_s", "articulation_rate_syll_s", "variability_cv"} <= set(found["summary"])
    assert {"nuclei_agreement", "pace", "n_words"} <= set(found["summary"])
    assert violations(values, speech_rate.ANALYZER, monkeypatch) == []
    assert "words/min" in speech_rate.headline(finding.summary)
