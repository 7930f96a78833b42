"""The page in Python: what it holds, what it escapes, what it says of what must not be believed, what it refuses."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import zlib
from html.parser import HTMLParser

import made
import pytest
from typer.testing import CliRunner

from places import CHECKOUT, DEMO
from reelscope import check, cli, report, results
from reelscope.analyzers import ANALYZERS
from reelscope.errors import ResultsError, UsageError
from reelscope.exports import Contents
from reelscope.report import clip as clips
from reelscope.report import page, story

ASSETS = CHECKOUT / "client/reelscope/report/assets"


class Reader(HTMLParser):
    """Elements, their attributes, and their own text."""

    def __init__(self, html):
        super().__init__()
        self.elements, self.texts, self._open = [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        self._open.append(tag)

    def handle_endtag(self, tag):
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data):
        if not {"script", "style"} & set(self._open):
            self.texts.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.texts).split())

    def attributes(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def with_clip():
    return report.build(made.results(), DEMO)


@pytest.fixture(scope="module")
def without_clip():
    return report.build(made.results())


def packed(html):
    coded = re.search('id="packed">([^<]*)<', html)[1]
    return json.loads(zlib.decompress(base64.b64decode(coded)))


def card(html, name):
    return Reader(
        re.search(f'<details class="card[^>]*id="card-{name}".*?(?=<details class="card|</section>)', html, re.S)[0]
    )


def test_the_results_that_the_tests_make_are_results():
    assert check.check(made.results()) == []


def test_all_analyzers_have_a_card_and_the_results_travel_whole(without_clip):
    assert len(re.findall('id="card-', without_clip)) == len(ANALYZERS) == 24
    found = packed(without_clip)
    assert found["results"] == made.results()
    assert [lane["name"] for lane in found["lanes"]] == re.findall('id="card-(\\w+)"', without_clip)


def test_the_clip_and_pictures_of_every_shot_are_in_the_page(with_clip, without_clip):
    coded = re.search('id="clip-data">\\s*data:video/mp4;base64,([^<]*?)\\s*<', with_clip)[1]
    assert base64.b64decode(coded) == DEMO.read_bytes()
    shots = re.findall('<li class="film-shot".*?</li>', with_clip, re.S)
    assert len(shots) == 9
    assert all("data:image/jpeg;base64," in shot for shot in shots)
    assert len(re.findall('<li class="film-shot"', without_clip)) == 9
    assert not {"img", "video"} & {tag for tag, _ in Reader(without_clip).elements}
    assert "made without the clip" in Reader(without_clip).text


def test_a_page_without_the_clip_is_small(with_clip, without_clip):
    assert len(without_clip) < 400_000
    assert len(with_clip) - len(without_clip) < 4 / 3 * DEMO.stat().st_size + 300_000


def test_a_clip_that_is_too_large_is_played_from_beside_the_page(monkeypatch, tmp_path):
    monkeypatch.setattr(clips, "EMBED_LIMIT_BYTES", 1000)
    name = 'a "b" <i>#1%.mp4'
    (tmp_path / name).write_bytes(DEMO.read_bytes())
    html = report.build(made.results(), tmp_path / name)
    read = Reader(html)
    assert read.attributes("video")[0]["src"] == "a%20%22b%22%20%3Ci%3E%231%25.mp4"
    assert f"keep {name} beside it" in read.text
    assert "media-src data: blob: 'self' file:;" in read.attributes("meta")[1]["content"]
    assert len(html) < 700_000
    served = Reader(report.build(made.results(), tmp_path / name, name="holiday.mp4", address="clip"))
    assert served.attributes("video")[0]["src"] == "clip"
    assert "holiday.mp4" in served.text
    assert "beside it" not in served.text


def test_nothing_from_a_clip_becomes_markup(without_clip):
    read = Reader(without_clip)
    scripts = [each for each in read.attributes("script") if "type" not in each]
    assert len(scripts) == 1
    assert not [name for _, attributes in read.elements for name in attributes if name.startswith("on")]
    assert "img" not in {tag for tag, _ in read.elements}
    for text in (made.SCRIPT, made.MARKUP):
        assert " ".join(text.split()) in read.text
    assert "window.hacked" not in re.search("<script>(.*?)</script>", without_clip, re.S)[1]


def test_every_name_and_reason_is_escaped():
    """Whatever a results file says, in any place: files come from other people as well."""
    values = made.results(
        camera_analysis=made.skipped(made.SCRIPT, made.MARKUP),
        speech_flow={"warnings": [made.SCRIPT], "version": made.SCRIPT, "params": {made.MARKUP: made.SCRIPT}},
        speech_emotion={"summary": {made.MARKUP: {made.SCRIPT: made.MARKUP}}},
    )
    values["run"] |= dict.fromkeys(("id", "tool", "created", "profile", "config_sha256"), made.SCRIPT)
    values["analyzers"]["text_overlay"]["models"] = [
        {**made.model("m"), **dict.fromkeys(("name", "source", "revision", "licence", "sha256"), made.SCRIPT)}
    ]
    read = Reader(report.build(values))
    assert len([each for each in read.attributes("script") if "type" not in each]) == 1
    assert not {"img", "b onerror"} & {tag for tag, _ in read.elements}


def test_the_policy_lets_only_this_page_run_and_nothing_leave_it(with_clip):
    policy = dict(part.strip().split(" ", 1) for part in Reader(with_clip).attributes("meta")[1]["content"].split(";"))
    assert policy.pop("default-src") == policy.pop("base-uri") == policy.pop("form-action") == "'none'"
    assert policy.pop("img-src") == "data:"
    assert policy.pop("media-src") == "data: blob:"
    for kind, tag in (("script-src", "script"), ("style-src", "style")):
        text = re.search(f"<{tag}>(.*?)</{tag}>", with_clip, re.S)[1]
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert policy.pop(kind) == f"'sha256-{digest}'"
    assert not policy
    read = Reader(with_clip)
    assert not [attributes for _, attributes in read.elements if "style" in attributes]
    urls = [url for _, each in read.elements for url in (each.get("src"), each.get("href")) if url]
    assert {url[:5] for url in urls if not url.startswith("#")} == {"data:"}


def test_random_weights_cannot_be_missed_and_are_evidence_for_nothing():
    random = made.untrained("text_recognition_ppocr")
    html = report.build(made.results(text_overlay=random))
    read = Reader(html)
    assert "Not evidence: 1 model has random weights" in read.text
    assert "means nothing : Text on screen" in read.text
    assert "means nothing" in card(html, "text_overlay").text
    assert "means nothing" not in card(html, "cut_analysis").text
    assert [lane["name"] for lane in packed(html)["lanes"] if lane["isRandom"]] == ["text_overlay"]
    assert "LINK IN BIO" not in "".join(re.findall('<ol class="fixes">.*?</ol>', html, re.S))
    assert "random weights (text_recognition_ppocr)" in read.text.lower()
    assert 'class="line"' not in html
    assert "banner" not in re.sub("<style>.*?</style>", "", report.build(made.results()), flags=re.S)


@pytest.mark.parametrize("status", ["skipped", "failed", "partial"])
def test_what_is_not_ok_says_why(status):
    change = {"status": status, "reason": "some_code", "message": "for some reason"}
    if status != "partial":
        change = made.skipped() | change
    html = report.build(made.results(audio_analysis=change))
    assert f"{status.capitalize()}: some_code · for some reason" in card(html, "audio_analysis").text
    assert f"1 {status}" in Reader(html).text


def test_biometric_results_say_what_they_are(without_clip):
    for name in ("age_estimation", "face_emotion", "eye_tracking", "speech_emotion"):
        text = card(without_clip, name).text
        assert "as they appear; not what people are or feel" in text
        assert "--no-biometrics" in text
    assert "as they appear" not in card(without_clip, "cut_analysis").text


def test_models_and_licences_are_listed(without_clip):
    text = Reader(without_clip).text
    for name in ("object_yolov8", "text_recognition_ppocr"):
        assert f"{name} v1" in text
    assert "Apache-2.0" in text
    assert made.results()["media"]["sha256"] in text


def test_correlations_say_which_of_them_may_be_chance(without_clip):
    rows = [Reader(row).text for row in re.findall("<tr><td>motion ~.*?</tr>", without_clip, re.S)]
    assert [row.rpartition(" 20 ")[2] for row in rows] == ["significant", "may be chance"]
    assert "smile ~ loudness one of the two was not measured" in Reader(without_clip).text


def test_key_moments_carry_their_evidence(without_clip):
    moments = re.search('<ol class="moments">.*?</ol>', without_clip, re.S)[0]
    assert 'data-segment="text_overlay:2"' in moments
    assert "cta: LINK IN BIO" in Reader(moments).text


def test_an_analyzer_that_is_not_in_the_file_and_one_that_nobody_knows():
    values = made.results()
    del values["analyzers"]["camera_analysis"]
    values["analyzers"]["weather_analysis"] = values["analyzers"]["speech_flow"]
    html = report.build(values)
    assert "not asked for it" in card(html, "camera_analysis").text
    assert "weather_analysis" in card(html, "weather_analysis").text


def test_one_analyzer_alone_is_a_report():
    values = made.results()
    values["analyzers"] = {"cut_analysis": values["analyzers"]["cut_analysis"]}
    text = Reader(report.build(values)).text
    assert "48 cuts a minute" in text
    assert "analyze was not asked for temporal_flow" in text


def test_one_frame_without_sound():
    values = made.results()
    values["media"] |= {"duration_s": 0.033, "n_frames": 1, "fps_avg": None}
    values["media"]["audio"] |= {"present": False, "sr": None, "channels": None, "offset_s": None, "coverage": None}
    values["shots"] = []
    values["analyzers"] = {name: each | made.skipped() for name, each in values["analyzers"].items()}
    read = Reader(report.build(values))
    assert "1 frame no sound" in read.text
    assert "24 skipped" in read.text


def test_a_model_that_answered_twice_is_one_row():
    contents = Contents(made.results(camera_analysis={"models": [made.model("object_yolov8")]}))
    (row,) = [each for each in story.models(contents) if each.facts["name"] == "object_yolov8"]
    assert row.readers == ("Objects", "Camera") or row.readers == ("Camera", "Objects")


def test_a_foreign_clip_and_damaged_results_are_refused(tmp_path):
    (tmp_path / "b.mp4").write_bytes(b"another")
    with pytest.raises(UsageError, match="is not the clip of these results"):
        report.build(made.results(), tmp_path / "b.mp4")
    with pytest.raises(UsageError, match="cannot be read"):
        report.build(made.results(), tmp_path / "gone.mp4")
    with pytest.raises(ResultsError, match="no report can be made of these results"):
        report.build(made.results(text_overlay={"segments": [{"start": 1}]}))


def test_the_command(tmp_path):
    results.write(made.results(), tmp_path / "results.json")
    done = CliRunner().invoke(cli.app, ["report", str(tmp_path / "results.json"), str(DEMO)])
    assert done.exit_code == 0, done.output
    assert "report.html" in done.output
    assert "clip.mp4 · reelscope report" in (tmp_path / "report.html").read_text("utf-8")
    elsewhere = tmp_path / "new" / "a.html"
    done = CliRunner().invoke(cli.app, ["report", str(tmp_path / "results.json"), "-o", str(elsewhere)])
    assert done.exit_code == 0, done.output
    assert elsewhere.is_file()
    assert CliRunner().invoke(cli.app, ["report", str(tmp_path / "none.json")]).exit_code == 2


def test_the_vendored_library_is_the_one_that_is_named():
    code = (ASSETS / "uplot/uPlot.iife.min.js").read_text("utf-8")
    assert f"(v{page.UPLOT_VERSION})" in code[:120]
    assert "MIT License" in (ASSETS / "uplot/LICENSE").read_text("utf-8")
    assert "Copyright (c) 2022 Leon Sorokin" in report.build(made.results())
    assert {path.stem for path in (ASSETS / "js").glob("*.js")} == set(page.SCRIPTS)


def test_scripts_never_make_markup_of_text():
    for path in (ASSETS / "js").glob("*.js"):
        code = path.read_text("utf-8")
        assert not re.search("innerHTML|outerHTML|insertAdjacentHTML|document.write|\\beval\\b|new Function", code), (
            path
        )
    for path in ASSETS.rglob("*.html"):
        kept = set(re.findall("{{ ?([^}]*)\\|safe ?}}", path.read_text("utf-8")))
        assert kept <= {"styles", "scripts"}, path
