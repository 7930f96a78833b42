"""Level, pitch and syllable nuclei of the mono track, on the CPU and without any network.

Pitch is Praat's autocorrelation method (Boersma 1993) through parselmouth: within a cent on tones, and 15 ms for 10 s
of sound, where probabilistic YIN takes 0.6 s. It is asked in blocks that overlap by a second on either side; what Praat
would otherwise measure against the loudest sound of a block (silence) is measured against that of the clip instead, so
that the edges of blocks leave no trace.

Syllable nuclei after de Jong & Wempe (2009), doi:10.3758/BRM.41.2.385: peaks of the intensity that rise above the
loudest 1 % minus 25 dB, with dips of 2 dB between them, and are voiced. They are found in the whole clip's level, which
has one value per 10 ms. Sound that ends before the clip does is silence from there on, as it is heard.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import parselmouth
from numpy.typing import NDArray
from scipy.signal import find_peaks
from scipy.signal.windows import kaiser

from reelscope.signals import Parameter, VoiceAcoustics
from reelscope.sources.base import Source
from reelscope.types import MONO_SAMPLE_RATE_HZ, ClipHeader, MonoChunk

HOP_SECONDS = 0.01
PITCH_FLOOR_HZ = 60.0
"""A low voice; Praat looks at three of its periods at a time."""
PITCH_CEILING_HZ = 600.0
"""A child's or an excited voice."""
VOICING_THRESHOLD = 0.45
"""Praat's: strength of the autocorrelation's peak from which sound is voiced."""
SILENCE_DB = 30.0
"""Sound this far below the clip's loud parts is not voiced; Praat's default of 0.03 of the peak."""
NUCLEUS_DB = 25.0
"""Nuclei are no further below the clip's loud parts than this."""
DIP_DB = 2.0
"""Depth of the dip between two nuclei."""
LOUD_QUANTILE = 0.99
"""The clip's loud parts: this quantile of its intensity, where there is any sound."""
SOUND_DB = 60.0
"""There is sound where the intensity is no further than this below its maximum: silence must not set the quantile."""

BLOCK_SECONDS = 20.0
OVERLAP_SECONDS = 1.0
"""On each side of a block; Praat's path through the pitch candidates has forgotten its end by then."""

PARAMETERS: dict[str, Parameter] = {
    "pitch_floor_hz": PITCH_FLOOR_HZ,
    "pitch_ceiling_hz": PITCH_CEILING_HZ,
    "voicing_threshold": VOICING_THRESHOLD,
    "silence_db": SILENCE_DB,
    "nucleus_db": NUCLEUS_DB,
    "dip_db": DIP_DB,
    "loud_quantile": LOUD_QUANTILE,
    "sound_db": SOUND_DB,
}

_HOP = round(HOP_SECONDS * MONO_SAMPLE_RATE_HZ)
_OVERLAP = round(OVERLAP_SECONDS / HOP_SECONDS)
_WINDOW = round(3 / PITCH_FLOOR_HZ * MONO_SAMPLE_RATE_HZ)
_SPARE = _HOP // 4
"""Samples on either side of a block that keep the number of Praat's windows in it from hanging on rounding."""
_LEAD = _OVERLAP * _HOP + _SPARE + (_WINDOW - _HOP) // 2
"""Samples before a block that it is measured with: the overlap, and what its first window reaches beyond its hop."""
_SMOOTHING = kaiser(13, 20.24)
"""Praat's window of the intensity at a lowest pitch of 50 Hz: 6.4 of its periods."""


