"""Faces cut out of frames as InsightFace cuts them: what its networks were trained on is what they get.

Three crops of each face, uint8 RGB, black where the frame ends:
- of 96 and of 192 pixels: upright squares around the box, 1.5 times its longer side (`face_align.transform`);
- of 224 pixels: aligned, so that eyes, nose and mouth lie where ArcFace's template has them (`face_align.norm_crop`).

`cv2.warpAffine` is what InsightFace calls; a graph could only imitate its fixed-point arithmetic.
"""

from dataclasses import dataclass

import cv2
import numpy as np

UPRIGHT_SIDES_PX = (96, 192)
ALIGNED_SIDE_PX = 224

CONTEXT = 1.5
"""Side of an upright crop, in longer sides of the box."""

TEMPLATE_PX = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)
"""ArcFace's places of the five keypoints in a square of 112 pixels (Deng et al. 2019, arXiv:1801.07698)."""
TEMPLATE_SIDE_PX = 112

_SMALLEST_PX = 1e-3
"""Boxes and keypoints that span less are taken to span this: what has no size could not be scaled."""


class BadFaces(ValueError):
    """The inputs do not belong together; the message says how."""


@dataclass(frozen=True)
class Faces:
    """The f faces of a request, in the order of the frames, each frame's in the order of the detector."""

    frame_index: np.ndarray
    """int32 [f]."""
    boxes: np.ndarray
    """float32 [f, 4] xyxy, 0-1 of the frame."""
    scores: np.ndarray
    """float32 [f]."""
    keypoints: np.ndarray
    """float32 [f, 5, 2], 0-1 of the frame."""


def collect(frame_count, boxes, keypoints, scores, count):
    """Drop the padding: rows past the `count` of each frame.

    Args:
        frame_count: n.
        boxes: float32 [n, m, 4].
        keypoints: float32 [n, m, 5, 2].
        scores: float32 [n, m].
        count: int32 [n, 1], 0 to m.

    Raises:
        BadFaces: other shapes or counts.
    """
    shapes = {"boxes_xyxy": (boxes, (4,)), "keypoints": (keypoints, (5, 2)), "scores": (scores, ())}
    room = scores.shape[-1]
    for name, (array, rest) in shapes.items():
        if array.shape != (frame_count, room, *rest):
            raise BadFaces(f"{name} has shape {list(array.shape)}, expected {[frame_count, room, *rest]}")
    if count.shape != (frame_count, 1) or (count < 0).any() or (count > room).any():
        raise BadFaces(f"count must be {frame_count} numbers from 0 to {room}, one per frame")
    is_face = np.arange(room) < count
    frame_index = np.nonzero(is_face)[0].astype(np.int32)
    return Faces(frame_index, boxes[is_face], scores[is_face], keypoints[is_face])


def upright(faces, height, width, side):
    """Matrices from pixels of the frame to those of upright crops of `side` pixels: float64 [f, 2, 3]."""
    boxes = faces.boxes.astype(np.float64) * (width, height, width, height)
    longer = np.maximum((boxes[:, 2:] - boxes[:, :2]).max(axis=1, initial=_SMALLEST_PX), _SMALLEST_PX)
    scale = side / (longer * CONTEXT)
    matrices = np.zeros((len(boxes), 2, 3))
    matrices[:, 0, 0] = matrices[:, 1, 1] = scale
    matrices[:, :, 2] = side / 2 - (boxes[:, 2:] + boxes[:, :2]) / 2 * scale[:, None]
    return matrices


def aligned(faces, height, width):
    """Matrices from pixels of the frame to those of aligned crops: float64 [f, 2, 3].

    Rotation, scale and shift that bring the keypoints closest to the template, in the sense of least squares. With
    points as complex numbers that is one division; Umeyama's method, which InsightFace uses, finds the same.
    """
    points = faces.keypoints.astype(np.float64) * (width, height) @ (1, 1j)
    template = TEMPLATE_PX * (ALIGNED_SIDE_PX / TEMPLATE_SIDE_PX) @ (1, 1j)
    middle, goal = points.mean(axis=1), template.mean()
    spread = points - middle[:, None]
    size = np.maximum((np.abs(spread) ** 2).sum(axis=1), _SMALLEST_PX**2)
    turn = (spread.conj() * (template - goal)).sum(axis=1) / size
    shift = goal - turn * middle
    rows = (turn.real, -turn.imag, shift.real), (turn.imag, turn.real, shift.imag)
    return np.stack([np.stack(row, axis=1) for row in rows], axis=1)


def cut(frames, frame_index, matrices, side):
    """Crops of `side` pixels: uint8 [f, side, side, 3]; frames are uint8 [n, h, w, 3], matrices as above."""
    crops = np.empty((len(frame_index), side, side, 3), np.uint8)
    for crop, index, matrix in zip(crops, frame_index, matrices, strict=True):
        cv2.warpAffine(frames[index], matrix, (side, side), dst=crop, borderValue=0.0)
    return crops


def to_frame(matrices, height, width):
    """Matrices from pixels of upright crops to 0-1 of the frame: float32 [f, 2, 3]."""
    back = np.zeros_like(matrices)
    scale = matrices[:, 0, 0]
    back[:, 0, 0] = back[:, 1, 1] = 1 / scale
    back[:, :, 2] = -matrices[:, :, 2] / scale[:, None]
    return (back / np.array([[width], [height]])).astype(np.float32)
