"""The command line: what it refuses, what it prints, how it ends; no server is started here."""

from __future__ import annotations

import contextlib
import copy
import json
import os
import signal
import time
from dataclasses import replace
from types import SimpleNamespace
from typing import ClassVar

import pytest
from typer.testing import CliRunner

import clips
from places import DEMO
from reelscope import cli, embedded, inference, pipeline, settings
from reelscope.embedded.daemon import ServerRecord
from reelscope.errors import ServerStartFailed, UsageError
from reelscope.results import to_json, write

SELECTED = pipeline.select(["cut_analysis"])


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return clips.write(tmp_path_factory.mktemp("clips") / "a.mp4", clips.shots((6,), 12))


@pytest.fixture(scope="module")
def found(clip):
    return pipeline.analyze(clip, analyzers=SELECTED, profile=settings.profile("cpu"), client=None)


@pytest.fixture
def results(found, tmp_path):
    write(to_json(found, SELECTED), tmp_path / "results.json")
    return tmp_path / "results.json"


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch):
    monkeypatch.setenv("REELSCOPE_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def unused_pipeline(monkeypatch):
    """An analysis that must never begin."""
    monkeypatch.setattr(pipeline, "analyze", lambda *_, **__: pytest.fail("the analysis began"))


def run(*arguments):
    return CliRunner().invoke(cli.app, [str(argument) for argument in arguments])


def refused(*arguments):
    done = run(*arguments)
    assert done.exit_code == 2, done.output
    return done.stderr


def changed(results, name, change):
    values = json.loads(results.read_text(encoding="utf-8"))
    change(values)
    other = results.with_name(name)
    other.write_text(json.dumps(values), encoding="utf-8")
    return other


@pytest.mark.parametrize("folder", ["x[/x]", "[red]", "a:smile:b"])
def test_a_path_is_no_markup(clip, tmp_path, folder):
    output = tmp_path / folder
    done = run("analyze", clip, "-o", output, "--only", "cut_analysis")
    assert done.exit_code == 0, done.output
    assert str(output / "results.json") in done.stdout


def test_what_an_analyzer_says_is_no_markup(clip, found, tmp_path, monkeypatch):
    result = replace(found.analyzers["cut_analysis"], status="failed", reason="[/a]", message="[/b]", summary=None)
    broken = replace(found, analyzers={"cut_analysis": result})
    monkeypatch.setattr(pipeline, "analyze", lambda *_, **__: broken)
    done = run("analyze", clip, "-o", tmp_path, "--only", "cut_analysis")
    assert done.exit_code == 3, done.output
    assert "failed: [/a]" in done.stdout
    assert "[/b]" in done.stdout


def test_a_value_of_a_checked_file_is_no_markup(results):
    bad = changed(results, "bad.json", lambda values: values["media"].update(width="[/red]"))
    done = run("check", bad)
    assert done.exit_code == 1, done.output
    assert "'[/red]' is not of type 'integer'" in done.stdout


def test_an_error_is_no_markup(tmp_path):
    done = run("analyze", tmp_path / "[" / "red]", "-o", tmp_path)
    assert done.exit_code == 4
    assert "[/red]" in done.stderr


def test_what_was_not_checked_is_not_said_to_hold(results):
    done = run("check", results)
    assert done.exit_code == 0, done.output
    assert done.stdout == "I1, I2, I3, I4, I5, I6, I9 hold; not checked: I7, I8\n"
    bad = changed(results, "bad.json", lambda values: values.update(surprise=1))
    last = run("check", bad, "--rerun", results).stdout.splitlines()[-1]
    assert last == "broken: I1; not checked: I2, I3, I4, I5, I6, I7, I8, I9"
    bad = changed(results, "bad.json", lambda values: values["shots"][1].update(score=2))
    last = run("check", bad, "--rerun", bad).stdout.splitlines()[-1]
    assert last == "I1, I2, I4, I5, I6, I7, I9 hold; broken: I3; not checked: I8"


@pytest.mark.parametrize("option", ["--rerun", "--flipped", "--rotated", "--doubled"])
@pytest.mark.parametrize("text", ['{"analyzers": {}}', '{"analyzers": null}'])
def test_a_second_file_that_is_damaged_is_named(results, tmp_path, option, text):
    (tmp_path / "second.json").write_text(text, encoding="utf-8")
    done = run("check", results, option, tmp_path / "second.json")
    assert done.exit_code == 1, done.output
    assert f"I1 {tmp_path / 'second.json'}: $" in done.stdout
    assert "I7, I8" in done.stdout.partition("not checked: ")[2]


@pytest.mark.parametrize("only", ["", " ", ",", " , "])
def test_only_nothing_is_refused(clip, tmp_path, unused_pipeline, only):
    said = refused("analyze", clip, "-o", tmp_path / "out", "--only", only)
    assert "--only names no analyzer" in said
    assert "cut_analysis" in said


def test_only_is_read_generously(clip, tmp_path):
    done = run("analyze", clip, "-o", tmp_path, "--only", " cut_analysis, color_analysis ,,cut_analysis,")
    assert done.exit_code == 0, done.output
    assert set(json.loads((tmp_path / "results.json").read_text())["analyzers"]) == {"cut_analysis", "color_analysis"}


@pytest.mark.parametrize(
    "url",
    [
        "",
        "http://localhost:8001",
        "localhost",
        "localhost:",
        ":8001",
        "localhost:0",
        "localhost:65536",
        "::1:8001",
        "a b:1",
    ],
)
def test_a_url_that_is_no_address_is_refused(clip, tmp_path, unused_pipeline, url):
    assert "HOST:PORT" in refused("analyze", clip, "-o", tmp_path, "--url", url)


@pytest.mark.parametrize("url", ["[::1]:8001", "localhost:8001", "triton.example.org:1", "10.0.0.1:65535"])
def test_a_url_that_is_an_address(clip, tmp_path, monkeypatch, url):
    asked = []

    @contextlib.contextmanager
    def client(address):
        asked.append(address)
        raise UsageError("enough")
        yield

    monkeypatch.setattr(inference, "InferenceClient", client)
    assert "enough" in refused("analyze", clip, "-o", tmp_path, "--url", url)
    assert asked == [url]


@pytest.mark.parametrize("kind", ["below a file", "results.json is a folder", "read-only"])
def test_an_output_that_cannot_be_written_is_refused_before_the_analysis(clip, tmp_path, unused_pipeline, kind):
    output = tmp_path / "out"
    if kind == "below a file":
        (tmp_path / "file").touch()
        output = tmp_path / "file" / "out"
    elif kind == "results.json is a folder":
        (output / "results.json").mkdir(parents=True)
    else:
        if os.geteuid() == 0:
            output = "/proc/self"  # root may write to every folder but those of the kernel
        else:
            output.mkdir(mode=0o500)
    assert "cannot be written" in refused("analyze", clip, "-o", output, "--only", "cut_analysis")


def test_the_probe_of_the_output_leaves_nothing(clip, tmp_path):
    for options, left in (("--no-report",), {"results.json"}), ((), {"report.html", "results.json"}):
        done = run("analyze", clip, "-o", tmp_path / "out", "--only", "cut_analysis", *options)
        assert done.exit_code == 0, done.output
        assert {file.name for file in (tmp_path / "out").iterdir()} == left


@pytest.mark.parametrize("kind", ["a file", "below a file"])
def test_a_state_folder_that_cannot_be_is_named(tmp_path, monkeypatch, kind):
    (tmp_path / "file").touch()
    path = tmp_path / "file" if kind == "a file" else tmp_path / "file" / "state"
    monkeypatch.setenv("REELSCOPE_STATE", str(path))
    with pytest.raises(UsageError, match=r"REELSCOPE_STATE.*file"):
        settings.state_folder()
    said = refused("server", "status")
    assert "REELSCOPE_STATE" in said
    assert str(path) in said


def test_a_state_folder_that_is_read_only_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("REELSCOPE_STATE", str(tmp_path))
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(UsageError, match=r"REELSCOPE_STATE.*Permission denied"):
        settings.state_folder()


def test_a_repository_that_cannot_be_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("REELSCOPE_REPOSITORY", str(tmp_path / "file" / "models"))
    with pytest.raises(UsageError, match=r"REELSCOPE_REPOSITORY.*file"):
        settings.model_repository()


def test_one_is_singular(tmp_path):
    still = clips.write(tmp_path / "still.mp4", clips.pan(1, 1))
    done = run("analyze", still, "-o", tmp_path, "--only", "cut_analysis")
    assert done.exit_code == 0, done.output
    assert "1 frame, " in done.stdout
    assert done.stdout.splitlines()[0].endswith(", 1 shot")


@pytest.fixture
def own_server(monkeypatch):
    """A server of this job's own and a client that do nothing but remember; what they remember."""
    happened = []

    class Server:
        grpc_url = "127.0.0.1:1"
        failed: ClassVar = {"text_reader": ServerStartFailed("text_reader did not load")}

        def __init__(self, profile, on_progress, recovers):
            assert not recovers, "it ends with the job"

        def __enter__(self):
            happened.append("server started")
            return self

        def __exit__(self, *_):
            happened.append("server stopped")

    @contextlib.contextmanager
    def client(url):
        happened.append(f"connected to {url}")
        try:
            yield SimpleNamespace()
        finally:
            happened.append("memory unregistered")

    monkeypatch.setattr(embedded, "EmbeddedServer", Server)
    monkeypatch.setattr(inference, "InferenceClient", client)
    return happened


@pytest.mark.parametrize(
    ("number", "code", "says"), [(signal.SIGTERM, 143, "terminated"), (signal.SIGINT, 130, "interrupted")]
)
def test_a_signal_ends_a_job_in_order(tmp_path, monkeypatch, own_server, number, code, says):
    def end(*_, **__):
        os.kill(os.getpid(), number)
        time.sleep(30)  # until it arrives: another thread may be the first that the system gives it to

    monkeypatch.setattr(pipeline, "analyze", end)
    before = signal.getsignal(signal.SIGTERM)
    # Without a handler of ours SIGTERM would end the tests themselves.
    signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        done = run("analyze", DEMO, "-o", tmp_path)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert done.exit_code == code, done.output
    assert own_server == ["server started", "connected to 127.0.0.1:1", "memory unregistered", "server stopped"]
    assert "text_reader is not served: text_reader did not load" in done.stderr
    assert "stopping the server" in done.stderr
    assert done.stderr.splitlines()[-1] == says
    assert "Traceback" not in done.output


def a_record(**changes):
    fields = {
        "profile": "cpu",
        "config_name": "cpu",
        "repository": str(settings.model_repository().resolve()),
        "grpc_url": "127.0.0.1:2",
        "metrics_url": "",
        "http_url": "",
        "log_path": "",
        "models": (),
        "failed": {},
        "biometrics": True,
        "supervisor_pid": 1,
        "supervisor_start_ticks": 1,
        "server_pid": 1,
    }
    return ServerRecord(**fields | changes)


@pytest.mark.parametrize(
    ("changes", "address", "says"),
    [
        ({}, "127.0.0.1:2", None),
        ({"profile": "h200"}, "127.0.0.1:1", "with profile h200"),
        ({"repository": "/else[/where]"}, "127.0.0.1:1", "with the models of /else[/where]"),
        ({"biometrics": False}, "127.0.0.1:1", "without biometrics"),
    ],
)
def test_the_running_server_is_used_when_it_serves_the_same(
    clip, tmp_path, monkeypatch, own_server, found, changes, address, says
):
    monkeypatch.setattr(embedded, "running", lambda: a_record(**changes))
    monkeypatch.setattr(pipeline, "analyze", lambda *_, **__: copy.copy(found))
    monkeypatch.setattr(pipeline, "select", lambda names: SELECTED)
    monkeypatch.setattr(pipeline, "needed_ensembles", lambda analyzers: ("detections",))
    done = run("analyze", clip, "-o", tmp_path)
    assert done.exit_code == 0, done.output
    assert f"connected to {address}" in own_server
    assert ("starting another" in done.stderr) is (says is not None)
    assert says is None or says in done.stderr
