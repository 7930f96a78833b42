"""The doctor's look at the machine: rooms, limits, GPUs, sizes, and the server that runs."""

from __future__ import annotations

import os
import socket
from types import SimpleNamespace

import pytest

from reelscope import container, doctor, embedded, settings
from reelscope.doctor import checks, machine
from reelscope.embedded.daemon import ServerRecord, ServerStatus

CPU = settings.profile("cpu")


def room(free_bytes):
    return SimpleNamespace(total=1e12, free=free_bytes)


@pytest.fixture(autouse=True)
def rooms(tmp_path, monkeypatch):
    """Folders of its own, and what is free in which folder: plenty, unless a test says otherwise."""
    for name in ("REPOSITORY", "WEIGHTS", "STATE"):
        monkeypatch.setenv(f"REELSCOPE_{name}", str(tmp_path / name.lower()))
    known = {}
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda folder: known.get(folder, room(5e11)))
    return known


def look(subject, profile=CPU):
    """What the one probe that looks at a subject says of it."""
    key = {"weights cache": "models", "state folder": "local server"}.get(subject, subject)
    return [check for check in doctor._guarded(key, doctor._PROBES[key], profile) if check.subject == subject]


def the(subject, profile=CPU):
    (check,) = look(subject, profile)
    return check


@pytest.mark.parametrize(
    ("room_bytes", "state"), [(0, "missing"), (64 << 20, "missing"), (256 << 20, "warning"), (4e9, "ok")]
)
def test_room_in_shared_memory(rooms, room_bytes, state):
    """64 MiB is what Docker gives: too little for the detector on 1280x720 (measured)."""
    rooms[machine._SHARED_MEMORY] = room(room_bytes)
    assert the("shared memory").state == state
    assert ("docker run --shm-size=" in the("shared memory").remedy) is (state != "ok")


def test_a_full_disk_is_a_warning(rooms, tmp_path):
    for folder in (tmp_path / "state", machine.Path(machine.tempfile.gettempdir())):
        rooms[folder] = room(5e8)
    assert {check.state for check in look("disk")} == {"warning"}
    assert "500.0 MB free" in look("disk")[0].finding


def test_limits_of_a_control_group(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "_CGROUP", tmp_path)
    contents = {
        "memory.max": "2000000000",
        "memory.current": "1500000000",
        "memory.stat": "anon 1\ninactive_file 400000000\n",
        "cpu.max": "150000 100000",
    }
    for name, content in contents.items():
        (tmp_path / name).write_text(f"{content}\n")
    assert the("memory").finding == "900.0 MB available of 2.0 GB"
    assert the("memory").state == "warning"
    assert (the("processors").state, the("processors").finding[:4]) == (
        "warning",
        "1.5;" if os.cpu_count() > 1 else "1; ",
    )
    for name in contents:
        (tmp_path / name).write_text("max\n")
    assert "available of" in the("memory").finding


def test_few_open_files(monkeypatch):
    monkeypatch.setattr(machine.resource, "getrlimit", lambda which: (256, 4096))
    assert (the("open files").state, the("open files").remedy) == ("warning", "ulimit -n 1024")


def nvidia_smi(folder, text, code=0):
    program = folder / "nvidia-smi"
    program.write_text(f"#!/bin/sh\necho '{text}'\nexit {code}\n")
    program.chmod(0o755)


