"""Audio analysis: loudness, peaks and clipping, beat and tempo, key, timbre, sections.

Conventions: LUFS and LU after ITU-R BS.1770-4 and EBU R 128, dBTP of the true peak, dBFS of samples. Segments are
beats, onsets (score null), sections (score: how much they differ from the one before) and clipping (score null); that
of a beat is the confidence of the tempo. What lies behind the sound's end, up to the clip's, is silence.

A mono track is measured as one channel, as BS.1770 has it, 3 LU below the loudness that two loudspeakers give it;
`dual_mono_lufs` is the latter. Figures are reported, not graded: no platform publishes a target that it keeps to.

Sources: in the modules audio_loudness, audio_beats, audio_key and audio_sections, and in those of the signals.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from reelscope.analyzers import audio_beats, audio_key, audio_loudness, audio_sections, audio_segments
from reelscope.analyzers.audio_beats import Beats
from reelscope.analyzers.audio_key import Key
from reelscope.analyzers.audio_segments import AudioData
from reelscope.analyzers.audio_series import COLUMNS, full_series, series
from reelscope.analyzers.base import Analyzer, Finding
from reelscope.analyzers.measured import median
from reelscope.signals import Parameter, SoundLevels, SoundSpectrum, VoiceAcoustics

SILENCE_DBFS = -70.0
"""A clip whose loudest 0.1 s has less power is silent."""
SAME_CHANNELS_DB = 60.0
"""Two channels whose difference is this far below them are the same."""
PLATFORM_LUFS = -14.0
LEAST_VOICED_SECONDS = 0.1

PARAMETERS: dict[str, Parameter] = {
    "silence_dbfs": SILENCE_DBFS,
    "least_tempo_confidence": audio_beats.LEAST_CONFIDENCE,
    "onset_lead_seconds": audio_beats.ONSET_LEAD_SECONDS,
    "onset_db": audio_segments.ONSET_DB,
    "onset_gap_seconds": audio_segments.ONSET_GAP_SECONDS,
    "clipping_gap_seconds": audio_segments.CLIPPING_GAP_SECONDS,
    "same_channels_db": SAME_CHANNELS_DB,
    "platform_lufs": PLATFORM_LUFS,
    "least_key_contrast": audio_key.LEAST_CONTRAST,
    "least_key_correlation": audio_key.LEAST_CORRELATION,
    "section_frame_seconds": audio_sections.FRAME_SECONDS,
    "section_least_novelty": audio_sections.LEAST_NOVELTY,
    "same_section": audio_sections.SAME_SECTION,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioSummary:
    """The clip's sound; null is what was not measured or is not there."""

    is_silent: bool
    """Whether no tenth of a second has a level above -70 dBFS."""
    channel_count: int
    """Channels of the sound, >= 0; 0 where the stream holds none."""
    integrated_lufs: float | None
    """Integrated loudness, gated, LUFS; null for silence and for less than 0.4 s."""
    momentary_max_lufs: float | None
    """Loudest 0.4 s, LUFS; null for silence and for less than 0.4 s."""
    short_term_max_lufs: float | None
    """Loudest 3 s, LUFS; null for silence and for less than 3 s."""
    loudness_range_lu: float | None
    """Loudness range, LU; null for silence and for less than 3 s."""
    true_peak_dbtp: float | None
    """Largest value, between the samples as well, dBTP; null for digital silence."""
    sample_peak_dbfs: float | None
    """Largest sample, dBFS; null for digital silence."""
    dynamic_range_db: float | None
    """True peak above the integrated loudness (peak-to-loudness ratio), dB; null without one of them."""
    above_platform_lu: float | None
    """Integrated loudness above -14 LUFS, LU; several platforms are said, unofficially, to turn sound down to that."""
    is_dual_mono: bool | None
    """Whether two loudspeakers play the same: one channel, or two equal ones; null for more, and for silence."""
    dual_mono_lufs: float | None
    """Integrated loudness of a single channel as two loudspeakers play it, 3.01 LU more, LUFS; null for more
    channels."""
    clipped_sample_count: int
    """Samples at full scale in runs of at least three, in any channel. A lossy codec rounds off what was clipped before
    it: there this is a trace of it, not its amount."""
    tempo_bpm: float | None
    """Beats per minute; null where no beat keeps time."""
    tempo_confidence: float | None
    """0-1: how much of the onsets comes back after one to four beats; below 0.25 no tempo is claimed. Null in
    silence."""
    tempo_alternatives_bpm: tuple[float, ...]
    """Double and half the tempo, empty without one: which of them one taps to is a matter of taste."""
    beat_count: int | None
    """Beats, >= 0; null without a tempo."""
    onset_count: int
    """Onsets."""
    key: str | None
    """Best of the 24 major and minor keys, e.g. C major; null where there is no harmony."""
    key_confidence: float | None
    """Correlation with the key's profile, 0-1; null where there is no harmony."""
    f0_median_hz: float | None
    """Median of the pitch, 60 to 600 Hz, weighted by power, so that a quiet bed under a voice hardly counts; null where
    nothing is voiced."""
    centroid_hz: float | None
    """Median of the spectral centroid, Hz; null in silence."""
    rolloff_hz: float | None
    """Median of the frequency below which 85 % of the magnitude lies, Hz; null in silence."""
    flatness: float | None
    """Median of the spectral flatness, from a tone to white noise, 0-1; null in silence."""
    mfcc: tuple[float, ...] | None
    """Means of 13 mel-frequency cepstral coefficients, dB, conventions of librosa; null in silence."""
    percussive_ratio: float | None
    """Share of the mel power that is narrow in time and broad in frequency, 0-1; null in silence."""
    section_count: int
    """Sections."""


