"""Triton configs: generated from one place, and the same contract in every variant."""

from __future__ import annotations

from pathlib import Path

import pytest
from google.protobuf import text_format  # type: ignore[import-untyped]
from tritonclient.grpc import model_config_pb2

from reelscope_export import configs, paths
from reelscope_export.registry import MODELS, load_module

ROOT = paths.deployment_root()
MODEL_CONFIGS = sorted((ROOT / "model_repository").glob("*/config.pbtxt")) + sorted(
    (ROOT / "model_repository").glob("*/configs/*.pbtxt")
)

MAY_DIFFER = {
    "instance_group",
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
