"""What the served models hear: speech that was synthesised, where it was put."""

from __future__ import annotations

import json
from fractions import Fraction

import numpy as np
import pytest
import soxr

import clips
from places import DEMO
from reelscope import check, pipeline, turns
from reelscope.analyzers import ANALYZERS
from reelscope.decode import Decoder
from reelscope.results import to_json
from reelscope.settings import profile
from reelscope.sources.speech_activity import SpeechActivitySource
from reelscope.types import ClipHeader, Deadline, MonoChunk
from reelscope_export.spoken import say

RATE_HZ = 16_000
HEADER = ClipHeader(width=2, height=2, frame_rate=Fraction(30), base_frame_rate=Fraction(5), hdr=None, has_audio=True)
MAX_EDGE_ERROR_SECONDS = 0.1
QUIET_DB = 30.0
"""Speech begins and ends where it is so much below its peak; espeak-ng fades in and out."""


def activity(client, samples):
    source = SpeechActivitySource(client, Deadline(60))
    source.start(HEADER)
    source.push(MonoChunk(samples=samples.astype(np.float32), start_seconds=0.0))
    return source.finish(len(samples) / RATE_HZ)


@pytest.mark.parametrize("noise", [0.0, 0.003, 0.01])
@pytest.mark.parametrize(
    ("text", "voice"),
    [
        ("The quick brown fox jumps over the lazy dog near the river bank.", "en-us"),
        ("Das ist ein kurzer Test auf Deutsch, nicht wahr?", "de"),
        ("Stop!", "en-us"),
        ("Seven silver spoons", "en-us"),
    ],
)
def test_speech_is_heard_where_it_is(client, text, voice, noise):
    speech = say(text, voice)
    loud = np.flatnonzero(np.abs(speech) > 10 ** (-QUIET_DB / 20) * np.abs(speech).max())
    quiet = np.zeros(RATE_HZ, np.float32)
    samples = np.concatenate([quiet, speech, quiet])
    samples += noise * np.random.default_rng(0).standard_normal(len(samples)).astype(np.float32)
    found = activity(client, samples)
    expected = 1 + loud[[0, -1]] / RATE_HZ
    assert found.spans_seconds.shape == (1, 2)
    assert np.abs(found.spans_seconds[0] - expected).max() <= MAX_EDGE_ERROR_SECONDS
    assert found.untrained_models == ()


def test_silence_noise_and_a_chord_are_no_speech(client):
    times = np.arange(4 * RATE_HZ) / RATE_HZ
    chord = sum(0.2 * np.sin(2 * np.pi * hz * times) for hz in (261.6, 329.6, 392.0))
    for samples in (np.zeros(4 * RATE_HZ), 0.05 * np.random.default_rng(0).standard_normal(4 * RATE_HZ), chord):
        assert activity(client, samples).spans_seconds.shape == (0, 2)


def test_the_demo_clip_speaks_over_music(client):
    with Decoder(DEMO, profile("cpu").base_frame_rate, None) as decoder:
        samples = np.concatenate([part.samples for part in decoder if isinstance(part, MonoChunk)])
    sentences = json.loads((DEMO.parent / "truth.json").read_text(encoding="utf-8"))["speech"]["sentences"]
    found = activity(client, samples).spans_seconds
    expected = [(each["start_seconds"], each["end_seconds"]) for each in sentences]
    assert found.shape == (3, 2)
    assert np.abs(found - expected).max() <= MAX_EDGE_ERROR_SECONDS


def test_zero_and_few_samples_are_answered(client):
    def ask(count):
        inputs = {"waveform": np.zeros((1, count), np.float32)}
        return client.ask("speech_activity", inputs, ("speech_probabilities",), 30).result()["speech_probabilities"][0]

    assert ask(0).shape == (0,)
    assert ask(1).shape == ask(512).shape == (1,)
    assert ask(513).shape == (2,)


LISTENERS = tuple(analyzer for analyzer in ANALYZERS if turns.listens(analyzer))


def analyzed(client, clip):
    """Results of the six that listen, as JSON; strict, and without a violation of the invariants."""
    found = pipeline.analyze(clip, analyzers=LISTENERS, profile=profile("cpu"), client=client)
    values = to_json(found, LISTENERS)
    assert check.check(values) == []
    json.dumps(values, allow_nan=False)
    return values


def sentence(rate):
    return soxr.resample(np.pad(say("Look at this cat. Coffee makes mornings better."), (8000, 8000)), RATE_HZ, rate)


@pytest.mark.parametrize(
    ("rate", "layout", "codec", "form"),
    [
        (44_100, "mono", "pcm_u8", "u8"),
        (96_000, "stereo", "pcm_s16le", "s16"),
        (48_000, "5.1", "flac", "s32"),
    ],
)
def test_any_sound_is_heard_through(client, tmp_path, rate, layout, codec, form):
    speech = sentence(rate)
    channels = {"mono": 1, "stereo": 2, "5.1": 6}[layout]
    samples = np.tile(speech, (channels, 1))
    clip = clips.sounding(tmp_path / "a.mkv", samples, rate, layout=layout, codec=codec, form=form)
    found = analyzed(client, clip)["analyzers"]
    assert {name: each["status"] for name, each in found.items()} == dict.fromkeys(found, "ok")
    (start, *_), *_, (*_, end) = found["speech_transcription"]["summary"]["speech_spans_s"]
    assert (start, end) == pytest.approx((0.5, len(speech) / rate - 0.5), abs=0.25)
    assert found["audio_analysis"]["summary"]["channels"] == channels


@pytest.mark.parametrize(
    ("start_seconds", "picture_seconds"), [(0.8, 6.0), (-0.4, 6.0), (0.0, 2.0), (0.0, 9.0)], ids=str
)
def test_sound_need_not_fit_the_picture(client, tmp_path, start_seconds, picture_seconds):
    """It begins late or early, ends after or before it; speech is heard where the viewer hears it."""
    clip = clips.sounding(
        tmp_path / "a.mkv",
        sentence(48_000),
        48_000,
        start_seconds=start_seconds,
        picture_seconds=picture_seconds,
    )
    values = analyzed(client, clip)
    found = values["analyzers"]
    assert {name: each["status"] for name, each in found.items()} == dict.fromkeys(found, "ok")
    (start, *_), *_ = found["speech_transcription"]["summary"]["speech_spans_s"]
    assert start == pytest.approx(0.5 + start_seconds, abs=0.15)
    assert values["media"]["duration_s"] == pytest.approx(picture_seconds, abs=0.11)


def test_silence_and_full_scale_are_numbers_too(client, tmp_path):
    square = np.sign(np.sin(2 * np.pi * 100 * np.arange(3 * 48_000) / 48_000)).astype(np.float32)
    for name, samples in (("silence", 0 * square), ("square", square)):
        found = analyzed(client, clips.sounding(tmp_path / f"{name}.mkv", samples, 48_000))["analyzers"]
        assert {name: each["status"] for name, each in found.items()} == dict.fromkeys(found, "ok")
        loudness = found["audio_analysis"]["summary"]
        assert loudness["is_silent"] == (name == "silence")
        assert (loudness["lufs_i"] is None) == (name == "silence")
        assert found["speech_transcription"]["segments"] == []


def test_damaged_sound_is_partial(client, tmp_path):
    whole = clips.write(tmp_path / "whole.mp4", clips.shots((30,), 60), tone=(0.0, 2.0))
    found = analyzed(client, clips.damaged(whole, "audio", 1.0, 10))["analyzers"]
    assert {each["status"] for each in found.values()} == {"partial"}
    assert {each["reason"] for each in found.values()} == {"damaged_input"}
