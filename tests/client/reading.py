"""Text as if a reader had read it: `TextRegions` from what is in the picture at every instant."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np
from feeding import PROVENANCE

from reelscope.signals import TextRegions

READER = replace(PROVENANCE, name="text_recognition_ppocr", ensemble="text_regions")
PORTRAIT = 16 / 9


@dataclass(frozen=True)
class Seen:
    """One line in one frame."""

    text: str
    box: tuple[float, float, float, float]
    confidence: float = 0.95
    contrast: float = 7.0


def quad(box: Iterable[float]) -> np.ndarray:
    x1, y1, x2, y2 = box
    return np.array([(x1, y1), (x2, y1), (x2, y2), (x1, y2)])


def shown(text: str, box: tuple[float, float, float, float], start: float, end: float, **options: float):
    """A line that stands still."""
    return lambda time: [Seen(text, box, **options)] if start <= time + 1e-9 < end else []


def together(*parts: Callable[[float], list[Seen]]) -> Callable[[float], list[Seen]]:
    return lambda time: [seen for part in parts for seen in part(time)]


def read(
    seen_at: Callable[[float], Iterable[Seen]],
    duration_seconds: float,
    *,
    fps: float = 2.5,
    height_over_width: float = PORTRAIT,
    trained: bool = True,
    extra_seconds: Iterable[float] = (),
) -> TextRegions:
    """What a reader makes of `seen_at(time)` at the samples, and at extra instants."""
    times = np.arange(0, duration_seconds - 1e-9, 1 / fps)
    times = np.unique(np.concatenate((times, list(extra_seconds))).round(3))
    found = [(frame, seen) for frame, time in enumerate(times) for seen in seen_at(float(time))]
    return TextRegions(
        sampling="F5",
        sampling_fps=fps,
        sample_count=len(times),
        models=(replace(READER, trained=trained),),
        times_seconds=times,
        height_over_width=height_over_width,
        frame=np.array([frame for frame, _ in found], np.int64),
        quads=np.array([quad(seen.box) for _, seen in found]).reshape(-1, 4, 2),
        texts=tuple(seen.text for _, seen in found),
        confidences=np.array([seen.confidence for _, seen in found], float),
        contrast_ratios=np.array([seen.contrast for _, seen in found], float),
        duration_seconds=duration_seconds,
    )
