"""ADE20K's labels of sampled frames from the ensemble `scene_labels`, and how sharp people and their surroundings are.

Sharpness is the variance of the luma's Laplacian, long side 512 px, on people and off them. Within one cell of the
outline between the two nothing is measured: the outline is an edge of neither. Black bars around the picture are no
part of it: they are left out of the sharpness and of the class areas.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from reelscope.settings import labels
from reelscope.signals import Parameter, SceneLabels
from reelscope.sources.active_picture import BAR_LEVEL, ActivePicture
from reelscope.sources.ensemble import Asked, EnsembleSource
from reelscope.types import ClipHeader, fitted_size

MAP_HEIGHT, MAP_WIDTH = 128, 128
LONG_SIDE_PX = 512
MIN_PART_CELLS = 16
"""People, or what is around them, are measured where they fill so many cells of the label map, a thousandth of it."""
BARS_LONG_SIDE_PX = 128

PARAMETERS: dict[str, Parameter] = {
    "laplacian_long_side_px": LONG_SIDE_PX,
    "laplacian_min_part_cells": MIN_PART_CELLS,
    "bar_level": BAR_LEVEL,
}

_NEIGHBOURS = np.ones((3, 3), np.uint8)


class SceneLabelSource(EnsembleSource):
    """Windows of the uploaded track in, `SceneLabels` out. Keeps a few KB per sampled frame."""

    ensemble = "scene_labels"
    networks = ("segmentation_segformer",)
    outputs = ("label_map", "areas")
    divisor = 4
    parameters = PARAMETERS

    def start(self, header: ClipHeader) -> None:
        """Begin without samples."""
        super().start(header)
        self._labels = labels(*self.networks)
        self._person = self._labels.index("person")
        self._active_picture = ActivePicture()
        self._times = [np.empty(0)]
        self._areas = [np.empty((0, len(self._labels)), np.float32)]
        self._runs: list[tuple[NDArray[np.uint8], NDArray[np.int32]]] = []
        self._energies: list[tuple[float, float]] = []

    def consume_frames(self, asked: Asked, answer: dict[str, NDArray[Any]]) -> None:
        """Code the label maps of one window, and measure its frames with them."""
        self._times.append(asked.times_seconds)
        self._areas.append(answer["areas"])
        for number, label_map in enumerate(answer["label_map"]):
            self._runs.append(run_lengths(label_map))
            self._energies.append(self._measure(asked.frame(number), label_map == self._person))

    def finish(self, duration_seconds: float) -> SceneLabels:
        """Collect the last answers and put all of them in time order."""
        self.drain()
        # A window of extra frames comes later than those around it, and may repeat one of their instants.
        times = np.concatenate(self._times)
        order = np.unique(times.round(3), return_index=True)[1]
        rows, columns = self._active_picture.within(MAP_HEIGHT, MAP_WIDTH)
        signal = SceneLabels(
            sampling=self._sampling,
            sampling_fps=float(self._rate),
            sample_count=len(order),
            models=self.models(),
            times_seconds=times[order],
            labels=self._labels,
            areas=np.concatenate(self._areas)[order],
            map_height=MAP_HEIGHT,
            map_width=MAP_WIDTH,
            picture_rows=rows,
            picture_columns=columns,
            runs=tuple(self._runs[row] for row in order),
            laplacian_energy=np.array(self._energies).reshape(-1, 2)[order],
            duration_seconds=duration_seconds,
        )
        if (rows, columns) != (slice(0, MAP_HEIGHT), slice(0, MAP_WIDTH)):
            # The network saw the bars as well.
            for row in range(len(order)):
                counts = np.bincount(signal.label_map(row)[rows, columns].ravel(), minlength=len(self._labels))
                signal.areas[row] = counts / counts.sum()
        return signal

    def _measure(self, frame: NDArray[np.uint8], is_person: NDArray[np.bool_]) -> tuple[float, float]:
        """Variance of the Laplacian on people and off them; NaN where there is no such part."""
        luma = np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), np.uint8)
        self._active_picture.note(_fit(luma, BARS_LONG_SIDE_PX))
        luma = _fit(luma, LONG_SIDE_PX)
        picture = self._active_picture.within(*luma.shape)
        laplacian = np.asarray(cv2.Laplacian(luma, cv2.CV_16S)[picture], np.int16)
        on, off = (_variance(laplacian, part, luma.shape, picture) for part in (is_person, ~is_person))
        return on, off


def run_lengths(label_map: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Labels and lengths of the runs of uint8 [height, width], read down its columns."""
    cells = label_map.T.ravel()
    starts = np.flatnonzero(np.diff(cells, prepend=cells[0] ^ 1))
    return cells[starts], np.diff(starts, append=cells.size).astype(np.int32)


def _variance(
    laplacian: NDArray[np.int16], part: NDArray[np.bool_], size: tuple[int, ...], picture: tuple[slice, slice]
) -> float:
    """Variance within a part [rows, columns] of the label map of a frame of this size, of which `picture` is left."""
    inner = cv2.erode(part.astype(np.uint8), _NEIGHBOURS)  # keeps what touches the frame's border
    if inner.sum() < MIN_PART_CELLS:
        return float("nan")
    mask = np.ascontiguousarray(cv2.resize(inner, size[::-1], interpolation=cv2.INTER_NEAREST)[picture])
    return float(cv2.meanStdDev(laplacian, mask=mask)[1][0, 0] ** 2) if mask.any() else float("nan")


def _fit(luma: NDArray[np.uint8], long_side_px: int) -> NDArray[np.uint8]:
    size = fitted_size((luma.shape[1], luma.shape[0]), long_side_px)
    return np.asarray(cv2.resize(luma, size, interpolation=cv2.INTER_AREA), np.uint8)
