"""Networks that judge faces: the graph around them, from crops to answers."""

from __future__ import annotations

from collections.abc import Mapping

import onnx
import torch
from torch import Tensor, nn

from reelscope_export import chunks, foreign_onnx, graph
from reelscope_export.contract import Contract

IMAGENET = ((0.485 * 255, 0.456 * 255, 0.406 * 255), (0.229 * 255, 0.224 * 255, 0.225 * 255))
"""Mean and deviation of ImageNet's pixels by channel, in grey levels."""


class FaceInput(nn.Module):
    """Normalise grey levels."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, mean: tuple[float, float, float], deviation: tuple[float, float, float]) -> None:
        """Take both by channel, in grey levels 0-255."""
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("deviation", torch.tensor(deviation).view(1, 3, 1, 1))

    def forward(self, crops: Tensor) -> Tensor:
        """Take uint8 [F,S,S,3] RGB; give float32 [F,3,S,S]."""
        return (crops.permute(0, 3, 1, 2).to(torch.float32) - self.mean) / self.deviation


def surround(
    network: onnx.ModelProto,
    contract: Contract,
    before: FaceInput,
    after: nn.Module,
    examples: Mapping[str, graph.Example],
    *,
    chunk_faces: int,
) -> onnx.ModelProto:
    """Build the graph from uint8 crops to the contract's outputs, for any number of faces.

    Args:
        network: as distributed: one input [F,3,S,S], one output, which `after` takes first, as `numbers`.
        contract: its first input are the crops, [F,S,S,3].
        before: what makes pixels of crops.
        after: what makes outputs of the network's numbers, and of further inputs of the contract.
        examples: inputs of `after`, by name.
        chunk_faces: faces in one run of a network that takes several together; always so many, some of them twice.
    """
    crops, side_px = contract.inputs[0].name, contract.inputs[0].dims[1]
    crop_example = {crops: graph.Example(torch.zeros(2, side_px, side_px, 3, dtype=torch.uint8), {0: "row"})}
    joined = foreign_onnx.surround(
        graph.to_onnx(before, crop_example, output_names=("pixels",)),
        network,
        graph.to_onnx(after, examples, output_names=tuple(tensor.name for tensor in contract.outputs)),
        answers={network.graph.output[0].name: "numbers"},
    )
    together = foreign_onnx.takes_rows_together(network, (3, side_px, side_px))
    return chunks.in_chunks(joined, chunk_faces if together else 1, filled=together)
