"""The GPU check: what it reads from nvidia-smi, when it fails, what it writes; and all of its steps on the CPU."""

from __future__ import annotations

import json
import math
import os
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

import benchmarks
from benchmarks import asking, gpu_check
from reelscope import settings
from reelscope_export.ensembles import ENSEMBLES
from reelscope_export.registry import ADAPTERS
from reelscope_export.verify import Measure

SMI = """#!/bin/sh
echo "$1" > {called}
echo 'NVIDIA H200, 580.159.04, 9.0, 143771, 512'
echo 'NVIDIA H200, 580.159.04, 9.0, 143771, 7'
"""
SPEED = gpu_check.Speed(
    {"p50_ms": 4.44, "min_ms": 4.0, "max_ms": 5.0, "repeats": 20},
    {"p50_ms": 21.16, "min_ms": 20.0, "max_ms": 25.0, "repeats": 20},
    1234.5,
)
MATCHED = Measure("matched", 0.99, 0.98, at_least=True)


@pytest.fixture
def smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An nvidia-smi first on PATH; the file holds what it was asked for."""
    called = tmp_path / "called"
    program = tmp_path / "nvidia-smi"
    program.write_text(SMI.format(called=called))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    return called


def measured(**changes: object) -> gpu_check.Figures:
    fields: dict = {
        "export_seconds": 41.5,
        "file_mb": 52.1,
        "instances": [{"kind": "KIND_GPU", "count": 2}],
        "load_seconds": 2.25,
        "loaded_mib": 1500,
        "full_batch_mib": 6100,
        "full_batch_rows": 32,
        "speed": SPEED,
        "parity": [MATCHED],
    }
    return gpu_check.Figures("yolov8m", "fp16", **(fields | changes))


def printed(checked: dict[str, gpu_check.Figures], width: int) -> str:
    console = Console(width=width)
    with console.capture() as capture:
        console.print(gpu_check.table(checked))
    return capture.get()


def test_the_first_gpu_is_read(smi: Path) -> None:
    gpu = gpu_check.read_gpu()
    assert gpu == gpu_check.Gpu("NVIDIA H200", "580.159.04", "9.0", total_mib=143771, used_mib=512)
    assert smi.read_text().strip() == "--query-gpu=name,driver_version,compute_cap,memory.total,memory.used"


def test_without_a_gpu_a_gpu_profile_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SystemExit) as stopped:
        gpu_check.main(["--profile", "h200"])
    assert stopped.value.code == 2
    assert "profile h200 needs a GPU, and nvidia-smi is not here" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "passed"),
    [
        ({}, True),
        ({"parity": [MATCHED, Measure("difference", 0.2, 0.1)]}, False),
        ({"parity": [Measure("difference", math.nan, 0.1)]}, False),
        ({"parity": []}, False),
        ({"error": "ServerStartFailed: no"}, False),
    ],
)
def test_it_passes_only_when_all_was_compared_and_kept(changes: dict, passed: bool) -> None:
    assert measured(**changes).passed is passed


def test_json_holds_figures_and_verdicts() -> None:
    broken = Measure("box difference", math.inf, 0.05, "px")
    written = json.loads(json.dumps(measured(parity=[MATCHED, broken]).to_json(), allow_nan=False))
    assert written["speed"]["window"]["p50_ms"] == 21.16
    assert (written["loaded_mib"], written["full_batch_mib"]) == (1500, 6100)
    assert written["parity"] == [
        {"name": "matched", "value": 0.99, "bound": 0.98, "unit": "", "at_least": True, "passed": True},
        {"name": "box difference", "value": None, "bound": 0.05, "unit": "px", "at_least": False, "passed": False},
    ]
    assert written["passed"] is False


def test_what_was_not_measured_is_null() -> None:
    written = gpu_check.Figures("yolov8m", "fp16", error="VerificationFailed: matched 0.5").to_json()
    assert {name for name, value in written.items() if value is None} == {
        "export_seconds",
        "file_mb",
        "load_seconds",
        "loaded_mib",
        "full_batch_mib",
        "full_batch_rows",
        "speed",
    }
    assert written["passed"] is False


def test_the_table_shows_figures_and_what_broke() -> None:
    checked = {
        "object_yolov8": measured(parity=[MATCHED, Measure("difference", 0.2, 0.1)]),
        "embedding_clip": gpu_check.Figures("clip", "fp16", error="ServerStartFailed: no CUDA"),
    }
    text = printed(checked, 150)
    for expected in ("yolov8m fp16", "1500", "full 6100", "4.4", "21.2", "2.2", "1234", "matched 0.99 (>= 0.98)"):
        assert expected in text
    assert "difference 0.2 (<= 0.1) BROKEN" in text
    assert "ServerStartFailed: no CUDA" in text
    assert max(map(len, printed(checked, 80).splitlines())) <= 80


def test_a_scene_is_of_squares() -> None:
    frames = asking.scene(2)
    assert frames.shape == (2, 1280, 720, 3)
    assert frames.dtype == "uint8"
    assert (frames[:, :80, :80] == frames[:, :1, :1]).all()
    assert len({tuple(colour) for colour in frames[0].reshape(-1, 3)}) > 100


@pytest.mark.parametrize("name", [each.name for each in ENSEMBLES])
def test_samples_are_what_an_ensemble_takes(name: str) -> None:
    ensemble = next(each for each in ENSEMBLES if each.name == name)
    batched = ensemble.max_batch_size > 0
    types = {"TYPE_UINT8": "uint8", "TYPE_INT32": "int32", "TYPE_FP32": "float32", "TYPE_STRING": "object"}
    for tensor in ensemble.inputs:
        found = asking.sample(tensor, 3, batched=batched)
        assert found.dtype == types[tensor.data_type]
        dims = tensor.dims if batched else tensor.dims[1:]
        assert all(dim in (-1, size) for dim, size in zip(dims, found.shape[1:], strict=True)), tensor
        if not batched and tensor.name == "waveform":
            assert found.shape == (1, 3 * 16_000)
        else:
            assert len(found) == (3 if batched or tensor.dims[0] < 0 else tensor.dims[0])
        if tensor.name == "boxes_xyxy":
            assert ((found[..., 2:] > found[..., :2]) & (found[..., 2:] <= 1)).all()


def test_the_ensembles_table_shows_figures_and_what_failed() -> None:
    together = gpu_check.Together(21_000, 33_000, {"faces": "faces needs face_attributes"}, {"detections": SPEED})
    console = Console(width=120)
    with console.capture() as capture:
        console.print(gpu_check.ensemble_table(together))
    for expected in (
        "21000 MiB loaded, 33000 used",
        "detections",
        "4.4",
        "21.2",
        "FAILED: faces needs face_attributes",
    ):
        assert expected in capture.get()


def test_figures_are_kept_from_run_to_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After every model, so that nothing is lost; what was not checked again says of which commit and GPU it is."""
    for module in (gpu_check, benchmarks):
        monkeypatch.setattr(module, "RESULTS", tmp_path)

    def recorded() -> dict:
        return json.loads((tmp_path / "gpu_check.json").read_text(encoding="utf-8"))

    gpu = gpu_check.Gpu("NVIDIA H100", "580", "9.0", 81559, 0)
    first = gpu_check.Record("h200", gpu, "abc")
    first.add("pose_yolov8", measured())
    assert recorded()["passed"]
    first.write(gpu_check.Together(10_000, 29_000, {}, {"poses": SPEED}))
    second = gpu_check.Record("h200", replace(gpu, name="NVIDIA H200"), "def")
    second.add("object_yolov8", measured(parity=[Measure("difference", 0.2, 0.1)]))
    both = recorded()
    assert list(both["models"]) == ["object_yolov8", "pose_yolov8"]
    assert (both["commit"], both["passed"], both["together"]["used_mib"]) == ("def", False, 29_000)
    assert both["gpu"]["name"] == "NVIDIA H200"
    for kept in both["together"], both["models"]["pose_yolov8"]:
        assert (kept["commit"], kept["gpu"]) == ("abc", "NVIDIA H100")
    assert not {"commit", "gpu"} & both["models"]["object_yolov8"].keys()
    gpu_check.Record("h200", gpu, "ghi").add("pose_yolov8", measured())
    assert not {"commit", "gpu"} & recorded()["models"]["pose_yolov8"].keys()
    assert recorded()["models"]["object_yolov8"]["gpu"] == "NVIDIA H200"
    assert recorded()["together"]["commit"] == "abc"


