"""CRAFT text detection: where letters are, and which of them belong together.

Source: Baek et al. (2019), arXiv:1904.01941; weights and scaling of EasyOCR. Oracle: EasyOCR's `resize_aspect_ratio`,
`normalizeMeanVariance` and network; the boxes are made of the maps by model_repository/text_reader.

Input   frames        uint8 [N,H,W,3] RGB, displayed orientation, any H and W.
        canvas_px     int32 [N,1], the frame is scaled down so that its longer side is at most this; one value for all.
Output  score_maps    float32 [N,h,w,2], region and affinity, about 0-1; a cell is 2 x 2 pixels of the scaled frame,
                      which is padded with black to multiples of 32 at the bottom and the right.
        long_side_px  int32 [N,1], of the scaled frame.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from reelscope_export import easyocr_networks, letterbox, photographs, rectangle, text_pages
from reelscope_export.contract import Contract
from reelscope_export.contract import Tensor as Spec
from reelscope_export.verify import Array, Measure, Run

CONTRACT = Contract(
    name="text_detection_craft",
    comment=(
        "CRAFT text detection with EasyOCR's weights. RGB frames of any size, scaled down to `canvas_px` inside.",
        "score_maps: region and affinity of 2 x 2 pixels of the scaled frame, padded to multiples of 32.",
        "long_side_px: of the scaled frame, without the padding.",
    ),
    inputs=(Spec("frames", "TYPE_UINT8", (-1, -1, 3)), Spec("canvas_px", "TYPE_INT32", (1,))),
    outputs=(Spec("score_maps", "TYPE_FP32", (-1, -1, 2)), Spec("long_side_px", "TYPE_INT32", (1,))),
)

_MEAN_LEVELS = tuple(255 * ratio for ratio in (0.485, 0.456, 0.406))
_DEVIATION_LEVELS = tuple(255 * ratio for ratio in (0.229, 0.224, 0.225))
"""ImageNet's, as EasyOCR has them."""

# The scale is applied in double precision and the lengths are truncated, as EasyOCR does.
_PLAN = f"""
    size = Shape<start = 1, end = 3>(frames)
    longest = ReduceMax<keepdims = 0>(size)
    canvas = ReduceMin<keepdims = 0>(canvas_px)
    canvas_wide = Cast<to = {onnx.TensorProto.INT64}>(canvas)
    fitting = Min(longest, canvas_wide)
    least = Constant<value_int = 1>()
    seen = Max(fitting, least)
    seen_exact = Cast<to = {onnx.TensorProto.DOUBLE}>(seen)
    longest_exact = Cast<to = {onnx.TensorProto.DOUBLE}>(longest)
    ratio = Div(seen_exact, longest_exact)
    size_exact = Cast<to = {onnx.TensorProto.DOUBLE}>(size)
    product = Mul(size_exact, ratio)
    whole = Cast<to = {onnx.TensorProto.INT64}>(product)
    scaled = Max(whole, least)
    side = Cast<to = {onnx.TensorProto.INT32}>(seen)
    batch_size = Shape<start = 0, end = 1>(frames)
    unit = Constant<value_ints = [1]>()
    side_shape = Concat<axis = 0>(batch_size, unit)
    long_side_px = Expand(side, side_shape)
"""


class MapsGraph(nn.Module):
    """Frames and where their pixels go in, score maps out: scaling, padding, network."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, network: nn.Module, precision: str) -> None:
        """Take the network; `precision` (fp32, fp16) is its alone."""
        super().__init__()
        for name, levels in (("mean", _MEAN_LEVELS), ("deviation", _DEVIATION_LEVELS)):
            self.register_buffer(name, torch.tensor(levels).view(1, 3, 1, 1))
        self.network = network
        self.half_network = precision == "fp16"
        if self.half_network:
            self.network.half()

    def forward(self, frames: Tensor, scaled_px: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        """Score uint8 [N,H,W,3].

        Args:
            frames: the frames.
            scaled_px: float64 [2], height and width of the scaled frame.
            rows: float64 [blocks,32], rows of the scaled and padded frame: 0, 1, ...
            columns: float64 [blocks,32], columns of it.
        """
        rows, columns, corner = rows.flatten(), columns.flatten(), torch.zeros((), dtype=torch.float64)
        place = letterbox.placement(frames, scaled_px, corner, corner)
        inside = (rows < scaled_px[0]).view(1, 1, -1, 1) & (columns < scaled_px[1]).view(1, 1, 1, -1)
        levels = torch.where(inside, letterbox.resize(frames, place, rows, columns), 0.0)
        pixels = (levels - self.mean) / self.deviation
        maps: Tensor = self.network(pixels.half() if self.half_network else pixels)[0]
        return maps.float()


def build(weights: Path, precision: str) -> onnx.ModelProto:
    """Build the ONNX graph of the checkpoint, without provenance."""
    return rectangle.to_onnx(
        _PLAN,
        MapsGraph(load(weights), precision),
        output_names=tuple(tensor.name for tensor in CONTRACT.outputs),
        inputs="int32[batch, 1] canvas_px",
        outputs="int32[batch, 1] long_side_px",
    )


def load(weights: Path) -> nn.Module:
    """Load a checkpoint of EasyOCR's.

    Raises:
        WeightsUnreadable: it is none, or another network's.
    """
    network: nn.Module = easyocr_networks.load(easyocr_networks.craft(), weights)
    return network


def labels(weights: Path) -> tuple[str, ...]:
    """No classes."""
    return ()


def write_random(variant: str, file: Path) -> None:
    """Write seeded random weights that find text, in EasyOCR's format; deterministic."""
    from reelscope_export import craft_random

    craft_random.write_checkpoint(file)


