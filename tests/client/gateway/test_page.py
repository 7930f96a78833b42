"""The page in a real browser, against a gateway that listens: from the clip to the report, and whatever goes wrong."""

from __future__ import annotations

import contextlib
import json
import re

import pytest
from gateways import RESULTS
from pages import HOSTILE, Paced, listening
from playwright.sync_api import expect

from browser import NEEDS_CHROMIUM, chromium, violations
from places import DEMO
from reelscope.gateway.problems import Problem

pytestmark = NEEDS_CHROMIUM

DESKTOP, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}
DONE = ".row:is([data-state='ok'], [data-state='random'], [data-state='failed'], [data-state='skipped'])"


@pytest.fixture(scope="module")
def browser():
    with chromium() as found:
        yield found


@pytest.fixture
def runner():
    made = Paced()
    yield made
    made.released.set()


@pytest.fixture
def listen(runner, tmp_path):
    """Start a gateway, which outlives the pages: they would complain of one that is gone."""
    with contextlib.ExitStack() as stack:
        yield lambda **changes: stack.enter_context(listening(tmp_path, runner, **changes))


@pytest.fixture
def opened(browser, listen):
    """Open a page; afterwards nothing was complained of but what the test expects, and nothing left this machine."""
    contexts, complaints, expected = [], [], []

    def open_page(address, *expects, viewport=DESKTOP, **options):
        context = browser.new_context(viewport=viewport, **options)
        contexts.append(context)
        expected.extend(expects)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: _leaves(request.url) and complaints.append(request.url))
        page.goto(address)
        page.wait_for_selector("html[data-ready]")
        return page

    yield open_page
    hacked = [page.evaluate("window.hacked") for context in contexts for page in context.pages]
    for context in contexts:
        context.close()
    assert [each for each in complaints if not any(text in each for text in expected)] == []
    assert not any(hacked)


def _leaves(url):
    return not url.startswith(("http://127.0.0.1:", "blob:", "data:"))


def seen(page, selector, count):
    expect(page.locator(selector)).to_have_count(count, timeout=10_000)


def analyze(page, clip=DEMO):
    page.set_input_files("#file", clip)
    page.get_by_role("button", name="Analyse", exact=True).click()


def says(page, analyzer):
    return page.locator(f"[data-analyzer='{analyzer}']").inner_text()


def test_from_the_clip_to_the_report(opened, runner, listen):
    runner.holds_after = 11
    address = listen()
    page = opened(address, accept_downloads=True)
    assert page.locator("#health-says").inner_text() == "24 of 24 analyzers ready"
    seen(page, ".row[data-state='idle']", 24)
    analyze(page)
    seen(page, DONE, 11)
    assert "11 of 24 analyzers done" in page.locator("#job-stage").inner_text()
    expect(page.locator("#live")).to_have_text(re.compile("^11 of 24 analyzers done"))
    expect(page.locator("#job-title")).to_be_focused()
    page.reload()
    seen(page, DONE, 11)
    runner.released.set()
    seen(page, DONE, 24)
    page.get_by_role("link", name="Open the report").wait_for()
    assert "24 analyzers done in" in page.locator("#job-summary").inner_text()
    assert "22 ok, 1 skipped, 1 failed" in page.locator("#job-summary").inner_text()
    assert "1 analyzer rests on random weights" in page.locator("#job-random").inner_text()
    assert page.locator("#live").inner_text().startswith("Finished.")
    assert "random weights" in says(page, "object_detection")
    assert "object_detection found something" not in says(page, "object_detection")
    assert "cut_analysis found something" in says(page, "cut_analysis").lower()
    assert HOSTILE in says(page, "text_overlay")
    assert "It failed" in says(page, "camera_analysis")
    assert page.locator("[data-analyzer='color_analysis'] .swatch").count() == 2
    with page.context.expect_page() as report:
        page.get_by_role("link", name="Open the report").click()
    assert report.value.get_by_role("heading").inner_text() == "The report"
    with page.expect_download() as download:
        page.get_by_role("link", name="Results (JSON)").click()
    assert download.value.suggested_filename == "clip.results.json"
    assert json.loads(download.value.path().read_text("utf-8")) == RESULTS
    assert page.get_by_role("link", name="Captions (SRT)").get_attribute("href").endswith("/captions.srt")
    page.get_by_role("link", name="Analyse another clip").click()
    expect(page.locator("#start-title")).to_be_focused()
    page.get_by_role("link", name="clip.mp4", exact=True).click()
    seen(page, DONE, 24)


