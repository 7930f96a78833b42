"""Feed sources by hand: headers, chunks and windows from frames in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np

from reelscope.decode.changes import AbruptChanges
from reelscope.signals import FrameEmbeddings, Shot, Shots, SpokenWords, Transition, Word
from reelscope.types import ClipHeader, FrameChunk, ModelProvenance, Window


def header(frames: Sequence[np.ndarray], *, base_frame_rate: int = 10, rate: int = 30) -> ClipHeader:
    return ClipHeader(
        width=frames[0].shape[1],
        height=frames[0].shape[0],
        frame_rate=Fraction(rate),
        base_frame_rate=Fraction(base_frame_rate),
        hdr=None,
    )


def measure(source, frames: Sequence[np.ndarray], *, times: Sequence[float] | None = None, **options: int):
    """Signal of a source of the small track."""
    times = np.arange(len(frames)) / 30 if times is None else np.asarray(times)
    source.start(header(frames, **options))
    changes = AbruptChanges()
    for first in range(0, len(frames), 16):
        part = slice(first, first + 16)
        is_abrupt = np.array([changes.is_abrupt(frame) for frame in frames[part]])
        source.push(
            FrameChunk(frames=np.stack(frames[part]), times_seconds=times[part], first_index=first, is_abrupt=is_abrupt)
        )
    return source.finish(float(times[-1]) + 1 / 30)


class Memory:
    """Window memory whose contents nobody reads."""

    def __init__(self, height: int = 2, width: int = 2, rows: int = 20) -> None:
        self.array = np.zeros((rows, height, width, 3), np.uint8)
        self.is_closed = False

    def close(self) -> None:
        self.is_closed = True


class Answer:
    """An answer of the server that is there already: outputs by name, or the error that it ended in."""

    def __init__(self, value: Mapping[str, np.ndarray] | Exception) -> None:
        self.value = value
        self.is_cancelled = False

    def result(self) -> dict[str, np.ndarray]:
        if isinstance(self.value, Exception):
            raise self.value
        return dict(self.value)

    def cancel(self) -> None:
        self.is_cancelled = True


def windows(count: int, base_frame_rate: int) -> list[Window]:
    """Windows of a clip of `count` uploaded frames."""
    return [Window(Memory(), first, min(20, count - first), Fraction(base_frame_rate)) for first in range(0, count, 20)]


def cut(*edges_seconds: float) -> Shots:
    """Shots with these edges, at 30 frames a second."""
    frames = [round(30 * edge) for edge in edges_seconds]
    return Shots(
        sampling="FULL",
        sample_count=frames[-1],
        shots=tuple(
            Shot(
                id=f"shot-{k + 1}",
                start_seconds=edges_seconds[k],
                end_seconds=edges_seconds[k + 1],
                frame_in=frames[k],
                frame_out=frames[k + 1],
                transition_in=Transition(kind="hard", length_seconds=0.0) if k else None,
                score=1.0 if k else None,
            )
            for k in range(len(edges_seconds) - 1)
        ),
        flashes=(),
        times_seconds=np.arange(frames[-1]) / 30,
        luma_change=np.zeros(frames[-1]),
    )


PROVENANCE = ModelProvenance(
    name="embedding_clip",
    version="1",
    ensemble="embeddings",
    source="test",
    revision="",
    sha256=None,
    licence="none",
    precision="fp32",
    trained=True,
)


def embedded(
    times_seconds: Sequence[float],
    embeddings: np.ndarray,
    probabilities: Mapping[str, Sequence[float] | float] | None = None,
    trained: bool = True,
) -> FrameEmbeddings:
    """Embeddings [n, d] as if a model had given them, with the labels and probabilities named (one, or n of them)."""
    count, columns = len(times_seconds), probabilities or {}
    return FrameEmbeddings(
        sampling="F2.5",
        sampling_fps=2.5,
        sample_count=count,
        models=(replace(PROVENANCE, trained=trained),),
        times_seconds=np.asarray(times_seconds, float),
        embeddings=np.asarray(embeddings, np.float32),
        label_probabilities=np.array(
            [np.broadcast_to(column, count) for column in columns.values()], np.float32
        ).T.reshape(count, len(columns)),
        labels=tuple(columns),
    )


def said(text: str, start_seconds: float, end_seconds: float) -> SpokenWords:
    """Words that share the time evenly, as a trained model would have heard them."""
    texts = text.split()
    edges = np.linspace(start_seconds, end_seconds, len(texts) + 1).tolist()
    return SpokenWords(
        sampling="A16",
        sample_count=16_000,
        models=(replace(PROVENANCE, name="speech_whisper"),),
        duration_seconds=10.0,
        words=tuple(
            Word(
                text=each,
                start_seconds=edges[k],
                end_seconds=edges[k + 1],
                probability=0.9,
                utterance=0,
                syllable_count=None,
            )
            for k, each in enumerate(texts)
        ),
        utterances=(),
        language="en",
        language_probability=0.99,
    )
