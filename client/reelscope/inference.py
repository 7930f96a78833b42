"""Triton over gRPC: the only module that imports tritonclient.

Triton's and gRPC's exceptions are translated here, in `translate`, and nowhere else.
"""

from __future__ import annotations

import contextlib
import json
import math
import mmap
import os
import secrets
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import grpc
import numpy as np
from google.protobuf import json_format, text_format  # type: ignore[import-untyped]
from numpy.typing import NDArray
from tritonclient.grpc import InferenceServerClient, InferInput, InferRequestedOutput, model_config_pb2
from tritonclient.utils import InferenceServerException

from reelscope.errors import (
    DeadlineExceeded,
    InferenceError,
    InvalidRequest,
    ModelUnavailable,
    Overloaded,
    ReelscopeError,
    ServerUnreachable,
    UsageError,
)
from reelscope.types import WINDOW_FRAMES, FrameBuffer, ModelProvenance

# Triton answers UNAVAILABLE for a full queue and for too long a wait in it, too; only the texts tell them apart.
_QUEUE_TEXTS = ("exceeds maximum queue size", "request timeout expired", "maximum queue size reached")
# Texts that gRPC itself, not Triton, gives when nobody listens at the address or the connection broke.
_CONNECTION_TEXTS = ("failed to connect", "connection refused", "socket closed", "connection reset", "goaway")
_CONTROL_TIMEOUT_SECONDS = 10.0
_SHARED_MEMORY = Path("/dev/shm")
"""Where POSIX shared memory lives on Linux: shm_open("/name") opens this folder's file."""


def translate(error: InferenceServerException | grpc.RpcError, model: str | None) -> ReelscopeError:
    """Turn an error of tritonclient or gRPC into ours, keeping Triton's own text.

    Args:
        error: what tritonclient or gRPC raised.
        model: name of the model called, None for calls about the whole server.

    Returns:
        ServerUnreachable when nobody answers; else, for a call to a model, ModelUnavailable, Overloaded,
        DeadlineExceeded, InvalidRequest or InferenceError.
    """
    if isinstance(error, InferenceServerException):
        status, text = (error.status() or "").removeprefix("StatusCode."), error.message() or ""
    else:
        status, text = error.code().name, error.details() or ""
    lowered = text.lower()
    message = f"{model}: {text}" if model and model not in text else text
    if status == "UNAVAILABLE" and any(part in lowered for part in _CONNECTION_TEXTS):
        return ServerUnreachable(f"no Triton server answers: {text}")
    if status == "RESOURCE_EXHAUSTED" or any(part in lowered for part in _QUEUE_TEXTS):
        return Overloaded(message)
    if status == "DEADLINE_EXCEEDED":
        return DeadlineExceeded(message)
    if status == "INVALID_ARGUMENT":
        return InvalidRequest(message)
    if status in ("UNAVAILABLE", "NOT_FOUND"):
        return ModelUnavailable(message)
    return InferenceError(message or f"{model or 'server'}: failed with status {status or 'unknown'}")


class IndexRow(NamedTuple):
    """One row of Triton's repository index."""

    name: str
    version: str
    state: str
    """READY, LOADING, UNLOADING, UNAVAILABLE, or empty for a model that was never loaded."""
    reason: str


