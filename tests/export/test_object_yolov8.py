"""The detector's graph answers like `ultralytics.YOLO.predict` on the same weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from reelscope_export import object_yolov8, paths, verify, weights, yolov8_parity
from reelscope_export.export import Exporter, Outcome
from reelscope_export.paths import ModelSettings
from reelscope_export.verify import Array


@pytest.fixture(scope="module")
def run(built: Outcome) -> verify.Run:
    return verify.open_graph(built.file)


@pytest.fixture(scope="module")
def photographs() -> dict[str, Array]:
    import cv2
    from ultralytics.utils import ASSETS

    read: Any = cv2.imread
    return {name: read(str(ASSETS / f"{name}.jpg"))[..., ::-1].copy() for name in ("bus", "zidane")}


@pytest.mark.parametrize("name", ["bus", "zidane"])
def test_equals_ultralytics_predict(name: str, built: Outcome, run: verify.Run, photographs: dict[str, Array]) -> None:
    from ultralytics.models.yolo.model import YOLO

    frame = photographs[name]
    height, width = frame.shape[:2]
    oracle: Any = YOLO(built.weights.file)
    upstream = oracle.predict([frame[..., ::-1].copy()], imgsz=640, rect=True, conf=0.25, iou=0.7, verbose=False)[0]
    answer = run(frame[None])
    count = int(answer["count"][0, 0])
    assert count == len(upstream.boxes) >= 20
    assert len(set(answer["class_ids"][0, :count])) >= 10
    found = answer["boxes_xyxy"][0, :count] * (width, height, width, height)
    for box, score, class_id in zip(
        upstream.boxes.xyxy.numpy(), upstream.boxes.conf.numpy(), upstream.boxes.cls.numpy(), strict=True
    ):
        nearest = np.abs(found - box).max(1).argmin()
        np.testing.assert_allclose(found[nearest], box, atol=0.05)
        assert answer["class_ids"][0, nearest] == class_id
        assert answer["scores"][0, nearest] == pytest.approx(score, abs=1e-3)


def test_rows_past_the_count_are_empty(run: verify.Run, photographs: dict[str, Array]) -> None:
    answer = run(photographs["bus"][None])
    count = int(answer["count"][0, 0])
    scores = answer["scores"][0]
    assert (np.diff(scores) <= 0).all()
    assert (scores[:count] > 0.25).all()
    assert (scores[count:] == 0).all()
    assert (answer["boxes_xyxy"][0, count:] == 0).all()
    assert (answer["class_ids"][0, :count] >= 0).all()
    assert (answer["class_ids"][0, count:] == -1).all()
    assert answer["boxes_xyxy"].min() >= 0
    assert answer["boxes_xyxy"].max() <= 1


@pytest.mark.parametrize("rows", [2, 5])
def test_batch_equals_singles(rows: int, run: verify.Run, photographs: dict[str, Array]) -> None:
    batch = np.stack([np.roll(photographs["zidane"], 64 * row, axis=1) for row in range(rows)])
    assert verify.batch_difference(run, batch) <= 1e-5


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 300), (37, 5), (2000, 31)])
def test_any_frame_size(height: int, width: int, run: verify.Run) -> None:
    answer = run(np.full((2, height, width, 3), 128, np.uint8))
    assert {name: value.shape for name, value in answer.items()} == {
        "boxes_xyxy": (2, 300, 4),
        "scores": (2, 300),
        "class_ids": (2, 300),
        "count": (2, 1),
        "provenance": (2, 1),
    }


def test_provenance_says_untrained_in_every_row(built: Outcome, run: verify.Run) -> None:
    rows = run(np.zeros((3, 8, 8, 3), np.uint8))["provenance"]
    assert rows.shape == (3, 1)
    assert [json.loads(row) for row in rows[:, 0]] == 3 * [
        {
            "name": "yolov8n",
            "source": "random, seed 0",
            "revision": built.weights.revision,
            "sha256": weights.file_sha256(built.weights.file),
            "licence": "none",
            "trained": False,
            "precision": "fp32",
        }
    ]


def test_graph_holds_nothing_of_the_building_machine(built: Outcome) -> None:
    model = onnx.load(str(built.file))
    assert [entry.key for entry in model.metadata_props] == ["reelscope.fingerprint", "reelscope.provenance"]
    text = built.file.read_bytes()
    assert str(Path(object_yolov8.__file__).parent).encode() not in text
    assert str(Path.home()).encode() + b"/" not in text


def test_random_weights_are_deterministic(built: Outcome, tmp_path: Path) -> None:
    again = tmp_path / "another-name.pt"
    object_yolov8.write_random("yolov8n", again)
    assert weights.file_sha256(again) == built.weights.sha256


def test_checkpoint_put_into_the_cache_by_hand_is_used(
    built: Outcome, settings: ModelSettings, tmp_path: Path, photographs: dict[str, Array]
) -> None:
    """A checkpoint in ultralytics' own format, written by ultralytics itself."""
    from ultralytics.models.yolo.model import YOLO

    checkpoint = tmp_path / "weights" / "yolov8n.pt"
    checkpoint.parent.mkdir()
    YOLO(built.weights.file).save(checkpoint)
    cache = weights.Cache(checkpoint.parent, weights.read_manifest())
    outcome = Exporter(tmp_path / "repository", cache, mode="trained").export(settings)
    answer = verify.open_graph(outcome.file)(photographs["bus"][None])
    said = json.loads(answer["provenance"][0, 0])
    assert said["trained"] is True
    assert said["sha256"] == weights.file_sha256(checkpoint)
    assert said["licence"] == "AGPL-3.0-only"
    assert said["source"] == "file yolov8n.pt"
    assert answer["count"][0, 0] >= 20


