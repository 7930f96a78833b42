"""Sounds made by hand, and the chunks that a decoder would make of them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from reelscope.types import AudioChunk, MonoChunk


def sine(hz: float, seconds: float, rate: int, dbfs: float = 0.0) -> np.ndarray:
    """float32 [n], its peak at `dbfs`."""
    times = np.arange(round(seconds * rate)) / rate
    return (10 ** (dbfs / 20) * np.sin(2 * np.pi * hz * times)).astype(np.float32)


def noise(seconds: float, rate: int, deviation: float, seed: int = 0) -> np.ndarray:
    """float32 [n] white noise."""
    return (deviation * np.random.default_rng(seed).standard_normal(round(seconds * rate))).astype(np.float32)


def mono_chunks(samples: np.ndarray, size: int = 16_000) -> Iterator[MonoChunk]:
    """16 kHz sound in chunks."""
    for first in range(0, len(samples), size):
        yield MonoChunk(samples=samples[first : first + size].astype(np.float32), start_seconds=first / 16_000)


LAYOUTS = {1: ("FC",), 2: ("FL", "FR"), 6: ("FL", "FR", "FC", "LFE", "SL", "SR")}


def audio_chunks(samples: np.ndarray, rate: int, size: int | None = None) -> Iterator[AudioChunk]:
    """Sound [channels, n] or [n] in chunks, of a second unless `size` says how many samples."""
    channels = np.atleast_2d(samples).astype(np.float32)
    step = size or rate
    for first in range(0, channels.shape[1], step):
        yield AudioChunk(
            samples=channels[:, first : first + step],
            start_seconds=first / rate,
            sample_rate_hz=rate,
            channel_names=LAYOUTS[len(channels)],
        )
