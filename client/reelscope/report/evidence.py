"""What results rest on: a segment of an analyzer, called by its words, with its time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from reelscope.exports.contents import Contents
from reelscope.report.fields import words

MAX_TEXT_CHARS = 80
TITLES = {
    "age_estimation": "Apparent age",
    "audio_analysis": "Sound",
    "audio_environment": "Sound of the place",
    "background_segmentation": "Background",
    "body_pose": "Poses",
    "camera_analysis": "Camera",
    "color_analysis": "Colours",
    "composition_analysis": "Composition",
    "content_quality": "Picture quality",
    "cross_analyzer_intelligence": "Across analyzers",
    "cut_analysis": "Cuts",
    "eye_tracking": "Apparent gaze",
    "face_emotion": "Expressions",
    "object_detection": "Objects",
    "product_detection": "Products",
    "qwen2_vl_temporal": "Video understanding",
    "scene_segmentation": "Scenes",
    "speech_emotion": "Tone of voice",
    "speech_flow": "Fluency",
    "speech_rate": "Pace of speech",
    "speech_transcription": "Transcript",
    "temporal_flow": "Story",
    "text_overlay": "Text on screen",
    "visual_effects": "Effects",
}
"""What analyzers are called for people; any other by its name in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One thing that can be looked at, or listened to, in the clip."""

    analyzer: str
    text: str
    start_seconds: float | None = None
    """None for what holds of the whole clip."""
    id: str | None = None
    """Segment of the results; None where a summary says it."""


def said(segment: Mapping[str, Any]) -> str:
    """A segment in a few words: what is written or said, else its label."""
    data = segment["data"] or {}
    label = str(segment["label"]).replace("_", " ")
    text = data.get("text") or data.get("caption") or data.get("name")
    if not isinstance(text, str) or not text.strip():
        return label
    text = " ".join(text.split())
    return f"{label}: {text[: MAX_TEXT_CHARS - 1]}…" if len(text) > MAX_TEXT_CHARS else f"{label}: {text}"


def of(analyzer: str, segments: Iterable[Mapping[str, Any]]) -> tuple[Evidence, ...]:
    """Segments of an analyzer as evidence."""
    return tuple(
        Evidence(analyzer=analyzer, text=said(each), start_seconds=each["start"], id=each["id"]) for each in segments
    )


def by_id(contents: Contents) -> dict[str, Evidence]:
    """Every segment of the file."""
    return {
        found.id: found
        for name, result in contents.results()
        for found in of(name, result["segments"])
        if found.id is not None
    }


def analyzer_words(name: str) -> str:
    """An analyzer's name for people."""
    return TITLES.get(name) or words(name)
