"""Jobs from start to end: events, results, cancelling, erasing, restarts; the test conducts what would analyse."""

from __future__ import annotations

import asyncio
import gzip
import json
import sqlite3
import time

import pytest
from exporting import file as results_file
from gateways import OUTCOME, Conducted, configured, events, gateway, started, state_of, until
from test_captions import transcript

from reelscope.errors import UsageError
from reelscope.gateway.app import create_app
from reelscope.gateway.problems import STATUSES, Problem
from reelscope.gateway.store import JobRecord, Store

SECRET = b"what-nobody-may-find-later"


def finished(client, job_id):
    until(lambda: state_of(client, job_id) not in ("queued", "running"))
    return client.get(f"/jobs/{job_id}").json()


def code_of(answer):
    return answer.status_code, answer.json()["code"]


def test_a_job_from_start_to_end(client, runner):
    runner.holds = True
    answer = client.post("/analyze?wait=false", json={"video_path": "a.mp4", "only": ["cut_analysis"]})
    assert answer.status_code == 202
    job = answer.json()
    assert answer.headers["location"] == job["links"]["self"] == f"/jobs/{job['id']}"
    assert (job["name"], job["source"], job["options"]["only"]) == ("a.mp4", "path", ["cut_analysis"])
    until(lambda: client.get(job["links"]["self"]).json()["analyzers"])
    now = client.get(job["links"]["self"]).json()
    assert (now["state"], now["analyzers"], now["ended"]) == ("running", {"cut_analysis": "ok"}, None)
    for what in ("results", "report", "captions_srt", "captions_vtt"):
        assert code_of(client.get(job["links"][what])) == (409, "not_finished")
    runner.release()
    done = finished(client, job["id"])
    assert (done["state"], done["problem"]) == ("completed", None)
    assert done["created"] <= done["started"] <= done["ended"]
    assert client.get(job["links"]["results"]).json() == runner.results


def test_events_are_told_as_they_come_and_again(client, runner):
    job = started(client)
    finished(client, job)
    told = events(client.get(f"/jobs/{job}/events").text)
    assert [kind for kind, _, _ in told] == ["job", "job", "analyzer", "job"]
    assert [data["state"] for kind, data, _ in told if kind == "job"] == ["queued", "running", "completed"]
    assert told[2][1] == OUTCOME
    assert [number for _, _, number in told] == ["1", "2", "3", "4"]
    rest = events(client.get(f"/jobs/{job}/events", headers={"Last-Event-ID": "3"}).text)
    assert rest == told[3:]
    assert client.get(f"/jobs/{job}/events", headers={"Last-Event-ID": "4"}).status_code == 204
    assert code_of(client.get(f"/jobs/{job}/events", headers={"Last-Event-ID": "x"})) == (422, "invalid_request")


def test_who_follows_hears_of_progress_until_the_end(client, runner):
    runner.holds = True
    job = started(client)
    until(lambda: client.get(f"/jobs/{job}").json()["analyzers"])
    asyncio.run(_release_soon(runner))
    told = events(client.get(f"/jobs/{job}/events").text)
    assert ("progress", {"stage": "decode", "share": 0.5}, None) in told
    assert told[-1][1]["state"] == "completed"


async def _release_soon(runner):
    runner._loop.call_soon_threadsafe(runner._loop.call_later, 0.3, runner._released.set)


