"""YOLOv8 object detection: COCO's 80 classes in each frame.

Source: Jocher, Chaurasia & Qiu, Ultralytics YOLOv8 (2023). Oracle: `ultralytics.YOLO.predict` with imgsz=640,
rect=False, conf=0.25, iou=0.7, max_det=300.

Input   frames           uint8 [N,H,W,3] RGB, displayed orientation, any H and W.
Output  boxes_xyxy       float32 [N,300,4], 0-1 of the frame's width and height; zero rows past the count.
        scores           float32 [N,300], descending; 0 past the count.
        class_ids        int32 [N,300], index into labels.txt; -1 past the count.
        count            int32 [N,1], valid rows.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from reelscope_export import graph, paths, photographs, suppression, yolov8_random
from reelscope_export.contract import Contract
from reelscope_export.contract import Tensor as Spec
from reelscope_export.errors import WeightsUnreadable
from reelscope_export.letterbox import Letterbox
from reelscope_export.verify import Array, Measure, Run, batch_difference

MAX_COUNT = 300
SIDE_PX = 640
SCORE_THRESHOLD = 0.25
IOU_THRESHOLD = 0.7

_BOX_BOUND_PX = {"yolov8n": 0.05}
_LARGE_BOX_BOUND_PX = 0.15
"""Deeper networks accumulate more rounding between torch's and onnxruntime's kernels."""

_CLASS_OFFSET_PX = 7680.0
"""Ultralytics' max_wh: boxes of different classes are moved apart by it, so that they never suppress each other."""

