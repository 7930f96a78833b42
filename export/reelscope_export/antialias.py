"""Antialiased bicubic resize and centre crop inside the graph: what torchvision does with uint8 frames, to the level.

Input  uint8 [N,H,W,3], any H and W from 1 up (dynamic).
Output float32 [N,3,side,side], whole grey levels 0-255: the shorter edge scaled to `side`, the middle of the longer.

Each axis is one matrix product with weights made from the frame's size. Torch's uint8 kernel (aten, UpSampleKernel.cpp)
filters columns before rows, rounds to whole levels after each, and holds its weights in 16-bit fixed point, with as
many bits after the point as the largest weight of the axis leaves room for. The same numbers are used here in float32;
without them 0.4 % of the pixels are off by a level.
"""

from __future__ import annotations

import torch
from torch import Tensor

_CUBIC_A = -0.5
"""Keys (1981), doi:10.1109/TASSP.1981.1163711; the coefficient of PIL and of torch's antialiased filter."""

_SUPPORT_PX = 2
"""Reach of the cubic filter to each side, in pixels of the coarser grid."""

_WEIGHT_LIMIT = 2.0**15
_MAX_PRECISION_BITS = 22


def resize_and_crop(frames: Tensor, side_px: int) -> Tensor:
    """Resize uint8 [N,H,W,3] so that the shorter edge is `side_px`, and cut the middle square out.

    Of the longer edge only what the square is made of is ever turned into float32, which is most of the memory.
    """
    height, width = frames.shape[1], frames.shape[2]
    top, left = _margin_px(height, width, side_px), _margin_px(width, height, side_px)
    needed = frames[:, top : height - top, left : width - left].permute(0, 3, 1, 2)
    columns = _to_levels(torch.matmul(needed.to(torch.float32), _weights(width, height, left, side_px).T))
    return _to_levels(torch.matmul(_weights(height, width, top, side_px), columns))


def _margin_px(length_px: int, other_px: int, side_px: int) -> int:
    """Pixels at each end of an edge that no pixel of the square is made of; symbolic in a trace."""
    reach = 3 * other_px // side_px + 4  # the filter's two pixels, one of rounding, and what an enlargement needs
    margin: int = torch.sym_max((length_px - other_px) // 2 - reach, 0)  # type: ignore[assignment]
    return margin


def _weights(length_px: int, other_px: int, margin_px: int, side_px: int) -> Tensor:
    """Weights of one axis, float32 [side, length - 2 * margin]: each row makes one pixel of the square."""
    length, other = (torch.scalar_tensor(edge, dtype=torch.float64) for edge in (length_px, other_px))
    resized = torch.floor(side_px * length / torch.minimum(length, other))
    scale = length / resized
    reduction = torch.clamp(scale, min=1.0)
    first_px = torch.floor((resized - side_px) / 2)
    rows = torch.arange(side_px, dtype=torch.float64) + first_px
    sources = torch.arange(margin_px, length_px - margin_px, dtype=torch.float64)
    weights = _filter_rows(rows, sources, length, scale, reduction)
    # The fixed point's place is that of the whole axis. Its largest weight lies in the square or at the border, where
    # fewer pixels share the weight.
    border = _filter_rows(rows[:1] - first_px, sources - margin_px, length, scale, reduction)
    unit = _fixed_point_unit(torch.maximum(weights.max(), border.max()))
    return (torch.trunc(weights * unit + torch.sign(weights) * 0.5) / unit).to(torch.float32)


def _filter_rows(rows: Tensor, sources: Tensor, length: Tensor, scale: Tensor, reduction: Tensor) -> Tensor:
    """Weight of each source pixel in each resized one, float64 [rows, sources]; each row sums to 1."""
    centres = ((rows + 0.5) * scale).unsqueeze(1)
    reach = _SUPPORT_PX * reduction
    begin = torch.clamp(torch.floor(centres - reach + 0.5), min=0.0)
    end = torch.minimum(torch.floor(centres + reach + 0.5), length)
    weights = _cubic((sources - centres + 0.5) / reduction) * ((sources >= begin) & (sources < end))
    return weights / weights.sum(1, keepdim=True)


def _cubic(offsets: Tensor) -> Tensor:
    distance = offsets.abs()
    near = ((_CUBIC_A + 2) * distance - (_CUBIC_A + 3)) * distance * distance + 1
    far = (((distance - 5) * distance + 8) * distance - 4) * _CUBIC_A
    return torch.where(distance < 1, near, torch.where(distance < _SUPPORT_PX, far, 0.0))


def _fixed_point_unit(largest: Tensor) -> Tensor:
    """Largest power of two, at most 2**22, by which the largest weight stays below 2**15."""
    units = 2.0 ** torch.arange(_MAX_PRECISION_BITS + 1, dtype=torch.float64)
    return torch.where(torch.floor(largest * units + 0.5) < _WEIGHT_LIMIT, units, 1.0).max()


def _to_levels(values: Tensor) -> Tensor:
    return torch.clamp(torch.floor(values + 0.5), 0, 255)
