"""The pose graph answers like `ultralytics.YOLO.predict` on the same weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from places import CHECKOUT
from reelscope_export import object_yolov8, paths, photographs, pose_yolov8, verify, weights, yolov8_random
from reelscope_export.errors import VerificationFailed, WeightsUnreadable
from reelscope_export.export import Exporter, Outcome
from reelscope_export.verify import Array

VARIANT = "yolov8n-pose"


@pytest.fixture(scope="module")
def built() -> Outcome:
    """The CPU profile's graph with random weights: the one that the integration tests serve, built if code changed."""
    settings = paths.model_settings(paths.read_profiles(), "cpu", "pose_yolov8")
    cache = weights.Cache(CHECKOUT / "out" / "test" / "weights", weights.read_manifest())
    return Exporter(CHECKOUT / "out" / "test" / "model_repository", cache, mode="random").export(settings)


@pytest.fixture(scope="module")
def run(built: Outcome) -> verify.Run:
    return verify.open_graph(built.file)


@pytest.fixture(scope="module")
def frames() -> dict[str, Array]:
    bus, zidane = photographs.read().values()
    return {
        "portrait": bus,
        "landscape": zidane,
        "odd": bus[1:722, 3:350],
        "narrow": bus[1:722, 3:364],
        "turned": np.rot90(zidane).copy(),
    }


@pytest.fixture(scope="module")
def oracle(built: Outcome) -> Any:
    from ultralytics.models.yolo.model import YOLO

    return YOLO(built.weights.file)


@pytest.mark.parametrize("name", ["portrait", "landscape", "odd", "turned"])
def test_equals_ultralytics_predict(name: str, oracle: Any, run: verify.Run, frames: dict[str, Array]) -> None:
    frame = frames[name]
    height, width = frame.shape[:2]
    upstream = oracle.predict([frame[..., ::-1].copy()], imgsz=640, rect=True, conf=0.25, iou=0.7, verbose=False)[0]
    answer = run(frame[None])
    count = int(answer["count"][0, 0])
    assert count == len(upstream.boxes) >= (5 if name == "odd" else 20)
    boxes = answer["boxes_xyxy"][0, :count] * (width, height, width, height)
    points = answer["keypoints"][0, :count] * (width, height, 1)
    for box, score, expected in zip(
        upstream.boxes.xyxy.numpy(), upstream.boxes.conf.numpy(), upstream.keypoints.data.numpy(), strict=True
    ):
        nearest = np.abs(boxes - box).max(1).argmin()
        np.testing.assert_allclose(boxes[nearest], box, atol=0.05)
        assert answer["scores"][0, nearest] == pytest.approx(score, abs=1e-3)
        np.testing.assert_allclose(points[nearest, :, :2], expected[:, :2], atol=0.05)
        np.testing.assert_allclose(points[nearest, :, 2], expected[:, 2], atol=1e-3)


def test_points_are_where_the_letterbox_put_them(oracle: Any, run: verify.Run, frames: dict[str, Array]) -> None:
    """721x361 scales to 640x320.4, seen as 640x320: from that, ultralytics concludes that it scaled to 639x320."""
    frame = frames["narrow"]
    upstream = oracle.predict([frame[..., ::-1].copy()], imgsz=640, rect=True, conf=0.25, iou=0.7, verbose=False)[0]
    answer = run(frame[None])
    count = int(answer["count"][0, 0])
    assert count == len(upstream.boxes) >= 5
    boxes = answer["boxes_xyxy"][0, :count] * (361, 721, 361, 721)
    points = answer["keypoints"][0, :count, :, :2] * (361, 721)
    for box, expected in zip(upstream.boxes.xyxy.numpy(), upstream.keypoints.xy.numpy(), strict=True):
        # What reaches beyond the frame is cut off at its edge, which is no matter of scale.
        within = box[[1, 3]] < 720, expected[:, 1] < 720
        nearest = np.abs(boxes[:, :2] - box[:2] * (1, 639 / 640)).max(1).argmin()
        np.testing.assert_allclose(boxes[nearest, [0, 2]], box[[0, 2]], atol=0.05)
        np.testing.assert_allclose(boxes[nearest, [1, 3]][within[0]], (box[[1, 3]] * 639 / 640)[within[0]], atol=0.05)
        np.testing.assert_allclose(points[nearest, :, 0], expected[:, 0], atol=0.05)
        down = points[nearest, :, 1][within[1]], (expected[:, 1] * 639 / 640)[within[1]]
        np.testing.assert_allclose(*down, atol=0.05)


