"""Crops of faces to what networks see: channels first, normalised."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from reelscope_export import graph

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


def example(name: str, side_px: int) -> dict[str, graph.Example]:
    """The input of a network that judges faces, for tracing."""
    return {name: graph.Example(torch.zeros(2, side_px, side_px, 3, dtype=torch.uint8), {0: "row"})}