class VoiceAcousticsSource(Source[MonoChunk]):
    """Mono sound in, `VoiceAcoustics` out. Keeps at most a block and its overlaps of samples."""

    consumes: ClassVar[type] = MonoChunk
    parameters = PARAMETERS

    block_hops: int = round(BLOCK_SECONDS / HOP_SECONDS)

    def start(self, header: ClipHeader) -> None:
        """Begin before the clip, where it is silent."""
        self._pending = [np.zeros(_LEAD, np.float32)]
        self._pending_count = _LEAD
        self._sample_count = 0
        self._power: list[NDArray[np.float32]] = []
        self._pitch: list[NDArray[np.float32]] = []

    def push(self, part: MonoChunk) -> None:
        """Measure every block that is complete."""
        self._sample_count += len(part.samples)
        self._add(part.samples)
        while self._pending_count >= _needed_samples(self.block_hops):
            self._measure(self.block_hops)

    def finish(self, duration_seconds: float) -> VoiceAcoustics:
        """Measure what is left, cut or extended to the clip's length, and find the nuclei."""
        hops = int(np.ceil(duration_seconds / HOP_SECONDS - 1e-6))
        left = -(-self._sample_count // _HOP) - sum(map(len, self._power))
        if left > 0:
            self._add(np.zeros(_needed_samples(left), np.float32))
            self._measure(left)
        power = _fitted(self._power, hops, 0.0)
        pitch = _fitted(self._pitch, hops, np.nan)
        intensity, loud = _intensity(power)
        pitch[intensity < loud - SILENCE_DB] = np.nan
        return VoiceAcoustics(
            sampling="A16",
            sample_count=min(self._sample_count, round(duration_seconds * MONO_SAMPLE_RATE_HZ)),
            duration_seconds=duration_seconds,
            hop_seconds=HOP_SECONDS,
            power=power,
            pitch_hz=pitch,
            nuclei_seconds=_nuclei(intensity, loud, ~np.isnan(pitch)),
        )

    def _add(self, samples: NDArray[np.float32]) -> None:
        self._pending.append(samples)
        self._pending_count += len(samples)

    def _measure(self, hops: int) -> None:
        """Level and pitch of the next hops; drops their samples."""
        pending = np.concatenate(self._pending)
        own = pending[_LEAD : _LEAD + hops * _HOP].astype(np.float64).reshape(hops, _HOP)
        self._power.append((own**2).mean(axis=1).astype(np.float32))
        self._pitch.append(_pitch(pending[: _needed_samples(hops)], hops + 2 * _OVERLAP)[_OVERLAP : _OVERLAP + hops])
        self._pending = [pending[hops * _HOP :]]
        self._pending_count = len(self._pending[0])


def _needed_samples(hops: int) -> int:
    """Samples, from _LEAD before them on, that hops are measured with."""
    return (hops + 2 * _OVERLAP - 1) * _HOP + _WINDOW + 2 * _SPARE


def _pitch(samples: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """[count] Hz, one per hop; NaN where nothing is voiced."""
    if not samples.any():
        return np.full(count, np.nan, np.float32)
    sound = parselmouth.Sound(samples.astype(np.float64), MONO_SAMPLE_RATE_HZ)
    pitch = sound.to_pitch_ac(
        time_step=HOP_SECONDS,
        pitch_floor=PITCH_FLOOR_HZ,
        pitch_ceiling=PITCH_CEILING_HZ,
        voicing_threshold=VOICING_THRESHOLD,
        silence_threshold=0.0,
    )
    found = np.array(pitch.selected_array["frequency"], np.float32)
    assert len(found) == count, f"Praat measured {len(found)} windows, not {count}"
    found[found == 0] = np.nan
    return found


def _fitted(blocks: list[NDArray[np.float32]], count: int, beyond: float) -> NDArray[np.float32]:
    """The blocks as one array [count], cut or extended."""
    whole = np.concatenate([np.empty(0, np.float32), *blocks])[:count]
    return np.pad(whole, (0, count - len(whole)), constant_values=beyond)


def _intensity(power: NDArray[np.float32]) -> tuple[NDArray[np.float64], float]:
    """Smoothed level [n] in dBFS, -inf in digital silence, and that of the clip's loud parts (inf where none is)."""
    smoothed = np.convolve(power.astype(np.float64), _SMOOTHING / _SMOOTHING.sum(), "full")
    smoothed = np.maximum(smoothed[len(_SMOOTHING) // 2 :][: len(power)], 0)
    with np.errstate(divide="ignore"):
        intensity = 10 * np.log10(smoothed)
    sound = intensity[intensity > intensity.max(initial=-np.inf) - SOUND_DB]
    return intensity, float(np.quantile(sound, LOUD_QUANTILE)) if sound.size else np.inf


def _nuclei(intensity: NDArray[np.float64], loud: float, is_voiced: NDArray[np.bool_]) -> NDArray[np.float64]:
    """[k] seconds."""
    floor = loud - NUCLEUS_DB
    if not np.isfinite(floor):
        return np.empty(0)
    # What lies below the threshold is as good as silence; find_peaks cannot reckon with -inf.
    peaks, _ = find_peaks(np.maximum(intensity, floor - DIP_DB), height=floor, prominence=DIP_DB)
    return np.asarray((peaks[is_voiced[peaks]] + 0.5) * HOP_SECONDS, np.float64)
