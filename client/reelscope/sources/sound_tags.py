"""What there is to hear, from the ensemble `sounds`: long windows for what it is, short ones for when.

Short windows cost ten times the work of the long ones; the profile says whether there are any.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from reelscope.settings import labels
from reelscope.signals import Parameter, SoundTags
from reelscope.sources.ensemble import AskingSource
from reelscope.types import MONO_SAMPLE_RATE_HZ, ClipHeader, MonoChunk

LONG_SECONDS, LONG_HOP_SECONDS = 10.24, 5.0
"""10.24 s is what the network was trained on."""
SHORT_SECONDS, SHORT_HOP_SECONDS = 2.56, 1.0
WINDOWS_PER_CALL = 8
MIN_SECONDS = 0.5
"""The rest of a clip behind its last long window is looked at again if it is longer; so is a clip that is."""

PARAMETERS: dict[str, Parameter] = {
    "sound_window_seconds": LONG_SECONDS,
    "sound_window_hop_seconds": LONG_HOP_SECONDS,
    "sound_short_window_seconds": SHORT_SECONDS,
    "sound_short_window_hop_seconds": SHORT_HOP_SECONDS,
}


@dataclass(slots=True)
class _Windows:
    """Windows of one length: where the next one starts, and those that wait for a call."""

    size: int
    hop: int
    is_long: bool
    next_start: int = 0
    waiting: list[tuple[int, NDArray[np.float32]]] = field(default_factory=list)


class SoundTagSource(AskingSource[MonoChunk]):
    """Mono sound in, `SoundTags` out."""

    consumes: ClassVar[type] = MonoChunk
    ensemble = "sounds"
    networks = ("sound_events_ast",)
    outputs = ("probabilities",)
    parameters = PARAMETERS

    def start(self, header: ClipHeader) -> None:
        """Begin without sound."""
        super().start(header)
        self._kinds = [_windows(LONG_SECONDS, LONG_HOP_SECONDS, is_long=True)]
        if header.short_sound_windows:
            self._kinds.append(_windows(SHORT_SECONDS, SHORT_HOP_SECONDS, is_long=False))
        self._samples = np.empty(0, np.float32)
        self._first = 0
        self._found: list[tuple[float, float, bool, NDArray[np.float32]]] = []

    def push(self, part: MonoChunk) -> None:
        """Ask about the windows that are complete, and forget what no later window reaches."""
        self._samples = np.concatenate([self._samples, part.samples])
        end = self._first + len(self._samples)
        for kind in self._kinds:
            while kind.next_start + kind.size <= end:
                self._add(kind, kind.next_start, kind.next_start + kind.size)
                kind.next_start += kind.hop
        keep = min(kind.next_start for kind in self._kinds)
        self._samples, self._first = self._samples[keep - self._first :], keep

    def consume(self, about: tuple[bool, list[int], int], answer: dict[str, NDArray[Any]]) -> None:
        """Keep the answers to a call's windows."""
        is_long, starts, size = about
        for start, probabilities in zip(starts, answer["probabilities"], strict=True):
            seconds = start / MONO_SAMPLE_RATE_HZ
            self._found.append((seconds, seconds + size / MONO_SAMPLE_RATE_HZ, is_long, probabilities))

    def finish(self, duration_seconds: float) -> SoundTags:
        """Ask about the end of the clip; what is heard after its last frame is left out."""
        end = min(self._first + len(self._samples), round(duration_seconds * MONO_SAMPLE_RATE_HZ))
        long = self._kinds[0]
        covered = long.next_start - long.hop + long.size if long.next_start else 0
        if end - covered >= MIN_SECONDS * MONO_SAMPLE_RATE_HZ:
            self._add(long, long.next_start, end)
        for kind in self._kinds:
            self._ask(kind)
        self.drain()
        found = sorted((row for row in self._found if row[0] < duration_seconds), key=lambda row: row[:2])
        windows = np.array([row[:2] for row in found], np.float64).reshape(-1, 2)
        rows = [row[3] for row in found]
        return SoundTags(
            sampling="A16",
            sample_count=end,
            models=self.models(),
            duration_seconds=duration_seconds,
            windows_seconds=np.minimum(windows, duration_seconds),
            is_long=np.array([row[2] for row in found], np.bool_),
            probabilities=np.stack(rows) if rows else np.empty((0, len(labels(*self.networks))), np.float32),
        )

    def _add(self, kind: _Windows, start: int, end: int) -> None:
        """Let a window wait for others of its size, and ask when there are enough."""
        window = self._samples[start - self._first : end - self._first]
        if kind.waiting and len(window) != len(kind.waiting[0][1]):
            self._ask(kind)
        kind.waiting.append((start, window))
        if len(kind.waiting) == WINDOWS_PER_CALL:
            self._ask(kind)

    def _ask(self, kind: _Windows) -> None:
        if kind.waiting:
            starts = [start for start, _ in kind.waiting]
            waveforms = np.stack([window for _, window in kind.waiting])
            kind.waiting = []
            self.ask_about({"waveform": waveforms}, (kind.is_long, starts, waveforms.shape[1]))


def _windows(seconds: float, hop_seconds: float, *, is_long: bool) -> _Windows:
    return _Windows(round(seconds * MONO_SAMPLE_RATE_HZ), round(hop_seconds * MONO_SAMPLE_RATE_HZ), is_long)
