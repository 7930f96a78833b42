"""Segments of the sound: beats, onsets, sections, clipping."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.signal import find_peaks

from reelscope.analyzers.audio_beats import ONSET_LEAD_SECONDS, Beats
from reelscope.analyzers.audio_sections import Section
from reelscope.analyzers.base import Labels, Segment
from reelscope.signals import SoundLevels, SoundSpectrum

ONSET_DB = 2.0
"""Rise of the mel bands, on average, that is an onset; noise rises by up to 1.5 from window to window."""
ONSET_GAP_SECONDS = 0.05
CLIPPING_GAP_SECONDS = 0.1
"""Clipping that pauses for less is one span."""
EVENT_SECONDS = 0.01
"""Length that beats and onsets are given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """A beat of the music."""

    beat_number: int
    """Number of the beat, >= 1; which of them begins a bar is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Onset:
    """Something begins to sound: a note, a syllable, a blow."""

    strength_db: float
    """Mean rise of the mel bands, dB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SectionSound:
    """A stretch of sound that stays the same."""

    letter: str
    """A, B, ... in order of appearance; the same for sections that are alike."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Clipping:
    """Sound that was cut off at full scale."""

    clipped_sample_count: int
    """Samples at full scale in runs of at least three, in any channel; few where a lossy codec came after."""


AudioData = Beat | Onset | SectionSound | Clipping

LABELS = (
    Labels(names=("beat",), kind="event", meaning="a beat of the music", score="confidence of the tempo"),
    Labels(names=("onset",), kind="event", meaning="something begins to sound"),
    Labels(
        names=("section",),
        meaning="sound that stays the same",
        score="how much it differs from the section before; null for the first",
    ),
    Labels(names=("clipping",), meaning="sound that was cut off at full scale"),
)


def _event(seconds: float, label: str, score: float | None, data: AudioData) -> Segment[AudioData]:
    return Segment(
        kind="event", start_seconds=seconds, end_seconds=seconds + EVENT_SECONDS, label=label, score=score, data=data
    )


def beat_segments(beats: Beats | None) -> Iterator[Segment[AudioData]]:
    """Events, scored by the confidence of the tempo."""
    if beats is not None:
        for number, seconds in enumerate(beats.times_seconds.tolist(), 1):
            yield _event(seconds, "beat", beats.confidence, Beat(beat_number=number))


def onset_segments(spectrum: SoundSpectrum) -> Iterator[Segment[AudioData]]:
    """Events: peaks of the onset strength over all bands."""
    strength = spectrum.onset_strength[:, 0]
    gap = math.ceil(ONSET_GAP_SECONDS / spectrum.hop_seconds)
    hops, _ = find_peaks(strength, prominence=ONSET_DB, distance=gap)
    for hop, seconds in zip(hops, hops * spectrum.hop_seconds + ONSET_LEAD_SECONDS, strict=True):
        if seconds < spectrum.duration_seconds:
            yield _event(float(seconds), "onset", None, Onset(strength_db=float(strength[hop])))


def section_segments(sections: Sequence[Section]) -> Iterator[Segment[AudioData]]:
    """Spans, scored by how much each differs from the one before."""
    for section in sections:
        yield Segment(
            kind="span",
            start_seconds=section.start_seconds,
            end_seconds=section.end_seconds,
            label="section",
            score=section.novelty,
            data=SectionSound(letter=section.letter),
        )


def clipping_segments(levels: SoundLevels) -> Iterator[Segment[AudioData]]:
    """Spans of clipping, with its short pauses."""
    hops = np.flatnonzero(levels.clipped_count)
    breaks = np.flatnonzero(np.diff(hops) * levels.hop_seconds > CLIPPING_GAP_SECONDS + 1e-9) + 1
    for run in np.split(hops, breaks):
        if len(run):
            yield Segment(
                kind="span",
                start_seconds=float(run[0] * levels.hop_seconds),
                end_seconds=float((run[-1] + 1) * levels.hop_seconds),
                label="clipping",
                score=None,
                data=Clipping(clipped_sample_count=int(levels.clipped_count[run].sum())),
            )


def within(segment: Segment[AudioData], duration_seconds: float) -> Segment[AudioData]:
    """The segment, ending with the clip."""
    return replace(segment, end_seconds=min(segment.end_seconds, duration_seconds))
