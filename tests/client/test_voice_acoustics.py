"""Level, pitch and syllable nuclei of the mono track: tones, speech of known syllables, and what is no voice."""

from __future__ import annotations

import numpy as np
import pytest
from sounds import mono_chunks, noise, sine

from reelscope.signals import VoiceAcoustics
from reelscope.sources.voice_acoustics import VoiceAcousticsSource
from reelscope_export.spoken import say

RATE = 16_000
SENTENCES = (
    ("The quick brown fox jumps over the lazy dog near the river bank.", 16),
    ("Today I will show you how to bake a simple chocolate cake with three basic ingredients at home.", 25),
)


def measure(samples, *, duration=None, chunk=RATE, block_hops=None) -> VoiceAcoustics:
    source = VoiceAcousticsSource()
    if block_hops:
        source.block_hops = block_hops
    source.start(None)
    for part in mono_chunks(samples, chunk):
        source.push(part)
    return source.finish(len(samples) / RATE if duration is None else duration)


@pytest.fixture(scope="module")
def spoken():
    """A minute of speech."""
    once = np.concatenate([say(text, words_per_minute=170) for text, _ in SENTENCES])
    return np.tile(once, -(-60 * RATE // len(once)))


@pytest.mark.parametrize("hz", [110, 220, 440])
def test_pitch_of_a_tone(hz):
    pitch = measure(sine(hz, 3, RATE)).pitch_hz
    assert np.isnan(pitch).mean() < 0.05
    assert np.nanmax(np.abs(1200 * np.log2(pitch / hz))[5:-5]) <= 5


def test_power_is_the_mean_square_of_every_hop():
    samples = noise(2, RATE, 0.1)
    voice = measure(samples, chunk=1234)
    assert voice.power == pytest.approx((samples.reshape(-1, 160).astype(float) ** 2).mean(axis=1), rel=1e-5)
    assert len(voice.power) == len(voice.pitch_hz) == 200


@pytest.mark.parametrize("words_per_minute", [120, 150, 200, 260])
@pytest.mark.parametrize(("text", "syllables"), SENTENCES)
def test_nuclei_of_sentences(text, syllables, words_per_minute):
    nuclei = measure(say(text, words_per_minute=words_per_minute)).nuclei_seconds
    assert len(nuclei) == pytest.approx(syllables, rel=0.2)
    assert (np.diff(nuclei) > 0).all()


def test_vowels_next_to_each_other_are_one_nucleus():
    """A known limit: without a dip of 2 dB between two vowels there is nothing to tell them apart by."""
    assert len(measure(say("Maria, Leo, Noah and Zoe are you.", words_per_minute=260)).nuclei_seconds) < 0.8 * 12


def test_vowel_rich_speech_is_within_a_third():
    nuclei = measure(say("Banana potato tomato avocado.", words_per_minute=260)).nuclei_seconds
    assert len(nuclei) == pytest.approx(13, rel=1 / 3)


@pytest.mark.parametrize("block_hops", [300, 1000, 2000])
def test_edges_of_blocks_leave_no_trace(spoken, block_hops):
    whole, parts = measure(spoken, block_hops=10**6), measure(spoken, block_hops=block_hops, chunk=7001)
    assert np.array_equal(whole.power, parts.power)
    assert np.array_equal(np.isnan(whole.pitch_hz), np.isnan(parts.pitch_hz))
    assert np.nanmax(np.abs(whole.pitch_hz - parts.pitch_hz)) < 0.01
    assert np.array_equal(whole.nuclei_seconds, parts.nuclei_seconds)


def test_a_quiet_block_is_judged_by_the_clips_loud_parts(spoken):
    """A hum 50 dB below the speech is no voice, wherever the blocks lie."""
    hum = 0.001 * sine(120, 60, RATE)
    pitch = measure(np.concatenate([spoken[: 60 * RATE], hum]), block_hops=500).pitch_hz
    assert np.isnan(pitch[6020:]).all()
    assert not np.isnan(measure(hum[: 3 * RATE]).pitch_hz[5:-5]).any()


def test_little_speech_in_much_silence(spoken):
    speech = spoken[: 5 * RATE]
    alone, within = measure(speech), measure(np.concatenate([np.zeros(595 * RATE, np.float32), speech]))
    assert within.nuclei_seconds - 595 == pytest.approx(alone.nuclei_seconds, abs=0.011)


@pytest.mark.parametrize(
    "samples",
    [
        np.zeros(3 * RATE, np.float32),
        noise(3, RATE, 0.1),
        np.round(noise(3, RATE, 0.01) * 128).astype(np.float32) / 128,
    ],
    ids=["silence", "noise", "8-bit noise"],
)
def test_no_voice(samples):
    voice = measure(samples)
    assert np.isnan(voice.pitch_hz).mean() > 0.98
    assert not len(voice.nuclei_seconds)
    assert np.isfinite(voice.power).all()


def test_full_scale_square_wave():
    voice = measure(np.sign(sine(200, 3, RATE)).astype(np.float32))
    assert voice.power.max() <= 1
    assert not np.isinf(voice.pitch_hz).any()
    assert np.nanmedian(voice.pitch_hz) == pytest.approx(200, rel=0.003)


def test_sound_that_ends_early_is_silence_from_there_on(spoken):
    voice = measure(spoken[: 4 * RATE], duration=6.0)
    assert len(voice.power) == len(voice.pitch_hz) == 600
    assert not voice.power[400:].any()
    assert np.isnan(voice.pitch_hz[402:]).all()


def test_sound_behind_the_clip_is_left_out(spoken):
    voice = measure(spoken, duration=6.0, block_hops=300)
    assert len(voice.power) == len(voice.pitch_hz) == 600
    assert voice.nuclei_seconds.max() < 6
    assert voice.sample_count == 6 * RATE


@pytest.mark.parametrize("count", [0, 1, 100, 800])
def test_hardly_any_sound(count):
    voice = measure(np.ones(count, np.float32), duration=1 / 30)
    assert len(voice.power) == 4
    assert not len(voice.nuclei_seconds)


def test_memory_does_not_grow(spoken):
    source = VoiceAcousticsSource()
    source.start(None)
    held = []
    for part in mono_chunks(np.tile(spoken, 3), RATE):
        source.push(part)
        held.append(source._pending_count)
    assert max(held) < (source.block_hops + 500) * 160
