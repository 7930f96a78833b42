"""Bases of the sources that ask Triton: a few calls in flight, answers consumed in order, provenance collected."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from reelscope.errors import DeadlineExceeded, ModelUnavailable, Overloaded
from reelscope.inference import InferenceClient, PendingAnswer
from reelscope.sources.base import Source, sampling_name
from reelscope.types import ClipHeader, Deadline, ModelProvenance, Window

IN_FLIGHT = 2
"""Calls not yet answered: the server works on one while the other's answer is being used. Between two pieces of the
clip one less is left, so that a source keeps one window; that of text keeps more where a profile has the memory."""
CALL_SECONDS = 240.0
"""Longest that one call may take, the one before it and other clips' in the server's queue included; a cold GPU
compiles for a minute."""

Part = TypeVar("Part")


@dataclass(frozen=True, slots=True)
class Asked:
    """The frames of one window that an ensemble was asked about, in time order; valid while `consume_frames` runs."""

    window: Window
    times_seconds: NDArray[np.float64]
    """[n] sorted. In time order over the windows as well at divisor 1; at 2 and 4 an `ExtraWindow` comes later than its
    times."""
    rows: NDArray[np.intp]
    """[n] row of the window that holds each frame."""
    about: Any = None
    """What the source said when it asked."""

    def frame(self, number: int) -> NDArray[np.uint8]:
        """Picture of the frame `number`, uint8 RGB [height, width, 3]; a view that must not be kept."""
        return np.asarray(self.window.buffer.array[self.rows[number]])

    def numbers(self, rows: NDArray[Any]) -> NDArray[np.int64]:
        """Numbers of the frames that these rows of the window hold."""
        return np.argsort(self.rows)[rows.astype(np.int64)]


class AskingSource(Source[Part], Generic[Part]):
    """Asks one ensemble, and consumes its answers in the order of the calls."""

    patience_seconds: ClassVar[float] = IN_FLIGHT * CALL_SECONDS + 60
    in_flight: int = IN_FLIGHT
    ensemble: str
    networks: tuple[str, ...]
    """Models whose provenance the ensemble reports as outputs `<model>_provenance`."""
    outputs: tuple[str, ...]

    def __init__(self, client: InferenceClient, deadline: Deadline) -> None:
        """Ask through `client`, within `deadline`."""
        super().__init__()
        self._client, self._deadline = client, deadline

    def start(self, header: ClipHeader) -> None:
        """Begin with nothing asked."""
        self._pending: deque[tuple[Any, PendingAnswer]] = deque()
        self._provenances: dict[str, dict[bytes, ModelProvenance]] = {network: {} for network in self.networks}

    @property
    def wanted(self) -> tuple[str, ...]:
        """Outputs to ask for: the source's own, and who answered."""
        return (*self.outputs, *(f"{network}_provenance" for network in self.networks))

    def ask_about(self, inputs: Mapping[str, NDArray[Any]], about: Any) -> None:
        """Ask about arrays, which are copied; consume the answers to earlier calls but one.

        Args:
            inputs: every input of the ensemble, by name.
            about: given to `consume`.
        """
        seconds = self._deadline.remaining(CALL_SECONDS)
        self.expect(about, self._client.ask(self.ensemble, inputs, self.wanted, seconds))

    def expect(self, about: Any, answer: PendingAnswer) -> None:
        """Remember a call that is under way, and consume answers until there is room for another."""
        self._pending.append((about, answer))
        self.calls += 1
        self.consume_until(self.in_flight - 1)

    def consume_until(self, count: int) -> None:
        """Consume the oldest answers until at most `count` are under way."""
        while len(self._pending) > count:
            self._consume_oldest()

    def drain(self) -> None:
        """Consume every answer that is still under way."""
        self.consume_until(0)

    def close(self) -> None:
        """Cancel what is under way and give back what it was about."""
        while self._pending:
            about, answer = self._pending.popleft()
            answer.cancel()
            self.release(about)

    def models(self, *networks: str) -> tuple[ModelProvenance, ...]:
        """Models that answered, of these networks or of all: one each, or more when one was rolled in mid-clip."""
        return tuple(model for name in networks or self.networks for model in self._provenances[name].values())

    def release(self, about: Any) -> None:
        """Give back what a call was about; called when its answer was consumed or is not wanted any more."""

    @abstractmethod
    def consume(self, about: Any, answer: dict[str, NDArray[Any]]) -> None:
        """Use the answer to one call."""

    def _consume_oldest(self) -> None:
        about, pending = self._pending[0]
        began = time.monotonic()
        try:
            answer = pending.result()
        except Overloaded:
            self.refused_calls += 1
            raise
        except DeadlineExceeded as error:
            raise ModelUnavailable(f"{self.ensemble} did not answer in time: {error}") from error
        self.inference_seconds += time.monotonic() - began
        self._pending.popleft()
        try:
            for network, known in self._provenances.items():
                for text in np.unique(answer.pop(f"{network}_provenance")):
                    if text not in known:
                        known[text] = self._client.provenance(text, network, self.ensemble)
            self.consume(about, answer)
            self.answers += 1
        finally:
            self.release(about)


class WindowSource(AskingSource[Part], Generic[Part]):
    """Asks about frames of windows, which stay in memory until the answer has been consumed."""

    by_frame: ClassVar[bool] = True
    """Whether every output has one row per frame; if not, the answer's rows stay as they come."""

    def ask(
        self,
        window: Window,
        row_count: int,
        inputs: Mapping[str, NDArray[Any]] | None = None,
        about: Any = None,
    ) -> None:
        """Ask about a window's first rows; consume the answers to earlier calls but one.

        Args:
            window: kept until the answer has been consumed.
            row_count: frames to send, >= 1.
            inputs: further inputs of the ensemble, by name.
            about: given to `consume_frames` as `Asked.about`.
        """
        seconds = self._deadline.remaining(CALL_SECONDS)
        window.retain()
        try:
            answer = self._client.submit(self.ensemble, window.buffer, row_count, self.wanted, seconds, inputs or {})
        except BaseException:
            window.release()
            raise
        times = np.array(window.times_seconds[:row_count])
        order = np.argsort(times)
        self.expect(Asked(window, times[order], order, about), answer)

    def release(self, about: Asked) -> None:
        """Give the window back."""
        about.window.release()

    def consume(self, about: Asked, answer: dict[str, NDArray[Any]]) -> None:
        """Bring the rows into time order."""
        if self.by_frame:
            answer = {name: rows[about.rows] for name, rows in answer.items()}
        self.consume_frames(about, answer)

    @abstractmethod
    def consume_frames(self, asked: Asked, answer: dict[str, NDArray[Any]]) -> None:
        """Use the answer to one request; with `by_frame`, its rows are in the order of `asked`."""


class EnsembleSource(WindowSource[Window]):
    """Asks one ensemble about the frames of one rate in every window."""

    consumes: ClassVar[type] = Window
    divisor: ClassVar[int]
    """Frames are read at base rate / divisor: 1, 2 or 4."""

    def start(self, header: ClipHeader) -> None:
        """Begin with nothing asked, at the rate of the divisor."""
        super().start(header)
        self._rate = header.base_frame_rate / self.divisor
        self._sampling = sampling_name(self._rate, header.base_frame_rate)

    def push(self, part: Window) -> None:
        """Ask about a window."""
        if row_count := part.row_count(self.divisor):
            self.ask(part, row_count)
