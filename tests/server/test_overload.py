"""More to do than can be done: the rate limiter's slots, queues that are full, and waits that are too long."""

from __future__ import annotations

import os
import signal
import statistics
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
import tiny_models

from conftest import a_profile
from reelscope import settings
from reelscope.embedded import EmbeddedServer
from reelscope.errors import ModelUnavailable, Overloaded
from reelscope.inference import InferenceClient
from reelscope.signals import Shots
from reelscope.sources.ensemble import AskingSource
from reelscope.types import ClipHeader, Deadline
from reelscope.worker import Worker

PROFILE = settings.profile("rtx8000")
SIX = tuple(f"network_{k}" for k in range(6))
SLOTS, PRIORITY = PROFILE.slots, settings.model_settings(PROFILE)["object_yolov8"]["rate_limiter_priority"]


def ask(client, model, seconds):
    return client.ask(model, {"seconds": np.array([seconds], np.float32)}, ["span_seconds"], 30)


def most_at_once(spans):
    """Largest number of [began, ended) spans that hold one moment."""
    edges = sorted([(began, 1) for began, _ in spans] + [(ended, -1) for _, ended in spans])
    return max(np.cumsum([step for _, step in edges]))


@pytest.fixture(scope="module")
def limited(tmp_path_factory):
    """Six networks that share slots, and one for Qwen2-VL that has its own."""
    repository = tmp_path_factory.mktemp("limited")
    for name in SIX:
        tiny_models.write_holding(repository, name, slot="GPUSLOT", priority=PRIORITY)
    tiny_models.write_holding(repository, "vlm", slot="VLMSLOT")
    profile = replace(a_profile(), slots=SLOTS)
    with (
        EmbeddedServer(profile, models=[*SIX, "vlm"], repositories=[repository]) as server,
        InferenceClient(server.grpc_url) as client,
    ):
        assert not server.failed
        yield client