def analyze(
    levels: SoundLevels, spectrum: SoundSpectrum, voice: VoiceAcoustics | None
) -> Finding[AudioData, AudioSummary]:
    """Describe the sound of a clip."""
    is_silent = _is_silent(levels)
    beats = None if is_silent else audio_beats.find_beats(spectrum)
    kept = beats if beats and beats.confidence >= audio_beats.LEAST_CONFIDENCE else None
    onsets = tuple(audio_segments.onset_segments(spectrum))
    sections = audio_sections.find_sections(spectrum)
    segments = (
        *audio_segments.beat_segments(kept),
        *onsets,
        *audio_segments.section_segments(sections),
        *audio_segments.clipping_segments(levels),
    )
    return Finding(
        segments=tuple(audio_segments.within(segment, levels.duration_seconds) for segment in segments),
        series=series(levels, spectrum),
        full_series=full_series(levels, spectrum),
        summary=AudioSummary(
            is_silent=is_silent,
            onset_count=len(onsets),
            section_count=len(sections),
            f0_median_hz=None if voice is None else _median_pitch(voice),
            **_loudness(levels, is_silent),
            **_tempo(kept, beats),
            **_key(None if is_silent else audio_key.find_key(spectrum)),
            **_timbre(spectrum),
        ),
    )


def _is_silent(levels: SoundLevels) -> bool:
    hops = min(len(levels.power), round(0.1 / levels.hop_seconds))
    loudest = np.convolve(levels.power, np.full(hops, 1 / hops), "valid").max()
    return bool(loudest < 10 ** (SILENCE_DBFS / 10))


