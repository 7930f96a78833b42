"""Real processes: one per job, its end, its crash; and the gateway's own, killed in the middle of a job."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest
from gateways import NOWHERE, until

import clips
from reelscope import check, decode
from reelscope.gateway.problems import Problem
from reelscope.gateway.runner import Analysis, ProcessRunner, report_by_process

REELSCOPE = Path(sys.executable).parent / "reelscope"


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return clips.write(tmp_path_factory.mktemp("clips") / "a.mp4", clips.shots((6,), 12))


def analysis(clip, **changes):
    values = {
        "clip": str(clip),
        "profile": "cpu",
        "biometrics": True,
        "only": ["color_analysis", "cut_analysis"],
        "detail": "standard",
        "budget_seconds": 60.0,
        "max_seconds": 60.0,
        "url": NOWHERE,
        "request_id": "asked",
        "trace": {},
    }
    return Analysis(**values | changes)


def children(of=None):
    """Processes that this one, or another, has started and that have not ended."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == (of or os.getpid()) and fields[0] not in "ZX":
            found.append(int(stat.parent.name))
    return found


def jobs_of(pid=None):
    found = []
    for child in children(pid):
        try:
            command = Path(f"/proc/{child}/cmdline").read_bytes()
        except OSError:
            continue
        if b"reelscope.gateway.analysis" in command:
            found.append(child)
    return found


def run(folder, asked, during=None):
    """What the runner returns, and what it tells; `during` runs beside it."""
    told = []

    async def report(kind, body):
        told.append((kind, body))

    async def both():
        task = asyncio.create_task(ProcessRunner(folder)(asked, report))
        if during:
            await during(task)
        return await task

    return asyncio.run(both()), told


def test_a_process_analyses_one_clip(tmp_path, clip):
    found, told = run(tmp_path, analysis(clip))
    values = json.loads(found)
    assert check.check(values) == []
    outcomes = {body["name"]: body for kind, body in told if kind == "analyzer"}
    assert set(outcomes) == set(values["analyzers"]) == {"color_analysis", "cut_analysis"}
    cuts = outcomes["cut_analysis"]
    assert (cuts["status"], cuts["n_segments"]) == ("ok", len(values["analyzers"]["cut_analysis"]["segments"]))
    assert cuts["summary"] == values["analyzers"]["cut_analysis"]["summary"]
    assert cuts["headline"].startswith("1 cut")
    progress = [(body["stage"], body["share"]) for kind, body in told if kind == "progress"]
    assert ("decode", 1.0) in progress
    assert ("cut_analysis", 1.0) in progress
    assert list(tmp_path.iterdir()) == []
    assert jobs_of() == []


def test_a_clip_that_cannot_be_read_is_refused_as_everywhere(tmp_path):
    playlist = tmp_path / "a.mp4"
    playlist.write_text("#EXTM3U\n#EXTINF:1,\n/etc/passwd\n#EXT-X-ENDLIST\n")
    (tmp_path / "scratch").mkdir()
    with pytest.raises(Problem) as caught:
        # Whether a server answers is not asked before the clip could be read.
        run(tmp_path / "scratch", analysis(playlist, only=None))
    assert (caught.value.code, caught.value.status) == ("input_unreadable", 422)
    assert list((tmp_path / "scratch").iterdir()) == []


def test_without_a_server_what_needs_one_is_refused(tmp_path, clip):
    with pytest.raises(Problem) as caught:
        run(tmp_path, analysis(clip, only=["body_pose"]))
    assert (caught.value.code, caught.value.status) == ("server_unreachable", 503)


def test_a_process_that_is_killed_costs_its_job(tmp_path, clip):
    async def kill(task):
        while not (found := jobs_of()):
            await asyncio.sleep(0.01)
        os.kill(found[0], signal.SIGKILL)

    with pytest.raises(Problem, match="was ended by SIGKILL") as caught:
        run(tmp_path, analysis(clip), kill)
    assert caught.value.code == "job_crashed"
    assert list(tmp_path.iterdir()) == []


def test_a_job_that_is_cancelled_ends_its_process(tmp_path, clip):
    async def cancel(task):
        while not jobs_of():
            await asyncio.sleep(0.01)
        task.cancel()

    with pytest.raises(asyncio.CancelledError):
        run(tmp_path, analysis(clip), cancel)
    assert jobs_of() == []
    assert list(tmp_path.iterdir()) == []


def test_a_process_that_takes_too_long_is_ended(tmp_path, clip, monkeypatch):
    monkeypatch.setattr("reelscope.gateway.runner.GRACE_SECONDS", 0.0)
    with pytest.raises(Problem) as caught:
        run(tmp_path, analysis(clip, budget_seconds=0.2))
    assert (caught.value.code, caught.value.status) == ("deadline_exceeded", 504)
    assert jobs_of() == []


