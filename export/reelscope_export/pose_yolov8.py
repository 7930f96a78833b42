"""YOLOv8 pose: people in each frame, and COCO's 17 keypoints of each.

Source: Jocher, Chaurasia & Qiu, Ultralytics YOLOv8 (2023); keypoints as in Maji et al. (2022), YOLO-Pose,
arXiv:2204.06806. Oracle: `ultralytics.YOLO.predict` with imgsz=640, rect=True, conf=0.25, iou=0.7, max_det=300.

Input   frames           uint8 [N,H,W,3] RGB, displayed orientation, any H and W.
Output  boxes_xyxy       float32 [N,300,4], 0-1 of the frame's width and height; zero rows past the count.
        scores           float32 [N,300], descending; 0 past the count.
        keypoints        float32 [N,300,17,3]: x and y, 0-1 of the frame and kept within it, and the probability 0-1
                         that the point is visible; 0 past the count.
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
from reelscope_export.errors import WeightsUnreadable
from reelscope_export.verify import Array, Measure, Run, batch_difference
from reelscope_export.yolov8_graph import MAX_COUNT, Cells, Yolov8Graph

KEYPOINT_COUNT = 17
TASK = "pose"

CONTRACT = Contract(
    name="pose_yolov8",
    comment=(
        "YOLOv8 pose: people and COCO's 17 keypoints. RGB frames of any size, letterboxed inside to 640.",
        "boxes_xyxy: 0-1 of the frame. scores: descending. keypoints: x and y, 0-1 of the frame, probability of being",
        "visible. Past `count`: zeros. NMS inside: score > 0.25, IoU 0.7, at most 300.",
    ),
    inputs=(Spec("frames", "TYPE_UINT8", (-1, -1, 3)),),
    outputs=(
        Spec("boxes_xyxy", "TYPE_FP32", (MAX_COUNT, 4)),
        Spec("scores", "TYPE_FP32", (MAX_COUNT,)),
        Spec("keypoints", "TYPE_FP32", (MAX_COUNT, KEYPOINT_COUNT, 3)),
        Spec("count", "TYPE_INT32", (1,)),
    ),
)


class PoseGraph(Yolov8Graph):
    """Frames in, final people out: letterbox, network, box decoding, suppression, keypoints of those that are left."""

    def forward(
        self, frames: Tensor, scaled_px: Tensor, rows: Tensor, columns: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Find people in uint8 [N,H,W,3]; inputs as `raw_maps` takes them, outputs as in the module's head."""
        raw, cells, place = self.raw_maps(frames, scaled_px, rows, columns)
        boxes = self.decode_boxes(raw["boxes"].float(), cells)
        scores, order = yolov8_graph.best(boxes, raw["scores"].float().sigmoid().squeeze(1))
        valid = scores > 0
        boxes = yolov8_graph.within_frame(yolov8_graph.chosen(boxes, order), place) * valid.unsqueeze(-1)
        offsets = yolov8_graph.chosen(raw["kpts"].float().transpose(1, 2), order)
        offsets = offsets.reshape(-1, MAX_COUNT, KEYPOINT_COUNT, 3)
        points = yolov8_graph.within_frame(decode_points(offsets[..., :2], order, cells), place)
        keypoints = torch.cat((points, offsets[..., 2:].sigmoid()), 3) * valid[..., None, None]
        return boxes, scores, keypoints, valid.sum(1, keepdim=True).to(torch.int32)


def decode_points(offsets: Tensor, order: Tensor, cells: Cells) -> Tensor:
    """Offsets [N,300,17,2], in half cells from the corner of the cell, to pixels of the letterboxed frame."""
    corners = (cells.centres - 0.5)[order].unsqueeze(2)
    return (offsets * 2.0 + corners) * cells.strides_px[order].unsqueeze(2)


def build(weights: Path, precision: str) -> onnx.ModelProto:
    """Build the ONNX graph of the checkpoint, without provenance."""
    network = load(weights).model.fuse().eval()
    return yolov8_graph.to_onnx(PoseGraph(network, precision), CONTRACT, precision)


def load(weights: Path) -> Any:
    """Load a checkpoint with `ultralytics.YOLO`.

    Raises:
        WeightsUnreadable: ultralytics cannot read it, or it does not find people and COCO's 17 keypoints.
    """
    model = yolov8_graph.load(weights, TASK)
    shape, classes = tuple(model.model.model[-1].kpt_shape), len(model.names)
    if (shape, classes) != ((KEYPOINT_COUNT, 3), 1):
        raise WeightsUnreadable(f"{weights}: keypoints {shape} of {classes} classes, not (17, 3) of one class")
    return model


