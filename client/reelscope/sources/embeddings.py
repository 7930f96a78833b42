"""CLIP embeddings and label probabilities of sampled frames from the ensemble `embeddings`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from reelscope.settings import labels
from reelscope.signals import FrameEmbeddings
from reelscope.sources.ensemble import Asked, EnsembleSource
from reelscope.types import ClipHeader

EMBEDDING_SIZE = 512


class EmbeddingSource(EnsembleSource):
    """Windows of the uploaded track in, `FrameEmbeddings` out."""

    ensemble = "embeddings"
    networks = ("embedding_clip",)
    outputs = ("embedding", "label_probabilities")
    divisor = 4

    def start(self, header: ClipHeader) -> None:
        """Begin without samples."""
        super().start(header)
        self._labels = labels(*self.networks)
        self._times = [np.empty(0)]
        self._embeddings = [np.empty((0, EMBEDDING_SIZE), np.float32)]
        self._probabilities = [np.empty((0, len(self._labels)), np.float32)]

    def consume_frames(self, asked: Asked, answer: dict[str, NDArray[Any]]) -> None:
        """Keep the answers to one window."""
        self._times.append(asked.times_seconds)
        self._embeddings.append(answer["embedding"])
        self._probabilities.append(answer["label_probabilities"])

    def finish(self, duration_seconds: float) -> FrameEmbeddings:
        """Collect the last answers and put all of them in time order."""
        self.drain()
        # A window of extra frames comes later than those around it, and may repeat one of their instants.
        times = np.concatenate(self._times)
        rows = np.unique(times.round(3), return_index=True)[1]
        return FrameEmbeddings(
            sampling=self._sampling,
            sampling_fps=float(self._rate),
            sample_count=len(rows),
            models=self.models(),
            times_seconds=times[rows],
            embeddings=np.concatenate(self._embeddings)[rows],
            label_probabilities=np.concatenate(self._probabilities)[rows],
            labels=self._labels,
        )
