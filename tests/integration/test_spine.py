"""The spine as a user meets it: the command line, on the real server, on good and bad days."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tritonclient.grpc as triton
from live import until

import clips
from places import CHECKOUT, DEMO
from reelscope import check, pipeline, settings
from reelscope.analyzers import ANALYZERS
from reelscope.embedded import EmbeddedServer
from reelscope.inference import InferenceClient
from reelscope.results import to_json

UNTRAINED = {
    "object_detection": {"object_yolov8"},
    "background_segmentation": {"segmentation_segformer"},
    "body_pose": {"pose_yolov8"},
    "age_estimation": {"face_detection_scrfd", "face_attributes"},
    "scene_segmentation": {"embedding_clip"},
    "eye_tracking": {"face_detection_scrfd", "face_landmarks"},
    "face_emotion": {"face_detection_scrfd", "face_expression"},
}
"""What claims nothing with random weights, and the models that it says this of."""
STATED_ALWAYS = {"sensitive", "opt_out", "source"}
"""Fields of a summary that tell what it is, not what was found."""


def read(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def test_demo_clip_is_recovered(demo_results):
    results = read(demo_results)
    assert {name: found["status"] for name, found in results["analyzers"].items()} == {
        analyzer.name: "ok" for analyzer in ANALYZERS
    }
    done = subprocess.run(
        [sys.executable, CHECKOUT / "tests" / "demo" / "compare.py", demo_results],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_media_facts(demo_results):
    media = read(demo_results)["media"]
    assert media["sha256"] == hashlib.sha256(DEMO.read_bytes()).hexdigest()
    assert (media["width"], media["height"], media["n_frames"]) == (720, 1280, 300)
    assert media["duration_s"] == pytest.approx(10.0, abs=0.001)
    assert media["audio"] == {
        "present": True,
        "sr": 48000,
        "channels": 2,
        "offset_s": pytest.approx(0, abs=0.001),
        "n_damaged": 0,
        "coverage": 1.0,
    }


def test_results_keep_the_invariants(cli, demo_results):
    done = cli("check", demo_results)
    assert done.returncode == 0, done.stdout
    assert "I1, I2, I3, I4, I5, I6, I9 hold" in done.stdout


def test_random_weights_are_declared_and_claim_nothing(demo_results):
    analyzers = read(demo_results)["analyzers"]
    for name, models in UNTRAINED.items():
        found = analyzers[name]
        assert {each["name"] for each in found["models"] if not each["trained"]} == models, name
        assert {f"untrained_model:{model}" for model in models} <= set(found["warnings"]), name
        said = {field: value for field, value in found["summary"].items() if field not in STATED_ALWAYS}
        assert said, name
        assert set(said.values()) <= {None}, name
    assert analyzers["scene_segmentation"]["segments"] == []
    for name, absent in (("camera_analysis", "object_tracks"), ("content_quality", "frame_embeddings")):
        assert analyzers[name]["inputs"]["missing_inputs"] == [absent]
        assert (analyzers[name]["models"], analyzers[name]["warnings"]) == ([], [])


def test_only_and_detail(cli, tmp_path):
    """Analyzers that need no server run without one."""
    sizes = {}
    for detail in ("standard", "full"):
        done = cli("analyze", DEMO, "-o", tmp_path / detail, "--only", "cut_analysis", "--detail", detail)
        assert done.returncode == 0, done.stderr
        results = read(tmp_path / detail / "results.json")
        assert list(results["analyzers"]) == ["cut_analysis"]
        sizes[detail] = len(results["analyzers"]["cut_analysis"]["series"]["cols"].get("t", []))
    assert sizes == {"standard": 0, "full": 300}


@pytest.mark.parametrize(
    ("twin", "option"),
    [
        ("flipped", "--flipped"),
        pytest.param("doubled", "--doubled", marks=pytest.mark.slow),
        pytest.param("rotated", "--rotated", marks=pytest.mark.slow),
    ],
)
def test_twins_tell_the_same(cli, server, tmp_path, twin, option):
    frames = clips.shots((20, 47), 75)
    plain = clips.write(tmp_path / "plain.mp4", frames, crf=12)
    if twin == "flipped":
        other = clips.write(tmp_path / "twin.mp4", [frame[:, ::-1] for frame in frames], crf=12)
    elif twin == "doubled":
        other = clips.write(tmp_path / "twin.mp4", [frame for frame in frames for _ in (0, 1)], rate=60, crf=12)
    else:
        turned = clips.write(tmp_path / "turned.mp4", [frame.swapaxes(0, 1)[:, ::-1] for frame in frames], crf=12)
        other = clips.rotate_tag(turned, tmp_path / "twin.mp4", 270)
    for path in (plain, other):
        done = cli("analyze", path, "-o", tmp_path / path.stem, "--url", server.grpc_url)
        assert done.returncode == 0, done.stderr
    done = cli("check", tmp_path / "plain" / "results.json", option, tmp_path / "twin" / "results.json")
    assert done.returncode == 0, done.stdout
    assert "I8" in done.stdout.partition("not checked")[0]


@pytest.mark.parametrize(
    ("make", "code", "says"),
    [
        (lambda folder: folder / "missing.mp4", 4, "no such file"),
        (lambda folder: folder, 4, "is a folder"),
        (lambda folder: _file(folder / "empty.mp4", b""), 4, "empty"),
        (lambda folder: _file(folder / "text.mp4", b"this is no video\n" * 50), 4, "not a media file"),
        (lambda folder: clips.tone_only(folder / "sound.m4a"), 4, "no video stream"),
    ],
)
def test_bad_clips_are_one_line_and_exit_4(cli, tmp_path, make, code, says):
    done = cli("analyze", make(tmp_path), "-o", tmp_path / "out")
    assert done.returncode == code
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def _file(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_wrong_url_exits_5(cli, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        done = cli("analyze", DEMO, "-o", tmp_path, "--url", f"127.0.0.1:{free.getsockname()[1]}")
    assert done.returncode == 5
    assert "no Triton server answers at 127.0.0.1" in done.stderr


def test_model_not_built_exits_5_and_names_the_command(cli, tmp_path):
    done = cli("analyze", DEMO, "-o", tmp_path / "out", REELSCOPE_REPOSITORY=str(tmp_path / "repository"))
    assert done.returncode == 5
    assert "reelscope-export" in done.stderr
    assert "--profile cpu" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("analyze", DEMO, "-o", "x", "--only", "mind_reading"),
        ("analyze", DEMO, "-o", "x", "--profile", "abacus"),
        ("analyze", DEMO, "-o", "x", "--detail", "some"),
        ("analyze", DEMO, "-o", "x", "--only", ","),
        ("analyze", DEMO, "-o", "x", "--url", "http://localhost:8001"),
        ("analyze", DEMO),
        ("check", DEMO),
    ],
)
def test_usage_errors_exit_2(cli, arguments):
    done = cli(*arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_an_output_folder_that_cannot_be_written_exits_2(cli, tmp_path):
    blocked = _file(tmp_path / "file", b"")
    done = cli("analyze", DEMO, "-o", blocked / "out", "--only", "cut_analysis")
    assert done.returncode == 2
    assert "cannot be written" in done.stderr


def test_server_killed_in_mid_clip(environment):
    """Results are written, the analyzer that needed the server says why it failed, and nothing is left behind."""
    profile = settings.profile("cpu")
    analyzers = pipeline.select(["object_detection", "cut_analysis", "color_analysis"])
    with EmbeddedServer(profile, models=["object_yolov8"]) as running, InferenceClient(running.grpc_url) as client:
        killed = []

        def kill(stage: str, share: float) -> None:
            if stage == "decode" and share > 0.5 and not killed:
                killed.append(running.pid)
                os.kill(running.pid, signal.SIGKILL)

        owners = {str(running.supervisor.pid), str(os.getpid())}
        results = pipeline.analyze(DEMO, analyzers=analyzers, profile=profile, client=client, on_progress=kill)
        assert killed
    found = results.analyzers["object_detection"]
    assert (found.status, found.reason) == ("failed", "model_unavailable")
    assert results.analyzers["cut_analysis"].status == "ok"
    assert results.analyzers["color_analysis"].status == "ok"
    assert len(results.shots) == 9
    assert check.check(to_json(results, analyzers)) == []
    until(lambda: not [name for name in os.listdir("/dev/shm") if owners & set(name.split("-"))], 10)
    assert not Path(f"/proc/{killed[0]}").exists()


def job(*arguments: object) -> subprocess.Popen[str]:
    command = [str(Path(sys.executable).parent / "reelscope"), "analyze", str(DEMO), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_terminated_job_unregisters_its_memory(server, tmp_path):
    with triton.InferenceServerClient(server.grpc_url) as client:

        def registered() -> set[str]:
            return set(client.get_system_shared_memory_status().regions)

        before = registered()
        process = job("-o", tmp_path, "--url", server.grpc_url)
        while not registered() - before and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=60)
        assert process.returncode == 143, said
        assert "Traceback" not in said
        assert registered() == before


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow)]
)
def test_a_job_that_is_ended_stops_its_server(environment, tmp_path, number, code):
    process = job("-o", tmp_path)
    servers: list[int] = []
    while not any(_has_window(pid) for pid in servers) and process.poll() is None:
        time.sleep(0.02)
        servers = _descendants(process.pid)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == code, said
    assert "stopping the server" in said
    assert "Traceback" not in said
    assert len(servers) >= 2
    assert not [pid for pid in servers if Path(f"/proc/{pid}").exists()]


def _descendants(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children")
    found = [int(child) for child in children.read_text().split()] if children.exists() else []
    return [*found, *(below for child in found for below in _descendants(child))]


@pytest.mark.slow
def test_server_killed_in_mid_clip_exits_3_and_the_next_run_works(cli, environment, tmp_path):
    """The same through the command line, on the server that `server up` keeps; then on the one that took its place."""
    done = cli("server", "up")
    assert done.returncode == 0, done.stderr
    from reelscope import embedded

    record = embedded.running()
    assert record is not None
    process = job("-o", tmp_path / "killed")
    while not _has_window(record.server_pid) and process.poll() is None:
        time.sleep(0.02)
    os.kill(record.server_pid, signal.SIGKILL)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 3, said
    results = read(tmp_path / "killed" / "results.json")
    assert results["analyzers"]["object_detection"]["reason"] == "model_unavailable"
    assert results["analyzers"]["cut_analysis"]["status"] == "ok"
    # The next waits for the server, which its supervisor starts again.
    done = cli("analyze", DEMO, "-o", tmp_path / "next")
    assert done.returncode == 0, done.stderr
    assert read(tmp_path / "next" / "results.json")["analyzers"]["object_detection"]["status"] == "ok"


def _has_window(pid: int) -> bool:
    """Whether the server has mapped a window: the region's name is gone by then, its mapping is not."""
    try:
        maps = Path(f"/proc/{pid}/maps").read_text(encoding="utf-8")
    except OSError:
        return False
    return any("/dev/shm/reelscope-window" in line and line.endswith("(deleted)") for line in maps.splitlines())


def test_server_commands(cli, environment):
    assert cli("server", "status").returncode == 5
    up = cli("server", "up")
    assert up.returncode == 0, up.stderr
    status = cli("server", "status")
    assert status.returncode == 0
    assert "object_yolov8" in status.stdout
    assert "detections" in status.stdout
    assert "stopped" in cli("server", "down").stdout
    assert "none was running" in cli("server", "down").stdout
