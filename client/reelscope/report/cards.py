"""What each analyzer says, for its card and its lane: status, headline, summary, and what one must know to use it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from reelscope.analyzers import ANALYZERS
from reelscope.analyzers.base import Analyzer
from reelscope.exports.contents import Contents, is_sensitive, untrained_models
from reelscope.report import fields
from reelscope.report.evidence import analyzer_words
from reelscope.results import summary_model

GROUPS: Mapping[str, tuple[str, ...]] = {
    "Story": ("temporal_flow", "cross_analyzer_intelligence", "qwen2_vl_temporal", "scene_segmentation"),
    "Picture": (
        *("cut_analysis", "camera_analysis", "visual_effects", "color_analysis", "composition_analysis"),
        *("content_quality", "background_segmentation"),
    ),
    "Words": ("text_overlay", "speech_transcription", "speech_rate", "speech_flow"),
    "Sound": ("audio_analysis", "audio_environment", "speech_emotion"),
    "People": ("body_pose", "face_emotion", "eye_tracking", "age_estimation"),
    "Things": ("object_detection", "product_detection"),
}
"""Order of lanes and cards. An analyzer that is in none comes last, under More."""
MORE = "More"
UNTRAINED = "untrained_model:"
"""Warning that the badges say already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One analyzer."""

    name: str
    title: str
    finds: str
    """What it finds, in a line."""
    group: str
    status: str
    """ok, partial, skipped, failed, or absent when it was not asked."""
    why: str
    """Why it is not ok; empty when it is."""
    headline: str
    untrained: tuple[str, ...]
    """Models of random weights that it read."""
    is_sensitive: bool
    opt_out: str
    warnings: tuple[str, ...]
    missing_inputs: tuple[str, ...]
    rows: tuple[fields.Row, ...]
    segment_count: int
    coverage: float | None
    version: str
    reads: tuple[str, ...]
    parameters: tuple[tuple[str, str], ...]
    seconds: float | None
    """From its first piece to its result."""


def cards(contents: Contents) -> dict[str, list[Card]]:
    """Cards by group: of every analyzer of the registry and of the file."""
    results = dict(contents.results())
    registry = {analyzer.name: analyzer for analyzer in ANALYZERS}
    groups: dict[str, list[Card]] = {group: [] for group in (*GROUPS, MORE)}
    grouped = [(group, name) for group, names in GROUPS.items() for name in names]
    known = {name for _, name in grouped}
    others = [(MORE, name) for name in dict.fromkeys((*registry, *results)) if name not in known]
    for group, name in (*grouped, *others):
        analyzer = registry.get(name)
        if name in results:
            groups[group].append(_card(name, group, analyzer, results[name]))
        elif analyzer:
            groups[group].append(_absent(analyzer, group))
    return {group: found for group, found in groups.items() if found}


def _card(name: str, group: str, analyzer: Analyzer | None, result: Mapping[str, Any]) -> Card:
    summary = result["summary"] or {}
    return Card(
        name=name,
        title=analyzer_words(name),
        finds=analyzer.title if analyzer else "",
        group=group,
        status=result["status"],
        why=" · ".join(filter(None, (result["reason"], result["message"]))),
        headline=_headline(analyzer, summary) if analyzer and summary else "",
        untrained=tuple(untrained_models(result)),
        is_sensitive=is_sensitive(result) or bool(analyzer and analyzer.is_biometric),
        opt_out=str(summary.get("opt_out") or ""),
        warnings=tuple(_warning(code, analyzer) for code in result["warnings"] if not code.startswith(UNTRAINED)),
        missing_inputs=tuple(result["inputs"]["missing_inputs"]),
        rows=tuple(fields.rows(name, summary)),
        segment_count=len(result["segments"]),
        coverage=result["coverage"],
        version=result["version"],
        reads=tuple(result["inputs"]["depends_on"]),
        parameters=tuple((key, fields.value(value)) for key, value in result["params"].items()),
        seconds=result["timings"]["wall_ms"] / 1000,
    )


def _absent(analyzer: Analyzer, group: str) -> Card:
    return Card(
        name=analyzer.name,
        title=analyzer_words(analyzer.name),
        finds=analyzer.title,
        group=group,
        status="absent",
        why="this analysis was not asked for it",
        headline="",
        untrained=(),
        is_sensitive=analyzer.is_biometric,
        opt_out="",
        warnings=(),
        missing_inputs=(),
        rows=(),
        segment_count=0,
        coverage=None,
        version=analyzer.version,
        reads=(),
        parameters=(),
        seconds=None,
    )


def _warning(code: str, analyzer: Analyzer | None) -> str:
    """A warning in words; one that this version does not know as it is."""
    name, _, rest = code.partition(":")
    meaning = analyzer.warnings.get(name) if analyzer else None
    if meaning is None:
        return code
    return f"{meaning} ({rest})" if rest else meaning


def _headline(analyzer: Analyzer, summary: Mapping[str, Any]) -> str:
    """The summary in a few words; none where another version wrote it in another form, or meant another thing."""
    try:
        read: Any = summary_model(analyzer).model_validate_json(json.dumps({"summary": summary}))
        return analyzer.headline(read.summary)
    except (ValidationError, TypeError, ValueError):
        return ""
