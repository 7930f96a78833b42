"""CLIP ViT-B/32: an embedding of each frame, and zero-shot probabilities of labels.

Source: Radford et al. (2021), arXiv:2103.00020. Oracle: transformers' `CLIPImageProcessor` and `CLIPModel`. The prompts
(clip_prompts.py) are encoded at export; only the image tower is in the graph.

Input   frames               uint8 [N,H,W,3] RGB, displayed orientation, any H and W.
Output  embedding            float32 [N,512], unit length.
        label_probabilities  float32 [N,L], by line of labels.txt; each group of labels sums to 1.

The processor scales the shorter edge to 224 and cuts the middle square out: the ends of a long frame are not seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from reelscope_export import antialias, clip_prompts, graph, paths, photographs, pretrained
from reelscope_export.contract import Contract
from reelscope_export.contract import Tensor as Spec
from reelscope_export.errors import WeightsUnreadable
from reelscope_export.verify import Array, Measure, Run

EMBEDDING_SIZE = 512
SIDE_PX = 224

CONTRACT = Contract(
    name="embedding_clip",
    comment=(
        "CLIP ViT-B/32 of each frame. RGB frames of any size; the middle square is seen, scaled to 224 inside.",
        "embedding: unit length. label_probabilities: by line of labels.txt (group/label), 1 in each group.",
    ),
    inputs=(Spec("frames", "TYPE_UINT8", (-1, -1, 3)),),
    outputs=(
        Spec("embedding", "TYPE_FP32", (EMBEDDING_SIZE,)),
        Spec("label_probabilities", "TYPE_FP32", (len(clip_prompts.LABELS),)),
    ),
)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a folder of weights holds, each part as transformers loads it."""

    network: Any
    """CLIPModel in float32, evaluation mode."""
    tokenizer: Any
    processor: Any


class EmbeddingGraph(nn.Module):
    """Frames in, embedding and probabilities out: resize, image tower, comparison with the prompts."""

    mean: Tensor
    deviation: Tensor
    prompt_directions: Tensor

    def __init__(self, checkpoint: Checkpoint, precision: str) -> None:
        """Take the image tower and the embedded prompts; `precision` (fp32, fp16) is the tower's alone."""
        super().__init__()
        # As the processor does it: grey levels are normalised at once, without a division by 255 before.
        for name, values in (("mean", checkpoint.processor.image_mean), ("deviation", checkpoint.processor.image_std)):
            self.register_buffer(name, torch.tensor(values).view(1, 3, 1, 1) * 255.0)
        with torch.no_grad():
            scale = checkpoint.network.logit_scale.exp()
            self.register_buffer("prompt_directions", (scale * _embed_prompts(checkpoint)).T.contiguous())
        self.tower = checkpoint.network.vision_model
        self.projection = checkpoint.network.visual_projection
        self.half_network = precision == "fp16"
        if self.half_network:
            self.tower.half()
            self.projection.half()

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Embed uint8 [N,H,W,3]; outputs as in the module's head."""
        pixels = (antialias.resize_and_crop(frames, SIDE_PX) - self.mean) / self.deviation
        seen = self.tower(pixel_values=pixels.half() if self.half_network else pixels).pooler_output
        embedding = _unit_length(self.projection(seen).float())
        logits = torch.matmul(embedding, self.prompt_directions)
        return embedding, _softmax_by_group(logits)


def _unit_length(vectors: Tensor) -> Tensor:
    return nn.functional.normalize(vectors, dim=-1)


def _softmax_by_group(logits: Tensor) -> Tensor:
    groups = torch.split(logits, list(clip_prompts.GROUP_SIZES), dim=1)
    return torch.cat([group.softmax(1) for group in groups], dim=1)


def _embed_prompts(checkpoint: Checkpoint) -> Tensor:
    """Unit embeddings of the prompts, float32 [L,512]."""
    found: Tensor = checkpoint.network.get_text_features(**_tokens(checkpoint)).pooler_output
    return _unit_length(found)


def _tokens(checkpoint: Checkpoint) -> Any:
    return checkpoint.tokenizer([prompt.text for prompt in clip_prompts.PROMPTS], padding=True, return_tensors="pt")


def build(weights: Path, precision: str) -> onnx.ModelProto:
    """Build the ONNX graph of the checkpoint, without provenance."""
    checkpoint = load(weights)
    checkpoint.network.set_attn_implementation("eager")  # traced in half the time, to fewer nodes
    return graph.to_onnx(
        EmbeddingGraph(checkpoint, precision),
        graph.frames_example(),
        output_names=tuple(tensor.name for tensor in CONTRACT.outputs),
    )


