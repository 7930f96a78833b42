"""Control calls to one Triton server."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, NamedTuple

from google.protobuf import json_format, text_format
from numpy.typing import NDArray
from tritonclient.grpc import InferInput, InferRequestedOutput, model_config_pb2
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from reelscope.errors import DeadlineExceeded, ServerUnreachable, UsageError
from reelscope.inference.connection import CONTROL_SECONDS, connect
from reelscope.inference.translation import translate


class IndexRow(NamedTuple):
    """One row of Triton's repository index."""

    name: str
    version: str
    state: str
    """READY, LOADING, UNLOADING, UNAVAILABLE, or empty for a model that was never loaded."""
    reason: str


class Answer(NamedTuple):
    """What a model answered to one question."""

    version: str
    """Version that answered."""
    outputs: dict[str, NDArray[Any]]
    seconds: float
    """Wall time of the call."""


class RepositoryClient:
    """Control calls to one Triton server: load and unload, what is loaded, with which config, does it answer."""

    def __init__(self, url: str) -> None:
        """Prepare a connection to "host:port", or by TLS to "grpcs://host:port"; nothing is sent yet."""
        self._client = connect(url)

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
            return bool(self._client.is_server_live(client_timeout=CONTROL_SECONDS))
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

    def unload_model(self, name: str) -> None:
        """Begin to unload one model; requests under way are still answered. Triton says yes to unknown names, too.

        Raises:
            InferenceError: the server refuses.
            ServerUnreachable: no server answers.
        """
        try:
            self._client.unload_model(name, client_timeout=CONTROL_SECONDS)
        except InferenceServerException as error:
            raise translate(error, name) from error

    def ask(
        self, name: str, inputs: Mapping[str, NDArray[Any]], outputs: Sequence[str], timeout_seconds: float
    ) -> Answer:
        """Ask a model once, tensors inside the request.

        Args:
            name: model or ensemble.
            inputs: arrays by name, batch dimension included where the model has one.
            outputs: names of the outputs wanted.
            timeout_seconds: deadline of the call.

        Raises:
            InferenceError: the call failed.
            ServerUnreachable: no server answers.
        """
        tensors = []
        for input_name, array in inputs.items():
            tensors.append(InferInput(input_name, list(array.shape), np_to_triton_dtype(array.dtype)))
            tensors[-1].set_data_from_numpy(array)
        began = time.monotonic()
        try:
            result = self._client.infer(
                name,
                tensors,
                outputs=[InferRequestedOutput(output) for output in outputs],
                client_timeout=timeout_seconds,
            )
        except InferenceServerException as error:
            raise translate(error, name) from error
        seconds = time.monotonic() - began
        version = str(result.get_response().model_version)
        return Answer(version, {output: result.as_numpy(output) for output in outputs}, seconds)

    def is_model_ready(self, name: str, version: str = "") -> bool:
        """Return whether a version of a model (by default the one that Triton would choose) answers requests.

        Raises:
            ServerUnreachable: no server answers.
        """
        try:
            return bool(self._client.is_model_ready(name, version, client_timeout=CONTROL_SECONDS))
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
            answer = self._client.get_model_config(name, as_json=True, client_timeout=CONTROL_SECONDS)
        except InferenceServerException as error:
            raise translate(error, name) from error
        config: dict[str, Any] = answer["config"]
        return config

    def versions(self, name: str) -> tuple[str, ...]:
        """Versions of a model that answer requests; () when there is none. No key is needed for it.

        Raises:
            ServerUnreachable: no server answers.
        """
        try:
            return tuple(self._client.get_model_metadata(name, client_timeout=CONTROL_SECONDS).versions)
        except InferenceServerException as error:
            translated = translate(error, name)
            if isinstance(translated, ServerUnreachable | DeadlineExceeded):
                raise translated from error
            return ()

    def repository_index(self) -> list[IndexRow]:
        """List every model version that the server knows, also the unloaded and failed ones.

        Raises:
            ServerUnreachable: no server answers.
        """
        try:
            answer = self._client.get_model_repository_index(client_timeout=CONTROL_SECONDS)
        except InferenceServerException as error:
            raise translate(error, None) from error
        return [IndexRow(row.name, row.version, row.state, row.reason) for row in answer.models]

    @staticmethod
    def parse_config(text: str) -> dict[str, Any]:
        """Parse a config.pbtxt into the same form as `model_config`.

        Raises:
            UsageError: the text is no ModelConfig; the message holds line and column.
        """
        message = _parsed(text)
        config: dict[str, Any] = json.loads(json_format.MessageToJson(message, preserving_proto_field_name=True))
        return config

    @staticmethod
    def renamed_config(text: str, name: str) -> str:
        """The same config.pbtxt for a model of another name.

        Raises:
            UsageError: the text is no ModelConfig; the message holds line and column.
        """
        message = _parsed(text)
        message.name = name
        return str(text_format.MessageToString(message))

    def close(self) -> None:
        """Close the connection."""
        self._client.close()


def _parsed(text: str) -> Any:
    try:
        return text_format.Parse(text, model_config_pb2.ModelConfig())
    except text_format.ParseError as error:
        raise UsageError(f"not a Triton model config: {error}") from error
