"""YOLOv8 object detection: COCO's 80 classes in each frame.

Source: Jocher, Chaurasia & Qiu, Ultralytics YOLOv8 (2023). Oracle: `ultralytics.YOLO.predict` with imgsz=640,
rect=True, conf=0.25, iou=0.7, max_det=300.

Input   frames           uint8 [N,H,W,3] RGB, displayed orientation, any H and W.
Output  boxes_xyxy       float32 [N,300,4], 0-1 of the frame's width and height; zero rows past the count.
        scores           float32 [N,300], descending; 0 past the count.
        class_ids        int32 [N,300], index into labels.txt; -1 past the count.
        count            int32 [N,1], valid rows.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor

from reelscope_export import yolov8_graph, yolov8_parity, yolov8_random
from reelscope_export.contract import Contract
from reelscope_export.contract import Tensor as Spec
from reelscope_export.verify import Array, Measure, Run, batch_difference
from reelscope_export.yolov8_graph import MAX_COUNT, Yolov8Graph

SIDE_PX = yolov8_graph.SIDE_PX
TASK = "detect"

_CLASS_OFFSET_PX = 7680.0
"""Ultralytics' max_wh: boxes of different classes are moved apart by it, so that they never suppress each other."""

CONTRACT = Contract(
    name="object_yolov8",
    comment=(
        "YOLOv8 object detection, COCO's 80 classes (labels.txt). RGB frames of any size, letterboxed inside to 640.",
        "boxes_xyxy: 0-1 of the frame. scores: descending. Past `count`: zero boxes and scores, class -1.",
        "NMS inside: score > 0.25, IoU 0.7 per class, at most 300.",
    ),
    inputs=(Spec("frames", "TYPE_UINT8", (-1, -1, 3)),),
    outputs=(
        Spec("boxes_xyxy", "TYPE_FP32", (MAX_COUNT, 4)),
        Spec("scores", "TYPE_FP32", (MAX_COUNT,)),
        Spec("class_ids", "TYPE_INT32", (MAX_COUNT,)),
        Spec("count", "TYPE_INT32", (1,)),
    ),
)


class DetectionGraph(Yolov8Graph):
    """Frames in, final boxes out: letterbox, network, box decoding, suppression class by class."""

    def forward(
        self, frames: Tensor, scaled_px: Tensor, rows: Tensor, columns: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Detect objects in uint8 [N,H,W,3]; inputs as `raw_maps` takes them, outputs as in the module's head."""
        raw, cells, place = self.raw_maps(frames, scaled_px, rows, columns)
        boxes = self.decode_boxes(raw["boxes"].float(), cells)
        scores, classes = raw["scores"].float().sigmoid().max(1)
        apart = boxes + (classes.to(torch.float32) * _CLASS_OFFSET_PX).unsqueeze(-1)
        scores, order = yolov8_graph.best(apart, scores)
        valid = scores > 0
        boxes = yolov8_graph.within_frame(yolov8_graph.chosen(boxes, order), place) * valid.unsqueeze(-1)
        classes = torch.where(valid, torch.gather(classes, 1, order), -1).to(torch.int32)
        return boxes, scores, classes, valid.sum(1, keepdim=True).to(torch.int32)


def build(weights: Path, precision: str) -> onnx.ModelProto:
    """Build the ONNX graph of the checkpoint, without provenance."""
    network = load(weights).model.fuse().eval()
    return yolov8_graph.to_onnx(DetectionGraph(network, precision), CONTRACT, precision)


def load(weights: Path) -> Any:
    """Load a checkpoint with `ultralytics.YOLO`.

    Raises:
        WeightsUnreadable: ultralytics cannot read it, or it is no detector.
    """
    return yolov8_graph.load(weights, TASK)


def class_names() -> dict[int, str]:
    """COCO's 80 names by class index, as ultralytics orders them."""
    return yolov8_graph.class_names("coco")


def labels(weights: Path) -> tuple[str, ...]:
    """Class names of the checkpoint, by index."""
    return yolov8_graph.checkpoint_labels(load(weights))


def write_random(variant: str, file: Path) -> None:
    """Write seeded random weights of `variant` as a checkpoint in ultralytics' format; deterministic."""
    yolov8_random.write_checkpoint(variant, TASK, class_names(), file)


def verify(run: Run, weights: Path, *, variant: str, precision: str, trained: bool) -> tuple[Measure, ...]:
    """Compare the graph with `YOLO.predict` on the same weights and frames.

    FP32 must find the same boxes; FP16 must find 98 % of those that score 0.3 or more, 85 % where the weights
    are random. A batch must give what its frames give one by one, in FP16 98 % of it: a GPU may take another algorithm
    for another batch size.
    """
    oracle = load(weights)
    found = yolov8_parity.compare(
        lambda frames: _graph_rows(run, frames), lambda frame: _upstream_rows(oracle, frame), precision=precision
    )
    enough = Measure("fewest boxes", found.fewest, 20 if not trained else 1, at_least=True)
    if precision == "fp16":
        bound = yolov8_parity.FP16_SHARE if trained else yolov8_parity.UNTRAINED_FP16_SHARE
        return (
            enough,
            yolov8_parity.matched("matched", found.frames, bound=bound),
            yolov8_parity.matched("batch to singles, matched", found.batch),
        )
    alike = Measure("batch to singles", batch_difference(run, yolov8_parity.shifted_frames()), 1e-5)
    return enough, *yolov8_parity.equal_boxes(found.frames, yolov8_parity.box_bound_px(variant)), alike


def _graph_rows(run: Run, frames: Array) -> list[Array]:
    """Valid rows of the graph's answer to each frame, float64 [n,6]: xyxy in pixels, score, class."""
    answer = run(frames)
    height, width = frames.shape[1:3]
    boxes = answer["boxes_xyxy"].astype(np.float64) * (width, height, width, height)
    rows = np.concatenate((boxes, answer["scores"][..., None], answer["class_ids"][..., None]), axis=2)
    return [row[:count] for row, count in zip(rows, answer["count"][:, 0], strict=True)]


def _upstream_rows(oracle: Any, frame: Array) -> Array:
    """What ultralytics finds, float64 [n,6]: xyxy in pixels, score, class."""
    found: Array = yolov8_parity.predict(oracle, frame).boxes.data.numpy().astype(np.float64)
    return found