def box(left: float = 10, score: float = 0.9, class_id: int = 3) -> Array:
    return np.array([[left, 10, left + 100, 60, score, class_id]])


@pytest.mark.parametrize(
    ("found", "share"),
    [
        (box(), 1.0),
        (box(left=12, score=0.6), 1.0),  # IoU 0.961, whatever the score
        (box(left=14), 0.0),  # IoU 0.923
        (box(class_id=4), 0.0),
        (np.concatenate((box(left=60), box())), 1.0),
        (np.empty((0, 6)), 0.0),
    ],
)
def test_fp16_boxes_are_matched_by_class_and_overlap(found: Array, share: float) -> None:
    measure = yolov8_parity.matched("matched", [(found, box())])
    assert (measure.value, measure.passed) == (share, share == 1.0)


def test_faint_boxes_need_not_be_matched_but_some_box_must() -> None:
    faint, nothing = box(score=0.25), np.empty((0, 6))
    assert yolov8_parity.matched("matched", [(box(), box()), (nothing, faint)]).value == 1.0
    assert not yolov8_parity.matched("matched", [(nothing, faint)]).passed


@pytest.mark.slow
@pytest.mark.parametrize(("variant", "precision"), [("yolov8n", "fp16"), ("yolov8m", "fp32"), ("yolov8m", "fp16")])
def test_every_variant_and_precision_verifies(variant: str, precision: str, tmp_path: Path) -> None:
    checkpoint, graph_file = tmp_path / "random.pt", tmp_path / "graph.onnx"
    object_yolov8.write_random(variant, checkpoint)
    onnx.save(object_yolov8.build(checkpoint, precision), str(graph_file))
    run = verify.open_graph(graph_file)
    measures = object_yolov8.verify(run, checkpoint, variant=variant, precision=precision, trained=False)
    verify.require("object_yolov8", measures)


def test_no_settings_reach_the_users_folders(built: Outcome) -> None:
    from ultralytics.utils import ONLINE, SETTINGS_FILE
    from ultralytics.utils.events import events

    assert SETTINGS_FILE.is_relative_to(paths.weights_folder())
    assert not ONLINE
    assert not events.enabled
