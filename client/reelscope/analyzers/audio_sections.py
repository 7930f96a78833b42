"""Sections of the sound: where it becomes another, and which sections are alike.

Source: Foote (2000), Automatic audio segmentation using a measure of audio novelty. A frame is half a second, described
by its mean MFCC (timbre and level) and chroma (harmony). A boundary is a peak of how much the four seconds on either
side are like themselves and unlike each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.signal import find_peaks
from scipy.spatial.distance import cdist

from reelscope.signals import SoundSpectrum

FRAME_SECONDS = 0.5
REACH_FRAMES = 8
LEAST_FRAMES = 3
"""A section is no shorter."""
LEAST_NOVELTY = 0.25
"""Likeness within minus likeness across the boundary, 0-1."""
SAME_SECTION = 0.6
"""Sections whose mean frames are more alike than this bear the same letter."""
TIMBRE_SCALE_DB = 40.0
"""Distance of MFCC at which likeness of timbre has fallen to 1/e."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A stretch of sound that stays the same."""

    start_seconds: float
    end_seconds: float
    letter: str
    """A, B, ... in order of appearance; the same for sections that are alike."""
    novelty: float | None
    """0-1: how much it differs from the section before; None for the first."""


def find_sections(spectrum: SoundSpectrum) -> tuple[Section, ...]:
    """Sections that cover the clip."""
    frames = _frames(spectrum)
    likeness = _likeness(frames, frames)
    novelty = np.array([_novelty(likeness, boundary) for boundary in range(len(likeness))])
    inner = novelty.copy()
    inner[:LEAST_FRAMES] = inner[max(0, len(inner) - LEAST_FRAMES + 1) :] = 0
    boundaries, _ = find_peaks(inner, height=LEAST_NOVELTY, distance=LEAST_FRAMES)
    edges = [0, *boundaries.tolist(), len(frames[0])]
    starts = [FRAME_SECONDS * edge for edge in edges[:-1]]
    ends = [*starts[1:], spectrum.duration_seconds]
    letters = _letters(frames, edges)
    news = [None, *(float(novelty[boundary]) for boundary in boundaries)]
    return tuple(
        Section(start_seconds=start, end_seconds=end, letter=letter, novelty=new)
        for start, end, letter, new in zip(starts, ends, letters, news, strict=True)
    )


_Frames = tuple[NDArray[np.float64], NDArray[np.float64]]
"""MFCC [n, 13] and chroma [n, 36] of frames, the latter of length 1."""


def _frames(spectrum: SoundSpectrum) -> _Frames:
    count = max(1, int(spectrum.duration_seconds / FRAME_SECONDS))
    mfcc = spectrum.mfcc.astype(np.float64)
    silence = np.isnan(mfcc[:, 0])
    # Silence is like silence, and unlike everything that is heard.
    mfcc[silence] = 0
    mfcc[silence, 0] = mfcc[:, 0].min(initial=0.0) - 10 * TIMBRE_SCALE_DB
    return _means(mfcc, spectrum.hop_seconds, count), _directions(
        _means(spectrum.chroma.astype(np.float64), spectrum.chroma_hop_seconds, count)
    )


def _means(rows: NDArray[np.float64], hop_seconds: float, count: int) -> NDArray[np.float64]:
    """[count, width] mean of the rows that lie in every frame; what is left at the end counts to the last."""
    firsts = np.searchsorted(np.arange(len(rows)) * hop_seconds, np.arange(count) * FRAME_SECONDS - 1e-9)
    sums = np.add.reduceat(rows, firsts, axis=0)
    return np.asarray(sums / np.diff(np.append(firsts, len(rows)))[:, None])


def _directions(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    even = np.full_like(rows, rows.shape[1] ** -0.5)
    return np.asarray(np.divide(rows, lengths, out=even, where=lengths > 0))


def _likeness(first: _Frames, second: _Frames) -> NDArray[np.float64]:
    """[n, m] likeness of frames, 0-1: the mean of that of timbre and that of harmony."""
    distance = cdist(first[0], second[0])
    return np.asarray((np.exp(-distance / TIMBRE_SCALE_DB) + first[1] @ second[1].T) / 2)


def _novelty(likeness: NDArray[np.float64], boundary: int) -> float:
    before = slice(max(0, boundary - REACH_FRAMES), boundary)
    after = slice(boundary, boundary + REACH_FRAMES)
    if not boundary:
        return 0.0
    within = (likeness[before, before].mean() + likeness[after, after].mean()) / 2
    return float(np.clip(within - likeness[before, after].mean(), 0, 1))


def _letters(frames: _Frames, edges: list[int]) -> list[str]:
    """A letter per section; a section gets that of the first one that it is like."""
    kinds: list[_Frames] = []
    letters = []
    for start, end in pairwise(edges):
        mean = (
            frames[0][start:end].mean(axis=0, keepdims=True),
            _directions(frames[1][start:end].mean(0, keepdims=True)),
        )
        alike = (k for k, kind in enumerate(kinds) if _likeness(kind, mean)[0, 0] >= SAME_SECTION)
        number = next(alike, len(kinds))
        if number == len(kinds):
            kinds.append(mean)
        letters.append(_letter(number))
    return letters


def _letter(number: int) -> str:
    """A ... Z, AA, AB, ..."""
    return (_letter(number // 26 - 1) if number >= 26 else "") + chr(ord("A") + number % 26)
