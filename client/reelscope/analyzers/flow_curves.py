"""How much is going on at every moment: curves of cutting, motion, sound, voice and text, and their mean.

Each curve is told in its own unit; they are compared by their robust z-scores, so that none outvotes the others by its
unit. A curve whose input is missing is left out, not zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from reelscope.analyzers.audio_loudness import MOMENTARY_STEPS, SILENCE_LUFS
from reelscope.analyzers.base import Findings, Series
from reelscope.analyzers.timeline import CELL_SECONDS, Curve, cell_count, density, on_cells, robust_z, smoothed
from reelscope.signals import FrameEffects, Shots, SpeechActivity, VoiceAcoustics

SIGMA_SECONDS = 0.5
"""Width over which cuts and lines of text are counted, and the other curves are smoothed before they are compared: a
flash, a bang and a cut are moments of one length then."""
LEAST_DEVIATIONS = {"cuts_per_s": 0.1, "motion": 10.0, "lufs_m": 1.0, "pitch_variability_st": 0.5, "texts_per_s": 0.1}
"""Of each curve, in its unit, what counts as one standard deviation at least: the ripple of a steady tone or of a coded
still is no event. One LU is hardly heard; a single cut or line of text has a peak of 0.8 per second."""
MIN_CHANGE = 0.1
"""An intensity that varies by less never changes."""
EVENTS = ("cuts_per_s", "texts_per_s")
"""Curves that are counts over SIGMA_SECONDS already."""
PITCH_WINDOW_SECONDS = 1.0
MIN_VOICED_SECONDS = 0.3
"""Voiced time within a window from which the pitch's variability is told."""
END_CELLS = MOMENTARY_STEPS
"""Next to the clip's ends loudness may not be known: no window of it is centred there, or the next point of a long
clip's curve."""
LINEAR_DEVIATION = 3.0
"""Beyond so many robust standard deviations a curve counts by their logarithm: one outlier does not outvote all other
curves, and yet it has one peak, and of two outliers the greater one counts for more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Curves:
    """A clip's curves on the cells of `timeline`."""

    parts: Mapping[str, Curve]
    """By name, those that could be measured: cuts_per_s and texts_per_s (events per second), motion (mean absolute
    luma difference per second), lufs_m (LUFS), pitch_variability_st (semitones)."""
    intensity: Curve
    """Mean of their robust z-scores, as `_score` has them."""

    @property
    def is_flat(self) -> bool:
        """Whether no moment stands out from any other."""
        return bool(np.ptp(self.intensity) < MIN_CHANGE)

    def at(self, seconds: float) -> float:
        """Intensity at a time; 0 where it is not known."""
        cell = min(max(int(seconds / CELL_SECONDS + 1e-6), 0), len(self.intensity) - 1)
        return float(np.nan_to_num(self.intensity[cell]))

    def mean(self, start_seconds: float, end_seconds: float) -> float | None:
        """Mean intensity of a time span; None where it is not known."""
        first, last = round(start_seconds / CELL_SECONDS), round(end_seconds / CELL_SECONDS)
        inside = self.intensity[first : max(last, first + 1)]
        return None if np.isnan(inside).all() else float(np.nanmean(inside))


def curves(
    shots: Shots,
    effects: FrameEffects,
    activity: SpeechActivity | None,
    acoustics: VoiceAcoustics | None,
    findings: Findings,
) -> Curves:
    """Measure what the inputs allow."""
    cells = cell_count(effects.duration_seconds)
    parts = {
        "cuts_per_s": density([shot.start_seconds for shot in shots.shots[1:]], cells, SIGMA_SECONDS),
        "motion": _motion(shots, effects, cells),
    }
    if "audio_analysis" in findings:
        parts["lufs_m"] = _loudness(findings["audio_analysis"].series, cells)
    if activity and acoustics:
        parts["pitch_variability_st"] = _pitch_variability(activity, acoustics, cells)
    if "text_overlay" in findings:
        starts = [line.start_seconds for line in findings["text_overlay"].segments]
        parts["texts_per_s"] = density(starts, cells, SIGMA_SECONDS)
    parts = {name: curve for name, curve in parts.items() if not np.isnan(curve).all()}
    return Curves(parts=parts, intensity=np.nanmean([_score(*part) for part in parts.items()], axis=0))


def _score(name: str, curve: Curve) -> Curve:
    """Robust z-scores; their size grows as the logarithm beyond LINEAR_DEVIATION, without a step."""
    curve = curve if name in EVENTS else smoothed(_held(curve), SIGMA_SECONDS)
    deviation = robust_z(curve, limit=np.inf, least=LEAST_DEVIATIONS[name])
    size = np.abs(deviation)
    size = np.minimum(size, LINEAR_DEVIATION) + np.log1p(np.maximum(size - LINEAR_DEVIATION, 0))
    return np.copysign(size, deviation)


def _held(curve: Curve) -> Curve:
    """The curve, held to the clip's ends over END_CELLS at most.

    Else the other curves would weigh more there, and the intensity jump.
    """
    first, last = np.flatnonzero(~np.isnan(curve))[[0, -1]]
    held = curve.copy()
    if first <= END_CELLS:
        held[:first] = curve[first]
    if last >= len(curve) - 1 - END_CELLS:
        held[last + 1 :] = curve[last]
    return held


def _loudness(sound: Series, cells: int) -> Curve:
    """Momentary loudness; where there is none it is SILENCE_LUFS, but next to the ends it is not known."""
    loudness = on_cells(sound, "lufs_m", cells)
    inner = slice(END_CELLS, max(0, cells - END_CELLS))
    loudness[inner] = np.nan_to_num(loudness[inner], nan=SILENCE_LUFS)
    return loudness


def _motion(shots: Shots, effects: FrameEffects, cells: int) -> Curve:
    """Change of the picture from frame to frame, per second; a cut is no motion, a flash is."""
    times, change = effects.times_seconds, effects.change.astype(np.float64)
    speed = change[1:] / np.diff(times)
    cuts = {shot.frame_in for shot in shots.shots}
    columns = {
        "t": tuple(times[1:].tolist()),
        "motion": tuple(None if frame in cuts else value for frame, value in enumerate(speed.tolist(), 1)),
    }
    return on_cells(Series(columns=columns), "motion", cells)


def _pitch_variability(activity: SpeechActivity, acoustics: VoiceAcoustics, cells: int) -> Curve:
    """Standard deviation of the voice's pitch around every cell, in semitones."""
    times = acoustics.middles_seconds
    voiced = ~np.isnan(acoustics.pitch_hz) & activity.holds(times)
    times = times[voiced]
    semitones = 12 * np.log2(acoustics.pitch_hz[voiced].astype(np.float64))
    sums, squares = (np.concatenate(([0.0], np.cumsum(semitones**power))) for power in (1, 2))
    centers = (np.arange(cells) + 0.5) * CELL_SECONDS
    first, last = (np.searchsorted(times, centers + side * PITCH_WINDOW_SECONDS / 2) for side in (-1, 1))
    count = last - first
    enough = count * acoustics.hop_seconds >= MIN_VOICED_SECONDS
    count = np.maximum(count, 1)
    mean = (sums[last] - sums[first]) / count
    variance = (squares[last] - squares[first]) / count - mean**2
    return np.where(enough, np.sqrt(np.maximum(variance, 0)), np.nan)
