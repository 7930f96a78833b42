"""Beats of an onset strength, by dynamic programming: Ellis (2007), Beat tracking by dynamic programming.

The beats are the onsets whose spacing stays nearest to one period. Numbers are those of librosa (0.11), which tests
hold them to; `spectra` says why it is not imported.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import fft

TIGHTNESS = 100.0
"""Weight of the squared log of a spacing over the period, against the strength of an onset."""
_WIDTH = 32.0
"""Onsets count with those around them: by a Gaussian whose deviation is the period over this."""
_FIRST_SHARE = 0.01
"""The first beat is at least so strong, of the strongest onset."""
_LAST_SHARE = 0.5
"""The last is where the score still reaches this share of the median of its peaks."""


def autocorrelation(values: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """The first `count` lags of values [n], or all where there are fewer."""
    size = fft.next_fast_len(2 * len(values) - 1, real=True)
    spectrum = fft.rfft(values, size)
    return np.asarray(fft.irfft(spectrum.real**2 + spectrum.imag**2, size)[: min(count, len(values))], np.float32)


def beats(strength: NDArray[np.float32], period: float) -> NDArray[np.int64]:
    """[k] places of the beats of an onset strength [n].

    Args:
        strength: >= 0, not all 0.
        period: between beats, in places; rounded.
    """
    period = float(np.round(period))
    local = _local_score(strength, period)
    score, before = _best_paths(local, period)
    places, place = [], _last(score)
    while place >= 0:
        places.append(place)
        place = int(before[place])
    sounding = np.flatnonzero(local > 0)
    found = np.array(places[::-1], np.int64)
    return np.asarray(found[(found >= sounding[0]) & (found <= sounding[-1])])


def _local_score(strength: NDArray[np.float32], period: float) -> NDArray[np.float64]:
    """Onsets over their deviation, with those around them."""
    even = strength / (strength.std(ddof=1) + np.finfo(strength.dtype).tiny)
    weights = np.exp(-0.5 * (np.arange(-period, period + 1) * _WIDTH / period) ** 2)
    return np.convolve(even.astype(np.float64), weights)[len(weights) // 2 :][: len(even)]


def _best_paths(local: NDArray[np.float64], period: float) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Best score of beats that end at every place, and the beat before it (-1 where there is none)."""
    nearest, farthest = int(np.round(period / 2)), int(2 * period)
    lags = np.arange(nearest, farthest + 1)
    costs = TIGHTNESS * (np.log(lags) - np.log(period)) ** 2
    score, before = local.copy(), np.full(len(local), -1)
    is_first, least = True, _FIRST_SHARE * local.max()
    for place in range(len(local)):
        count = min(farthest, place) - nearest + 1
        best = -1
        if count > 0:
            reached = score[place - nearest - count + 1 : place - nearest + 1][::-1] - costs[:count]
            best = int(reached.argmax())
            score[place] += reached[best]
        if not is_first or local[place] >= least:
            is_first = False
            before[place] = place - nearest - best if best >= 0 else -1
    return score, before


def _last(score: NDArray[np.float64]) -> int:
    """Place of the last beat: the last peak of the scores that is high enough."""
    rises = np.append(np.diff(score, prepend=np.inf) > 0, False)[: len(score)]
    falls = np.append(score[:-1] >= score[1:], True)
    peaks = np.flatnonzero(rises & falls)
    high = peaks[score[peaks] >= _LAST_SHARE * np.median(score[peaks])] if peaks.size else peaks
    return int(high[-1]) if high.size else len(score) - 1
