"""Content quality: is the clip technically good, and what is to be fixed.

Conventions: one span per shot. Sharpness, noise and blockiness are medians over the samples of the shot (or of the
clip): single frames of motion blur, or a keyframe, say little of it; clipping, contrast and the CLIP-IQA probabilities
are means. The score of a segment is its overall quality over 100.

Overall quality, 0-100, is the weighted mean of six parts, each 0-1; a part that was not measured is left out and the
weights of the others are scaled up. Weights and scales are in `parameters`: a measure at `<part>_worst` or beyond
counts 0, at `<part>_best` or beyond 1, linear between. The figure is descriptive: it orders clips by what is measured
here, and predicts neither taste nor success.

Sources: CLIP-IQA, Wang, Chan & Loy (2023), Exploring CLIP for assessing the look and feel of images, zero-shot with its
antonym prompts; the others in the module of the signal. Thresholds and
scales were set on photographs with known blur, noise, JPEG quality and exposure.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from reelscope.analyzers.base import Analyzer, Finding, Labels, Segment, Series, numbered
from reelscope.analyzers.measured import median
from reelscope.signals import FrameEmbeddings, FrameQuality, Parameter, Shot, Shots

NAME = "content_quality"
WEIGHTS = {"look": 0.4, "sharpness": 0.2, "noise": 0.1, "blockiness": 0.1, "clipping": 0.1, "contrast": 0.1}
"""Share of each part in the overall quality; look is CLIP-IQA's probability of a good photo."""
SCALES = {
    "sharpness": (1.0, 2.5),
    "noise": (15.0, 2.0),
    "blockiness": (2.5, 1.2),
    "clipping": (30.0, 2.0),
    "contrast": (0.04, 0.16),
}
"""Values that count 0 and 1: log10 of the Laplacian's variance, noise sigma, blockiness, percent clipped high and low
together, RMS contrast."""

Issue = Literal["blurry", "noisy", "blocky", "overexposed", "underexposed", "low_contrast"]
THRESHOLDS: tuple[tuple[Issue, str, float, bool], ...] = (
    ("blurry", "laplacian_variance", 30.0, False),
    ("noisy", "noise_sigma", 8.0, True),
    ("blocky", "blockiness", 1.6, True),
    ("overexposed", "clipped_high_percent", 10.0, True),
    ("underexposed", "clipped_low_percent", 10.0, True),
    ("low_contrast", "rms_contrast", 0.06, False),
)
"""Issue, measure, threshold, and whether more (True) or less (False) than it is an issue."""

PARAMETERS: dict[str, Parameter] = {
    **{f"weight_{part}": weight for part, weight in WEIGHTS.items()},
    **{f"{part}_worst": worst for part, (worst, _) in SCALES.items()},
    **{f"{part}_best": best for part, (_, best) in SCALES.items()},
    **{f"{issue}_{'above' if is_upper else 'below'}": threshold for issue, _, threshold, is_upper in THRESHOLDS},
}

POSITIVE_LABELS = {
    "good": "quality/good",
    "bright": "brightness/bright",
    "clean": "noisiness/clean",
    "colorful": "colorfulness/colorful",
    "sharp": "sharpness/sharp",
    "high_contrast": "contrast/high",
}
"""Field of ClipIqa, and the label whose probability it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipIqa:
    """Mean probabilities of CLIP-IQA's positive prompts against their antonyms, 0-1."""

    good: float
    """Good, not bad, 0-1."""
    bright: float
    """Bright, not dark, 0-1."""
    clean: float
    """Clean, not noisy, 0-1."""
    colorful: float
    """Colourful, not dull, 0-1."""
    sharp: float
    """Sharp, not blurry, 0-1."""
    high_contrast: float
    """Of high, not of low contrast, 0-1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """Technical quality of a stretch of time; null is what was not measured."""

    clip_iqa: ClipIqa | None
    """CLIP-IQA; null without a trained embedding model."""
    laplacian_variance: float | None
    """Sharpness: median variance of the Laplacian at long side 640 px, >= 0."""
    noise_sigma: float | None
    """Median standard deviation of the noise, grey levels 0-255; fine texture all over the picture adds to it."""
    blockiness: float | None
    """Median ratio of luma steps on the 8-px coding grid to those off it, >= 1."""
    clipped_high_percent: float | None
    """Mean share of the picture with luma of at least 253, percent, 0-100."""
    clipped_low_percent: float | None
    """Mean share of the picture with luma of at most 2, percent, 0-100."""
    rms_contrast: float | None
    """Mean standard deviation of luma over 255, 0-0.5."""
    overall: float | None
    """Weighted mean of what was measured, 0-100, by the weights and scales in `parameters`; null when nothing was."""
    issues: tuple[Issue, ...]
    """What exceeds its threshold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QualitySummary(Quality):
    """Technical quality of the whole clip, from all of its samples."""

    worst_segment: str | None
    """Segment of the lowest overall quality, the earliest of equals; null when none was measured."""


QualityData = Quality | None
"""Of a shot; null when no sample fell into it."""


def analyze(
    quality: FrameQuality, shots: Shots, embeddings: FrameEmbeddings | None
) -> Finding[QualityData, QualitySummary]:
    """Describe the quality of every shot and of the clip."""
    segments = numbered(NAME, [_segment(shot, quality, embeddings) for shot in shots.shots])
    scores = [(segment.score, segment.id) for segment in segments if segment.score is not None]
    whole = _describe(quality, embeddings, None)
    return Finding(
        segments=segments,
        summary=QualitySummary(
            **{field.name: getattr(whole, field.name) for field in fields(whole)},
            worst_segment=min(scores, key=lambda scored: scored[0])[1] if scores else None,
        ),
        series=_series(quality),
    )


