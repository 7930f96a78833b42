"""The clip itself in the page: its file as a data URI, and small pictures of its shots.

Pictures come out of the project's decoder, so that they are upright and in the colours that the analyzers saw.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from reelscope.decode import Decoder
from reelscope.exports.clip import media_type
from reelscope.types import FrameChunk

EMBED_LIMIT_BYTES = 20_000_000
"""Largest clip that becomes part of the page; base64 makes a third more of it, and mail stops at some 25 MB."""
MAX_PICTURES = 48
PICTURE_HEIGHT_PX = 144
JPEG_QUALITY = 72


@dataclass(frozen=True, slots=True)
class StripShot:
    """A shot in the filmstrip."""

    number: int
    start_seconds: float
    end_seconds: float
    transition: str
    """How it begins; empty for the first."""
    pictures: tuple[str, ...]
    """Data URIs, evenly spread over the shot; empty without the clip, and for some of very many shots."""


def embedded(clip: Path) -> str | None:
    """The clip as a data URI; None where it is larger than EMBED_LIMIT_BYTES."""
    if clip.stat().st_size > EMBED_LIMIT_BYTES:
        return None
    return f"data:{media_type(clip)};base64,{base64.b64encode(clip.read_bytes()).decode('ascii')}"


def filmstrip(values: Mapping[str, Any], clip: Path | None) -> list[StripShot]:
    """Shots with their pictures; one stretch for a clip whose shots are not known.

    Raises:
        InputError: the clip cannot be decoded.
    """
    duration = values["media"]["duration_s"]
    shots = values["shots"] or [{"start": 0.0, "end": duration, "transition_in": None}]
    times = _picture_times(shots, duration)
    wanted = sorted(time for each in times for time in each)
    pictures = dict(_pictures(clip, wanted)) if clip else {}
    return [
        StripShot(
            number,
            shot["start"],
            shot["end"],
            (shot["transition_in"] or {}).get("kind", ""),
            tuple(pictures[time] for time in each if time in pictures),
        )
        for number, (shot, each) in enumerate(zip(shots, times, strict=True), 1)
    ]


def _picture_times(shots: Sequence[Mapping[str, Any]], duration: float) -> list[list[float]]:
    """Middles of equal parts of every shot, so many that the pictures are about as dense everywhere."""
    step = duration / max(1, MAX_PICTURES - len(shots)) if len(shots) < MAX_PICTURES else math.inf
    every = math.ceil(len(shots) / MAX_PICTURES)
    times = []
    for number, shot in enumerate(shots):
        length = shot["end"] - shot["start"]
        count = max(1, int(length // step)) if number % every == 0 else 0
        times.append([shot["start"] + (k + 0.5) * length / count for k in range(count)])
    return times


def _pictures(clip: Path, times: Sequence[float]) -> Iterator[tuple[float, str]]:
    """The frame that is shown at each of these times, sorted."""
    waiting = list(reversed(times))
    last: NDArray[np.uint8] | None = None
    with Decoder(clip, Fraction(1), None, max_seconds=math.inf) as decoder:
        for piece in decoder:
            if not isinstance(piece, FrameChunk):
                continue
            for time, frame in zip(piece.times_seconds.tolist(), piece.frames, strict=True):
                while waiting and time > waiting[-1]:
                    yield waiting.pop(), _jpeg(frame if last is None else last)
                last = frame
            if not waiting:
                return
    while waiting and last is not None:
        yield waiting.pop(), _jpeg(last)


def _jpeg(frame: NDArray[np.uint8]) -> str:
    """A frame [h, w, 3] RGB as a data URI."""
    height, width = frame.shape[:2]
    scale = min(1.0, PICTURE_HEIGHT_PX / height)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
    _, coded = cv2.imencode(".jpg", small[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return "data:image/jpeg;base64," + base64.b64encode(coded.tobytes()).decode("ascii")
