"""Audio analysis: tempo and beats of clicks and drums, keys of triads, tones, sections; sound that has none of it."""

from __future__ import annotations

import io
import sys
from dataclasses import fields

import av
import numpy as np
import pytest
import soxr
from sounds import audio_chunks, mono_chunks, noise, sine

from places import DEMO
from reelscope.analyzers import audio_analysis
from reelscope.analyzers.audio_segments import Beat, Clipping, Onset, SectionSound
from reelscope.results import require_finite, wire_name
from reelscope.signals import SoundLevels, SoundSpectrum
from reelscope.sources.sound_levels import SoundLevelSource
from reelscope.sources.sound_spectrum import SoundSpectrumSource
from reelscope.sources.voice_acoustics import VoiceAcousticsSource
from reelscope_export.spoken import say

RATE = 22_050
KEYS = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")


def find(samples, rate=RATE, *, duration=None, voice=True):
    """The finding, and its summary."""
    channels = np.atleast_2d(samples)
    seconds = channels.shape[1] / rate if duration is None else duration
    signals = []
    for source in (SoundLevelSource(), SoundSpectrumSource()):
        source.start(None)
        for part in audio_chunks(channels, rate):
            source.push(part)
        signals.append(source.finish(seconds))
    acoustics = VoiceAcousticsSource()
    acoustics.start(None)
    mono = channels.mean(axis=0).astype(np.float32)
    for part in mono_chunks(soxr.resample(mono, rate, 16_000) if len(mono) else mono):
        acoustics.push(part)
    finding = audio_analysis.analyze(*signals, acoustics.finish(seconds) if voice else None)
    require_finite(finding)
    for segment in finding.segments:
        assert 0 <= segment.start_seconds < segment.end_seconds <= seconds + 0.001
    return finding, finding.summary


def of(finding, kind):
    return [segment for segment in finding.segments if isinstance(segment.data, kind)]