def test_what_is_asked_for_is_what_runs(opened, runner, listen, tmp_path):
    address = listen()
    (tmp_path / "root" / "a.mp4").write_bytes(b"no clip, but nobody looks at it")
    page = opened(address)
    page.get_by_text("Use a clip on the server instead").click()
    page.get_by_label("Path below one of").fill("a.mp4")
    page.get_by_text("Options:").click()
    page.get_by_role("button", name="None").click()
    page.get_by_label("Cuts").check()
    page.get_by_label("Colours").check()
    page.get_by_label("Full detail").check()
    page.get_by_label("Judge nobody by face or voice").check()
    assert page.locator("#options-say").inner_text() == "2 analyzers, no biometrics, full detail"
    page.get_by_label("Path below one of").press("Enter")
    page.get_by_role("link", name="Open the report").wait_for()
    seen(page, ".row[data-state='unasked']", 22)
    assert "No captions" in page.locator("#job-note").inner_text()
    (asked,) = runner.asked
    assert (sorted(asked.only), asked.detail, asked.biometrics) == (["color_analysis", "cut_analysis"], "full", False)


def test_a_file_is_dropped_whatever_it_is_called(opened, runner, listen):
    address = listen()
    page = opened(address)
    transfer = page.evaluate_handle(
        """(name) => {
            const transfer = new DataTransfer();
            transfer.items.add(new File(['no clip'], name, { type: 'video/mp4' }));
            return transfer;
        }""",
        f"{HOSTILE}.mp4",
    )
    page.dispatch_event("body", "dragover", {"dataTransfer": transfer})
    assert page.locator("#curtain").is_visible()
    page.dispatch_event("body", "drop", {"dataTransfer": transfer})
    assert page.locator("#chosen-name").inner_text() == f"{HOSTILE}.mp4"
    page.keyboard.press("Enter")  # the focus is on Analyse
    page.get_by_role("link", name="Open the report").wait_for()
    assert page.locator("#job-title").inner_text() == f"{HOSTILE}.mp4"
    page.locator(".job-list .job-name").filter(has_text=HOSTILE).wait_for()


def test_a_job_is_cancelled(opened, runner, listen, tmp_path):
    runner.holds_after = 3
    address = listen()
    page = opened(address)
    analyze(page)
    seen(page, DONE, 3)
    page.get_by_role("button", name="Cancel").click()
    page.get_by_text("Nothing of the clip is kept.").wait_for()
    assert page.locator("#jobs-none").is_visible()
    assert runner.cancelled == 1
    assert not list((tmp_path / "gateway" / "clips").iterdir())


def test_a_full_queue_is_waited_for(opened, runner, listen, tmp_path):
    runner.holds_after = 0
    address = listen(queue_length=1)
    (tmp_path / "root" / "a.mp4").write_bytes(b"no clip, but nobody looks at it")
    page = opened(address, "429")
    for _ in range(2):
        assert page.request.post(f"{address}/analyze?wait=false", data={"video_path": "a.mp4"}).status == 202
    analyze(page)
    page.get_by_text("The queue is full. Trying again in").first.wait_for()
    page.get_by_role("button", name="Cancel").click()
    page.get_by_text("Nothing of the clip is kept.").wait_for()
    analyze(page)
    page.get_by_text("The queue is full. Trying again in").first.wait_for()
    runner.released.set()
    seen(page, ".job-list .job-completed", 2)
    page.get_by_role("button", name="Try again").click()
    page.get_by_role("link", name="Open the report").wait_for()