def _segment(shot: Shot, quality: FrameQuality, embeddings: FrameEmbeddings | None) -> Segment[QualityData]:
    found = _describe(quality, embeddings, shot)
    return Segment(
        kind="span",
        start_seconds=shot.start_seconds,
        end_seconds=shot.end_seconds,
        label="shot_quality",
        score=None if found.overall is None else found.overall / 100,
        data=None if found.overall is None else found,
    )


def _describe(quality: FrameQuality, embeddings: FrameEmbeddings | None, shot: Shot | None) -> Quality:
    """Quality of one shot, or of the whole clip."""
    rows = slice(None) if shot is None else shot.holds(quality.times_seconds)
    measures: dict[str, float | None] = {
        "laplacian_variance": median(quality.laplacian_variance[rows]),
        "noise_sigma": median(quality.noise_sigma[rows]),
        "blockiness": median(quality.blockiness[rows]),
        "clipped_high_percent": _mean(100 * quality.clipped_high[rows]),
        "clipped_low_percent": _mean(100 * quality.clipped_low[rows]),
        "rms_contrast": _mean(quality.rms_contrast[rows]),
    }
    clip_iqa = None if embeddings is None else _clip_iqa(embeddings, shot)
    return Quality(clip_iqa=clip_iqa, overall=_overall(measures, clip_iqa), issues=tuple(_issues(measures)), **measures)


def _clip_iqa(embeddings: FrameEmbeddings, shot: Shot | None) -> ClipIqa | None:
    rows = slice(None) if shot is None else shot.holds(embeddings.times_seconds)
    if not embeddings.times_seconds[rows].size:
        return None
    return ClipIqa(
        **{name: float(embeddings.probability(label)[rows].mean()) for name, label in POSITIVE_LABELS.items()}
    )


def _overall(measures: Mapping[str, float | None], clip_iqa: ClipIqa | None) -> float | None:
    high, low = measures["clipped_high_percent"], measures["clipped_low_percent"]
    sharpness = measures["laplacian_variance"]
    on_scale = {
        "sharpness": None if sharpness is None else math.log10(max(sharpness, 1.0)),
        "noise": measures["noise_sigma"],
        "blockiness": measures["blockiness"],
        "clipping": None if high is None or low is None else high + low,
        "contrast": measures["rms_contrast"],
    }
    values = {name: value for name, value in on_scale.items() if value is not None}
    parts = {name: _share_of_best(value, *SCALES[name]) for name, value in values.items()}
    if clip_iqa is not None:
        parts["look"] = clip_iqa.good
    total = sum(WEIGHTS[name] for name in parts)
    return 100 * sum(WEIGHTS[name] * part for name, part in parts.items()) / total if parts else None


def _share_of_best(value: float, worst: float, best: float) -> float:
    return min(1.0, max(0.0, (value - worst) / (best - worst)))


def _issues(measures: Mapping[str, float | None]) -> Iterator[Issue]:
    """What lies beyond its threshold; what was not measured does not."""
    for issue, name, threshold, is_upper in THRESHOLDS:
        value = measures[name]
        if value is not None and (value > threshold if is_upper else value < threshold):
            yield issue


def _mean(values: NDArray[np.float64]) -> float | None:
    measured = values[~np.isnan(values)]
    return float(measured.mean()) if measured.size else None


def _series(quality: FrameQuality) -> Series:
    columns = {
        "t": quality.times_seconds,
        "lap_var": quality.laplacian_variance,
        "noise_sigma": quality.noise_sigma,
        "blockiness": quality.blockiness,
        "clip_hi_pct": 100 * quality.clipped_high,
        "clip_lo_pct": 100 * quality.clipped_low,
        "rms_contrast": quality.rms_contrast,
    }
    return Series(
        columns={
            name: tuple(None if math.isnan(value) else value for value in values.tolist())
            for name, values in columns.items()
        }
    )


def headline(summary: QualitySummary) -> str:
    """Say it in a few words."""
    overall = "not measured" if summary.overall is None else f"{summary.overall:.0f} of 100"
    return f"{overall}, {', '.join(summary.issues) or 'no issues'}"


ANALYZER = Analyzer(
    name=NAME,
    version="1",
    title="how good the clip is technically, and what to fix",
    requires=(FrameQuality, Shots),
    uses=(FrameEmbeddings,),
    data=QualityData,
    summary=QualitySummary,
    labels=(
        Labels(
            names=("shot_quality",),
            meaning="a shot; without data where nothing was measured",
            score="overall quality over 100",
        ),
    ),
    columns={
        "lap_var": "sharpness: variance of the Laplacian at long side 640 px, >= 0",
        "noise_sigma": "standard deviation of the noise, grey levels, 0-255",
        "blockiness": "luma steps on the 8-px coding grid over those off it, >= 1",
        "clip_hi_pct": "share of the picture with luma of at least 253, percent, 0-100",
        "clip_lo_pct": "share of the picture with luma of at most 2, percent, 0-100",
        "rms_contrast": "standard deviation of luma over 255, 0-0.5",
    },
    headline=headline,
    analyze=analyze,
    parameters=PARAMETERS,
)
