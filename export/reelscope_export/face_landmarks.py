"""Landmarks of faces: InsightFace's network of 106 points.

Source: the pack buffalo_l (2d106det), ONNX alone. Oracle: `insightface.model_zoo.Landmark.get`, which
`insightface.app.FaceAnalysis` calls for every face.

Input   crops_192        uint8 [F,192,192,3] RGB, as face_crops cuts them; F is any number, also 0.
        crop_transforms  float32 [F,2,3], from pixels of the crop to 0-1 of the frame.
Output  points           float32 [F,106,2], x and y, 0-1 of the frame.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from reelscope_export import face_input, face_photographs, foreign_onnx, graph, insightface_pack
from reelscope_export.contract import Contract
from reelscope_export.contract import Tensor as Spec
from reelscope_export.verify import Array, Measure, Run

SIDE_PX = 192
POINT_COUNT = 106
TASK = "landmark_2d_106"
"""InsightFace's name of it."""

CHUNK_FACES = 4
"""Faces in one run of the network."""

CONTRACT = Contract(
    name="face_landmarks",
    comment=(
        "106 landmarks of faces: InsightFace's 2d106det. Rows are faces, any number, also none.",
        "crops_192: RGB, of face_crops, as crop_transforms, which map their pixels to 0-1 of the frame.",
        "points: x and y, 0-1 of the frame.",
    ),
    inputs=(
        Spec("crops_192", "TYPE_UINT8", (-1, SIDE_PX, SIDE_PX, 3)),
        Spec("crop_transforms", "TYPE_FP32", (-1, 2, 3)),
    ),
    outputs=(Spec("points", "TYPE_FP32", (-1, POINT_COUNT, 2)),),
    batched=False,
)


class After(nn.Module):
    """The network's numbers, -1 to 1 of the crop, to places in the frame."""

    def forward(self, numbers: Tensor, crop_transforms: Tensor) -> Tensor:
        """Take float32 [F,212] and [F,2,3]."""
        pixels = (numbers.reshape(-1, POINT_COUNT, 2) + 1.0) * (SIDE_PX // 2)
        return torch.matmul(pixels, crop_transforms[:, :, :2].transpose(1, 2)) + crop_transforms[:, :, 2].unsqueeze(1)


def build(weights: Path, precision: str) -> onnx.ModelProto:
    """Build the ONNX graph of the network, without provenance."""
    oracle = load(weights)
    before = face_input.FaceInput((oracle.input_mean,) * 3, (oracle.input_std,) * 3)
    examples = {
        "numbers": graph.Example(torch.zeros(2, 2 * POINT_COUNT), {0: "row"}),
        "crop_transforms": graph.Example(torch.zeros(2, 2, 3), {0: "row"}),
    }
    network = foreign_onnx.read(weights)
    return face_input.surround(network, CONTRACT, before, After(), examples, chunk_faces=CHUNK_FACES)


def load(weights: Path) -> Any:
    """Load the network as insightface's Landmark; raises WeightsUnreadable."""
    return insightface_pack.load(weights, TASK)


def labels(weights: Path) -> tuple[str, ...]:
    """None: points have numbers only."""
    return ()


def write_random(variant: str, file: Path) -> None:
    """Write a seeded random network with the inputs, outputs and cost of InsightFace's; deterministic."""
    from reelscope_export import face_random

    face_random.write_landmarks(face_photographs.upright_crops(SIDE_PX), file)


def verify(run: Run, weights: Path, *, variant: str, precision: str, trained: bool) -> tuple[Measure, ...]:
    """Compare the graph with insightface's Landmark on the same weights and faces: boxes all over two photographs."""
    oracle = load(weights)
    faces = face_photographs.faces()
    expected = np.stack([oracle.get(frame, face) for frame, face in faces])
    sizes = np.array([frame.shape[1::-1] for frame, _ in faces])
    crops = face_photographs.upright_crops(SIDE_PX)
    back = _inverse(face_photographs.upright_matrices(SIDE_PX)) / sizes[:, :, None]
    back = back.astype(np.float32)
    points = run(crops, back)["points"]
    spread = np.ptp((expected - expected.mean(1, keepdims=True)) / _longer_sides(faces)[:, None, None], axis=0).max()
    return (
        Measure("landmark difference", np.abs(points * sizes[:, None] - expected).max(), 0.05, "px"),
        Measure("landmarks' spread", float(spread), 0.0 if trained else 0.01, at_least=True),
        Measure("batch to singles", face_photographs.difference_to_singles(run, crops, back), 1e-5),
    )


def _inverse(matrices: Array) -> Array:
    square = np.concatenate((matrices, np.broadcast_to([[[0.0, 0.0, 1.0]]], (len(matrices), 1, 3))), axis=1)
    inverse: Array = np.linalg.inv(square)[:, :2]
    return inverse


def _longer_sides(faces: list[tuple[Array, Any]]) -> Array:
    """Of the boxes, in pixels."""
    return np.array([max(face.bbox[2:] - face.bbox[:2]) for _, face in faces])
