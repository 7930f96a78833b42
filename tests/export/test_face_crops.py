"""Crops of faces are insightface's own, wherever the face is and however many there are."""

from __future__ import annotations

import re
import sys
import types
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from reelscope_export import face_photographs, paths
from reelscope_export.verify import Array

FOLDER = paths.deployment_root() / "model_repository" / "face_crops" / "1"
ALL = (
    "frame_index",
    "face_boxes",
    "face_scores",
    "face_keypoints",
    "crops_96",
    "crops_192",
    "crops_224",
    "crop_transforms",
)


class Tensor:
    def __init__(self, name: str, array: Array) -> None:
        self.name, self.array = name, array

    def as_numpy(self) -> Array:
        return self.array


class Response:
    def __init__(self, tensors: list[Tensor] | None = None, error: Any = None) -> None:
        self.arrays = {tensor.name: tensor.array for tensor in tensors or []}
        self.error = error


class Request:
    def __init__(self, inputs: dict[str, Array], wanted: tuple[str, ...] = ALL, cancelled: bool = False) -> None:
        self.inputs, self.wanted, self.cancelled = inputs, wanted, cancelled

    def is_cancelled(self) -> bool:
        return self.cancelled

    def requested_output_names(self) -> tuple[str, ...]:
        return self.wanted


@pytest.fixture(scope="module")
def modules() -> Iterator[tuple[Any, Any]]:
    """`model` and `crops` as the server imports them, with Triton's own module replaced."""
    triton = types.ModuleType("triton_python_backend_utils")
    triton.__dict__.update(
        Tensor=Tensor,
        InferenceResponse=Response,
        TritonError=type("TritonError", (), {"INVALID_ARG": 3, "CANCELLED": 6, "__init__": _remember}),
        get_input_tensor_by_name=lambda request, name: Tensor(name, request.inputs[name]),
    )
    threads = cv2.getNumThreads()
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, triton.__name__, triton)
        for name in ("crops", "model"):
            patch.delitem(sys.modules, name, raising=False)
        patch.syspath_prepend(str(FOLDER))
        import crops  # type: ignore[import-not-found]
        import model  # type: ignore[import-not-found]

        yield model, crops
        for name in ("crops", "model"):
            sys.modules.pop(name, None)
    cv2.setNumThreads(threads)


def _remember(self: Any, message: str, code: int) -> None:
    self.message, self.code = message, code


@pytest.fixture(scope="module")
def ask(modules: tuple[Any, Any]) -> Any:
    served = modules[0].TritonPythonModel()
    served.initialize({"model_name": "face_crops"})

    def answer(*requests: Request) -> list[Response]:
        found: list[Response] = served.execute(list(requests))
        return found

    return answer


def request_for(frames: Array, faces: list[list[Any]], **options: Any) -> Request:
    """A request as the detector's answer makes it; `faces` holds insightface's Faces of each frame."""
    count, (height, width) = len(frames), frames.shape[1:3]
    inputs = {
        "frames": frames,
        "boxes_xyxy": np.zeros((count, 128, 4), np.float32),
        "keypoints": np.zeros((count, 128, 5, 2), np.float32),
        "scores": np.zeros((count, 128), np.float32),
        "count": np.array([[len(each)] for each in faces], np.int32),
    }
    for row, each in enumerate(faces):
        for column, face in enumerate(each):
            inputs["boxes_xyxy"][row, column] = face.bbox / (width, height, width, height)
            inputs["keypoints"][row, column] = face.kps / (width, height)
            inputs["scores"][row, column] = 0.9 - column / 1000
    return Request(inputs, **options)


@pytest.fixture(scope="module")
def photograph() -> tuple[Array, list[Any]]:
    """The first photograph, RGB, and faces all over it, many beyond its border."""
    pairs = face_photographs.faces()
    faces = [face for frame, face in pairs if frame.shape == pairs[0][0].shape]
    return np.ascontiguousarray(pairs[0][0][..., ::-1]), faces


