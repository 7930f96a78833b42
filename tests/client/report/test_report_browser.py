"""The report in a real browser, from a file: it seeks, draws, zooms, stays silent and inside, and all can use it."""

from __future__ import annotations

import json
import time

import made
import pytest

from browser import NEEDS_CHROMIUM, chromium, violations
from places import DEMO
from reelscope import report

pytestmark = NEEDS_CHROMIUM

DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def browser():
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """Pages as files: with the clip, without it, and with random weights."""
    folder = tmp_path_factory.mktemp("report")
    values = made.results()
    (folder / "with.html").write_text(report.build(values, DEMO), "utf-8")
    (folder / "without.html").write_text(report.build(values), "utf-8")
    random = made.results(object_detection=made.untrained("object_yolov8"), camera_analysis=made.skipped())
    (folder / "random.html").write_text(report.build(random), "utf-8")
    return folder


@pytest.fixture
def opened(browser, places):
    """Open a page of `places`; afterwards nothing was complained of, and nothing was asked of anybody."""
    contexts, complaints = [], []

    def open_page(name, viewport=DESKTOP, colours="light"):
        context = browser.new_context(viewport=viewport, color_scheme=colours, accept_downloads=True)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: complaints.append(request.url) if _leaves(request.url) else None)
        page.goto((places / f"{name}.html").as_uri())
        page.wait_for_selector("html[data-ready]")
        return page

    yield open_page
    hacked = [page.evaluate("window.hacked") for context in contexts for page in context.pages]
    for context in contexts:
        context.close()
    assert complaints == []
    assert not any(hacked)


def _leaves(url):
    return not url.startswith(("file:", "data:", "blob:"))


def until(page, expression):
    """Wait; Playwright's own waiting evaluates strings in the page, which the policy forbids."""
    deadline = time.monotonic() + 10
    while not page.evaluate(expression):
        assert time.monotonic() < deadline, expression
        page.wait_for_timeout(20)


def time_of(page):
    until(page, "!document.getElementById('video').seeking")
    return page.evaluate("document.getElementById('video').currentTime")


def with_video(opened):
    page = opened("with")
    until(page, "document.getElementById('video').readyState >= 2")
    return page


def test_whatever_has_a_time_seeks(opened):
    page = with_video(opened)
    for selector, seconds in (
        ('.seg[data-segment="camera_analysis:5"]', 5.5),
        ('.seg[data-segment="audio_analysis:9"]', 4.5),
        (".film-shot:nth-child(4) button", 4.5),
        (".mark.climax", 8.2),
        (".fixes .chip", 8.45),
        (".transcript .seek", 1.6),
    ):
        page.locator(selector).first.click()
        assert time_of(page) == pytest.approx(seconds, abs=0.1)
    width = page.locator("#ruler").bounding_box()["width"]
    page.locator("#ruler").click(position={"x": 0.3 * width, "y": 10})
    assert time_of(page) == pytest.approx(3.0, abs=0.1)
    assert page.locator("#now").inner_text() == page.locator("#position").get_attribute("aria-valuetext")


def test_it_plays_and_the_marks_follow(opened):
    page = with_video(opened)
    page.locator('.seg[data-segment="speech_transcription:1"]').click()
    page.get_by_role("button", name="Play").click()
    until(page, "document.getElementById('video').currentTime > 1.75")
    assert page.locator(".word.now").count() == 1
    page.get_by_role("button", name="Pause").click()
    assert page.evaluate("document.getElementById('video').paused")


def test_layers_are_drawn_and_switched(opened):
    page = with_video(opened)
    page.locator(".mark.cta").click()
    drawn = "() => Number(document.getElementById('overlay').dataset.drawn)"
    is_blank = """() => {
        const [canvas, blank] = [document.getElementById('overlay'), document.createElement('canvas')];
        [blank.width, blank.height] = [canvas.width, canvas.height];
        return canvas.toDataURL() === blank.toDataURL();
    }"""
    assert page.evaluate(drawn) == 5  # a person, its pose, its face, two lines of text
    assert not page.evaluate(is_blank)
    for number, left in ((0, 4), (1, 3), (2, 2), (3, 0)):
        page.locator("#layers input").nth(number).uncheck()
        assert page.evaluate(drawn) == left
    assert page.evaluate(is_blank)
    page.get_by_label("Safe zone").check()
    assert page.evaluate(drawn) == 1


