"""Masks as COCO codes them: run lengths down the columns, zeros first, compressed to text.

The text is that of COCO's own tools (Lin et al. 2014, Microsoft COCO; `rleToString` of the COCO API): from the fourth
run on the difference to the run two before, in groups of 5 bits, lowest first, sign in the highest bit of the last
group, 32 for "more follows", 48 added to make it printable.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class CocoMask:
    """A binary mask; `pycocotools.mask.decode` reads it as it is."""

    size: tuple[int, int]
    """Height and width of the mask, cells, >= 1; it covers the whole frame."""
    counts: str
    """COCO's compressed run lengths."""


def encoded(mask: NDArray[np.bool_]) -> CocoMask:
    """Encode bool [height, width]."""
    cells = mask.T.ravel()
    changes = np.flatnonzero(cells != np.concatenate([[False], cells[:-1]]))
    lengths = np.diff(changes, prepend=0, append=cells.size).tolist()
    differences = [length - lengths[k - 2] if k > 2 else length for k, length in enumerate(lengths)]
    return CocoMask(size=(mask.shape[0], mask.shape[1]), counts="".join(map(_text, differences)))


def decoded(mask: CocoMask) -> NDArray[np.bool_]:
    """Decode to bool [height, width].

    Raises:
        ValueError: the counts are no run lengths of a mask of this size.
    """
    lengths: list[int] = []
    number = shift = 0
    for character in mask.counts:
        group = ord(character) - 48
        number |= (group & 31) << shift
        shift += 5
        if not group & 32:
            number -= 1 << shift if group & 16 else 0
            lengths.append(number + (lengths[-2] if len(lengths) > 2 else 0))
            number = shift = 0
    height, width = mask.size
    if sum(lengths) != height * width:
        raise ValueError(f"{sum(lengths)} cells in a mask of {height} x {width}")
    return np.repeat(np.arange(len(lengths)) % 2 == 1, lengths).reshape(width, height).T


def _text(number: int) -> str:
    text = ""
    while True:
        group, number = number & 31, number >> 5
        is_last = number == (-1 if group & 16 else 0)
        text += chr(48 + group + (0 if is_last else 32))
        if is_last:
            return text
