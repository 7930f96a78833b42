"""The gateway with a real server: what it says of it, an analysis, and a job that is taken back."""

from __future__ import annotations

import time

import pytest
from live import gateway_over, pending, until

from places import DEMO
from reelscope import check
from reelscope.inference import RepositoryClient

HEALTH_SECONDS = 0.02
"""Longest that a warm answer may take, by the median of several."""


@pytest.fixture(scope="module")
def gateway(server, tmp_path_factory):
    with gateway_over(server, tmp_path_factory.mktemp("gateway")) as client:
        yield client


def healthy(gateway):
    health = gateway.get("/health")
    return health.json() if health.json()["status"] == "ok" else None


def test_health_is_true_to_the_server(gateway, server):
    """24 active analyzers and who their models are, in time; one whose model is unloaded is told from the others."""
    health = until(lambda: healthy(gateway), 60)
    assert (health["active_analyzers"], health["expected_analyzers"]) == (24, 24)
    models = until(lambda: gateway.get("/health").json()["analyzers"]["face_emotion"]["models"], 120)
    emotion = {model["name"]: model for model in models}
    assert {"face_detection_scrfd", "face_expression"} <= emotion.keys()
    for model in (emotion["face_detection_scrfd"], emotion["face_expression"]):
        assert (model["version"], model["trained"], model["precision"]) == ("1", False, "fp32")
        assert all(model[member] for member in ("source", "revision", "licence"))
    assert gateway.get("/readyz").status_code == 200
    times = []
    for _ in range(15):
        began = time.monotonic()
        assert gateway.get("/health").status_code == 200
        times.append(time.monotonic() - began)
    assert sorted(times)[7] < HEALTH_SECONDS
    with RepositoryClient(server.grpc_url) as control:
        control.unload_model("poses")
        try:
            health = until(lambda: None if (now := gateway.get("/health").json())["status"] == "ok" else now, 10)
        finally:
            control.load_model("poses", 60)
    assert (health["status"], health["active_analyzers"]) == ("degraded", 23)
    pose = health["analyzers"]["body_pose"]
    assert (pose["ready"], pose["reason"]) == (False, "poses: poses is not loaded (unloaded)")
    assert health["analyzers"]["object_detection"]["ready"]
    until(lambda: healthy(gateway), 10)


def test_the_predecessors_request_is_answered(gateway):
    answer = gateway.post("/analyze", json={"video_path": str(DEMO), "only": ["object_detection", "cut_analysis"]})
    assert answer.status_code == 200, answer.text
    values = answer.json()
    assert check.check(values) == []
    assert {found["status"] for found in values["analyzers"].values()} == {"ok"}


def test_a_deleted_job_is_taken_back_from_the_server(gateway, server):
    with DEMO.open("rb") as clip:
        form = {"files": {"video": ("clip.mp4", clip)}, "data": {"only": "text_overlay"}}
        job = gateway.post("/analyze?wait=false", **form).json()["id"]
    until(lambda: pending(server) > 0, 60)
    assert gateway.delete(f"/jobs/{job}").status_code == 204
    until(lambda: pending(server) == 0, 10)
    assert gateway.get(f"/jobs/{job}").status_code == 404
    assert list(gateway.app.state.gateway.configuration.scratch.iterdir()) == []
    assert not (gateway.app.state.gateway.configuration.clips / job).exists()
