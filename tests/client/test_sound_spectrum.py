"""Spectrum of the sound: librosa on the whole of it, blocks that leave no trace, known spectra, memory."""

from __future__ import annotations

import subprocess
import sys

import librosa
import numpy as np
import pytest
from sounds import audio_chunks, noise, sine

from reelscope.signals import SoundSpectrum
from reelscope.sources.beats import beats as track
from reelscope.sources.constant_q import constant_q
from reelscope.sources.sound_spectrum import SoundSpectrumSource

RATE = 22_050
NAMES = ("onset_strength", "percussive_power", "mel_power", "centroid_hz", "rolloff_hz", "flatness", "mfcc", "chroma")


def measure(samples, rate=RATE, *, duration=None, size=None, block_hops=None) -> SoundSpectrum:
    source = SoundSpectrumSource()
    if block_hops:
        source.block_hops = block_hops
    source.start(None)
    for part in audio_chunks(samples, rate, size):
        source.push(part)
    return source.finish(np.atleast_2d(samples).shape[1] / rate if duration is None else duration)


@pytest.fixture(scope="module")
def music():
    """25 s of chords and knocks."""
    times = np.arange(25 * RATE) / RATE
    chords = sum(np.sin(2 * np.pi * hz * times) for hz in (131, 165, 196, 262))
    knocks = np.exp(-((times % 0.5) / 0.02)) * noise(25, RATE, 1.0)
    return (0.1 * chords * (times // 2 % 2) + 0.3 * knocks + noise(25, RATE, 0.001, 1)).astype(np.float32)


def test_librosa_on_the_whole_agrees(music):
    found = measure(music)
    magnitude = np.abs(librosa.stft(music))[:, 2:-2]
    decibels = librosa.power_to_db(librosa.feature.melspectrogram(S=magnitude**2), amin=1e-4, top_db=None)
    inner = slice(2, magnitude.shape[1] + 2)
    assert found.centroid_hz[inner] == pytest.approx(librosa.feature.spectral_centroid(S=magnitude)[0], abs=0.1)
    assert found.rolloff_hz[inner] == pytest.approx(librosa.feature.spectral_rolloff(S=magnitude)[0])
    assert found.flatness[inner] == pytest.approx(librosa.feature.spectral_flatness(S=magnitude)[0], abs=1e-5)
    assert found.mfcc[inner] == pytest.approx(librosa.feature.mfcc(S=decibels, n_mfcc=13).T, abs=0.01)
    onsets = librosa.onset.onset_strength(S=decibels, center=False)
    assert found.onset_strength[inner][1:, 0] == pytest.approx(onsets[1:], abs=1e-3)


def test_librosas_beats_agree(music):
    found = measure(music)
    strength = found.onset_strength[:, 0]
    _, beats = librosa.beat.beat_track(onset_envelope=strength, sr=RATE, bpm=120, trim=False)
    assert found.beat_hops[0].tolist() == beats.tolist()


@pytest.mark.parametrize("seed", range(12))
def test_librosas_beats_of_noise_agree(seed):
    strength = np.maximum(0, np.random.default_rng(seed).standard_normal(300 + 71 * seed)).astype(np.float32) ** 2
    strength[0] = 0  # librosa leaves the first window out
    period = 10 + 5 * seed
    _, beats = librosa.beat.beat_track(onset_envelope=strength, sr=60 * 512, bpm=3600 / period, trim=False)
    assert track(strength, period).tolist() == beats.tolist()


@pytest.mark.parametrize(("lowest_hz", "octaves"), [(65.4, 5), (130.8, 5)])
def test_librosas_constant_q_agrees(music, lowest_hz, octaves):
    found = constant_q(music, RATE, 4096, lowest_hz, octaves, 36)
    wanted = np.abs(
        librosa.cqt(music, sr=RATE, hop_length=4096, fmin=lowest_hz, n_bins=36 * octaves, bins_per_octave=36)
    )
    assert found == pytest.approx(wanted, abs=1e-5 * float(wanted.max()))


@pytest.mark.parametrize("block_hops", [96, 432])
def test_edges_of_blocks_leave_no_trace(music, block_hops):
    whole, parts = measure(music, block_hops=10_000), measure(music, size=7771, block_hops=block_hops)
    for name in NAMES:
        values = getattr(whole, name)
        bound = 1e-4 * float(np.nanmax(np.abs(values)))
        assert getattr(parts, name) == pytest.approx(values, abs=bound, nan_ok=True), name
    for first, second in zip(whole.beat_hops, parts.beat_hops, strict=True):
        assert np.array_equal(first, second)


@pytest.mark.parametrize("rate", [8000, 44_100, 48_000, 96_000])
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_centroid_of_a_tone_at_every_rate(rate, channels):
    found = measure(np.stack([sine(1000, 2, rate, -12)] * channels), rate)
    assert np.nanmedian(found.centroid_hz) == pytest.approx(1000, abs=5)
    assert len(found.centroid_hz) == len(found.onset_strength) == len(found.mfcc) == 87
    assert not np.isnan(found.centroid_hz).any()


def test_percussion_and_tones():
    knocks = np.zeros(5 * RATE)
    knocks[:: RATE // 2] = 1
    tone, steps = measure(sine(440, 5, RATE)), measure(knocks)
    assert tone.percussive_power.sum() < 0.02 * tone.mel_power.sum()
    assert steps.percussive_power.sum() > 0.95 * steps.mel_power.sum()


def test_chroma_of_a_note_in_tune_and_out_of_it():
    for cents, third in ((0, 27), (33, 28), (-33, 26)):
        chroma = measure(sine(440 * 2 ** (cents / 1200), 3, RATE)).chroma[4:-4]
        assert (chroma.argmax(axis=1) == third).all()


@pytest.mark.parametrize("cut", [True, False])
def test_sound_that_is_there_throughout_has_no_onset(cut):
    tone = sine(1003, 5.01, RATE, -6)
    found = measure(tone, duration=4.0 if cut else None)
    assert found.onset_strength.max() < 1


def test_silence_and_no_sound_at_all():
    for found in (measure(np.zeros((2, 3 * RATE))), measure(np.zeros((2, 0)), duration=3.0)):
        assert np.isnan(found.centroid_hz).all()
        assert np.isnan(found.mfcc).all()
        assert not found.onset_strength.any()
        assert not found.chroma.any()
        assert not any(len(hops) for hops in found.beat_hops)


@pytest.mark.parametrize("count", [1, 2, 500, 5000])
def test_hardly_any_sound(count):
    found = measure(noise(1, RATE, 0.1)[:count], duration=1.0)
    assert len(found.centroid_hz) == 44
    assert not np.isnan(found.centroid_hz[0])
    assert np.isnan(found.centroid_hz[20:]).all()


def test_sound_behind_the_clip_is_left_out(music):
    found = measure(music, duration=3.0)
    assert len(found.centroid_hz) == 130
    assert len(found.chroma) == 17
    assert found.sample_count == 3 * RATE
    assert all((hops < 130).all() for hops in found.beat_hops)


def test_memory_does_not_grow(music):
    source = SoundSpectrumSource()
    source.start(None)
    held = []
    for _ in range(4):
        for part in audio_chunks(music, RATE):
            source.push(part)
            held.append(source._pending_count)
    assert max(held) <= (source.block_hops + 2 * 48 + 44) * 512


def test_librosa_is_not_imported():
    """Its compiler takes 180 MB and five seconds of a core in every process."""
    code = (
        "import sys; from reelscope.sources.sound_spectrum import _chroma, _spectral;"
        "import numpy; [measure(numpy.ones(30_000, 'f')) for measure in (_chroma, _spectral)];"
        "print({'librosa', 'numba'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
