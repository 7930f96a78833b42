"""Antialiased resize inside the graph: what torchvision does with uint8 frames, to the level.

Input  uint8 [N,H,W,3], any H and W from 1 up (dynamic).
Output float32 [N,3,h,w], whole grey levels 0-255.

Each axis is one matrix product with weights made from the frame's size. Torch's uint8 kernel (aten, UpSampleKernel.cpp)
filters columns before rows, rounds to whole levels after each, and holds its weights in 16-bit fixed point, with as
many bits after the point as the largest weight of the axis leaves room for. The same numbers are used here in float32;
without them 0.4 % of the pixels are off by a level.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

_CUBIC_A = -0.5
"""Keys (1981), doi:10.1109/TASSP.1981.1163711; the coefficient of PIL and of torch's antialiased filter."""

_WEIGHT_LIMIT = 2.0**15
_MAX_PRECISION_BITS = 22


@dataclass(frozen=True, slots=True)
class _Filter:
    """A kernel of unit area over distances in pixels of the coarser grid."""

    reach_px: int
    """To each side; 0 beyond."""
    weigh: Callable[[Tensor], Tensor]


def resize_and_crop(frames: Tensor, side_px: int) -> Tensor:
    """Resize uint8 [N,H,W,3] bicubically so that the shorter edge is `side_px`, and cut the middle square out.

    Of the longer edge only what the square is made of is ever turned into float32, which is most of the memory.
    """
    height, width = frames.shape[1], frames.shape[2]
    top, left = _margin_px(height, width, side_px), _margin_px(width, height, side_px)
    needed = frames[:, top : height - top, left : width - left].permute(0, 3, 1, 2)
    columns = _middle_weights(width, height, left, side_px)
    rows = _middle_weights(height, width, top, side_px)
    return _resample(needed, rows, columns)


def resize(frames: Tensor, height_px: int, width_px: int) -> Tensor:
    """Resize uint8 [N,H,W,3] bilinearly to one size, each axis by its own scale."""
    columns = _stretched_weights(frames.shape[2], width_px)
    rows = _stretched_weights(frames.shape[1], height_px)
    return _resample(frames.permute(0, 3, 1, 2), rows, columns)


def _resample(pixels: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Filter uint8 [N,3,H,W] with weights [h,H] and [w,W], to whole levels [N,3,h,w]."""
    filtered = _to_levels(torch.matmul(pixels.to(torch.float32), columns.T))
    return _to_levels(torch.matmul(rows, filtered))


def _margin_px(length_px: int, other_px: int, side_px: int) -> int:
    """Pixels at each end of an edge that no pixel of the square is made of; symbolic in a trace."""
    reach = 3 * other_px // side_px + 4  # the filter's two pixels, one of rounding, and what an enlargement needs
    margin: int = torch.sym_max((length_px - other_px) // 2 - reach, 0)  # type: ignore[assignment]
    return margin


def _middle_weights(length_px: int, other_px: int, margin_px: int, side_px: int) -> Tensor:
    """Weights of one axis, float32 [side, length - 2 * margin]: each row makes one pixel of the square."""
    length, other = (torch.scalar_tensor(edge, dtype=torch.float64) for edge in (length_px, other_px))
    resized = torch.floor(side_px * length / torch.minimum(length, other))
    first_px = torch.floor((resized - side_px) / 2)
    rows = torch.arange(side_px, dtype=torch.float64) + first_px
    sources = torch.arange(margin_px, length_px - margin_px, dtype=torch.float64)
    weights = _filter_rows(_CUBIC, rows, sources, length, length / resized)
    # The fixed point's place is that of the whole axis. Its largest weight lies in the square or at the border, where
    # fewer pixels share the weight.
    border = _filter_rows(_CUBIC, rows[:1] - first_px, sources - margin_px, length, length / resized)
    return _in_fixed_point(weights, torch.maximum(weights.max(), border.max()))


def _stretched_weights(length_px: int, resized_px: int) -> Tensor:
    """Weights of one axis, float32 [resized, length], that scale all of it."""
    length = torch.scalar_tensor(length_px, dtype=torch.float64)
    rows = torch.arange(resized_px, dtype=torch.float64)
    sources = torch.arange(length_px, dtype=torch.float64)
    weights = _filter_rows(_TRIANGLE, rows, sources, length, length / resized_px)
    return _in_fixed_point(weights, weights.max())


def _filter_rows(kernel: _Filter, rows: Tensor, sources: Tensor, length: Tensor, scale: Tensor) -> Tensor:
    """Weight of each source pixel in each resized one, float64 [rows, sources]; each row sums to 1."""
    reduction = torch.clamp(scale, min=1.0)
    centres = ((rows + 0.5) * scale).unsqueeze(1)
    reach = kernel.reach_px * reduction
    begin = torch.clamp(torch.floor(centres - reach + 0.5), min=0.0)
    end = torch.minimum(torch.floor(centres + reach + 0.5), length)
    weights = kernel.weigh((sources - centres + 0.5) / reduction) * ((sources >= begin) & (sources < end))
    return weights / weights.sum(1, keepdim=True)


def _cubic(offsets: Tensor) -> Tensor:
    distance = offsets.abs()
    near = ((_CUBIC_A + 2) * distance - (_CUBIC_A + 3)) * distance * distance + 1
    far = (((distance - 5) * distance + 8) * distance - 4) * _CUBIC_A
    return torch.where(distance < 1, near, torch.where(distance < 2, far, 0.0))


def _triangle(offsets: Tensor) -> Tensor:
    return torch.clamp(1 - offsets.abs(), min=0.0)


_CUBIC = _Filter(2, _cubic)
_TRIANGLE = _Filter(1, _triangle)


def _in_fixed_point(weights: Tensor, largest: Tensor) -> Tensor:
    """Weights rounded to multiples of 2**-k, with the largest k up to 22 by which the largest stays below 2**15."""
    units = 2.0 ** torch.arange(_MAX_PRECISION_BITS + 1, dtype=torch.float64)
    unit = torch.where(torch.floor(largest * units + 0.5) < _WEIGHT_LIMIT, units, 1.0).max()
    return (torch.trunc(weights * unit + torch.sign(weights) * 0.5) / unit).to(torch.float32)


def _to_levels(values: Tensor) -> Tensor:
    return torch.clamp(torch.floor(values + 0.5), 0, 255)