def test_a_job_is_deleted_after_a_question(opened, runner, listen):
    address = listen()
    page = opened(address)
    analyze(page)
    page.get_by_role("button", name="Delete", exact=True).wait_for()
    page.get_by_role("button", name="Delete", exact=True).click()
    assert "Delete clip.mp4?" in page.get_by_role("dialog").inner_text()
    page.keyboard.press("Enter")  # the focus is on Keep
    page.get_by_role("dialog").wait_for(state="hidden")
    expect(page.locator("#delete")).to_be_focused()
    page.get_by_role("button", name="Delete clip.mp4").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    page.get_by_text("Nothing is kept of clip.mp4.").wait_for()
    seen(page, ".job-list > li", 0)
    assert page.evaluate("location.hash") == "#/"


def test_problems_are_told_in_plain_words(opened, runner, listen):
    runner.problem = Problem("input_unreadable", "clip.mp4: moov atom not found")
    address = listen(max_upload_bytes=2_000_000)
    page = opened(address, "404")
    analyze(page)
    page.get_by_role("heading", name="The clip cannot be read").wait_for()
    assert "moov atom not found" in page.get_by_role("alert").inner_text()
    runner.problem = None
    page.get_by_role("button", name="Try again").click()
    page.get_by_role("link", name="Open the report").wait_for()
    page.get_by_role("link", name="reelscope").click()
    analyze(page, {"name": "large.mp4", "mimeType": "video/mp4", "buffer": bytes(3_000_000)})
    page.get_by_role("heading", name="The clip is too large").wait_for()
    assert "at most 2.0 MB are taken" in page.get_by_role("alert").inner_text()
    page.get_by_role("button", name="Remove").click()
    page.get_by_text("Use a clip on the server instead").click()
    page.get_by_label("Path below one of").fill("../secret.mp4")
    page.get_by_role("button", name="Analyse", exact=True).click()
    page.get_by_role("heading", name="The server has no such clip").wait_for()
    assert len(runner.asked) == 2


def test_without_a_server_it_says_so_and_what_still_runs(opened, runner, listen):
    address = listen(has_server=False)
    page = opened(address, "503")
    page.get_by_text("9 of 24 analyzers ready: no server answers").click()
    assert "Transcript" in page.locator("#health-body").inner_text()
    page.keyboard.press("Escape")
    page.set_input_files("#file", DEMO)
    page.get_by_role("button", name="Analyse with 4 analyzers").click()
    page.get_by_role("link", name="Open the report").wait_for()
    needed = {"audio_analysis", "color_analysis", "cut_analysis", "visual_effects"}
    assert set(runner.asked[0].only) == needed, "the analyzers that read nothing from a server"


def test_a_gateway_that_is_gone_comes_back(opened, runner, tmp_path):
    runner.holds_after = 5
    with listening(tmp_path, runner) as address:
        page = opened(address, "Failed to load resource")
        analyze(page)
        seen(page, DONE, 5)
    page.get_by_text("The gateway does not answer").first.wait_for()
    with listening(tmp_path, runner, port=int(address.rpartition(":")[2])):
        page.get_by_role("heading", name="The analysis was interrupted").wait_for()
        seen(page, ".job-list .job-interrupted", 1)
        seen(page, DONE, 5)


def test_light_dark_and_still(opened, runner, listen):
    runner.holds_after = 5
    address = listen()
    page = opened(address, color_scheme="light", reduced_motion="reduce")
    page.get_by_role("button", name="Dark").click()
    page.reload()
    assert page.get_by_role("button", name="Light").is_visible()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(14, 16, 20)"
    analyze(page)
    seen(page, DONE, 5)
    assert page.evaluate("document.getAnimations().length") == 0


@pytest.mark.parametrize(
    ("viewport", "colours"), [(DESKTOP, "light"), (PHONE, "dark")], ids=["desktop-light", "phone-dark"]
)
def test_axe_finds_nothing(opened, runner, listen, viewport, colours):
    runner.holds_after = 9
    address = listen()
    page = opened(address, viewport=viewport, color_scheme=colours, reduced_motion="reduce")
    page.set_input_files("#file", DEMO)
    page.get_by_text("Options:").click()
    page.get_by_text("24 of 24 analyzers ready").click()
    assert violations(page) == []
    page.get_by_role("button", name="Analyse", exact=True).click()
    seen(page, DONE, 9)
    assert violations(page) == []
    runner.released.set()
    page.get_by_role("link", name="Open the report").wait_for()
    assert violations(page) == []
    page.get_by_role("button", name="Delete", exact=True).click()
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
