"""Connections to a Triton server: the only place that knows TLS and keys."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tritonclient.grpc import MAX_GRPC_MESSAGE_SIZE, InferenceServerClient, InferenceServerClientPlugin

from reelscope import settings

CONTROL_SECONDS = 10.0
"""Longest that a control call (not an inference, not a load) may take."""
TLS_SCHEME = "grpcs://"
"""Beginning of the address of a server that is reached by TLS."""
_ADMIN_HEADER = "triton-grpc-protocol-admin-key"
"""As a Triton that was started with --grpc-restricted-protocol=...:admin-key=KEY expects it."""
_LOOPBACK = ("127.", "localhost:", "[::1]:")


def connect(url: str) -> InferenceServerClient:
    """Prepare a connection to "host:port", or by TLS to "grpcs://host:port"; nothing is sent yet.

    Raises:
        UsageError: certificates or key, as the environment names them, cannot be read.
    """
    access, address = settings.access(), url.removeprefix(TLS_SCHEME)
    # gRPC sends even loopback traffic to the proxy of the environment. Options replace tritonclient's own, so that its
    # message limits are said again.
    options = [
        ("grpc.enable_http_proxy", 0),
        ("grpc.max_send_message_length", MAX_GRPC_MESSAGE_SIZE),
        ("grpc.max_receive_message_length", MAX_GRPC_MESSAGE_SIZE),
    ]
    client = InferenceServerClient(
        address,
        ssl=url.startswith(TLS_SCHEME),
        root_certificates=_text(access.ca),
        certificate_chain=_text(access.certificate),
        private_key=_text(access.certificate_key),
        channel_args=options if address.startswith(_LOOPBACK) else None,
    )
    if access.admin_key:
        client.register_plugin(_AdminKey(access.admin_key))
    return client


class _AdminKey(InferenceServerClientPlugin):  # type: ignore[misc]
    """Sends the administrator's key with every call; Triton looks at it where a protocol is restricted."""

    def __init__(self, key: str) -> None:
        self._key = key

    def __call__(self, request: Any) -> None:
        request.headers[_ADMIN_HEADER] = self._key


def _text(file: Path | None) -> str | None:
    return None if file is None else str(file)
