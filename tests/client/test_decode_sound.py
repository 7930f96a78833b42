"""Sound from files: rates, layouts, sample formats, offsets, gaps; always on the video's axis and without a hole."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import av
import numpy as np
import pytest

import clips
from reelscope.decode import Decoder
from reelscope.decode.sound import SoundTrack
from reelscope.types import AudioChunk, MonoChunk

TONE_HZ = 440.0
RATE_HZ = 48_000


def tone(seconds: float, rate: int = RATE_HZ, hz: float = TONE_HZ, channels: int = 1) -> np.ndarray:
    """Sine of amplitude 0.5, float32 [channels, n]."""
    wave = 0.5 * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)
    return np.tile(wave.astype(np.float32), (channels, 1))


def frame(samples: np.ndarray, *, rate: int = RATE_HZ, layout: str = "mono", form: str = "fltp") -> av.AudioFrame:
    made = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), format=form, layout=layout)
    made.sample_rate = rate
    return made


def placed(*parts: tuple[float | None, np.ndarray], max_seconds: float = 60.0, **options):
    """Chunks of frames that start at the seconds given."""
    track = SoundTrack(max_seconds)
    chunks = [chunk for start, samples in parts for chunk in track.take(frame(samples, **options), start)]
    return track, joined([*chunks, *track.last()])


def joined(parts) -> tuple[np.ndarray, np.ndarray]:
    """All sound of a clip, native [channels, n] and mono [n]; asserts that it has no hole and begins at 0."""
    found = []
    for kind, rate in ((AudioChunk, None), (MonoChunk, 16_000)):
        chunks = [part for part in parts if isinstance(part, kind)]
        rate = rate or chunks[0].sample_rate_hz
        assert chunks[0].start_seconds == 0
        for before, after in pairwise(chunks):
            assert before.start_seconds + before.samples.shape[-1] / rate == pytest.approx(after.start_seconds)
        assert all(chunk.samples.dtype == np.float32 for chunk in chunks)
        found.append(np.concatenate([chunk.samples for chunk in chunks], axis=-1))
    return found[0], found[1]


def pitch_hz(samples: np.ndarray, rate: int) -> float:
    return float(np.abs(np.fft.rfft(samples)).argmax() * rate / len(samples))


@pytest.mark.parametrize(
    ("suffix", "codec", "form", "rate", "layout", "channels"),
    [
        ("mkv", "pcm_u8", "u8", 44_100, "mono", 1),
        ("mkv", "pcm_s16le", "s16", 8_000, "stereo", 2),
        ("mkv", "pcm_f32le", "flt", 96_000, "stereo", 2),
        ("mkv", "flac", "s32", 44_100, "5.1", 6),
        ("mp4", "aac", "fltp", 48_000, "5.1", 6),
    ],
)
def test_every_rate_layout_and_format(tmp_path, suffix, codec, form, rate, layout, channels):
    samples = tone(1.0, rate, channels=channels)
    path = clips.sounding(tmp_path / f"a.{suffix}", samples, rate, layout=layout, codec=codec, form=form)
    with Decoder(path, Fraction(10), None) as decoder:
        assert decoder.header.has_audio
        native, mono = joined(list(decoder))
        facts = decoder.facts().audio
    assert (facts.sample_rate_hz, facts.channel_count, facts.coverage) == (rate, channels, 1.0)
    assert native.shape[0] == channels
    assert native.shape[1] / rate == pytest.approx(1.0, abs=0.05)
    assert len(mono) / 16_000 == pytest.approx(1.0, abs=0.05)
    middle = slice(int(0.2 * rate), int(0.8 * rate))
    assert np.abs(native[0, middle]).max() == pytest.approx(0.5, abs=0.03)
    assert pitch_hz(native[0, middle], rate) == pytest.approx(TONE_HZ, abs=2)
    assert np.abs(mono[3_200:12_800]).max() == pytest.approx(0.5, abs=0.03)
    assert pitch_hz(mono[3_200:12_800], 16_000) == pytest.approx(TONE_HZ, abs=2)


def test_late_sound_begins_with_silence():
    track, (native, mono) = placed((0.5, tone(0.5)))
    assert native.shape == (1, RATE_HZ)
    assert not native[0, : RATE_HZ // 2].any()
    assert np.array_equal(native[0, RATE_HZ // 2 :], tone(0.5)[0])
    assert len(mono) == 16_000
    assert track.facts(0).offset_seconds == 0.5
    assert track.end_seconds == 1.0


def test_sound_before_the_picture_is_left_out():
    track, (native, _) = placed((-0.25, tone(1.0)))
    assert np.array_equal(native, tone(1.0)[:, RATE_HZ // 4 :])
    assert track.facts(0).offset_seconds == -0.25


def test_gaps_are_filled_and_overlaps_dropped():
    first, second, third = tone(0.5), tone(0.5, hz=880), tone(0.5, hz=1320)
    _, (native, _) = placed((0.0, first), (1.0, second), (1.25, third))
    assert native.shape[1] == round(1.75 * RATE_HZ)
    assert not native[0, RATE_HZ // 2 : RATE_HZ].any()
    assert np.array_equal(native[0, RATE_HZ : RATE_HZ * 3 // 2], second[0])
    assert np.array_equal(native[0, RATE_HZ * 3 // 2 :], third[0, RATE_HZ // 4 :])


def test_rounded_time_stamps_move_nothing():
    """Containers count in milliseconds; a frame of 1024 samples is 21.33 ms."""
    wave = tone(2.0)
    parts = [(round(1024 * k / RATE_HZ, 3), wave[:, 1024 * k : 1024 * (k + 1)]) for k in range(94)]
    _, (native, _) = placed(*parts)
    assert np.array_equal(native, wave)


def test_frames_without_time_stamps_follow_each_other():
    wave = tone(1.0)
    _, (native, _) = placed((0.0, wave[:, :20_000]), (None, wave[:, 20_000:]))
    assert np.array_equal(native, wave)


def test_a_broken_time_stamp_costs_its_own_sound():
    _, (native, _) = placed((0.0, tone(0.5)), (86_400.0, tone(0.5)), (0.5, tone(0.5)))
    assert native.shape[1] == RATE_HZ


def test_a_stream_that_changes_its_layout_keeps_the_first():
    track = SoundTrack(60)
    parts = [
        *track.take(frame(tone(0.5, channels=2), layout="stereo"), 0.0),
        *track.take(frame(tone(0.5)), 0.5),
        *track.last(),
    ]
    native, _ = joined(parts)
    assert native.shape == (2, RATE_HZ)
    assert pitch_hz(native[1, 26_000:46_000], RATE_HZ) == pytest.approx(TONE_HZ, abs=3)


def test_mono_is_the_mean_of_stereo_and_favours_the_centre():
    left = np.vstack([tone(1.0)[0], np.zeros(RATE_HZ, np.float32)])
    assert np.abs(placed((0.0, left), layout="stereo")[1][1]).max() == pytest.approx(0.25, abs=0.01)
    wave, silent = tone(1.0)[0], np.zeros(RATE_HZ, np.float32)
    heard = {
        name: np.abs(
            placed((0.0, np.vstack([wave if k == at else silent for k in range(6)])), layout="5.1")[1][1]
        ).max()
        for at, name in enumerate(("left", "right", "centre", "lfe", "surround left", "surround right"))
    }
    assert heard["lfe"] == 0
    assert heard["centre"] / heard["left"] == pytest.approx(2**0.5, rel=0.01)
    assert heard["centre"] / heard["surround left"] == pytest.approx(2, rel=0.01)


def test_no_number_is_silence():
    wave = tone(1.0)
    wave[0, 1000:1010] = np.nan
    wave[0, 2000] = np.inf
    _, (native, mono) = placed((0.0, wave))
    assert not native[0, 1000:1010].any()
    assert np.isfinite(native**2).all()
    assert np.isfinite(mono**2).all()


def test_damaged_packets_lower_the_coverage():
    track, _ = placed((0.0, tone(0.5)), (0.75, tone(0.25)))
    assert track.facts(0).coverage == 1
    assert track.facts(1).coverage == pytest.approx(0.75)
    assert SoundTrack(60).facts(3).coverage is None


def test_without_a_sound_stream(tmp_path):
    with Decoder(clips.write(tmp_path / "a.mp4", [np.full((96, 64, 3), 90, np.uint8)] * 5), Fraction(10), None) as it:
        assert not it.header.has_audio
        assert not any(isinstance(part, AudioChunk | MonoChunk) for part in it)
        assert it.facts().audio.coverage is None
