"""What surrounds people: the stuff and things that a frame consists of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reelscope.signals.base import Signal


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneLabels(Signal):
    """ADE20K's label of every part of sampled frames; n frames, label maps of height x width cells."""

    times_seconds: NDArray[np.float64]
    """[n] sorted."""
    labels: tuple[str, ...]
    """150 class names."""
    areas: NDArray[np.float32]
    """[n, 150] share of the picture within its black bars, 0-1; each row sums to 1."""
    map_height: int
    """Rows of a label map; it covers the whole frame, whatever the frame's shape."""
    map_width: int
    """Columns of a label map."""
    picture_rows: slice
    """Rows of the label maps that the picture fills; black bars lie above and below."""
    picture_columns: slice
    """Columns of the label maps that the picture fills; black bars lie left and right."""
    runs: tuple[tuple[NDArray[np.uint8], NDArray[np.int32]], ...]
    """n label maps, run-length coded in column order, as COCO codes masks: labels of the runs, and their lengths."""
    laplacian_energy: NDArray[np.float64]
    """[n, 2] variance of the luma's Laplacian on people and off them; NaN where there is no such part."""
    duration_seconds: float
    """Duration of the clip."""

    def label_map(self, row: int) -> NDArray[np.uint8]:
        """uint8 [map_height, map_width] class of every cell of the sampled frame `row`."""
        values, lengths = self.runs[row]
        return np.repeat(values, lengths).reshape(self.map_width, self.map_height).T
