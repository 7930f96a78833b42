"""Speech emotion: how excited, strong and pleasant voices sound.

Apparent, never felt: what a network trained on judgements of listeners says of a voice. Biometric, so results say
`sensitive`, and a deployment can leave it out.

Conventions: one span per piece of speech, 2 to 6 s long where the speech lasts. Arousal, dominance and valence are 0-1;
what the network says beyond is cut off. Means are weighted by length. A score is the probability of the likeliest
class, where the served network has classes; else null. Speech that is less than `min_snr_db` louder than its background
is judged all the same, with the warning low_snr.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from reelscope.analyzers import speech_levels
from reelscope.analyzers.base import Analyzer, Finding, Labels, Segment
from reelscope.analyzers.biometrics import OPT_OUT
from reelscope.signals import Parameter, SpeechActivity, SpeechEmotions, VoiceAcoustics

MIN_SNR_DB = 5.0
LOW_SNR = "low_snr"
"""Warning: some speech hardly stands out from its background."""

PARAMETERS: dict[str, Parameter] = {"emotion_min_snr_db": MIN_SNR_DB, **speech_levels.PARAMETERS}

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class VoiceData:
    """How a piece of speech sounds; null where the network gives no number."""

    arousal: float | None
    """0 (calm) to 1 (excited)."""
    valence: float | None
    """0 (negative) to 1 (positive)."""
    dominance: float | None
    """0 (weak) to 1 (strong)."""
    probabilities: Mapping[str, float] | None
    """By class, 0-1, in sum 1; null where the served network has no classes."""
    snr_db: float | None
    """Speech over background, dB; null where there is no background to compare with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dimension:
    """One of the three, over all speech."""

    mean: float
    """Mean by length, 0-1."""
    low: float
    """Lowest piece, 0-1."""
    high: float
    """Highest piece, 0-1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VoiceSummary:
    """How voices sound in the clip. All is null when a model is untrained, all but the time without speech."""

    judged_seconds: float | None
    """Speech for which the network gives arousal, seconds."""
    arousal: Dimension | None
    """0 (calm) to 1 (excited)."""
    valence: Dimension | None
    """0 (negative) to 1 (positive)."""
    dominance: Dimension | None
    """0 (weak) to 1 (strong)."""
    arousal_slope_per_second: float | None
    """Change of arousal per second, by a line through the pieces; null with fewer than two."""
    peak_seconds: float | None
    """Middle of the piece with the highest arousal, seconds; null without any."""
    sensitive: Literal[True] = True
    """Judged from people's voices: handle as biometric. Apparent, not felt."""
    opt_out: str = OPT_OUT
    """How to leave this analysis out."""


def analyze(
    emotions: SpeechEmotions, activity: SpeechActivity | None, acoustics: VoiceAcoustics | None
) -> Finding[VoiceData, VoiceSummary]:
    """Describe every piece of speech."""
    ratios = _snrs_db(emotions, activity, acoustics)
    segments = [_segment(emotions, row, ratios[row]) for row in range(len(emotions.spans_seconds))]
    is_noisy = any(ratio is not None and ratio < MIN_SNR_DB for ratio in ratios)
    return Finding(segments=tuple(segments), summary=_summary(emotions), warnings=(LOW_SNR,) if is_noisy else ())


def _snrs_db(
    emotions: SpeechEmotions, activity: SpeechActivity | None, acoustics: VoiceAcoustics | None
) -> list[float | None]:
    if activity is None or acoustics is None:
        return [None] * len(emotions.spans_seconds)
    background = speech_levels.background_power(activity, acoustics)
    return [speech_levels.snr_db(span[None], acoustics, background) for span in emotions.spans_seconds]


def _segment(emotions: SpeechEmotions, row: int, snr_db: float | None) -> Segment[VoiceData]:
    classes = dict(zip(emotions.class_names, emotions.class_probabilities[row].tolist(), strict=True))
    likeliest = max(classes, key=classes.__getitem__) if classes else None
    start, end = emotions.spans_seconds[row].tolist()
    return Segment(
        kind="span",
        start_seconds=start,
        end_seconds=end,
        label=likeliest or "voice",
        score=min(1.0, classes[likeliest]) if likeliest else None,
        data=VoiceData(
            arousal=_known(emotions.arousal[row]),
            valence=_known(emotions.valence[row]),
            dominance=_known(emotions.dominance[row]),
            probabilities=classes or None,
            snr_db=snr_db,
        ),
    )


def _known(value: float) -> float | None:
    """0-1; None for what is no number."""
    return float(np.clip(value, 0, 1)) if np.isfinite(value) else None


def _summary(emotions: SpeechEmotions) -> VoiceSummary:
    is_judged = np.isfinite(emotions.arousal) & (not emotions.untrained_models)
    arousal = np.clip(emotions.arousal[is_judged].astype(np.float64), 0, 1)
    spans = emotions.spans_seconds[is_judged]
    middles = spans.mean(1)
    return VoiceSummary(
        judged_seconds=None if emotions.untrained_models else float((spans[:, 1] - spans[:, 0]).sum()),
        arousal=_dimension(emotions.arousal, emotions),
        valence=_dimension(emotions.valence, emotions),
        dominance=_dimension(emotions.dominance, emotions),
        arousal_slope_per_second=float(np.polyfit(middles, arousal, 1)[0]) if len(middles) > 1 else None,
        peak_seconds=float(middles[arousal.argmax()]) if arousal.size else None,
    )


def _dimension(values: NDArray[np.float32], emotions: SpeechEmotions) -> Dimension | None:
    is_known = np.isfinite(values)
    if emotions.untrained_models or not is_known.any():
        return None
    known = np.clip(values[is_known].astype(np.float64), 0, 1)
    lengths = (emotions.spans_seconds[:, 1] - emotions.spans_seconds[:, 0])[is_known]
    return Dimension(mean=float(np.average(known, weights=lengths)), low=float(known.min()), high=float(known.max()))


def headline(summary: VoiceSummary) -> str:
    """Say it in a few words."""
    if summary.judged_seconds is None:
        return "random weights: nothing is claimed"
    if summary.arousal is None:
        return "no voice to judge"
    named = (("arousal", summary.arousal), ("valence", summary.valence), ("dominance", summary.dominance))
    parts = [f"{name} {found.mean:.2f}" for name, found in named if found]
    if summary.peak_seconds is not None:
        parts.append(f"most excited at {summary.peak_seconds:.1f} s")
    return ", ".join(parts)


ANALYZER = Analyzer(
    name="speech_emotion",
    version="1",
    title="how excited, strong and pleasant voices sound",
    requires=(SpeechEmotions,),
    uses=(SpeechActivity, VoiceAcoustics),
    data=VoiceData,
    summary=VoiceSummary,
    labels=(
        Labels(
            meaning="a piece of speech; the label is voice, or the likeliest class where the network has classes",
            score="probability of that class",
        ),
    ),
    warnings={LOW_SNR: "some speech hardly stands out from its background"},
    headline=headline,
    analyze=analyze,
    parameters=PARAMETERS,
    is_biometric=True,
)
