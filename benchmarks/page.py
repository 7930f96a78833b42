"""The gateway's page in Chromium: time until it can be used, and `/health` beside it.

Every time a fresh browser context without a cache opens the page of a gateway on this machine. The page can be used
when its scripts have run and health has been told. There is no Triton: the page asks for the same either way.

    python -m benchmarks.page
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright
from rich.console import Console

from benchmarks import milliseconds, record, summary

REPEATS = 20
START_SECONDS = 60.0
SCRIPT = """() => ({
    ready: performance.getEntriesByName('ready')[0].startTime,
    bytes: performance.getEntriesByType('resource').concat(performance.getEntriesByType('navigation'))
        .filter((each) => !/health|jobs/.test(each.name)).reduce((sum, each) => sum + each.encodedBodySize, 0),
})"""


ENDED = 143
"""Exit status of a gateway that was asked to end."""
NOWHERE = "127.0.0.1:9"
"""No Triton answers here."""


@contextlib.contextmanager
def gateway(*options: str, url: str = NOWHERE) -> Iterator[str]:
    """Address of a `reelscope serve` with these options over the Triton at `url`; it ends with the block."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory() as state:
        command = [str(Path(sys.executable).parent / "reelscope"), "serve", "--port", str(port), "--url", url, *options]
        process = subprocess.Popen(
            command, env={**os.environ, "REELSCOPE_STATE": state}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            end = time.monotonic() + START_SECONDS
            while not answers(f"{address}/livez"):
                if time.monotonic() > end:
                    raise TimeoutError(f"no gateway answers at {address}")
                time.sleep(0.1)
            yield address
        finally:
            process.terminate()
            status = process.wait(30)
    if status != ENDED:
        raise RuntimeError(f"the gateway ended with status {status}")


def answers(address: str) -> bool:
    """Whether anything answers; 503 is an answer."""
    try:
        urllib.request.urlopen(address, timeout=5).read()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


def opened(browser: Browser, address: str) -> dict[str, float]:
    """Open the page once."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(address)
    page.wait_for_selector("html[data-ready]")
    found: dict[str, float] = page.evaluate(SCRIPT)
    context.close()
    return found


def main() -> None:
    """Measure and record."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    with gateway() as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        found = [opened(browser, address) for _ in range(REPEATS + 1)][1:]
        browser.close()
        health = milliseconds(lambda: answers(f"{address}/health"), 50)
    page = summary([each["ready"] for each in found])
    path = record("page", {"page_interactive": page, "health": health, "page_bytes": round(found[0]["bytes"])})
    Console().print(f"page interactive {page['p50_ms']:.0f} ms, /health {health['p50_ms']:.1f} ms: {path}")


if __name__ == "__main__":
    main()