def test_people_differ_from_each_other_and_within(run: verify.Run, frames: dict[str, Array]) -> None:
    """Parity over keypoints that are all alike would not notice if two of them were swapped."""
    answer = run(frames["portrait"][None])
    points = answer["keypoints"][0, : int(answer["count"][0, 0])]
    assert np.ptp(points[:, 0, :2], axis=0).min() > 0.3
    assert (np.ptp(points[..., 2], axis=1) > 0.2).all()
    apart = np.abs(points[:, :, None, :2] - points[:, None, :, :2]).max(3) + np.eye(17)
    assert np.median(apart.min((1, 2))) > 1e-3


def test_rows_past_the_count_are_empty(run: verify.Run, frames: dict[str, Array]) -> None:
    answer = run(frames["landscape"][None])
    count = int(answer["count"][0, 0])
    scores = answer["scores"][0]
    assert (np.diff(scores) <= 0).all()
    assert (scores[:count] > 0.25).all()
    for name in ("boxes_xyxy", "scores", "keypoints"):
        assert (answer[name][0, count:] == 0).all(), name
        assert answer[name].min() >= 0, name
        assert answer[name].max() <= 1, name


@pytest.mark.parametrize("rows", [2, 5])
def test_batch_equals_singles(rows: int, run: verify.Run, frames: dict[str, Array]) -> None:
    batch = np.stack([np.roll(frames["landscape"], 64 * row, axis=1) for row in range(rows)])
    assert verify.batch_difference(run, batch) <= 1e-5


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 300), (37, 5), (2000, 31)])
def test_any_frame_size(height: int, width: int, run: verify.Run) -> None:
    answer = run(np.full((2, height, width, 3), 128, np.uint8))
    assert {name: value.shape for name, value in answer.items()} == {
        "boxes_xyxy": (2, 300, 4),
        "scores": (2, 300),
        "keypoints": (2, 300, 17, 3),
        "count": (2, 1),
        "provenance": (2, 1),
    }
    assert np.isfinite(answer["keypoints"]).all()


def test_provenance_says_untrained(built: Outcome, run: verify.Run) -> None:
    rows = run(np.zeros((2, 8, 8, 3), np.uint8))["provenance"][:, 0]
    said = [json.loads(row) for row in rows]
    assert said[0] == said[1]
    assert (said[0]["name"], said[0]["trained"]) == (VARIANT, False)
    assert said[0]["sha256"] == weights.file_sha256(built.weights.file)


def test_random_weights_are_deterministic(built: Outcome, tmp_path: Path) -> None:
    again = tmp_path / "another-name.pt"
    pose_yolov8.write_random(VARIANT, again)
    assert weights.file_sha256(again) == built.weights.sha256


def test_checkpoint_put_into_the_cache_by_hand_is_used(
    built: Outcome, tmp_path: Path, frames: dict[str, Array]
) -> None:
    """A checkpoint in ultralytics' own format, written by ultralytics itself."""
    from ultralytics.models.yolo.model import YOLO

    checkpoint = tmp_path / "weights" / "yolov8n-pose.pt"
    checkpoint.parent.mkdir()
    YOLO(built.weights.file).save(checkpoint)
    settings = paths.model_settings(paths.read_profiles(), "cpu", "pose_yolov8")
    cache = weights.Cache(checkpoint.parent, weights.read_manifest())
    outcome = Exporter(tmp_path / "repository", cache, mode="trained").export(settings)
    answer = verify.open_graph(outcome.file)(frames["portrait"][None])
    said = json.loads(answer["provenance"][0, 0])
    assert (said["trained"], said["licence"], said["source"]) == (True, "AGPL-3.0-only", "file yolov8n-pose.pt")
    assert answer["count"][0, 0] >= 20


