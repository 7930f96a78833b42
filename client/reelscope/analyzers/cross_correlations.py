"""Which curves rise and fall together, and how sure one can be that it is no accident.

Pearson's r of two curves without their linear trends, at the lag within +-1 s where it is largest either way. Such a
maximum is large by accident, too, and the more so the smoother the curves are. So p is the share of 2000 surrogates of
the second curve whose largest |r| within the same lags is as large: curves with its power spectrum, random phases and
its very values (Theiler et al. 1992, doi:10.1016/0167-2789(92)90102-S, algorithms I and II). Their spectrum is that of
the curve padded to twice its length, so that its end does not run on into its beginning, and they have lost their trend
as it has; without both, slow curves are found alike too often. q is p after Benjamini and Hochberg (1995) over all
pairs tested: those with q <= 0.05 are significant.

A pair is compared over the longest time for which both curves are known. `n` counts what is independent there: cells
over the sum of the product of both autocorrelations (Bartlett 1946; Pyper & Peterman 1998, doi:10.1139/f98-104), less
where few cells hold most of the variance (by kurtosis above a normal distribution's). One or two events coincide easily
within +-1 s, whatever surrogates say: with n < 12 nothing is tested.

Measured over the 15 pairs of `cross_curves` on independent curves, 200 runs each: any pair is significant in 2.5, 2.5
and 3.5 % of runs with AR(1) noise of coefficients 0.3-0.95 and 50, 100 and 300 cells; in at most 5.5 % with 0.95 alone,
and in at most 6 % with trains of pulses.

Rank correlations were left aside: the ranks of what does not happen most of the time are those of its noise.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy.fft
from numpy.typing import NDArray
from scipy.signal import detrend
from scipy.stats import false_discovery_control, kurtosis

from reelscope.analyzers.cross_curves import MIN_SECONDS
from reelscope.analyzers.timeline import CELL_SECONDS, Curve
from reelscope.runs import runs

MAX_LAG_SECONDS = 1.0
SURROGATE_COUNT = 2000
MAX_FALSE_DISCOVERY_RATE = 0.05
MIN_INDEPENDENT = 12
"""Below, curves of chance were found alike more often than 1 in 20 times, down to single pulses that always were."""
MAX_CELLS = 1200
"""Longer curves are averaged into that many cells at most: 0.1 s up to two minutes, 0.5 s in ten."""
SEED = 20261125

Reason = Literal["missing_input", "too_short", "constant", "too_few_events"]
Batch = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Correlation:
    """Two curves side by side. It says nothing about which of them brings about the other, if any."""

    a: str
    """First curve: motion (change of the picture within shots), camera_speed, cut_density, brightness (lightness of the
    picture), body_energy, smile or face_arousal (of the largest face), eye_contact, text_amount (characters that can be
    read) or text_onset_density (how densely lines of text begin)."""
    b: str
    """Second curve: loudness, onset_density (how densely sounds begin), sound_centroid (brightness of the sound),
    speech (probability that somebody speaks), voice_arousal or cut_density."""
    r: float
    """Pearson's correlation at the lag, -1 to 1."""
    lag_seconds: float
    """By how much the second curve comes after the first, -1 to 1; negative: before."""
    p: float
    """Share of surrogates that correlate as much at any lag, 0-1; never below 1 in 2001."""
    q: float
    """p after the control of false discoveries over all pairs tested, 0-1; significant up to 0.05."""
    independent_count: int
    """Independent values that were compared, >= 12."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UntestedPair:
    """Two curves that were not compared."""

    a: str
    """Name of the first curve."""
    b: str
    """Name of the second curve."""
    reason: Reason
    """missing_input: a curve is not there; too_short: both are known for less than 5 s on end; constant: one does not
    change; too_few_events: there are fewer than 12 independent values."""


@dataclass(frozen=True, slots=True)
class _Pair:
    a: str
    b: str
    first: Curve
    second: Curve
    cell_seconds: float
    independent: float
    start: int


def correlate(
    curves: Mapping[str, Curve], pairs: Iterable[tuple[str, str]]
) -> tuple[tuple[Correlation, ...], tuple[UntestedPair, ...]]:
    """Compare pairs of curves [cells]; the order of the pairs is kept. The same curves always give the same."""
    found = [_pair(curves, a, b) for a, b in pairs]
    tested = [pair for pair in found if isinstance(pair, _Pair)]
    places: dict[tuple[str, str], tuple[float, float, float]] = {}
    shared = sorted(tested, key=_second)
    for _, group in itertools.groupby(shared, key=_second):
        alike = list(group)
        chance = surrogates(alike[0].second)
        for pair in alike:
            places[pair.a, pair.b] = best_lag(pair.first, pair.second, chance, pair.cell_seconds)
    ps = [places[pair.a, pair.b][2] for pair in tested]
    qs = false_discovery_control(ps) if ps else []
    return (
        tuple(
            Correlation(
                a=pair.a,
                b=pair.b,
                r=places[pair.a, pair.b][0],
                lag_seconds=places[pair.a, pair.b][1],
                p=p,
                q=min(1.0, float(q)),
                independent_count=round(pair.independent),
            )
            for pair, p, q in zip(tested, ps, qs, strict=True)
        ),
        tuple(pair for pair in found if isinstance(pair, UntestedPair)),
    )


def _second(pair: _Pair) -> tuple[str, int, int, float]:
    """What pairs have in common that have the same second curve, and so the same surrogates."""
    return pair.b, pair.start, len(pair.second), pair.cell_seconds


def _pair(curves: Mapping[str, Curve], a: str, b: str) -> _Pair | UntestedPair:
    """Both curves over the longest time for which they are known, without trend; or why they cannot be compared."""
    if a not in curves or b not in curves:
        return UntestedPair(a=a, b=b, reason="missing_input")
    known = runs(~np.isnan(curves[a]) & ~np.isnan(curves[b]))
    start, stop = max(known.tolist(), key=lambda run: run[1] - run[0], default=(0, 0))
    if (stop - start) * CELL_SECONDS < MIN_SECONDS - 1e-6:
        return UntestedPair(a=a, b=b, reason="too_short")
    step = -(-(stop - start) // MAX_CELLS)
    first, second = (_coarse(curves[name][start:stop], step) for name in (a, b))
    if not first.any() or not second.any():
        return UntestedPair(a=a, b=b, reason="constant")
    independent = independent_count(first, second)
    if independent < MIN_INDEPENDENT:
        return UntestedPair(a=a, b=b, reason="too_few_events")
    return _Pair(a, b, first, second, step * CELL_SECONDS, independent, start)


def _coarse(curve: Curve, step: int) -> Curve:
    """Means of `step` cells each, without their linear trend, of standard deviation 1; zeros for a straight line."""
    whole = curve[: len(curve) // step * step].reshape(-1, step).mean(axis=1)
    free = detrend(whole)
    deviation = float(free.std())
    return np.asarray(free / deviation) if deviation > 1e-6 * float(np.abs(whole).max()) else np.zeros_like(whole)


def independent_count(first: Curve, second: Curve) -> float:
    """How many of the values of two curves [n], of mean 0, are independent of each other: 1 to n."""
    count = len(first)
    lags = np.arange(1, count // 4)
    product = (_autocorrelation(first) * _autocorrelation(second))[lags]
    inflation = max(1.0, 1 + 2 * float(((1 - lags / count) * product).sum()))
    peaked = max(1.0, *(float(kurtosis(curve, fisher=False)) / 3 for curve in (first, second)))
    return max(1.0, count / inflation / peaked)


def _autocorrelation(curve: Curve) -> Curve:
    power = np.abs(np.fft.rfft(curve, 2 * len(curve))) ** 2
    found = np.fft.irfft(power)[: len(curve)]
    return np.asarray(found / found[0])


def surrogates(curve: Curve) -> Batch:
    """[SURROGATE_COUNT, n] curves with the spectrum and the values of a trendless one [n], but random phases."""
    count = len(curve)
    spectrum = np.abs(scipy.fft.rfft(curve, 2 * count)).astype(np.float32)
    turns = np.random.default_rng(SEED).random((SURROGATE_COUNT, len(spectrum)), np.float32)
    phases = np.empty(turns.shape, np.complex64)
    np.cos(np.float32(2 * np.pi) * turns, out=phases.real)
    np.sin(np.float32(2 * np.pi) * turns, out=phases.imag)
    free = _detrended(scipy.fft.irfft(spectrum * phases, 2 * count)[:, :count])
    found = np.empty_like(free)
    values = np.broadcast_to(np.sort(curve).astype(np.float32), free.shape)
    np.put_along_axis(found, free.argsort(axis=1), values, axis=1)
    return found


def _detrended(batch: Batch) -> Batch:
    """Rows [s, n] without their mean and linear trend."""
    line = np.linspace(-1, 1, batch.shape[1], dtype=np.float32)
    line /= np.linalg.norm(line)
    centered = batch - batch.mean(axis=1, keepdims=True)
    return np.asarray(centered - np.outer(centered @ line, line))


def best_lag(first: Curve, second: Curve, chance: Batch, cell_seconds: float) -> tuple[float, float, float]:
    """r and lag (seconds; positive where the second comes later) of two curves [n], and p against surrogates [s, n]."""
    most = int(MAX_LAG_SECONDS / cell_seconds + 1e-6)
    lags = np.arange(-most, most + 1)
    windows = _windows(first, lags)
    measured = _lagged(windows, second[None].astype(np.float32))[0]
    best = int(np.abs(measured).argmax())
    r = float(measured[best])
    as_much = np.abs(_lagged(windows, chance)).max(axis=1) >= abs(r) - 1e-6
    return float(np.clip(r, -1, 1)), float(lags[best] * cell_seconds), (1 + int(as_much.sum())) / (1 + len(chance))


def _windows(curve: Curve, lags: NDArray[np.int64]) -> tuple[Batch, Batch]:
    """[lags, n] the curve shifted by every lag, of mean 0 and norm 1 where it still is, else 0; and 1 / n there."""
    count = len(curve)
    places = np.arange(count) - lags[:, None]
    is_there = (places >= 0) & (places < count)
    share = is_there / is_there.sum(axis=1, keepdims=True)
    shifted = curve[places.clip(0, count - 1)]
    centered = np.where(is_there, shifted - (shifted * share).sum(axis=1, keepdims=True), 0)
    norms = np.linalg.norm(centered, axis=1, keepdims=True)
    return (centered / np.maximum(norms, 1e-9)).astype(np.float32), share.astype(np.float32)


def _lagged(windows: tuple[Batch, Batch], batch: Batch) -> Batch:
    """[s, lags] Pearson's correlation of curves [s, n] with the shifted curve, where both are."""
    shifted, share = windows
    variance = (batch * batch) @ share.T - (batch @ share.T) ** 2
    return np.asarray((batch @ shifted.T) / np.sqrt(np.maximum(variance, 1e-6) * (share > 0).sum(axis=1)))
