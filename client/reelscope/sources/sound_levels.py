"""Levels of the clip's own sound, on the CPU: K-weighted power, peaks between the samples, clipping.

Sources: ITU-R BS.1770-4 (K-weighting, channel weights, true peak by fourfold oversampling). The coefficients of the
K-weighting come from pyloudnorm, in De Man's form, which is exact at 48 kHz and follows the analogue filters at others;
state is carried from chunk to chunk, so that nothing keeps the waveform. Times are exact to a hop of 10 ms.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pyloudnorm import IIRfilter
from scipy.signal import resample_poly, sosfilt

from reelscope.signals import Parameter, SoundLevels
from reelscope.sources.base import Source
from reelscope.types import AudioChunk, ClipHeader

HOPS_PER_SECOND = 100
SURROUND_CHANNELS = frozenset({"BL", "BR", "BC", "SL", "SR", "SDL", "SDR", "TBL", "TBC", "TBR"})
SURROUND_WEIGHT = 1.41
"""BS.1770-4: about +1.5 dB."""
LOW_FREQUENCY_CHANNELS = frozenset({"LFE", "LFE2"})
"""Left out of the loudness."""
SHELF = {"G": 3.99984385397, "Q": 0.7071752369554193, "fc": 1681.9744509555319}
HIGH_PASS = {"G": 0.0, "Q": 0.5003270373253953, "fc": 38.13547087613982}
"""The two stages of the K-weighting (De Man 2014, Evaluation of implementations of the EBU R128 loudness measure)."""
OVERSAMPLING = 4
FULL_SCALE = 32766.5 / 32768
"""What rounds to the largest sample of 16 bits, or lies beyond it, is at full scale."""
CLIPPED_RUN = 3
"""As many samples in a row at full scale are no longer the peak of a wave."""

PARAMETERS: dict[str, Parameter] = {
    "surround_weight": SURROUND_WEIGHT,
    "oversampling": OVERSAMPLING,
    "full_scale": round(FULL_SCALE, 6),
    "clipped_run": CLIPPED_RUN,
}

_CONTEXT = 10
"""Samples on either side that a value between two samples is made of: half the length of resample_poly's filter."""
_COLUMNS = ("loudness_power", "power", "side_power", "sample_peak", "true_peak", "clipped_count")
_PEAKS = slice(3, 5)
"""Columns of which a hop keeps the largest; of the others it keeps the sum."""


