"""Speech transcription: utterances and their words, what random weights do not claim, silence."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from envelope import violations, written
from speaking import activity, heard

from reelscope.analyzers import speech_transcription
from reelscope.signals import Utterance

WORDS = [
    ("Look", 0.5, 0.7),
    ("at", 0.7, 0.8),
    ("this", 0.8, 1.0),
    ("cat.", 1.0, 1.4),
    ("Nice", 3.0, 3.3),
    ("one!", 3.3, 3.6),
]
UTTERANCES = [0, 0, 0, 0, 1, 1]


def transcribed(words=WORDS, seconds=5.0, utterances=UTTERANCES, **options):
    return heard(words, seconds, utterances=utterances, **options)


def test_utterances_hold_their_words():
    finding = speech_transcription.analyze(transcribed(), activity([(0.5, 1.4), (3.0, 3.6)], 5.0))
    first, second = finding.segments
    assert (first.start_seconds, first.end_seconds, first.data.text) == (0.5, 1.4, "Look at this cat.")
    assert (second.start_seconds, second.end_seconds, second.data.text) == (3.0, 3.6, "Nice one!")
    assert [(word.spoken_word, word.start_seconds, word.end_seconds) for word in first.data.words] == WORDS[:4]
    assert {word.word_probability for word in second.data.words} == {0.9}
    assert first.score == pytest.approx(math.exp(-0.2))
    assert (first.data.lang, first.data.speaker) == ("en", None)


def test_summary():
    summary = speech_transcription.analyze(transcribed(), activity([(0.5, 1.4), (3.0, 3.6)], 5.0)).summary
    assert summary.text == "Look at this cat.\nNice one!"
    assert (summary.language.code, summary.language.language_probability) == ("en", 0.98)
    assert summary.word_count == 6
    assert summary.speech_seconds == pytest.approx(1.5)
    assert summary.speech_spans_seconds == ((0.5, 1.4), (3.0, 3.6))
    assert summary.asr_confidence == pytest.approx(0.9)
    assert speech_transcription.headline(summary) == '6 words in en: "Look at this cat."'


def test_without_the_mask_its_times_are_not_known():
    finding = speech_transcription.analyze(transcribed(), None)
    assert len(finding.segments) == 2
    assert (finding.summary.speech_seconds, finding.summary.speech_spans_seconds) == (None, None)
    assert finding.summary.word_count == 6


def test_silence_has_no_words():
    finding = speech_transcription.analyze(transcribed([], utterances=[]), activity([], 5.0))
    summary = finding.summary
    assert finding.segments == ()
    assert (summary.text, summary.word_count, summary.speech_seconds) == ("", 0, 0)
    assert (summary.language, summary.asr_confidence, summary.speech_spans_seconds) == (None, None, ())
    assert speech_transcription.headline(summary) == "no words"


def test_random_weights_are_reported_and_claim_nothing():
    finding = speech_transcription.analyze(transcribed(trained=False), activity([(0.5, 1.4)], 5.0))
    assert len(finding.segments) == 2
    summary = finding.summary
    assert (summary.text, summary.language, summary.word_count, summary.asr_confidence) == (None, None, None, None)
    assert summary.speech_seconds == pytest.approx(0.9), "the detector of speech is trained"
    assert speech_transcription.headline(summary) == "random weights: nothing is claimed"


@pytest.mark.parametrize(("start", "end"), [(2.0, 2.0), (4.9999, 5.0), (5.0, 5.0), (4.5, 7.0), (-0.2, 0.0)])
def test_times_stay_within_the_clip(start, end):
    """Recognisers give words no length, or some beyond the end; a segment has some, within the clip."""
    said = transcribed([("hm", start, end)], utterances=[0])
    (segment,) = speech_transcription.analyze(said, None).segments
    assert 0 <= segment.start_seconds < segment.end_seconds <= 5.001


def test_an_utterance_without_words_keeps_its_text_and_an_empty_one_is_none():
    def utterance(text):
        return Utterance(
            text=text,
            start_seconds=1.0,
            end_seconds=2.0,
            mean_log_probability=-0.5,
            no_speech_probability=0.1,
            compression_ratio=1.0,
            temperature=0.0,
        )

    said = replace(transcribed([], utterances=[]), utterances=(utterance("  "), utterance(" Hello. ")))
    finding = speech_transcription.analyze(said, None)
    (segment,) = finding.segments
    assert (segment.data.text, segment.data.words) == ("Hello.", ())
    assert (segment.start_seconds, segment.end_seconds) == (1.0, 2.0)
    assert finding.summary.text == "Hello."


def test_what_is_written(monkeypatch):
    mask = activity([(0.5, 1.4), (3.0, 3.6)], 5.0)
    finding = speech_transcription.analyze(transcribed(), mask)
    values = written(speech_transcription.ANALYZER, finding, mask, 5.0)
    found = values["analyzers"]["speech_transcription"]
    assert found["segments"][0]["data"]["words"][0] == {"w": "Look", "start": 0.5, "end": 0.7, "p": 0.9}
    assert found["summary"]["language"] == {"code": "en", "p": 0.98}
    assert set(found["summary"]) == {"text", "language", "n_words", "speech_s", "speech_spans_s", "asr_conf"}
    assert violations(values, speech_transcription.ANALYZER, monkeypatch) == []
    found["segments"][0]["data"]["words"][3]["end"] = 1.7
    assert [each.invariant for each in violations(values, speech_transcription.ANALYZER, monkeypatch)] == ["I9"]


def test_long_text_is_cut_in_tables():
    words = [(f"word{k}", 0.1 * k, 0.1 * k + 0.1) for k in range(40)]
    summary = speech_transcription.analyze(transcribed(words, utterances=[0] * 40), None).summary
    assert len(speech_transcription.headline(summary)) < 90
    assert np.isclose(summary.asr_confidence, 0.9)
