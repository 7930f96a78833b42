"""Served models against their upstream libraries, on the same weights."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from rich.console import Console
from rich.table import Table

from boxes import in_order_of
from reelscope.inference import InferenceClient
from reelscope_export import paths

OUTPUTS = ("boxes_xyxy", "scores", "class_ids", "count", "object_yolov8_provenance")
MAX_BOX_ERROR_PX = 0.05
MAX_SCORE_ERROR = 1e-3
MIN_BOXES = 20


def ask(client: InferenceClient, frames: np.ndarray) -> dict[str, np.ndarray]:
    buffer = client.allocate(*frames.shape[1:3])
    buffer.array[: len(frames)] = frames
    try:
        return client.submit("detections", buffer, len(frames), OUTPUTS, 120).result()
    finally:
        buffer.close()


@pytest.fixture(scope="module")
def photographs():
    from ultralytics.utils import ASSETS

    return {name: cv2.imread(str(ASSETS / name))[:, :, ::-1] for name in ("bus.jpg", "zidane.jpg")}


@pytest.fixture(scope="module")
def upstream(client, photographs):
    """The checkpoint that was exported, in ultralytics' own hands: found by the hash that the server reports."""
    import hashlib

    from ultralytics import YOLO

    answer = ask(client, photographs["bus.jpg"][None])
    reported = json.loads(answer["object_yolov8_provenance"][0, 0])
    assert reported["trained"] is False
    checkpoint = next(
        file
        for file in paths.weights_folder().rglob("*.pt")
        if hashlib.sha256(file.read_bytes()).hexdigest() == reported["sha256"]
    )
    return YOLO(checkpoint)


def test_ultralytics_keeps_to_our_folders(tmp_path):
    # In its own process: ultralytics chooses its folder once, when some test first imports it.
    script = "from reelscope_export import paths; paths.isolate_libraries(); from ultralytics import utils; "
    chosen = subprocess.run(
        [sys.executable, "-c", script + "print(utils.USER_CONFIG_DIR)"],
        env=os.environ | {"REELSCOPE_WEIGHTS": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    assert Path(chosen).is_relative_to(tmp_path)


def test_detections_equal_ultralytics(client, photographs, upstream, capsys):
    columns = ("photograph", "boxes", "worst box px", "worst score", "classes differing")
    table = Table(*columns, title="served by Triton vs ultralytics")
    measured = []
    for name, image in photographs.items():
        height, width = image.shape[:2]
        answer = ask(client, image[None])
        count = int(answer["count"][0, 0])
        predicted = upstream.predict(
            [np.ascontiguousarray(image[:, :, ::-1])], imgsz=640, rect=True, conf=0.25, iou=0.7, verbose=False
        )[0].boxes
        assert count == len(predicted)
        ours = answer["boxes_xyxy"][0, :count] * (width, height, width, height)
        order = in_order_of(predicted.xyxy.numpy(), ours, answer["scores"][0, :count])
        box_error = float(np.abs(ours[order] - predicted.xyxy.numpy()).max())
        score_error = float(np.abs(answer["scores"][0, order] - predicted.conf.numpy()).max())
        differing = int((answer["class_ids"][0, order] != predicted.cls.numpy()).sum())
        table.add_row(name, str(count), f"{box_error:.4f}", f"{score_error:.1e}", str(differing))
        measured.append((count, box_error, score_error, differing))
        assert (answer["boxes_xyxy"][0, count:] == 0).all()
        assert (answer["class_ids"][0, count:] == -1).all()
    with capsys.disabled():
        Console(width=100).print("\n", table)
    for count, box_error, score_error, differing in measured:
        assert count >= MIN_BOXES
        assert box_error <= MAX_BOX_ERROR_PX
        assert score_error <= MAX_SCORE_ERROR
        assert differing == 0


def test_batch_equals_singles(client, photographs):
    image = cv2.resize(photographs["bus.jpg"], (720, 1280))
    frames = np.stack([np.roll(image, 60 * k, axis=1) for k in range(3)])
    batch = ask(client, frames)
    assert (batch["count"] >= MIN_BOXES).all()
    singles = [ask(client, frame[None]) for frame in frames]
    for name in ("boxes_xyxy", "scores", "class_ids", "count"):
        assert np.allclose(batch[name], np.concatenate([single[name] for single in singles]), atol=1e-5), name


def test_shared_memory_and_inline_give_identical_bytes(server, photographs):
    frames = np.stack([cv2.resize(photographs["zidane.jpg"], (640, 360))] * 2)
    answers = []
    for shared_memory in (True, False):
        with InferenceClient(server.grpc_url, shared_memory=shared_memory) as connection:
            answers.append(ask(connection, frames))
            assert connection.uses_shared_memory is shared_memory
    for name in OUTPUTS:
        assert answers[0][name].tobytes() == answers[1][name].tobytes() or name.endswith("provenance")
        assert (answers[0][name] == answers[1][name]).all()


def test_a_server_that_cannot_map_our_memory_gets_inline_frames(server, photographs, tmp_path, monkeypatch):
    """As on another host: the region's name means nothing there, registration fails, frames travel inline."""
    from reelscope.inference import memory

    frame = photographs["bus.jpg"][None]
    with InferenceClient(server.grpc_url) as connection:
        expected = ask(connection, frame)
    monkeypatch.setattr(memory, "SHARED_MEMORY", tmp_path)
    with InferenceClient(server.grpc_url) as connection:
        answer = ask(connection, frame)
        assert not connection.uses_shared_memory
    assert (answer["boxes_xyxy"] == expected["boxes_xyxy"]).all()
    assert list(tmp_path.iterdir()) == []
