"""Letterboxing in the graph is bit for bit OpenCV's and ultralytics'."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
import torch

from reelscope_export.letterbox import Letterbox
from reelscope_export.object_yolov8 import SIDE_PX
from reelscope_export.verify import Array

SIZES = [
    (1, 1),
    (2, 3),
    (15, 4001),
    (4001, 15),
    (1, 700),
    (333, 777),
    (641, 639),
    (640, 640),
    (320, 180),
    (720, 1280),
    (1280, 720),
    (1080, 810),
]


def _letterboxed(frame: Array) -> Array:
    pixels, _ = Letterbox(SIDE_PX)(torch.from_numpy(frame[None]))
    letterboxed: Array = pixels[0].permute(1, 2, 0).numpy()
    return letterboxed


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_equals_ultralytics(height: int, width: int) -> None:
    from ultralytics.data.augment import LetterBox

    frame = np.random.default_rng(height * 7919 + width).integers(0, 256, (height, width, 3), np.uint8)
    upstream: Any = LetterBox((SIDE_PX, SIDE_PX), auto=False)(image=frame.copy())
    np.testing.assert_array_equal(_letterboxed(frame), upstream.astype(np.float32) / np.float32(255))


@pytest.mark.parametrize("side", [1, 7, 250, 639, 640, 641, 1280, 1999])
def test_square_equals_opencv(side: int) -> None:
    frame = np.random.default_rng(side).integers(0, 256, (side, side, 3), np.uint8)
    resized = cv2.resize(frame, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_array_equal(_letterboxed(frame), resized.astype(np.float32) / np.float32(255))


def test_batch_equals_singles() -> None:
    frames = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 90, 160, 3), np.uint8))
    letterbox = Letterbox(SIDE_PX)
    together, _ = letterbox(frames)
    alone = torch.cat([letterbox(frames[row : row + 1])[0] for row in range(3)])
    assert torch.equal(together, alone)
