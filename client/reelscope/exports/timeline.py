"""A timeline for editing programs: OpenTimelineIO, the clip cut at its shots, with markers.

Conventions: one video track of the shots, one audio track where there is sound, markers on the timeline. Times are
whole frames at the clip's rate (see `frames`); of a clip of variable frame rate (`vfr` in the timeline's metadata)
every time is the nearest of them. Times in seconds stand in the markers' metadata, under `reelscope`.

Without the clip's file the media is missing, and editing programs ask for it by its name, the start of its SHA-256.
Markers of random weights say so in their names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import opentimelineio as otio
from opentimelineio.opentime import RationalTime, TimeRange

from reelscope.exports.clip import require_same_clip
from reelscope.exports.contents import Contents, Document, Documents, caveats
from reelscope.exports.frames import frame_rate


@dataclass(frozen=True, slots=True)
class Mark:
    """What markers are made of one analyzer's segments."""

    color: str
    """Of OpenTimelineIO's colours."""
    title: Callable[[Any], str]
    """What the marker of a segment is called."""
    labels: frozenset[str] | None = None
    """Segments that are marked; None: all of them."""


def _label(segment: Any) -> str:
    return str(segment["label"])


def _text(segment: Any) -> str:
    return str(segment["data"]["text"])


def _caption(segment: Any) -> str:
    return str(segment["data"]["caption"])


MARKS: Mapping[str, Mark] = {
    "temporal_flow": Mark("RED", _label),
    "cross_analyzer_intelligence": Mark("PINK", _label, frozenset(("key_moment", "conflict"))),
    "scene_segmentation": Mark("ORANGE", _label),
    "audio_analysis": Mark("GREEN", _label, frozenset(("beat", "section"))),
    "speech_transcription": Mark("WHITE", _text),
    "text_overlay": Mark("YELLOW", _text),
    "visual_effects": Mark("CYAN", _label),
    "product_detection": Mark("PURPLE", _label),
    "qwen2_vl_temporal": Mark("BLUE", _caption),
}
"""Analyzers whose segments an editor looks for on a timeline."""


def write(contents: Contents) -> Documents:
    """Make timeline.otio.

    Raises:
        UsageError: the file that is said to be the clip is not the one that was analysed.
    """
    media, run = contents.media, contents.values["run"]
    rate = frame_rate(media)
    whole = _range(0.0, media["duration_s"], rate)
    reference = _reference(contents, whole)
    timeline = otio.schema.Timeline(
        name=reference.name,
        metadata={"reelscope": {"tool": run["tool"], "media": media}},
    )
    shots = [(shot["id"], shot["start"], shot["end"]) for shot in contents.values["shots"]]
    pictures = shots or [(reference.name, 0.0, media["duration_s"])]
    timeline.tracks.append(_track("Video", pictures, reference, rate))
    if media["audio"]["present"]:
        timeline.tracks.append(_track("Audio", [(reference.name, 0.0, media["duration_s"])], reference, rate))
    markers = sorted(_markers(contents, rate), key=lambda marker: marker.marked_range.start_time)
    timeline.tracks.markers.extend(markers)
    return {"timeline.otio": Document(timeline.to_json_string(indent=1) + "\n", len(markers), "marker")}


def _range(start_seconds: float, end_seconds: float, rate: float) -> TimeRange:
    start, end = round(start_seconds * rate), round(end_seconds * rate)
    return TimeRange(RationalTime(start, rate), RationalTime(end - start, rate))


def _reference(contents: Contents, whole: TimeRange) -> otio.core.MediaReference:
    clip, expected = contents.clip, contents.media["sha256"]
    if clip is None:
        return otio.schema.MissingReference(
            name=expected[:12], available_range=whole, metadata={"reelscope": {"sha256": expected}}
        )
    require_same_clip(contents)
    reference = otio.schema.ExternalReference(target_url=clip.resolve().as_uri(), available_range=whole)
    reference.name = clip.name
    return reference


def _track(
    kind: str, parts: Sequence[tuple[str, float, float]], reference: otio.core.MediaReference, rate: float
) -> otio.schema.Track:
    return otio.schema.Track(
        name=kind,
        kind=kind,
        children=[
            otio.schema.Clip(name=name, media_reference=reference.clone(), source_range=_range(start, end, rate))
            for name, start, end in parts
        ],
    )


def _markers(contents: Contents, rate: float) -> Iterator[otio.schema.Marker]:
    shortest = RationalTime(1, rate)
    found = dict(contents.found())
    for name, mark in MARKS.items():
        if (result := found.get(name)) is None:
            continue
        known = caveats(result)
        prefix = "random weights: " if "untrained_models" in known else ""
        for segment in result["segments"]:
            if mark.labels is None or segment["label"] in mark.labels:
                facts = {key: segment[key] for key in ("id", "kind", "start", "end", "label", "score", "track_id")}
                marked = _range(segment["start"], segment["end"], rate)
                yield otio.schema.Marker(
                    name=prefix + mark.title(segment),
                    color=mark.color,
                    marked_range=TimeRange(marked.start_time, max(marked.duration, shortest)),
                    metadata={"reelscope": {"analyzer": name, **facts, **known}},
                )
