"""What people and the predecessor's scripts do, with the real gateway, a real server and all 24 analyzers."""

from __future__ import annotations

import json
import shutil
import subprocess
import time

import pytest
from playwright.sync_api import expect

from benchmarks.page import gateway
from browser import NEEDS_CHROMIUM, chromium
from places import DEMO

pytestmark = pytest.mark.slow
JOB_SECONDS = 600
DONE = ".row:is([data-state='ok'], [data-state='random'])"


@pytest.fixture(scope="module")
def address(server, tmp_path_factory):
    """`reelscope serve` with the demo clip below its root, once it knows its server."""
    root = tmp_path_factory.mktemp("videos")
    shutil.copy(DEMO, root / "test1.mp4")
    with gateway("--root", str(root), url=server.grpc_url) as url:
        deadline = time.monotonic() + 60
        while curl(f"{url}/health")["status"] != "ok":
            assert time.monotonic() < deadline, "the gateway did not find its server"
            time.sleep(0.2)
        yield url, root


def curl(*arguments):
    command = ["curl", "--silent", "--show-error", "--max-time", str(JOB_SECONDS), *arguments]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def test_the_predecessors_two_lines(address):
    url, root = address
    assert curl(f"{url}/health")["active_analyzers"] == 24
    body = json.dumps({"video_path": str(root / "test1.mp4")})
    answer = curl("-X", "POST", f"{url}/analyze", "-H", "Content-Type: application/json", "-d", body)
    assert [each["status"] for each in answer["analyzers"].values()] == ["ok"] * 24


@NEEDS_CHROMIUM
def test_a_clip_is_dropped_analysed_and_looked_at(address):
    url, _ = address
    complaints = []
    with chromium() as browser:
        context = browser.new_context(viewport={"width": 1440, "height": 900})
        context.on("console", lambda message: complaints.append(message.text))
        context.on("weberror", lambda error: complaints.append(str(error.error)))
        context.on("request", lambda request: _leaves(request.url, url) and complaints.append(request.url))
        page = context.new_page()
        page.goto(url)
        page.wait_for_selector("html[data-ready]")
        page.set_input_files("#file", DEMO)
        page.get_by_role("button", name="Analyse", exact=True).click()
        expect(page.locator(DONE)).to_have_count(24, timeout=1000 * JOB_SECONDS)
        with context.expect_page() as opened:
            page.get_by_role("link", name="Open the report").click()
        report = opened.value
        report.wait_for_selector('.seg[data-segment="camera_analysis:5"]')
        assert report.get_by_role("heading", level=1).inner_text() == DEMO.name
        until(report, "document.getElementById('video').readyState >= 2")
        report.locator('.seg[data-segment="camera_analysis:5"]').click()
        until(report, "!document.getElementById('video').seeking")
        assert report.evaluate("document.getElementById('video').currentTime") == pytest.approx(5.5, abs=0.1)
        report.locator(".mark.cta").click()
        until(report, "Number(document.getElementById('overlay').dataset.drawn) > 0")
        report.get_by_label("Text", exact=True).uncheck()
        until(report, "Number(document.getElementById('overlay').dataset.drawn) === 0")
    assert complaints == []


def until(page, expression):
    """Wait; Playwright's own waiting evaluates strings in the page, which the report's policy forbids."""
    deadline = time.monotonic() + 20
    while not page.evaluate(expression):
        assert time.monotonic() < deadline, expression
        page.wait_for_timeout(50)


def _leaves(address, url):
    return not address.startswith((url, "blob:", "data:"))
