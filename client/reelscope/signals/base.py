"""What all signals have in common."""

from __future__ import annotations

import re
from dataclasses import dataclass

from reelscope.types import ModelProvenance

Parameter = float | int | str


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """Base of all signals."""

    sampling: str
    """Frames or samples read: FULL (every frame), F10, F5, F2.5, A48, A22, A16."""
    sample_count: int
    """How many of them, >= 0."""
    sampling_fps: float | None = None
    """Frames per second that this is at the profile's rate; None for every frame and for sound."""
    models: tuple[ModelProvenance, ...] = ()
    """Models that answered; empty for CPU sources."""

    @classmethod
    def signal_name(cls) -> str:
        """Name in results: object_tracks for ObjectTracks."""
        return re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()

    @property
    def untrained_models(self) -> tuple[str, ...]:
        """Names of the models with random weights; a signal that has one is evidence for nothing."""
        return tuple(sorted({model.name for model in self.models if not model.trained}))

    @property
    def step_seconds(self) -> float:
        """Time that one sampled frame stands for; for signals that are sampled at a rate."""
        assert self.sampling_fps is not None
        return 1 / self.sampling_fps


@dataclass(frozen=True, slots=True, kw_only=True)
class SoundSignal(Signal):
    """Base of the signals that are heard: a clip without an audio stream has none of them."""

    duration_seconds: float
    """Length of the clip: what is heard after its last frame is left out."""
