"""Waiting for what a server or a gateway does by itself."""

from __future__ import annotations

import re
import time
import urllib.request


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
