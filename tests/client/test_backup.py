"""Backup and restore: what comes back is what was saved, jobs and their clips included, or nothing does."""

from __future__ import annotations

import json
import tarfile

import pytest
from typer.testing import CliRunner

from reelscope import settings
from reelscope.cli import app
from reelscope.gateway.store import JobRecord, Store

WEIGHTS = b"weights" * 1000


def run(*arguments):
    return CliRunner().invoke(app, [str(each) for each in arguments])


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine with one job of an uploaded clip, and one built model; its archive."""
    monkeypatch.setenv("REELSCOPE_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("REELSCOPE_REPOSITORY", str(tmp_path / "repository"))
    built = settings.model_repository() / "object_yolov8" / "2" / "cpu.onnx"
    built.parent.mkdir(parents=True)
    built.write_bytes(WEIGHTS)
    gateway = settings.state_folder() / "gateway"
    (gateway / "clips").mkdir(parents=True)
    (gateway / "clips" / "one").write_bytes(b"clip")
    store = Store(gateway / "jobs.sqlite")
    store.add(JobRecord(id="one", name="cat.mp4", clip=gateway / "clips" / "one", is_upload=True, options={}))
    store.add(JobRecord(id="two", name="dog.mp4", clip=tmp_path / "dog.mp4", is_upload=False, options={}))
    done = run("backup", tmp_path / "a.tar")  # while the gateway has its database open
    store.close()
    assert done.exit_code == 0, done.output
    assert "no jobs" not in done.stdout
    return tmp_path / "a.tar"


def test_everything_comes_back(machine, tmp_path, monkeypatch):
    folder = tmp_path / "restored"
    done = run("restore", machine, folder)
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[-2:] == [
        f"export REELSCOPE_STATE={folder}/state",
        f"export REELSCOPE_REPOSITORY={folder}/model_repository",
    ]
    assert "another" not in done.stderr
    saved, restored = tmp_path / "repository", folder / "model_repository"
    names = {path.relative_to(saved) for path in saved.rglob("*") if path.is_file() and path.suffix != ".pyc"}
    assert {path.relative_to(restored) for path in restored.rglob("*") if path.is_file()} == names
    assert (restored / "object_yolov8" / "2" / "cpu.onnx").read_bytes() == WEIGHTS
    store = Store(folder / "state" / "gateway" / "jobs.sqlite")
    one, two = store.job("one"), store.job("two")
    store.close()
    assert one.clip == folder / "state" / "gateway" / "clips" / "one", "else the gateway would erase it as nobody's"
    assert one.clip.read_bytes() == b"clip"
    assert (one.name, two.clip) == ("cat.mp4", tmp_path / "dog.mp4")


def test_another_installation_is_named(machine, tmp_path, monkeypatch):
    (tmp_path / "here" / "server").mkdir(parents=True)
    monkeypatch.setattr(settings, "deployment_root", lambda: tmp_path / "here")
    done = run("restore", machine, tmp_path / "restored")
    assert done.exit_code == 0, done.output
    assert "this installation is another: requirements.lock, server/profiles.toml" in done.stderr
    assert "git checkout" in done.stderr


def edited(archive, name, content):
    """The archive with another content of one file, and the manifest as it was; without the file for None."""
    folder = archive.parent / "edited"
    with tarfile.open(archive) as old:
        old.extractall(folder, filter="data")
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(content)
    with tarfile.open(archive, "w") as new:
        new.add(folder, ".")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("model_repository/object_yolov8/2/cpu.onnx", b"other", "cpu.onnx is not what was saved"),
        ("state/gateway/clips/one", None, "clips/one is missing"),
        ("manifest.json", b"{}", "cannot be restored"),
        ("manifest.json", json.dumps({"version": "1", "commit": "", "files": {}, "more": 1}).encode(), "cannot be"),
    ],
)
def test_a_damaged_archive_leaves_nothing(machine, tmp_path, name, content, message):
    edited(machine, name, content)
    done = run("restore", machine, tmp_path / "restored")
    assert done.exit_code == 2
    assert message in done.stderr
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("restored")]


def test_what_is_no_archive_and_a_folder_in_use_are_refused(machine, tmp_path):
    (tmp_path / "text").write_text("no archive")
    assert "cannot be restored" in run("restore", tmp_path / "text", tmp_path / "restored").stderr
    assert "is not empty" in run("restore", machine, tmp_path / "state").stderr
    assert "cannot be written" in run("backup", tmp_path / "nowhere" / "a.tar").stderr


def test_a_machine_without_jobs_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("REELSCOPE_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("REELSCOPE_REPOSITORY", str(tmp_path / "repository"))
    done = run("backup", tmp_path / "a.tar")
    assert done.exit_code == 0, done.output
    assert "no jobs: no gateway has run" in done.stdout
