"""Age and gender, landmarks and expression: each graph answers like its own library on the same weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from reelscope_export import (
    face_attributes,
    face_expression,
    face_photographs,
    paths,
    verify,
    weights,
)
from reelscope_export.errors import VerificationFailed, WeightsUnreadable
from reelscope_export.export import Exporter, Outcome
from reelscope_export.registry import load_module
from reelscope_export.verify import Array

MODELS = ("face_attributes", "face_landmarks", "face_expression")
VARIANTS = {"face_attributes": "genderage", "face_landmarks": "2d106det", "face_expression": "enet_b0_8_va_mtl"}


@pytest.fixture(scope="module")
def outcomes(isolated: None) -> dict[str, Outcome]:
    cache = weights.Cache(paths.weights_folder(), weights.read_manifest())
    exporter = Exporter(paths.repository_folder(), cache, mode="random")
    profiles = paths.read_profiles()
    return {model: exporter.export(paths.model_settings(profiles, "cpu", model)) for model in MODELS}


@pytest.fixture(scope="module")
def runs(outcomes: dict[str, Outcome]) -> dict[str, verify.Run]:
    return {model: verify.open_graph(outcome.file) for model, outcome in outcomes.items()}


@pytest.fixture(scope="module")
def inputs() -> dict[str, tuple[Array, ...]]:
    """By model: what its graph is asked about the same faces."""
    transforms = np.tile(np.float32([[1 / 192, 0, 0], [0, 1 / 192, 0]]), (48, 1, 1))
    return {
        "face_attributes": (face_photographs.upright_crops(96),),
        "face_landmarks": (face_photographs.upright_crops(192), transforms),
        "face_expression": (face_photographs.aligned_crops(224),),
    }


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("rows", [0, 1, 17])
def test_any_number_of_faces(
    model: str, rows: int, runs: dict[str, verify.Run], inputs: dict[str, tuple[Array, ...]]
) -> None:
    answer = runs[model](*(each[:rows] for each in inputs[model]))
    everyone = runs[model](*inputs[model])
    for tensor in load_module(model).CONTRACT.outputs:
        assert answer[tensor.name].shape == (rows, *tensor.dims[1:])
        np.testing.assert_allclose(answer[tensor.name], everyone[tensor.name][:rows], atol=1e-4)
    assert answer["provenance"].shape == (1,)
    assert json.loads(answer["provenance"][0])["trained"] is False


@pytest.mark.parametrize("model", MODELS)
def test_random_weights_are_deterministic(model: str, outcomes: dict[str, Outcome], tmp_path: Path) -> None:
    again = tmp_path / "another-name.onnx"
    load_module(model).write_random(VARIANTS[model], again)
    assert weights.file_sha256(again) == outcomes[model].weights.sha256


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("damage", ["absent", "cut", "foreign"])
def test_damaged_files_are_unreadable(model: str, damage: str, outcomes: dict[str, Outcome], tmp_path: Path) -> None:
    file = tmp_path / f"{VARIANTS[model]}.onnx"
    content = outcomes[model].weights.file.read_bytes()
    if damage != "absent":
        file.write_bytes(content[: len(content) // 2] if damage == "cut" else b"\x00\xff not what it should be")
    with pytest.raises(WeightsUnreadable, match="delete the file to fetch it again") as caught:
        load_module(model).build(file, "fp32")
    assert str(file) in str(caught.value)


@pytest.mark.parametrize("model", MODELS)
def test_another_network_is_refused(model: str, outcomes: dict[str, Outcome]) -> None:
    other = outcomes["face_landmarks" if model == "face_attributes" else "face_attributes"].weights.file
    with pytest.raises(WeightsUnreadable, match=r"not for|another network|cannot|Got invalid"):
        load_module(model).build(other, "fp32")


def test_a_network_frozen_to_one_face_runs_one_by_one(outcomes: dict[str, Outcome], tmp_path: Path) -> None:
    """As InsightFace's detectors are frozen; and without bn_data, so that grey levels are normalised for it."""
    network = onnx.load(str(outcomes["face_attributes"].weights.file))
    network.graph.initializer.append(numpy_helper.from_array(np.array([1, 3, 96, 96], np.int64), "one_face"))
    for node in network.graph.node:
        if "data" in node.input:
            node.input[0] = "frozen"
            node.name = "first"
    network.graph.node.insert(0, helper.make_node("Reshape", ["data", "one_face"], ["frozen"]))
    file, graph_file = tmp_path / "genderage.onnx", tmp_path / "graph.onnx"
    onnx.save(network, str(file))
    assert face_attributes.load(file).input_mean == 127.5
    onnx.save(face_attributes.build(file, "fp32"), str(graph_file))
    run = verify.open_graph(graph_file)
    arguments: dict[str, Any] = {"variant": "genderage", "precision": "fp32", "trained": True}
    verify.require("face_attributes", face_attributes.verify(run, file, **arguments))


