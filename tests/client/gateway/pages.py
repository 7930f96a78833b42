"""Gateways that listen, for tests of the page: analyzers finish one by one, as far as the test lets them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
import time

import uvicorn
from gateways import RESULTS, configured, until

from reelscope.analyzers import ANALYZERS
from reelscope.gateway import app as gateway_app
from reelscope.gateway.health import Watch

HOSTILE = "<img src=x onerror=window.hacked=1>"
REPORT = "<!doctype html><title>report</title><h1>The report</h1>"


class Served(Watch):
    """Sees a server that serves everything."""

    is_live = True

    async def run(self):
        self._seen.reason, self._seen.at = None, time.monotonic()
        await asyncio.Event().wait()

    def _wanting(self, ensembles):
        return {}


def outcomes():
    """What 24 analyzers find: one says nothing that can be relied on, one fails, one is left out."""
    return [_outcome(analyzer) for analyzer in ANALYZERS]


def _outcome(analyzer):
    found = {
        "name": analyzer.name,
        "title": analyzer.title,
        "status": "ok",
        "reason": None,
        "message": None,
        "headline": f"{analyzer.name} found something",
        "n_segments": 1,
        "wall_ms": 12.5,
        "models": [],
        "warnings": [],
        "summary": {},
    }
    special = {
        "color_analysis": {"headline": "#9f5332 #2e516b, middle key"},
        "object_detection": {"models": [{"name": "object_yolov8", "trained": False}]},
        "text_overlay": {"headline": f"reads {HOSTILE}"},
        "age_estimation": {"summary": {"sensitive": True}},
        "camera_analysis": {
            "status": "failed",
            "reason": "x",
            "message": "it failed",
            "headline": None,
            "summary": None,
        },
        "eye_tracking": {"status": "skipped", "reason": "x", "message": "no faces", "headline": None, "summary": None},
        "speech_transcription": {"models": [{"name": "speech_whisper", "trained": True}]},
    }
    return found | special.get(analyzer.name, {})


class Paced:
    """A runner that tells all outcomes, or, until it is released, as many as it `holds_after`."""

    def __init__(self):
        self.holds_after = None
        self.problem = None
        self.asked = []
        self.cancelled = 0
        self.released = threading.Event()

    async def __call__(self, analysis, report):
        self.asked.append(analysis)
        try:
            await report("progress", {"stage": "decode", "share": 1.0})
            told = [each for each in outcomes() if not analysis.only or each["name"] in analysis.only]
            for count, outcome in enumerate(told):
                while count == self.holds_after and not self.released.is_set():
                    await asyncio.sleep(0.02)
                if self.problem:
                    raise self.problem
                await report("progress", {"stage": "signals", "share": (count + 1) / len(told)})
                await report("analyzer", outcome)
            return json.dumps(RESULTS).encode()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise


async def report_of(results, clip, name):
    return REPORT


@contextlib.contextmanager
def listening(folder, runner, *, port=0, has_server=True, **changes):
    """A gateway on 127.0.0.1 for the block; gives its address. Its jobs stay in `folder`."""
    with contextlib.ExitStack() as stack:
        watch, gateway_app.Watch = gateway_app.Watch, Served if has_server else Watch
        try:
            app = gateway_app.create_app(configured(folder, **changes), runner=runner, build_report=report_of)
        finally:
            gateway_app.Watch = watch
        ear = stack.enter_context(socket.create_server(("127.0.0.1", port)))
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=1))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [ear]})
        thread.start()
        try:
            until(lambda: server.started)
            yield f"http://127.0.0.1:{ear.getsockname()[1]}"
        finally:
            app.state.gateway.jobs.dismiss()
            server.should_exit = True
            thread.join()