def load(weights: Path) -> Checkpoint:
    """Load the file of weights, and the files beside it, with transformers' own loaders.

    Raises:
        WeightsUnreadable: transformers cannot read them, or they are not CLIP ViT-B/32's.
    """
    paths.isolate_libraries()
    from transformers import AutoTokenizer, CLIPImageProcessor, CLIPModel
    from transformers.utils import logging

    logging.disable_progress_bar()
    folder = weights.parent
    try:
        network, report = CLIPModel.from_pretrained(
            folder, dtype=torch.float32, local_files_only=True, output_loading_info=True
        )
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        processor = CLIPImageProcessor.from_pretrained(folder, local_files_only=True)
    except Exception as exc:
        raise WeightsUnreadable(f"{folder}: {exc}") from exc
    pretrained.require_all_weights(report, "CLIP", weights)
    vision = network.config.vision_config
    if (network.config.projection_dim, vision.image_size) != (EMBEDDING_SIZE, SIDE_PX):
        raise WeightsUnreadable(
            f"{weights}: {vision.image_size} px to {network.config.projection_dim} numbers, "
            f"not {SIDE_PX} px to {EMBEDDING_SIZE}: another CLIP than ViT-B/32"
        )
    return Checkpoint(network.eval(), tokenizer, processor)


def labels(weights: Path) -> tuple[str, ...]:
    """The labels of the prompts, group/label; the same for all weights."""
    return clip_prompts.LABELS


def write_random(variant: str, file: Path) -> None:
    """Write seeded random weights to `file`, and the files that belong to them beside it; deterministic."""
    from reelscope_export import clip_random

    clip_random.write_checkpoint(file)


def verify(run: Run, weights: Path, *, variant: str, precision: str, trained: bool) -> tuple[Measure, ...]:
    """Compare the graph with transformers' processor and `CLIPModel`, on frames of many shapes.

    FP32: embeddings and probabilities alike. FP16: embeddings of the same direction, and the probabilities that
    transformers' prompts give the graph's own embeddings. Batches must give what their frames give one by one.
    """
    frames = _frames()
    answers = [run(frame[None]) for frame in frames]
    embeddings, probabilities = (
        np.concatenate([answer[name] for answer in answers]) for name in ("embedding", "label_probabilities")
    )
    shifted = np.stack([np.roll(frames[0], 50 * shift, axis=1) for shift in range(4)])
    batch = run(shifted)["embedding"]
    singles = np.concatenate([run(frame[None])["embedding"] for frame in shifted])
    checkpoint = load(weights)
    upstream = _upstream(checkpoint, frames)
    upstream_embeddings = upstream.image_embeds.numpy()
    if precision == "fp16":
        scale = checkpoint.network.logit_scale.detach().exp()
        implied = _softmax_by_group(scale * torch.from_numpy(embeddings) @ upstream.text_embeds.T).numpy()
        return (
            Measure("lowest cosine", _lowest_cosine(embeddings, upstream_embeddings), 0.999, at_least=True),
            Measure("probability difference", _difference(probabilities, implied), 1e-3),
            Measure("batch to singles, lowest cosine", _lowest_cosine(batch, singles), 0.999, at_least=True),
        )
    upstream_probabilities = _softmax_by_group(upstream.logits_per_image).numpy()
    return (
        Measure("embedding difference", _difference(embeddings, upstream_embeddings), 1e-4),
        Measure("probability difference", _difference(probabilities, upstream_probabilities), 1e-3),
        Measure("batch to singles", _difference(batch, singles), 1e-5),
    )


def _frames() -> list[Array]:
    """Two photographs, landscape and portrait, and crops of them: odd, narrow, wide, and smaller than 224."""
    bus, zidane = photographs.read().values()
    return [bus, zidane, bus[:, :361], zidane[:, ::3], bus[301:338, 200:205], zidane[100:115], bus[:600, :600:4]]


def _upstream(checkpoint: Checkpoint, frames: list[Array]) -> Any:
    """Transformers' CLIPOutput for the frames and prompts, by its own processor and model."""
    pixels = checkpoint.processor(images=frames, input_data_format="channels_last", return_tensors="pt")
    with torch.no_grad():
        return checkpoint.network(**_tokens(checkpoint), **pixels)


def _difference(found: Array, expected: Array) -> float:
    return float(np.abs(found - expected).max())


def _lowest_cosine(found: Array, expected: Array) -> float:
    """Of rows of unit length."""
    return float((found * expected).sum(1).min())