def clicks(times, seconds=10.0):
    """A tick of 1 kHz at each time, in faint noise."""
    samples = noise(seconds, RATE, 1e-4, seed=7)
    tick = 0.5 * sine(1000, 0.1, RATE) * 2.0 ** -np.linspace(0, 10, RATE // 10)
    for time in times:
        place = samples[round(time * RATE) :][: len(tick)]
        place += tick[: len(place)]
    return samples


def drums(bpm, seconds=10.0):
    """Kick, snare and hats; returns the times of the beats as well."""
    times = np.arange(0.1, seconds, 60 / bpm)
    samples, at = np.zeros(round(seconds * RATE), np.float32), np.arange(RATE // 5) / RATE
    blows = {
        "kick": np.exp(-at / 0.07) * np.sin(2 * np.pi * 60 * at),
        "snare": np.exp(-at / 0.04) * noise(0.2, RATE, 0.5, 1),
        "hat": np.exp(-at / 0.008) * noise(0.2, RATE, 0.2, 2),
    }
    for number, time in enumerate(times):
        for blow, begin in (("snare" if number % 2 else "kick", time), ("hat", time), ("hat", time + 30 / bpm)):
            place = samples[round(begin * RATE) :][: len(at)]
            place += blows[blow][: len(place)].astype(np.float32)
    return 0.3 * samples, times


def chord(notes, seconds):
    """MIDI notes with two overtones, faded in and out."""
    times = np.arange(round(seconds * RATE)) / RATE
    hz = [440 * 2 ** ((note - 69) / 12) for note in notes]
    wave = sum(np.sin(2 * np.pi * h * pitch * times) / h for pitch in hz for h in (1, 2, 3))
    return (0.05 * wave * np.hanning(len(times)) ** 0.3).astype(np.float32)


def cadence(tonic, mode):
    """I-IV-V-I from this note above C."""
    third = 4 if mode == "major" else 3
    chords = ((0, third, 7), (5, 5 + third, 12), (7, 11, 14), (0, third, 7))
    return np.concatenate([chord([60 + tonic + note for note in notes], 2) for notes in chords])


def speech(seconds, rate=RATE):
    text = "Today I will show you how to bake a simple chocolate cake with three basic ingredients at home."
    spoken = soxr.resample(say(text, words_per_minute=170), 16_000, rate)
    return np.tile(spoken, 10)[: round(seconds * rate)]


def f_measure(found, truth, tolerance_seconds=0.07):
    hits = sum(np.abs(truth - beat).min() <= tolerance_seconds for beat in found)
    return 2 * hits / (len(found) + len(truth))


def test_every_field_of_the_specification_is_there():
    names = {wire_name(field.name) for field in fields(audio_analysis.AudioSummary)}
    assert names >= {
        *("lufs_i", "lra_lu", "true_peak_dbtp", "tempo_bpm", "tempo_conf", "tempo_alt_bpm", "key", "f0_median_hz"),
        *("dynamic_range", "is_silent"),
    }


@pytest.mark.parametrize("bpm", [60, 75, 90, 100, 110, 120, 128, 140, 150, 174])
def test_tempo_and_beats_of_clicks(bpm):
    times = 0.5 + np.arange(0, 9.3, 60 / bpm)
    finding, summary = find(clicks(times))
    assert summary.tempo_bpm == pytest.approx(bpm, abs=1)
    assert summary.tempo_confidence > 0.6
    assert summary.tempo_alternatives_bpm == pytest.approx((2 * bpm, bpm / 2), abs=2)
    beats = np.array([segment.start_seconds for segment in of(finding, Beat)])
    assert f_measure(beats, times) >= 0.9
    errors = [beat - times[np.abs(times - beat).argmin()] for beat in beats]
    assert abs(np.median(errors)) < 0.01
    assert summary.onset_count == pytest.approx(len(times), abs=1)
    assert summary.key is None


@pytest.mark.parametrize("bpm", [70, 95, 120, 140])
def test_tempo_of_drums(bpm):
    samples, times = drums(bpm)
    finding, summary = find(samples)
    # Which of the levels of the meter is the beat is a matter of taste: the true one is named.
    candidates = (summary.tempo_bpm, *summary.tempo_alternatives_bpm)
    assert min(abs(tempo - bpm) for tempo in candidates) < 1
    if abs(summary.tempo_bpm - bpm) < 1:
        assert f_measure([segment.start_seconds for segment in of(finding, Beat)], times) >= 0.9


def test_tempo_of_a_bed_under_a_voice():
    """14 dB below it, where all but the lowest band is the voice's."""
    bed, times = drums(120)
    voice = speech(10)
    finding, summary = find(voice + bed * (voice.std() / bed.std() * 10 ** (-14 / 20)))
    assert summary.tempo_bpm == pytest.approx(120, abs=1)
    assert f_measure([segment.start_seconds for segment in of(finding, Beat)], times) >= 0.9


RANDOM_TIMES = np.cumsum(np.random.default_rng(3).exponential(0.5, 15))


@pytest.mark.parametrize(
    "samples",
    [
        *(noise(seconds, RATE, 0.1, seed) for seed, seconds in enumerate((3, 5, 10, 20))),
        speech(3),
        speech(10),
        speech(30),
        clicks(RANDOM_TIMES[RANDOM_TIMES < 9.8]),
        sine(440, 10, RATE, -6),
        clicks([1.0, 1.5, 2.0]),
    ],
    ids=[f"noise {k}" for k in range(4)]
    + [f"speech {k}" for k in range(3)]
    + ["random clicks", "tone", "three clicks"],
)
def test_no_beat_no_tempo(samples):
    finding, summary = find(samples)
    assert summary.tempo_bpm is None
    assert summary.beat_count is None
    assert summary.tempo_alternatives_bpm == ()
    assert not of(finding, Beat)
    assert summary.key is None


@pytest.mark.parametrize("mode", ["major", "minor"])
@pytest.mark.parametrize("tonic", range(12))
def test_keys_of_cadences(tonic, mode):
    _, summary = find(cadence(tonic, mode), voice=False)
    assert summary.key == f"{KEYS[tonic]} {mode}"
    assert summary.key_confidence > 0.85


def test_a_tone_with_overtones_is_no_key():
    times = np.arange(5 * RATE) / RATE
    _, summary = find(0.3 * sum(np.sin(2 * np.pi * 131 * k * times) / k for k in range(1, 12)))
    assert summary.key is None
    assert summary.f0_median_hz == pytest.approx(131, rel=0.003)


@pytest.mark.parametrize("rate", [44_100, 48_000, 96_000])
def test_pitch_and_centroid_of_tones(rate):
    _, low = find(sine(220, 3, rate, -12), rate)
    assert abs(1200 * np.log2(low.f0_median_hz / 220)) <= 5
    _, high = find(sine(1000, 3, rate, -12), rate)
    assert high.centroid_hz == pytest.approx(1000, abs=5)


def test_the_pitch_is_the_loud_voices():
    """120 Hz for 2 s, and a hum of 300 Hz 20 dB below it for 8 s."""
    samples = np.concatenate([sine(120, 2, RATE, -12), sine(300, 8, RATE, -32)])
    assert find(samples)[1].f0_median_hz == pytest.approx(120, rel=0.003)
    assert find(samples, voice=False)[1].f0_median_hz is None


@pytest.mark.parametrize("duration", [3.0, 10.0])
def test_silence(duration):
    finding, summary = find(np.zeros((2, 3 * RATE)), duration=duration)
    assert summary.is_silent
    for name in ("integrated_lufs", "loudness_range_lu", "true_peak_dbtp", "dynamic_range_db", "tempo_bpm", "key"):
        assert getattr(summary, name) is None, name
    for name in ("f0_median_hz", "centroid_hz", "flatness", "mfcc", "percussive_ratio", "is_dual_mono"):
        assert getattr(summary, name) is None, name
    assert summary.onset_count == summary.clipped_sample_count == 0
    assert all(value is None for column in finding.series.columns.values() for value in column)
    assert audio_analysis.headline(summary) == "silent"


def test_dither_is_silence_and_a_click_is_not():
    assert find(noise(3, RATE, 10 ** (-90 / 20)))[1].is_silent
    assert not find(clicks([1.0], 3))[1].is_silent


def test_a_stream_without_any_sound():
    _, summary = find(np.zeros((2, 0)), duration=1 / 30)
    assert summary.is_silent
    assert summary.channel_count == 0


@pytest.mark.parametrize("seconds", [1 / 30, 0.2, 0.39])
def test_too_short_for_loudness(seconds):
    _, summary = find(noise(seconds, RATE, 0.1))
    assert summary.integrated_lufs is None
    assert summary.dynamic_range_db is None
    assert summary.true_peak_dbtp < 0
    assert not summary.is_silent


def test_mono_says_what_two_loudspeakers_make_of_it():
    _, mono = find(sine(1000, 5, 48_000, -23), 48_000)
    assert mono.integrated_lufs == pytest.approx(-26, abs=0.1)
    assert mono.dual_mono_lufs == pytest.approx(-23, abs=0.1)
    assert mono.is_dual_mono
    _, stereo = find(np.stack([sine(1000, 5, 48_000, -23)] * 2), 48_000)
    assert stereo.integrated_lufs == pytest.approx(-23, abs=0.1)
    assert stereo.dual_mono_lufs is None
    assert stereo.is_dual_mono
    assert stereo.above_platform_lu == pytest.approx(-9, abs=0.1)
    assert stereo.dynamic_range_db == pytest.approx(0, abs=0.1)
    assert not find(np.stack([noise(2, RATE, 0.1), noise(2, RATE, 0.1, 1)]))[1].is_dual_mono


def test_clipping_is_found_where_it_is():
    samples = sine(440, 5, 48_000, -6)
    samples[48_000:72_000] = np.clip(4 * samples[48_000:72_000], -1, 1)
    finding, summary = find(samples, 48_000)
    (span,) = of(finding, Clipping)
    assert (span.start_seconds, span.end_seconds) == pytest.approx((1.0, 1.5), abs=0.011)
    assert summary.clipped_sample_count == span.data.clipped_sample_count > 1000


def through_aac(samples, rate):
    """Encoded at 128 kbit/s, and decoded again."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=rate, layout="stereo")
        stream.bit_rate = 128_000
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples, np.float32), format="fltp", layout="stereo")
        frame.sample_rate, frame.pts = rate, 0
        container.mux([*stream.encode(frame), *stream.encode(None)])
    file.seek(0)
    with av.open(file) as container:
        return np.concatenate([frame.to_ndarray() for frame in container.decode(audio=0)], axis=1)


def test_a_lossy_codec_leaves_a_trace_of_clipping():
    """A known limit: how much was clipped before the codec cannot be told any more."""
    tones = sum(sine(hz, 5, 48_000) for hz in (110, 220, 331, 447, 660, 1320)) / 5
    loud = np.clip(np.stack([1.5 * tones] * 2), -1, 1)
    before, after = (find(samples, 48_000)[1].clipped_sample_count for samples in (loud, through_aac(loud, 48_000)))
    assert 0 < after < before / 10
    assert find(through_aac(0.5 * loud, 48_000), 48_000)[1].clipped_sample_count == 0


@pytest.mark.parametrize("rate", [8000, 48_000])
def test_full_scale_square_wave(rate):
    finding, summary = find(np.stack([np.sign(sine(150, 3, rate))] * 2), rate)
    (span,) = of(finding, Clipping)
    assert span.end_seconds - span.start_seconds > 2.9
    assert summary.sample_peak_dbfs == 0
    assert summary.true_peak_dbtp > 0


def test_eight_bit_noise():
    _, summary = find(np.round(noise(3, 11_025, 0.02) * 128) / 128, 11_025)
    assert not summary.is_silent
    assert summary.tempo_bpm is None
    assert summary.f0_median_hz is None


def test_sections():
    beat, tones, hiss = drums(120, 5)[0], chord([60, 64, 67], 5), noise(5, RATE, 0.02)
    for parts, letters in (
        ((beat, tones, beat), "ABA"),
        ((hiss, tones), "AB"),
        ((hiss, hiss), "A"),
        ((beat, beat), "A"),
    ):
        sections = of(find(np.concatenate(parts))[0], SectionSound)
        assert "".join(section.data.letter for section in sections) == letters
        assert [section.start_seconds for section in sections] == pytest.approx(
            [5.0 * k for k in range(len(letters))], abs=0.5
        )
        assert sections[-1].end_seconds == 5 * len(parts)
        assert [section.score is None for section in sections] == [True, *[False] * (len(letters) - 1)]


def test_onsets_are_where_notes_begin():
    times = np.array([0.7, 1.1, 2.4, 3.0, 4.2])
    onsets = of(find(clicks(times, 5))[0], Onset)
    assert [onset.start_seconds for onset in onsets] == pytest.approx(times, abs=0.02)


def test_series_keep_to_their_limit():
    hops, windows = np.full(40_000, 0.01), np.full(17_227, 0.5, np.float32)
    levels = SoundLevels(
        sampling="A48",
        sample_count=400 * 48_000,
        duration_seconds=400.0,
        hop_seconds=0.01,
        channel_count=1,
        clipped_count=np.zeros(40_000, np.int64),
        **dict.fromkeys(("loudness_power", "power", "side_power", "sample_peak", "true_peak"), hops),
    )
    spectrum = SoundSpectrum(
        sampling="A22",
        sample_count=400 * 22_050,
        duration_seconds=400.0,
        hop_seconds=512 / 22_050,
        onset_strength=np.zeros((17_227, 3), np.float32),
        beat_hops=(np.empty(0, np.int64),) * 3,
        mfcc=np.ones((17_227, 13), np.float32),
        chroma_hop_seconds=4096 / 22_050,
        chroma=np.ones((2154, 36), np.float32),
        **dict.fromkeys(("percussive_power", "mel_power", "centroid_hz", "rolloff_hz", "flatness"), windows),
    )
    finding = audio_analysis.analyze(levels, spectrum, None)
    for series, count in ((finding.series, 2000), (finding.full_series, 4000)):
        assert series.hop_seconds == pytest.approx(400 / count)
        assert {len(column) for column in series.columns.values()} == {count}
        assert set(series.columns["flatness"]) == {0.5}
        assert series.columns["rms_dbfs"] == pytest.approx((-20,) * count)
    assert "mfcc_12" in finding.full_series.columns


def test_series_say_when():
    samples = np.concatenate([np.zeros(2 * RATE), sine(1000, 3, RATE, -20), np.zeros(RATE)])
    columns = find(samples)[0].series.columns
    assert columns["rms_dbfs"][10] is None
    assert columns["rms_dbfs"][30] == pytest.approx(-23, abs=0.05)
    assert columns["centroid_hz"][30] == pytest.approx(1000, abs=5)
    assert columns["lufs_m"][30] == pytest.approx(-23, abs=0.1)
    assert columns["lufs_s"][35] == pytest.approx(-23, abs=0.1)
    assert columns["true_peak_dbtp"][30] == pytest.approx(-20, abs=0.1)
    assert {len(column) for column in columns.values()} == {60}


def test_the_soundtrack_of_the_demo(monkeypatch):
    """Speech over music 14 to 20 dB below it: tempo, beats and key of the music, pitch of the voice."""
    monkeypatch.syspath_prepend(str(DEMO.parent))
    import soundtrack

    track = soundtrack.soundtrack()
    finding, summary = find(track.waveform, soundtrack.SAMPLE_RATE)
    assert summary.tempo_bpm == pytest.approx(soundtrack.TEMPO_BPM, abs=1)
    assert summary.key == soundtrack.KEY
    beats = [segment.start_seconds for segment in of(finding, Beat)]
    assert f_measure(beats, np.array(track.music["beats_seconds"])) >= 0.9
    assert summary.sample_peak_dbfs == pytest.approx(soundtrack.PEAK_DBFS, abs=0.01)
    assert 95 < summary.f0_median_hz < 115
    assert not summary.is_dual_mono
    sys.modules.pop("soundtrack")