def _loudness(levels: SoundLevels, is_silent: bool) -> dict[str, Any]:
    momentary = audio_loudness.loudness_curve(levels, audio_loudness.MOMENTARY_STEPS)
    short_term = audio_loudness.loudness_curve(levels, audio_loudness.SHORT_TERM_STEPS)
    integrated = audio_loudness.integrated_lufs(momentary)
    true_peak, sample_peak = _decibels(levels.true_peak.max()), _decibels(levels.sample_peak.max())
    return {
        "channel_count": levels.channel_count,
        "integrated_lufs": integrated,
        "momentary_max_lufs": audio_loudness.loudest_lufs(momentary),
        "short_term_max_lufs": audio_loudness.loudest_lufs(short_term),
        "loudness_range_lu": audio_loudness.loudness_range_lu(short_term),
        "true_peak_dbtp": true_peak,
        "sample_peak_dbfs": sample_peak,
        "dynamic_range_db": None if integrated is None or true_peak is None else true_peak - integrated,
        "above_platform_lu": None if integrated is None else integrated - PLATFORM_LUFS,
        "is_dual_mono": None if is_silent or levels.channel_count > 2 else _is_dual_mono(levels),
        "dual_mono_lufs": (
            None if integrated is None or levels.channel_count > 1 else integrated + audio_loudness.DUAL_MONO_LU
        ),
        "clipped_sample_count": int(levels.clipped_count.sum()),
    }


def _decibels(amplitude: float) -> float | None:
    return 20 * math.log10(amplitude) if amplitude > 0 else None


def _is_dual_mono(levels: SoundLevels) -> bool:
    """One channel has no side."""
    return bool(levels.side_power.sum() <= levels.power.sum() * 10 ** (-SAME_CHANNELS_DB / 10))


def _tempo(kept: Beats | None, beats: Beats | None) -> dict[str, Any]:
    return {
        "tempo_bpm": None if kept is None else kept.tempo_bpm,
        "tempo_confidence": None if beats is None else beats.confidence,
        "tempo_alternatives_bpm": () if kept is None else (2 * kept.tempo_bpm, kept.tempo_bpm / 2),
        "beat_count": None if kept is None else len(kept.times_seconds),
    }


def _key(key: Key | None) -> dict[str, Any]:
    return {"key": key and key.name, "key_confidence": key and key.correlation}


def _timbre(spectrum: SoundSpectrum) -> dict[str, Any]:
    heard = spectrum.mfcc[~np.isnan(spectrum.mfcc[:, 0])].astype(np.float64)
    power = float(spectrum.mel_power.sum(dtype=np.float64))
    return {
        "centroid_hz": median(spectrum.centroid_hz.astype(np.float64)),
        "rolloff_hz": median(spectrum.rolloff_hz.astype(np.float64)),
        "flatness": median(spectrum.flatness.astype(np.float64)),
        "mfcc": tuple(heard.mean(axis=0).tolist()) if len(heard) else None,
        "percussive_ratio": (
            float(spectrum.percussive_power.sum(dtype=np.float64)) / power if len(heard) and power > 0 else None
        ),
    }


def _median_pitch(voice: VoiceAcoustics) -> float | None:
    is_voiced = ~np.isnan(voice.pitch_hz)
    if is_voiced.sum() * voice.hop_seconds < LEAST_VOICED_SECONDS:
        return None
    pitch = voice.pitch_hz[is_voiced]
    order = np.argsort(pitch)
    reached = np.cumsum(voice.power[is_voiced][order], dtype=np.float64)
    return float(pitch[order][np.searchsorted(reached, reached[-1] / 2)])


def headline(summary: AudioSummary) -> str:
    """Say it in a few words."""
    if summary.is_silent:
        return "silent"
    loudness = "not measured" if summary.integrated_lufs is None else f"{summary.integrated_lufs:.1f} LUFS"
    tempo = "no beat" if summary.tempo_bpm is None else f"{summary.tempo_bpm:.0f} BPM"
    return f"{loudness}, {tempo}, {summary.key or 'no key'}"


ANALYZER = Analyzer(
    name="audio_analysis",
    version="1",
    title="loudness, peaks and clipping, beat and tempo, key, timbre and sections of the sound",
    requires=(SoundLevels, SoundSpectrum),
    uses=(VoiceAcoustics,),
    data=AudioData,
    summary=AudioSummary,
    labels=audio_segments.LABELS,
    columns=COLUMNS,
    headline=headline,
    analyze=analyze,
    parameters=PARAMETERS,
)
