"""Loudness and peaks: EBU Tech 3341 and 3342 signals, FFmpeg's ebur128 as oracle, all rates and layouts, clipping."""

from __future__ import annotations

from fractions import Fraction

import av
import av.error
import numpy as np
import pytest
from sounds import LAYOUTS, audio_chunks, noise, sine

from reelscope.analyzers.audio_loudness import (
    MOMENTARY_STEPS,
    SHORT_TERM_STEPS,
    integrated_lufs,
    loudest_lufs,
    loudness_curve,
    loudness_range_lu,
)
from reelscope.signals import SoundLevels
from reelscope.sources.sound_levels import SoundLevelSource

RATE = 48_000
LAYOUT_NAMES = {1: "mono", 2: "stereo", 6: "5.1(side)"}


def measure(samples, rate=RATE, *, duration=None, size=None) -> SoundLevels:
    source = SoundLevelSource()
    source.start(None)
    for part in audio_chunks(samples, rate, size):
        source.push(part)
    return source.finish(np.atleast_2d(samples).shape[1] / rate if duration is None else duration)


def integrated(levels):
    return integrated_lufs(loudness_curve(levels, MOMENTARY_STEPS))


def loudness_range(levels):
    return loudness_range_lu(loudness_curve(levels, SHORT_TERM_STEPS))


def tones(*levels_and_seconds, rate=RATE):
    """Stereo 1 kHz tones of these levels, one after the other."""
    mono = np.concatenate([sine(1000, seconds, rate, dbfs) for dbfs, seconds in levels_and_seconds])
    return np.stack([mono, mono])


def by_ffmpeg(samples, rate):
    """What FFmpeg's ebur128 says in the end: M, S, I, LRA, and the true peak as an amplitude."""
    channels = np.atleast_2d(samples)
    graph = av.filter.Graph()
    source = graph.add_abuffer(
        sample_rate=rate, format="fltp", layout=LAYOUT_NAMES[len(channels)], time_base=Fraction(1, rate)
    )
    graph.link_nodes(source, graph.add("ebur128", "peak=true:metadata=1"), graph.add("abuffersink")).configure()
    found = {}
    for first in [*range(0, channels.shape[1], rate), None]:
        frame = None
        if first is not None:
            piece = np.ascontiguousarray(channels[:, first : first + rate])
            frame = av.AudioFrame.from_ndarray(piece, format="fltp", layout=LAYOUT_NAMES[len(channels)])
            frame.sample_rate, frame.pts = rate, first
        graph.push(frame)
        try:
            while True:
                found |= graph.pull().metadata
        except (av.error.BlockingIOError, av.error.EOFError):
            continue
    return {name.removeprefix("lavfi.r128."): float(value) for name, value in found.items()}


@pytest.mark.parametrize(
    ("expected", "parts"),
    [
        (-23, [(-23, 20)]),
        (-33, [(-33, 20)]),
        (-23, [(-36, 10), (-23, 60), (-36, 10)]),
        (-23, [(-72, 10), (-36, 10), (-23, 60), (-36, 10), (-72, 10)]),
        (-23, [(-26, 20), (-20, 20.1), (-26, 20)]),
    ],
)
def test_tech_3341_integrated_loudness(expected, parts):
    assert integrated(measure(tones(*parts))) == pytest.approx(expected, abs=0.1)


@pytest.mark.parametrize(
    ("expected", "parts"),
    [(10, [(-20, 20), (-30, 20)]), (5, [(-20, 20), (-15, 20)]), (20, [(-40, 20), (-20, 20)])],
)
def test_tech_3342_loudness_range(expected, parts):
    assert loudness_range(measure(tones(*parts))) == pytest.approx(expected, abs=0.1)


@pytest.mark.parametrize(
    ("divisor", "degrees", "amplitude", "expected"),
    [(4, 0, 0.5, -6), (4, 45, 0.5, -6), (6, 60, 0.5, -6), (8, 67.5, 0.5, -6), (4, 45, 1.41, 3)],
)
@pytest.mark.parametrize("rate", [44_100, 48_000])
def test_tech_3341_true_peak(divisor, degrees, amplitude, expected, rate):
    wave = amplitude * np.sin(2 * np.pi * np.arange(rate) / divisor + np.radians(degrees))
    fade = np.minimum(1, np.minimum(np.arange(rate), np.arange(rate)[::-1]) / 1000)
    found = 20 * np.log10(measure(wave * fade, rate).true_peak.max())
    assert expected - 0.4 <= found <= expected + 0.2


@pytest.mark.parametrize("rate", [8000, 16_000, 44_100, 48_000, 96_000])
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_ffmpeg_agrees(rate, channels):
    pieces = [noise(12, rate, 0.02 * (2 + k % 3), seed=k) for k in range(channels)]
    samples = np.stack(pieces) * np.repeat([1.0, 0.2, 1.6], 4 * rate)
    oracle, levels = by_ffmpeg(samples.astype(np.float32), rate), measure(samples, rate)
    momentary, short_term = (loudness_curve(levels, steps) for steps in (MOMENTARY_STEPS, SHORT_TERM_STEPS))
    # FFmpeg's histogram has steps of 0.1 LU for the range; a true peak falls between samples either way.
    assert integrated_lufs(momentary) == pytest.approx(oracle["I"], abs=0.05)
    assert momentary[-1] == pytest.approx(oracle["M"], abs=0.05)
    assert short_term[-1] == pytest.approx(oracle["S"], abs=0.05)
    assert loudness_range_lu(short_term) == pytest.approx(oracle["LRA"], abs=0.2)
    assert levels.true_peak.max() == pytest.approx(oracle["true_peak"], rel=0.03)