class SoundLevelSource(Source[AudioChunk]):
    """Sound in, `SoundLevels` out. Keeps a hop of samples and six numbers per hop."""

    consumes: ClassVar[type] = AudioChunk
    parameters = PARAMETERS

    def start(self, header: ClipHeader) -> None:
        """Nothing is known of the sound yet."""
        self._weights: NDArray[np.float64] | None = None
        self._rate_hz = self._channel_count = 0
        self._sample_count = self._measured_count = 0
        self._rest = np.empty((len(_COLUMNS), 0))
        self._hops: list[NDArray[np.float64]] = []
        self._hop_count = 0

    def push(self, part: AudioChunk) -> None:
        """Measure all samples but the last few, whose neighbours are still to come."""
        if self._weights is None:
            self._begin(part)
        self._sample_count += part.samples.shape[1]
        self._measure(part.samples)

    def finish(self, duration_seconds: float) -> SoundLevels:
        """Measure what is left; cut or extend to the clip's length."""
        if self._weights is not None:
            self._measure(np.zeros((self._channel_count, _CONTEXT), np.float32))
            self._reduce(is_last=True)
        hops = int(np.ceil(duration_seconds * HOPS_PER_SECOND - 1e-6))
        table = np.concatenate([np.empty((len(_COLUMNS), 0)), *self._hops], axis=1)[:, :hops]
        table = np.pad(table, ((0, 0), (0, hops - table.shape[1])))
        columns = dict(zip(_COLUMNS, table, strict=True))
        return SoundLevels(
            sampling="A48",
            sample_count=min(self._sample_count, round(duration_seconds * self._rate_hz)),
            duration_seconds=duration_seconds,
            hop_seconds=1 / HOPS_PER_SECOND,
            channel_count=self._channel_count,
            clipped_count=np.rint(columns.pop("clipped_count")).astype(np.int64),
            **columns,
        )

    def _begin(self, part: AudioChunk) -> None:
        self._rate_hz, self._channel_count = part.sample_rate_hz, len(part.samples)
        self._weights = np.array([_weight(name) for name in part.channel_names])
        stages = [
            IIRfilter(**SHELF, rate=self._rate_hz, filter_type="high_shelf_DeMan"),
            IIRfilter(**HIGH_PASS, rate=self._rate_hz, filter_type="high_pass_DeMan"),
        ]
        self._filter = np.stack([np.concatenate(stage.generate_coefficients()) for stage in stages])
        self._state = np.zeros((len(stages), self._channel_count, 2))
        self._context = np.zeros((self._channel_count, _CONTEXT))

    def _measure(self, samples: NDArray[np.float32]) -> None:
        """Every measure of every sample that has its context now, as columns [6, n]."""
        assert self._weights is not None
        around = np.concatenate([self._context, samples.astype(np.float64)], axis=1)
        # Before the clip's first sample there is only half a context.
        own = around[:, _CONTEXT:-_CONTEXT]
        if not own.shape[1]:
            self._context = around
            return
        self._context = around[:, -2 * _CONTEXT :]
        weighted, state = sosfilt(self._filter, own, axis=1, zi=self._state)
        # What dies away in digital silence would end in denormal numbers, which take the processor four times as long.
        self._state = np.where(np.abs(state) < 1e-30, 0, state)
        sides = (own[0] - own[1]) ** 2 / 4 if len(own) == 2 else np.zeros(own.shape[1])
        between = np.abs(resample_poly(around, OVERSAMPLING, 1, axis=1)).max(axis=0).reshape(-1, OVERSAMPLING)
        peaks = np.abs(own).max(axis=0)
        table = (
            self._weights @ weighted**2,
            (own**2).mean(axis=0),
            sides,
            peaks,
            np.maximum(peaks, between.max(axis=1)[_CONTEXT:-_CONTEXT]),
            _is_clipped(around)[_CONTEXT:-_CONTEXT],
        )
        self._rest = np.concatenate([self._rest, np.stack(table)], axis=1)
        self._reduce()

    def _reduce(self, *, is_last: bool = False) -> None:
        """Turn samples into hops, those that are complete or, at the end, all."""
        end = self._measured_count + self._rest.shape[1]
        hops = int(np.floor(end * HOPS_PER_SECOND / self._rate_hz)) - self._hop_count
        edges = np.arange(self._hop_count, self._hop_count + hops + 2) * self._rate_hz / HOPS_PER_SECOND
        bounds = np.ceil(edges).astype(np.int64) - self._measured_count
        hops += is_last and bounds[-2] < self._rest.shape[1]
        if hops <= 0:
            return
        table = self._rest[:, : bounds[hops]]
        reduced = np.add.reduceat(table, bounds[:hops], axis=1)
        reduced[_PEAKS] = np.maximum.reduceat(table[_PEAKS], bounds[:hops], axis=1)
        reduced[: _PEAKS.start] /= np.diff(bounds[: hops + 1])
        self._hops.append(reduced)
        self._hop_count += hops
        self._measured_count += table.shape[1]
        self._rest = self._rest[:, bounds[hops] :]


def _weight(channel_name: str) -> float:
    if channel_name in LOW_FREQUENCY_CHANNELS:
        return 0.0
    return SURROUND_WEIGHT if channel_name in SURROUND_CHANNELS else 1.0


def _is_clipped(samples: NDArray[np.float64]) -> NDArray[np.bool_]:
    """[n] whether a sample of any channel is one of CLIPPED_RUN or more in a row at full scale."""
    is_full = np.abs(samples) >= FULL_SCALE
    count = is_full.shape[1] - CLIPPED_RUN + 1
    is_start = np.logical_and.reduce([is_full[:, k : k + count] for k in range(CLIPPED_RUN)])
    is_clipped = np.zeros_like(is_full)
    for k in range(CLIPPED_RUN):
        is_clipped[:, k : k + count] |= is_start
    return np.asarray(is_clipped.any(axis=0))
