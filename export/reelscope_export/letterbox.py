"""Letterboxing inside the graph, bit for bit what `cv2.resize` and ultralytics' LetterBox do.

Input  uint8 [N,H,W,3], any H and W from 1 up (dynamic).
Output float32 [N,3,h,w]: the frame scaled so that its longer side fits, centred in the smallest rectangle whose sides
       are multiples of 32 (LetterBox's `auto`, which is `predict`'s own), the rest grey (114), divided by 255.

OpenCV scales uint8 with INTER_LINEAR in fixed point: weights are multiples of 1/2048, rows are blended before
columns, and each step rounds down. ONNX's own Resize differs by one grey level on 6-13 % of the pixels; here the
same integers are computed in float32, every intermediate being an integer (or dyadic fraction) below 2**24.
"""

from __future__ import annotations

from dataclasses import dataclass

import onnx
import torch
from torch import Tensor, nn

_WEIGHT_SCALE = 2048
"""Denominator of OpenCV's interpolation weights (INTER_RESIZE_COEF_SCALE)."""

_PAD_GREY = 114.0
"""Ultralytics' padding value."""


def plan(side_px: int) -> str:
    """Scale frames so that their longer side is `side_px`, as a plan for `rectangle.to_onnx`.

    In double precision, and rounded half to even, as Python rounds for ultralytics.
    """
    return f"""
        size = Shape<start = 1, end = 3>(frames)
        size_exact = Cast<to = {onnx.TensorProto.DOUBLE}>(size)
        longest = ReduceMax<keepdims = 0>(size)
        longest_exact = Cast<to = {onnx.TensorProto.DOUBLE}>(longest)
        side = Constant<value_int = {side_px}>()
        side_exact = Cast<to = {onnx.TensorProto.DOUBLE}>(side)
        gain = Div(side_exact, longest_exact)
        fitted = Mul(size_exact, gain)
        rounded = Round(fitted)
        whole = Cast<to = {onnx.TensorProto.INT64}>(rounded)
        least = Constant<value_int = 1>()
        scaled = Max(whole, least)
    """


@dataclass(frozen=True, slots=True)
class Placement:
    """Where the scaled frame lies in what the network sees; float64 scalars, lengths in pixels."""

    frame_height_px: Tensor
    frame_width_px: Tensor
    scaled_height_px: Tensor
    scaled_width_px: Tensor
    top_px: Tensor
    left_px: Tensor


class Letterbox(nn.Module):
    """Scale frames, and pad them to the rectangle that a plan has laid out."""

    def forward(self, frames: Tensor, scaled_px: Tensor, rows: Tensor, columns: Tensor) -> tuple[Tensor, Placement]:
        """Letterbox uint8 [N,H,W,3] to float32 [N,3,h,w] in 0-1; also say where the frame lies.

        Args:
            frames: the frames.
            scaled_px: float64 [2], height and width of the scaled frame.
            rows: float64 [h], rows of the rectangle: 0, 1, ...
            columns: float64 [w], columns of it.
        """
        # The 0.1 is LetterBox's: an odd remainder puts its extra pixel at the bottom and the right.
        top, left = (
            torch.round((places.shape[0] - length) / 2 - 0.1)
            for places, length in zip((rows, columns), scaled_px, strict=True)
        )
        place = placement(frames, scaled_px, top, left)
        rows, columns = rows - top, columns - left
        inside = _between(rows, scaled_px[0]).view(1, 1, -1, 1) & _between(columns, scaled_px[1]).view(1, 1, 1, -1)
        pixels = resize(frames, place, rows, columns)
        return torch.where(inside, pixels, _PAD_GREY) / 255.0, place


def placement(frames: Tensor, scaled_px: Tensor, top_px: Tensor, left_px: Tensor) -> Placement:
    """Of uint8 [N,H,W,3], scaled to float64 [2] pixels, with the upper left corner where it is said."""
    return Placement(
        frame_height_px=torch.scalar_tensor(frames.shape[1], dtype=torch.float64),
        frame_width_px=torch.scalar_tensor(frames.shape[2], dtype=torch.float64),
        scaled_height_px=scaled_px[0],
        scaled_width_px=scaled_px[1],
        top_px=top_px,
        left_px=left_px,
    )


def _between(positions: Tensor, length: Tensor) -> Tensor:
    return (positions >= 0) & (positions < length)


def resize(frames: Tensor, place: Placement, rows: Tensor, columns: Tensor) -> Tensor:
    """Scaled pixels at the given rows and columns, as float32 integers 0-255 [N,3,rows,columns].

    The two source rows of each output row are blended one after the other: only one of them is held as float32 at
    a time, which halves the peak memory of a window of frames. Gathers and the transposition stay uint8.
    """
    row_sources, row_weights = _taps(place.frame_height_px, place.scaled_height_px, rows, zero_at_border=False)
    column_sources, column_weights = _taps(place.frame_width_px, place.scaled_width_px, columns, zero_at_border=True)
    blended = [
        _weigh_row(_blend_columns(frames.index_select(1, source), column_sources, column_weights), weight)
        for source, weight in zip(row_sources, row_weights, strict=True)
    ]
    return torch.floor((blended[0] + blended[1] + 2) / 4)


def _taps(
    frame_px: Tensor, scaled_px: Tensor, positions: Tensor, *, zero_at_border: bool
) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """The two source indices of each output position (int64) and their weights (float32 integers, sum 2048).

    OpenCV drops the second weight at the left and right border but only clamps the index at top and bottom.
    """
    inside = torch.minimum(torch.clamp(positions, min=0), scaled_px - 1)
    exact = ((inside + 0.5) * (frame_px / scaled_px) - 0.5).to(torch.float32)
    first = torch.floor(exact)
    fraction = exact - first
    last = frame_px.to(torch.float32) - 1
    if zero_at_border:
        fraction = torch.where((first < 0) | (first >= last), torch.zeros_like(fraction), fraction)
    sources = tuple(torch.minimum(torch.clamp(index, min=0), last).to(torch.int64) for index in (first, first + 1))
    return (sources[0], sources[1]), (
        torch.round((1 - fraction) * _WEIGHT_SCALE),
        torch.round(fraction * _WEIGHT_SCALE),
    )


def _blend_columns(rows: Tensor, sources: tuple[Tensor, Tensor], weights: tuple[Tensor, Tensor]) -> Tensor:
    """Horizontal pass: uint8 [N,h,W,3] to float32 [N,3,h,w], floor(sum(pixel * weight) / 16)."""
    left, right = (
        rows.index_select(2, source).permute(0, 3, 1, 2).to(torch.float32) * (weight / 16).view(1, 1, 1, -1)
        for source, weight in zip(sources, weights, strict=True)
    )
    return torch.floor(left + right)


def _weigh_row(row: Tensor, weight: Tensor) -> Tensor:
    """floor(row * weight / 2**16): the product needs 27 bits, so the weight is split into high and low 5 bits."""
    high = torch.floor(weight / 32)
    low = (weight - high * 32) / 32
    return torch.floor((row * high.view(1, 1, -1, 1) + torch.floor(row * low.view(1, 1, -1, 1))) / 2048)
