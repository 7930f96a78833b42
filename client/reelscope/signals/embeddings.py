"""What CLIP makes of frames and of objects."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reelscope.signals.base import Signal


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameEmbeddings(Signal):
    """CLIP's view of sampled frames; n samples, L labels."""

    times_seconds: NDArray[np.float64]
    """[n] sorted."""
    embeddings: NDArray[np.float32]
    """[n, 512] unit length."""
    label_probabilities: NDArray[np.float32]
    """[n, L] 0-1; sums to 1 within each group of labels."""
    labels: tuple[str, ...]
    """L labels as "group/label"; those of one group follow each other."""

    def probability(self, label: str) -> NDArray[np.float32]:
        """[n] probability of one label within its group.

        Raises:
            ValueError: no such label.
        """
        return np.asarray(self.label_probabilities[:, self.labels.index(label)])

    def group(self, name: str) -> tuple[tuple[str, ...], NDArray[np.float32]]:
        """The labels of one group without its name, and their probabilities [n, labels]."""
        rows = [k for k, label in enumerate(self.labels) if label.startswith(f"{name}/")]
        return tuple(self.labels[k].removeprefix(f"{name}/") for k in rows), self.label_probabilities[:, rows]


@dataclass(frozen=True, slots=True, kw_only=True)
class CropEmbeddings(Signal):
    """CLIP's view of tracked objects, cut out of the uploaded frames on the server; m crops, L labels.

    A track is looked at where it is first seen, and again where it is seen clearly larger; see the source's parameters.
    """

    times_seconds: NDArray[np.float64]
    """[m] time of every crop's frame."""
    track_ids: NDArray[np.int64]
    """[m] ids as in `ObjectTracks.track_ids`."""
    boxes_xyxy: NDArray[np.float64]
    """[m, 4] 0-1 of the frame."""
    embeddings: NDArray[np.float32]
    """[m, 512] unit length."""
    label_probabilities: NDArray[np.float32]
    """[m, L] 0-1; sums to 1 within each group of labels."""
    labels: tuple[str, ...]
    """L labels as "group/label"; those of one group follow each other."""
