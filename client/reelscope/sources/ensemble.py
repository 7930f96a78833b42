"""Base of the sources that ask Triton: a few windows in flight, answers consumed in order, provenance collected."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections import deque
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from reelscope.errors import DeadlineExceeded, ModelUnavailable
from reelscope.inference import InferenceClient, PendingAnswer
from reelscope.sources.base import Source
from reelscope.types import ClipHeader, Deadline, ModelProvenance, Window

IN_FLIGHT = 2
"""Windows asked for and not yet answered: the server works on one while the other's answer is being used."""
CALL_SECONDS = 120.0
"""Longest that one call may take; a cold GPU compiles for a minute."""


class EnsembleSource(Source[Window]):
    """Asks one ensemble about every window; subclasses say what they want and consume the answers."""

    consumes: ClassVar[type] = Window
    patience_seconds: ClassVar[float] = IN_FLIGHT * CALL_SECONDS + 60
    ensemble: ClassVar[str]
    model: ClassVar[str]
    """Model whose provenance the ensemble reports as output `<model>_provenance`."""
    outputs: ClassVar[tuple[str, ...]]
    divisor: ClassVar[int]
    """Frames are read at base rate / divisor: 1, 2 or 4."""

    def __init__(self, client: InferenceClient, deadline: Deadline) -> None:
        """Ask through `client`, within `deadline`."""
        self._client, self._deadline = client, deadline

    def start(self, header: ClipHeader) -> None:
        """Begin with nothing asked."""
        self._pending: deque[tuple[Window, PendingAnswer]] = deque()
        self._provenances: dict[str, ModelProvenance] = {}

    def push(self, part: Window) -> None:
        """Ask about a window; consume the oldest answer when enough are under way."""
        if not part.row_count(self.divisor):
            return
        if len(self._pending) == IN_FLIGHT:
            self._consume_oldest()
        part.retain()
        try:
            answer = self._client.submit(
                self.ensemble,
                part.buffer,
                part.row_count(self.divisor),
                (*self.outputs, self._provenance_output),
                self._deadline.remaining(CALL_SECONDS),
            )
        except BaseException:
            part.release()
            raise
        self._pending.append((part, answer))

    def drain(self) -> None:
        """Consume every answer that is still under way."""
        while self._pending:
            self._consume_oldest()

    def close(self) -> None:
        """Cancel what is under way and give the windows back."""
        while self._pending:
            window, answer = self._pending.popleft()
            answer.cancel()
            window.release()

    def models(self) -> tuple[ModelProvenance, ...]:
        """Models that answered: one, or more when a version was rolled in mid-clip."""
        return tuple(self._provenances.values())

    @abstractmethod
    def consume(self, times_seconds: NDArray[np.float64], answer: dict[str, NDArray[Any]]) -> None:
        """Use the answer to one window: arrays [n, ...] whose rows are in time order.

        The windows are in time order as well at divisor 1; at 2 and 4 an `ExtraWindow` comes later than its times.
        """

    @property
    def _provenance_output(self) -> str:
        return f"{self.model}_provenance"

    def _consume_oldest(self) -> None:
        window, pending = self._pending[0]
        began = time.monotonic()
        try:
            answer = pending.result()
        except DeadlineExceeded as error:
            raise ModelUnavailable(f"{self.ensemble} did not answer in time: {error}") from error
        self.inference_seconds += time.monotonic() - began
        self._pending.popleft()
        times = np.array(window.times_seconds[: window.row_count(self.divisor)])
        window.release()
        for text in np.unique(answer.pop(self._provenance_output)):
            if text not in self._provenances:
                self._provenances[text] = self._client.provenance(text, self.model, self.ensemble)
        order = np.argsort(times)
        self.consume(times[order], {name: rows[order] for name, rows in answer.items()})