def test_layers_of_random_weights_are_off(opened):
    page = opened("random")
    assert not page.locator('[data-layer="objects"]').is_checked()
    assert page.locator('[data-layer="poses"]').is_checked()
    assert page.locator('.lane.random[data-lane="object_detection"]').count() == 1
    assert "the clip has no sound" in page.locator('[data-lane="camera_analysis"]').inner_text()


def test_without_the_clip_all_but_its_pictures_works(opened):
    page = opened("without")
    page.locator('.seg[data-segment="camera_analysis:5"]').click()
    assert page.locator("#now").inner_text() == "0:05.50"
    assert page.evaluate("Number(document.getElementById('overlay').dataset.drawn)") == 3
    page.get_by_role("button", name="Play").click()
    until(page, "Number(document.getElementById('position').value) > 5.6")


def test_the_timeline_zooms_and_its_lanes_are_walked_with_arrows(opened):
    page = opened("without")
    whole = page.locator("#ruler").bounding_box()["width"]
    page.get_by_role("button", name="Zoom in").click()
    page.locator("#scroller").press("+")
    assert page.locator("#ruler").bounding_box()["width"] == pytest.approx(2.25 * whole, rel=0.01)
    assert page.locator(".u-wrap").first.bounding_box()["width"] == pytest.approx(whole, abs=2)
    page.get_by_role("button", name="Whole clip").click()
    assert page.locator("#ruler").bounding_box()["width"] == pytest.approx(whole, abs=2)
    page.locator('.seg[data-segment="camera_analysis:1"]').focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    assert page.locator("#now").inner_text() == "0:01.50"
    assert "Camera" in page.locator("#inspector").inner_text()
    assert page.locator('[data-lane="camera_analysis"] .seg[tabindex="0"]').count() == 1


def test_a_card_lists_its_segments_and_the_results_are_downloaded(opened, tmp_path):
    page = opened("without")
    page.locator('[data-lane="text_overlay"] .lane-link').click()
    rows = page.locator("#card-text_overlay tbody tr").filter(has=page.locator("[data-seek]"))
    rows.first.wait_for()
    assert rows.count() == 3
    assert made.SCRIPT in rows.nth(2).inner_text()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download results.json").click()
    download.value.save_as(tmp_path / "results.json")
    assert json.loads((tmp_path / "results.json").read_text("utf-8")) == made.results()


def test_nothing_can_be_fetched_from_the_page(browser, places):
    """The policy at work: what somebody would put in there cannot call home, and cannot run."""
    page = browser.new_page()
    page.goto((places / "without.html").as_uri())
    assert page.evaluate("fetch('https://example.org').then(() => 'sent', () => 'refused')") == "refused"
    refused = """(make) => new Promise((done) => {
        document.addEventListener('securitypolicyviolation', (event) => done(event.effectiveDirective), { once: true });
        const made = document.createElement(make);
        if (make === 'img') made.src = 'https://example.org/a.png';
        else made.textContent = 'window.hacked = 3';
        document.body.append(made);
    })"""
    assert page.evaluate(refused, "img") == "img-src"
    assert page.evaluate(refused, "script").startswith("script-src")
    assert page.evaluate("window.hacked") is None
    page.close()


@pytest.mark.parametrize(("viewport", "colours"), [(DESKTOP, "light"), (DESKTOP, "dark"), (PHONE, "light")])
def test_axe_finds_nothing(opened, viewport, colours):
    page = opened("random", viewport, colours)
    for card in ("text_overlay", "eye_tracking", "object_detection", "camera_analysis"):
        page.evaluate(f"document.getElementById('card-{card}').open = true")
    page.locator('.seg[data-segment="text_overlay:1"]').focus()
    page.keyboard.press("Enter")
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
