"""Does every profile fit its GPU? `reelscope models plan`, from the figures in benchmarks/results."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from reelscope import settings, sizing, terminal
from reelscope.cli import app
from reelscope.errors import UsageError

ON_GPU = ("rtx8000", "h200")


@pytest.mark.parametrize("name", ON_GPU)
def test_every_profile_fits_its_gpu(name):
    """The budget of the profile file, by what the configs allow: of 48 GB, an RTX 8000 has 44 for us."""
    found = sizing.plan(settings.profile(name))
    assert found.faults == ()
    assert 0 < found.planned_gb <= found.gpu.memory_budget_gb


def test_the_budget_of_production_is_44_gb():
    assert settings.profile("rtx8000").gpu.memory_budget_gb == 44


def test_every_network_on_the_gpu_has_a_limit_or_was_measured():
    for model in sizing.plan(settings.profile("rtx8000")).models:
        assert not model.on_gpu or model.limit_gb or model.measured_gb, model.name
        assert not model.passes_limit, model.name


def of(model):
    """The GPU that a model's figures are of."""
    results = settings.deployment_root() / "benchmarks" / "results"
    if model == sizing.MODEL_OF_VLM_FILE:
        return json.loads((results / "vlm.json").read_text())["gpu"]
    figures = json.loads((results / "gpu_check.json").read_text())
    return figures["models"][model].get("gpu", figures["gpu"]["name"])


def test_scaling_by_data_sheets():
    found = sizing.plan(settings.profile("rtx8000"))
    sheets = {"NVIDIA H200": (990 / 130, 4800 / 672), "NVIDIA H100 80GB HBM3": (990 / 130, 3350 / 672)}
    assert found.ratios
    for gpu, ratios in found.ratios.items():
        assert ratios == pytest.approx(sheets[gpu])
    models = {model.name: model for model in found.models}
    for name, bound in (("pose_yolov8", "compute"), ("text_detection_ppocr", "memory")):
        model, ratio = models[name], getattr(found.ratios[of(name)], bound)
        assert model.projected_milliseconds == pytest.approx(model.measured_milliseconds * ratio)


def test_figures_of_another_gpu_are_scaled_by_its_data_sheet(monkeypatch):
    read = sizing._read
    other = "NVIDIA H100 80GB HBM3"

    def changed(name):
        found = read(name)
        if "models" in found:
            found["gpu"]["name"] = "NVIDIA H200"
            for model, each in found["models"].items():
                each["gpu"] = other if model in ("pose_yolov8", "text_detection_ppocr") else "NVIDIA H200"
                each["speed"] = {"window": {"p50_ms": 10.0}}
        return found | ({"gpu": other} if "served_requests_seconds" in found else {})

    monkeypatch.setattr(sizing, "_read", changed)
    found = sizing.plan(settings.profile("h200"))
    assert set(found.ratios) == {"NVIDIA H200", other}
    models = {model.name: model for model in found.models}
    assert models["pose_yolov8"].projected_milliseconds == pytest.approx(10)  # as many operations a second
    assert models["text_detection_ppocr"].projected_milliseconds == pytest.approx(10 * 3350 / 4800)
    assert models["text_orientation_ppocr"].projected_milliseconds == pytest.approx(10)
    assert found.ratios[other].memory == pytest.approx(3350 / 4800)


def test_a_gpu_without_a_data_sheet_is_named(monkeypatch):
    read = sizing._read
    monkeypatch.setattr(sizing, "_read", lambda name: read(name) | ({"gpu": "Tesla T4"} if "vlm" in name else {}))
    with pytest.raises(UsageError, match="does not say what a Tesla T4 can do"):
        sizing.plan(settings.profile("rtx8000"))


def test_where_it_was_measured_nothing_is_scaled():
    found = sizing.plan(settings.profile("h200"))
    assert found.ratios["NVIDIA H200"] == (1.0, 1.0)
    for model in found.models:
        if model.on_gpu and model.measured_milliseconds and of(model.name) == found.gpu.name:
            assert model.projected_milliseconds == model.measured_milliseconds