def test_expression_without_valence_says_nan(outcomes: dict[str, Outcome], tmp_path: Path) -> None:
    """HSEmotion's other networks know the eight classes alone."""
    network = onnx.load(str(outcomes["face_expression"].weights.file))
    network.graph.initializer.extend(
        numpy_helper.from_array(np.array([value], np.int64), name)
        for name, value in (("from", 0), ("to", 8), ("in", 1))
    )
    for node in network.graph.node:
        if "output" in node.output:
            node.output[0] = "ten"
    network.graph.node.append(helper.make_node("Slice", ["ten", "from", "to", "in"], ["output"]))
    network.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 8
    file, graph_file = tmp_path / "enet_b0_8_best_vgaf.onnx", tmp_path / "graph.onnx"
    onnx.save(network, str(file))
    onnx.save(face_expression.build(file, "fp32"), str(graph_file))
    run = verify.open_graph(graph_file)
    answer = run(face_photographs.aligned_crops(224)[:3])
    assert np.isnan(answer["valence"]).all()
    assert np.isnan(answer["arousal"]).all()
    np.testing.assert_allclose(answer["probabilities"].sum(1), 1, atol=1e-5)
    arguments: dict[str, Any] = {"variant": file.stem, "precision": "fp32", "trained": False}
    verify.require("face_expression", face_expression.verify(run, file, **arguments))


def test_expressions_are_labelled(outcomes: dict[str, Outcome]) -> None:
    file = paths.deployment_root() / "model_repository" / "face_expression" / "labels.txt"
    assert tuple(file.read_text().splitlines()) == face_expression.LABELS


def test_landmarks_follow_the_transform(runs: dict[str, verify.Run], inputs: dict[str, tuple[Array, ...]]) -> None:
    crops, transforms = (each[:2] for each in inputs["face_landmarks"])
    points = runs["face_landmarks"](crops, transforms)["points"]
    moved = transforms * np.float32([[2], [0.5]]) + np.float32([[0, 0, 0.25], [0, 0, -0.5]])
    expected = points * (2, 0.5) + (0.25, -0.5)
    np.testing.assert_allclose(runs["face_landmarks"](crops, moved)["points"], expected, atol=1e-5)


@pytest.mark.parametrize(
    ("model", "output"),
    [("face_attributes", "age_years"), ("face_attributes", "is_male"), ("face_landmarks", "points")]
    + [("face_expression", name) for name in ("probabilities", "valence", "arousal")],
)
def test_verification_notices_what_is_wrong(
    model: str, output: str, outcomes: dict[str, Outcome], runs: dict[str, verify.Run]
) -> None:
    def wrong(*arrays: Array) -> dict[str, Array]:
        answer = runs[model](*arrays)
        changed = 1 - answer[output] if output == "is_male" else answer[output] * np.float32(1.1)
        return answer | {output: changed}

    module = load_module(model)
    measures = module.verify(
        wrong, outcomes[model].weights.file, variant=VARIANTS[model], precision="fp32", trained=False
    )
    with pytest.raises(VerificationFailed, match="differs from upstream"):
        verify.require(model, measures)
