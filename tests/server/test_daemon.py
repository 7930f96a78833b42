"""up, status, down: one server across commands, and records that are never trusted blindly."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap

import processes
import pytest
import tiny_models

from conftest import a_profile
from reelscope import embedded, settings
from reelscope.embedded import daemon
from reelscope.errors import UsageError

PROFILE = a_profile(models=("add",))


@pytest.fixture
def deployment(tmp_path, monkeypatch):
    """A state folder and a model repository of this test's own; nothing may remain of its server."""
    monkeypatch.setenv("REELSCOPE_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("REELSCOPE_REPOSITORY", str(tmp_path / "models"))
    tiny_models.write_model(tmp_path / "models", "add", tiny_models.add(), tiny_models.ADD_CONFIG)
    yield tmp_path
    embedded.down()
    assert processes.of_server(str(tmp_path)) == []
    assert processes.leaked_shared_memory() == []


UP = """
    import sys
    sys.path.insert(0, {tests!r})
    from conftest import a_profile
    from reelscope import embedded
    print(embedded.up(a_profile(models=("add",))).server_pid, flush=True)
"""


def command():
    script = textwrap.dedent(UP).format(tests=os.path.dirname(__file__))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env=environment)


def test_two_commands_at_once_start_one_server_that_outlives_them(deployment):
    first, second = command(), command()
    pids = {process.communicate(timeout=60)[0].strip() for process in (first, second)}
    assert len(pids) == 1
    status = embedded.status()
    assert status.is_ready
    assert status.models == {"add": True}
    assert status.record == embedded.running()
    assert str(status.record.server_pid) in pids
    assert embedded.up(PROFILE) == status.record
    with pytest.raises(UsageError, match="profile test runs already"):
        embedded.up(a_profile(name="other", models=("add",)))
    with pytest.raises(UsageError, match="without HTTP runs already"):
        embedded.up(PROFILE, http=True)
    assert status.record.repository == str(deployment / "models")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REELSCOPE_REPOSITORY", str(deployment / "others"))
        with pytest.raises(UsageError, match=f"with the models of {deployment / 'models'} runs already"):
            embedded.up(PROFILE)
    assert embedded.down()
    assert embedded.running() is None
    assert embedded.status() is None
    assert not embedded.down()


def test_crashed_supervisor_leaves_a_record_that_is_removed(deployment):
    record = embedded.up(PROFILE)
    os.kill(record.supervisor_pid, signal.SIGKILL)
    processes.wait_until(lambda: not processes.of_server(str(deployment)))
    processes.wait_until(lambda: embedded.running() is None)
    assert not (settings.state_folder() / "server.json").exists()


def test_record_of_a_recycled_pid_is_not_trusted(deployment):
    record = embedded.up(PROFILE)
    path = settings.state_folder() / "server.json"
    fields = json.loads(path.read_text())
    assert embedded.down()
    own_pid = os.getpid()
    path.write_text(
        json.dumps(fields | {"supervisor_pid": own_pid, "supervisor_start_ticks": record.supervisor_start_ticks})
    )
    assert not embedded.down()
    assert not path.exists()
    path.write_text('{"written": "by another version"}')
    assert embedded.running() is None
    assert not path.exists()


def test_command_killed_while_starting_leaves_no_server(deployment):
    process = command()
    processes.wait_until(lambda: processes.of_server(str(deployment)))
    process.kill()
    process.wait()
    process.stdout.close()
    processes.wait_until(lambda: not processes.of_server(str(deployment)))
    assert embedded.running() is None


def test_down_ends_a_server_that_does_not_obey(deployment, monkeypatch):
    record = embedded.up(PROFILE)
    monkeypatch.setattr(daemon.supervisor, "GRACE_SECONDS", 0.5)
    os.kill(record.supervisor_pid, signal.SIGSTOP)
    assert embedded.down()
    processes.wait_until(lambda: not processes.of_server(str(deployment)))
