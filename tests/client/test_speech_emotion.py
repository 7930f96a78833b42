"""Speech emotion on injected judgements: means, ranges, slope, peak, noise, classes; what is not claimed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import speaking
from envelope import violations, written
from feeding import PROVENANCE
from speaking import acoustics, activity

from reelscope.analyzers import speech_emotion
from reelscope.signals import SpeechEmotions

NETWORK = replace(PROVENANCE, name="speech_emotion_wav2vec2", ensemble="speech_emotions")
SPANS = ((1.0, 3.0), (4.0, 8.0), (9.0, 13.0))


def judged(arousal, spans=SPANS, seconds=14.0, *, valence=None, dominance=None, classes=None, trained=True):
    count = len(spans)
    half = [0.5] * count
    return SpeechEmotions(
        sampling="A16",
        sample_count=round(seconds * speaking.RATE),
        models=(replace(NETWORK, trained=trained),),
        duration_seconds=seconds,
        spans_seconds=np.array(spans, float).reshape(-1, 2),
        arousal=np.array(arousal, np.float32),
        dominance=np.array(half if dominance is None else dominance, np.float32),
        valence=np.array(half if valence is None else valence, np.float32),
        class_names=tuple(classes or ()),
        class_probabilities=np.array(list((classes or {}).values()), np.float32).T.reshape(count, len(classes or ())),
    )


def sound(snr_db, spans=SPANS, seconds=14.0):
    """Noise in place of speech, this much louder than the noise around it."""
    waveform = speaking.noise(seconds, -60)
    for k, (start, end) in enumerate(spans):
        part = slice(round(start * speaking.RATE), round(end * speaking.RATE))
        waveform[part] += speaking.noise(end - start, -60 + snr_db, seed=k + 1)
    return acoustics(waveform), activity(spans, seconds)


def test_means_ranges_slope_and_peak():
    finding = speech_emotion.analyze(judged([0.2, 0.5, 0.9], valence=[0.9, 0.3, 0.3]), None, None)
    summary = finding.summary
    assert summary.arousal.mean == pytest.approx((2 * 0.2 + 4 * 0.5 + 4 * 0.9) / 10)
    assert (summary.arousal.low, summary.arousal.high) == pytest.approx((0.2, 0.9))
    assert summary.valence.mean == pytest.approx((2 * 0.9 + 8 * 0.3) / 10)
    assert summary.arousal_slope_per_second == pytest.approx(np.polyfit([2, 6, 11], [0.2, 0.5, 0.9], 1)[0], rel=1e-5)
    assert summary.peak_seconds == pytest.approx(11)
    assert summary.judged_seconds == pytest.approx(10)
    assert summary.sensitive is True
    assert [segment.data.arousal for segment in finding.segments] == pytest.approx([0.2, 0.5, 0.9])
    assert {segment.score for segment in finding.segments} == {None}
    assert speech_emotion.headline(summary).startswith(
        "arousal 0.60, valence 0.42, dominance 0.50, most excited at 11.0 s"
    )


@pytest.mark.parametrize("seconds", [1.0, 10.0])
def test_silence_and_music_have_no_segments(seconds):
    finding = speech_emotion.analyze(judged([], (), seconds), activity([], seconds), acoustics(speaking.noise(seconds)))
    assert (finding.segments, finding.warnings) == ((), ())
    summary = finding.summary
    assert (summary.arousal, summary.valence, summary.dominance) == (None, None, None)
    assert (summary.arousal_slope_per_second, summary.peak_seconds) == (None, None)
    assert summary.judged_seconds == 0
    assert speech_emotion.headline(summary) == "no voice to judge"


@pytest.mark.parametrize(("snr_db", "is_noisy"), [(30, False), (8, False), (3, True), (0, True)])
def test_speech_in_noise_is_warned_of(snr_db, is_noisy):
    heard, mask = sound(snr_db)
    finding = speech_emotion.analyze(judged([0.5] * 3), mask, heard)
    assert finding.warnings == (("low_snr",) if is_noisy else ())
    assert [segment.data.snr_db for segment in finding.segments] == pytest.approx([snr_db] * 3, abs=0.5)


def test_without_a_background_there_is_no_ratio():
    heard, mask = acoustics(speaking.noise(14, -20)), activity([(0.0, 14.0)], 14.0)
    finding = speech_emotion.analyze(judged([0.5] * 3), mask, heard)
    assert {segment.data.snr_db for segment in finding.segments} == {None}
    assert finding.warnings == ()


def test_what_the_network_says_beyond_its_scale_is_cut_and_no_number_is_none():
    finding = speech_emotion.analyze(judged([1.3, np.nan, -0.1], valence=[np.inf, 0.4, 0.4]), None, None)
    assert [segment.data.arousal for segment in finding.segments] == [1, None, 0]
    assert finding.segments[0].data.valence is None
    assert finding.summary.arousal.high == 1
    assert finding.summary.valence.mean == pytest.approx(0.4)
    assert finding.summary.peak_seconds == 2


def test_all_numbers_missing():
    finding = speech_emotion.analyze(judged([np.nan] * 3, valence=[np.nan] * 3, dominance=[np.nan] * 3), None, None)
    assert finding.summary.arousal is None
    assert len(finding.segments) == 3


def test_one_piece_has_no_slope():
    summary = speech_emotion.analyze(judged([0.7], SPANS[:1]), None, None).summary
    assert summary.arousal_slope_per_second is None
    assert summary.peak_seconds == 2


def test_classes_where_the_head_has_them(monkeypatch):
    classes = {"angry": [0.7, 0.2, 0.1], "calm": [0.3, 0.8, 0.9]}
    emotions = judged([0.5] * 3, classes=classes)
    finding = speech_emotion.analyze(emotions, None, None)
    assert [segment.label for segment in finding.segments] == ["angry", "calm", "calm"]
    assert [segment.score for segment in finding.segments] == pytest.approx([0.7, 0.8, 0.9])
    assert finding.segments[0].data.probabilities == pytest.approx({"angry": 0.7, "calm": 0.3})
    values = written(speech_emotion.ANALYZER, finding, emotions, 14.0)
    assert violations(values, speech_emotion.ANALYZER, monkeypatch) == []


def test_random_weights_claim_nothing():
    finding = speech_emotion.analyze(judged([0.2, 0.5, 0.9], trained=False), None, None)
    assert len(finding.segments) == 3, "reported"
    summary = finding.summary
    assert (summary.arousal, summary.valence, summary.dominance) == (None, None, None)
    assert (summary.arousal_slope_per_second, summary.peak_seconds) == (None, None)
    assert summary.judged_seconds is None
    assert summary.sensitive is True
    assert speech_emotion.ANALYZER.is_biometric
    assert speech_emotion.headline(summary) == "random weights: nothing is claimed"


@pytest.mark.parametrize("trained", [True, False])
def test_what_is_written(monkeypatch, trained):
    heard, mask = sound(20)
    emotions = judged([0.2, 0.5, 0.9], trained=trained)
    values = written(speech_emotion.ANALYZER, speech_emotion.analyze(emotions, mask, heard), emotions, 14.0)
    found = values["analyzers"]["speech_emotion"]
    assert set(found["segments"][0]["data"]) == {"arousal", "valence", "dominance", "probs", "snr_db"}
    assert {"arousal_slope", "peak_s", "sensitive", "opt_out"} <= set(found["summary"])
    assert violations(values, speech_emotion.ANALYZER, monkeypatch) == []
    found["segments"][0]["data"]["valence"] = 1.5
    assert [each.invariant for each in violations(values, speech_emotion.ANALYZER, monkeypatch)] == ["I3"]
