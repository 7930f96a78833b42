"""Triton configs: generated from one place, and the same contract in every variant."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from google.protobuf import text_format  # type: ignore[import-untyped]
from tritonclient.grpc import model_config_pb2

from reelscope import settings
from reelscope_export import configs, paths
from reelscope_export.registry import MODELS, load_module

ROOT = paths.deployment_root()
MODEL_CONFIGS = sorted((ROOT / "model_repository").glob("*/config.pbtxt")) + sorted(
    (ROOT / "model_repository").glob("*/configs/*.pbtxt")
)

MAY_DIFFER = {
    "instance_group",
    "model_warmup",
    "max_batch_size",
    "dynamic_batching",
    "optimization",
    "parameters",
    "default_model_filename",
}
"""What a profile may change; anything else would be another model under the same name."""


def _parse(file: Path) -> model_config_pb2.ModelConfig:
    return text_format.Parse(file.read_text(), model_config_pb2.ModelConfig())


def test_committed_configs_are_the_generated_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert configs.main(["--check"]) == 0, capsys.readouterr().out


def test_check_names_what_differs(tmp_path: Path) -> None:
    files = configs.generate(paths.read_profiles())
    assert configs.differing(tmp_path, files) == list(files)


@pytest.mark.parametrize("model", MODELS)
def test_profiles_differ_only_where_they_may(model: str) -> None:
    production = _parse(ROOT / "model_repository" / model / "config.pbtxt")
    for file in (ROOT / "model_repository" / model / "configs").glob("*.pbtxt"):
        variant = _parse(file)
        for field in model_config_pb2.ModelConfig.DESCRIPTOR.fields:
            if field.name not in MAY_DIFFER:
                assert getattr(variant, field.name) == getattr(production, field.name), f"{file}: {field.name}"


@pytest.mark.parametrize("file", MODEL_CONFIGS, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_config_keeps_the_contract(file: Path) -> None:
    config = _parse(file)
    contract = load_module(config.name).CONTRACT
    types = model_config_pb2.DataType
    for tensors, promised in ((config.input, contract.inputs), (config.output, contract.all_outputs)):
        assert [(each.name, types.Name(each.data_type), tuple(each.dims)) for each in tensors] == [
            (each.name, each.data_type, each.dims) for each in promised
        ]
    assert config.backend == contract.backend
    if contract.backend == "python":
        assert (ROOT / "model_repository" / config.name / "1" / "model.py").is_file()
    else:
        assert config.default_model_filename.endswith(".onnx")
    assert all(group.count >= 1 and group.kind for group in config.instance_group)
    assert len(config.instance_group) == 1


def test_cpu_profile_does_not_wait_for_batches() -> None:
    folder = ROOT / "model_repository" / "object_yolov8"
    assert not _parse(folder / "configs" / "cpu.pbtxt").HasField("dynamic_batching")
    assert _parse(folder / "config.pbtxt").HasField("dynamic_batching")


@pytest.mark.parametrize(
    ("name", "model"),
    [("detections", "object_yolov8"), ("embeddings", "embedding_clip"), ("face_boxes", "face_detection_scrfd")],
)
def test_ensemble_passes_its_model_through(name: str, model: str) -> None:
    ensemble = _parse(ROOT / "ensembles" / name / "config.pbtxt")
    served = _parse(ROOT / "model_repository" / model / "config.pbtxt")
    (step,) = ensemble.ensemble_scheduling.step
    assert step.model_name == model
    assert {each.name: tuple(each.dims) for each in ensemble.output} == {
        step.output_map[each.name]: tuple(each.dims) for each in served.output
    }
    assert step.output_map["provenance"] == f"{model}_provenance"
    assert ensemble.max_batch_size == served.max_batch_size
    assert (ROOT / "ensembles" / name / "1" / ".gitkeep").is_file()


PRODUCTION = sorted((ROOT / "model_repository").glob("*/config.pbtxt"))
PROFILE, ON_GPU = settings.profile("rtx8000"), ("rtx8000", "h200")


def test_the_two_readers_of_the_profiles_agree() -> None:
    """Client and exporter read one file, and `extends` means the same to both."""
    profiles = paths.read_profiles()
    for name in settings.profile_names():
        profile = settings.profile(name)
        assert set(settings.model_settings(profile)) == set(profiles[name]["models"])
        for model, said in settings.model_settings(profile).items():
            assert said == profiles[name] | profiles[name]["models"][model]


def test_h200_is_sized_as_production_but_for_what_it_says() -> None:
    production, measured = (paths.model_settings(paths.read_profiles(), name, "pose_yolov8") for name in ON_GPU)
    assert replace(measured, profile="rtx8000", config_name="") == production


@pytest.mark.parametrize("file", PRODUCTION, ids=lambda file: file.parent.name)
def test_production_bounds_its_queues(file: Path) -> None:
    policy = _parse(file).dynamic_batching.default_queue_policy
    assert 0 < policy.max_queue_size <= 64
    assert 30e6 <= policy.default_timeout_microseconds < 240e6, "shorter than a client waits: it hears the reason"
    assert policy.timeout_action == model_config_pb2.ModelQueuePolicy.REJECT


@pytest.mark.parametrize("file", PRODUCTION, ids=lambda file: file.parent.name)
def test_what_runs_on_the_gpu_takes_a_slot_and_nothing_else_does(file: Path) -> None:
    """A Python model that asks networks must not hold what they wait for."""
    (group,) = _parse(file).instance_group
    resources = {each.name: each.count for each in group.rate_limiter.resources}
    if group.kind != model_config_pb2.ModelInstanceGroup.KIND_GPU:
        assert resources == {}
        return
    ((slot, count),) = resources.items()
    assert count == 1
    assert slot in PROFILE.slots
    assert (slot == "VLMSLOT") == (file.parent.name == "video_understanding_qwen2vl")


def test_who_has_slots_of_its_own_comes_before_those_who_share() -> None:
    """Triton serves nobody while the model with the least executions times priority waits for a slot."""
    priorities: dict[str, set[int]] = {}
    for file in PRODUCTION:
        (group,) = _parse(file).instance_group
        for resource in group.rate_limiter.resources:
            priorities.setdefault(resource.name, set()).add(group.rate_limiter.priority)
    assert priorities == {"GPUSLOT": {1_000_000}, "VLMSLOT": {1}}


@pytest.mark.parametrize("file", PRODUCTION, ids=lambda file: file.parent.name)
def test_warm_up_is_a_whole_request(file: Path) -> None:
    """Every input, of the contract's type and shape; batch size 1, because Triton skips one of 0."""
    config = _parse(file)
    on_gpu = config.instance_group[0].kind == model_config_pb2.ModelInstanceGroup.KIND_GPU
    needs_none = config.backend == "python" or config.name == "speech_whisper_decoder" or not on_gpu
    assert len(config.model_warmup) == (0 if needs_none else 1)
    for warm_up in config.model_warmup:
        assert warm_up.batch_size == 1
        assert set(warm_up.inputs) == {each.name for each in config.input}
        for tensor in config.input:
            given = warm_up.inputs[tensor.name]
            assert given.data_type == tensor.data_type
            assert len(given.dims) == len(tensor.dims)
            assert all(dim > 0 and stated in (-1, dim) for dim, stated in zip(given.dims, tensor.dims, strict=True))
