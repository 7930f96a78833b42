"""Where most happens at once: peaks of what is seen, heard and written, taken together.

Every curve of `cross_curves.ACTIVITY` becomes robust deviations from what is usual in the clip; those of one modality
are averaged, so that one that is measured by many curves does not outvote the others, and then the modalities are.
Peaks 0.1 s apart are the same. A key moment reaches as far as half of the peak's prominence.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter1d, maximum_filter1d
from scipy.signal import find_peaks, peak_widths

from reelscope.analyzers.base import Segment
from reelscope.analyzers.cross_curves import ACTIVITY, MIN_SECONDS
from reelscope.analyzers.cross_kinds import CrossData, Observed, evidence
from reelscope.analyzers.timeline import CELL_SECONDS, MAX_DEVIATION, Curve, robust_z

MAX_MOMENTS = 5
MIN_GAP_SECONDS = 1.0
"""Between two key moments."""
MIN_PEAK = 0.75
"""Mean deviation of the modalities, and rise above the surroundings, from which on a moment stands out."""
NAMED_DEVIATION = 2.0
"""A curve peaks with the moment where it deviates by so much."""
MAX_EVIDENCE = 8

BEGINNINGS = (
    *("visual_effects", "cut_analysis", "audio_analysis", "text_overlay", "speech_transcription", "face_emotion"),
    *("audio_environment", "body_pose", "product_detection", "background_segmentation", "scene_segmentation"),
    *("camera_analysis", "qwen2_vl_temporal", "temporal_flow"),
)
"""Analyzers whose segments are evidence of a moment where they begin in it, in this order."""
REGULAR = ("beat",)
"""What comes all the time marks no moment."""


@dataclass(frozen=True, slots=True)
class Activity:
    """How much happens, by cell."""

    curves: Mapping[str, Curve]
    """Robust deviations by curve, peaks widened by a cell either way."""
    modalities: Mapping[str, Curve]
    """Their mean by modality, 0 where none of its curves is known: as usual. Those that never change are left out."""
    total: Curve
    """Mean of the modalities, smoothed."""


def activity(curves: Mapping[str, Curve]) -> Activity:
    """Deviations of the curves that there are [cells]."""
    deviations = {
        name: _widened(robust_z(curves[name])) for names in ACTIVITY.values() for name in names if name in curves
    }
    modalities = {
        modality: _mean([deviations[name] for name in names if name in deviations])
        for modality, names in ACTIVITY.items()
        if not names.keys().isdisjoint(deviations)
    }
    changing = {modality: curve for modality, curve in modalities.items() if np.ptp(curve) > 0}
    total = np.mean(list(changing.values() or modalities.values()), axis=0)
    return Activity(deviations, changing, gaussian_filter1d(total, 1.0, mode="nearest"))


def _widened(curve: Curve) -> Curve:
    """The largest of every value and its neighbours."""
    known = np.where(np.isnan(curve), -np.inf, curve)
    return np.where(np.isnan(curve), np.nan, maximum_filter1d(known, 3, mode="nearest"))


def _mean(curves: Sequence[Curve]) -> Curve:
    """Mean of the curves that are known at each cell, 0 where none is."""
    stacked = np.stack(curves)
    return np.asarray(np.nansum(stacked, axis=0) / np.maximum(1, (~np.isnan(stacked)).sum(axis=0)))


def agreement(found: Activity) -> float | None:
    """Mean correlation of the modalities with each other, 0-1; None where fewer than two change, or in under 5 s.

    Modalities that have nothing to do with each other, or oppose each other, are 0.
    """
    if len(found.modalities) < 2 or len(found.total) * CELL_SECONDS < MIN_SECONDS - 1e-6:
        return None
    couples = itertools.combinations(found.modalities.values(), 2)
    pairs = [float(np.corrcoef(one, other)[0, 1]) for one, other in couples]
    return min(1.0, max(0.0, sum(pairs) / len(pairs)))


def key_moments(found: Activity, observed: Observed) -> list[Segment[CrossData]]:
    """The moments that stand out most, at most MAX_MOMENTS, in time order."""
    # Surrounded by the least that there is, so that the first and the last cell can be peaks.
    padded = np.pad(found.total, 1, constant_values=float(found.total.min()))
    peaks, shape = find_peaks(
        padded, height=MIN_PEAK, prominence=MIN_PEAK, distance=round(MIN_GAP_SECONDS / CELL_SECONDS)
    )
    best = np.sort(peaks[np.argsort(-shape["peak_heights"], kind="stable")[:MAX_MOMENTS]])
    _, _, lefts, rights = peak_widths(padded, best, rel_height=0.5)
    return [
        _moment(found, observed, int(peak) - 1, float(left) - 1, float(right) - 1)
        for peak, left, right in zip(best, lefts, rights, strict=True)
    ]


def _moment(found: Activity, observed: Observed, peak: int, left: float, right: float) -> Segment[CrossData]:
    """Cells are told by their middles: half a cell before `left` to half a cell after `right`."""
    start = max(0.0, min(left, peak - 0.5) + 0.5) * CELL_SECONDS
    end = min(observed.duration_seconds, (max(right, peak + 0.5) + 0.5) * CELL_SECONDS)
    strength = float(np.clip(found.total[peak] / MAX_DEVIATION, 0, 1))
    return Segment(
        kind="span",
        start_seconds=min(start, observed.duration_seconds - 0.001),
        end_seconds=end,
        label="key_moment",
        score=strength,
        data=CrossData(
            evidence=evidence(*_beginning(observed, start - CELL_SECONDS, end + CELL_SECONDS, (peak + 0.5) / 10)),
            strength=strength,
            text=_text(found, peak),
            rule=None,
        ),
    )


def _text(found: Activity, peak: int) -> str:
    """What peaks, the highest first."""
    heights = {name: float(np.nan_to_num(curve[peak])) for name, curve in found.curves.items()}
    ordered = sorted(heights, key=heights.__getitem__, reverse=True)
    high = [name for name in ordered if heights[name] >= NAMED_DEVIATION] or ordered[:1]
    called = {name: words for names in ACTIVITY.values() for name, words in names.items()}
    *others, last = [called[name] for name in high]
    return f"{', '.join(others)} and {last} peak together" if others else f"a peak of {last}"


def _beginning(observed: Observed, start: float, end: float, peak: float) -> list[Segment[Any]]:
    """Segments that begin within a moment, of every kind the one nearest to its peak; else the shot that it lies in."""
    nearest: dict[tuple[str, str], Segment[Any]] = {}
    for analyzer in BEGINNINGS:
        for segment in observed.segments(analyzer):
            if start <= segment.start_seconds <= end and segment.label not in REGULAR:
                kind = (analyzer, segment.label)
                known = nearest.setdefault(kind, segment)
                if abs(segment.start_seconds - peak) < abs(known.start_seconds - peak):
                    nearest[kind] = segment
    if nearest:
        return list(nearest.values())[:MAX_EVIDENCE]
    shots = observed.segments("cut_analysis", "shot")
    return [shot for shot in shots if shot.start_seconds <= peak < shot.end_seconds]
