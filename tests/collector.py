"""A real collector of traces, Rotel (the package `rotel` carries its binary): what comes in passes on to the test.

It takes OTLP over HTTP, protobuf of the Python processes and JSON of Triton, and exports protobuf, which the official
`opentelemetry-proto` reads here.
"""

from __future__ import annotations

import contextlib
import gzip
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass(frozen=True)
class SeenSpan:
    service: str
    name: str
    trace: str
    id: str
    parent: str
    attributes: dict[str, str | int]


@dataclass
class Collector:
    endpoint: str
    spans: list[SeenSpan] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    """As they came out, to look for what must not be in them."""

    def until(self, condition, seconds=20.0) -> list[SeenSpan]:
        """The spans, once a condition holds for them."""
        end = time.monotonic() + seconds
        while not condition(self.spans):
            assert time.monotonic() < end, sorted((span.service, span.name) for span in self.spans)
            time.sleep(0.05)
        return list(self.spans)

    def ancestors(self, span: SeenSpan) -> list[str]:
        """Names of a span and of those above it, up to the root."""
        by_id = {each.id: each for each in self.spans}
        found = [span.name]
        while span.parent in by_id:
            span = by_id[span.parent]
            found.append(span.name)
        return found

    def take(self, body: bytes) -> None:
        self.bodies.append(body)
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            service = _values(resource.resource.attributes)["service.name"]
            for scope in resource.scope_spans:
                for span in scope.spans:
                    ids = (span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex())
                    self.spans.append(SeenSpan(service, span.name, *ids, _values(span.attributes)))


def _values(attributes) -> dict[str, str | int]:
    return {each.key: each.value.string_value or each.value.int_value for each in attributes}


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return listening.getsockname()[1]


@contextlib.contextmanager
def collecting() -> Iterator[Collector]:
    """A collector that runs for the block."""
    http_port, grpc_port = _free_port(), _free_port()
    collector = Collector(f"http://127.0.0.1:{http_port}")

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            collector.take(gzip.decompress(body) if self.headers["Content-Encoding"] == "gzip" else body)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *arguments):
            pass

    receiver = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=receiver.serve_forever, daemon=True).start()
    command = [str(files("rotel") / "rotel-agent"), "start", "--exporter", "otlp", "--otlp-exporter-protocol", "http"]
    command += ["--otlp-exporter-endpoint", f"http://127.0.0.1:{receiver.server_address[1]}"]
    command += ["--batch-timeout", "100ms"]
    command += ["--otlp-http-endpoint", f"127.0.0.1:{http_port}", "--otlp-grpc-endpoint", f"127.0.0.1:{grpc_port}"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            _wait_for(http_port)
            yield collector
        finally:
            process.kill()
            receiver.shutdown()
            receiver.server_close()


def _wait_for(port: int) -> None:
    end = time.monotonic() + 10
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        assert time.monotonic() < end, "the collector does not listen"
        time.sleep(0.05)
