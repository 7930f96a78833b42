"""Bad input that only a server meets: damaged graphs, and shared memory that is full."""

from __future__ import annotations

import os
import resource

import pytest

import clips
from places import DEMO
from reelscope import pipeline, settings
from reelscope.inference import InferenceClient, memory
from reelscope.processes import ProcessIdentity
from reelscope_export import paths
from reelscope_export.registry import ADAPTERS


@pytest.mark.parametrize("content", [b"this is no graph\n" * 50, pytest.param(b"", marks=pytest.mark.slow)])
def test_a_damaged_graph_names_model_file_and_command(cli, tmp_path, content):
    """Every graph that the profile serves is damaged: no server, no results, and every model is named."""
    profile = settings.profile("cpu")
    graphs = [model for model in profile.models if model not in ADAPTERS]
    files = {model: paths.model_settings(paths.read_profiles(), "cpu", model).model_file for model in graphs}
    for model in graphs:
        file = tmp_path / "repository" / model / "1" / files[model]
        file.parent.mkdir(parents=True)
        file.write_bytes(content)
    places = {"REELSCOPE_REPOSITORY": str(tmp_path / "repository"), "REELSCOPE_STATE": str(tmp_path / "state")}
    done = cli("analyze", DEMO, "-o", tmp_path / "out", **places)
    assert done.returncode == 5, done.stdout + done.stderr
    assert "error (server_start_failed): " in done.stderr
    assert "Traceback" not in done.stderr
    for model in graphs:
        assert f"{model}: 1/{files[model]} cannot be opened (" in done.stderr
        assert f"reelscope-export {model} --profile NAME --force" in done.stderr
    assert list((tmp_path / "out").iterdir()) == []
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
