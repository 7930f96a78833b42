"""Letterboxing in the graph is bit for bit OpenCV's and ultralytics'."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import onnxruntime
import pytest
from torch import Tensor, nn

from reelscope_export import letterbox, rectangle
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


class Seen(nn.Module):
    """What a network would see, [N,h,w,3]."""

    def __init__(self) -> None:
        super().__init__()
        self.letterbox = letterbox.Letterbox()

    def forward(self, frames: Tensor, scaled_px: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        pixels, _ = self.letterbox(frames, scaled_px, rows.flatten(), columns.flatten())
        return pixels.permute(0, 2, 3, 1)


@pytest.fixture(scope="module")
def session() -> Any:
    graph = rectangle.to_onnx(letterbox.plan(SIDE_PX), Seen(), output_names=("seen",))
    return onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])


def _letterboxed(session: Any, frames: Array) -> Array:
    (seen,) = session.run(None, {"frames": frames})
    return seen


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_equals_ultralytics(session: Any, height: int, width: int) -> None:
    from ultralytics.data.augment import LetterBox

    frame = np.random.default_rng(height * 7919 + width).integers(0, 256, (height, width, 3), np.uint8)
    upstream: Any = LetterBox((SIDE_PX, SIDE_PX), auto=True, stride=32)(image=frame.copy())
    np.testing.assert_array_equal(_letterboxed(session, frame[None])[0], upstream.astype(np.float32) / np.float32(255))


def test_sizes_of_every_shape_are_ultralytics(session: Any) -> None:
    from ultralytics.data.augment import LetterBox

    fit = LetterBox((SIDE_PX, SIDE_PX), auto=True, stride=32)
    for width in range(1, 1281, 53):
        frame = np.zeros((1280, width, 3), np.uint8)
        upstream: Any = fit(image=frame)
        assert _letterboxed(session, frame[None])[0].shape == upstream.shape, width


@pytest.mark.parametrize("side", [1, 7, 250, 639, 640, 641, 1280, 1999])
def test_square_equals_opencv(session: Any, side: int) -> None:
    frame = np.random.default_rng(side).integers(0, 256, (side, side, 3), np.uint8)
    resized = cv2.resize(frame, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_array_equal(_letterboxed(session, frame[None])[0], resized.astype(np.float32) / np.float32(255))


def test_batch_equals_singles(session: Any) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (3, 90, 160, 3), np.uint8)
    alone = np.concatenate([_letterboxed(session, frames[row : row + 1]) for row in range(3)])
    np.testing.assert_array_equal(_letterboxed(session, frames), alone)
