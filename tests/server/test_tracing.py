"""One trace from the client's call to the steps of Triton's ensemble, through a real collector; none when it is off."""

from __future__ import annotations

import subprocess
import sys
import threading

import numpy as np
import pytest

from collector import collecting
from conftest import a_profile
from reelscope import tracing
from reelscope.embedded import EmbeddedServer
from reelscope.errors import InferenceError, UsageError
from reelscope.inference import InferenceClient

FRAMES = {"frames": np.ones((2, 4, 4, 3), np.uint8)}
REMOTE = "00-" + "ab" * 16 + "-" + "cd" * 8 + "-01"
UNSAMPLED = REMOTE.removesuffix("1") + "0"


@pytest.fixture(autouse=True)
def variables(monkeypatch):
    for name in ("ENDPOINT", "TRACES_ENDPOINT", "PROTOCOL", "TRACES_PROTOCOL"):
        monkeypatch.delenv(f"OTEL_EXPORTER_OTLP_{name}", raising=False)


def test_the_call_and_the_ensembles_steps_are_one_trace(repositories, monkeypatch):
    with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
        tracing.request_id.set("my-request")
        with (
            EmbeddedServer(a_profile(), models=("describe", "frame_sum"), repositories=repositories) as server,
            InferenceClient(server.grpc_url) as client,
            tracing.exported("reelscope-test"),
        ):
            client.ask("described", FRAMES, ["words"], 10).result()  # outside of any span: a trace of its own
            with tracing.span("unsampled", {}, parent={"traceparent": UNSAMPLED}):
                client.ask("described", FRAMES, ["words"], 10).result()
            with tracing.span("analyze", {}, parent={"traceparent": REMOTE}) as span:
                assert span.headers["traceparent"].startswith("00-" + "ab" * 16)
                client.ask("described", FRAMES, ["words"], 10).result()
                with pytest.raises(InferenceError):
                    client.ask("missing", FRAMES, ["words"], 10).result()
        spans = collector.until(lambda spans: {"infer missing", "analyze"} <= {each.name for each in spans})
    ours = [span for span in spans if span.trace == "ab" * 16]
    steps = {
        span.attributes["triton.model_name"]: span
        for span in ours
        if span.service == "triton" and "triton.model_name" in span.attributes
    }
    assert steps.keys() == {"described", "frame_sum", "describe"}
    assert {span.attributes["triton.request_id"] for span in steps.values()} == {"my-request"}
    above = ["described", "InferRequest", "infer described", "analyze"]
    assert [collector.ancestors(steps[name]) for name in ("frame_sum", "describe")] == [
        ["frame_sum", *above],
        ["describe", *above],
    ]
    (root,) = [span for span in ours if span.name == "analyze"]
    assert root.parent == "cd" * 8
    # What is not sampled here is not sampled there, though Triton itself would not mind the flag.
    assert len([span for span in spans if span.name == "InferRequest"]) == 2
    assert "unsampled" not in {span.name for span in spans}


def test_without_a_collector_nothing_is_traced_or_imported():
    code = """
import sys
from reelscope import tracing
import reelscope.inference
with tracing.exported("x"), tracing.span("a", {}) as span:
    assert span.headers == {} and tracing.begin("b", {}).headers == {}
assert not [name for name in sys.modules if name.startswith("opentelemetry")]
"""
    subprocess.run([sys.executable, "-I", "-c", code], check=True, env={})


@pytest.mark.parametrize("name", ["OTEL_SDK_DISABLED=true", "OTEL_TRACES_EXPORTER=none"])
def test_opentelemetrys_own_switches_switch_it_off(name, monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv(*name.split("="))
    with tracing.exported("x"):
        assert tracing.begin("a", {}).headers == {}


def test_another_protocol_is_refused(monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4317")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    with pytest.raises(UsageError, match="is grpc"), tracing.exported("x"):
        pass


def test_without_the_extra_it_says_so(monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(UsageError, match="not installed"), tracing.exported("x"):
        pass


def test_a_collector_that_hangs_keeps_nobody(monkeypatch):
    """The process goes on, at the latest after the time that it states; and what failed is named by type alone."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(tracing, "FLUSH_SECONDS", 0.2)
    done = threading.Event()

    def work():
        with pytest.raises(KeyError), tracing.exported("x"), tracing.span("a", {}):
            raise KeyError("secret")
        done.set()

    threading.Thread(target=work, daemon=True).start()
    assert done.wait(5)