CONTRACT = Contract(
    name="object_yolov8",
    comment=(
        "YOLOv8 object detection, COCO's 80 classes (labels.txt). RGB frames of any size, letterboxed to 640 inside.",
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


class DetectionGraph(nn.Module):
    """Frames in, final boxes out: letterbox, network, box decoding, suppression.

    The head's own decoding caches anchors by input shape, which freezes the batch size at export without an error.
    So the head is asked for its raw maps, and anchors are buffers here.
    """

    anchors: Tensor
    strides: Tensor

    def __init__(self, network: nn.Module, precision: str) -> None:
        """Wrap a fused ultralytics DetectionModel; `precision` (fp32, fp16) is the network's alone."""
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

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Detect objects in uint8 [N,H,W,3]; outputs as in the module's head."""
        pixels, place = self.letterbox(frames)
        raw = self.network(pixels.half() if self.half_network else pixels)
        boxes = self._decode(raw["boxes"].float())
        scores, classes = raw["scores"].float().sigmoid().max(1)
        apart = boxes + (classes.to(torch.float32) * _CLASS_OFFSET_PX).unsqueeze(-1)
        keep = suppression.nms_keep(apart, scores, IOU_THRESHOLD, SCORE_THRESHOLD, MAX_COUNT)
        scores, order = torch.topk(scores * keep, MAX_COUNT, dim=1)
        valid = scores > 0
        boxes = torch.gather(boxes, 1, order.unsqueeze(-1).expand(-1, -1, 4))
        corner = torch.stack((place.left_px, place.top_px)).repeat(2).to(torch.float32)
        size = torch.stack((place.scaled_width_px, place.scaled_height_px)).repeat(2).to(torch.float32)
        boxes = torch.clamp((boxes - corner) / size, 0.0, 1.0) * valid.unsqueeze(-1)
        classes = torch.where(valid, torch.gather(classes, 1, order), -1).to(torch.int32)
        return boxes, scores, classes, valid.sum(1, keepdim=True).to(torch.int32)

    def _decode(self, distances: Tensor) -> Tensor:
        """Distance distributions [N,4*bins,A] to xyxy pixels of the letterboxed square [N,A,4]."""
        shaped = distances.reshape(distances.shape[0], 4, self.bins, -1).permute(0, 3, 1, 2).softmax(3)
        sides = torch.matmul(shaped, torch.arange(self.bins, dtype=torch.float32))
        near, far = sides.chunk(2, dim=2)
        return torch.cat((self.anchors - near, self.anchors + far), 2) * self.strides


def build(weights: Path, precision: str) -> onnx.ModelProto:
    """Build the ONNX graph of the checkpoint, without provenance."""
    network = load(weights).model.fuse().eval()
    return graph.to_onnx(
        DetectionGraph(network, precision),
        graph.frames_example(),
        output_names=tuple(tensor.name for tensor in CONTRACT.outputs),
        translations=suppression.ONNX_TRANSLATIONS,
    )


def load(weights: Path) -> Any:
    """Load a checkpoint with `ultralytics.YOLO`.

    Raises:
        WeightsUnreadable: ultralytics cannot read it, or it is no detector.
    """
    paths.isolate_libraries()
    from ultralytics.models.yolo.model import YOLO

    try:
        model = YOLO(weights, task="detect")
    except Exception as exc:
        raise WeightsUnreadable(f"{weights}: {exc}") from exc
    if model.task != "detect":
        raise WeightsUnreadable(f"{weights}: a checkpoint for {model.task!r}, not a detector")
    return model


def class_names() -> dict[int, str]:
    """COCO's 80 names by class index, as ultralytics orders them."""
    paths.isolate_libraries()
    from ultralytics.utils import ROOT, YAML

    names: dict[int, str] = cast(Any, YAML).load(ROOT / "cfg" / "datasets" / "coco.yaml")["names"]
    return names


def labels(weights: Path) -> tuple[str, ...]:
    """Class names of the checkpoint, by index."""
    names: dict[int, str] = load(weights).names
    return tuple(names[index] for index in sorted(names))


def write_random(variant: str, file: Path) -> None:
    """Write seeded random weights of `variant` as a checkpoint in ultralytics' format; deterministic."""
    frames = [torch.from_numpy(frame[None]) for frame in photographs.read().values()]
    letterbox = Letterbox(SIDE_PX)
    pixels = torch.cat([letterbox(frame)[0] for frame in frames])
    yolov8_random.write_checkpoint(variant, class_names(), pixels, file)


def verify(run: Run, weights: Path, *, variant: str, precision: str, trained: bool) -> tuple[Measure, ...]:
    """Compare the graph with `YOLO.predict` on the same weights and frames.

    The frames are ultralytics' two photographs and one portrait frame. FP32 must find the same boxes; FP16 must find
    98 % of those that score 0.3 or more. A batch must give what its frames give one by one: to the same bounds in
    FP16, because a GPU may take another algorithm for another batch size.
    """
    oracle = load(weights)
    frames = photographs.read()
    frames["portrait"] = np.ascontiguousarray(np.rot90(frames["zidane.jpg"]))
    pairs = [(_graph_boxes(run, frame[None])[0], _upstream_boxes(oracle, frame)) for frame in frames.values()]
    fewest = min(len(upstream) for name, (_, upstream) in zip(frames, pairs, strict=True) if name != "portrait")
    enough = Measure("fewest boxes", fewest, 20 if not trained else 1, at_least=True)
    shifted = np.stack([np.roll(frames["bus.jpg"], 50 * shift, axis=1) for shift in range(4)])
    if precision == "fp16":
        singles = [_graph_boxes(run, frame[None])[0] for frame in shifted]
        batch = list(zip(_graph_boxes(run, shifted), singles, strict=True))
        return enough, _matched("matched", pairs), _matched("batch to singles, matched", batch)
    bound_px = _BOX_BOUND_PX.get(variant, _LARGE_BOX_BOUND_PX)
    alike = Measure("batch to singles", batch_difference(run, shifted), 1e-5)
    return enough, *_compare_fp32(pairs, bound_px), alike


def _graph_boxes(run: Run, frames: Array) -> list[Array]:
    """Valid rows of the graph's answer to each frame, float64 [n,6]: xyxy in pixels, score, class."""
    answer = run(frames)
    height, width = frames.shape[1:3]
    boxes = answer["boxes_xyxy"].astype(np.float64) * (width, height, width, height)
    rows = np.concatenate((boxes, answer["scores"][..., None], answer["class_ids"][..., None]), axis=2)
    return [row[:count] for row, count in zip(rows, answer["count"][:, 0], strict=True)]


def _upstream_boxes(oracle: Any, frame: Array) -> Array:
    """What ultralytics finds, float64 [n,6]: xyxy in pixels, score, class."""
    result = oracle.predict(
        [np.ascontiguousarray(frame[..., ::-1])],
        imgsz=SIDE_PX,
        rect=False,
        conf=SCORE_THRESHOLD,
        iou=IOU_THRESHOLD,
        max_det=MAX_COUNT,
        device="cpu",
        verbose=False,
    )[0]
    found: Array = result.boxes.data.numpy().astype(np.float64)
    return found


def _compare_fp32(pairs: list[tuple[Array, Array]], box_bound_px: float) -> tuple[Measure, ...]:
    """Counts equal; each upstream box has a box of its class within the bounds, whatever the order."""
    count = max(abs(len(ours) - len(upstream)) for ours, upstream in pairs)
    box = score = 0.0
    for ours, upstream in pairs:
        for row in upstream:
            same = ours[ours[:, 5] == row[5]]
            distances = np.abs(same[:, :4] - row[:4]).max(1, initial=0.0)
            nearest = distances.argmin() if len(same) else None
            box = max(box, float("inf") if nearest is None else float(distances[nearest]))
            score = max(score, 1.0 if nearest is None else abs(float(same[nearest, 4] - row[4])))
    return (
        Measure("count difference", count, 0),
        Measure("box difference", box, box_bound_px, "px"),
        Measure("score difference", score, 1e-3),
    )


def _matched(name: str, pairs: list[tuple[Array, Array]]) -> Measure:
    """Share of the reference's boxes with score >= 0.3 that are found: same class, IoU >= 0.95.

    Pairs are (found, reference), each float64 [n,6]. Without any such box nothing is shown, and the share is 0.
    """
    wanted = [(row, ours) for ours, reference in pairs for row in reference if row[4] >= 0.3]
    found = sum(bool((_iou(ours[ours[:, 5] == row[5], :4], row[:4]) >= 0.95).any()) for row, ours in wanted)
    return Measure(name, found / max(len(wanted), 1), 0.98, at_least=True)


def _iou(boxes: Array, box: Array) -> Array:
    overlap = np.clip(np.minimum(boxes[:, 2:], box[2:]) - np.maximum(boxes[:, :2], box[:2]), 0, None).prod(1)
    union = (boxes[:, 2:] - boxes[:, :2]).prod(1) + (box[2:] - box[:2]).prod() - overlap
    ratio: Array = overlap / np.maximum(union, 1e-12)
    return ratio
