"""Served poses, scene labels and crops against ultralytics, transformers, Pillow and torch, on the same weights."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from rich.console import Console
from rich.table import Table

from boxes import in_order_of
from reelscope import settings
from reelscope.errors import InferenceError
from reelscope.inference import InferenceClient
from reelscope_export import object_crops, paths, photographs, weights

POSES = ("boxes_xyxy", "scores", "keypoints", "count", "pose_yolov8_provenance")
SCENES = ("label_map", "areas", "segmentation_segformer_provenance")
EMBEDDINGS = ("embedding", "label_probabilities", "embedding_clip_provenance", "object_crops_provenance")
MAX_BOX_ERROR_PX = 0.05
MAX_KEYPOINT_ERROR_PX = 0.05
MAX_PROBABILITY_ERROR = 1e-3
MIN_PEOPLE = 20
MIN_LABELS_EQUAL = 0.9995
MIN_WITHIN_A_LEVEL = 0.98
MAX_EMBEDDING_ERROR = 1e-4


def ask(client: InferenceClient, ensemble: str, frames: np.ndarray, outputs: tuple[str, ...], **inputs: np.ndarray):
    buffer = client.allocate(*frames.shape[1:3])
    buffer.array[: len(frames)] = frames
    try:
        return client.submit(ensemble, buffer, len(frames), outputs, 120, inputs).result()
    finally:
        buffer.close()


@pytest.fixture(scope="module")
def frames() -> dict[str, np.ndarray]:
    return photographs.read()


def checkpoint(provenance: bytes) -> Path:
    """The file that was exported, found by the hash that the server reports."""
    reported = json.loads(provenance)
    assert reported["trained"] is False
    files = (paths.weights_folder() / "random").rglob("*")
    return next(file for file in files if file.is_file() and weights.file_sha256(file) == reported["sha256"])


@pytest.fixture(scope="module")
def show(request):
    """Print a table whatever pytest captures."""

    def print_table(table: Table) -> None:
        with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
            Console(width=100).print("\n", table)

    return print_table


def test_poses_equal_ultralytics(client, frames, show):
    from ultralytics import YOLO

    columns = ("photograph", "people", "worst box px", "worst score", "worst keypoint px", "worst visibility")
    table = Table(*columns, title="poses: served by Triton vs ultralytics")
    measured = []
    for name, frame in frames.items():
        height, width = frame.shape[:2]
        answer = ask(client, "poses", frame[None], POSES)
        oracle = YOLO(checkpoint(answer["pose_yolov8_provenance"][0, 0]))
        upstream = oracle.predict(
            [np.ascontiguousarray(frame[..., ::-1])], imgsz=640, rect=True, conf=0.25, iou=0.7, verbose=False
        )[0]
        count = int(answer["count"][0, 0])
        assert count == len(upstream.boxes)
        boxes = answer["boxes_xyxy"][0, :count] * (width, height, width, height)
        order = in_order_of(upstream.boxes.xyxy.numpy(), boxes, answer["scores"][0, :count])
        points = answer["keypoints"][0, order] * (width, height, 1)
        expected = upstream.keypoints.data.numpy()
        errors = (
            float(np.abs(boxes[order] - upstream.boxes.xyxy.numpy()).max()),
            float(np.abs(answer["scores"][0, order] - upstream.boxes.conf.numpy()).max()),
            float(np.abs(points[..., :2] - expected[..., :2]).max()),
            float(np.abs(points[..., 2] - expected[..., 2]).max()),
        )
        table.add_row(name, str(count), *(f"{error:.1e}" for error in errors))
        measured.append((count, *errors))
        for output in POSES[:3]:
            assert (answer[output][0, count:] == 0).all()
    show(table)
    for count, box, score, keypoint, visibility in measured:
        assert count >= MIN_PEOPLE
        assert box <= MAX_BOX_ERROR_PX
        assert keypoint <= MAX_KEYPOINT_ERROR_PX
        assert max(score, visibility) <= MAX_PROBABILITY_ERROR


def test_scene_labels_equal_transformers(client, frames, show):
    from transformers import SegformerForSemanticSegmentation, SegformerImageProcessor

    table = Table("photograph", "labels", "cells equal", "worst area", title="scene labels: served vs transformers")
    measured = []
    for name, frame in frames.items():
        answer = ask(client, "scene_labels", frame[None], SCENES)
        folder = checkpoint(answer["segmentation_segformer_provenance"][0, 0]).parent
        network = SegformerForSemanticSegmentation.from_pretrained(folder, dtype=torch.float32)
        pixels = SegformerImageProcessor.from_pretrained(folder)(
            images=[frame], input_data_format="channels_last", return_tensors="pt"
        )
        with torch.no_grad():
            expected = network(**pixels).logits[0].argmax(0).numpy()
        shares = np.bincount(expected.ravel(), minlength=150) / expected.size
        equal = float((answer["label_map"][0] == expected).mean())
        area = float(np.abs(answer["areas"][0] - shares).max())
        table.add_row(name, str(len(np.unique(expected))), f"{equal:.4%}", f"{area:.1e}")
        measured.append((len(np.unique(expected)), equal, area))
        assert tuple(network.config.id2label.values()) == settings.labels("segmentation_segformer")
    show(table)
    for labels, equal, area in measured:
        assert labels >= 20
        assert equal >= MIN_LABELS_EQUAL
        assert area <= 1 - MIN_LABELS_EQUAL


def test_crops_equal_pillow_and_torch(client, show):
    pictures, boxes, frame_index = object_crops.sample()
    answer = ask(client, "object_crops", pictures, ("crops", "provenance"), boxes_xyxy=boxes, frame_index=frame_index)
    assert json.loads(answer["provenance"][0])["source"] == "reelscope"
    squares = [object_crops.square(pictures[index], box) for box, index in zip(boxes, frame_index, strict=True)]
    table = Table("library", "crops", "equal", "within a level", title="crops: served vs the same squares resized")
    within = []
    for name, resized in (("Pillow", object_crops.resized_by_pillow), ("torch", object_crops.resized_by_torch)):
        error = np.abs(answer["crops"].astype(int) - np.stack([resized(square) for square in squares]))
        within.append(float((error <= 1).mean()))
        table.add_row(name, str(len(boxes)), f"{(error == 0).mean():.3%}", f"{within[-1]:.3%}")
    show(table)
    assert min(within) >= MIN_WITHIN_A_LEVEL


def test_crop_embeddings_equal_transformers(client, show):
    """Cut, scaled and embedded on the server; cut by numpy, scaled and embedded by transformers."""
    from transformers import CLIPImageProcessor, CLIPModel

    pictures, boxes, frame_index = object_crops.sample()
    answer = ask(client, "crop_embeddings", pictures, EMBEDDINGS, boxes_xyxy=boxes, frame_index=frame_index)
    assert (answer["embedding_clip_provenance"] == answer["embedding_clip_provenance"][0, 0]).all()
    assert json.loads(answer["object_crops_provenance"][0])["trained"] is True
    folder = checkpoint(answer["embedding_clip_provenance"][0, 0]).parent
    squares = [object_crops.square(pictures[index], box) for box, index in zip(boxes, frame_index, strict=True)]
    pixels = CLIPImageProcessor.from_pretrained(folder)(
        images=squares, input_data_format="channels_last", return_tensors="pt"
    )
    network = CLIPModel.from_pretrained(folder, dtype=torch.float32)
    with torch.no_grad():
        expected = network.get_image_features(**pixels).pooler_output
    error = float(np.abs(answer["embedding"] - torch.nn.functional.normalize(expected).numpy()).max())
    table = Table("crops", "worst number of 512", title="crop embeddings: served vs transformers")
    table.add_row(str(len(boxes)), f"{error:.1e}")
    show(table)
    assert error <= MAX_EMBEDDING_ERROR
    labels = settings.labels("embedding_clip")
    products = [index for index, label in enumerate(labels) if label.startswith("product/")]
    assert answer["label_probabilities"].shape == (len(boxes), len(labels))
    np.testing.assert_allclose(answer["label_probabilities"][:, products].sum(1), 1, atol=1e-5)


@pytest.mark.parametrize(("ensemble", "outputs"), [("poses", POSES[:-1]), ("scene_labels", SCENES[:-1])])
def test_batch_equals_singles(client, frames, ensemble, outputs):
    image = cv2.resize(frames["bus.jpg"], (360, 640))
    batch = np.stack([np.roll(image, 60 * k, axis=1) for k in range(3)])
    together = ask(client, ensemble, batch, outputs)
    alone = [ask(client, ensemble, frame[None], outputs) for frame in batch]
    for name in outputs:
        singles = np.concatenate([each[name] for each in alone])
        if name == "label_map":
            assert (together[name] == singles).mean() >= MIN_LABELS_EQUAL
        else:
            np.testing.assert_allclose(together[name], singles, atol=1e-3 if name == "areas" else 1e-5, err_msg=name)


def test_crop_embeddings_of_a_batch_equal_singles(client):
    pictures, boxes, frame_index = object_crops.sample()
    outputs = ("embedding",)
    together = ask(client, "crop_embeddings", pictures, outputs, boxes_xyxy=boxes, frame_index=frame_index)
    for row in range(len(boxes)):
        alone = ask(
            client,
            "crop_embeddings",
            pictures,
            outputs,
            boxes_xyxy=boxes[row : row + 1],
            frame_index=frame_index[row : row + 1],
        )
        np.testing.assert_allclose(alone["embedding"][0], together["embedding"][row], atol=1e-5)


def test_as_many_crops_as_clip_takes_at_once(client, frames):
    boxes = np.tile(np.array([[0.2, 0.2, 0.6, 0.7]], np.float32), (33, 1))
    frame_index = np.zeros(33, np.int32)
    picture = frames["zidane.jpg"][None]
    full = ask(client, "crop_embeddings", picture, ("embedding",), boxes_xyxy=boxes[:32], frame_index=frame_index[:32])
    assert full["embedding"].shape == (32, 512)
    np.testing.assert_allclose(full["embedding"], full["embedding"][:1].repeat(32, axis=0), atol=1e-5)
    with pytest.raises(InferenceError, match="batch-size must be <= 32"):
        ask(client, "crop_embeddings", picture, ("embedding",), boxes_xyxy=boxes, frame_index=frame_index)


def test_no_boxes_are_no_crops(client, frames):
    none = {"boxes_xyxy": np.empty((0, 4), np.float32), "frame_index": np.empty(0, np.int32)}
    answer = ask(client, "object_crops", frames["bus.jpg"][None], ("crops",), **none)
    assert answer["crops"].shape == (0, 224, 224, 3)


def test_a_box_in_a_frame_that_was_not_sent_is_refused(client, frames):
    box = {"boxes_xyxy": np.array([[0, 0, 1, 1]], np.float32), "frame_index": np.array([1], np.int32)}
    with pytest.raises(InferenceError, match="out of data bounds"):
        ask(client, "object_crops", frames["bus.jpg"][None], ("crops",), **box)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (15, 1280), (1280, 15)])
@pytest.mark.parametrize(("ensemble", "outputs"), [("poses", POSES[:-1]), ("scene_labels", SCENES[:-1])])
def test_any_frame_size_is_served(client, ensemble, outputs, height, width):
    answer = ask(client, ensemble, np.full((2, height, width, 3), 90, np.uint8), outputs)
    for name in outputs:
        assert len(answer[name]) == 2
        assert np.isfinite(answer[name]).all(), name
