"""SegFormer semantic segmentation: ADE20K's 150 labels of every part of each frame.

Source: Xie et al. (2021), arXiv:2105.15203. Oracle: transformers' `SegformerImageProcessor` and
`SegformerForSemanticSegmentation`, the label of the highest logit.

Input   frames           uint8 [N,H,W,3] RGB, displayed orientation, any H and W.
Output  label_map        uint8 [N,128,128], index into labels.txt; cells of the whole frame, whatever its shape.
        areas            float32 [N,150], share of the cells by label; each row sums to 1.

The processor stretches the frame to 512x512, and logits have a quarter of that: a label map as fine as the network is.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from reelscope_export import antialias, chunks, graph, paths, photographs, pretrained
from reelscope_export.contract import Contract
from reelscope_export.contract import Tensor as Spec
from reelscope_export.errors import WeightsUnreadable
from reelscope_export.verify import Array, Measure, Run

CLASS_COUNT = 150
SIDE_PX = 512
MAP_SIDE = 128

CONTRACT = Contract(
    name="segmentation_segformer",
    comment=(
        "SegFormer's labels of every part of each frame, ADE20K's 150 (labels.txt). RGB frames of any size, stretched",
        "to 512x512 inside. label_map: 128x128 cells of the whole frame. areas: share of the cells by label, sum 1.",
    ),
    inputs=(Spec("frames", "TYPE_UINT8", (-1, -1, 3)),),
    outputs=(
        Spec("label_map", "TYPE_UINT8", (MAP_SIDE, MAP_SIDE)),
        Spec("areas", "TYPE_FP32", (CLASS_COUNT,)),
    ),
)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a folder of weights holds, each part as transformers loads it."""

    network: Any
    """SegformerForSemanticSegmentation in float32, evaluation mode."""
    processor: Any


class FoldedDecoder(nn.Module):
    """SegFormer's decoder in fewer steps: B0 takes 135 ms a frame instead of 170, and a third of the memory.

    Up to its ReLU the decoder is linear: projections, enlargement, fusion, BatchNorm. Enlargement mixes no channels,
    and the others no places. So one projection for each stage stands for all of them, at the stage's own size.
    """

    def __init__(self, head: Any) -> None:
        """Fold a SegformerDecodeHead in evaluation mode."""
        super().__init__()
        norm = head.batch_norm
        scale = norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)
        shift = norm.bias.double() - norm.running_mean.double() * scale
        fusions = (head.linear_fuse.weight[..., 0, 0].double() * scale[:, None]).chunk(len(head.linear_projections), 1)
        self.projections = nn.ModuleList()
        for linear, fusion in zip(head.linear_projections, reversed(fusions), strict=True):
            weight, bias = fusion @ linear.proj.weight.double(), fusion @ linear.proj.bias.double() + shift
            projection = nn.Conv2d(weight.shape[1], weight.shape[0], 1)
            projection.weight.copy_(weight[..., None, None])
            projection.bias.copy_(bias)  # type: ignore[union-attr]
            self.projections.append(projection)
            shift = torch.zeros_like(shift)  # once is enough
        self.classifier = head.classifier

    def forward(self, stages: list[Tensor]) -> Tensor:
        """Logits [N,150,h,w] of the stages' maps [N,C,h,w], finest first."""
        size = stages[0].shape[2:]
        fused = self.projections[0](stages[0])
        for projection, stage in zip(self.projections[1:], stages[1:], strict=True):
            fused = fused + nn.functional.interpolate(projection(stage), size=size, mode="bilinear")
        logits: Tensor = self.classifier(torch.relu(fused))
        return logits


class SegmentationGraph(nn.Module):
    """Frames in, label maps and areas out: resize, network, highest logit."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, checkpoint: Checkpoint, precision: str) -> None:
        """Take the network; `precision` (fp32, fp16) is its alone."""
        super().__init__()
        # As the processor does it: grey levels are normalised at once, without a division by 255 before.
        for name, values in (("mean", checkpoint.processor.image_mean), ("deviation", checkpoint.processor.image_std)):
            self.register_buffer(name, torch.tensor(values).view(1, 3, 1, 1) * 255.0)
        self.encoder_stages = checkpoint.network.segformer.stages
        with torch.no_grad():
            self.decoder = FoldedDecoder(checkpoint.network.decode_head)
        self.half_network = precision == "fp16"
        if self.half_network:
            self.encoder_stages.half()
            self.decoder.half()

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Label uint8 [N,H,W,3]; outputs as in the module's head."""
        pixels = (antialias.resize(frames, SIDE_PX, SIDE_PX) - self.mean) / self.deviation
        stages = [pixels.half() if self.half_network else pixels]
        for stage in self.encoder_stages:
            stages.append(stage(stages[-1]))
        label_map = self.decoder(stages[1:]).argmax(1)
        areas = label_map.flatten(1).unsqueeze(1) == torch.arange(CLASS_COUNT).unsqueeze(1)
        return label_map.to(torch.uint8), areas.to(torch.float32).mean(2)