def test_unreadable_checkpoints_are_named(built: Outcome, tmp_path: Path) -> None:
    cut, detector, hands = (tmp_path / name for name in ("cut.pt", "detector.pt", "hands.pt"))
    cut.write_bytes(built.weights.file.read_bytes()[:100_000])
    with pytest.raises(WeightsUnreadable, match=r"cut\.pt"):
        pose_yolov8.load(cut)
    object_yolov8.write_random("yolov8n", detector)
    with pytest.raises(WeightsUnreadable, match=r"detector\.pt: a checkpoint for 'detect', not for 'pose'"):
        pose_yolov8.load(detector)
    with pytest.raises(WeightsUnreadable, match=r"a checkpoint for 'pose', not for 'detect'"):
        object_yolov8.load(built.weights.file)
    yolov8_random.write_checkpoint(VARIANT, "pose", {0: "left hand", 1: "right hand"}, hands)
    with pytest.raises(WeightsUnreadable, match=r"keypoints \(17, 3\) of 2 classes, not \(17, 3\) of one class"):
        pose_yolov8.load(hands)


def _swapped(keypoints: Array) -> Array:
    """Left and right wrists exchanged."""
    order = np.arange(17)
    order[[9, 10]] = 10, 9
    return keypoints[..., order, :]


def _moved(keypoints: Array) -> Array:
    return keypoints + np.array([0.0, 1e-3, 0.0], np.float32)


def _faded(keypoints: Array) -> Array:
    return keypoints * np.array([1.0, 1.0, 0.99], np.float32)


@pytest.mark.parametrize("spoil", [_swapped, _moved, _faded])
def test_verification_notices(spoil: Any, built: Outcome, run: verify.Run) -> None:
    def wrong(batch: Array) -> dict[str, Array]:
        answer = run(batch)
        return answer | {"keypoints": spoil(answer["keypoints"])}

    arguments: dict[str, Any] = {"variant": VARIANT, "precision": "fp32", "trained": False}
    with pytest.raises(VerificationFailed, match=r"keypoint|visibility"):
        verify.require("pose_yolov8", pose_yolov8.verify(wrong, built.weights.file, **arguments))


def test_points_are_decoded_from_the_corner_of_their_cell(built: Outcome) -> None:
    """An offset of 0 is the corner of the cell, of 0.5 one cell further; the first cell has 8 px, the last 32."""
    network = pose_yolov8.load(built.weights.file).model.fuse().eval()
    graph = pose_yolov8.PoseGraph(network, "fp32")
    rows, columns = (torch.arange(side, dtype=torch.float64).view(-1, 32) for side in (640, 384))
    order = torch.tensor([[0, 49, 5039] + [0] * 297])
    offsets = torch.zeros(1, 300, 17, 2)
    offsets[0, 1, 5] = torch.tensor([0.5, -0.5])
    points = pose_yolov8.decode_points(offsets, order, graph.cells(rows, columns))
    assert points[0, 0, 0].tolist() == [0, 0]
    assert points[0, 1, 0].tolist() == [8, 8]
    assert points[0, 1, 5].tolist() == [16, 0]
    assert points[0, 2, 0].tolist() == [352, 608]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variant", "precision"), [(VARIANT, "fp16"), ("yolov8m-pose", "fp32"), ("yolov8m-pose", "fp16")]
)
def test_every_variant_and_precision_verifies(variant: str, precision: str, tmp_path: Path) -> None:
    checkpoint, graph_file = tmp_path / "random.pt", tmp_path / "graph.onnx"
    pose_yolov8.write_random(variant, checkpoint)
    onnx.save(pose_yolov8.build(checkpoint, precision), str(graph_file))
    run = verify.open_graph(graph_file)
    measures = pose_yolov8.verify(run, checkpoint, variant=variant, precision=precision, trained=False)
    verify.require("pose_yolov8", measures)