def verify(run: Run, weights: Path, *, variant: str, precision: str, trained: bool) -> tuple[Measure, ...]:
    """Compare the maps with those of EasyOCR's own scaling and network, on pages and photographs scaled and not.

    EasyOCR's boxes must be the same from both: all but those that hang on a score right at a threshold.
    """
    network = load(weights)
    pairs = []
    for frame, canvas_px in _frames():
        answer = run(frame[None], np.array([[canvas_px]], np.int32))
        expected, side_px = upstream_maps(network, frame, canvas_px)
        found = answer["score_maps"][0]
        if answer["long_side_px"][0, 0] != side_px or found.shape != expected.shape:
            return (Measure("maps of other sizes", 1, 0),)
        pairs.append((found, expected))
    boxes = [(upstream_boxes(found), upstream_boxes(expected)) for found, expected in pairs]
    equal = sum(_equal_count(found, expected) for found, expected in boxes)
    total = sum(max(len(found), len(expected)) for found, expected in boxes)
    half = precision == "fp16"
    return (
        Measure("boxes", total, 20, at_least=True),
        Measure("equal boxes", equal / max(total, 1), 0.9 if half else 0.98, at_least=True),
        Measure("score difference", max(map(_difference, *zip(*pairs, strict=True))), 5e-2 if half else 1e-3),
        Measure("batch to singles", _batch_difference(run), 5e-2 if half else 1e-4),
    )


def upstream_maps(network: nn.Module, frame: Array, canvas_px: int) -> tuple[Array, int]:
    """EasyOCR's maps of a frame, float32 [h,w,2], and the longer side of the frame as it scales it."""
    import cv2
    from easyocr.imgproc import resize_aspect_ratio

    scaled, ratio, _ = resize_aspect_ratio(frame, canvas_px, interpolation=cv2.INTER_LINEAR, mag_ratio=1)
    with torch.no_grad():
        maps: Array = network(easyocr_networks.craft_pixels(scaled[None]))[0][0].numpy()
    return maps, round(ratio * max(frame.shape[:2]))


def upstream_boxes(maps: Array) -> Array:
    """EasyOCR's boxes, float32 [n,4,2] cells, with the thresholds of `readtext`."""
    from easyocr.craft_utils import getDetBoxes

    boxes = getDetBoxes(maps[..., 0], maps[..., 1], 0.7, 0.4, 0.4)[0]
    return np.array(boxes, np.float32).reshape(-1, 4, 2)


def _equal_count(found: Array, expected: Array) -> int:
    """Expected boxes of which one was found within a cell."""
    return sum(bool((np.abs(found - box).max((1, 2), initial=0) <= 1).any()) for box in expected)


def _difference(found: Array, expected: Array) -> float:
    return float(np.abs(found - expected).max())


def _frames() -> list[tuple[Array, int]]:
    """Frames and the canvas of each: scaled by odd ratios or not at all, with padding on both sides, one, or none."""
    bus, zidane = photographs.read().values()
    return [
        (text_pages.page(256, 320), 640),
        (text_pages.page(300, 333, paper="dark"), 640),
        (text_pages.page(513, 400, size_px=36), 256),
        (text_pages.page(288, 288, slant_degrees=12), 640),
        (bus, 320),
        (zidane, 352),
    ]


def _batch_difference(run: Run) -> float:
    page, canvas_px = text_pages.page(180, 200), np.full((3, 1), 160, np.int32)
    batch = np.stack([np.roll(page, 40 * shift, axis=1) for shift in range(3)])
    singles = [run(batch[row : row + 1], canvas_px[:1])["score_maps"] for row in range(3)]
    return _difference(run(batch, canvas_px)["score_maps"], np.concatenate(singles))
