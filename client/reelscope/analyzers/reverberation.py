"""How long a room goes on sounding: RT60, from how the sound dies away after speech.

Conventions: in every gap of at least `min_gap_seconds` after speech, the power, less the level that it settles on, is
integrated backwards (Schroeder's decay curve), and lines are fitted to all stretches of it that fall by `fit_range_db`.
Stretches that fit badly are left out: there the voice itself still fades. RT60 is the median, over all gaps, of the
time in which the lines fall by 60 dB. A gap counts only if the decay can be followed for `min_decay_db` above what it
settles on: where music or noise goes on it cannot, and nothing is claimed.

Measured with espeak-ng speech in exponentially decaying noise (RT60 0.2, 0.4, 0.8, 1.2 s; three voices, three rooms
each, gaps of 1.2 and 1.5 s): within 9 %. A single gap after a vowel that fades slowly may read twice the RT60 of a dry
room.

Source: Schroeder (1965), doi:10.1121/1.1909343; the range of 20 dB from ISO 3382-2's T20.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from reelscope.signals import Parameter, SpeechActivity, VoiceAcoustics

MIN_GAP_SECONDS = 1.2
FIT_RANGE_DB = 20.0
MIN_DECAY_DB = 35.0
MIN_R_SQUARED = 0.99
MARGIN_DB = 10.0
"""The curve is trusted down to this far above the level that it settles on."""
FIRST_DB, STEP_DB = 5.0, 2.0
"""The first stretch begins this far below the top of the curve, as T20 does; the next ones follow in steps."""
DETECTOR_SECONDS = 0.3
"""The mask holds on to speech for up to this long: the decay may have begun before its end, and a gap of the mask is as
much shorter than the gap of speech. Decays are looked at from here on."""
BEFORE_SPEECH_SECONDS = 0.05
MIN_HOPS = 4

PARAMETERS: dict[str, Parameter] = {
    "rt60_min_gap_seconds": MIN_GAP_SECONDS,
    "rt60_fit_range_db": FIT_RANGE_DB,
    "rt60_min_decay_db": MIN_DECAY_DB,
    "rt60_min_r_squared": MIN_R_SQUARED,
}

Span = tuple[float, float]


def gaps_after_speech(activity: SpeechActivity) -> list[Span]:
    """Start and end of the gaps that are long enough."""
    starts = [*activity.spans_seconds[1:, 0].tolist(), activity.duration_seconds]
    gaps = zip(activity.spans_seconds[:, 1].tolist(), starts, strict=True) if len(activity.spans_seconds) else ()
    return [(start, end) for start, end in gaps if end - start >= MIN_GAP_SECONDS - DETECTOR_SECONDS]


def rt60_seconds(gaps: Iterable[Span], acoustics: VoiceAcoustics) -> float | None:
    """Reverberation time by these gaps; None where no decay can be followed far enough."""
    times = [time for start, end in gaps for time in _decay_times(start, end, acoustics)]
    return float(np.median(times)) if times else None


def _decay_times(start_seconds: float, end_seconds: float, acoustics: VoiceAcoustics) -> Iterator[float]:
    """RT60 by every stretch of the decay in one gap that a line fits."""
    hop = acoustics.hop_seconds
    first, last = round((start_seconds - DETECTOR_SECONDS) / hop), round((end_seconds - BEFORE_SPEECH_SECONDS) / hop)
    power = acoustics.power[max(0, first) : last].astype(np.float64)
    curve, range_db = _decay_curve(power)
    if range_db < MIN_DECAY_DB:
        return
    for top_db in itertools.count(FIRST_DB, STEP_DB):
        below = (np.flatnonzero(curve <= -level) for level in (top_db, top_db + FIT_RANGE_DB))
        begins, ends = (found[0] if found.size else None for found in below)
        if top_db + FIT_RANGE_DB > range_db or begins is None or ends is None:
            return
        if ends + 1 - begins >= MIN_HOPS and (time := _fitted(curve[begins : ends + 1], hop)):
            yield time


def _decay_curve(power: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Schroeder's curve, dB below its top, as far as it can be trusted; and how far down that is."""
    settled = np.median(power[-max(1, len(power) // 4) :]) if len(power) else 0.0
    energy = np.cumsum((power - settled)[::-1])[::-1]
    if not len(energy) or energy[0] <= 0:
        return np.empty(0), 0.0
    energy = energy[: np.append(np.flatnonzero(energy <= 0), len(energy))[0]]
    curve = 10 * np.log10(energy / energy[0])
    loudest = power[: round(len(power) / 4) + 1].max()
    range_db = 10 * np.log10(loudest / settled) - MARGIN_DB if settled > 0 else -curve.min()
    return curve, float(range_db)


def _fitted(levels_db: NDArray[np.float64], hop_seconds: float) -> float | None:
    """Time in which the line through the levels falls by 60 dB; None where they are no line."""
    times = np.arange(len(levels_db)) * hop_seconds
    if np.corrcoef(times, levels_db)[0, 1] ** 2 < MIN_R_SQUARED:
        return None
    return float(-60 / np.polyfit(times, levels_db, 1)[0])
