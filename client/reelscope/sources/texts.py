"""Lines of text from the ensemble `text_regions`, with their contrast measured on the frames that were read."""

from __future__ import annotations

import unicodedata
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reelscope.signals import TextRegions
from reelscope.sources.contrast import contrast_ratio
from reelscope.sources.ensemble import IN_FLIGHT, Asked, EnsembleSource
from reelscope.types import ClipHeader


class TextSource(EnsembleSource):
    """Windows of the uploaded track in, `TextRegions` out."""

    ensemble = "text_regions"
    networks = ("text_reader",)
    outputs = ("frame_index", "quads", "texts", "confidences")
    divisor = 2
    by_frame = False

    def start(self, header: ClipHeader) -> None:
        """Begin without lines."""
        super().start(header)
        # The slowest reader of frames, and others may keep two windows that it has given back.
        self.in_flight = max(IN_FLIGHT, header.read_windows - 2)
        self._height_over_width = header.height / header.width
        self._times = [np.empty(0)]
        self._frames = [np.empty(0, np.int64)]
        self._quads = [np.empty((0, 4, 2))]
        self._texts: list[str] = []
        self._confidences = [np.empty(0)]
        self._contrasts: list[float] = []

    def consume_frames(self, asked: Asked, answer: dict[str, NDArray[Any]]) -> None:
        """Keep the lines of one window, and measure them while its pixels are there."""
        texts = [_cleaned(text) for text in answer["texts"].ravel()]
        kept = np.array([bool(text) for text in texts], bool)
        frames = asked.numbers(answer["frame_index"].ravel()[kept])
        quads = answer["quads"].reshape(-1, 4, 2)[kept].astype(np.float64)
        self._contrasts += [contrast_ratio(asked.frame(frame), quad) for frame, quad in zip(frames, quads, strict=True)]
        self._frames.append(frames + sum(map(len, self._times)))
        self._quads.append(quads)
        self._texts += [text for text in texts if text]
        self._confidences.append(answer["confidences"].ravel()[kept].astype(np.float64).clip(0, 1))
        self._times.append(asked.times_seconds)

    def finish(self, duration_seconds: float) -> TextRegions:
        """Collect the last answers and put all of them in time order."""
        self.drain()
        # A window of extra frames comes later than those around it, and may repeat one of their instants.
        times = np.concatenate(self._times)
        samples = np.unique(times.round(3), return_index=True)[1]
        places = np.full(len(times), -1)
        places[samples] = np.arange(len(samples))
        frames = places[np.concatenate(self._frames)]
        rows = np.argsort(frames, kind="stable")
        rows = rows[frames[rows] >= 0]
        return TextRegions(
            sampling=self._sampling,
            sampling_fps=float(self._rate),
            sample_count=len(samples),
            models=self.models(),
            times_seconds=times[samples],
            height_over_width=self._height_over_width,
            frame=frames[rows],
            quads=np.concatenate(self._quads)[rows],
            texts=tuple(self._texts[row] for row in rows),
            confidences=np.concatenate(self._confidences)[rows],
            contrast_ratios=np.array(self._contrasts, np.float64)[rows],
            duration_seconds=duration_seconds,
        )


def _cleaned(text: bytes) -> str:
    """UTF-8, composed (NFC), single spaces."""
    return " ".join(unicodedata.normalize("NFC", text.decode("utf-8", "replace")).split())
