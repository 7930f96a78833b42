"""Apparent expression of faces, valence and arousal: HSEmotion's EfficientNet-B0.

Source: Savchenko (2022), arXiv:2203.13436; enet_b0_8_va_mtl, trained on AffectNet. Oracle:
`hsemotion_onnx.facial_emotions.HSEmotionRecognizer.predict_emotions` with logits=False, on the same crops.

Why this one. EmotiEffLib (the same author's; the weights are kept there) is Apache-2.0, code and weights, and has the
eight classes that are wanted, with valence and arousal, in 16 MB. It expects the crop of a face detector's box, resized
to 224 without regard to its shape, RGB; ours is aligned to ArcFace's template instead, which shows the face from the
brows to the chin and upright. deepface's classifier (MIT) sees 48x48 grey pixels, knows no contempt, and no valence and
arousal. EmotiEffLib's own package has the same preprocessing; hsemotion-onnx is the lighter one to compare with.

Input   crops_224      uint8 [F,224,224,3] RGB, as face_crops aligns them; F is any number, also 0.
Output  probabilities  float32 [F,8], by line of labels.txt; each row sums to 1.
        valence        float32 [F], about -1 (unpleasant) to 1 (pleasant); NaN where the network does not say.
        arousal        float32 [F], about -1 (calm) to 1 (excited); NaN where the network does not say.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from reelscope_export import face_input, face_photographs, foreign_onnx, graph, paths
from reelscope_export.contract import Contract
from reelscope_export.contract import Tensor as Spec
from reelscope_export.errors import WeightsUnreadable
from reelscope_export.verify import Measure, Run

SIDE_PX = 224
LABELS = ("neutral", "happy", "sad", "surprise", "fear", "disgust", "anger", "contempt")

_UPSTREAM = ("Neutral", "Happiness", "Sadness", "Surprise", "Fear", "Disgust", "Anger", "Contempt")
"""HSEmotion's names of LABELS; it has them in alphabetical order."""

CHUNK_FACES = 4
"""Faces in one run of the network."""

CONTRACT = Contract(
    name="face_expression",
    comment=(
        "Apparent expression of faces, valence and arousal: HSEmotion's EfficientNet-B0. Rows are faces, any number,",
        "also none. crops_224: RGB, of face_crops. probabilities: by line of labels.txt, each row sums to 1.",
        "valence, arousal: about -1 to 1.",
    ),
    inputs=(Spec("crops_224", "TYPE_UINT8", (-1, SIDE_PX, SIDE_PX, 3)),),
    outputs=(
        Spec("probabilities", "TYPE_FP32", (-1, len(LABELS))),
        Spec("valence", "TYPE_FP32", (-1,)),
        Spec("arousal", "TYPE_FP32", (-1,)),
    ),
    batched=False,
)


class After(nn.Module):
    """The network's ten numbers to probabilities, valence and arousal."""

    def forward(self, numbers: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Take float32 [F,10]: logits of the classes in HSEmotion's order, valence, arousal; [F,8] has no such two."""
        order = [sorted(_UPSTREAM).index(name) for name in _UPSTREAM]
        probabilities = numbers[:, : len(LABELS)].softmax(1)[:, order]
        if numbers.shape[1] == len(LABELS):
            unknown = torch.full_like(numbers[:, 0], torch.nan)
            return probabilities, unknown, unknown.clone()
        return probabilities, numbers[:, len(LABELS)], numbers[:, len(LABELS) + 1]


def build(weights: Path, precision: str) -> onnx.ModelProto:
    """Build the ONNX graph of the network, without provenance."""
    width = load(weights).ort_session.get_outputs()[0].shape[1]
    before = face_input.FaceInput(*face_input.IMAGENET)
    examples = {"numbers": graph.Example(torch.zeros(2, width), {0: "row"})}
    network = foreign_onnx.read(weights)
    return face_input.surround(network, CONTRACT, before, After(), examples, chunk_faces=CHUNK_FACES)


def load(weights: Path) -> Any:
    """Load the network as hsemotion-onnx's HSEmotionRecognizer.

    Raises:
        WeightsUnreadable: it cannot be loaded, or it gives other numbers than eight classes, valence and arousal.
    """
    paths.isolate_libraries()
    from hsemotion_onnx import facial_emotions

    find = facial_emotions.get_model_path
    # The recognizer takes a name, looks in the user's home, and downloads what it does not find there.
    facial_emotions.get_model_path = lambda name: str(weights)
    try:
        recognizer = facial_emotions.HSEmotionRecognizer("enet_b0_8_va_mtl")
        shapes = [node.shape for node in recognizer.ort_session.get_outputs()]
    except Exception as exc:  # onnxruntime's types for damaged files are many, and share no base
        raise WeightsUnreadable(f"{weights}: {exc}; delete the file to fetch it again") from exc
    finally:
        facial_emotions.get_model_path = find
    if len(shapes) != 1 or len(shapes[0]) != 2 or shapes[0][1] not in (len(LABELS), len(LABELS) + 2):
        raise WeightsUnreadable(f"{weights}: outputs {shapes}, not 8 or 10 numbers per face: another network")
    recognizer.is_mtl = shapes[0][1] > len(LABELS)
    return recognizer


def labels(weights: Path) -> tuple[str, ...]:
    """The classes, by index."""
    return LABELS


def write_random(variant: str, file: Path) -> None:
    """Write a seeded random EfficientNet-B0 with HSEmotion's inputs and outputs; deterministic."""
    from reelscope_export import face_random

    face_random.write_expression(face_photographs.aligned_crops(SIDE_PX), file)


def verify(run: Run, weights: Path, *, variant: str, precision: str, trained: bool) -> tuple[Measure, ...]:
    """Compare the graph with HSEmotionRecognizer on the same weights and crops."""
    crops = face_photographs.aligned_crops(SIDE_PX)
    recognizer = load(weights)
    answers = [recognizer.predict_emotions(crop, logits=False) for crop in crops]
    names = np.array([_UPSTREAM.index(name) for name, _ in answers])
    numbers = np.stack([scores for _, scores in answers])
    expected = numbers[:, [sorted(_UPSTREAM).index(name) for name in _UPSTREAM]]
    answer = run(crops)
    felt = np.stack((answer["valence"], answer["arousal"]), axis=1)
    upstream_felt = numbers[:, len(LABELS) :] if recognizer.is_mtl else np.full_like(felt, np.nan)
    if not np.array_equal(np.isnan(felt), np.isnan(upstream_felt)):
        felt = np.full_like(felt, np.inf)
    return (
        Measure("probability difference", float(np.abs(answer["probabilities"] - expected).max()), 1e-4),
        Measure("valence and arousal", float(np.nan_to_num(np.abs(felt - upstream_felt)).max()), 1e-3),
        Measure("expressions differing", int((answer["probabilities"].argmax(1) != names).sum()), 0),
        Measure("expressions told", len(np.unique(names)), 1 if trained else 4, at_least=True),
        Measure("sums off 1", float(np.abs(answer["probabilities"].sum(1) - 1).max()), 1e-5),
        Measure("batch to singles", face_photographs.difference_to_singles(run, crops), 1e-4),
    )
