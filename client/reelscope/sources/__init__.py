"""Where each signal comes from."""

from collections.abc import Mapping
from typing import Any

from reelscope.signals import FrameColors, ObjectTracks, Shots, Signal
from reelscope.sources.base import Source
from reelscope.sources.colors import ColorSource
from reelscope.sources.ensemble import EnsembleSource
from reelscope.sources.objects import ObjectSource
from reelscope.sources.shots import ShotSource

CPU_SOURCES: Mapping[type[Signal], type[Source[Any]]] = {
    FrameColors: ColorSource,
    Shots: ShotSource,
}
"""Signals computed in the client."""

ENSEMBLE_SOURCES: Mapping[type[Signal], type[EnsembleSource]] = {
    ObjectTracks: ObjectSource,
}
"""Signals that a Triton ensemble answers."""