def test_mono_is_one_channel():
    assert integrated(measure(sine(1000, 20, RATE, -23))) == pytest.approx(-26.0, abs=0.1)


def test_surround_channels_weigh_more_and_lfe_nothing():
    alone = {}
    for number, name in enumerate(LAYOUTS[6]):
        samples = np.zeros((6, 5 * RATE))
        samples[number] = sine(1000, 5, RATE, -23)
        alone[name] = integrated(measure(samples))
    assert alone["LFE"] is None
    assert alone["FL"] == alone["FC"] == pytest.approx(-26, abs=0.1)
    assert alone["SL"] - alone["FL"] == pytest.approx(1.5, abs=0.02)


@pytest.mark.parametrize("rate", [11_025, 44_100, 48_000])
@pytest.mark.parametrize("size", [1, 9, 777, 50_000])
def test_chunks_leave_no_trace(rate, size):
    seconds = 0.1 if size == 1 else 2
    samples = np.clip(np.stack([noise(seconds, rate, 0.5), sine(99, seconds, rate, 3)]), -1, 1)
    whole, parts = measure(samples, rate, size=10**6), measure(samples, rate, size=size)
    for name in ("loudness_power", "power", "side_power", "sample_peak", "true_peak", "clipped_count"):
        assert getattr(parts, name) == pytest.approx(getattr(whole, name), rel=1e-9, abs=1e-15), name


@pytest.mark.parametrize("seconds", [0, 0.1, 0.399])
def test_too_short_for_loudness(seconds):
    levels = measure(sine(1000, seconds, RATE), duration=max(seconds, 1 / 30))
    assert integrated(levels) is None
    assert loudness_range(levels) is None


def test_silence_has_no_loudness():
    levels = measure(np.zeros((2, 5 * RATE)))
    assert integrated(levels) is None
    assert loudness_range(levels) is None
    assert loudest_lufs(loudness_curve(levels, MOMENTARY_STEPS)) is None
    assert not levels.true_peak.any()


def test_sound_that_ends_early_is_silence_from_there_on():
    levels = measure(tones((-23, 5)), duration=8.0)
    assert len(levels.power) == 800
    assert not levels.power[500:].any()
    # Three windows of 0.4 s reach into the silence, and are loud enough to count.
    assert integrated(levels) == pytest.approx(integrated(measure(np.pad(tones((-23, 5)), ((0, 0), (0, 3 * RATE))))))


def test_sound_behind_the_clip_is_left_out():
    levels = measure(tones((-23, 5), (0, 5)), duration=4.99)
    assert len(levels.power) == 499
    assert levels.true_peak.max() == pytest.approx(10 ** (-23 / 20), rel=0.01)
    assert integrated(levels) == pytest.approx(-23, abs=0.1)
    assert levels.sample_count == round(4.99 * RATE)


def test_clipping_is_three_samples_at_full_scale():
    samples = 0.5 * sine(440, 2, RATE)
    samples[[1000, 1001]] = 1.0
    samples[50_000:50_003] = -1.0
    samples[90_000:90_005] = 32767 / 32768
    levels = measure(np.stack([samples, 0.1 * samples]))
    assert levels.clipped_count.sum() == 8
    assert np.flatnonzero(levels.clipped_count).tolist() == [104, 187]


def test_full_scale_square_wave():
    levels = measure(np.sign(np.cos(2 * np.pi * 500 * np.arange(RATE) / RATE)))
    assert levels.clipped_count.sum() >= 0.97 * RATE
    assert levels.sample_peak.max() == 1
    assert 1 < levels.true_peak.max() < 1.5


def test_a_full_scale_tone_does_not_clip():
    assert not measure(sine(440, 2, RATE)).clipped_count.any()


def test_side_power_tells_mono_from_stereo():
    left, right = noise(1, RATE, 0.1), noise(1, RATE, 0.1, seed=1)
    assert not measure(np.stack([left, left])).side_power.any()
    levels = measure(np.stack([left, right]))
    assert levels.side_power.mean() == pytest.approx(levels.power.mean() / 2, rel=0.05)


def test_memory_does_not_grow():
    source = SoundLevelSource()
    source.start(None)
    held = []
    for part in audio_chunks(np.stack([noise(20, RATE, 0.1)] * 2), RATE):
        source.push(part)
        held.append(source._rest.shape[1] + source._context.shape[1])
    assert max(held) < 0.02 * RATE


def test_silence_after_sound_is_not_slow():
    """What dies away in a filter becomes a denormal number, with which processors are slow."""
    source = SoundLevelSource()
    source.start(None)
    samples = np.concatenate([noise(1, RATE, 0.5), np.zeros(9 * RATE, np.float32)])
    for part in audio_chunks(samples, RATE):
        source.push(part)
    assert not source._state.any()
