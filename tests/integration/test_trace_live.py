"""One request, one trace, one id: from HTTP through the job to the steps of Triton's ensemble; and no content."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx2
import pytest

from collector import collecting
from places import DEMO
from reelscope import settings
from reelscope.embedded import EmbeddedServer


def serving(root: Path, url: str, log: Path) -> tuple[subprocess.Popen[bytes], str]:
    """`reelscope serve` as an operator starts it, and its address once it answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    command = [Path(sys.executable).parent / "reelscope", "serve", "--root", root, "--url", url, "--port", str(port)]
    process = subprocess.Popen([*map(str, command)], stderr=log.open("wb"), stdout=subprocess.DEVNULL, env=os.environ)
    address, end = f"http://127.0.0.1:{port}", time.monotonic() + 60
    while True:
        try:
            if httpx2.get(f"{address}/readyz").status_code == 200:
                return process, address
        except httpx2.TransportError:
            pass
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.1)


@pytest.mark.slow
def test_a_request_is_one_trace_down_to_the_ensembles_steps(environment, tmp_path, monkeypatch):
    secret = shutil.copy(DEMO, tmp_path / "secret-name.mp4")
    log = tmp_path / "gateway.log"
    with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
        monkeypatch.setenv("REELSCOPE_STATE", str(tmp_path / "state"))
        with EmbeddedServer(settings.profile("cpu"), models=("object_yolov8",)) as server:
            process, address = serving(tmp_path, server.grpc_url, log)
            try:
                answer = httpx2.post(
                    f"{address}/analyze",
                    json={"video_path": str(secret), "only": ["object_detection"]},
                    headers={"X-Request-ID": "one-request"},
                    timeout=120,
                )
            finally:
                process.terminate()
                process.wait(30)
        assert answer.status_code == 200, answer.text
        assert answer.headers["X-Request-ID"] == "one-request"
        assert answer.json()["analyzers"]["object_detection"]["status"] == "ok"
        spans = collector.until(lambda spans: "POST /analyze" in {span.name for span in spans})
    assert len({span.trace for span in spans}) == 1
    steps = [span for span in spans if span.name == "compute"]
    above = ["compute", "object_yolov8", "detections", "InferRequest", "infer detections", "analyze", "job"]
    assert len(steps) > 1
    assert {tuple(collector.ancestors(span)) for span in steps} == {(*above, "POST /analyze")}
    assert {span.service for span in spans} == {"reelscope-gateway", "reelscope-job", "triton"}
    assert {span.attributes["triton.request_id"] for span in spans if span.name == "detections"} == {"one-request"}
    lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    ours = [line["event"] for line in lines if line.get("request") == "one-request"]
    assert ours == ["job queued", "analyzer ended", "job ended", "request"]
    assert b"secret" not in b"".join(collector.bodies)
    assert "secret" not in log.read_text()
