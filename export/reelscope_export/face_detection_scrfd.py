"""SCRFD face detection: boxes and five keypoints of every face in each frame.

Source: Guo et al. (2021), arXiv:2105.04714; InsightFace's packs buffalo_l (det_10g) and buffalo_sc (det_500m), ONNX
alone. Oracle: `insightface.model_zoo.SCRFD.detect` at input_size=(640, 640), det_thresh=0.5, nms_thresh=0.4, which is
what `insightface.app.FaceAnalysis` runs with det_size=(640, 640).

Input   frames      uint8 [N,H,W,3] RGB, displayed orientation, any H and W.
Output  boxes_xyxy  float32 [N,128,4], 0-1 of the frame's width and height, not clipped to it; zero rows past the count.
        scores      float32 [N,128], descending, >= 0.5; 0 past the count.
        keypoints   float32 [N,128,5,2], x and y, 0-1 of the frame: the eye, the eye, the nose, the mouth's corners,
                    those to the image's left first; 0 past the count.
        count       int32 [N,1], valid rows.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from torch import Tensor, nn

from reelscope_export import chunks, foreign_onnx, graph, insightface_pack, photographs, suppression
from reelscope_export.contract import Contract
from reelscope_export.contract import Tensor as Spec
from reelscope_export.errors import WeightsUnreadable
from reelscope_export.letterbox import Placement, resize
from reelscope_export.verify import Array, Measure, Run, batch_difference

MAX_COUNT = 128
SIDE_PX = 640
SCORE_THRESHOLD = 0.5
IOU_THRESHOLD = 0.4

CHUNK_FRAMES = {"fp32": 1, "fp16": chunks.GPU_ROWS}
"""Frames in one run of the network. FP32 is what CPUs run: one by one, a window of 20 takes 30 MB instead of 590
(det_500m), and less time."""

_STRIDES_PX = (8, 16, 32)
_ANCHORS = 2
"""Boxes per cell of each feature map."""
_ANSWERS = {"confidences": 1, "distances": 4, "offsets": 10}
"""Kinds of feature maps, in the order of the network's outputs, and numbers per anchor."""

CONTRACT = Contract(
    name="face_detection_scrfd",
    comment=(
        "SCRFD face detection. RGB frames of any size, scaled into a corner of 640x640 inside.",
        "boxes_xyxy, keypoints: 0-1 of the frame, not clipped. scores: descending. Past `count`: zeros.",
        "NMS inside: score >= 0.5, IoU 0.4, at most 128.",
    ),
    inputs=(Spec("frames", "TYPE_UINT8", (-1, -1, 3)),),
    outputs=(
        Spec("boxes_xyxy", "TYPE_FP32", (MAX_COUNT, 4)),
        Spec("scores", "TYPE_FP32", (MAX_COUNT,)),
        Spec("keypoints", "TYPE_FP32", (MAX_COUNT, 5, 2)),
        Spec("count", "TYPE_INT32", (1,)),
    ),
)


class Before(nn.Module):
    """Frames to what the network sees: scaled into the upper left corner of the square, the rest black."""

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Take uint8 [N,H,W,3]; give float32 [N,3,640,640], and height, width and scale as float32 [3]."""
        height = torch.scalar_tensor(frames.shape[1], dtype=torch.float64)
        width = torch.scalar_tensor(frames.shape[2], dtype=torch.float64)
        shape = height / width
        # Rounded down, as InsightFace does; it has no answer where that leaves no pixel.
        scaled_height = torch.clamp(torch.where(shape > 1, SIDE_PX, torch.floor(SIDE_PX * shape)), min=1)
        scaled_width = torch.clamp(torch.where(shape > 1, torch.floor(SIDE_PX / shape), SIDE_PX), min=1)
        corner = torch.zeros_like(height)
        place = Placement(height, width, scaled_height, scaled_width, corner, corner)
        positions = torch.arange(SIDE_PX, dtype=torch.float64)
        inside = (positions < scaled_height).view(1, 1, -1, 1) & (positions < scaled_width).view(1, 1, 1, -1)
        pixels = torch.where(inside, resize(frames, place, positions, positions), 0.0)
        size = torch.stack((height, width, scaled_height / height)).to(torch.float32)
        return (pixels - 127.5) / 128.0, size


class After(nn.Module):
    """The network's maps to final boxes: decoding, suppression, sorting."""

    centres: Tensor
    strides: Tensor

    def __init__(self) -> None:
        """Lay out the anchors' centres and strides, in pixels of the square."""
        super().__init__()
        cells = [torch.arange(0.0, SIDE_PX, stride) for stride in _STRIDES_PX]
        centres = [torch.cartesian_prod(side, side).flip(1).repeat_interleave(_ANCHORS, 0) for side in cells]
        self.register_buffer("centres", torch.cat(centres))
        strides = [torch.full((len(each), 1), float(stride)) for each, stride in zip(centres, _STRIDES_PX, strict=True)]
        self.register_buffer("strides", torch.cat(strides))

    def forward(self, size: Tensor, confidences: Tensor, distances: Tensor, offsets: Tensor) -> tuple[Tensor, ...]:
        """Decode confidences [N,A,1], distances [N,A,4] and keypoint offsets [N,A,10] to the module's outputs."""
        scores = confidences.squeeze(2)
        near, far = (distances * self.strides).chunk(2, dim=2)
        boxes = torch.cat((self.centres - near, self.centres + far), 2) / size[2]
        points = (offsets * self.strides).reshape(-1, len(self.strides), 5, 2) + self.centres.unsqueeze(1)
        # InsightFace counts pixels, not lengths: sides and overlaps are longer by one pixel of the frame.
        closed = boxes + torch.tensor([0.0, 0.0, 1.0, 1.0])
        keep = suppression.nms_keep(closed, scores, IOU_THRESHOLD, _JUST_BELOW_THRESHOLD, MAX_COUNT)
        scores, order = torch.topk(scores * keep, MAX_COUNT, dim=1)
        valid = scores > 0
        frame_px = size[:2].flip(0)
        boxes = torch.gather(boxes, 1, order.unsqueeze(-1).expand(-1, -1, 4)) / frame_px.repeat(2)
        points = torch.gather(points, 1, order.view(-1, MAX_COUNT, 1, 1).expand(-1, -1, 5, 2)) / size[2] / frame_px
        count = valid.sum(1, keepdim=True).to(torch.int32)
        return boxes * valid.unsqueeze(-1), scores, points * valid.view(-1, MAX_COUNT, 1, 1), count