def test_what_was_not_measured_is_not_guessed():
    models = {model.name: model for model in sizing.plan(settings.profile("rtx8000")).models}
    decoder = models["speech_whisper_decoder"]
    assert (decoder.measured_gb, decoder.projected_milliseconds) == (None, None)
    assert decoder.planned_gb == decoder.limit_gb
    assert models["text_recognition_crnn"].planned_gb == 0.0, "on the CPU"


def with_profile(monkeypatch, change):
    """Plan production after a change of its profile's tables."""
    profiles = settings._profiles()
    change(profiles["rtx8000"])
    monkeypatch.setattr(settings, "_profiles", lambda: profiles)
    return sizing.plan(settings.profile("rtx8000"))


def test_another_variant_than_was_measured_is_unmeasured(monkeypatch):
    """Nothing is planned for it silently: where no limit holds it, that is a fault."""

    def change(profile):
        profile["models"]["video_understanding_qwen2vl"] |= {"variant": "Qwen2-VL-7B-Instruct"}
        profile["models"]["pose_yolov8"] |= {"variant": "yolov8x-pose"}

    found = with_profile(monkeypatch, change)
    models = {model.name: model for model in found.models}
    assert models["pose_yolov8"].measured_gb is None
    assert models["video_understanding_qwen2vl"].planned_gb is None
    assert found.faults == ("video_understanding_qwen2vl: nothing says how much memory it takes",)


def test_what_passes_the_budget_is_a_fault(monkeypatch):
    found = with_profile(monkeypatch, lambda profile: profile["models"]["object_yolov8"].update(instance_count=3))
    (fault,) = found.faults
    assert fault.endswith("GB are planned, 44 may be")
    assert replace(found, gpu=replace(found.gpu, memory_budget_gb=80)).faults == ()


def test_a_limit_below_what_was_seen_is_a_fault(monkeypatch):
    found = with_profile(monkeypatch, lambda profile: profile["models"]["pose_yolov8"].update(gpu_mem_limit_mib=512))
    assert found.faults == ("pose_yolov8 was seen to need more than its limit",)


def test_a_smaller_batch_than_was_measured_takes_its_share(monkeypatch):
    figures = json.loads((settings.deployment_root() / "benchmarks/results/gpu_check.json").read_text())["models"]
    measured = figures["text_detection_craft"]
    whole, rows = measured["full_batch_mib"] * 2**20 / 1e9, measured["full_batch_rows"]

    def halve(profile):
        profile["models"]["text_detection_craft"] |= {"max_batch_size": rows // 2}

    craft = next(each for each in with_profile(monkeypatch, halve).models if each.name == "text_detection_craft")
    assert craft.is_scaled
    assert craft.measured_gb < whole * (rows // 2) / rows


def test_no_gpu_no_plan():
    with pytest.raises(UsageError, match="profile cpu runs on no GPU"):
        sizing.plan(settings.profile("cpu"))


def test_missing_figures_are_named(monkeypatch, tmp_path):
    profile = settings.profile("rtx8000")
    monkeypatch.setattr(settings, "deployment_root", lambda: tmp_path)
    with pytest.raises(UsageError, match=r"gpu_check\.json: the figures that a plan is made from cannot be read"):
        sizing.plan(profile)


def test_the_command_prints_it(monkeypatch):
    monkeypatch.setattr(terminal.console, "_width", 140)  # a COLUMNS of the environment was read long ago
    said = CliRunner().invoke(app, ["models", "plan", "--profile", "rtx8000"])
    assert said.exit_code == 0, said.output
    for part in ("Quadro RTX 8000", "together", "unmeasured", "on the CPU", "of 44 GB", "Projected, not measured"):
        assert part in said.output, part
    for model in settings.profile("rtx8000").models:
        assert model in said.output


def test_the_command_fails_where_it_does_not_fit(monkeypatch):
    with_profile(monkeypatch, lambda profile: profile["gpu"].update(memory_budget_gb=24))
    said = CliRunner().invoke(app, ["models", "plan"])
    assert said.exit_code == 1
    assert "GB are planned, 24 may be" in said.output
