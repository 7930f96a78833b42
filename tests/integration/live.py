"""A gateway over a running server, and waiting for what either does by itself."""

from __future__ import annotations

import re
import time
import urllib.request

from starlette.testclient import TestClient

from places import DEMO
from reelscope import settings
from reelscope.gateway.app import create_app
from reelscope.gateway.configuration import Configuration


def gateway_over(server, folder):
    """A client of a gateway that keeps its things in `folder`; a context."""
    configuration = Configuration(
        folder=folder, profile=settings.profile("cpu"), url=server.grpc_url, roots=(DEMO.parent.resolve(),)
    )
    return TestClient(create_app(configuration), base_url="http://localhost:8003")


def until(condition, seconds):
    """The first answer of `condition` that is true."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.05)
    return found


def pending(server):
    """Requests that Triton has and has not answered, over all models."""
    text = urllib.request.urlopen(server.metrics_url, timeout=10).read().decode()
    return sum(float(value) for value in re.findall(r"^nv_inference_pending_request_count\{.*\} (\S+)$", text, re.M))