@contextmanager
def serving(state, *options):
    """`reelscope serve` as a user starts it, on a free port; yields its process and a client."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    log = (state.parent / "log").open("ab")
    command = [REELSCOPE, "serve", "--port", port, "--url", NOWHERE, *options]
    environment = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], "REELSCOPE_STATE": str(state)}
    process = subprocess.Popen(list(map(str, command)), env=environment, stderr=log, stdout=log)
    try:
        with httpx2.Client(base_url=f"http://localhost:{port}", timeout=60) as client:
            yield process, client, port
    finally:
        if process.poll() is None:
            process.terminate()
            assert process.wait(30) == 143, (state.parent / "log").read_text()
        log.close()


def curl(*arguments):
    done = subprocess.run(["curl", "-s", *map(str, arguments)], capture_output=True, text=True, check=True, timeout=60)
    return json.loads(done.stdout)


def test_a_gateway_that_is_killed_states_what_it_did(tmp_path, clip):
    """As a user: the predecessor's lines, a job, kill -9 in the middle of one, and again from where it was."""
    state, options = tmp_path / "state", ("--root", clip.parent)
    with serving(state, *options) as (process, client, port):
        until(lambda: _answers(client), 30)
        health = curl(f"http://localhost:{port}/health")
        assert (health["status"], health["expected_analyzers"]) == ("unavailable", 24)
        asked = json.dumps({"video_path": str(clip), "only": ["cut_analysis"]})
        address, header = f"http://localhost:{port}/analyze", "Content-Type: application/json"
        values = curl("-X", "POST", address, "-H", header, "-d", asked)
        assert values["analyzers"]["cut_analysis"]["status"] == "ok"
        second = subprocess.run(
            [REELSCOPE, "serve", "--url", NOWHERE, "--port", "1"],
            env={"PATH": os.environ["PATH"], "REELSCOPE_STATE": str(state), "COLUMNS": "300"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert second.returncode == 2
        assert "another gateway keeps its jobs there" in second.stderr
        with clip.open("rb") as file:
            form = {"files": {"video": ("a.mp4", file)}, "data": {"only": "cut_analysis"}}
            running = client.post("/analyze?wait=false", **form).json()["id"]
            file.seek(0)
            waiting = client.post("/analyze?wait=false", **form).json()["id"]
        until(lambda: jobs_of(process.pid))
        (worker,) = jobs_of(process.pid)
        process.kill()
        process.wait()
    until(lambda: not Path(f"/proc/{worker}").exists(), 30)
    with serving(state, *options) as (process, client, port):
        until(lambda: _answers(client), 30)
        job = client.get(f"/jobs/{running}").json()
        assert (job["state"], job["problem"]["code"]) == ("interrupted", "interrupted")
        until(lambda: client.get(f"/jobs/{waiting}").json()["state"] == "completed", 30)
        for job in (running, waiting):
            assert client.delete(f"/jobs/{job}").status_code == 204
        assert client.get("/jobs").json()["total"] == 1
    left = [path.relative_to(state) for path in state.rglob("*") if path.is_file()]
    assert sorted(map(str, left)) == ["gateway/jobs.sqlite", "gateway/lock"]


def _answers(client):
    try:
        return client.get("/livez").status_code == 200
    except httpx2.TransportError:
        return False


REPORT = """
import json, os, sys, types

def build(values, clip, *, name, address):
    if values["asked"] == "crash":
        os.kill(os.getpid(), 11)
    if values["asked"] == "refuse":
        from reelscope.errors import ResultsError
        raise ResultsError("no results")
    from reelscope.decode import sha256
    from reelscope.errors import UsageError
    if clip and sha256(clip) != values["media"]["sha256"]:
        raise UsageError("another clip")
    print("libraries print what they like")
    return f"<!doctype html>{values['asked']} {name} {address} {clip}"

sys.modules["reelscope.report"] = types.SimpleNamespace(build=build)
"""


@pytest.fixture
def report(tmp_path, monkeypatch):
    """A stand-in for `reelscope.report`, known to every process that is spawned."""
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "sitecustomize.py").write_text(REPORT, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "modules"))

    def make(asked, clip, digest=""):
        values = {"asked": asked, "media": {"sha256": digest}}
        return asyncio.run(report_by_process(json.dumps(values).encode(), clip, "holiday.mp4"))

    return make


def test_a_report_is_made_in_a_process_of_the_clip_that_was_analysed(report, clip):
    assert report("ü", clip, decode.sha256(clip)) == f"<!doctype html>ü holiday.mp4 clip {clip}"
    assert report("of another", clip) == "<!doctype html>of another holiday.mp4 clip None"


def test_a_report_that_fails_costs_itself(report, clip):
    with pytest.raises(Problem, match="was ended by SIGSEGV") as caught:
        report("crash", clip)
    assert caught.value.code == "job_crashed"
    with pytest.raises(Problem, match="no results"):
        report("refuse", clip)
