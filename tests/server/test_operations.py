"""`reelscope models stats` and `models trace` against a real server: what they say is what was asked."""

from __future__ import annotations

import json
import threading

import numpy as np
import pytest
from processes import wait_until
from typer.testing import CliRunner

from reelscope.cli import app
from reelscope.errors import DeadlineExceeded, ServerUnreachable
from reelscope.inference import RepositoryClient
from reelscope.inference.observation import Observer, read_metrics
from reelscope.operations.tracing import spans
from settled import settled

FRAMES = np.ones((2, 4, 4, 3), np.uint8)


def run(*arguments):
    return CliRunner().invoke(app, ["models", *arguments])


def numbers(server, model):
    done = run("stats", model, "--url", server.grpc_url, "--metrics", server.metrics_url, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)[0]


def counted(server, model):
    return settled(lambda: numbers(server, model))


def test_statistics_count_requests_rows_and_failures_with_their_reason(server):
    before, before_picking = counted(server, "frame_sum"), counted(server, "pick")
    with RepositoryClient(server.grpc_url) as client:
        for _ in range(3):
            client.ask("described", {"frames": FRAMES}, ["words"], 10)
        with pytest.raises(DeadlineExceeded):  # requests wait 200 ms for others
            client.ask("pick", {"index": np.array([[1]])}, ["value"], 0.05)
    wait_until(lambda: numbers(server, "pick")["failed_requests"] > before_picking["failed_requests"])
    after, after_picking = counted(server, "frame_sum"), counted(server, "pick")
    assert [after[key] - before[key] for key in ("requests", "executions", "rows", "failed_requests")] == [3, 3, 6, 0]
    assert after["rows_per_execution"] == after["rows"] / after["executions"]
    assert after["request_ms"] >= after["queue_ms"] + after["compute_ms"] > 0
    assert after["pending"] == 0
    assert after_picking["failed_requests"] - before_picking["failed_requests"] == 1
    assert after_picking["failures_by_reason"]["canceled"] >= 1


def test_the_table_names_every_model(server):
    done = run("stats", "--url", server.grpc_url)
    assert done.exit_code == 0
    for name in ("described", "frame_sum", "add"):
        assert name in done.output


def test_metrics_of_nobody_say_so():
    with pytest.raises(ServerUnreachable, match=r"no metrics at http://127\.0\.0\.1:9/metrics"):
        read_metrics("http://127.0.0.1:9/metrics")


def test_a_request_is_traced_step_by_step_and_tracing_ends(server):
    ended = threading.Event()

    def traffic():
        with RepositoryClient(server.grpc_url) as client:
            while not ended.wait(0.01):
                client.ask("described", {"frames": FRAMES}, ["words"], 10)

    asking = threading.Thread(target=traffic)
    asking.start()
    try:
        done = run("trace", "described", "--count", "2", "--url", server.grpc_url, "--json")
        shown = run("trace", "--url", server.grpc_url)
    finally:
        ended.set()
        asking.join()
    assert done.exit_code == 0, done.output
    traced = json.loads(done.stdout)
    assert len(traced) == 2
    for request in traced:
        assert request["model"] == "described"
        assert [step["model"] for step in request["steps"]] == ["frame_sum", "describe"]
        # A step is over when its request is released, which the next step need not wait for.
        computed = sum(step[f"{part}_ms"] for step in request["steps"] for part in ("queue", "input", "compute"))
        assert request["total_ms"] >= computed > 0
        for step in request["steps"]:
            parts = sum(step[f"{part}_ms"] for part in ("queue", "input", "compute", "output"))
            assert step["total_ms"] == pytest.approx(parts, rel=0.2, abs=1)
    assert shown.exit_code == 0
    for word in ("described", "frame_sum", "█"):
        assert word in shown.output
    with Observer(server.grpc_url) as observer:
        assert observer.trace_settings()["trace_level"] == ["OFF"]
        assert observer.trace_settings("described")["trace_level"] == ["OFF"]
    assert not list(server.log_path.parent.glob("*.trace.*"))


def test_without_a_request_there_is_no_trace(server):
    done = run("trace", "--seconds", "0.1", "--url", server.grpc_url)
    assert done.exit_code == 1
    assert "no request came" in done.output


def test_steps_of_steps_are_kept_and_halves_are_left_out():
    def entries(number, model, parent, *moments):
        about = {"id": number, "model_name": model, "model_version": 1} | ({"parent_id": parent} if parent else {})
        return [about, *({"id": number, "timestamps": [{"name": name, "ns": ns}]} for name, ns in moments)]

    found = spans(
        entries(3, "network", 2, ("REQUEST_START", 30), ("REQUEST_END", 40))
        + entries(2, "python", 1, ("REQUEST_START", 20), ("REQUEST_END", 50))
        + entries(1, "ensemble", None, ("REQUEST_START", 10), ("REQUEST_END", 60))
        + entries(4, "cut off", 1)
    )
    assert [span.model for span in found] == ["ensemble"]
    assert [step.model for step in found[0].steps] == ["python"]
    assert [step.model for step in found[0].steps[0].steps] == ["network"]
    assert found[0].steps[0].milliseconds("REQUEST_START", "REQUEST_END") == 3e-5
