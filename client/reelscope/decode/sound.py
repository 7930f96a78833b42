"""The sound of a clip on the clip's own time: from decoded frames to chunks without gaps."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import av
import numpy as np
import soxr
from numpy.typing import NDArray

from reelscope.types import MONO_SAMPLE_RATE_HZ, AudioChunk, AudioFacts, MonoChunk

JITTER_SECONDS = 0.02
"""Time stamps that are off by less are rounding: the samples follow each other."""
MAX_SAMPLE = 100.0
"""40 dB above full scale, more than any file of floats holds that means something."""

_MONO_WEIGHTS = {"FC": 1.0, "FL": 0.7071, "FR": 0.7071, "LFE": 0.0, "LFE2": 0.0}
"""What a channel gives to the mono track, before the weights are scaled to a sum of 1 (ITU-R BS.775-3, annex 4)."""
_OTHER_MONO_WEIGHT = 0.5


class SoundTrack:
    """Places what is decoded of one audio stream on the axis of the video, starting at time 0.

    Gaps hold digital silence, what overlaps what was there already is left out, as is everything before time 0. Rate
    and layout are those of the first frame; a stream that changes them on the way is brought back to them.
    """

    def __init__(self, max_seconds: float) -> None:
        """Begin; sound that claims to lie behind `max_seconds` is left out: its time stamps are broken."""
        self._max_seconds = max_seconds
        self._rate_hz = self._channel_count = 0
        self._first_seconds: float | None = None
        self._blocks: list[NDArray[np.float32]] = []
        self._block_samples = self._placed = self._given = self._mono_given = 0
        self._decoded = self._frame_samples = 0
        self.end_seconds = 0.0
        """End of what was decoded so far; negative sound included."""

    def take(self, frame: Any, start_seconds: float | None) -> Iterator[AudioChunk | MonoChunk]:
        """Place a decoded frame; yields the chunks that are complete.

        Args:
            frame: `av.AudioFrame`.
            start_seconds: its time on the video's axis; None where it carries no stamp and follows the one before.
        """
        start = self.end_seconds if start_seconds is None else start_seconds
        if start > self._max_seconds:
            return
        if self._first_seconds is None:
            self._begin(frame, start)
        samples = self._in_first_format(frame)
        self.end_seconds = start + frame.samples / frame.sample_rate
        self._decoded += frame.samples
        self._frame_samples = frame.samples
        gap = round(start * self._rate_hz) - self._placed
        if self._placed and abs(gap) <= JITTER_SECONDS * self._rate_hz:
            gap = 0
        if gap > 0:
            self._place(np.zeros((self._channel_count, gap), np.float32))
        self._place(samples[:, max(0, -gap) :])
        while self._block_samples >= self._rate_hz:
            yield from self._give(self._rate_hz)

    def last(self) -> Iterator[AudioChunk | MonoChunk]:
        """Yield what is left when the stream has ended."""
        if self._first_seconds is not None:
            yield from self._give(self._block_samples, last=True)

    def facts(self, damaged_packet_count: int) -> AudioFacts:
        """Facts of what was decoded so far; a damaged packet costs as much sound as a frame holds."""
        if self._first_seconds is None:
            return AudioFacts(is_present=False, damaged_packet_count=damaged_packet_count)
        missing = damaged_packet_count * self._frame_samples
        return AudioFacts(
            is_present=True,
            sample_rate_hz=self._rate_hz,
            channel_count=self._channel_count,
            offset_seconds=self._first_seconds,
            damaged_packet_count=damaged_packet_count,
            coverage=min(0.9999, self._decoded / (self._decoded + missing)) if missing else 1.0,
        )

    def _begin(self, frame: Any, start: float) -> None:
        self._first_seconds = start
        self._rate_hz, self._layout = frame.sample_rate, frame.layout
        self._channel_count = frame.layout.nb_channels
        self._setup: tuple[Any, ...] = ()
        weights = [_MONO_WEIGHTS.get(channel.name, _OTHER_MONO_WEIGHT) for channel in frame.layout.channels]
        # A stream of nothing but an LFE is heard as it is.
        self._weights = np.array(weights if any(weights) else [1.0] * len(weights), np.float32)
        self._weights /= self._weights.sum()
        self._to_mono_rate = soxr.ResampleStream(self._rate_hz, MONO_SAMPLE_RATE_HZ, 1, dtype="float32")

    def _in_first_format(self, frame: Any) -> NDArray[np.float32]:
        """Samples as float32 [channels, n] in the first frame's rate and layout, as the stream has them."""
        setup = (frame.format.name, frame.layout.name, frame.sample_rate)
        if setup != self._setup:
            self._setup = setup
            self._resampler = av.AudioResampler("fltp", self._layout, self._rate_hz)
        parts = [part.to_ndarray() for part in self._resampler.resample(frame)]
        return np.concatenate(parts, 1) if parts else np.empty((self._channel_count, 0), np.float32)

    def _place(self, samples: NDArray[np.float32]) -> None:
        self._blocks.append(samples)
        self._block_samples += samples.shape[1]
        self._placed += samples.shape[1]

    def _give(self, count: int, *, last: bool = False) -> Iterator[AudioChunk | MonoChunk]:
        """Yield the next `count` samples, in both forms."""
        joined = np.concatenate([np.empty((self._channel_count, 0), np.float32), *self._blocks], 1)
        # Files of floats may hold anything: what is no number, or has no finite square, would spoil every filter.
        samples = np.clip(np.nan_to_num(joined[:, :count]), -MAX_SAMPLE, MAX_SAMPLE)
        rest = joined[:, count:]
        self._blocks, self._block_samples = [rest], rest.shape[1]
        mono = self._to_mono_rate.resample_chunk(self._weights @ samples, last=last)
        if count:
            yield AudioChunk(
                samples=samples,
                start_seconds=self._given / self._rate_hz,
                sample_rate_hz=self._rate_hz,
                channel_names=tuple(channel.name for channel in self._layout.channels),
            )
        if len(mono):
            yield MonoChunk(samples=mono, start_seconds=self._mono_given / MONO_SAMPLE_RATE_HZ)
        self._given += count
        self._mono_given += len(mono)
