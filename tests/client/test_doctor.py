"""The doctor: what it finds missing, what it says mends it, and that nothing that it looks at can make it fall over."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import PackageNotFoundError
from types import SimpleNamespace

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import save_file
from typer.testing import CliRunner

from reelscope import cli, doctor, settings
from reelscope.doctor import checks, machine, software
from reelscope_export import fingerprint, paths
from reelscope_export.weights import Weights

CPU = settings.profile("cpu")
FIRST = CPU.models[0]
SOURCE = "https://example.org/weights.pt"


def write_graph(file, trained=True, is_current=True):
    """A graph of one node with 40 kB of weights, or safetensors of as many, with what the exporter writes into them."""
    weights = Weights(file=file, sha256="0" * 64, trained=trained, source=SOURCE, revision="v1", licence="MIT")
    model = file.parent.parent.name
    stamp = fingerprint.fingerprint(paths.model_settings(paths.read_profiles(), "cpu", model), weights)
    shown = {name: getattr(weights, name) for name in ("sha256", "trained", "source", "revision", "licence")}
    metadata = {
        fingerprint.METADATA_KEY: stamp if is_current else "0" * 64,
        fingerprint.PROVENANCE_KEY: json.dumps(shown),
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.suffix == ".safetensors":
        save_file({"constant": np.zeros(10_000, np.float32)}, file, metadata)
        return
    constant = numpy_helper.from_array(np.random.default_rng(0).random(10_000, np.float32), "constant")
    output = helper.make_tensor_value_info("sum", TensorProto.FLOAT, [10_000])
    node = helper.make_node("Add", ["constant", "constant"], ["sum"])
    graph = helper.make_model(helper.make_graph([node], "graph", [], [output], [constant]))
    helper.set_model_props(graph, metadata)
    file.write_bytes(graph.SerializeToString())


@pytest.fixture(autouse=True)
def healthy(tmp_path, monkeypatch):
    """A machine of its own on which nothing is missing: folders, and a trained graph for every model."""
    for name in ("REPOSITORY", "WEIGHTS", "STATE"):
        monkeypatch.setenv(f"REELSCOPE_{name}", str(tmp_path / name.lower()))
    monkeypatch.delenv("TRITON_HOME", raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    for model in CPU.models:
        chosen = paths.model_settings(paths.read_profiles(), "cpu", model)
        if chosen.variant:  # the others are committed code alone
            write_graph(tmp_path / "repository" / model / "1" / chosen.model_file)
    roomy = SimpleNamespace(total=1e12, free=5e11)
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda folder: roomy)


@pytest.fixture
def first(tmp_path):
    return tmp_path / "repository" / FIRST / "1" / CPU.model_file


def run(*arguments):
    done = CliRunner().invoke(cli.app, ["doctor", *arguments])
    assert "Traceback" not in done.output
    return done


def look(subject, profile=CPU):
    """What the one probe that looks at a subject says of it: the others would only cost time."""
    key = subject.partition(",")[0]
    key = key if key in doctor._PROBES else "models"
    return [check for check in doctor._guarded(key, doctor._PROBES[key], profile) if check.subject == subject]


def the(subject, profile=CPU):
    (check,) = look(subject, profile)
    return check


@pytest.mark.slow
def test_a_healthy_machine_can_run_the_profile():
    found = doctor.examine(CPU)
    assert [check for check in found if check.state == "missing"] == []
    for model in CPU.models:
        assert the(model).state == "ok"
        pattern = rf"1/model\.py, \S+ k?B|1/cpu\.(onnx|safetensors), 40\.\d kB, trained: {SOURCE}"
        assert re.fullmatch(pattern, the(model).finding)
    done = run()
    assert done.exit_code == 0, done.output
    assert done.stdout.endswith("profile cpu can run\n")
    assert max(map(len, done.stdout.partition("to mend it:")[0].splitlines())) <= 80
    for check in found:
        assert check.subject in done.stdout


def test_a_model_that_is_not_built_names_its_command(first):
    first.unlink()
    check = the(FIRST)
    assert (check.state, check.finding) == ("missing", f"1/{CPU.model_file} is not built")
    done = run()
    assert done.exit_code == 1
    assert f"\n  reelscope-export {FIRST} --profile cpu  # {FIRST}\n" in done.stdout, "unbroken at 80 columns"
    assert done.stdout.endswith("profile cpu cannot run: 1 missing\n")


@pytest.mark.parametrize("share", [0, 0.1, 0.5, 0.9, 0.999])
def test_a_truncated_graph_is_noticed(first, share):
    whole = first.read_bytes()
    first.write_bytes(whole[: int(len(whole) * share)])
    assert the(FIRST).state == "missing"
    assert "damaged" in the(FIRST).finding
    assert the(FIRST).remedy == f"reelscope-export {FIRST} --profile cpu"


@pytest.mark.parametrize("content", [b"this is no graph\n" * 50, bytes(5000), b"\xff" * 5000, os.urandom(5000)])
def test_a_file_that_is_no_graph_is_noticed(first, content):
    first.write_bytes(content)
    assert (the(FIRST).state, "damaged" in the(FIRST).finding) == ("missing", True)


def test_random_weights_are_a_warning(first):
    write_graph(first, trained=False)
    check = the(FIRST)
    assert (check.state, check.remedy) == ("warning", f"reelscope-export {FIRST} --profile cpu --weights trained")
    assert "random weights" in check.finding
    assert run().exit_code == 0


def test_a_graph_of_other_code_is_a_warning(first):
    write_graph(first, is_current=False)
    check = the(FIRST)
    assert (check.state, check.remedy) == ("warning", f"reelscope-export {FIRST} --profile cpu")
    assert "other code" in check.finding


def test_every_version_that_is_served_is_looked_at(first):
    second = first.parents[1] / "2" / first.name
    second.parent.mkdir()
    second.write_bytes(b"no graph")
    assert "2/" in the(FIRST).finding
    assert the(FIRST).state == "missing"


def test_a_model_without_config_is_missing():
    check = the("telepathy", replace(CPU, models=("telepathy",)))
    assert (check.state, check.remedy) == ("missing", "python -m reelscope_export.configs")
    check = the(FIRST, replace(CPU, config_name="abacus"))
    assert "configs/abacus.pbtxt is missing" in check.finding
    assert check.remedy == "python -m reelscope_export.configs"


def test_an_exporter_that_cannot_answer_is_a_warning():
    check = the("models", replace(CPU, name="abacus"))
    assert check.state == "warning"
    assert "unknown_profile: no profile 'abacus'" in check.finding


def test_triton_that_is_not_there(tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("TRITON_HOME", str(tmp_path / "empty"))
    check = the("tritonserver")
    assert (check.state, check.remedy) == ("missing", "unset TRITON_HOME")
    assert "bin/tritonserver is missing" in check.finding
    assert run().exit_code == 1
    monkeypatch.delenv("TRITON_HOME")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert the("tritonserver").remedy.startswith("pip install --no-deps nvidia-pytriton==")


def without(monkeypatch, **versions):
    """Distributions as if these were installed in these versions; None for absent."""
    actual = software.version

    def version(name):
        if name.replace("-", "_") not in versions:
            return actual(name)
        if found := versions[name.replace("-", "_")]:
            return found
        raise PackageNotFoundError(name)

    monkeypatch.setattr(software, "version", version)


def test_a_plain_install_says_what_it_lacks(monkeypatch):
    without(monkeypatch, onnxruntime=None, onnxruntime_gpu=None, torch=None)
    monkeypatch.setattr(settings, "is_checkout", lambda: False)
    server, export = the("packages, server"), the("packages, export")
    assert (server.state, server.remedy) == ("missing", "pip install 'reelscope[server]'")
    assert re.fullmatch(r"onnxruntime==\S+ is absent", server.finding)
    assert (export.state, export.remedy) == ("warning", "pip install 'reelscope[export]'")
    assert "torch" in export.finding
    assert the("packages, client").state == "ok"
    assert run().exit_code == 1


def test_another_version_is_a_warning(monkeypatch):
    without(monkeypatch, av="1.0", onnxruntime="1.0")
    assert re.fullmatch(r"av 1\.0, not \S+", the("packages, client").finding)
    assert the("packages, client").state == the("packages, server").state == "warning"
    assert run().exit_code == 0


def test_the_gpu_build_serves_the_cpu_profile_but_not_the_other_way_round(monkeypatch):
    wanted = software.version("onnxruntime")
    without(monkeypatch, onnxruntime=None, onnxruntime_gpu=wanted)
    assert the("packages, server").state == "ok"
    without(monkeypatch, onnxruntime=wanted, onnxruntime_gpu=None)
    assert the("packages, server-gpu", replace(CPU, needs_gpu=True)).state == "missing"


def test_two_builds_of_one_package(monkeypatch):
    without(monkeypatch, opencv_python="5.0", opencv_python_headless="5.0")
    check = the("OpenCV")
    assert check.state == "warning"
    assert check.finding == "opencv-python-headless, opencv-python overwrite each other"
    assert check.remedy.startswith("pip uninstall -y opencv-python-headless opencv-python && pip install")
    names = ("opencv_python", "opencv_python_headless", "opencv_contrib_python", "opencv_contrib_python_headless")
    without(monkeypatch, **dict.fromkeys(names))
    assert the("OpenCV").state == "missing"


def test_an_uninstalled_package_is_no_crash(monkeypatch):
    def requires(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(software, "requires", requires)
    assert the("packages").state == "warning"


def test_another_platform(monkeypatch):
    monkeypatch.setattr(software.platform, "system", lambda: "Darwin")
    assert the("Python").state == "missing"
    assert "Darwin" in the("Python").finding


def test_a_repository_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("REELSCOPE_REPOSITORY", str(tmp_path / "file" / "models"))
    check = the("models")
    assert check.state == "missing"
    assert check.remedy.startswith("export REELSCOPE_REPOSITORY=")


def test_a_probe_that_fails_is_a_line(monkeypatch):
    def broken(profile):
        yield checks.ok("half", "seen")
        raise ZeroDivisionError("oops")

    count = len(doctor.examine(CPU))
    monkeypatch.setitem(doctor._PROBES, "memory", broken)
    found = doctor.examine(CPU)
    assert len(found) == count + 1
    assert checks.Check("memory", "warning", "cannot be looked at (ZeroDivisionError: oops)") in found


def test_an_unknown_profile_is_a_usage_error():
    assert run("--profile", "abacus").exit_code == 2


def test_it_is_light_and_asks_no_network():
    code = """
import socket, sys
def refuse(*_): raise AssertionError("network")
socket.socket.connect = socket.getaddrinfo = refuse
from reelscope import doctor, settings
found = doctor.examine(settings.profile("cpu"))
assert not [check for check in found if "AssertionError" in check.finding], found
print(sorted({"torch", "onnx", "onnxruntime", "cv2", "av", "scipy", "pydantic"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_state_folder_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("REELSCOPE_STATE", str(tmp_path / "file"))
    done = run()
    assert done.exit_code == 1
    assert str(tmp_path / "file") in done.stdout.replace("\n", "").replace("│", "").replace(" ", "")
    assert "export REELSCOPE_STATE=" in done.stdout
    assert the("disk").state == "ok", "the other lines are still there"
