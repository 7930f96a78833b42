"""Chapters: the parts of a clip to jump to, as WebVTT.

The phases of temporal_flow where it names any, else the scenes of scene_segmentation, else the shots. What random
weights say makes no chapters. The first comment of the file says which of them it holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from reelscope.errors import UsageError
from reelscope.exports.contents import Contents, Document, Documents, untrained_models
from reelscope.exports.webvtt import Cue, document, escaped

PHASES = {
    "hook": "Hook",
    "build": "Build-up",
    "climax": "Climax",
    "resolution": "Resolution",
    "cta": "Call to action",
}
"""Titles of the labels of temporal_flow."""


def write(contents: Contents) -> Documents:
    """Make chapters.vtt.

    Raises:
        UsageError: not even shots are known.
    """
    candidates = (
        ("phases (temporal_flow)", _phases(contents)),
        ("scenes (scene_segmentation)", _scenes(contents)),
        ("shots", [_cue(shot, f"Shot {number}") for number, shot in enumerate(contents.values["shots"], 1)]),
    )
    for source, cues in candidates:
        if cues:
            return {"chapters.vtt": Document(document(cues, [f"Chapters: {source}"]), len(cues), "chapter")}
    raise UsageError("the results hold no chapters: neither phases nor scenes nor shots are known")


def _phases(contents: Contents) -> list[Cue]:
    segments = _trusted(contents, "temporal_flow")
    return [_cue(segment, _phase_title(segment)) for segment in segments if segment["label"] in PHASES]


def _scenes(contents: Contents) -> list[Cue]:
    segments = _trusted(contents, "scene_segmentation")
    numbers = {segment["id"]: number for number, segment in enumerate(segments, 1)}
    return [_cue(segment, _scene_title(segment, numbers)) for segment in segments]


def _trusted(contents: Contents, name: str) -> Sequence[Any]:
    """Segments of an analyzer that read no random weights."""
    if contents.missing(name):
        return ()
    result = contents.values["analyzers"][name]
    segments: Sequence[Any] = () if untrained_models(result) else result["segments"]
    return segments


def _phase_title(segment: Any) -> str:
    return ": ".join(filter(None, (PHASES[segment["label"]], segment["data"]["name"])))


def _scene_title(segment: Any, numbers: dict[str, int]) -> str:
    found = segment["data"]
    back = f", back in scene {numbers[found['returns_to']]}" if found["returns_to"] else ""
    labels = [found[group]["label"] for group in ("setting", "int_ext", "day_night") if found[group]]
    return f"Scene {numbers[segment['id']]}{back}" + (f": {', '.join(labels)}" if labels else "")


def _cue(part: Any, title: str) -> Cue:
    return Cue(part["start"], part["end"], (escaped(title),))
