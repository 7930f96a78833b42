"""Gateways for tests: with a runner that the test conducts in place of the processes that analyse."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from dataclasses import dataclass, field
from typing import Any

from starlette.testclient import TestClient

from reelscope import settings
from reelscope.gateway.app import create_app
from reelscope.gateway.configuration import Configuration
from reelscope.gateway.problems import Problem

NOWHERE = "127.0.0.1:9"
"""No Triton server answers here."""
ROUTES = [
    ("GET", "/livez"),
    ("GET", "/readyz"),
    ("GET", "/health"),
    ("GET", "/metrics"),
    ("POST", "/analyze"),
    ("GET", "/jobs"),
    ("GET", "/jobs/{job_id}"),
    ("DELETE", "/jobs/{job_id}"),
    ("GET", "/jobs/{job_id}/events"),
    ("GET", "/jobs/{job_id}/results"),
    ("GET", "/jobs/{job_id}/clip"),
    ("GET", "/jobs/{job_id}/report"),
    ("GET", "/jobs/{job_id}/captions.srt"),
    ("GET", "/jobs/{job_id}/captions.vtt"),
]
OUTCOME = {
    "name": "cut_analysis",
    "title": "where the clip is cut",
    "status": "ok",
    "reason": None,
    "message": None,
    "headline": "1 cut",
    "n_segments": 1,
    "wall_ms": 12.5,
    "models": [{"name": "some_model", "trained": False}],
    "warnings": ["untrained_model:shots"],
    "summary": {"n_cuts": 1},
}
RESULTS = {"schema": "reelscope/1", "run": {}, "media": {"sha256": ""}, "shots": [], "tracks": {}, "analyzers": {}}


@dataclass
class Conducted:
    """A runner that tells two events and then does what the test says; remembers what it was asked."""

    results: Any = field(default_factory=lambda: RESULTS)
    problem: Problem | Exception | None = None
    holds: bool = False
    """Whether it waits for `release`, or for being cancelled."""
    asked: list[Any] = field(default_factory=list)
    cancelled: int = 0

    async def __call__(self, analysis, report):
        self.asked.append(analysis)
        self._released = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        try:
            await report("progress", {"stage": "decode", "share": 0.5})
            await report("analyzer", OUTCOME)
            if self.holds:
                await self._released.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.problem:
            raise self.problem
        return json.dumps(self.results).encode()

    def release(self):
        """Let the job that waits end; called from the test's thread."""
        self._loop.call_soon_threadsafe(self._released.set)


def configured(folder, **changes):
    """A gateway that keeps its jobs below `folder` and reads clips from `folder`/root."""
    (folder / "root").mkdir(exist_ok=True)
    return Configuration(
        **{
            "folder": folder / "gateway",
            "profile": settings.profile("cpu"),
            "url": NOWHERE,
            "roots": ((folder / "root").resolve(),),
        }
        | changes
    )


@contextlib.contextmanager
def gateway(folder, runner, *, report=None, base_url="http://localhost:8003", **changes):
    """A client of a gateway that runs for the block."""
    app = create_app(configured(folder, **changes), runner=runner, **({"build_report": report} if report else {}))
    with TestClient(app, base_url=base_url) as client:
        yield client


def events(text):
    """Server-sent events as (kind, data, id)."""
    found = []
    for block in filter(None, text.split("\n\n")):
        lines = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if lines:
            found.append((lines["event"], json.loads(lines["data"]), lines.get("id")))
    return found


def state_of(client, job_id):
    return client.get(f"/jobs/{job_id}").json()["state"]


def started(client, path="a.mp4", **options):
    """Start a job for a clip below the root without waiting; returns its id."""
    answer = client.post("/analyze?wait=false", json={"video_path": path, **options})
    assert answer.status_code == 202, answer.text
    return answer.json()["id"]


def until(condition, seconds=10.0):
    """Wait until a condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.01)