def labels(weights: Path) -> tuple[str, ...]:
    """Class names of the checkpoint: people alone."""
    return yolov8_graph.checkpoint_labels(load(weights))


def write_random(variant: str, file: Path) -> None:
    """Write seeded random weights of `variant` as a checkpoint in ultralytics' format; deterministic."""
    yolov8_random.write_checkpoint(variant, TASK, yolov8_graph.class_names("coco-pose"), file)


def verify(run: Run, weights: Path, *, variant: str, precision: str, trained: bool) -> tuple[Measure, ...]:
    """Compare the graph with `YOLO.predict` on the same weights and frames.

    FP32 must find the same people and keypoints; FP16 must find 98 % of the people that score 0.3 or more (85 %
    where the weights are random), and the keypoints of 98 % of those. A batch must give what its frames give one by
    one, in FP16 98 % of it: a GPU may take another algorithm for another batch size.
    """
    oracle = load(weights)
    found = yolov8_parity.compare(
        lambda frames: _graph_rows(run, frames), lambda frame: _upstream_rows(oracle, frame), precision=precision
    )
    enough = Measure("fewest people", found.fewest, 20 if not trained else 1, at_least=True)
    if precision == "fp16":
        bound = yolov8_parity.FP16_SHARE if trained else yolov8_parity.UNTRAINED_FP16_SHARE
        return (
            enough,
            yolov8_parity.matched("matched", found.frames, bound=bound),
            _points_matched("keypoints matched", found.frames),
            yolov8_parity.matched("batch to singles, matched", found.batch),
        )
    bound_px = yolov8_parity.box_bound_px(variant)
    matches = yolov8_parity.nearest(found.frames)
    return (
        enough,
        *yolov8_parity.equal_boxes(found.frames, bound_px),
        Measure("keypoint difference", yolov8_parity.largest(matches, _point_difference_px), bound_px, "px"),
        Measure("visibility difference", yolov8_parity.largest(matches, _visibility_difference), 1e-3),
        Measure("batch to singles", batch_difference(run, yolov8_parity.shifted_frames()), 1e-5),
    )


def _graph_rows(run: Run, frames: Array) -> list[Array]:
    """Valid rows of the graph's answer to each frame, float64 [n,57]: box, score, class, keypoints; all in pixels."""
    answer = run(frames)
    height, width = frames.shape[1:3]
    boxes = answer["boxes_xyxy"].astype(np.float64) * (width, height, width, height)
    points = answer["keypoints"].astype(np.float64) * (width, height, 1)
    rows = np.concatenate(
        (boxes, answer["scores"][..., None], np.zeros((*boxes.shape[:2], 1)), points.reshape(*boxes.shape[:2], -1)),
        axis=2,
    )
    return [row[:count] for row, count in zip(rows, answer["count"][:, 0], strict=True)]


def _upstream_rows(oracle: Any, frame: Array) -> Array:
    """What ultralytics finds, float64 [n,57] as above."""
    result = yolov8_parity.predict(oracle, frame)
    boxes, points = result.boxes.data.numpy(), result.keypoints.data.numpy()
    return np.concatenate((boxes, points.reshape(len(boxes), 3 * KEYPOINT_COUNT)), axis=1).astype(np.float64)


def _points(row: Array) -> Array:
    return row[6:].reshape(KEYPOINT_COUNT, 3)


def _point_difference_px(ours: Array, upstream: Array) -> float:
    return float(np.abs(_points(ours)[:, :2] - _points(upstream)[:, :2]).max())


def _visibility_difference(ours: Array, upstream: Array) -> float:
    return float(np.abs(_points(ours)[:, 2] - _points(upstream)[:, 2]).max())


def _points_matched(name: str, pairs: list[tuple[Array, Array]]) -> Measure:
    """Share of matched people whose keypoints are all within 5 % of the box's longer side, and as visible to 0.05."""
    matches = [
        (ours, row)
        for found, reference in pairs
        for row in yolov8_parity.clear(reference)
        if (ours := yolov8_parity.overlapping(row, found)) is not None
    ]
    near = sum(
        _point_difference_px(ours, row) <= 0.05 * float((row[2:4] - row[:2]).max())
        and _visibility_difference(ours, row) <= 0.05
        for ours, row in matches
    )
    return Measure(name, near / max(len(matches), 1), 0.98, at_least=True)
