"""Soundtrack of the demo clip: three spoken sentences over a quiet 120 BPM music bed.

Stereo float32, 48 kHz. Speech comes from espeak-ng, whose word events carry the sample at which a word starts.
The music is synthesised: a kick with a hat on every beat, and one soft triad per bar of four beats.
"""

import ctypes
import functools
import shutil
import tempfile
from dataclasses import dataclass
from itertools import pairwise

import espeakng_loader
import numpy as np
from scipy.signal import resample_poly

SAMPLE_RATE = 48_000
DURATION_SECONDS = 10.0
TEMPO_BPM = 120
KEY = "C major"
SENTENCES = (
    (1.60, "Look at this cat."),
    (3.25, "Coffee makes mornings better."),
    (8.45, "Tap the link in bio."),
)
"""When the synthesised audio of each sentence begins (seconds), and what is said."""
CHORDS = (("C", (48, 60, 64, 67)), ("F", (53, 60, 65, 69)), ("G", (55, 59, 62, 67)), ("C", (48, 60, 64, 67)))
"""I-IV-V-I, one chord per bar of 2 s, MIDI notes; the last chord is held to the end."""
BED_BELOW_SPEECH_DB, BED_BELOW_SPEECH_IN_PAUSES_DB = 20.0, 14.0
DUCKING_SECONDS = 0.1
"""The music falls by the difference within this time before a sentence, and rises again after it."""
PEAK_DBFS = -3.0

VOICE, SPEED, PITCH = "en-us", 150, 50
ESPEAK_SYNCHRONOUS, ESPEAK_RATE, ESPEAK_PITCH, ESPEAK_UTF8, ESPEAK_WORD = 2, 1, 3, 1, 1


