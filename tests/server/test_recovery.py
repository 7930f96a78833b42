"""What dies is seen, reported and started again, while clients go on asking; and what goes on dying is given up."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import threading
import time

import numpy as np
import processes
import pytest
import tiny_models
from typer.testing import CliRunner

from conftest import a_profile
from reelscope import embedded
from reelscope.cli import app
from reelscope.embedded import daemon, supervisor, use
from reelscope.embedded.supervisor import pause_seconds, stubs_of
from reelscope.errors import ChangeRefused, ReelscopeError
from reelscope.inference import RepositoryClient

PROFILE = a_profile(models=("add", "frame_sum", "describe"))
FRAMES = np.ones((1, 4, 4, 3), np.uint8)


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    """A server as `server up` leaves it, with an ensemble over a Python model."""
    folder = tmp_path_factory.mktemp("recovery")
    repositories = tiny_models.write_repositories(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REELSCOPE_STATE", str(folder / "state"))
        patch.setenv("REELSCOPE_REPOSITORY", str(repositories[0]))
        patch.setattr(embedded.server, "default_repositories", lambda: repositories)
        yield embedded.up(PROFILE)
        embedded.down()
    assert processes.of_server(str(folder)) == []
    assert processes.leaked_shared_memory() == []


@pytest.fixture
def traffic(record):
    """A client that asks the ensemble again and again, as others do all the time."""
    traffic = Traffic(record.grpc_url)
    with traffic:
        yield traffic


class Traffic:
    """`answers` are the moments of right answers, `errors` what was said instead, each with its moment."""

    def __init__(self, url):
        self.answers, self.errors, self._ended = [], [], threading.Event()
        self._url, self._thread = url, threading.Thread(target=self._run)

    def __enter__(self):
        self._thread.start()
        self.await_answer()

    def __exit__(self, *error):
        self._ended.set()
        self._thread.join()

    def await_answer(self):
        since = time.monotonic()
        processes.wait_until(lambda: self.answers and self.answers[-1] > since)

    def _run(self):
        with RepositoryClient(self._url) as client:
            while not self._ended.wait(0.02):
                try:
                    answer = client.ask("described", {"frames": FRAMES}, ["words"], 5)
                    assert answer.outputs["words"].tolist() == [[b"16 16 16"]]
                    self.answers.append(time.monotonic())
                except ReelscopeError as error:
                    self.errors.append((time.monotonic(), error))


def happened(record, count):
    said = daemon.supervision(record)
    return said is not None and said.state == "serving" and len(said.events) == count


def test_a_killed_server_is_started_again_at_the_same_address(record, traffic):
    before = daemon.supervision(record)
    began = time.monotonic()
    os.kill(before.server_pid, signal.SIGKILL)
    processes.wait_until(lambda: happened(record, len(before.events) + 1))
    traffic.await_answer()
    said = daemon.supervision(record)
    assert said.server_pid != before.server_pid
    assert said.events[-1].what == "tritonserver ended by itself, status -9"
    assert 0 < said.events[-1].seconds <= time.monotonic() - began
    status = embedded.status()
    assert status.is_ready
    assert status.record == record
    assert all(error.code in ("server_unreachable", "model_unavailable") for _, error in traffic.errors)
    shown = CliRunner().invoke(app, ["server", "status"])
    assert shown.exit_code == 0
    assert "tritonserver ended by itself, status -9: served again after" in shown.output
    with open(record.log_path) as log:
        assert "supervisor: tritonserver ended by itself, status -9; serves again after" in log.read()


def test_a_model_whose_process_is_killed_is_loaded_again(record, traffic):
    before = daemon.supervision(record)
    stub = stubs_of(before.server_pid)["describe_0_0"]
    os.kill(stub, signal.SIGKILL)
    processes.wait_until(lambda: happened(record, len(before.events) + 1))
    traffic.await_answer()
    said = daemon.supervision(record)
    assert said.server_pid == before.server_pid
    assert said.events[-1].what == "describe: its process is gone"
    assert stubs_of(said.server_pid)["describe_0_0"] != stub
    assert traffic.errors


@pytest.mark.slow
def test_what_is_unloaded_on_purpose_stays_unloaded(record):
    before = daemon.supervision(record)
    with RepositoryClient(record.grpc_url) as client:
        client.unload_model("add")
        processes.wait_until(lambda: "add_0_0" not in stubs_of(before.server_pid))
        # Long enough for the supervisor to look twice, and to ask.
        with contextlib.suppress(AssertionError):
            processes.wait_until(lambda: client.is_model_ready("add"), seconds=3 * supervisor._STUBS_SECONDS + 1)
        assert not client.is_model_ready("add")
        client.load_model("add", 30)
    assert len(daemon.supervision(record).events) == len(before.events)


def test_a_restart_waits_for_analyses_and_those_that_begin_wait_for_it(record):
    before = daemon.supervision(record)
    waits, began = threading.Event(), threading.Event()

    def analysis():
        with embedded.using(record.grpc_url, waits.set), RepositoryClient(record.grpc_url) as client:
            assert client.is_model_ready("described")
            began.set()

    with embedded.using(record.grpc_url):
        with pytest.raises(ChangeRefused, match="analyses still run after 0 s"):
            embedded.restart(0)
        assert daemon.supervision(record) == before
        restarting = threading.Thread(target=embedded.restart, args=(30,))
        restarting.start()
        processes.wait_until(lambda: not use._locked(use._open("gate"), fcntl.LOCK_SH))
        second = threading.Thread(target=analysis)
        second.start()
        assert waits.wait(10)
        assert not began.is_set()
        assert daemon.supervision(record) == before
    restarting.join()
    second.join()
    assert began.is_set()
    said = daemon.supervision(record)
    assert said.server_pid != before.server_pid
    assert said.events[-1].what == "restart was asked for"
    assert embedded.status().is_ready


def test_pauses_grow_and_end():
    moments = []
    pauses = []
    while (pause := pause_seconds(moments, 100.0)) is not None:
        pauses.append(pause)
        moments.append(100.0)
    assert pauses == [0, 1, 2, 4, 8]
    assert pause_seconds(moments, 100.0 + supervisor.RECOVERY_WINDOW_SECONDS) == 0
