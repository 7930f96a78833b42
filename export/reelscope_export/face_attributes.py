"""Apparent age and gender of faces: InsightFace's genderage network.

Source: the pack buffalo_l, ONNX alone. Oracle: `insightface.model_zoo.Attribute.get`, which
`insightface.app.FaceAnalysis` calls for every face; it rounds the age to whole years.

Input   crops_96   uint8 [F,96,96,3] RGB, as face_crops cuts them; F is any number, also 0.
Output  age_years  float32 [F], not rounded.
        is_male    int32 [F], 1 or 0: the network's choice of two.
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

SIDE_PX = 96
TASK = "genderage"
"""InsightFace's name of it."""

CHUNK_FACES = 4
"""Faces in one run of the network."""

CONTRACT = Contract(
    name="face_attributes",
    comment=(
        "Apparent age and gender of faces: InsightFace's genderage. Rows are faces, any number, also none.",
        "crops_96: RGB, of face_crops. age_years: not rounded. is_male: 1 or 0.",
    ),
    inputs=(Spec("crops_96", "TYPE_UINT8", (-1, SIDE_PX, SIDE_PX, 3)),),
    outputs=(Spec("age_years", "TYPE_FP32", (-1,)), Spec("is_male", "TYPE_INT32", (-1,))),
    batched=False,
)


class After(nn.Module):
    """The network's three numbers to an age and a choice."""

    def forward(self, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """Take float32 [F,3]: for female, for male, and hundreds of years."""
        return numbers[:, 2] * 100.0, (numbers[:, 1] > numbers[:, 0]).to(torch.int32)


def build(weights: Path, precision: str) -> onnx.ModelProto:
    """Build the ONNX graph of the network, without provenance."""
    oracle = load(weights)
    before = face_input.FaceInput((oracle.input_mean,) * 3, (oracle.input_std,) * 3)
    examples = {"numbers": graph.Example(torch.zeros(2, 3), {0: "row"})}
    network = foreign_onnx.read(weights)
    return face_input.surround(network, CONTRACT, before, After(), examples, chunk_faces=CHUNK_FACES)


def load(weights: Path) -> Any:
    """Load the network as insightface's Attribute; raises WeightsUnreadable."""
    return insightface_pack.load(weights, TASK)


def labels(weights: Path) -> tuple[str, ...]:
    """None: its two outputs are named by the contract."""
    return ()


def write_random(variant: str, file: Path) -> None:
    """Write a seeded random network with the inputs, outputs and cost of InsightFace's; deterministic."""
    from reelscope_export import face_random

    face_random.write_attributes(face_photographs.upright_crops(SIDE_PX), file)


def verify(run: Run, weights: Path, *, variant: str, precision: str, trained: bool) -> tuple[Measure, ...]:
    """Compare the graph with insightface's Attribute on the same weights and faces: boxes all over two photographs."""
    crops = face_photographs.upright_crops(SIDE_PX)
    oracle = load(weights)
    expected = np.array([oracle.get(frame, face) for frame, face in face_photographs.faces()])
    answer = run(crops)
    return (
        Measure("ages differing", ages_differing(answer["age_years"], expected[:, 1]), 0),
        Measure("genders differing", int((answer["is_male"] != expected[:, 0]).sum()), 0),
        Measure("ages told", len(np.unique(expected[:, 1])), 1 if trained else 5, at_least=True),
        Measure("batch to singles", face_photographs.difference_to_singles(run, crops), 1e-3),
    )


def ages_differing(age_years: Array, rounded_years: Array, margin_years: float = 1e-3) -> int:
    """Ages that do not round to insightface's; those within the margin of a half round both ways."""
    return int((np.abs(age_years - rounded_years) > 0.5 + margin_years).sum())
