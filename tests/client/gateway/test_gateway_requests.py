"""What the gateway takes and what it refuses, with which status; no clip is analysed here."""

from __future__ import annotations

import base64
import inspect
import json
import logging
import os
import re
import tempfile

import gateways
import pytest
from gateways import OUTCOME, ROUTES, Conducted, configured, gateway, started, until
from starlette.testclient import TestClient

from places import CHECKOUT
from reelscope.gateway import command, problems
from reelscope.gateway.app import create_app
from reelscope.gateway.configuration import LOOPBACK
from reelscope.gateway.observability import JsonLines
from reelscope.gateway.problems import Problem

KEY = "a-key-of-many-letters"


def refused(answer, status, code):
    """It is a problem of the table, complete, and says which request it was."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert (body["code"], body["status"], body["type"]) == (code, status, f"urn:reelscope:problem:{code}")
    assert body["title"]
    assert body["detail"]
    assert answer.headers["x-request-id"]
    return body


def upload(client, content=b"clip", name="clip.mp4", wait=False, **fields):
    return client.post(f"/analyze?wait={str(wait).lower()}", files={"video": (name, content)}, data=fields)


def kept(tmp_path):
    """Files that the gateway keeps besides its database."""
    return [
        path for path in (tmp_path / "gateway").rglob("*") if path.is_file() and not path.name.startswith("jobs.sqlite")
    ]


def test_a_path_below_a_root_is_analysed(client, runner, root):
    answer = client.post("/analyze", json={"video_path": str(root / "a.mp4")})
    assert answer.status_code == 200
    assert answer.json() == runner.results
    assert re.fullmatch("/jobs/[0-9a-f]{32}", answer.headers["location"])
    (asked,) = runner.asked
    assert (asked.clip, asked.only, asked.detail) == (str(root.resolve() / "a.mp4"), None, "standard")
    assert (asked.budget_seconds, asked.max_seconds, asked.biometrics) == (900.0, 900.0, True)


def test_a_relative_path_and_a_link_within_the_root_are_too(client, runner, root):
    (root / "link.mp4").symlink_to("a.mp4")
    for path in ("a.mp4", "./a.mp4", "link.mp4"):
        assert client.post("/analyze", json={"video_path": path}).status_code == 200
    assert {asked.clip for asked in runner.asked} == {str(root.resolve() / "a.mp4")}


def test_options_reach_the_analysis(client, runner):
    options = {
        "only": ["cut_analysis", "color_analysis"],
        "detail": "full",
        "timeout_s": 60,
        "max_duration_s": 30,
        "no_biometrics": True,
    }
    assert client.post("/analyze", json={"video_path": "a.mp4", **options}).status_code == 200
    form = {**options, "only": "cut_analysis, color_analysis", "no_biometrics": "true"}
    assert upload(client, wait=True, **form).status_code == 200
    for asked in runner.asked:
        assert (asked.only, asked.detail) == (options["only"], "full")
        assert (asked.budget_seconds, asked.max_seconds, asked.biometrics) == (60, 30, False)


def _outside(root):
    other = root.parent / "other.mp4"
    other.write_bytes(b"secret")
    return str(other)


def _link_out(root):
    (root / "out.mp4").symlink_to(_outside(root))
    return "out.mp4"


def _folder_out(root):
    _outside(root)
    (root / "out").symlink_to(root.parent)
    return "out/other.mp4"


def _pipe(root):
    os.mkfifo(root / "pipe.mp4")
    return "pipe.mp4"


PATHS = {
    "absolute": (_outside, 404, "input_not_found"),
    "upwards": (lambda root: _outside(root) and "../other.mp4", 404, "input_not_found"),
    "through the root and up": (lambda root: _outside(root) and f"{root}/../other.mp4", 404, "input_not_found"),
    "a link out of the root": (_link_out, 404, "input_not_found"),
    "a folder's link out of the root": (_folder_out, 404, "input_not_found"),
    "a root of a similar name": (
        lambda root: (root.with_name("rootless")).mkdir() or f"{root}less/a.mp4",
        404,
        "input_not_found",
    ),
    "a link to itself": (lambda root: (root / "l.mp4").symlink_to("l.mp4") or "l.mp4", 404, "input_not_found"),
    "the root": (str, 404, "input_not_found"),
    "a pipe": (_pipe, 404, "input_not_found"),
    "a device": (lambda root: (root / "d.mp4").symlink_to("/dev/zero") or "d.mp4", 404, "input_not_found"),
    "http": (lambda root: "http://localhost/a.mp4", 404, "input_not_found"),
    "concat": (lambda root: f"concat:{root}/a.mp4|{root}/a.mp4", 404, "input_not_found"),
    "file": (lambda root: f"file:{root}/a.mp4", 404, "input_not_found"),
    "a null byte": (lambda root: "a.mp4\0.txt", 400, "malformed_request"),
    "half a character": (lambda root: "\ud800.mp4", 422, "invalid_request"),
    "a long name": (lambda root: "a" * 300, 404, "input_not_found"),
    "a very long name": (lambda root: "a" * 5000, 422, "invalid_request"),
    "nothing": (lambda root: "", 422, "invalid_request"),
    "a number": (lambda root: 5, 422, "invalid_request"),
}


@pytest.mark.parametrize("kind", PATHS)
def test_a_path_that_is_refused(client, runner, root, kind):
    make, status, code = PATHS[kind]
    content = json.dumps({"video_path": make(root)})
    answer = client.post("/analyze", content=content, headers={"Content-Type": "application/json"})
    body = refused(answer, status, code)
    assert "other" not in body["detail"], "what is outside is not told from what is not there"
    assert runner.asked == []


def test_without_roots_no_path_is_read(tmp_path, runner, root):
    with gateway(tmp_path, runner, roots=()) as client:
        refused(client.post("/analyze", json={"video_path": str(root / "a.mp4")}), 404, "input_not_found")


JSON = {"Content-Type": "application/json"}
BODIES = {
    "no JSON": (b"{", JSON, 400, "malformed_request"),
    "deep JSON": (b"[" * 60_000, JSON, 400, "malformed_request"),
    "no UTF-8": (b'{"video_path": "\xff"}', JSON, 400, "malformed_request"),
    "a list": (b"[]", JSON, 422, "invalid_request"),
    "no path": (b"{}", JSON, 422, "invalid_request"),
    "an unknown option": (b'{"video_path": "a.mp4", "fast": true}', JSON, 422, "invalid_request"),
    "an unknown analyzer": (b'{"video_path": "a.mp4", "only": ["x"]}', JSON, 422, "usage"),
    "no analyzer": (b'{"video_path": "a.mp4", "only": []}', JSON, 422, "invalid_request"),
    "another detail": (b'{"video_path": "a.mp4", "detail": "most"}', JSON, 422, "invalid_request"),
    "too much time": (b'{"video_path": "a.mp4", "timeout_s": 901}', JSON, 422, "invalid_request"),
    "too long": (b'{"video_path": "a.mp4", "max_duration_s": 1e9}', JSON, 422, "invalid_request"),
    "no number": (b'{"video_path": "a.mp4", "timeout_s": NaN}', JSON, 422, "invalid_request"),
    "large JSON": (b" " * 70_000, JSON, 413, "upload_too_large"),
    "no type": (b"{}", {}, 415, "unsupported_media_type"),
    "a video": (b"clip", {"Content-Type": "video/mp4"}, 415, "unsupported_media_type"),
    "another form": (b"a=b", {"Content-Type": "application/x-www-form-urlencoded"}, 415, "unsupported_media_type"),
    "a form without boundary": (b"x", {"Content-Type": "multipart/form-data"}, 400, "malformed_request"),
    "a broken form": (b"x", {"Content-Type": "multipart/form-data; boundary=y"}, 400, "malformed_request"),
}


@pytest.mark.parametrize("kind", BODIES)
def test_a_body_that_is_refused(client, runner, kind):
    content, headers, status, code = BODIES[kind]
    refused(client.post("/analyze", content=content, headers=headers), status, code)
    assert runner.asked == []


FORMS = {
    "no file": ({"files": {"other": ("a.mp4", b"x")}}, 422, "invalid_request"),
    "two files": ({"files": [("video", ("a.mp4", b"x")), ("video", ("b.mp4", b"x"))]}, 400, "malformed_request"),
    "the file as text": ({"files": {"video": (None, b"x")}}, 422, "invalid_request"),
    "an unknown field": ({"files": {"video": ("a.mp4", b"x")}, "data": {"fast": "1"}}, 422, "invalid_request"),
    "an option twice": (
        {"files": {"video": ("a.mp4", b"x")}, "data": {"detail": ["full", "standard"]}},
        422,
        "invalid_request",
    ),
    "no analyzer": ({"files": {"video": ("a.mp4", b"x")}, "data": {"only": ","}}, 422, "invalid_request"),
    "an unknown analyzer": ({"files": {"video": ("a.mp4", b"x")}, "data": {"only": "x"}}, 422, "usage"),
    "a long option": ({"files": {"video": ("a.mp4", b"x")}, "data": {"only": "x" * 20_000}}, 400, "malformed_request"),
}


@pytest.mark.parametrize("kind", FORMS)
def test_a_form_that_is_refused(client, runner, tmp_path, kind):
    form, status, code = FORMS[kind]
    refused(client.post("/analyze", **form), status, code)
    assert runner.asked == []
    assert kept(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("clip.mp4", "clip.mp4"),
        ("../../../etc/passwd", "passwd"),
        ("C:\\clips\\x.mp4", "x.mp4"),
        ("/absolute.mp4", "absolute.mp4"),
        ("..", ".."),
        ("a\u202eb.mp4", "ab.mp4"),
        ("x" * 300, "x" * 200),
    ],
)
def test_the_name_of_an_upload_is_no_path(client, runner, tmp_path, name, shown):
    job = upload(client, b"content", name).json()
    assert job["name"] == shown
    (file,) = kept(tmp_path)
    assert file == tmp_path / "gateway" / "clips" / job["id"]
    assert file.read_bytes() == b"content"
    until(lambda: runner.asked)
    assert runner.asked[0].clip == str(file)


@pytest.fixture
def spool(tmp_path, monkeypatch):
    """The folder of temporary files, of this test alone."""
    folder = tmp_path / "spool"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_an_upload_that_says_that_it_is_too_large(tmp_path, runner, spool):
    with gateway(tmp_path, runner, max_upload_bytes=10_000) as client:
        read = []

        def body():
            read.append(1)
            yield b"x" * 4_000

        headers = {"Content-Length": "5000000000", "Content-Type": "multipart/form-data; boundary=b"}
        refused(client.post("/analyze", content=body(), headers=headers), 413, "upload_too_large")
    assert (kept(tmp_path), list(spool.iterdir())) == ([], [])


def test_an_upload_without_end_is_cut_off(tmp_path, runner, spool):
    with gateway(tmp_path, runner, max_upload_bytes=3_000_000) as client:

        def body():
            yield b'--b\r\nContent-Disposition: form-data; name="video"; filename="a.mp4"\r\n\r\n'
            for _ in range(100):
                yield b"x" * 100_000

        headers = {"Content-Type": "multipart/form-data; boundary=b"}
        refused(client.post("/analyze", content=body(), headers=headers), 413, "upload_too_large")
    assert (kept(tmp_path), list(spool.iterdir()), runner.asked) == ([], [], [])


def test_a_full_queue_refuses_and_says_when_to_come_back(tmp_path, root):
    runner = Conducted(holds=True)
    with gateway(tmp_path, runner, queue_length=2) as client:
        jobs = [started(client)]
        until(lambda: runner.asked)
        jobs += [started(client), started(client)]
        answer = upload(client)
        refused(answer, 429, "queue_full")
        assert int(answer.headers["retry-after"]) >= 1
        assert kept(tmp_path) == []
        for _ in jobs:
            count = len(runner.asked)
            runner.release()
            until(lambda count=count: len(runner.asked) > count or count == len(jobs))
        until(lambda: all(client.get(f"/jobs/{job}").json()["state"] == "completed" for job in jobs))
        assert upload(client).status_code == 202


def test_keys_open_what_is_not_a_probe(tmp_path, root, runner):
    basic = base64.b64encode(f":{KEY}".encode()).decode()
    wrong = base64.b64encode(b":another-key-of-letters").decode()
    with gateway(tmp_path, runner, api_keys=("the-first-of-two-keys", KEY)) as client:
        for path in ("/health", "/metrics", "/jobs", "/jobs/1", "/jobs/1/events"):
            answer = client.get(path)
            refused(answer, 401, "unauthorized")
            assert answer.headers["www-authenticate"].startswith("Basic ")
        refused(client.post("/analyze", json={"video_path": "a.mp4"}), 401, "unauthorized")
        refused(client.delete("/jobs/1"), 401, "unauthorized")
        for given in (f"Bearer {KEY}x", "Bearer ", f"Basic {wrong}", "Basic ?", "Bearer \xe9"):
            refused(client.get("/jobs", headers={"Authorization": given.encode("latin-1")}), 401, "unauthorized")
        for given in (f"Bearer {KEY}", f"Basic {basic}", "bearer the-first-of-two-keys"):
            assert client.get("/jobs", headers={"Authorization": given}).status_code == 200
        assert client.get("/livez").status_code == 200
        assert client.get("/readyz").status_code == 503


def test_a_gateway_on_loopback_answers_by_its_own_names(tmp_path, runner):
    with gateway(tmp_path, runner, allowed_hosts=LOOPBACK) as client:
        for host in ("localhost", "localhost:8003", "127.0.0.1:1", "[::1]:8003", "LOCALHOST"):
            assert client.get("/livez", headers={"Host": host}).status_code == 200, host
        for host in ("evil.example", "localhost.evil.example", "127.0.0.1.evil.example:8003", ""):
            refused(client.get("/livez", headers={"Host": host}), 403, "foreign_host")


def test_pages_of_other_sites_change_nothing(client, runner):
    for site in ("cross-site", "same-site"):
        headers = {"Sec-Fetch-Site": site}
        refused(client.post("/analyze", json={"video_path": "a.mp4"}, headers=headers), 403, "cross_site")
        refused(client.delete("/jobs/1", headers=headers), 403, "cross_site")
        assert client.get("/jobs", headers=headers).status_code == 200
    for site in ("same-origin", "none"):
        answer = client.post("/analyze", json={"video_path": "a.mp4"}, headers={"Sec-Fetch-Site": site})
        assert answer.status_code == 200


def test_every_request_has_an_id(client):
    assert client.get("/livez", headers={"X-Request-ID": "mine-1"}).headers["x-request-id"] == "mine-1"
    for bad in ("", "two words", "x" * 65, '"quoted"'):
        assert re.fullmatch("[0-9a-f]{16}", client.get("/nope", headers={"X-Request-ID": bad}).headers["x-request-id"])


def test_unknown_addresses_and_methods(client):
    refused(client.get("/nope"), 404, "not_found")
    answer = client.put("/analyze")
    refused(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "POST"
    for path in ("", "/events", "/results", "/report", "/captions.srt", "/captions.vtt"):
        refused(client.get(f"/jobs/no-such-job{path}"), 404, "job_not_found")
    refused(client.delete("/jobs/no-such-job"), 404, "job_not_found")


def test_what_nobody_foresaw_is_told_without_a_word_of_it(tmp_path, root, caplog):
    async def report(results, clip, name):
        raise KeyError("secret words")

    with gateway(tmp_path, Conducted(), report=report) as client:
        answer = client.get(f"/jobs/{started_and_done(client)}/report", headers={"X-Request-ID": "this-one"})
    body = refused(answer, 500, "internal_error")
    assert "this-one" in body["detail"]
    assert "secret" not in answer.text
    (failed,) = [record for record in caplog.records if record.getMessage() == "request failed"]
    assert "KeyError at " in failed.error
    assert "secret" not in caplog.text


def started_and_done(client):
    job = started(client)
    until(lambda: client.get(f"/jobs/{job}").json()["state"] == "completed")
    return job


def test_logs_are_json_and_hold_no_content(tmp_path, root, caplog):
    caplog.set_level(logging.INFO)
    (root / "secret-name.mp4").write_bytes(b"secret-content")
    runner = Conducted(results={**Conducted().results, "secret": "secret-words"})
    lines = []

    class Lines(logging.Handler):
        def emit(self, record):
            lines.append(JsonLines().format(record))

    handler = Lines()
    logging.getLogger().addHandler(handler)
    try:
        with gateway(tmp_path, runner) as client:
            client.post("/analyze?secret-query=1", json={"video_path": "secret-name.mp4"})
            client.post("/analyze", json={"video_path": "../secret-path"})
            upload(client, b"secret-content", "secret-upload.mp4", wait=True)
            client.get("/secret-address", headers={"Authorization": "Bearer secret-key"})
            runner.problem = Problem("input_unreadable", "secret-file: secret-reason")
            client.post("/analyze", json={"video_path": "secret-name.mp4"}, headers={"X-Request-ID": "mine"})
    finally:
        logging.getLogger().removeHandler(handler)
    said = [each for each in map(json.loads, lines) if each["logger"] != "httpx2"]  # the client of this test
    assert not [each for each in said if "secret" in json.dumps(each)]
    requests = [each for each in said if each["event"] == "request"]
    assert [(each["route"], each["status"]) for each in requests] == [
        ("/analyze", 200),
        ("/analyze", 404),
        ("/analyze", 200),
        ("other", 404),
        ("/analyze", 422),
    ]
    assert requests[-1]["request"] == "mine"
    assert all({"time", "level", "logger", "event"} <= each.keys() for each in said)
    ended = [each for each in said if each["event"] == "job ended"]
    assert [(each["state"], each.get("code")) for each in ended] == [
        ("completed", None),
        ("completed", None),
        ("failed", "input_unreadable"),
    ]


def test_metrics_count_failures_by_reason(client, runner, monkeypatch):
    """Overload is seen apart from everything else."""
    refused = {"status": "failed", "reason": "overloaded", "message": "the queue is full", "summary": None}
    monkeypatch.setattr(gateways, "OUTCOME", gateways.OUTCOME | refused)
    started_and_done(client)
    lines = client.get("/metrics").text.splitlines()
    assert 'reelscope_analyzer_failures_total{analyzer="cut_analysis",reason="overloaded"} 1.0' in lines


def test_metrics_count(client):
    started_and_done(client)
    client.get("/nope")
    text = client.get("/metrics").text
    for line in (
        'reelscope_http_requests_total{method="POST",route="/analyze",status="202"} 1.0',
        'reelscope_http_requests_total{method="GET",route="other",status="404"} 1.0',
        'reelscope_jobs_total{state="completed"} 1.0',
        'reelscope_analyzer_results_total{analyzer="cut_analysis",status="ok"} 1.0',
        "reelscope_server_up 0.0",
        'reelscope_analyzer_ready{analyzer="cut_analysis"} 1.0',
        'reelscope_analyzer_ready{analyzer="body_pose"} 0.0',
        "reelscope_jobs_queued 0.0",
        "reelscope_jobs_queue_limit 32.0",
        "reelscope_jobs_refused_total 0.0",
        "reelscope_job_wait_seconds_count 1.0",
        'reelscope_job_problems_total{code="job_crashed"} 0.0',
        'reelscope_analyzer_failures_total{analyzer="cut_analysis",reason="overloaded"} 0.0',
    ):
        assert line in text.splitlines(), line


def test_failures_are_counted_by_reason(tmp_path, root):
    outcome = {**OUTCOME, "status": "failed", "reason": "overloaded"}

    async def runner(analysis, report):
        await report("analyzer", outcome)
        raise Problem("job_crashed", "the process ended")

    with gateway(tmp_path, runner) as client:
        client.post("/analyze", json={"video_path": "a.mp4"})
        text = client.get("/metrics").text
    for line in (
        'reelscope_job_problems_total{code="job_crashed"} 1.0',
        'reelscope_analyzer_failures_total{analyzer="cut_analysis",reason="overloaded"} 1.0',
    ):
        assert line in text.splitlines(), line


def test_the_id_of_the_request_goes_with_the_job(client, runner):
    """Or, where a job has none any more, its own."""
    client.post("/analyze", json={"video_path": "a.mp4"}, headers={"X-Request-ID": "mine"})
    answer = client.post("/analyze", json={"video_path": "a.mp4"}, headers={"X-Request-ID": "not an id"})
    assert [asked.request_id for asked in runner.asked] == ["mine", answer.headers["X-Request-ID"]]
    assert [asked.trace for asked in runner.asked] == [{}, {}]


def test_the_table_of_errors_is_whole():
    assert problems.TITLES.keys() == problems.STATUSES.keys()
    assert {400, 404, 413, 415, 422, 429, 503, 504} <= set(problems.STATUSES.values())


def test_the_description_names_every_route_and_only_known_errors(tmp_path, runner):
    app = create_app(configured(tmp_path), runner=runner)
    document = TestClient(app).get("/openapi.json").json()
    described = {(method.upper(), path) for path, item in document["paths"].items() for method in item}
    assert described == set(ROUTES)
    for path, item in document["paths"].items():
        for operation in item.values():
            assert operation["description"]
            for status, answer in operation["responses"].items():
                for code, example in answer.get("content", {}).get(problems.MEDIA_TYPE, {}).get("examples", {}).items():
                    assert str(problems.STATUSES[code]) == status, (path, code)
                    assert example["value"]["code"] == code
    said = json.dumps(document)
    assert "HTTPValidationError" not in said, "errors are problems, not the framework's own"


def test_the_page_on_the_gateway_names_everything():
    page = (CHECKOUT / "docs" / "gateway.md").read_text(encoding="utf-8")
    for code, status in problems.STATUSES.items():
        (row,) = [line for line in page.splitlines() if line.startswith("|") and re.search(rf"\b{code}\b", line)]
        assert str(status) in row.split("|")[1], code
    for option in inspect.signature(command.serve).parameters:
        assert f"--{option.replace('_', '-')}" in page, option
    for _, path in ROUTES:
        assert path.rpartition("/")[2].replace("{job_id}", "ID").replace("captions", "") in page, path
