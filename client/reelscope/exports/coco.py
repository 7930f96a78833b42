"""Boxes, keypoints and masks in the format of COCO: one picture per sampled instant that shows any of them.

Conventions (https://cocodataset.org/#format-data): pixels of the displayed frame; boxes are x, y, width, height.
- object_detection: a box per track and instant, of the class and with the score of its track.
- body_pose: a person's 17 keypoints. One that is seen has v = 2, any other is 0, 0, 0, as COCO has what is not
  labelled; the box is that of the keypoints that are seen, or of all when none is.
- background_segmentation: the foreground, people and tracked objects together: a crowd, so RLE is its proper form. Its
  cells are enlarged to the frame. An empty mask is no annotation.

Pictures are not written. `time_s` tells which they are, the file's name the same in milliseconds; `frame_number` is
null at a variable frame rate, which does not tell it. What COCO has no place for stands in an annotation's
`attributes`, where annotation tools look: the analyzer, its segment, the track, and whether the model was trained.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from reelscope.analyzers import coco_masks
from reelscope.analyzers.coco_masks import CocoMask
from reelscope.errors import UsageError
from reelscope.exports.contents import Contents, Document, Documents, Result, caveats, untrained_models
from reelscope.exports.frames import frame_rate
from reelscope.signals import KEYPOINTS

Annotation = dict[str, Any]
Size = tuple[int, int]
"""Width and height, px."""

LIMBS = (
    *("left_ankle left_knee", "left_knee left_hip", "right_ankle right_knee", "right_knee right_hip"),
    *("left_hip right_hip", "left_shoulder left_hip", "right_shoulder right_hip", "left_shoulder right_shoulder"),
    *("left_shoulder left_elbow", "right_shoulder right_elbow", "left_elbow left_wrist", "right_elbow right_wrist"),
    *("left_eye right_eye", "nose left_eye", "nose right_eye", "left_eye left_ear", "right_eye right_ear"),
    *("left_ear left_shoulder", "right_ear right_shoulder"),
)
"""The skeleton of COCO's person_keypoints."""
FRAME_TOLERANCE_SECONDS = 0.0005
"""Times are rounded to the millisecond: a frame is taken to be there half of one earlier."""


def write(contents: Contents) -> Documents:
    """Make coco.json.

    Raises:
        UsageError: none of the analyzers that find any of it has looked at the clip.
    """
    found = {name: result for name, result in contents.found() if name in READERS}
    if not found:
        reasons = "; ".join(filter(None, map(contents.missing, READERS)))
        raise UsageError(f"the results hold no boxes, keypoints or masks: {reasons}")
    media, run = contents.media, contents.values["run"]
    annotations = list(_annotations(found, (media["width"], media["height"])))
    facts = {name: {"sampling_fps": result["inputs"]["fps"], **caveats(result)} for name, result in found.items()}
    names = sorted({annotation["category"] for annotation, _ in annotations})
    images = {time: number for number, time in enumerate(sorted({time for _, time in annotations}), 1)}
    values = {
        "info": {
            "description": f"What reelscope found in the clip of SHA-256 {media['sha256']}",
            "version": run["tool"],
            "date_created": run["created"],
            "reelscope": facts,
        },
        "licenses": [],
        "images": [_image(number, time, media) for time, number in images.items()],
        "categories": [_category(number, name) for number, name in enumerate(names, 1)],
        "annotations": [
            {
                "id": number,
                "image_id": images[time],
                "category_id": names.index(annotation.pop("category")) + 1,
                **annotation,
            }
            for number, (annotation, time) in enumerate(annotations, 1)
        ],
    }
    text = json.dumps(values, allow_nan=False, ensure_ascii=False, separators=(",", ":")) + "\n"
    return {"coco.json": Document(text, len(annotations), "annotation")}