class RepositoryClient:
    """Control calls to one Triton server: is it live, load a model, what is loaded, with which config."""

    def __init__(self, url: str) -> None:
        """Prepare a connection to "host:port"; nothing is sent yet."""
        self._client = InferenceServerClient(url)

    def __enter__(self) -> RepositoryClient:
        """Return the client itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connection."""
        self.close()

    def server_live(self) -> bool:
        """Return whether a server answers at the address and says that it is live."""
        try:
            return bool(self._client.is_server_live(client_timeout=_CONTROL_TIMEOUT_SECONDS))
        except InferenceServerException:
            return False

    def load_model(self, name: str, timeout_seconds: float) -> None:
        """Load one model, or load it again with what changed on disk.

        Raises:
            InferenceError: the load failed (the message is Triton's own) or took longer than `timeout_seconds`.
            ServerUnreachable: no server answers.
        """
        try:
            self._client.load_model(name, client_timeout=timeout_seconds)
        except InferenceServerException as error:
            raise translate(error, name) from error

    def is_model_ready(self, name: str, version: str = "") -> bool:
        """Return whether a version of a model (by default the one that Triton would choose) answers requests.

        Raises:
            ServerUnreachable: no server answers.
        """
        try:
            return bool(self._client.is_model_ready(name, version, client_timeout=_CONTROL_TIMEOUT_SECONDS))
        except InferenceServerException as error:
            translated = translate(error, name)
            if isinstance(translated, ServerUnreachable | DeadlineExceeded):
                raise translated from error
            return False

    def model_config(self, name: str) -> dict[str, Any]:
        """Read the config that a loaded model runs with, as Triton completed it (JSON form, snake_case keys).

        Raises:
            InferenceError: the model is not loaded.
            ServerUnreachable: no server answers.
        """
        try:
            answer = self._client.get_model_config(name, as_json=True, client_timeout=_CONTROL_TIMEOUT_SECONDS)
        except InferenceServerException as error:
            raise translate(error, name) from error
        config: dict[str, Any] = answer["config"]
        return config

    def repository_index(self) -> list[IndexRow]:
        """List every model version that the server knows, also the unloaded and failed ones.

        Raises:
            ServerUnreachable: no server answers.
        """
        try:
            answer = self._client.get_model_repository_index(client_timeout=_CONTROL_TIMEOUT_SECONDS)
        except InferenceServerException as error:
            raise translate(error, None) from error
        return [IndexRow(row.name, row.version, row.state, row.reason) for row in answer.models]

    @staticmethod
    def parse_config(text: str) -> dict[str, Any]:
        """Parse a config.pbtxt into the same form as `model_config`.

        Raises:
            UsageError: the text is no ModelConfig; the message holds line and column.
        """
        try:
            message = text_format.Parse(text, model_config_pb2.ModelConfig())
        except text_format.ParseError as error:
            raise UsageError(f"not a Triton model config: {error}") from error
        config: dict[str, Any] = json.loads(json_format.MessageToJson(message, preserving_proto_field_name=True))
        return config

    def close(self) -> None:
        """Close the connection."""
        self._client.close()


class PendingAnswer:
    """One inference call under way."""

    def __init__(self, model: str, timeout_seconds: float) -> None:
        """Wait for nothing yet; `InferenceClient.submit` creates these."""
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

    def _on_answer(self, result: Any, error: InferenceServerException | None) -> None:
        self._result, self._error = result, error
        self._answered.set()


