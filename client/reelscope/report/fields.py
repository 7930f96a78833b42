"""Values as people read them: names without underscores, numbers with three digits and their unit, null as a dash."""

from __future__ import annotations

import dataclasses
import functools
import re
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reelscope.analyzers import ANALYZERS
from reelscope.analyzers.base import Analyzer
from reelscope.reference import unit
from reelscope.results import wire_name
from reelscope.schema import json_schema

NOTHING = "\N{EN DASH}"
"""What was not measured."""
MAX_LISTED = 12
"""Values of a list that are written out."""
_PYTHON_UNITS = re.compile(
    r"_(seconds|milliseconds|percent|degrees|hz|db|px|degrees_per_second|percent_(width|height)(_per_second)?)$"
)
_WRITTEN = ("LUFS", "LU", "dBTP", "dBFS", "RMS", "SNR", "RT60", "F0", "BPM", "CTA", "IQA", "MFCC", "ASR")
_ACRONYMS = {name.lower(): name for name in _WRITTEN}


@dataclass(frozen=True, slots=True)
class Row:
    """One field of a summary."""

    label: str
    value: str
    meaning: str
    """What the schema says of it; empty where it knows it not."""


def words(name: str) -> str:
    """A name of ours as words: `hook_score` -> Hook score."""
    parts = [_ACRONYMS.get(part, part) for part in name.replace("-", "_").split("_") if part]
    return sentence(" ".join(parts))


def sentence(text: str) -> str:
    """A text with a capital."""
    return text[:1].upper() + text[1:]


def seconds(value: float) -> str:
    """A time in the clip: 0:08.45, 12:03.00."""
    minutes, rest = divmod(max(value, 0.0), 60)
    return f"{int(minutes)}:{rest:05.2f}"


def number(value: float, measure: str = "") -> str:
    """A number with three significant digits, and its unit; a name says that something is counted, or per second."""
    if isinstance(value, int):
        said = f"{value:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")
    else:
        size = abs(value)
        digits = 0 if size >= 100 else 1 if size >= 10 else 2 if size >= 0.095 or size == 0 else 4
        said = f"{value:.{digits}f}"
        said = said.rstrip("0").rstrip(".") if "." in said else said
        said = "0" if said in ("-0", "") else said.replace("-", "\N{MINUS SIGN}", 1)
    glue = "" if measure.startswith(("°", "%")) else "\N{NO-BREAK SPACE}"
    return said if measure in ("", "count") or measure.startswith("1/") else f"{said}{glue}{measure}"


def value(found: Any, measure: str = "") -> str:
    """Any JSON value in one line."""
    if found is None:
        return NOTHING
    if isinstance(found, bool):
        return "yes" if found else "no"
    if isinstance(found, int | float):
        return number(found, measure)
    if isinstance(found, Mapping):
        return ", ".join(f"{str(name).replace('_', ' ')} {value(item)}" for name, item in found.items()) or "none"
    if isinstance(found, Sequence) and not isinstance(found, str):
        shown = [value(item, measure) for item in found[:MAX_LISTED]]
        more = len(found) - len(shown)
        return ("; " if any("," in each for each in shown) else ", ").join(
            [*shown, *([f"{more} more"] if more else [])]
        ) or "none"
    return str(found)


def rows(name: str, summary: Mapping[str, Any]) -> list[Row]:
    """Fields of an analyzer's summary, those of inner objects after it; what is sensitive is said elsewhere."""
    analyzer = next((each for each in ANALYZERS if each.name == name), None)
    known = _meanings(analyzer) if analyzer else {}
    return list(_rows(summary, known, ""))


def _rows(found: Mapping[str, Any], known: Mapping[str, tuple[str, str]], prefix: str) -> Iterator[Row]:
    for name, item in found.items():
        path = prefix + name
        if path in ("sensitive", "opt_out"):
            continue
        label, meaning = known.get(path, (words(name), ""))
        if isinstance(item, Mapping) and any(key.startswith(f"{path}.") for key in known):
            yield from _rows(item, known, f"{path}.")
        else:
            outer = f"{words(prefix.split('.')[-2])}: {label.lower()}" if prefix else label
            yield Row(outer, value(item, unit(name, meaning)), meaning)


@functools.cache
def data_labels(name: str) -> Mapping[str, tuple[str, str]]:
    """Label and unit of every field of an analyzer's segments, by wire name."""
    definitions = _schema()["$defs"]
    if f"{name}.segment" not in definitions:
        return {}
    found = {}
    for target in _targets(definitions[f"{name}.segment"]["properties"]["data"]):
        for wire, field in definitions[target].get("properties", {}).items():
            found[wire] = (
                words(_PYTHON_UNITS.sub("", _python_names().get(wire, wire))),
                unit(wire, field["description"]),
            )
    return found


@functools.cache
def _schema() -> Mapping[str, Any]:
    return json_schema(ANALYZERS)


@functools.cache
def _meanings(analyzer: Analyzer) -> Mapping[str, tuple[str, str]]:
    """Label and meaning of every field of its summary, by wire path."""
    definitions = _schema()["$defs"]
    summary = definitions[analyzer.name]["properties"]["summary"]
    return {path: said for name in _targets(summary) for path, said in _described(name, definitions, "")}


def _described(name: str, definitions: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, tuple[str, str]]]:
    for wire, field in definitions[name].get("properties", {}).items():
        label = words(_PYTHON_UNITS.sub("", _python_names().get(wire, wire)))
        yield prefix + wire, (label, field.get("description", "").replace("`", ""))
        for target in _targets(field):
            yield from _described(target, definitions, f"{prefix}{wire}.")


def _targets(field: Mapping[str, Any]) -> list[str]:
    """Definitions that a field refers to itself, not through lists."""
    parts = (field, *field.get("anyOf", ()))
    return [part["$ref"].rpartition("/")[2] for part in parts if "$ref" in part]


@functools.cache
def _python_names() -> Mapping[str, str]:
    """Python's name of every field by its wire name: it says more."""
    kinds = [
        kind for analyzer in ANALYZERS for part in (analyzer.summary, analyzer.data) for kind in _dataclasses(part)
    ]
    return {wire_name(field.name): field.name for kind in kinds for field in dataclasses.fields(kind)}


def _dataclasses(kind: Any) -> list[Any]:
    """A dataclass, or those of a union."""
    return [each for each in (kind, *typing.get_args(kind)) if dataclasses.is_dataclass(each)]
