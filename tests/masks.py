"""COCO's masks, read as their format is published."""

from __future__ import annotations

import numpy as np

from reelscope.analyzers.coco_masks import CocoMask


def decoded(mask: CocoMask) -> np.ndarray:
    """The mask of a compressed text, bool [height, width]."""
    lengths, k = [], 0
    while k < len(mask.counts):
        number, group, more = 0, 0, True
        while more:
            code = ord(mask.counts[k]) - 48
            number |= (code & 31) << (5 * group)
            more = bool(code & 32)
            k, group = k + 1, group + 1
            if not more and code & 16:
                number |= -1 << (5 * group)
        lengths.append(number + (lengths[-2] if len(lengths) > 2 else 0))
    values = np.arange(len(lengths)) % 2 == 1
    return np.repeat(values, lengths).reshape(mask.size[::-1]).T


def iou(first: np.ndarray, second: np.ndarray) -> float:
    """Intersection over union of two masks."""
    return float((first & second).sum() / (first | second).sum())
