"""The system's Chromium (Debian: apt install chromium), driven by Playwright. A machine without it skips such tests."""

from __future__ import annotations

import contextlib
import shutil

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
NEEDS_CHROMIUM = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium; Debian: apt install chromium")


@contextlib.contextmanager
def chromium():
    """A browser for the block. Until it ends, its thread has an event loop: `asyncio.run` is refused there."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


def violations(page):
    """What axe finds, as (rule, first element)."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return [(each["id"], each["nodes"][0]["html"][:160]) for each in found]
