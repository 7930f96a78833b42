"""The contract of a signal source: it is fed pieces of the clip in order, and holds all the state."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any, ClassVar, Generic, TypeVar

from reelscope.signals import Parameter, Signal
from reelscope.types import ClipHeader

Part = TypeVar("Part")


class Source(ABC, Generic[Part]):
    """Turns pieces of one clip into one signal. Used by one thread, for one clip."""

    consumes: ClassVar[type | tuple[type, ...]]
    """FrameChunk, LumaFrame, Window or AudioChunk of the decoder, what another source emits, or its signal once it is
    complete: what `push` gets."""
    needs: ClassVar[tuple[type[Signal], ...]] = ()
    """Signals whose sources emit what this one consumes; without them it has nothing to read."""
    context: ClassVar[tuple[type[Signal], ...]] = ()
    """The same, but it can do without; they are there when an analyzer reads them."""
    can_wait: ClassVar[bool] = False
    """Whether its work may come after what others wait for. Not of a source that others need, nor of one that reads
    windows: the decoder would wait for it."""
    parameters: ClassVar[Mapping[str, Parameter]] = {}
    """Settings that shape the signal."""

    patience_seconds: ClassVar[float] = 60.0
    """Longest that one call of it may take; after that it hangs, and is given up. A chunk takes well under 1 s."""
    inference_seconds: float = 0.0
    """Time spent waiting for answers of the server so far."""
    calls: int = 0
    """Questions put to the server so far."""
    answers: int = 0
    """Those of them that were answered, and used."""
    helper_cpu_seconds: float = 0.0
    """CPU time of threads other than the one that it is used by."""
    refused_calls: int = 0
    """Those of them that the server refused because it had too much to do."""

    def __init__(self) -> None:
        """Nobody listens yet."""
        self.listeners: list[Callable[[Any], None]] = []
        """Called with every part that this source emits; the sources that need its signal."""

    @abstractmethod
    def start(self, header: ClipHeader) -> None:
        """Prepare for a clip; the first call."""

    @abstractmethod
    def push(self, part: Part) -> None:
        """Take the next piece. Whatever is needed of it later is reduced to numbers now."""

    @abstractmethod
    def finish(self, duration_seconds: float) -> Signal:
        """Return the signal of the whole clip; the last call."""

    def emit(self, part: Any) -> None:
        """Pass a part on to every source that listens."""
        for listener in self.listeners:
            listener(part)

    def close(self) -> None:
        """Give back what is still held, after success or failure; the very last call."""


def sampling_name(rate: Fraction, base: Fraction) -> str:
    """Name of a nested rate (ANALYZERS.md, Sampling): F10 is the base rate, F5 its half, F2.5 its quarter."""
    return {1: "F10", 2: "F5", 4: "F2.5"}[int(base / rate)]