def _annotations(found: Mapping[str, Result], size: Size) -> Iterator[tuple[Annotation, float]]:
    """Every annotation, with the name of its category, and the time of its picture."""
    for name, result in found.items():
        is_trained = not untrained_models(result)
        for segment in result["segments"]:
            attributes = {
                "analyzer": name,
                "segment_id": segment["id"],
                "track_id": segment["track_id"],
                "trained": is_trained,
            }
            for time, annotation in READERS[name](segment, result["params"], size):
                yield {**annotation, "attributes": attributes}, time


def _boxes(segment: Any, parameters: Any, size: Size) -> Iterator[tuple[float, Annotation]]:
    facts = {"category": segment["data"]["class"], "score": segment["score"], "segmentation": [], "iscrowd": 0}
    boxes = segment["data"]["boxes"]
    for time, xyxy in zip(boxes["t"], boxes["xyxy"], strict=True):
        yield time, {**facts, **_box(np.array(xyxy).reshape(2, 2) * size)}


def _keypoints(segment: Any, parameters: Any, size: Size) -> Iterator[tuple[float, Annotation]]:
    if "keypoints" not in segment["data"]:  # a gesture
        return
    facts = {"category": "person", "score": segment["score"], "segmentation": [], "iscrowd": 0}
    for time, points in zip(segment["data"]["t"], np.array(segment["data"]["keypoints"]), strict=True):
        seen = points[:, 2] >= parameters["keypoint_min_confidence"]
        placed = points[:, :2] * size
        flagged = np.column_stack([placed.round(2), np.full(len(points), 2)]) * seen[:, None]
        keypoints = {"keypoints": flagged.ravel().tolist(), "num_keypoints": int(seen.sum())}
        yield time, {**facts, **keypoints, **_box(placed[seen] if seen.any() else placed)}


def _masks(segment: Any, parameters: Any, size: Size) -> Iterator[tuple[float, Annotation]]:
    foreground = segment["data"]["foreground"]
    width, height = size
    for time, rle in zip(foreground["t"], foreground["rle"], strict=True):
        cells = coco_masks.decoded(CocoMask(size=tuple(rle["size"]), counts=rle["counts"]))
        rows, columns = (np.arange(n) * of // n for n, of in ((height, cells.shape[0]), (width, cells.shape[1])))
        mask = cells[np.ix_(rows, columns)]
        if not mask.any():
            continue
        edges = [np.flatnonzero(mask.any(axis))[[0, -1]] + (0, 1) for axis in (0, 1)]
        encoded = asdict(coco_masks.encoded(mask))
        facts = {"category": "foreground", "segmentation": encoded, "iscrowd": 1, **_box(np.transpose(edges))}
        yield time, {**facts, "area": int(mask.sum())}


READERS: Mapping[str, Callable[[Any, Any, Size], Iterator[tuple[float, Annotation]]]] = {
    "object_detection": _boxes,
    "body_pose": _keypoints,
    "background_segmentation": _masks,
}
"""What each analyzer's segment shows, and when; from the segment, the analyzer's parameters, and the frame's size."""


def _box(points: Any) -> Annotation:
    """Box around points [n, 2], px."""
    (left, top), (right, bottom) = points.min(0).tolist(), points.max(0).tolist()
    box = [round(value, 2) for value in (left, top, right - left, bottom - top)]
    return {"bbox": box, "area": round(box[2] * box[3], 2)}


def _image(number: int, time: float, media: Mapping[str, Any]) -> Annotation:
    frame = math.floor((time + FRAME_TOLERANCE_SECONDS) * frame_rate(media))
    return {
        "id": number,
        "file_name": f"{round(1000 * time):08d}.jpg",
        "width": media["width"],
        "height": media["height"],
        "time_s": time,
        "frame_number": None if media["vfr"] else frame,
    }


def _category(number: int, name: str) -> Annotation:
    category: Annotation = {"id": number, "name": name, "supercategory": ""}
    if name == "person":
        numbers = {name: number for number, name in enumerate(KEYPOINTS, 1)}
        skeleton = [[numbers[joint] for joint in limb.split()] for limb in LIMBS]
        category |= {"keypoints": list(KEYPOINTS), "skeleton": skeleton}
    return category
