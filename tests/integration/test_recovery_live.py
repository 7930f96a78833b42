"""A gateway over a server that dies: what it says of it, what becomes of the jobs, and that the next are answered."""

from __future__ import annotations

import contextlib
import json
import os
import signal

import pytest
from live import gateway_over, pending, until

from places import DEMO
from reelscope import settings
from reelscope.embedded import EmbeddedServer
from reelscope.embedded.supervisor import stubs_of

ANALYZER = "face_emotion"
SECONDS = 90


@pytest.fixture(scope="module")
def recovering(environment):
    """A server of its own with the networks for faces; it is started again when it dies."""
    profile = settings.profile("cpu")
    models = [name for name in profile.models if name.startswith("face_")]
    with EmbeddedServer(profile, models=models, recovers=True) as running:
        yield running


@pytest.fixture(scope="module")
def gateway(recovering, tmp_path_factory):
    with gateway_over(recovering, tmp_path_factory.mktemp("gateway")) as client:
        until(lambda: ready(client), SECONDS)
        yield client


def ready(gateway):
    return gateway.get("/health").json()["analyzers"][ANALYZER]["ready"]


def supervised(server):
    return json.loads(server.state_path.read_text())


@contextlib.contextmanager
def halted(process):
    """What it would mend stays broken: a server is back within a second, which who looks once in a second can miss."""
    os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process, signal.SIGCONT)


def begun(gateway):
    """The id of a new job."""
    with DEMO.open("rb") as clip:
        form = {"files": {"video": ("clip.mp4", clip)}, "data": {"only": ANALYZER}}
        return gateway.post("/analyze?wait=false", **form).json()["id"]


def outcome(gateway, job):
    """Status and reason of the analyzer, once the job has ended."""
    until(lambda: gateway.get(f"/jobs/{job}").json()["ended"], SECONDS)
    answer = gateway.get(f"/jobs/{job}/results")
    assert answer.status_code == 200, answer.text
    found = answer.json()["analyzers"][ANALYZER]
    return found["status"], found["reason"]


def test_a_killed_server_costs_the_job_at_work_and_not_the_next(gateway, recovering):
    job = begun(gateway)
    until(lambda: pending(recovering) > 0, SECONDS)
    with halted(recovering.supervisor.pid):
        os.kill(supervised(recovering)["server_pid"], signal.SIGKILL)
        until(lambda: gateway.get("/health").json()["status"] == "unavailable", SECONDS)
        assert gateway.get("/readyz").status_code == 503
    assert outcome(gateway, job) == ("failed", "model_unavailable")
    until(lambda: ready(gateway), SECONDS)
    event = supervised(recovering)["events"][-1]
    assert event["what"] == "tritonserver ended by itself, status -9"
    assert event["seconds"] is not None
    assert outcome(gateway, begun(gateway)) == ("ok", None)


def test_a_killed_stub_is_back_for_the_next_job(gateway, recovering):
    before = supervised(recovering)
    (stub,) = (pid for name, pid in stubs_of(before["server_pid"]).items() if name.startswith("face_crops_"))
    os.kill(stub, signal.SIGKILL)
    until(lambda: len(supervised(recovering)["events"]) == len(before["events"]) + 1, SECONDS)
    event = supervised(recovering)["events"][-1]
    assert event["what"] == "face_crops: its process is gone"
    assert event["seconds"] is not None
    assert outcome(gateway, begun(gateway)) == ("ok", None)