@pytest.mark.slow
def test_every_step_runs_on_the_cpu(
    built_repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Export, server, full batch, timings and parity of every model of the cpu profile."""
    monkeypatch.setenv("REELSCOPE_REPOSITORY", str(built_repository))  # the check sets it, and it must be undone
    monkeypatch.setenv("REELSCOPE_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("COLUMNS", "160")
    results = Path(gpu_check.__file__).parent / "results" / "gpu_check.json"
    before = results.read_bytes() if results.exists() else None
    status = gpu_check.main(["--profile", "cpu", "--repository", str(built_repository), "--repeats", "2"])
    shown = capsys.readouterr().out
    assert status == 0, shown
    for model in settings.profile("cpu").models:
        assert model in ADAPTERS or model in shown
    for ensemble in ENSEMBLES:
        assert ensemble.name in shown
    assert "nothing is written" in shown
    assert (results.read_bytes() if results.exists() else None) == before


@pytest.mark.parametrize(("code", "found"), [(0, ["MPS"]), (1, []), (None, [])])
def test_a_machine_whose_processes_share_the_gpu_says_so(
    code: int | None, found: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service's control program answers, finds no service, or is not installed."""
    if code is not None:
        program = tmp_path / "nvidia-cuda-mps-control"
        program.write_text(f"#!/bin/sh\nexit {code}\n", encoding="utf-8")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert benchmarks._mps() == found