class EspeakEvent(ctypes.Structure):
    """`espeak_EVENT` of speak_lib.h."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position_ms", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", ctypes.c_char * 8),
    )


@dataclass(frozen=True, slots=True)
class Soundtrack:
    waveform: np.ndarray
    """[2, samples], -1 to 1."""
    speech: dict
    """The truth about the speech: sentences, words, pauses."""
    music: dict
    """The truth about the music: tempo, beats, key, chords."""


@functools.cache
def _library() -> ctypes.CDLL:
    """espeak-ng for us alone: it keeps its state in global variables, and what is measured pronounces words with it."""
    with tempfile.TemporaryDirectory() as folder:
        return ctypes.CDLL(shutil.copy(espeakng_loader.get_library_path(), folder))


def speak(
    texts: list[str], voice: str = VOICE, speed: int = SPEED, pitch: int = PITCH
) -> tuple[list[tuple[np.ndarray, list[tuple[str, int]]]], int]:
    """Speak each text; returns (waveform, [(word, start sample)]) per text, and the sample rate."""
    library = _library()
    sample_rate = library.espeak_Initialize(ESPEAK_SYNCHRONOUS, 0, espeakng_loader.get_data_path().encode(), 0)
    if library.espeak_SetVoiceByName(voice.encode()) != 0:
        raise RuntimeError(f"espeak-ng has no voice {voice!r}")
    library.espeak_SetParameter(ESPEAK_RATE, speed, 0)
    library.espeak_SetParameter(ESPEAK_PITCH, pitch, 0)
    blocks: list[np.ndarray] = []
    positions: list[tuple[int, int, int]] = []

    def collect(samples, count, events):
        if count > 0:
            blocks.append(np.ctypeslib.as_array(samples, (count,)).astype(np.float64) / 32768)
        index = 0
        while events[index].type:
            if events[index].type == ESPEAK_WORD:
                positions.append((events[index].text_position - 1, events[index].length, events[index].sample))
            index += 1
        return 0

    signature = ctypes.CFUNCTYPE(
        ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(EspeakEvent)
    )
    callback = signature(collect)
    library.espeak_SetSynthCallback(callback)
    spoken = []
    for text in texts:
        blocks.clear()
        positions.clear()
        encoded = text.encode()
        library.espeak_Synth(encoded, len(encoded) + 1, 0, 1, 0, ESPEAK_UTF8, None, None)
        library.espeak_Synchronize()
        # Positions count characters, not bytes.
        spoken.append((np.concatenate(blocks), [(text[at : at + length], sample) for at, length, sample in positions]))
    return spoken, sample_rate


def voiced_span(waveform: np.ndarray, sample_rate: int) -> tuple[int, int]:
    """First and last sample whose 10 ms level is within 34 dB of the loudest."""
    window = sample_rate // 100
    level = np.sqrt(np.convolve(waveform**2, np.ones(window) / window, "same"))
    loud = np.flatnonzero(level > 0.02 * level.max())
    return int(loud[0]), int(loud[-1]) + 1


def speech_track() -> tuple[np.ndarray, dict]:
    """All sentences at their places (mono, SAMPLE_RATE), and the truth about them."""
    total = int(DURATION_SECONDS * SAMPLE_RATE)
    track = np.zeros(total)
    sentences, words = [], []
    spoken, sample_rate = speak([text for _, text in SENTENCES])
    for (offset, text), (waveform, starts) in zip(SENTENCES, spoken, strict=True):
        first, last = voiced_span(waveform, sample_rate)
        edges = [max(starts[0][1], first), *(sample for _, sample in starts[1:]), last]
        times = [round(offset + edge / sample_rate, 3) for edge in edges]
        sentences.append({"text": text, "start_seconds": times[0], "end_seconds": times[-1]})
        words += [
            {"word": word, "start_seconds": start, "end_seconds": end}
            for (word, _), start, end in zip(starts, times[:-1], times[1:], strict=True)
        ]
        resampled = resample_poly(waveform, SAMPLE_RATE, sample_rate)
        begin = round(offset * SAMPLE_RATE)
        track[begin : begin + len(resampled)] += resampled[: total - begin]
    pauses = [
        {"start_seconds": before["end_seconds"], "end_seconds": after["start_seconds"]}
        for before, after in pairwise(sentences)
    ]
    return track, {"language": "en", "sentences": sentences, "words": words, "pauses": pauses}


def music_track() -> tuple[np.ndarray, dict]:
    """The music bed (stereo, SAMPLE_RATE, level not yet set), and the truth about it."""
    total = int(DURATION_SECONDS * SAMPLE_RATE)
    pad, drums = np.zeros((2, total)), np.zeros(total)
    bar_seconds = 4 * 60 / TEMPO_BPM
    chords = []
    for index, (name, notes) in enumerate(CHORDS):
        start = index * bar_seconds
        end = DURATION_SECONDS if index == len(CHORDS) - 1 else start + bar_seconds
        chords.append({"name": name, "start_seconds": start, "end_seconds": end})
        time = np.arange(round((end - start) * SAMPLE_RATE)) / SAMPLE_RATE
        envelope = np.minimum(1, np.minimum(time / 0.06, (time[-1] - time) / 0.04))
        for voice, note in enumerate(notes):
            phase = 2 * np.pi * 440 * 2 ** ((note - 69) / 12) * time
            tone = (
                (1.6 if voice == 0 else 1.0)
                * envelope
                * (np.sin(phase) + 0.3 * np.sin(2 * phase) + 0.1 * np.sin(3 * phase))
            )
            left = 0.5 + 0.12 * (voice - 1.5)
            begin = round(start * SAMPLE_RATE)
            pad[:, begin : begin + len(time)] += np.outer((left, 1 - left), tone)

    beats = np.arange(0, DURATION_SECONDS, 60 / TEMPO_BPM)
    time = np.arange(round(0.25 * SAMPLE_RATE)) / SAMPLE_RATE
    kick = np.exp(-time / 0.07) * np.sin(2 * np.pi * (65.4 * time + 60 * 0.02 * (1 - np.exp(-time / 0.02))))
    hat = np.exp(-time / 0.008) * np.diff(np.random.default_rng(0).standard_normal(len(time) + 1))
    for beat in beats:
        begin = round(beat * SAMPLE_RATE)
        drums[begin : begin + len(time)] += kick + 0.12 * hat
    truth = {"tempo_bpm": TEMPO_BPM, "beats_seconds": beats.tolist(), "key": KEY, "chords": chords}
    return 0.35 * pad + drums, truth


def soundtrack() -> Soundtrack:
    """Mix speech and music at the stated levels."""
    voice, speech = speech_track()
    bed, music = music_track()
    spoken = np.concatenate(
        [
            voice[int(s["start_seconds"] * SAMPLE_RATE) : int(s["end_seconds"] * SAMPLE_RATE)]
            for s in speech["sentences"]
        ]
    )
    bed *= np.sqrt(np.mean(spoken**2) / np.mean(bed**2))
    time = np.arange(len(voice)) / SAMPLE_RATE
    away = np.min(
        [np.maximum(s["start_seconds"] - time, time - s["end_seconds"]) for s in speech["sentences"]],
        axis=0,
    )
    below = np.interp(away, (0, DUCKING_SECONDS), (BED_BELOW_SPEECH_DB, BED_BELOW_SPEECH_IN_PAUSES_DB))
    mix = voice + bed * 10 ** (-below / 20)
    fade = np.clip((mix.shape[1] - np.arange(mix.shape[1])) / (0.05 * SAMPLE_RATE), 0, 1)
    mix *= fade
    mix *= 10 ** (PEAK_DBFS / 20) / np.abs(mix).max()
    music["below_speech_db"] = BED_BELOW_SPEECH_DB
    music["below_speech_in_pauses_db"] = BED_BELOW_SPEECH_IN_PAUSES_DB
    return Soundtrack(mix.astype(np.float32), speech, music)