def upstream_crops(frame: Array, face: Any) -> dict[str, Array]:
    """What insightface's own functions cut."""
    from insightface.utils import face_align

    left, top, right, bottom = face.bbox
    found = {}
    for side in (96, 192):
        scale = side / (max(right - left, bottom - top) * 1.5)
        found[f"crops_{side}"] = face_align.transform(frame, ((left + right) / 2, (top + bottom) / 2), side, scale, 0)[
            0
        ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        found["crops_224"] = face_align.norm_crop(frame, face.kps, 224)
    return found


def share_within_a_grey_level(found: Array, expected: Array) -> float:
    return float((np.abs(found.astype(int) - expected.astype(int)) <= 1).mean())


def test_crops_are_insightfaces(ask: Any, photograph: tuple[Array, list[Any]]) -> None:
    frame, faces = photograph
    height, width = frame.shape[:2]
    beyond = [face for face in faces if (face.bbox < 0).any() or (face.bbox > (width, height, width, height)).any()]
    assert len(beyond) >= 3
    (answer,) = ask(request_for(frame[None], [faces]))
    for row, face in enumerate(faces):
        for name, expected in upstream_crops(frame, face).items():
            assert share_within_a_grey_level(answer.arrays[name][row], expected) >= 0.98, (row, name)


def test_beyond_the_frame_is_black(ask: Any, photograph: tuple[Array, list[Any]]) -> None:
    _, faces = photograph
    corner = type(faces[0])(bbox=np.float32([-40, -40, 40, 40]), kps=faces[0].kps)
    (answer,) = ask(request_for(np.full((1, 300, 400, 3), 200, np.uint8), [[corner]]))
    crop = answer.arrays["crops_192"][0]
    assert (crop[:95, :95] == 0).all()
    assert (crop[97:, 97:] == 200).all()


def test_transforms_bring_crops_back(ask: Any, photograph: tuple[Array, list[Any]]) -> None:
    """The crop's middle is the box's, its sides are 1.5 times the box's longer one."""
    frame, faces = photograph
    height, width = frame.shape[:2]
    (answer,) = ask(request_for(frame[None], [faces]))
    for matrix, face in zip(answer.arrays["crop_transforms"], faces, strict=True):
        left, top, right, bottom = face.bbox
        middle = matrix @ (96, 96, 1) * (width, height)
        np.testing.assert_allclose(middle, ((left + right) / 2, (top + bottom) / 2), atol=1e-3)
        side = (matrix @ (192, 0, 1) - matrix @ (0, 0, 1)) * (width, height)
        np.testing.assert_allclose(side, (1.5 * max(right - left, bottom - top), 0), atol=1e-3)


def test_alignment_is_umeyamas(modules: tuple[Any, Any]) -> None:
    """On any five points, mirrored faces and points on a line among them, as scikit-image finds it in doubles."""
    from skimage.transform import SimilarityTransform

    crops = modules[1]
    draw = np.random.default_rng(0)
    points = draw.random((200, 5, 2))
    points[100:150, :, 0] = 1 - (crops.TEMPLATE_PX[:, 0] / 112 + draw.normal(0, 0.02, (50, 5)))
    points[100:150, :, 1] = crops.TEMPLATE_PX[:, 1] / 112
    points[150:, :, 1] = points[150:, :, 0] * 2 + 1
    faces = crops.Faces(np.zeros(200, np.int32), np.zeros((200, 4), np.float32), np.ones(200, np.float32), points)
    matrices = crops.aligned(faces, 600, 800)
    for matrix, each in zip(matrices, points, strict=True):
        expected = SimilarityTransform.from_estimate(each.astype(np.float64) * (800, 600), crops.TEMPLATE_PX * 2)
        np.testing.assert_allclose(matrix, expected.params[:2], atol=1e-6)


def test_no_faces(ask: Any) -> None:
    (answer,) = ask(request_for(np.zeros((2, 30, 40, 3), np.uint8), [[], []]))
    assert {name: array.shape for name, array in answer.arrays.items()} == {
        "frame_index": (0,),
        "face_boxes": (0, 4),
        "face_scores": (0,),
        "face_keypoints": (0, 5, 2),
        "crops_96": (0, 96, 96, 3),
        "crops_192": (0, 192, 192, 3),
        "crops_224": (0, 224, 224, 3),
        "crop_transforms": (0, 2, 3),
    }


def test_sixty_faces_of_three_frames_in_order(ask: Any, photograph: tuple[Array, list[Any]]) -> None:
    frame, faces = photograph
    frames = np.stack([frame, frame[:, ::-1], 255 - frame])
    shares = [faces[:20] + faces[:5], [], faces[:20] + faces[5:20]]
    request = request_for(frames, shares)
    (answer,) = ask(request)
    assert answer.arrays["frame_index"].tolist() == [0] * 25 + [2] * 35
    assert answer.arrays["face_scores"].tolist() == [
        *request.inputs["scores"][0, :25].tolist(),
        *request.inputs["scores"][2, :35].tolist(),
    ]
    for row, face in enumerate(shares[0] + shares[2]):
        expected = upstream_crops(frames[0 if row < 25 else 2], face)
        for name, crop in expected.items():
            assert share_within_a_grey_level(answer.arrays[name][row], crop) >= 0.98
    singles = [ask(request_for(frames[row : row + 1], [shares[row]]))[0].arrays for row in range(3)]
    for name in set(ALL) - {"frame_index"}:
        np.testing.assert_array_equal(answer.arrays[name], np.concatenate([single[name] for single in singles]))


def test_as_many_as_the_detector_can_find(ask: Any, photograph: tuple[Array, list[Any]]) -> None:
    _, faces = photograph
    frames = np.zeros((32, 60, 80, 3), np.uint8)
    wanted = ("frame_index", "crops_96")
    (answer,) = ask(request_for(frames, [[faces[0]] * 128] * 32, wanted=wanted))
    assert {name: array.shape for name, array in answer.arrays.items()} == {
        "frame_index": (4096,),
        "crops_96": (4096, 96, 96, 3),
    }


def test_faces_without_size_are_no_failure(ask: Any, photograph: tuple[Array, list[Any]]) -> None:
    frame, faces = photograph
    point = type(faces[0])(bbox=np.float32([9, 9, 9, 9]), kps=np.full((5, 2), 9, np.float32))
    (answer,) = ask(request_for(frame[None], [[point]]))
    assert answer.error is None
    assert np.isfinite(answer.arrays["crop_transforms"]).all()


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("frames", np.zeros((2, 0, 5, 3), np.uint8), r"\[2, 0, 5, 3\]"),
        ("frames", np.zeros((3, 9, 9, 3), np.uint8), r"boxes_xyxy has shape \[2, 128, 4\], expected \[3, 128, 4\]"),
        ("keypoints", np.zeros((2, 127, 5, 2), np.float32), r"keypoints has shape \[2, 127, 5, 2\]"),
        ("count", np.array([[1], [129]], np.int32), "2 numbers from 0 to 128"),
        ("count", np.array([[-1], [1]], np.int32), "2 numbers from 0 to 128"),
    ],
)
def test_what_does_not_belong_together_fails_alone(ask: Any, name: str, array: Array, message: str) -> None:
    bad = request_for(np.zeros((2, 9, 9, 3), np.uint8), [[], []])
    bad.inputs[name] = array
    failed, cancelled, good = ask(
        bad,
        request_for(np.zeros((1, 9, 9, 3), np.uint8), [[]], cancelled=True),
        request_for(np.zeros((1, 9, 9, 3), np.uint8), [[]]),
    )
    assert re.search(message, failed.error.message)
    assert (failed.error.code, cancelled.error.code, good.error) == (3, 6, None)


def test_serves_without_torch_and_without_this_project() -> None:
    text = "\n".join(file.read_text() for file in Path(FOLDER).glob("*.py"))
    assert "import torch" not in text
    assert "reelscope" not in text
