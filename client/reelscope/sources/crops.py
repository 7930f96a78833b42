"""CLIP's view of tracked objects from the ensemble `crop_embeddings`: boxes are sent, the crops are cut on the server.

An object is looked at when it is first seen, and again when it is seen clearly larger: by the area of its box times its
score. Every look costs a run of the network, so there are few: at most so many per object and per window, best first.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from reelscope.settings import labels
from reelscope.signals import CropEmbeddings, ObjectTracks, Parameter
from reelscope.sources.base import sampling_name
from reelscope.sources.embeddings import EMBEDDING_SIZE
from reelscope.sources.ensemble import Asked, WindowSource
from reelscope.types import ClipHeader, TrackedWindow

MIN_SIDE_PX = 32
"""Of the uploaded frame; CLIP sees 224, and a smaller crop shows it nothing."""
LARGER_RATIO = 1.5
CROPS_PER_TRACK = 3
CROPS_PER_WINDOW = 8

PARAMETERS: dict[str, Parameter] = {
    "crop_min_side_px": MIN_SIDE_PX,
    "crop_larger_ratio": LARGER_RATIO,
    "crops_per_track": CROPS_PER_TRACK,
    "crops_per_window": CROPS_PER_WINDOW,
}


class CropSource(WindowSource[TrackedWindow]):
    """Windows with their objects in, `CropEmbeddings` out."""

    consumes: ClassVar[type] = TrackedWindow
    needs = (ObjectTracks,)
    ensemble = "crop_embeddings"
    networks = ("embedding_clip",)
    outputs = ("embedding", "label_probabilities")
    by_frame = False
    parameters = PARAMETERS

    def start(self, header: ClipHeader) -> None:
        """Begin without crops."""
        super().start(header)
        self._rate = header.base_frame_rate
        self._labels = labels(*self.networks)
        self._sizes: dict[int, list[float]] = {}
        self._times = [np.empty(0)]
        self._ids = [np.empty(0, np.int64)]
        self._boxes = [np.empty((0, 4))]
        self._embeddings = [np.empty((0, EMBEDDING_SIZE), np.float32)]
        self._probabilities = [np.empty((0, len(self._labels)), np.float32)]

    def push(self, part: TrackedWindow) -> None:
        """Ask about the objects of a window that are worth a look."""
        chosen = self._choose(part)
        if not chosen.size:
            return
        rows = part.rows[chosen]
        inputs = {
            "boxes_xyxy": part.boxes_xyxy[chosen].clip(0, 1).astype(np.float32),
            "frame_index": rows.astype(np.int32),
        }
        times = np.array(part.window.times_seconds)[rows]
        about = times, part.track_ids[chosen], part.boxes_xyxy[chosen].clip(0, 1)
        self.ask(part.window, int(rows.max()) + 1, inputs, about)
        self.drain()  # the next object worth a look may be far away, and the window would be kept until then

    def consume_frames(self, asked: Asked, answer: dict[str, NDArray[Any]]) -> None:
        """Keep the answers about one window."""
        times, ids, boxes = asked.about
        self._times.append(times)
        self._ids.append(ids)
        self._boxes.append(boxes)
        self._embeddings.append(answer["embedding"])
        self._probabilities.append(answer["label_probabilities"])

    def finish(self, duration_seconds: float) -> CropEmbeddings:
        """Collect the last answers and put all of them in time order."""
        self.drain()
        times = np.concatenate(self._times)
        rows = np.argsort(times, kind="stable")
        return CropEmbeddings(
            sampling=sampling_name(self._rate, self._rate),
            sampling_fps=float(self._rate),
            sample_count=len(times),
            models=self.models(),
            times_seconds=times[rows],
            track_ids=np.concatenate(self._ids)[rows],
            boxes_xyxy=np.concatenate(self._boxes)[rows],
            embeddings=np.concatenate(self._embeddings)[rows],
            label_probabilities=np.concatenate(self._probabilities)[rows],
            labels=self._labels,
        )

    def _choose(self, part: TrackedWindow) -> NDArray[np.intp]:
        """Objects of a window to look at: of every track its best view, if that is new or clearly larger."""
        height_px, width_px = part.window.buffer.array.shape[1:3]
        boxes = part.boxes_xyxy.clip(0, 1)
        sides = boxes[:, 2:] - boxes[:, :2]
        sizes = sides.prod(axis=1) * part.scores
        is_large = (sides * (width_px, height_px)).min(axis=1) >= MIN_SIDE_PX
        chosen: list[int] = []
        in_turn = set()
        for number in np.argsort(-sizes, kind="stable"):
            track = int(part.track_ids[number])
            if track < 0 or track in in_turn or not is_large[number]:
                continue
            in_turn.add(track)
            seen = self._sizes.setdefault(track, [])
            is_news = not seen or sizes[number] >= LARGER_RATIO * max(seen)
            if is_news and len(seen) < CROPS_PER_TRACK and len(chosen) < CROPS_PER_WINDOW:
                seen.append(float(sizes[number]))
                chosen.append(int(number))
        return np.array(sorted(chosen), np.intp)
