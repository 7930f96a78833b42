"""Seeded random networks in the place of InsightFace's SCRFD: ONNX files of the same inputs, outputs and cost.

The layers are those of SCRFD-10GF and SCRFD-500MF, with random filters. Such a network finds nothing, and a parity test
over no faces proves nothing. So each head ends in matched filters: each answers to the pattern at one place in one of
ultralytics' two photographs, with a box, a tilt and five keypoints of its own. Some dozens of faces are found in either
photograph, few in any other picture, and what is found means nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from reelscope_export import random_onnx

SEED = 0

_STRIDES_PX = (8, 16, 32)
_PATTERN_COUNTS = (48, 32, 16)
"""Matched filters by stride, half of them for each photograph."""

_ALIKE = (0.8, 1.1)
"""A filter answers 1 to its own place. What it answers less or more to than this is no match: many filters at once
answer more to flat areas and sharp edges."""
_TOO_STRONG_WEIGHT = -30.0
_MOST_PLACES = 4
"""In both photographs, where a filter may answer half of what it answers at its own."""
_BACKGROUND_LOGIT = -4.0
_PEAK_LOGITS = (0.8, 2.5)
"""Lowest and highest answer at a filter's own place: scores 0.69 and 0.92."""

_HALF_SIDES_CELLS = (1.5, 4.0)
"""Shortest and longest way from a face's centre to its side."""
_TEMPLATE = ((-0.35, -0.25), (0.35, -0.25), (0.0, 0.1), (-0.28, 0.45), (0.28, 0.45))
"""Eyes, nose and mouth's corners of an upright face: from its centre, in half sides."""
_TILT_RADIANS = 0.6
"""Largest."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """Widths and depths of a variant, by Guo et al."""

    stages: tuple[tuple[int, int], ...]
    """Channels and blocks of each stage; the last three feed the neck."""
    neck: int
    head: int
    head_depth: int
    separable: bool
    """Depthwise-separable convolutions throughout, as in MobileNet; else residual blocks."""


_PLANS = {
    "det_10g": _Plan(((56, 3), (88, 4), (88, 2), (224, 3)), neck=56, head=80, head_depth=3, separable=False),
    "det_500m": _Plan(((40, 2), (72, 3), (152, 2), (288, 6)), neck=16, head=64, head_depth=2, separable=True),
}


class Scrfd(nn.Module):
    """Backbone, pyramid and heads; outputs as InsightFace's files have them, [places * frames * 2, numbers]."""

    def __init__(self, plan: _Plan) -> None:
        """Draw random filters from torch's generator."""
        super().__init__()
        if plan.separable:
            self.stem = nn.Sequential(convolution(3, 16, stride=2), separable(16, 16))
        else:
            pool = nn.MaxPool2d(3, 2, 1)
            self.stem = nn.Sequential(convolution(3, 28, stride=2), convolution(28, 28), convolution(28, 56), pool)
        width, block = (16, separable) if plan.separable else (56, Residual)
        self.stages = nn.ModuleList()
        for index, (channels, depth) in enumerate(plan.stages):
            stride = 1 if index == 0 and not plan.separable else 2
            inner = [block(channels, channels) for _ in range(depth - 1)]
            self.stages.append(nn.Sequential(block(width, channels, stride), *inner))
            width = channels
        widths = [channels for channels, _ in plan.stages[1:]]
        self.laterals = nn.ModuleList(nn.Conv2d(channels, plan.neck, 1) for channels in widths)
        self.smooth = nn.ModuleList(nn.Conv2d(plan.neck, plan.neck, 3, padding=1) for _ in widths)
        layer: Callable[[int, int], nn.Module] = separable if plan.separable else convolution
        self.heads = nn.ModuleList(
            nn.Sequential(
                layer(plan.neck, plan.head), *(layer(plan.head, plan.head) for _ in range(plan.head_depth - 1))
            )
            for _ in widths
        )
        self.patterns = nn.ModuleList(nn.Conv2d(plan.head, 2 * count, 1) for count in _PATTERN_COUNTS)
        self.scores, self.distances, self.offsets = (
            nn.ModuleList(nn.Conv2d(2 * count, 2 * numbers, 1, bias=numbers == 1) for count in _PATTERN_COUNTS)
            for numbers in (1, 4, 10)
        )

    def features(self, pixels: Tensor) -> list[Tensor]:
        """What the heads see of float32 [N,3,H,W], by stride."""
        values = self.stages[0](self.stem(pixels))
        maps = []
        for stage, lateral in zip(list(self.stages)[1:], self.laterals, strict=True):
            values = stage(values)
            maps.append(lateral(values))
        for upper in (2, 1):
            maps[upper - 1] = maps[upper - 1] + nn.functional.interpolate(maps[upper], scale_factor=2.0)
        return [head(smooth(each)) for head, smooth, each in zip(self.heads, self.smooth, maps, strict=True)]

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """Scores of the three strides, then distances, then keypoint offsets."""
        seen = [torch.relu(pattern(each)) for pattern, each in zip(self.patterns, self.features(pixels), strict=True)]
        answers = []
        for heads, numbers in ((self.scores, 1), (self.distances, 4), (self.offsets, 10)):
            for head, each in zip(heads, seen, strict=True):
                answer = head(each).permute(2, 3, 0, 1).reshape(-1, numbers)
                answers.append(torch.sigmoid(answer) if numbers == 1 else answer)
        return tuple(answers)