_JUST_BELOW_THRESHOLD = float(np.nextafter(np.float32(SCORE_THRESHOLD), np.float32(0)))
"""InsightFace keeps a score that equals the threshold, the operator does not."""


def build(weights: Path, precision: str) -> onnx.ModelProto:
    """Build the ONNX graph of the network, without provenance."""
    load(weights)
    network = _by_frame(foreign_onnx.read(weights), weights)
    chunk = CHUNK_FRAMES[precision] if foreign_onnx.takes_rows_together(network, (3, SIDE_PX, SIDE_PX)) else 1
    if precision == "fp16":
        network = foreign_onnx.halved(network)
    before = graph.to_onnx(Before(), graph.frames_example(), output_names=("pixels", "size"))
    examples = {"size": graph.Example(torch.tensor([360.0, 640.0, 1.0]), {})} | {
        name: graph.Example(torch.zeros(2, sum(map(_place_count, _STRIDES_PX)), width), {0: "row"})
        for name, width in _ANSWERS.items()
    }
    after = graph.to_onnx(
        After(),
        examples,
        output_names=tuple(tensor.name for tensor in CONTRACT.outputs),
        translations=suppression.ONNX_TRANSLATIONS,
    )
    answers = {f"all_{name}": name for name in _ANSWERS}
    joined = foreign_onnx.surround(before, network, after, answers=answers)
    return chunks.in_chunks(joined, chunk, filled=chunk > 1)


