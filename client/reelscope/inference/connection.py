"""Connections to a Triton server."""

from __future__ import annotations

from tritonclient.grpc import MAX_GRPC_MESSAGE_SIZE, InferenceServerClient

CONTROL_SECONDS = 10.0
"""Longest that a control call (not an inference, not a load) may take."""
_LOOPBACK = ("127.", "localhost:", "[::1]:")


def connect(url: str) -> InferenceServerClient:
    """Prepare a connection to "host:port"; nothing is sent yet."""
    if not url.startswith(_LOOPBACK):
        return InferenceServerClient(url)
    # gRPC sends even loopback traffic to the proxy of the environment. Options replace tritonclient's own, so that its
    # message limits are said again.
    options = [
        ("grpc.enable_http_proxy", 0),
        ("grpc.max_send_message_length", MAX_GRPC_MESSAGE_SIZE),
        ("grpc.max_receive_message_length", MAX_GRPC_MESSAGE_SIZE),
    ]
    return InferenceServerClient(url, channel_args=options)
