"""Faces to compare graphs with their libraries on: boxes all over two photographs, some of them beyond the border.

What lies in a box need not be a face: the networks are asked about pixels.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from reelscope_export import paths, photographs
from reelscope_export.contract import PROVENANCE
from reelscope_export.verify import Array, Run

_COUNT = 24
"""Faces in each photograph."""


def faces() -> list[tuple[Array, Any]]:
    """Pairs of a photograph, uint8 [H,W,3] BGR, and insightface's Face with a box and keypoints in its pixels."""
    paths.isolate_libraries()
    from insightface.app.common import Face

    draw = np.random.default_rng(0)
    found = []
    for frame in photographs.read().values():
        height, width = frame.shape[:2]
        for _ in range(_COUNT):
            middle = draw.uniform((0, 0), (width, height))
            half = draw.uniform(0.03, 0.3) * min(height, width) * draw.uniform(0.7, 1.3, 2)
            box = np.concatenate((middle - half, middle + half)).astype(np.float32)
            found.append((np.ascontiguousarray(frame[..., ::-1]), Face(bbox=box, kps=_keypoints(draw, middle, half))))
    return found


def _keypoints(draw: np.random.Generator, middle: Array, half: Array) -> Array:
    """Eyes, nose and mouth's corners of a tilted face, float32 [5,2]."""
    upright = np.array([[-0.35, -0.25], [0.35, -0.25], [0, 0.1], [-0.28, 0.45], [0.28, 0.45]]) * half
    angle = draw.uniform(-0.8, 0.8)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points: Array = (middle + upright @ turn.T + draw.normal(0, 0.03, (5, 2)) * half).astype(np.float32)
    return points


def upright_crops(side_px: int) -> Array:
    """Insightface's own upright crops of the faces, uint8 [F,S,S,3] RGB."""
    return np.stack([_upright(frame, face, side_px)[0][..., ::-1] for frame, face in faces()])


def upright_matrices(side_px: int) -> Array:
    """Matrices from pixels of the photographs to those of the upright crops, float64 [F,2,3]."""
    return np.stack([_upright(frame, face, side_px)[1] for frame, face in faces()])


def aligned_crops(side_px: int) -> Array:
    """Insightface's own aligned crops of the faces, uint8 [F,S,S,3] RGB."""
    paths.isolate_libraries()
    from insightface.utils import face_align

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # scikit-image's, about how insightface calls it
        crops = [face_align.norm_crop(frame, face.kps, side_px) for frame, face in faces()]
    return np.stack([crop[..., ::-1] for crop in crops])


def _upright(frame: Array, face: Any, side_px: int) -> tuple[Array, Array]:
    paths.isolate_libraries()
    from insightface.utils import face_align

    left, top, right, bottom = face.bbox
    scale = side_px / (max(right - left, bottom - top) * 1.5)
    crop, matrix = face_align.transform(frame, ((left + right) / 2, (top + bottom) / 2), side_px, scale, 0)
    return crop, matrix


def difference_to_singles(run: Run, *inputs: Array) -> float:
    """Largest difference between all rows at once and each alone, over all outputs that have rows."""
    together = run(*inputs)
    alone = [run(*(each[row : row + 1] for each in inputs)) for row in range(len(inputs[0]))]
    worst = 0.0
    for name in together.keys() - {PROVENANCE}:
        singles = np.concatenate([answer[name] for answer in alone])
        if singles.shape != together[name].shape:
            return float("inf")
        worst = max(worst, float(np.abs(together[name] - singles).max(initial=0.0)))
    return worst