def _by_frame(network: onnx.ModelProto, weights: Path) -> onnx.ModelProto:
    """Join the maps of the three strides, and sort by frame what the network interleaves.

    It gives [places * frames * anchors, numbers] for each kind and stride, places first; wanted is one tensor for each
    kind, [frames, places of all strides * anchors, numbers].
    """
    kinds, strides = list(_ANSWERS), len(_STRIDES_PX)
    maps = [value.name for value in network.graph.output]
    if len(maps) != len(kinds) * strides:
        raise WeightsUnreadable(f"{weights}: {len(maps)} outputs, a detector with keypoints has 9")
    joined = onnx.ModelProto()
    joined.CopyFrom(network)
    del joined.graph.output[:]
    for index, name in enumerate(maps):
        stride, width = _STRIDES_PX[index % strides], _ANSWERS[kinds[index // strides]]
        cells = (SIDE_PX // stride) ** 2
        for end, shape in (("cells", [cells, -1, _ANCHORS * width]), ("frames", [0, cells * _ANCHORS, width])):
            joined.graph.initializer.append(numpy_helper.from_array(np.array(shape, np.int64), f"{name}_{end}_shape"))
        joined.graph.node.extend(
            (
                helper.make_node("Reshape", [name, f"{name}_cells_shape"], [f"{name}_cells"], f"{name}_cells"),
                helper.make_node("Transpose", [f"{name}_cells"], [f"{name}_turned"], f"{name}_turned", perm=[1, 0, 2]),
                helper.make_node("Reshape", [f"{name}_turned", f"{name}_frames_shape"], [f"{name}_frames"]),
            )
        )
    for row, kind in enumerate(kinds):
        parts = [f"{name}_frames" for name in maps[row * strides : (row + 1) * strides]]
        joined.graph.node.append(helper.make_node("Concat", parts, [f"all_{kind}"], f"all_{kind}", axis=1))
        all_places = ("row", sum(map(_place_count, _STRIDES_PX)), _ANSWERS[kind])
        joined.graph.output.append(helper.make_tensor_value_info(f"all_{kind}", onnx.TensorProto.FLOAT, all_places))
    return joined


def _place_count(stride: int) -> int:
    """Anchors of one feature map."""
    return (SIDE_PX // stride) ** 2 * _ANCHORS


def load(weights: Path) -> Any:
    """Load the network as insightface's SCRFD.

    Raises:
        WeightsUnreadable: insightface cannot read it, or it is no detector with keypoints.
    """
    detector = insightface_pack.load(weights, "detection")
    if not getattr(detector, "use_kps", False) or detector.fmc != len(_STRIDES_PX):
        raise WeightsUnreadable(f"{weights}: a detector without keypoints, or of other strides than 8, 16 and 32")
    detector.prepare(-1, input_size=(SIDE_PX, SIDE_PX), det_thresh=SCORE_THRESHOLD, nms_thresh=IOU_THRESHOLD)
    return detector


def labels(weights: Path) -> tuple[str, ...]:
    """None: it knows faces only."""
    return ()


def write_random(variant: str, file: Path) -> None:
    """Write a seeded random network with the inputs, outputs and cost of InsightFace's; deterministic."""
    from reelscope_export import scrfd_random

    frames = [torch.from_numpy(frame[None]) for frame in photographs.read().values()]
    scrfd_random.write_network(variant, torch.cat([Before()(frame)[0] for frame in frames]), file)


def verify(run: Run, weights: Path, *, variant: str, precision: str, trained: bool) -> tuple[Measure, ...]:
    """Compare the graph with `SCRFD.detect` on the same weights and frames.

    The frames are ultralytics' two photographs, a portrait one, and a large one with small faces. FP32 must find the
    same faces in the same order; FP16 must find 95 % of those that score 0.55 or more: of two that overlap by nearly
    0.4 its rounding may leave the other. A batch must give what its frames give one by one.
    """
    oracle = load(weights)
    bus, zidane = photographs.read().values()
    frames = [bus, zidane, np.ascontiguousarray(np.rot90(zidane)), np.tile(bus[:700, :700], (2, 3, 1))]
    pairs = [(graph_faces(run(frame[None]), frame.shape)[0], upstream_faces(oracle, frame)) for frame in frames]
    fewest = min(len(upstream) for _, upstream in pairs[:2])
    enough = Measure("fewest faces", fewest, 1 if trained else 20, at_least=True)
    batch = np.stack([np.roll(bus, 64 * shift, axis=1) for shift in range(CHUNK_FRAMES[precision] + 1)])
    if precision == "fp16":
        singles = [graph_faces(run(frame[None]), frame.shape)[0] for frame in batch]
        together = list(zip(graph_faces(run(batch), bus.shape), singles, strict=True))
        return enough, _matched("matched", pairs), _matched("batch to singles, matched", together)
    return enough, *compare(pairs), Measure("batch to singles", batch_difference(run, batch), 1e-5)


def graph_faces(answer: dict[str, Array], shape: tuple[int, ...]) -> list[Array]:
    """Valid rows of the answer to frames of `shape`, float64 [n,15]: xyxy in pixels, score, keypoints in pixels."""
    height, width = shape[:2]
    points = answer["keypoints"].reshape(*answer["keypoints"].shape[:2], 10)
    rows = np.concatenate((answer["boxes_xyxy"], answer["scores"][..., None], points), axis=2).astype(np.float64)
    rows *= (width, height, width, height, 1, *(width, height) * 5)
    return [row[:count] for row, count in zip(rows, answer["count"][:, 0], strict=True)]


def upstream_faces(oracle: Any, frame: Array) -> Array:
    """What insightface finds, in the same columns; at most as many as the graph gives."""
    boxes, points = oracle.detect(np.ascontiguousarray(frame[..., ::-1]))
    rows: Array = np.concatenate((boxes, points.reshape(-1, 10)), axis=1).astype(np.float64)
    return rows[:MAX_COUNT]


def compare(pairs: list[tuple[Array, Array]]) -> tuple[Measure, ...]:
    """Same faces in the same order; pairs are (found, upstream's), each float64 [n,15]."""
    if any(len(found) != len(upstream) for found, upstream in pairs):
        return (Measure("count difference", max(abs(len(ours) - len(theirs)) for ours, theirs in pairs), 0),)
    worst = np.concatenate([np.abs(found - upstream) for found, upstream in pairs]).max(0, initial=0.0)
    return (
        Measure("count difference", 0, 0),
        Measure("box difference", worst[:4].max(), 0.01, "px"),
        Measure("keypoint difference", worst[5:].max(), 0.01, "px"),
        Measure("score difference", worst[4], 1e-4),
    )


def _matched(name: str, pairs: list[tuple[Array, Array]]) -> Measure:
    """Share of the reference's faces with score >= 0.55 that are found, all within a tenth of the face's side."""
    wanted = [(row, found) for found, reference in pairs for row in reference if row[4] >= 0.55]
    hits = 0
    for row, found in wanted:
        distance = np.abs(np.delete(found - row, 4, axis=1)).max(1, initial=0.0)
        hits += bool((distance <= 0.1 * (row[2:4] - row[:2]).max()).any())
    return Measure(name, hits / max(len(wanted), 1), 0.95, at_least=True)
