"""Bad input that only a server meets: damaged graphs, and shared memory that is full."""

from __future__ import annotations

import json
import os
import resource

import pytest

import clips
from reelscope import pipeline, settings
from reelscope.analyzers import ANALYZERS
from reelscope.inference import InferenceClient, memory
from reelscope.processes import ProcessIdentity
from reelscope.sources import ENSEMBLE_SOURCES
from reelscope_export.registry import ADAPTERS


@pytest.mark.parametrize("content", [b"this is no graph\n" * 50, b""])
def test_a_damaged_graph_names_model_file_and_command(cli, tmp_path, content):
    """Every graph of the profile damaged: each is named, and what needs none of them goes on."""
    profile = settings.profile("cpu")
    graphs = [model for model in profile.models if model not in ADAPTERS]
    for model in graphs:
        file = tmp_path / "repository" / model / "1" / profile.model_file
        file.parent.mkdir(parents=True)
        file.write_bytes(content)
    places = {"REELSCOPE_REPOSITORY": str(tmp_path / "repository"), "REELSCOPE_STATE": str(tmp_path / "state")}
    clip = clips.write(tmp_path / "clip.mp4", clips.pan(1, 30))
    done = cli("analyze", clip, "-o", tmp_path / "out", **places)
    assert done.returncode == 3, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    for model in graphs:
        assert f"{model} is not served: " in done.stderr
        assert f"{model}: 1/{profile.model_file} cannot be opened (" in done.stderr
        assert f"reelscope-export {model} --profile NAME --force" in done.stderr
    found = json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))["analyzers"]
    failed = {name for name, result in found.items() if result["status"] == "failed"}
    assert {found[name]["reason"] for name in failed} == {"model_unavailable"}
    assert failed == {analyzer.name for analyzer in ANALYZERS if set(analyzer.requires) & ENSEMBLE_SOURCES.keys()}
    done = cli("doctor", **places)
    assert done.returncode == 1
    for model in graphs:
        assert f"  reelscope-export {model} --profile cpu  # {model}\n" in done.stdout


def analyze(client, clip):
    found = pipeline.analyze(
        clip, analyzers=pipeline.select(["object_detection"]), profile=settings.profile("cpu"), client=client
    )
    return found.analyzers["object_detection"]


def test_shared_memory_that_is_full_is_done_without(server, tmp_path):
    """Frames travel inline, and what is found is the same; nothing of the attempt is left."""
    clip = clips.write(tmp_path / "a.mp4", clips.shots((50,), 100, height=360, width=640), rate=15)
    with InferenceClient(server.grpc_url) as client:
        expected = analyze(client, clip)
        assert client.uses_shared_memory
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    # No file may grow to the size of a window: the kernel refuses as it does when the memory is used up.
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, before[1]))
    try:
        with InferenceClient(server.grpc_url) as client:
            found = analyze(client, clip)
            assert not client.uses_shared_memory
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert (expected.status, found.status) == ("ok", "ok")
    assert found.segments == expected.segments
    me = ProcessIdentity.of(os.getpid())
    assert list(memory.SHARED_MEMORY.glob(f"{me.prefix(memory._NAME)}*")) == []


def test_room_is_left_for_what_the_server_hands_on(server, monkeypatch):
    """Where memory is short no window is taken: the server needs it for itself, and frames may travel inline."""
    wanted = memory.ROOM_WINDOWS * 20 * 72 * 128 * 3
    usage = memory.shutil.disk_usage
    monkeypatch.setattr(memory.shutil, "disk_usage", lambda folder: usage(folder)._replace(free=wanted - 1))
    with InferenceClient(server.grpc_url) as client:
        assert client.allocate(72, 128).array.shape == (20, 72, 128, 3)
        assert not client.uses_shared_memory
    monkeypatch.setattr(memory.shutil, "disk_usage", lambda folder: usage(folder)._replace(free=wanted))
    with InferenceClient(server.grpc_url) as client:
        client.allocate(72, 128)
        assert client.uses_shared_memory
