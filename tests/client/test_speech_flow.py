"""Speech flow: inserted pauses, fillers, repetitions, runs; what is claimed without words, and where nobody speaks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import speaking
from envelope import violations, written
from speaking import acoustics, activity, heard, joined, say

from reelscope.analyzers import disfluencies, speech_flow

FOX = "The quick brown fox jumps over the lazy dog"
CAKE = "Today I will show you how to bake a simple chocolate cake with three basic ingredients at home"


def flow(spoken, *, pad=0.0, words=True, language="en", nuclei=(), trained=True, **options):
    mask = activity(spoken.spans, spoken.seconds, pad_seconds=pad, trained=trained)
    said = heard(spoken.words, spoken.seconds, language=language) if words else None
    return speech_flow.analyze(mask, acoustics(spoken.waveform, nuclei=nuclei, **options), said)


def labelled(finding, label):
    return [segment for segment in finding.segments if segment.label == label]


@pytest.mark.parametrize("pad", [0.0, 0.12])
@pytest.mark.parametrize("noise_db", [None, -50.0])
def test_inserted_pauses_are_found(pad, noise_db):
    """ANALYZERS.md 17: 0.4, 0.8 and 1.5 s, each within 0.15 s, whatever the detector adds to the speech."""
    gaps = (0.4, 0.8, 1.5)
    spoken = joined([say(FOX), say(CAKE), say(FOX), say("Tap the link in bio")], gaps)
    if noise_db:
        sound = spoken.waveform + speaking.noise(spoken.seconds, noise_db)[: len(spoken.waveform)]
        spoken = replace(spoken, waveform=sound)
    finding = flow(spoken, pad=pad)
    pauses = labelled(finding, "pause")
    assert [pause.data.length_seconds for pause in pauses] == pytest.approx(gaps, abs=0.15)
    for pause, (_, end), (start, _) in zip(pauses, spoken.spans[:-1], spoken.spans[1:], strict=True):
        assert (pause.start_seconds, pause.end_seconds) == pytest.approx((end, start), abs=0.15)
    total = spoken.spans[-1][1] - spoken.spans[0][0]
    summary = finding.summary
    assert summary.pause_count == 3
    assert summary.pauses_per_minute == pytest.approx(180 / total, rel=0.02)
    assert summary.pause_ratio == pytest.approx(sum(gaps) / total, abs=0.03)
    assert summary.phonation_ratio == pytest.approx(1 - summary.pause_ratio)
    assert summary.longest_pause_seconds == pytest.approx(1.5, abs=0.15)


def test_a_pause_that_the_mask_bridges_is_found_by_its_level():
    spoken = joined([say(FOX), say(CAKE)], [0.4])
    bridged = replace(spoken, spans=((spoken.spans[0][0], spoken.spans[1][1]),))
    (pause,) = labelled(flow(bridged), "pause")
    assert pause.data.length_seconds == pytest.approx(0.4, abs=0.15)


def test_a_pause_full_of_music_is_found_by_the_mask():
    spoken = joined([say(FOX), say(CAKE)], [0.8])
    loud = replace(spoken, waveform=spoken.waveform + speaking.noise(spoken.seconds, -20)[: len(spoken.waveform)])
    (pause,) = labelled(flow(loud), "pause")
    assert pause.data.length_seconds == pytest.approx(0.8, abs=0.02)


@pytest.mark.parametrize("speed", [120, 150, 200])
@pytest.mark.parametrize("text", [FOX, CAKE])
def test_a_continuous_sentence_has_no_pause(text, speed):
    finding = flow(joined([say(text, speed=speed)], []), pad=0.1)
    assert finding.segments == ()
    assert (finding.summary.pause_count, finding.summary.pause_ratio) == (0, 0)
    assert finding.summary.longest_pause_seconds is None
    assert finding.summary.phonation_ratio == 1


@pytest.mark.parametrize(("click_seconds", "count"), [(0.05, 1), (0.2, 2)])
def test_a_click_does_not_split_a_pause(click_seconds, count):
    """Whatever sounds for less than 0.1 s is no speech."""
    click = speaking.Spoken(speaking.noise(click_seconds, -15), (), ((0.0, click_seconds),))
    spoken = joined([say(FOX), click, say(CAKE)], [0.4, 0.4])
    pauses = labelled(flow(spoken), "pause")
    assert len(pauses) == count
    total = sum(pause.data.length_seconds for pause in pauses)
    assert total == pytest.approx(0.8 + (click_seconds if count == 1 else 0), abs=0.05)


def test_a_shorter_gap_is_no_pause():
    assert labelled(flow(joined([say(FOX), say(CAKE)], [0.15])), "pause") == []


def test_mean_length_of_run():
    spoken = joined([say("Tap the link in bio"), say("Banana potato tomato avocado")], [0.8])
    assert flow(spoken).summary.mean_run_syllables == pytest.approx((6 + 13) / 2)
    times = [0.6, 0.9, 1.2, 3.0, 3.3]
    assert flow(spoken, words=False, nuclei=times).summary.mean_run_syllables == pytest.approx(2.5)


def words_of(text, language="en", gap=0.0):
    """Words of 0.3 s each, one after the other."""
    return [(word, k * (0.3 + gap), k * (0.3 + gap) + 0.3) for k, word in enumerate(text.split())]


def said(text, language="en"):
    words = words_of(text)
    seconds = words[-1][2]
    mask = activity([(0, seconds)], seconds)
    sound = acoustics(speaking.noise(seconds, -20))
    return speech_flow.analyze(mask, sound, heard(words, seconds, language=language))


@pytest.mark.parametrize(
    ("language", "text", "count"),
    [
        ("en", "So, um, this is uh great", 2),
        ("en", "Uhhh I don't know, ummm.", 2),
        ("de", "Das ist, ähm, sehr äh schön", 2),
        ("de", "Wir gehen um das Haus, er auch", 0),
        ("en", "an umbrella and a human", 0),
        ("en", "no fillers at all", 0),
    ],
)
def test_fillers_of_the_language(language, text, count):
    finding = said(text, language)
    assert finding.summary.filler_count == count
    seconds = 0.3 * len(text.split())
    assert finding.summary.fillers_per_minute == pytest.approx(60 * count / seconds)
    assert {segment.data.source for segment in labelled(finding, "filler")} == ({"words"} if count else set())


def test_fillers_of_a_language_without_a_list_are_not_counted():
    summary = said("euh je ne sais pas", "fr").summary
    assert (summary.filler_count, summary.fillers_per_minute, summary.word_count) == (None, None, 5)


@pytest.mark.parametrize(
    ("text", "phrases"),
    [
        ("this is the the best", ["the"]),
        ("The the THE best", ["The"]),
        ("I want I want a cake", ["I want"]),
        ("look at the look at the cat", ["look at the"]),
        ("the um the cat", ["the"]),
        ("No. No way", []),
        ("a cat and a dog and a cow", []),
        ("all different words here", []),
        ("the the cat sat sat down", ["the", "sat"]),
    ],
)
def test_repetitions(text, phrases):
    finding = said(text)
    assert [segment.data.text for segment in labelled(finding, "repetition")] == phrases
    assert finding.summary.repetition_count == len(phrases)


def test_a_repetition_has_the_time_of_all_its_copies():
    (segment,) = labelled(said("see the the the cat"), "repetition")
    assert (segment.start_seconds, segment.end_seconds) == pytest.approx((0.3, 1.2))


def hum(seconds, hz, glide_hz=0.0):
    times = np.arange(round(seconds * speaking.RATE)) / speaking.RATE
    phase = 2 * np.pi * (hz * times + glide_hz * times**2 / (2 * seconds))
    return sum(0.1 / k * np.sin(k * phase) for k in range(1, 6)).astype(np.float32)


@pytest.mark.parametrize(
    ("seconds", "glide_hz", "is_heard"), [(0.4, 0.0, True), (0.3, 5.0, True), (0.12, 0.0, False), (0.4, 60.0, False)]
)
def test_a_voice_on_one_note_without_a_word_may_be_a_filler(seconds, glide_hz, is_heard):
    first, second = say(FOX), say(CAKE)
    middle = speaking.Spoken(hum(seconds, 120, glide_hz), (), ((0.0, seconds),))
    spoken = joined([first, middle, second], [0.05, 0.05])
    whole = replace(spoken, spans=((spoken.spans[0][0], spoken.spans[-1][1]),))
    finding = flow(whole, pitch=True)
    found = labelled(finding, "filler")
    assert finding.summary.filler_candidate_count == len(found) == int(is_heard)
    assert finding.summary.filler_count == 0, "a candidate is no filler"
    for segment in found:
        start, end = spoken.spans[1]
        assert (segment.start_seconds, segment.end_seconds) == pytest.approx((start, end), abs=0.08)
        assert (segment.data.source, segment.data.text) == ("sound", None)
    assert flow(whole, pitch=True, words=False).summary.filler_candidate_count is None


def test_without_trained_words_only_pauses_are_told():
    spoken = joined([say(FOX), say(CAKE)], [0.8])
    finding = flow(spoken, words=False)
    assert {segment.label for segment in finding.segments} == {"pause"}
    summary = finding.summary
    assert summary.pause_count == 1
    assert (summary.filler_count, summary.repetition_count, summary.first_word_seconds) == (None, None, None)
    assert (summary.word_count, summary.mean_run_syllables) == (None, None)


def test_first_word():
    spoken = joined([say(FOX)], [], around_seconds=1.25)
    assert flow(spoken).summary.first_word_seconds == pytest.approx(1.25)


@pytest.mark.parametrize("sound", [np.zeros(32_000, np.float32), speaking.noise(2, -30), np.zeros(0, np.float32)])
def test_nobody_speaks(sound):
    seconds = max(len(sound) / speaking.RATE, 0.1)
    finding = speech_flow.analyze(activity([], seconds), acoustics(sound), heard([], seconds))
    assert finding.segments == ()
    assert finding.summary.word_count == 0
    assert {name for name in finding.summary.__slots__ if getattr(finding.summary, name) is not None} == {"word_count"}
    assert speech_flow.headline(finding.summary) == "no speech"


@pytest.mark.parametrize("seconds", [0.01, 0.05, 0.1])
def test_very_short_speech(seconds):
    sound = speaking.noise(seconds, -20)
    finding = speech_flow.analyze(
        activity([(0, seconds)], seconds), acoustics(sound), heard([("hi", 0, seconds)], seconds)
    )
    assert finding.summary.pause_count == 0


def test_an_untrained_detector_claims_nothing():
    spoken = joined([say(FOX), say(CAKE)], [0.8])
    summary = flow(spoken, words=False, trained=False).summary
    assert all(getattr(summary, name) is None for name in summary.__slots__)


def test_plain_words():
    assert [disfluencies.plain(text) for text in ("Uhhh,", "«Ähm»", "don't", "...", "Hmm!")] == [
        *("uh", "ähm", "dont", "", "hm"),
    ]


def test_what_is_written(monkeypatch):
    spoken = joined([say(FOX), say("the the cat")], [0.8])
    finding = flow(spoken)
    mask = activity(spoken.spans, spoken.seconds)
    values = written(speech_flow.ANALYZER, finding, mask, spoken.seconds)
    found = values["analyzers"]["speech_flow"]
    assert {segment["label"] for segment in found["segments"]} == {"pause", "repetition"}
    assert set(found["segments"][0]["data"]) == {"dur_s", "source", "text"}
    assert {"pauses_per_min", "pause_ratio", "longest_pause_s", "fillers_per_min", "filler_count"} <= set(
        found["summary"]
    )
    assert {"phonation_ratio", "mlr_syll", "first_word_s", "n_words"} <= set(found["summary"])
    assert violations(values, speech_flow.ANALYZER, monkeypatch) == []
    assert speech_flow.headline(finding.summary).startswith("1 pause, 0.8 s at most, voice ")
