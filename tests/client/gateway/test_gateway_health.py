"""What /health says of a server, from what the server says; no server is needed."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from gateways import configured

from reelscope import settings
from reelscope.analyzers import ANALYZERS
from reelscope.errors import ServerUnreachable, UsageError
from reelscope.gateway import health as health_module
from reelscope.gateway.health import STALE_SECONDS, Watch
from reelscope.inference import IndexRow
from reelscope.pipeline import needed_ensembles
from reelscope.rollout import ModelState

STATED = {
    "name": "pose",
    "source": "somewhere",
    "revision": "r1",
    "sha256": "ab" * 32,
    "licence": "AGPL-3.0",
    "trained": True,
    "precision": "fp32",
}


class Server:
    """A client of a server whose index the test writes; every ensemble but `poses` consists of nothing."""

    def __init__(self):
        names = (*needed_ensembles(ANALYZERS), "pose_yolov8")
        self.rows = {name: IndexRow(name, "1", "READY", "") for name in names}
        self.is_gone = False
        self.overviews = 0

    def repository_index(self):
        if self.is_gone:
            raise ServerUnreachable("nobody there")
        return list(self.rows.values())

    def overview(self, client):
        self.overviews += 1
        ensemble = {"config": {"platform": "ensemble"}, "provenance": {}, "used_by": ()}
        states = {name: ModelState(name=name, versions=(row,), **ensemble) for name, row in self.rows.items()}
        model = replace(states["pose_yolov8"], config={"backend": "x"}, used_by=("poses",), provenance={"p": STATED})
        return (*(state for name, state in states.items() if name != "pose_yolov8"), model)


@pytest.fixture
def server(monkeypatch):
    server = Server()
    monkeypatch.setattr(health_module, "overview", server.overview)
    return server


@pytest.fixture
def watch(tmp_path):
    return Watch(configured(tmp_path))


def look(watch, server):
    async def once():
        await watch._look_at_index(server)
        await watch._look_at_models(server)

    asyncio.run(once())
    return watch.health(0, 0)


def test_before_the_first_look_nothing_is_claimed(watch):
    found = watch.health(2, 1)
    assert (found["status"], found["server"]["checked_s_ago"]) == ("unavailable", None)
    assert (found["jobs_queued"], found["jobs_running"]) == (2, 1)


def test_all_are_ready(watch, server):
    found = look(watch, server)
    assert (found["status"], found["active_analyzers"], found["expected_analyzers"]) == ("ok", 24, 24)
    assert list(found["analyzers"]) == [analyzer.name for analyzer in ANALYZERS]
    members = {name: value for name, value in STATED.items() if name != "name"}
    assert found["analyzers"]["body_pose"]["models"] == [{"name": "pose_yolov8", "version": "1", **members}]
    assert found["analyzers"]["cut_analysis"]["models"] == []
    assert found["analyzers"]["face_emotion"]["biometric"]


def test_an_ensemble_whose_model_was_unloaded_does_not_serve(watch, server):
    look(watch, server)
    server.rows["pose_yolov8"] = IndexRow("pose_yolov8", "1", "UNAVAILABLE", "unloaded")
    found = look(watch, server)
    assert (found["status"], found["active_analyzers"]) == ("degraded", 23)
    pose = found["analyzers"]["body_pose"]
    assert (pose["ready"], pose["reason"]) == (False, "poses: pose_yolov8 is not loaded (unloaded)")


def test_evidence_that_is_missing_leaves_an_analyzer_ready(watch, server):
    del server.rows["text_regions"]
    found = look(watch, server)
    products = found["analyzers"]["product_detection"]
    assert (products["ready"], products["missing_inputs"]) == (True, ["text_regions"])
    assert found["analyzers"]["text_overlay"]["reason"] == "text_regions: text_regions was never loaded"


def test_a_server_that_goes_and_comes_back_is_asked_anew(watch, server):
    look(watch, server)
    look(watch, server)
    assert server.overviews == 1, "who the models are is asked when something has changed"
    server.is_gone = True
    found = look(watch, server)
    assert (found["status"], found["server"]["live"], found["server"]["reason"]) == (
        "unavailable",
        False,
        "nobody there",
    )
    assert found["active_analyzers"] == 9, "those that need no server"
    assert found["analyzers"]["body_pose"]["models"] == []
    server.is_gone = False
    assert look(watch, server)["status"] == "ok"
    assert server.overviews == 2


def test_a_server_that_hangs_is_not_live(watch, server, monkeypatch):
    look(watch, server)
    watch._seen.at -= STALE_SECONDS + 1
    found = watch.health(0, 0)
    assert (found["status"], found["server"]["live"]) == ("unavailable", False)
    assert found["server"]["reason"] == "has not answered for 31 s"


def test_without_biometrics_fewer_analyzers_are_expected(tmp_path, server):
    watch = Watch(configured(tmp_path, profile=settings.profile("cpu", biometrics=False)))
    found = look(watch, server)
    assert (found["status"], found["active_analyzers"], found["expected_analyzers"]) == ("ok", 20, 20)


def test_the_watch_outlives_what_it_did_not_expect(watch, server, monkeypatch):
    monkeypatch.setattr(health_module, "LOOK_SECONDS", 0.001)
    monkeypatch.setattr(health_module, "RepositoryClient", lambda url: server)
    server.close = lambda: None
    calls = []

    def index():
        calls.append(1)
        if len(calls) == 1:
            raise ZeroDivisionError
        return list(server.rows.values())

    monkeypatch.setattr(server, "repository_index", index)

    async def run():
        task = asyncio.create_task(watch.run())
        while not watch.is_live:
            await asyncio.sleep(0.001)
        task.cancel()

    asyncio.run(asyncio.wait_for(run(), 5))
    assert len(calls) >= 2


def test_models_that_are_expected_and_no_others(watch, server, monkeypatch):
    """A version that the server only remembers is no fault; one that it should serve and never loaded is."""
    expected = {"poses": ("1",), "pose_yolov8": ("1", "2"), "never_loaded": ("1",), "whichever": ("",)}
    monkeypatch.setattr(health_module, "expected_models", lambda profile: expected)
    server.rows["old"] = IndexRow("pose_yolov8", "0", "UNAVAILABLE", "unloaded")
    server.rows["new"] = IndexRow("whichever", "7", "READY", "")
    server.rows["poses"] = IndexRow("poses", "1", "UNAVAILABLE", "unloaded")
    look(watch, server)
    assert watch.models() == {
        ("poses", "1"): False,
        ("pose_yolov8", "1"): True,
        ("pose_yolov8", "2"): False,
        ("never_loaded", "1"): False,
        ("whichever", "any"): True,
    }
    server.is_gone = True
    look(watch, server)
    assert not any(watch.models().values())


def test_a_repository_that_cannot_be_read_leaves_the_rest(watch, server, monkeypatch):
    def unreadable(profile):
        raise UsageError("no such model")

    monkeypatch.setattr(health_module, "expected_models", unreadable)
    assert look(watch, server)["status"] == "ok"
    assert watch.models() == {}
