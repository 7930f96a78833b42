"""What every YOLOv8 network shares: letterbox, raw maps, box decoding, suppression, and the loading of checkpoints.

Boxes and points are computed in pixels of the letterboxed frame, and handed out as 0-1 of the frame. Settings are
those of `ultralytics.YOLO.predict`: imgsz=640, rect=True, conf=0.25, iou=0.7, max_det=300.

One difference is meant: where the shorter side is rounded down to a multiple of 32, ultralytics takes boxes back with
another scale than it took the frame there, up to one pixel in 640; here they are where the letterbox put them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import onnx
import torch
from torch import Tensor, nn

from reelscope_export import chunks, letterbox, paths, rectangle, suppression
from reelscope_export.contract import Contract
from reelscope_export.errors import WeightsUnreadable
from reelscope_export.letterbox import Letterbox, Placement

MAX_COUNT = 300
SIDE_PX = 640
SCORE_THRESHOLD = 0.25
IOU_THRESHOLD = 0.7


@dataclass(frozen=True, slots=True)
class Cells:
    """The places that the head answers for, fine maps first, row by row."""

    centres: Tensor
    """float32 [A,2], x and y in cells of the map."""
    strides_px: Tensor
    """float32 [A,1], side of a cell."""


class Yolov8Graph(nn.Module):
    """A YOLOv8 network between letterbox and suppression; what its head means is the subclasses' business.

    The head's own decoding caches anchors by input shape, which freezes the batch size at export without an error.
    So the head is asked for its raw maps, and anchors are laid out here.
    """

    def __init__(self, network: nn.Module, precision: str) -> None:
        """Wrap a fused ultralytics model; `precision` (fp32, fp16) is the network's alone."""
        super().__init__()
        self.letterbox = Letterbox()
        self.network = network
        head: Any = network.model[-1]  # type: ignore[index]
        self.bins = head.reg_max
        self.strides_px = [int(stride) for stride in head.stride]
        head.export = True  # forward returns the result of _inference alone
        head._inference = lambda raw: raw
        self.half_network = precision == "fp16"
        if self.half_network:
            network.half()

    def raw_maps(
        self, frames: Tensor, scaled_px: Tensor, rows: Tensor, columns: Tensor
    ) -> tuple[dict[str, Tensor], Cells, Placement]:
        """What the head says, as it says it.

        Args:
            frames: uint8 [N,H,W,3].
            scaled_px: float64 [2], height and width of the scaled frame.
            rows: float64 [blocks,32], rows of what the network sees: 0, 1, ...
            columns: float64 [blocks,32], columns of it.

        Returns:
            Raw answers [N,channels,A], the cells that they are about, and where the frame lies.
        """
        pixels, place = self.letterbox(frames, scaled_px, rows.flatten(), columns.flatten())
        raw = self.network(pixels.half() if self.half_network else pixels)
        return raw, self.cells(rows, columns), place

    def cells(self, rows: Tensor, columns: Tensor) -> Cells:
        """The cells of all maps of a rectangle, whose rows and columns are as `raw_maps` takes them."""
        centres, strides = [], []
        for stride in self.strides_px:
            y, x = ((places.reshape(-1, stride)[:, 0] / stride).float() + 0.5 for places in (rows, columns))
            across, down = x[None, :].expand(y.shape[0], -1), y[:, None].expand(-1, x.shape[0])
            centres.append(torch.stack((across, down), 2).reshape(-1, 2))
            strides.append(torch.full_like(centres[-1][:, :1], stride))
        return Cells(torch.cat(centres), torch.cat(strides))

    def decode_boxes(self, distances: Tensor, cells: Cells) -> Tensor:
        """Distance distributions [N,4*bins,A] to xyxy pixels of the letterboxed frame [N,A,4]."""
        shaped = distances.reshape(distances.shape[0], 4, self.bins, -1).permute(0, 3, 1, 2).softmax(3)
        sides = torch.matmul(shaped, torch.arange(self.bins, dtype=torch.float32))
        near, far = sides.chunk(2, dim=2)
        return torch.cat((cells.centres - near, cells.centres + far), 2) * cells.strides_px


def to_onnx(module: Yolov8Graph, contract: Contract, precision: str) -> onnx.ModelProto:
    """Build the ONNX graph of a contract, without provenance.

    Raises:
        TracingFailed: this torch cannot turn the module into a graph.
    """
    traced = rectangle.to_onnx(
        letterbox.plan(SIDE_PX),
        module,
        output_names=tuple(tensor.name for tensor in contract.outputs),
        translations=suppression.ONNX_TRANSLATIONS,
    )
    return chunks.for_gpu(traced, precision)


def best(boxes: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
    """Suppress [N,A,4] boxes with [N,A] scores: scores [N,300], 0 past the last, and whose they are, int64 [N,300]."""
    keep = suppression.nms_keep(boxes, scores, IOU_THRESHOLD, SCORE_THRESHOLD, MAX_COUNT)
    scores, order = torch.topk(scores * keep, MAX_COUNT, dim=1)
    return scores, order


def chosen(rows: Tensor, order: Tensor) -> Tensor:
    """Of [N,A,k] the rows that `order` names, [N,300,k]."""
    return torch.gather(rows, 1, order.unsqueeze(-1).expand(-1, -1, rows.shape[-1]))


def within_frame(points: Tensor, place: Placement) -> Tensor:
    """Pixels of the letterboxed frame, x and y in turn along the last dimension, as 0-1 of the frame."""
    pairs = points.shape[-1] // 2
    corner = torch.stack((place.left_px, place.top_px)).repeat(pairs).to(torch.float32)
    size = torch.stack((place.scaled_width_px, place.scaled_height_px)).repeat(pairs).to(torch.float32)
    return torch.clamp((points - corner) / size, 0.0, 1.0)


def load(weights: Path, task: str) -> Any:
    """Load a checkpoint with `ultralytics.YOLO`.

    Args:
        weights: a checkpoint in ultralytics' format.
        task: ultralytics' name of what the network does: detect or pose.

    Raises:
        WeightsUnreadable: ultralytics cannot read it, or it is for another task.
    """
    paths.isolate_libraries()
    from ultralytics.models.yolo.model import YOLO

    try:
        model = YOLO(weights, task=task)
    except Exception as exc:
        raise WeightsUnreadable(f"{weights}: {exc}") from exc
    if model.task != task:
        raise WeightsUnreadable(f"{weights}: a checkpoint for {model.task!r}, not for {task!r}")
    return model


def class_names(dataset: str) -> dict[int, str]:
    """Names by class index of one of the datasets that ultralytics knows, e.g. coco."""
    paths.isolate_libraries()
    from ultralytics.utils import ROOT, YAML

    names: dict[int, str] = cast(Any, YAML).load(ROOT / "cfg" / "datasets" / f"{dataset}.yaml")["names"]
    return names


def checkpoint_labels(model: Any) -> tuple[str, ...]:
    """Class names of a loaded checkpoint, by index."""
    names: dict[int, str] = model.names
    return tuple(names[index] for index in sorted(names))