class _PlainBuffer:
    """A window in ordinary memory, sent inside the request."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.array: NDArray[np.uint8] = np.empty(shape, np.uint8)

    def close(self) -> None:
        """Nothing to give back."""


class _Region:
    """A POSIX shared-memory region that the server has mapped."""

    def __init__(self, client: InferenceServerClient, size: int) -> None:
        """Create and register a region; its name disappears at once, so that not even a crash leaves it behind."""
        self.name = f"reelscope-{secrets.token_hex(8)}"
        self.size = size
        file = _SHARED_MEMORY / self.name
        descriptor = os.open(file, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
        try:
            # Without pages of its own, a full /dev/shm would kill the process at the first write.
            os.posix_fallocate(descriptor, 0, size)
            self.memory = mmap.mmap(descriptor, size, flags=mmap.MAP_SHARED | mmap.MAP_POPULATE)
            client.register_system_shared_memory(
                self.name, f"/{self.name}", size, client_timeout=_CONTROL_TIMEOUT_SECONDS
            )
        finally:
            os.close(descriptor)
            file.unlink()

    def destroy(self, client: InferenceServerClient) -> None:
        """Unmap the region on the server; here the mapping goes with its last view."""
        # A server that is gone has unmapped it already.
        with contextlib.suppress(InferenceServerException):
            client.unregister_system_shared_memory(self.name, client_timeout=_CONTROL_TIMEOUT_SECONDS)


class _SharedBuffer:
    """A window in a shared-memory region; closing it gives the region back for the next window."""

    def __init__(self, region: _Region, shape: tuple[int, ...], free: list[_Region]) -> None:
        self.region, self._free = region, free
        self.array: NDArray[np.uint8] = np.ndarray(shape, np.uint8, region.memory)

    def close(self) -> None:
        """Free the region; idempotent."""
        if self.array.size:
            self.array = np.empty(0, np.uint8)
            self._free.append(self.region)


class InferenceClient:
    """Inference calls to one Triton server: frames by shared memory where the server can see it, inline where not."""

    def __init__(self, url: str, *, shared_memory: bool = True) -> None:
        """Connect to "host:port".

        Args:
            url: gRPC address of the server.
            shared_memory: False sends every frame inside the request.

        Raises:
            ServerUnreachable: no server answers there.
        """
        self.url = url
        self._client = InferenceServerClient(url)
        try:
            self._client.is_server_live(client_timeout=_CONTROL_TIMEOUT_SECONDS)
        except InferenceServerException as error:
            self._client.close()
            raise ServerUnreachable(f"no Triton server answers at {url} ({error.message()})") from error
        self._shared_memory = shared_memory
        self._regions: list[_Region] = []
        # Fresh pages cost more than sending a window does, so that regions are used again.
        self._free: list[_Region] = []

    def __enter__(self) -> InferenceClient:
        """Return the client itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Destroy every region and close the connection."""
        for region in self._regions:
            region.destroy(self._client)
        self._client.close()

    @property
    def uses_shared_memory(self) -> bool:
        """Whether frames travel by shared memory; decided when the first buffer is allocated."""
        return self._shared_memory

    def is_ready(self, model: str) -> bool:
        """Return whether a model or ensemble answers requests; False as well when the server is gone."""
        try:
            return bool(self._client.is_model_ready(model, client_timeout=_CONTROL_TIMEOUT_SECONDS))
        except InferenceServerException:
            return False

    def allocate(self, height: int, width: int) -> FrameBuffer:
        """Memory for one window of [WINDOW_FRAMES, height, width, 3] uint8 that `submit` can send.

        A server that cannot map our memory (another host, another IPC namespace, switched off) refuses the
        registration: from then on frames are sent inline.
        """
        shape = (WINDOW_FRAMES, height, width, 3)
        if self._shared_memory:
            try:
                return _SharedBuffer(self._region(math.prod(shape)), shape, self._free)
            except (InferenceServerException, OSError):
                self._shared_memory = False
        return _PlainBuffer(shape)

    def _region(self, size: int) -> _Region:
        while self._free:
            region = self._free.pop()
            if region.size == size:
                return region
            self._regions.remove(region)  # another clip, another frame size
            region.destroy(self._client)
        region = _Region(self._client, size)
        self._regions.append(region)
        return region

    def submit(
        self, model: str, buffer: FrameBuffer, rows: int, outputs: Sequence[str], timeout_seconds: float
    ) -> PendingAnswer:
        """Ask a model about the first `rows` frames of a buffer, which must live until the answer is there.

        Args:
            model: model or ensemble with an input `frames`, uint8 [rows, height, width, 3].
            buffer: memory from `allocate`.
            rows: frames to send, >= 1.
            outputs: names of the outputs wanted.
            timeout_seconds: deadline of the call; the server sees it, too.
        """
        frames = buffer.array[:rows]
        tensor = InferInput("frames", list(frames.shape), "UINT8")
        if isinstance(buffer, _SharedBuffer):
            tensor.set_shared_memory(buffer.region.name, frames.nbytes)
        else:
            tensor.set_data_from_numpy(frames)
        pending = PendingAnswer(model, timeout_seconds)
        pending._call = self._client.async_infer(
            model,
            [tensor],
            callback=pending._on_answer,
            outputs=[InferRequestedOutput(name) for name in outputs],
            client_timeout=timeout_seconds,
        )
        return pending

    def provenance(self, text: bytes, model: str, ensemble: str) -> ModelProvenance:
        """Read what a model reports of itself in its `provenance` output (JSON)."""
        reported = json.loads(text)
        index = self._client.get_model_repository_index(client_timeout=_CONTROL_TIMEOUT_SECONDS)
        serving = [row.version for row in index.models if row.name == model and row.state == "READY"]
        return ModelProvenance(
            name=model,
            version=serving[0] if len(serving) == 1 else None,
            ensemble=ensemble,
            source=reported["source"],
            revision=reported["revision"],
            sha256=reported["sha256"],
            licence=reported["licence"],
            precision=reported["precision"],
            trained=reported["trained"],
        )
