"""Seeded random networks in the place of those that judge faces: ONNX files of the same inputs, outputs and cost.

BatchNorm statistics come from crops of two photographs, and so do the scales of the last layer: the answers differ from
crop to crop as much as trained ones, and mean nothing. InsightFace's begin with a BatchNorm named bn_data, by which
insightface tells that they normalise grey levels themselves; so do these.
"""

from __future__ import annotations

from pathlib import Path
from typing import cast

import onnx
import torch
from torch import Tensor, nn

from reelscope_export import face_input, random_onnx
from reelscope_export.scrfd_random import convolution, separable
from reelscope_export.verify import Array

SEED = 0

_YEARS = (0.38, 0.12)
"""Mean and deviation of the ages, in hundreds of years."""
_LANDMARK_DEVIATION = 0.025
"""From crop to crop, in half sides of the crop."""


def write_attributes(crops: Array, file: Path) -> None:
    """Write a network like genderage: MobileNet of a quarter of the width, 96 px to 3 numbers.

    Args:
        crops: uint8 [F,96,96,3] RGB, examples of what it is to see.
        file: overwritten in place; give a temporary name.
    """
    with random_onnx.drawing(SEED):
        network = _mobile_net(0.25, 3)
        _settle(network, _pixels(crops), torch.tensor([0.0, 0.0, _YEARS[0]]), torch.tensor([1.0, 1.0, _YEARS[1]]))
    _write_insightface(network, crops, file)


def write_landmarks(crops: Array, file: Path) -> None:
    """Write a network like 2d106det: MobileNet of half the width, 192 px to 106 points around an oval."""
    with random_onnx.drawing(SEED):
        network = _mobile_net(0.5, 212)
        angles = torch.arange(106.0) * 2.4
        radii = torch.linspace(0.1, 0.6, 106)
        means = torch.stack((radii * angles.cos(), radii * angles.sin()), 1).flatten()
        _settle(network, _pixels(crops), means, torch.full((212,), _LANDMARK_DEVIATION))
    _write_insightface(network, crops, file)


def write_expression(crops: Array, file: Path) -> None:
    """Write a network like HSEmotion's enet_b0_8_va_mtl: EfficientNet-B0, 224 px to 8 logits, valence and arousal."""
    from torchvision.models import efficientnet_b0

    with random_onnx.drawing(SEED):
        network = efficientnet_b0(num_classes=10, dropout=0.0, stochastic_depth_prob=0.0)
        pixels = face_input.FaceInput(*face_input.IMAGENET)(torch.from_numpy(crops))
        _settle(network, pixels, torch.zeros(10), torch.tensor([2.0] * 8 + [0.4] * 2))
    dynamic = {name: {0: "batch"} for name in ("input", "output")}
    random_onnx.write(network, pixels[:1], file, names=("input", "output"), dynamic=dynamic)


def _mobile_net(width: float, outputs: int) -> nn.Sequential:
    """MobileNet (v1) whose first layer normalises grey levels.

    Its filters over places are averages, so that large shapes decide, as in trained networks: random filters enlarge a
    difference layer by layer, until one grey level in a thousand pixels is another age.
    """
    channels = [int(width * each) for each in (32, 64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024)]
    strides = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1)
    blocks = [separable(a, b, s) for a, b, s in zip(channels, channels[1:], strides, strict=False)]
    body = (convolution(3, channels[0], stride=2), *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    for module in nn.Sequential(*body).modules():
        if isinstance(module, nn.Conv2d) and module.kernel_size[0] > 1:
            module.weight.abs_()
    return nn.Sequential(nn.BatchNorm2d(3), *body, nn.Linear(channels[-1], outputs))


def _settle(network: nn.Module, pixels: Tensor, means: Tensor, deviations: Tensor) -> None:
    """Make the answers to the examples have these means and deviations, each of its own direction."""
    random_onnx.settle_batch_norm(network, pixels)
    last = next(module for module in reversed(list(network.modules())) if isinstance(module, nn.Linear))
    answers = network(pixels)
    gain = deviations / answers.std(0)
    last.weight.mul_(gain[:, None])
    last.bias.copy_(means + (last.bias - answers.mean(0)) * gain)


def _pixels(crops: Array) -> Tensor:
    return torch.from_numpy(crops).permute(0, 3, 1, 2).float()


def _write_insightface(network: nn.Sequential, crops: Array, file: Path) -> None:
    dynamic = {name: {0: "None"} for name in ("data", "fc1")}
    random_onnx.write(network, _pixels(crops[:1]), file, names=("data", "fc1"), dynamic=dynamic)
    written = onnx.load(str(file))
    first = written.graph.node[0]
    assert first.op_type == "BatchNormalization"
    first.name = "bn_data"
    file.write_bytes(cast(bytes, written.SerializeToString()))