def test_results_travel_packed_to_who_can_unpack(client, runner):
    job = started(client)
    finished(client, job)
    plain = client.get(f"/jobs/{job}/results", headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    with client.stream("GET", f"/jobs/{job}/results", headers={"Accept-Encoding": "gzip"}) as packed:
        raw = b"".join(packed.iter_raw())
    assert packed.headers["content-encoding"] == "gzip"
    assert gzip.decompress(raw) == plain.content
    assert plain.headers["vary"] == packed.headers["vary"] == "Accept-Encoding"


@pytest.mark.parametrize(
    "code",
    [
        "input_not_found",
        "input_unreadable",
        "input_too_long",
        "no_video_stream",
        "server_unreachable",
        "deadline_exceeded",
        "job_crashed",
    ],
)
def test_a_job_that_fails_says_so_with_its_status(client, runner, code):
    runner.problem = Problem(code, "the reason")
    answer = client.post("/analyze", json={"video_path": "a.mp4"})
    assert (answer.status_code, answer.json()["code"]) == (STATUSES[code], code)
    job = client.get(f"/jobs/{answer.json()['job']}").json()
    assert (job["state"], job["problem"]["code"], job["problem"]["detail"]) == ("failed", code, "the reason")
    answer = client.get(job["links"]["results"])
    assert code_of(answer) == (409, "no_results")
    assert "the reason" in answer.json()["detail"]


def test_a_runner_that_breaks_costs_its_job(client, runner):
    runner.problem = ZeroDivisionError("secret")
    answer = client.post("/analyze", json={"video_path": "a.mp4"})
    assert code_of(answer) == (500, "internal_error")
    assert "secret" not in answer.text
    runner.problem = None
    assert client.post("/analyze", json={"video_path": "a.mp4"}).status_code == 200


def test_jobs_are_listed(client, runner):
    jobs = [started(client) for _ in range(3)]
    for job in jobs:
        finished(client, job)
    runner.problem = Problem("input_unreadable", "no")
    finished(client, started(client))
    listed = client.get("/jobs").json()
    assert listed["total"] == 4
    assert [job["id"] for job in listed["jobs"]][1:] == jobs[::-1]
    assert listed["jobs"][1] == client.get(f"/jobs/{jobs[2]}").json()
    page = client.get("/jobs", params={"state": "completed", "limit": 1, "offset": 1}).json()
    assert (page["total"], [job["id"] for job in page["jobs"]]) == (3, [jobs[1]])
    assert client.get("/jobs", params={"state": "interrupted"}).json() == {"jobs": [], "total": 0}
    for bad in ({"state": "lost"}, {"limit": 0}, {"limit": 201}, {"offset": -1}, {"offset": 10**30}):
        assert code_of(client.get("/jobs", params=bad)) == (422, "invalid_request")


@pytest.mark.parametrize("when", ["waiting", "running", "ended"])
def test_a_job_that_is_deleted_leaves_nothing(tmp_path, root, when):
    runner = Conducted(holds=True, results={"secret": SECRET.decode()})
    with gateway(tmp_path, runner) as client:
        blocker = started(client) if when == "waiting" else None
        if blocker:
            until(lambda: runner.asked)
        answer = client.post("/analyze?wait=false", files={"video": (f"{SECRET.decode()}.mp4", SECRET)})
        job = answer.json()["id"]
        clip = tmp_path / "gateway" / "clips" / job
        assert clip.read_bytes() == SECRET
        if when != "waiting":
            until(lambda: runner.asked and client.get(f"/jobs/{job}").json()["analyzers"])
        if when == "ended":
            runner.release()
            finished(client, job)
        assert client.delete(f"/jobs/{job}").status_code == 204
        assert runner.cancelled == (when == "running")
        assert not clip.exists()
        assert client.get(f"/jobs/{job}").status_code == 404
        assert client.get(f"/jobs/{job}/events").status_code == 404
        assert code_of(client.delete(f"/jobs/{job}")) == (404, "job_not_found")
        for file in (tmp_path / "gateway").rglob("*"):
            assert file.is_dir() or SECRET not in file.read_bytes(), file
        if blocker:
            runner.release()
            assert finished(client, blocker)["state"] == "completed"
        else:
            runner.holds = False
            assert client.post("/analyze", json={"video_path": "a.mp4"}).status_code == 200


def test_the_clip_of_a_path_outlives_its_job(client, root):
    job = started(client)
    finished(client, job)
    assert client.delete(f"/jobs/{job}").status_code == 204
    assert (root / "a.mp4").exists()


class Called:
    """A request that can be left; what was answered is in `messages`."""

    def __init__(self, app, body):
        self._app, self._body = app, body
        self._left = asyncio.Event()
        self.messages = []

    def leave(self):
        self._left.set()

    async def __call__(self):
        scope = {
            "type": "http",
            "method": "POST",
            "path": "/analyze",
            "raw_path": b"/analyze",
            "query_string": b"",
            "headers": [(b"host", b"localhost"), (b"content-type", b"application/json")],
        }
        parts = [{"type": "http.request", "body": json.dumps(self._body).encode(), "more_body": False}]

        async def receive():
            if parts:
                return parts.pop()
            await self._left.wait()
            return {"type": "http.disconnect"}

        async def send(message):
            self.messages.append(message)

        await self._app(scope, receive, send)


@pytest.mark.parametrize("when", ["waiting", "running"])
def test_who_goes_away_cancels_the_job(tmp_path, root, when):
    async def run():
        runner = Conducted(holds=True)
        app = create_app(configured(tmp_path), runner=runner)
        jobs = app.state.gateway.jobs
        async with app.router.lifespan_context(app):
            calls = [Called(app, {"video_path": "a.mp4"}) for _ in range(1 + (when == "waiting"))]
            tasks = []
            for call in calls:
                tasks.append(asyncio.create_task(call()))
                while len(jobs._live) < len(tasks):
                    await asyncio.sleep(0.01)
            while not runner.asked:
                await asyncio.sleep(0.01)
            calls[-1].leave()
            await asyncio.wait_for(tasks[-1], 5)
            (record,), _ = jobs.store.jobs("cancelled")
            assert record.problem["code"] == "client_disconnected"
            assert runner.cancelled == (when == "running")
            if when == "waiting":
                runner._released.set()
                await asyncio.wait_for(tasks[0], 5)
                assert calls[0].messages[0]["status"] == 200

    asyncio.run(run())


def told_while_it_waits(folder, act):
    """Messages to somebody who waits for a job, of whose gateway `act` does something."""

    async def run():
        runner = Conducted(holds=True)
        app = create_app(configured(folder), runner=runner)
        async with app.router.lifespan_context(app):
            call = Called(app, {"video_path": "a.mp4"})
            task = asyncio.create_task(call())
            while not runner.asked:
                await asyncio.sleep(0.01)
            await act(app.state.gateway.jobs)
            await asyncio.wait_for(task, 5)
            return call.messages

    return asyncio.run(run())


def test_who_waits_hears_that_the_job_was_deleted(tmp_path, root):
    async def erase(jobs):
        await jobs.erase(next(iter(jobs._live)))

    assert told_while_it_waits(tmp_path, erase)[0]["status"] == STATUSES["job_erased"]


def test_who_waits_hears_that_the_gateway_ends(tmp_path, root):
    async def dismiss(jobs):
        jobs.dismiss()

    begin, body = told_while_it_waits(tmp_path, dismiss)[:2]
    assert begin["status"] == 503
    assert b'"interrupted"' in body["body"]


def test_jobs_survive_a_restart(tmp_path, root):
    """What has ended is there, what ran is interrupted, what waited is done; a clip without a job is removed."""
    with gateway(tmp_path, Conducted()) as client:
        ended = started(client)
        finished(client, ended)
        told = client.get(f"/jobs/{ended}/events").text
    store = Store(tmp_path / "gateway" / "jobs.sqlite")
    options = {"only": None, "detail": "standard", "timeout_s": None, "max_duration_s": None, "no_biometrics": False}
    for number, state in enumerate(("running", "queued")):
        clip = tmp_path / "gateway" / "clips" / f"{number}"
        clip.write_bytes(b"clip")
        store.add(JobRecord(id=f"{number}", state=state, name="x", clip=clip, is_upload=True, options=options))
    store.close()
    orphan = tmp_path / "gateway" / "clips" / "orphan"
    orphan.write_bytes(b"received when the gateway was killed")
    runner = Conducted()
    with gateway(tmp_path, runner) as client:
        assert finished(client, "0")["state"] == "interrupted"
        assert finished(client, "1")["state"] == "completed"
        assert [asked.clip for asked in runner.asked] == [str(tmp_path / "gateway" / "clips" / "1")]
        assert client.get(f"/jobs/{ended}/results").json() == runner.results
        assert client.get(f"/jobs/{ended}/events").text == told
        assert events(client.get("/jobs/0/events").text)[-1][1]["problem"]["code"] == "interrupted"
        assert not orphan.exists()
        assert client.delete("/jobs/0").status_code == 204


def test_jobs_are_kept_as_long_as_was_said(tmp_path, root):
    with gateway(tmp_path, Conducted()) as client:
        jobs = [client.post("/analyze?wait=false", files={"video": ("a.mp4", b"x")}).json()["id"] for _ in range(2)]
        for job in jobs:
            finished(client, job)
    with sqlite3.connect(tmp_path / "gateway" / "jobs.sqlite") as connection:
        connection.execute("UPDATE jobs SET ended = ? WHERE id = ?", (time.time() - 3.1 * 86400, jobs[0]))
    connection.close()
    with gateway(tmp_path, Conducted(), keep_days=3) as client:
        until(lambda: client.get("/jobs").json()["total"] == 1)
        assert client.get(f"/jobs/{jobs[1]}").status_code == 200
        until(lambda: [clip.name for clip in (tmp_path / "gateway" / "clips").iterdir()] == [jobs[1]])


def test_a_store_of_a_newer_version_is_refused(tmp_path):
    Store(tmp_path / "jobs.sqlite").close()
    with sqlite3.connect(tmp_path / "jobs.sqlite") as connection:
        connection.execute("PRAGMA user_version = 2")
    connection.close()
    with pytest.raises(UsageError, match="version 2"):
        Store(tmp_path / "jobs.sqlite")
    (tmp_path / "other.sqlite").write_bytes(b"no database" * 100)
    with pytest.raises(UsageError, match=r"other\.sqlite"):
        Store(tmp_path / "other.sqlite")


def test_captions_of_what_is_said(tmp_path, root):
    runner = Conducted(results=transcript([("hello", 0.5, 1.0), ("world", 1.0, 1.4)]))
    with gateway(tmp_path, runner) as client:
        job = started(client)
        finished(client, job)
        srt, vtt = client.get(f"/jobs/{job}/captions.srt"), client.get(f"/jobs/{job}/captions.vtt")
    assert srt.text.startswith("1\n00:00:00,500 --> ")
    assert "hello world" in srt.text
    assert vtt.text.startswith("WEBVTT\n")
    assert srt.headers["content-type"] == "application/x-subrip; charset=utf-8"
    assert vtt.headers["content-type"] == "text/vtt; charset=utf-8"


def test_no_captions_without_a_transcript(tmp_path, root):
    with gateway(tmp_path, Conducted(results=results_file())) as client:
        job = started(client)
        finished(client, job)
        answer = client.get(f"/jobs/{job}/captions.srt")
    assert code_of(answer) == (409, "no_captions")
    assert "speech_transcription" in answer.json()["detail"]


def test_a_report_is_made_of_results_and_clip(tmp_path, root):
    built = []

    async def report(results, clip, name):
        built.append((json.loads(results), clip, name))
        return "<!doctype html><title>report ü</title>"

    runner = Conducted()
    with gateway(tmp_path, runner, report=report) as client:
        job = started(client)
        finished(client, job)
        answer = client.get(f"/jobs/{job}/report")
    assert answer.text == "<!doctype html><title>report ü</title>"
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert built == [(runner.results, root.resolve() / "a.mp4", "a.mp4")]


def test_the_clip_is_served_in_parts_while_it_is_there(tmp_path, root):
    with gateway(tmp_path, Conducted()) as client:
        job = started(client)
        finished(client, job)
        content = (root / "a.mp4").read_bytes()
        whole, part = client.get(f"/jobs/{job}/clip"), client.get(f"/jobs/{job}/clip", headers={"Range": "bytes=1-3"})
        (root / "a.mp4").unlink()
        gone = client.get(f"/jobs/{job}/clip")
    assert (whole.status_code, whole.content, whole.headers["content-type"]) == (200, content, "video/mp4")
    assert (part.status_code, part.content) == (206, content[1:4])
    assert code_of(gone) == (404, "input_not_found")


def test_many_uploads_at_once_all_end_in_a_stated_status(tmp_path, root):
    """Fifty clients, a queue of eight: each is answered, refused ones with when to come back; nothing is left over."""

    async def run():
        import httpx2

        async def runner(analysis, report):
            await asyncio.sleep(0.02)
            return b"{}"

        app = create_app(configured(tmp_path, queue_length=8), runner=runner)
        async with app.router.lifespan_context(app):
            transport = httpx2.ASGITransport(app)
            async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:

                async def upload(number):
                    return await client.post(
                        "/analyze", files={"video": (f"{number}.mp4", bytes([number]) * 1_500_000)}
                    )

                answers = await asyncio.gather(*(upload(number) for number in range(50)))
                total = (await client.get("/jobs")).json()["total"]
        return answers, total

    answers, total = asyncio.run(run())
    statuses = [answer.status_code for answer in answers]
    assert set(statuses) == {200, 429}
    assert all("retry-after" in answer.headers for answer in answers if answer.status_code == 429)
    assert statuses.count(200) == total >= 8
    assert len(list((tmp_path / "gateway" / "clips").iterdir())) == total
