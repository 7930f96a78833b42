"""What every YOLOv8 network shares: letterbox, raw maps, box decoding, suppression, and the loading of checkpoints.

Boxes and points are computed in pixels of the letterboxed square, and handed out as 0-1 of the frame. Settings are
those of `ultralytics.YOLO.predict` with imgsz=640, rect=False, conf=0.25, iou=0.7, max_det=300.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from reelscope_export import paths, suppression
from reelscope_export.errors import WeightsUnreadable
from reelscope_export.letterbox import Letterbox, Placement

MAX_COUNT = 300
SIDE_PX = 640
SCORE_THRESHOLD = 0.25
IOU_THRESHOLD = 0.7


class Yolov8Graph(nn.Module):
    """A YOLOv8 network between letterbox and suppression; what its head means is the subclasses' business.

    The head's own decoding caches anchors by input shape, which freezes the batch size at export without an error.
    So the head is asked for its raw maps, and anchors are buffers here.
    """

    anchors: Tensor
    strides: Tensor

    def __init__(self, network: nn.Module, precision: str) -> None:
        """Wrap a fused ultralytics model; `precision` (fp32, fp16) is the network's alone."""
        super().__init__()
        from ultralytics.utils.tal import make_anchors

        self.letterbox = Letterbox(SIDE_PX)
        self.network = network
        head: Any = network.model[-1]  # type: ignore[index]
        self.bins = head.reg_max
        head.export = True  # forward returns the result of _inference alone
        head._inference = lambda raw: raw
        with torch.no_grad():
            maps = network(torch.zeros(1, 3, SIDE_PX, SIDE_PX))["feats"]
        anchors, strides = cast(Any, make_anchors)(maps, head.stride, 0.5)
        self.register_buffer("anchors", anchors.float())
        self.register_buffer("strides", strides.float())
        self.half_network = precision == "fp16"
        if self.half_network:
            network.half()

    def raw_maps(self, frames: Tensor) -> tuple[dict[str, Tensor], Placement]:
        """The head's raw answers [N,channels,A] to uint8 [N,H,W,3], and where the frame lies in the square."""
        pixels, place = self.letterbox(frames)
        return self.network(pixels.half() if self.half_network else pixels), place

    def decode_boxes(self, distances: Tensor) -> Tensor:
        """Distance distributions [N,4*bins,A] to xyxy pixels of the letterboxed square [N,A,4]."""
        shaped = distances.reshape(distances.shape[0], 4, self.bins, -1).permute(0, 3, 1, 2).softmax(3)
        sides = torch.matmul(shaped, torch.arange(self.bins, dtype=torch.float32))
        near, far = sides.chunk(2, dim=2)
        return torch.cat((self.anchors - near, self.anchors + far), 2) * self.strides


def best(boxes: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
    """Suppress [N,A,4] boxes with [N,A] scores: scores [N,300], 0 past the last, and whose they are, int64 [N,300]."""
    keep = suppression.nms_keep(boxes, scores, IOU_THRESHOLD, SCORE_THRESHOLD, MAX_COUNT)
    scores, order = torch.topk(scores * keep, MAX_COUNT, dim=1)
    return scores, order


def chosen(rows: Tensor, order: Tensor) -> Tensor:
    """Of [N,A,k] the rows that `order` names, [N,300,k]."""
    return torch.gather(rows, 1, order.unsqueeze(-1).expand(-1, -1, rows.shape[-1]))


def within_frame(points: Tensor, place: Placement) -> Tensor:
    """Pixels of the square, x and y in turn along the last dimension, as 0-1 of the frame."""
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