def build(weights: Path, precision: str) -> onnx.ModelProto:
    """Build the ONNX graph of the checkpoint, without provenance."""
    checkpoint = load(weights)
    checkpoint.network.set_attn_implementation("eager")
    traced = graph.to_onnx(
        SegmentationGraph(checkpoint, precision),
        graph.frames_example(),
        output_names=tuple(tensor.name for tensor in CONTRACT.outputs),
    )
    return chunks.for_gpu(traced, precision)


def load(weights: Path) -> Checkpoint:
    """Load the file of weights, and the files beside it, with transformers' own loaders.

    Raises:
        WeightsUnreadable: transformers cannot read them, or they do not tell 150 classes in frames of 512x512.
    """
    paths.isolate_libraries()
    from transformers import SegformerForSemanticSegmentation, SegformerImageProcessor
    from transformers.utils import logging

    logging.disable_progress_bar()
    folder = weights.parent
    try:
        network, report = SegformerForSemanticSegmentation.from_pretrained(
            folder, dtype=torch.float32, local_files_only=True, output_loading_info=True
        )
        processor = SegformerImageProcessor.from_pretrained(folder, local_files_only=True)
    except Exception as exc:
        raise WeightsUnreadable(f"{folder}: {exc}") from exc
    pretrained.require_all_weights(report, "SegFormer", weights)
    size = (processor.size["height"], processor.size["width"])
    if (network.config.num_labels, size) != (CLASS_COUNT, (SIDE_PX, SIDE_PX)):
        raise WeightsUnreadable(
            f"{weights}: {network.config.num_labels} classes in frames of {size[1]}x{size[0]}, "
            f"not {CLASS_COUNT} in {SIDE_PX}x{SIDE_PX}: another SegFormer than ADE20K's"
        )
    return Checkpoint(network.eval(), processor)


def labels(weights: Path) -> tuple[str, ...]:
    """Class names of the checkpoint, by index; upstream's own list has a blank after one of them."""
    names: dict[int, str] = load(weights).network.config.id2label
    return tuple(names[index].strip() for index in sorted(names))


def write_random(variant: str, file: Path) -> None:
    """Write seeded random weights to `file`, and the files that belong to them beside it; deterministic."""
    from reelscope_export import segformer_random

    segformer_random.write_checkpoint(variant, file)


def verify(run: Run, weights: Path, *, variant: str, precision: str, trained: bool) -> tuple[Measure, ...]:
    """Compare the graph with transformers' processor and network, on frames of many shapes.

    FP32: the label is upstream's in all but the cells where two logits are as good as equal. FP16: in 99 % of them.
    Areas are those of the graph's own label map. Batches must give what their frames give one by one.
    """
    frames = _frames()
    answers = [run(frame[None]) for frame in frames]
    found = np.concatenate([answer["label_map"] for answer in answers])
    areas = np.concatenate([answer["areas"] for answer in answers])
    expected = upstream_labels(load(weights), frames)
    shifted = np.stack([np.roll(frames[0], 50 * shift, axis=1) for shift in range(4)])
    batch, singles = run(shifted)["label_map"], np.concatenate([run(frame[None])["label_map"] for frame in shifted])
    counted = np.stack([np.bincount(label_map.ravel(), minlength=CLASS_COUNT) / label_map.size for label_map in found])
    equal_ratio = 0.9995 if precision == "fp32" else 0.99
    return (
        Measure("labels seen", len(np.unique(expected)), 20 if not trained else 2, at_least=True),
        Measure("labels equal", float((found == expected).mean()), equal_ratio, at_least=True),
        Measure("area difference", float(np.abs(areas - counted).max()), 1e-6),
        Measure("batch to singles, labels equal", float((batch == singles).mean()), equal_ratio, at_least=True),
    )


def upstream_labels(checkpoint: Checkpoint, frames: list[Array]) -> Array:
    """The label of the highest logit by transformers' own processor and network, uint8 [N,128,128]."""
    pixels = checkpoint.processor(images=frames, input_data_format="channels_last", return_tensors="pt")
    with torch.no_grad():
        logits = [checkpoint.network(pixel_values=each[None]).logits for each in pixels["pixel_values"]]
    found: Array = torch.cat(logits).argmax(1).numpy().astype(np.uint8)
    return found


def _frames() -> list[Array]:
    """Two photographs, landscape and portrait, and crops of them: odd, wide, and smaller than 512."""
    bus, zidane = photographs.read().values()
    return [bus, zidane, bus[:, :361], bus[301:338, 200:205], zidane[100:115]]
