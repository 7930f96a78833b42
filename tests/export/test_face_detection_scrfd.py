"""The face detector's graph answers like insightface's SCRFD on the same weights."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from reelscope_export import face_detection_scrfd, paths, photographs, verify, weights
from reelscope_export.errors import LicenceRefused, WeightsCorrupt, WeightsUnreadable
from reelscope_export.export import Exporter, Outcome
from reelscope_export.verify import Array

MODEL = "face_detection_scrfd"
SETTINGS = paths.model_settings(paths.read_profiles(), "cpu", MODEL)


@pytest.fixture(scope="module")
def detector(isolated: None) -> Outcome:
    cache = weights.Cache(paths.weights_folder(), weights.read_manifest())
    return Exporter(paths.repository_folder(), cache, mode="random").export(SETTINGS)


@pytest.fixture(scope="module")
def run(detector: Outcome) -> verify.Run:
    return verify.open_graph(detector.file)


@pytest.mark.parametrize("name", ["bus.jpg", "zidane.jpg"])
def test_equals_insightface(name: str, detector: Outcome, run: verify.Run) -> None:
    frame = photographs.read()[name]
    height, width = frame.shape[:2]
    boxes, keypoints = face_detection_scrfd.load(detector.weights.file).detect(frame[..., ::-1].copy())
    answer = run(frame[None])
    count = int(answer["count"][0, 0])
    assert count == len(boxes) >= 20
    found = answer["boxes_xyxy"][0, :count] * (width, height, width, height)
    np.testing.assert_allclose(found, boxes[:, :4], atol=0.01)
    np.testing.assert_allclose(answer["keypoints"][0, :count] * (width, height), keypoints, atol=0.01)
    np.testing.assert_allclose(answer["scores"][0, :count], boxes[:, 4], atol=1e-4)


def test_boxes_are_not_clipped_to_the_frame() -> None:
    """A face at the first cell of a frame of 320x640, which is seen at its own scale."""
    after = face_detection_scrfd.After()
    confidences, distances, offsets = (torch.zeros(1, len(after.centres), width) for width in (1, 4, 10))
    confidences[0, 0] = 0.5  # the threshold itself is enough
    distances[0, 0] = torch.tensor([4.0, 2.0, 8.0, 4.0])
    offsets[0, 0] = -1.0
    boxes, scores, keypoints, count = after(torch.tensor([320.0, 640.0, 1.0]), confidences, distances, offsets)
    assert (count.item(), scores[0, 0].item()) == (1, 0.5)
    np.testing.assert_allclose(boxes[0, 0], [-32 / 640, -16 / 320, 64 / 640, 32 / 320])
    np.testing.assert_allclose(keypoints[0, 0], [[-8 / 640, -8 / 320]] * 5)


def test_rows_past_the_count_are_empty(run: verify.Run) -> None:
    answer = run(photographs.read()["bus.jpg"][None])
    count = int(answer["count"][0, 0])
    assert (np.diff(answer["scores"][0]) <= 0).all()
    assert (answer["scores"][0, :count] >= 0.5).all()
    for name in ("boxes_xyxy", "scores", "keypoints"):
        assert (answer[name][0, count:] == 0).all(), name


def test_batch_equals_singles(run: verify.Run) -> None:
    bus = photographs.read()["bus.jpg"]
    batch = np.stack([bus, np.zeros_like(bus), bus[:, ::-1], bus])
    assert run(batch)["count"][[0, 1, 3], 0].tolist() == [
        run(bus[None])["count"][0, 0],
        0,
        run(bus[None])["count"][0, 0],
    ]
    assert verify.batch_difference(run, batch) <= 1e-5


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 900), (37, 5), (2000, 3)])
def test_any_frame_size(height: int, width: int, run: verify.Run) -> None:
    answer = run(np.full((2, height, width, 3), 128, np.uint8))
    assert {name: value.shape for name, value in answer.items()} == {
        "boxes_xyxy": (2, 128, 4),
        "scores": (2, 128),
        "keypoints": (2, 128, 5, 2),
        "count": (2, 1),
        "provenance": (2, 1),
    }
    assert all(np.isfinite(value).all() for name, value in answer.items() if name != "provenance")


def test_more_faces_than_rows(detector: Outcome, run: verify.Run) -> None:
    """The 128 best stay, and are insightface's first 128."""
    small = photographs.read()["zidane.jpg"][:640, 200:840]
    frame = np.tile(small[::2, ::2], (2, 2, 1))
    lowered = _with_lower_bar(detector.weights.file)
    oracle = face_detection_scrfd.load(lowered)
    boxes, _ = oracle.detect(frame[..., ::-1].copy())
    assert len(boxes) > 128
    graph = onnx.load_from_string(face_detection_scrfd.build(lowered, "fp32").SerializeToString())
    file = lowered.with_name("graph.onnx")
    onnx.save(graph, str(file))
    answer = verify.open_graph(file)(frame[None])
    assert answer["count"][0, 0] == 128
    np.testing.assert_allclose(answer["scores"][0], boxes[:128, 4], atol=1e-4)


