"""What is told over the whole of the results: key moments, contradictions, correlations, words, colours, provenance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reelscope.analyzers.cross_correlations import MAX_FALSE_DISCOVERY_RATE
from reelscope.exports.contents import Contents, untrained_models
from reelscope.report.evidence import Evidence, analyzer_words, by_id
from reelscope.report.fields import words
from reelscope.report.safe_zone import is_covered

REASONS = {
    "missing_input": "one of the two was not measured",
    "too_short": "known together for too short a time",
    "constant": "one of the two never changes",
    "too_few_events": "too few independent values",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """A key moment, or a contradiction."""

    text: str
    kind: str
    start_seconds: float
    end_seconds: float
    strength: float
    evidence: tuple[Evidence, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model that answered, and who read it."""

    facts: Mapping[str, Any]
    readers: tuple[str, ...]


def moments(contents: Contents, label: str) -> list[Moment]:
    """Segments of cross_analyzer_intelligence with this label, with what they rest on."""
    result = contents.values["analyzers"].get("cross_analyzer_intelligence")
    known = by_id(contents)
    return [
        Moment(
            text=each["data"]["text"],
            kind=words(each["data"]["rule"] or label),
            start_seconds=each["start"],
            end_seconds=each["end"],
            strength=each["data"]["strength"],
            evidence=tuple(known[proof["id"]] for proof in each["data"]["evidence"] if proof["id"] in known),
        )
        for each in (result["segments"] if result else ())
        if each["label"] == label
    ]


def correlations(contents: Contents) -> list[dict[str, Any]]:
    """Tested pairs, the most significant first."""
    found = _summary(contents, "cross_analyzer_intelligence").get("correlations") or []
    return [
        {
            **each,
            "is_significant": each["q"] <= MAX_FALSE_DISCOVERY_RATE,
            "a": _plain(each["a"]),
            "b": _plain(each["b"]),
        }
        for each in sorted(found, key=lambda each: (each["q"], -abs(each["r"])))
    ]


def untested(contents: Contents) -> list[tuple[str, str, str]]:
    """Pairs that could not be tested, and why."""
    found = _summary(contents, "cross_analyzer_intelligence").get("untested_pairs") or []
    return [(_plain(each["a"]), _plain(each["b"]), REASONS.get(each["reason"], each["reason"])) for each in found]


def utterances(contents: Contents) -> Sequence[Mapping[str, Any]]:
    """What is said, with its words; empty where the recogniser is untrained."""
    return _trained_segments(contents, "speech_transcription")


def speech_spans(contents: Contents) -> list[tuple[float, float]]:
    """When somebody speaks, which another model tells than the recogniser of words."""
    return [(start, end) for start, end in _summary(contents, "speech_transcription").get("speech_spans_s") or []]


def lines(contents: Contents) -> list[tuple[Mapping[str, Any], bool | None]]:
    """What is written, and whether the player's buttons cover it; empty where the reader is untrained."""
    found = _trained_segments(contents, "text_overlay")
    return [(each, is_covered(each, contents.values["analyzers"]["text_overlay"]["params"])) for each in found]


def palette(contents: Contents) -> list[dict[str, Any]]:
    """Colours of the clip, each with the position where it begins in a bar that is 100 wide."""
    return _bar(_summary(contents, "color_analysis").get("palette") or [])


def shot_palettes(contents: Contents) -> list[tuple[float, list[dict[str, Any]]]]:
    """Start and colours of every shot."""
    result = contents.values["analyzers"].get("color_analysis")
    return [
        (each["start"], _bar(each["data"]["palette"]))
        for each in (result["segments"] if result else ())
        if each["label"] == "shot_colors" and each["data"]
    ]


def models(contents: Contents) -> list[Model]:
    """Every model that answered, by name, random ones first; two versions of one are two."""
    found: dict[tuple[Any, ...], tuple[Mapping[str, Any], list[str]]] = {}
    for name, result in contents.results():
        for model in result["models"]:
            key = tuple(str(model[part]) for part in ("name", "version", "ensemble", "sha256", "trained"))
            found.setdefault(key, (model, []))[1].append(analyzer_words(name))
    listed = [Model(facts=facts, readers=tuple(readers)) for facts, readers in found.values()]
    return sorted(listed, key=lambda model: (model.facts["trained"], model.facts["name"], model.facts["ensemble"]))


def missing(contents: Contents, name: str) -> str:
    """Why nothing is told of an analyzer; empty when something is."""
    if reason := contents.missing(name):
        return reason
    if untrained := untrained_models(contents.values["analyzers"][name]):
        return f"random weights ({', '.join(untrained)}): it means nothing, and is not shown here"
    return ""


def _trained_segments(contents: Contents, name: str) -> Sequence[Mapping[str, Any]]:
    return [] if missing(contents, name) else contents.values["analyzers"][name]["segments"]


def _summary(contents: Contents, name: str) -> Mapping[str, Any]:
    result = contents.values["analyzers"].get(name)
    return (result["summary"] if result else None) or {}


def _bar(colours: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return list(_placed(colours))


def _placed(colours: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    at = 0.0
    for colour in colours:
        yield {
            "hex": colour["hex"],
            "share": colour["share"],
            "at": round(100 * at, 3),
            "width": round(100 * colour["share"], 3),
        }
        at += colour["share"]


def _plain(name: str) -> str:
    return name.replace("_", " ")
