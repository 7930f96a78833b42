"""Errors of tritonclient and gRPC, translated into ours here and nowhere else."""

from __future__ import annotations

import grpc
from tritonclient.utils import InferenceServerException

from reelscope.errors import (
    AccessDenied,
    DeadlineExceeded,
    InferenceError,
    InvalidRequest,
    ModelUnavailable,
    Overloaded,
    ReelscopeError,
    ServerUnreachable,
)

# Triton answers UNAVAILABLE for a full queue and for too long a wait in it, too; only the texts tell them apart.
_QUEUE_TEXTS = ("exceeds maximum queue size", "request timeout expired", "maximum queue size reached")
# The same status, of a call that the server was told to restrict.
_RESTRICTED_TEXT = "protocol is restricted"
# Texts that gRPC itself, not Triton, gives when nobody listens at the address or the connection broke.
_CONNECTION_TEXTS = ("failed to connect", "connection refused", "socket closed", "connection reset", "goaway")


def translate(error: InferenceServerException | grpc.RpcError, model: str | None) -> ReelscopeError:
    """Turn an error of tritonclient or gRPC into ours, keeping Triton's own text.

    Args:
        error: what tritonclient or gRPC raised.
        model: name of the model called, None for calls about the whole server.

    Returns:
        ServerUnreachable when nobody answers, AccessDenied when the call is restricted; else, for a call to a model,
        ModelUnavailable, Overloaded, DeadlineExceeded, InvalidRequest or InferenceError.
    """
    if isinstance(error, InferenceServerException):
        status, text = (error.status() or "").removeprefix("StatusCode."), error.message() or ""
    else:
        status, text = error.code().name, error.details() or ""
    lowered = text.lower()
    message = f"{model}: {text}" if model and model not in text else text
    if status == "UNAVAILABLE" and any(part in lowered for part in _CONNECTION_TEXTS):
        return ServerUnreachable(f"no Triton server answers: {text}")
    if status == "UNAVAILABLE" and _RESTRICTED_TEXT in lowered:
        return AccessDenied(
            "the server keeps this call for its administrator, and the key that it wants was absent or wrong",
            "export REELSCOPE_TRITON_ADMIN_KEY_FILE=FILE_WITH_THE_KEY",
        )
    if status == "RESOURCE_EXHAUSTED" or any(part in lowered for part in _QUEUE_TEXTS):
        return Overloaded(f"{message} (the server has more to do than it can: analyse fewer clips at once)")
    if status == "DEADLINE_EXCEEDED":
        return DeadlineExceeded(message)
    if status == "INVALID_ARGUMENT":
        return InvalidRequest(message)
    if status in ("UNAVAILABLE", "NOT_FOUND"):
        return ModelUnavailable(message)
    return InferenceError(message or f"{model or 'server'}: failed with status {status or 'unknown'}")
