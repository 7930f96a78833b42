"""Control calls to one Triton server."""

from __future__ import annotations

import json
from types import TracebackType
from typing import Any, NamedTuple

from google.protobuf import json_format, text_format
from tritonclient.grpc import model_config_pb2
from tritonclient.utils import InferenceServerException

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


class RepositoryClient:
    """Control calls to one Triton server: is it live, load a model, what is loaded, with which config."""

    def __init__(self, url: str) -> None:
        """Prepare a connection to "host:port"; nothing is sent yet."""
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
        try:
            message = text_format.Parse(text, model_config_pb2.ModelConfig())
        except text_format.ParseError as error:
            raise UsageError(f"not a Triton model config: {error}") from error
        config: dict[str, Any] = json.loads(json_format.MessageToJson(message, preserving_proto_field_name=True))
        return config

    def close(self) -> None:
        """Close the connection."""
        self._client.close()
