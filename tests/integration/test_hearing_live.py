"""What the served models hear: speech that was synthesised, where it was put."""

from __future__ import annotations

import json
from fractions import Fraction

import numpy as np
import pytest

from places import DEMO
from reelscope.decode import Decoder
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
        inputs = {"waveform": np.zeros(count, np.float32)}
        return client.ask("speech_activity", inputs, ("speech_probabilities",), 30).result()["speech_probabilities"]

    assert ask(0).shape == (0,)
    assert ask(1).shape == ask(512).shape == (1,)
    assert ask(513).shape == (2,)