def convolution(inputs: int, outputs: int, size: int = 3, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Convolution, BatchNorm, ReLU."""
    layer = nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(outputs), nn.ReLU())


def separable(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """MobileNet's pair: one filter per channel, then a mix of the channels."""
    return nn.Sequential(convolution(inputs, inputs, 3, stride, inputs), convolution(inputs, outputs, 1))


class Residual(nn.Module):
    """ResNet's basic block, with average pooling in the shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        """Draw its filters."""
        super().__init__()
        self.path = nn.Sequential(convolution(inputs, outputs, 3, stride), convolution(outputs, outputs)[:2])
        changed = (*((nn.AvgPool2d(stride),) if stride > 1 else ()), convolution(inputs, outputs, 1)[:2])
        self.shortcut = nn.Sequential(*changed) if stride > 1 or inputs != outputs else nn.Identity()

    def forward(self, values: Tensor) -> Tensor:
        """Add path and shortcut."""
        return torch.relu(self.path(values) + self.shortcut(values))


def write_network(variant: str, photographs: Tensor, file: Path) -> None:
    """Draw the network of `variant` and write it to `file`; equal inputs give equal bytes.

    Args:
        variant: InsightFace's name, det_10g or det_500m.
        photographs: float32 [2,3,640,640] as the network sees them.
        file: overwritten in place; give a temporary name.
    """
    with random_onnx.drawing(SEED):
        network = Scrfd(_PLANS[variant])
        random_onnx.settle_batch_norm(network, torch.cat((photographs, photographs.flip(3))))
        for level, seen in enumerate(network.features(photographs)):
            _match_patterns(network.patterns[level], seen.flatten(2).double())
            _draw_faces(network.scores[level], network.distances[level], network.offsets[level])
    kinds = [f"{kind}_{stride}" for kind in ("score", "bbox", "kps") for stride in _STRIDES_PX]
    dynamic = {"input.1": {2: "height", 3: "width"}} | {name: {0: f"places_{name}"} for name in kinds}
    random_onnx.write(network, photographs[:1], file, names=("input.1", *kinds), dynamic=dynamic)


def _match_patterns(convolution: nn.Module, features: Tensor) -> None:
    """Give every filter a place of its own, where it answers 1; features are float64 [2,C,places].

    The first half of the outputs says how much more than the lower bound of what is alike, in parts of a match; the
    second half, how much more than the upper one.
    """
    assert isinstance(convolution, nn.Conv2d)
    photograph_count, channels, places = features.shape
    mean = features.mean((0, 2))
    centred = features - mean[:, None]
    covariance = torch.einsum("bcn,bdn->cd", centred, centred) / (photograph_count * places)
    covariance += 0.05 * covariance.diagonal().mean() * torch.eye(channels, dtype=covariance.dtype)
    whitened = torch.linalg.solve(covariance, centred)
    distances = (whitened * centred).sum(1)
    filters = []
    for own in range(photograph_count):
        chosen: list[Tensor] = []
        for place in distances[own].argsort(descending=True, stable=True):
            candidate = whitened[own, :, place] / distances[own, place]
            # Flat areas would be full of faces, and what an earlier filter answers to has one already.
            rare = (torch.einsum("c,bcn->bn", candidate, centred) > 0.5).sum() <= _MOST_PLACES
            if rare and all(each @ centred[own, :, place] < 0.5 for each in chosen):
                chosen.append(candidate)
            if len(chosen) == convolution.out_channels // 2 // photograph_count:
                break
        filters += chosen
    matched = torch.stack(filters) / (1 - _ALIKE[0])
    convolution.weight.copy_(torch.cat((matched, matched))[..., None, None])
    bounds = torch.tensor(_ALIKE, dtype=mean.dtype).repeat_interleave(len(matched)) / (1 - _ALIKE[0])
    assert convolution.bias is not None
    convolution.bias.copy_(-(matched @ mean).repeat(2) - bounds)


def _draw_faces(scores: nn.Module, distances: nn.Module, offsets: nn.Module) -> None:
    """Give every filter a score and a face; the cell's second box is a fainter, larger one of the same face."""
    assert isinstance(scores, nn.Conv2d)
    assert isinstance(distances, nn.Conv2d)
    assert isinstance(offsets, nn.Conv2d)
    count = scores.in_channels // 2
    peaks = torch.linspace(*_PEAK_LOGITS, count)[torch.randperm(count)] - _BACKGROUND_LOGIT
    half = torch.linspace(*_HALF_SIDES_CELLS, count)[torch.randperm(count)]
    sides = half[:, None] * torch.empty(count, 4).uniform_(0.8, 1.2)
    tilts = torch.empty(count).uniform_(-_TILT_RADIANS, _TILT_RADIANS)
    turns = torch.stack((tilts.cos(), -tilts.sin(), tilts.sin(), tilts.cos()), 1).view(count, 1, 2, 2)
    points = (turns @ torch.tensor(_TEMPLATE)[None, :, :, None]).squeeze(3) + torch.empty(count, 5, 2).normal_(0, 0.05)
    points = (half[:, None, None] * points).flatten(1)
    for head, up, over in (
        (scores, peaks[:, None], _TOO_STRONG_WEIGHT),
        (distances, sides, 0.0),
        (offsets, points, 0.0),
    ):
        boxes = torch.cat((up, (0.9 if head is scores else 1.1) * up), 1)
        head.weight.copy_(torch.cat((boxes, over * boxes)).T[..., None, None])
    assert scores.bias is not None
    scores.bias.fill_(_BACKGROUND_LOGIT)