def _with_lower_bar(file: Path) -> Path:
    """The same network with scores that are all higher."""
    network = onnx.load(str(file))
    for node in [node for node in network.graph.node if node.op_type == "Sigmoid"]:
        inner = f"{node.input[0]}_raised"
        bias = onnx.numpy_helper.from_array(np.float32([4.5]), f"{inner}_by")
        network.graph.initializer.append(bias)
        place = list(network.graph.node).index(node)
        network.graph.node.insert(place, onnx.helper.make_node("Add", [node.input[0], bias.name], [inner]))
        node.input[0] = inner
    lowered = file.with_name("lowered.onnx")
    onnx.save(network, str(lowered))
    return lowered


def test_provenance_says_untrained_in_every_row(run: verify.Run) -> None:
    rows = run(np.zeros((3, 8, 8, 3), np.uint8))["provenance"]
    assert rows.shape == (3, 1)
    said = [json.loads(row) for row in rows[:, 0]]
    assert {(each["name"], each["trained"], each["source"]) for each in said} == {("det_500m", False, "random, seed 0")}


def test_random_weights_are_deterministic(detector: Outcome, tmp_path: Path) -> None:
    again = tmp_path / "another-name.onnx"
    face_detection_scrfd.write_random("det_500m", again)
    assert weights.file_sha256(again) == detector.weights.sha256


@pytest.mark.parametrize(
    ("other", "message"),
    [("genderage", "a network for genderage, not for detection"), ("cut", "delete the file to fetch it again")],
)
def test_foreign_and_damaged_files_are_unreadable(detector: Outcome, tmp_path: Path, other: str, message: str) -> None:
    file = tmp_path / "det_500m.onnx"
    if other == "cut":
        content = detector.weights.file.read_bytes()
        file.write_bytes(content[: len(content) // 2])
    else:
        from reelscope_export import face_attributes

        face_attributes.write_random(other, file)
    with pytest.raises(WeightsUnreadable, match=message) as caught:
        face_detection_scrfd.build(file, "fp32")
    assert str(file) in str(caught.value)


def test_pack_put_into_the_cache_by_hand_is_used(detector: Outcome, tmp_path: Path) -> None:
    entry = weights.read_manifest()[MODEL]["det_500m"]
    manifest: Any = {MODEL: {"det_500m": dataclasses.replace(entry, sha256=None)}}
    file = tmp_path / "cache" / entry.file
    file.parent.mkdir(parents=True)
    file.write_bytes(detector.weights.file.read_bytes())
    cache = weights.Cache(tmp_path / "cache", manifest)
    outcome = Exporter(tmp_path / "repository", cache, mode="trained").export(SETTINGS)
    frame: Array = photographs.read()["bus.jpg"][None]
    answer = verify.open_graph(outcome.file)(frame)
    said = json.loads(answer["provenance"][0, 0])
    assert (said["trained"], said["source"]) == (True, "file buffalo_sc/det_500m.onnx")
    assert said["licence"] == "InsightFace models: non-commercial research only"
    assert answer["count"][0, 0] >= 20


def test_missing_and_wrong_files_of_a_pack_name_themselves(tmp_path: Path) -> None:
    exporter = Exporter(tmp_path / "repository", weights.Cache(tmp_path, weights.read_manifest()), mode="trained")
    with pytest.raises(LicenceRefused, match=r"buffalo_sc/det_500m\.onnx: .* --accept-licence 'InsightFace models"):
        exporter.export(SETTINGS)
    file = tmp_path / "buffalo_sc" / "det_500m.onnx"
    file.parent.mkdir()
    file.write_bytes(b"not it")
    with pytest.raises(WeightsCorrupt, match=r"buffalo_sc/det_500m\.onnx: SHA-256 is .* delete the file to fetch it"):
        exporter.export(SETTINGS)


def test_no_recognition_network_is_ever_taken() -> None:
    entries = [entry for variants in weights.read_manifest().values() for entry in variants.values()]
    packs = [entry for entry in entries if "insightface" in entry.url]
    assert {entry.member for entry in packs} == {"det_500m.onnx", "det_10g.onnx", "genderage.onnx", "2d106det.onnx"}
    assert all(entry.opt_in and not entry.commercial_use for entry in packs)


@pytest.mark.slow
@pytest.mark.parametrize(("variant", "precision"), [("det_10g", "fp32"), ("det_10g", "fp16")])
def test_every_variant_and_precision_verifies(variant: str, precision: str, tmp_path: Path) -> None:
    network, graph_file = tmp_path / f"{variant}.onnx", tmp_path / "graph.onnx"
    face_detection_scrfd.write_random(variant, network)
    onnx.save(face_detection_scrfd.build(network, precision), str(graph_file))
    measures = face_detection_scrfd.verify(
        verify.open_graph(graph_file), network, variant=variant, precision=precision, trained=False
    )
    verify.require(MODEL, measures)