def test_a_gpu_is_needed_by_gpu_profiles_only(tmp_path, monkeypatch):
    h200 = settings.profile("h200")
    assert (h200.needs_gpu, CPU.needs_gpu) == (True, False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert (the("GPU").state, the("GPU", h200).state) == ("ok", "missing")
    nvidia_smi(tmp_path, "NVIDIA H200, 580.95.05, 9.0, 143771 MiB")
    assert the("GPU", h200).state == "ok"
    assert the("GPU", h200).finding == "NVIDIA H200, 143771 MiB, compute capability 9.0, driver 580.95.05"
    nvidia_smi(tmp_path, "No devices were found", 6)
    assert (the("GPU").state, the("GPU", h200).state) == ("warning", "missing")
    nvidia_smi(tmp_path, "something else")
    assert the("GPU", h200).state == "missing"
    assert the("GPU", h200).finding == "nvidia-smi lists no GPU, but says: something else"


def test_an_old_driver_is_told_with_what_mends_it(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    nvidia_smi(tmp_path, "Quadro RTX 8000, 535.183.01, 7.5, 46080 MiB")
    found = the("GPU", settings.profile("rtx8000"))
    assert found.state == "missing"
    assert found.finding.endswith(
        "driver 535.183.01: the NVIDIA driver is 535.183.01; CUDA 13, which is served with, wants 580.65.06 or later"
    )
    assert found.remedy.startswith("apt-get install nvidia-driver-580-server")
    assert the("GPU").state == "warning", "the cpu profile runs all the same"


def test_keys_and_certificates_are_read(tmp_path, monkeypatch):
    assert (the("access").state, the("access").finding[:14]) == ("ok", "nothing is set")
    key = tmp_path / "key"
    monkeypatch.setenv("REELSCOPE_TRITON_ADMIN_KEY_FILE", str(key))
    assert (the("access").state, str(key) in the("access").finding) == ("missing", True)
    key.write_text("short")
    assert the("access").remedy == f"openssl rand -hex 32 > {key}"
    key.write_text("a" * 64)
    assert (the("access").state, the("access").finding) == ("ok", "key of the administrator set")
    assert "a" * 64 not in str(doctor.examine(CPU)), "a key is never printed"


def test_a_server_elsewhere_is_asked_and_this_machine_needs_none_of_its_own(monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"127.0.0.1:{taken.getsockname()[1]}"  # bound, and nobody listens
        found = {check.subject: check for check in doctor.examine(CPU, url)}
    assert found["server"].state == "missing"
    assert url in found["server"].finding
    assert not {"tritonserver", "models", "local server", "GPU"} & found.keys()
    assert {"Python", "access", "disk", "shared memory"} <= found.keys()
    monkeypatch.setattr(container, "not_ready", lambda url, profile, repositories: ["detections 1"])
    (said,) = (check for check in doctor.examine(CPU, url) if check.subject == "server")
    assert (said.state, said.remedy) == ("warning", f"reelscope models stats --url {url}")
    assert said.finding.endswith("models and ensembles ready; not detections 1")
    monkeypatch.setattr(container, "not_ready", lambda url, profile, repositories: [])
    (said,) = (check for check in doctor.examine(CPU, url) if check.subject == "server")
    assert said.state == "ok"


def test_sizes_of_folders(tmp_path):
    logs, cache = tmp_path / "state" / "logs", tmp_path / "weights"
    for folder in (logs, cache / "random", cache / "clip"):
        folder.mkdir(parents=True)
    for number in range(3):
        (logs / f"{number}.log").write_bytes(bytes(1000))
    (tmp_path / "state" / "other").write_bytes(bytes(500))
    for name, size in (("net.pt", 2_000_000), ("clip/a", 300_000), ("random/b.pt", 55_000), ("weights.lock.json", 100)):
        (cache / name).write_bytes(bytes(size))
    assert the("state folder").finding == f"{tmp_path / 'state'}, 3.5 kB, of it 3.0 kB in logs (3)"
    assert the("weights cache").finding == f"{cache}, 2.4 MB: 2 trained, 1 random"
    (cache / "loop").symlink_to(cache)
    assert checks.folder_bytes(cache) == pytest.approx(2_355_100, abs=200)
    assert checks.folder_bytes(tmp_path / "absent") == 0


@pytest.mark.parametrize(
    ("size_bytes", "words"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (13_149_999, "13.1 MB"),
        (999_960_000, "1.0 GB"),
        (25.3e9, "25.3 GB"),
        (5e15, "5000.0 TB"),
    ],
)
def test_sizes_in_words(size_bytes, words):
    assert checks.in_words(size_bytes) == words


@pytest.mark.parametrize(
    ("changes", "live", "ready", "state", "says"),
    [
        ({}, True, True, "ok", "1 of 1 models ready; log 2.0 kB"),
        ({}, True, False, "warning", "0 of 1 models ready"),
        ({}, False, False, "warning", "does not answer"),
        ({"profile": "h200"}, True, True, "warning", "one with profile h200"),
        ({"repository": "/elsewhere"}, True, True, "warning", "one with the models of /elsewhere"),
        ({"log_path": "/nowhere/a.log"}, True, True, "ok", "log is gone"),
    ],
)
def test_the_running_server(tmp_path, monkeypatch, changes, live, ready, state, says):
    (tmp_path / "a.log").write_bytes(bytes(2000))
    fields = {
        "profile": "cpu",
        "config_name": "cpu",
        "repository": str((tmp_path / "repository").resolve()),
        "grpc_url": "127.0.0.1:1",
        "metrics_url": "",
        "http_url": "",
        "log_path": str(tmp_path / "a.log"),
        "models": (CPU.models[0],),
        "failed": {},
        "biometrics": True,
        "supervisor_pid": 1,
        "supervisor_start_ticks": 1,
        "server_pid": 1,
    }
    status = ServerStatus(
        record=ServerRecord(**fields | changes), is_live=live, models={CPU.models[0]: ready}, supervision=None
    )
    monkeypatch.setattr(embedded, "status", lambda: status)
    check = the("local server")
    assert check.state == state
    assert says in check.finding
    assert check.remedy.startswith("reelscope server down") is (state == "warning")
