"""COCO's masks, read by COCO's own tools."""

from __future__ import annotations

import numpy as np
from pycocotools import mask as coco

from reelscope.analyzers.coco_masks import CocoMask


def decoded(mask: CocoMask) -> np.ndarray:
    """The mask of a compressed text, bool [height, width]."""
    return coco.decode({"size": mask.size, "counts": mask.counts}).astype(bool)


def iou(first: np.ndarray, second: np.ndarray) -> float:
    """Intersection over union of two masks."""
    return float((first & second).sum() / (first | second).sum())
