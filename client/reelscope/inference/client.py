"""Inference calls to one Triton server."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from numpy.typing import NDArray
from tritonclient.grpc import InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from reelscope import tracing
from reelscope.errors import DeadlineExceeded, ModelUnavailable, ServerUnreachable
from reelscope.inference.connection import CONTROL_SECONDS, connect
from reelscope.inference.memory import SharedBuffer, WindowMemory
from reelscope.inference.repository import RepositoryClient
from reelscope.inference.translation import translate
from reelscope.types import WINDOW_FRAMES, FrameBuffer, ModelProvenance

_LARGE_BYTES = 250_000
"""An array of this size travels by shared memory; smaller ones are as quick inside the request."""


class PendingAnswer:
    """One inference call under way."""

    def __init__(self, model: str, timeout_seconds: float, span: tracing.Span, lent: Sequence[FrameBuffer]) -> None:
        """Wait for nothing yet; `InferenceClient` creates these. `span` ends with the answer, `lent` is closed then."""
        self._span, self._lent = span, lent
        self._model, self._timeout_seconds = model, timeout_seconds
        self._answered = threading.Event()
        self._result: Any = None
        self._error: InferenceServerException | None = None
        self._call: Any = None

    def result(self) -> dict[str, NDArray[Any]]:
        """Wait for the answer: the requested outputs by name.

        Raises:
            InferenceError: the call failed; ModelUnavailable also when the server is gone.
        """
        # gRPC ends the call at its own deadline; the margin covers a callback thread that never ran.
        if not self._answered.wait(self._timeout_seconds + 5):
            raise DeadlineExceeded(f"{self._model}: no answer within {self._timeout_seconds:g} s")
        if self._error is not None:
            error = translate(self._error, self._model)
            if isinstance(error, ServerUnreachable):
                error = ModelUnavailable(f"{self._model}: {error}")
            raise error from self._error
        names = [output.name for output in self._result.get_response().outputs]
        return {name: self._result.as_numpy(name) for name in names}

    def cancel(self) -> None:
        """Tell the server that nobody waits any more."""
        if self._call is not None and not self._answered.is_set():
            self._call.cancel()

    def give_back(self) -> None:
        """Close the memory that the question was in; done by the answer."""
        for buffer in self._lent:
            buffer.close()

    def _on_answer(self, result: Any, error: InferenceServerException | None) -> None:
        self._result, self._error = result, error
        self._span.end(error and (error.status() or "UNKNOWN").removeprefix("StatusCode."))
        self.give_back()
        self._answered.set()


class InferenceClient:
    """Inference calls to one Triton server: frames by shared memory where the server can see it, inline where not."""

    def __init__(self, url: str, *, shared_memory: bool = True) -> None:
        """Connect to "host:port", or by TLS to "grpcs://host:port".

        Args:
            url: gRPC address of the server.
            shared_memory: False sends every frame inside the request.

        Raises:
            ServerUnreachable: no server answers there.
        """
        self.url = url
        self._client = connect(url)
        try:
            self._client.is_server_live(client_timeout=CONTROL_SECONDS)
        except InferenceServerException as error:
            self._client.close()
            raise ServerUnreachable(f"no Triton server answers at {url} ({error.message()})") from error
        self._memory = WindowMemory(self._client, shared_memory)
        self._control = RepositoryClient(url)

    def __enter__(self) -> Self:
        """Return the client itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Destroy the shared memory and close the connection."""
        self._memory.destroy()
        self._control.close()
        self._client.close()

    @property
    def uses_shared_memory(self) -> bool:
        """Whether frames travel by shared memory; decided when the first buffer is allocated."""
        return self._memory.is_shared

    def allocate(self, height: int, width: int, rows: int = WINDOW_FRAMES) -> FrameBuffer:
        """Memory for one window of [rows, height, width, 3] uint8 that `submit` can send."""
        return self._memory.allocate(height, width, rows)

    def release_windows(self) -> None:
        """Give back the memory of what was closed and answered; it is kept for what comes next until then."""
        self._memory.release()

    def submit(
        self,
        model: str,
        buffer: FrameBuffer,
        rows: int,
        outputs: Sequence[str],
        timeout_seconds: float,
        inputs: Mapping[str, NDArray[Any]] | None = None,
    ) -> PendingAnswer:
        """Ask a model about the first `rows` frames of a buffer, which must live until the answer is there.

        Args:
            model: model or ensemble with an input `frames`, uint8 [rows, height, width, 3].
            buffer: memory from `allocate`.
            rows: frames to send, >= 1.
            outputs: names of the outputs wanted.
            timeout_seconds: deadline of the call; the server sees it, too.
            inputs: further inputs of the model, by name; sent inside the request.
        """
        frames = buffer.array[:rows]
        tensors = [_tensor("frames", frames, buffer), *(_tensor(name, array) for name, array in (inputs or {}).items())]
        return self._ask(model, tensors, outputs, timeout_seconds)

    def ask(
        self, model: str, inputs: Mapping[str, NDArray[Any]], outputs: Sequence[str], timeout_seconds: float
    ) -> PendingAnswer:
        """Ask a model about arrays, large ones by shared memory; `submit` is for frames that lie there already."""
        lent: list[FrameBuffer] = []
        tensors = []
        for name, array in inputs.items():
            copy = self._memory.copied(array) if array.nbytes >= _LARGE_BYTES else None
            lent += [copy] if copy else []
            tensors.append(_tensor(name, array, copy))
        return self._ask(model, tensors, outputs, timeout_seconds, lent)

    def _ask(
        self,
        model: str,
        tensors: list[InferInput],
        outputs: Sequence[str],
        timeout_seconds: float,
        lent: Sequence[FrameBuffer] = (),
    ) -> PendingAnswer:
        span = tracing.begin(f"infer {model}", {"triton.model_name": model}, "CLIENT")
        pending = PendingAnswer(model, timeout_seconds, span, lent)
        try:
            pending._call = self._client.async_infer(
                model,
                tensors,
                callback=pending._on_answer,
                outputs=[InferRequestedOutput(name) for name in outputs],
                client_timeout=timeout_seconds,
                request_id=tracing.request_id.get(),
                headers=span.headers,
            )
        except BaseException:
            pending.give_back()
            raise
        return pending

    def provenance(self, text: bytes, model: str, ensemble: str) -> ModelProvenance:
        """Read what a model reports of itself in its `provenance` output (JSON).

        A model that passes on what others answered names them in it: key "model".

        Raises:
            ModelUnavailable: the server is gone.
        """
        reported = json.loads(text)
        name = reported.get("model", model)
        try:
            serving = self._control.versions(name)
        except ServerUnreachable as error:
            raise ModelUnavailable(f"{name}: {error}") from error
        return ModelProvenance(
            name=name,
            version=serving[0] if len(serving) == 1 else None,
            ensemble=ensemble,
            source=reported["source"],
            revision=reported["revision"],
            sha256=reported["sha256"],
            licence=reported["licence"],
            precision=reported["precision"],
            trained=reported["trained"],
        )


def _tensor(name: str, array: NDArray[Any], buffer: FrameBuffer | None = None) -> InferInput:
    """An input whose contents lie at the start of `buffer`; part of the request where that is not shared."""
    tensor = InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
    if isinstance(buffer, SharedBuffer):
        tensor.set_shared_memory(buffer.region.name, array.nbytes)
    else:
        tensor.set_data_from_numpy(array)
    return tensor