def test_executions_never_exceed_their_slots(limited):
    """Six models, ten requests of each under way, and the vision-language model beside them."""
    pending = [ask(limited, name, 0.02) for _ in range(10) for name in SIX]
    beside = [ask(limited, "vlm", 0.02) for _ in range(4)]
    spans = [each.result()["span_seconds"] for each in pending]
    of_vlm = [each.result()["span_seconds"] for each in beside]
    assert most_at_once(spans) == SLOTS["GPUSLOT"], "as many as may, and never more"
    assert most_at_once(of_vlm) == SLOTS["VLMSLOT"]
    # It need not wait for the networks, though it was asked last: they take 60 * 0.02 s over their slots at least.
    assert max(end for _, end in of_vlm) < sorted(end for _, end in spans)[len(spans) * 3 // 4]


def test_without_slots_nothing_is_limited(tmp_path):
    """The same configs on a server without the rate limiter: they serve, and all work at once."""
    more = SIX[: SLOTS["GPUSLOT"] + 1]
    for name in more:
        tiny_models.write_holding(tmp_path, name, slot="GPUSLOT", priority=PRIORITY)
    with (
        EmbeddedServer(a_profile(), models=more, repositories=[tmp_path]) as server,
        InferenceClient(server.grpc_url) as client,
    ):
        for each in [ask(client, name, 0) for name in more]:
            each.result()  # every process is awake
        spans = [each.result()["span_seconds"] for each in [ask(client, name, 0.3) for name in more]]
    assert most_at_once(spans) > SLOTS["GPUSLOT"]


@pytest.mark.slow
def test_the_vlms_time_is_unchanged_beside_six_busy_networks(limited):
    """At most 10 % longer, from the question to the answer, than alone: in one run, turn by turn."""

    def median_seconds(busy):
        times = []
        for _ in range(10):
            pending = [ask(limited, name, 0.3) for name in SIX] if busy else []
            began = time.monotonic()
            ask(limited, "vlm", 0.25).result()
            times.append(time.monotonic() - began)
            for each in pending:
                each.result()
        return statistics.median(times)

    alone, beside = median_seconds(busy=False), median_seconds(busy=True)
    print(f"vlm stand-in alone {alone * 1000:.1f} ms, beside six networks {beside * 1000:.1f} ms: {beside / alone:.3f}")
    assert beside / alone <= 1.1


@pytest.fixture(scope="module")
def queues(tmp_path_factory):
    """A server whose models have short queues."""
    repository = tmp_path_factory.mktemp("queues")
    tiny_models.write_holding(repository, "short", queue="max_queue_size: 1")
    tiny_models.write_holding(repository, "impatient", queue="default_timeout_microseconds: 500000")
    with EmbeddedServer(a_profile(), models=["short", "impatient"], repositories=[repository]) as server:
        with InferenceClient(server.grpc_url) as client:
            for name in ("short", "impatient"):
                ask(client, name, 0).result()  # the process is awake
        yield server


@pytest.fixture
def client(queues):
    with InferenceClient(queues.grpc_url) as connection:
        yield connection


def outcomes(pending):
    found = []
    for each in pending:
        try:
            found.append(each.result())
        except Exception as error:
            found.append(error)
    return found


def test_a_full_queue_is_overloaded(client):
    """One works, one waits, the others are refused at once."""
    found = outcomes([ask(client, "short", 0.4) for _ in range(6)])
    answered = [each for each in found if isinstance(each, dict)]
    refused = [each for each in found if isinstance(each, Overloaded)]
    assert len(answered) + len(refused) == 6
    assert 1 <= len(answered) <= 2, "a burst may find the first still in the queue"
    assert str(refused[0]).startswith("short: ")
    assert "Exceeds maximum queue size" in str(refused[0])
    assert "fewer clips at once" in str(refused[0])


def test_too_long_a_wait_in_the_queue_is_overloaded(client):
    """Triton's own timeout, not the call's: that one ends as DeadlineExceeded."""
    found = outcomes([ask(client, "impatient", 1.0) for _ in range(3)])
    assert sorted(type(each).__name__ for each in found) == ["Overloaded", "Overloaded", "dict"]
    refused = next(each for each in found if isinstance(each, Overloaded))
    assert "timeout expired" in str(refused).lower()


class Asked(AskingSource[int]):
    """Asks the model with the short queue about every part."""

    consumes = int
    ensemble, networks, outputs = "short", (), ("span_seconds",)

    def push(self, part):
        self.ask_about({"seconds": np.array([0.4], np.float32)}, part)

    def consume(self, about, answer):
        pass

    def finish(self, duration_seconds):
        self.drain()
        return Shots(sampling="FULL", sample_count=0, shots=())


def test_a_source_that_is_refused_asks_nothing_more_and_counts_it(client):
    """The signal fails with the reason `overloaded`; Triton's own counter shows that nothing was asked again."""
    filling = [ask(client, "short", 0.6) for _ in range(3)]
    source, deadline, ended = Asked(client, Deadline(30)), Deadline(30), threading.Event()
    worker = Worker(source, ended.set)
    worker.start(ClipHeader(width=2, height=2, frame_rate=30, base_frame_rate=10, hdr=None))
    for part in range(4):
        worker.offer(part, deadline)
    worker.end(1.0, deadline)
    assert ended.wait(30)
    assert worker.signal is None
    assert worker.error.code == "overloaded"
    assert worker.refused_calls == 1
    assert source.calls < 4, "once refused, nothing is asked about the parts that come later"
    assert any(isinstance(each, dict) for each in outcomes(filling)), "who was there first is answered"


def test_a_dead_server_is_not_overloaded(tmp_path):
    """Both come as UNAVAILABLE."""
    tiny_models.write_holding(tmp_path, "short", queue="max_queue_size: 1")
    with (
        EmbeddedServer(a_profile(), models=["short"], repositories=[tmp_path]) as server,
        InferenceClient(server.grpc_url) as client,
    ):
        pending = [ask(client, "short", 2) for _ in range(2)]
        os.kill(server.pid, signal.SIGKILL)
        found = outcomes([*pending, ask(client, "short", 0)])
    assert {type(each) for each in found} == {ModelUnavailable}
