"""The JSON Schema of the results file: generated from the types, and from what the registry's entries declare.

Types tell the fields, and the docstrings under them become descriptions. What types cannot tell, an entry does: labels,
columns, warnings. A range that a description states ("0-1", "-1 to 1", ">= 0") binds the numbers of its field.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from reelscope.analyzers.base import Analyzer, Labels
from reelscope.results import SCHEMA, envelope, wire_name

Schema = dict[str, Any]

_TIMES = "Times of the values, seconds from the first displayed frame; missing where the series is regular."
_RANGE = re.compile(
    r"(?<![\w.-])(-?\d+(?:\.\d+)?)(?: \([\w ]+\))?(?: to |-)(\d+(?:\.\d+)?)(?: \([\w ]+\))?(?=[;:,.]|$| of )"
)
_LEAST = re.compile(r"(?:^|, )>= (-?\d+(?:\.\d+)?)")


def json_schema(analyzers: Sequence[Analyzer]) -> Schema:
    """JSON Schema (draft 2020-12) of the results file with these analyzers."""
    schema = envelope(tuple(analyzers)).model_json_schema(by_alias=True, mode="serialization")
    definitions = schema["$defs"]
    generic = {_target(definitions["Analyzers"]["properties"][analyzer.name]) for analyzer in analyzers}
    for analyzer in analyzers:
        _inherit(definitions, analyzer.summary)
        _declare(definitions, analyzer)
    generic |= {_target(definitions[name]["properties"]["segments"]["items"]) for name in generic}
    for name in (*generic, "Series"):
        del definitions[name]
    for definition in definitions.values():
        definition["description"] = _wired(definition.get("description", ""))
        for field in definition.get("properties", {}).values():
            field["description"] = _wired(field.get("description", ""))
            _bind(field, *stated_range(field["description"]))
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": SCHEMA}


def stated_range(description: str) -> tuple[float | None, float | None]:
    """Least and largest value that a description states; None where it states none."""
    if found := _RANGE.search(description):
        return float(found[1]), float(found[2])
    least = _LEAST.search(description)
    return (float(least[1]) if least else None), None


def _wired(description: str) -> str:
    """A description that calls fields by their wire names."""
    return re.sub(r"`(\w+)`", lambda name: f"`{wire_name(name[1])}`", description)


def _target(field: Schema) -> str:
    return str(field["$ref"]).rpartition("/")[2]


def _inherit(definitions: Schema, summary: Any) -> None:
    """Give inherited fields the descriptions that they have in their own class; pydantic leaves them out."""
    for base in getattr(summary, "__mro__", ())[1:]:
        for name, field in definitions.get(base.__name__, {}).get("properties", {}).items():
            definitions[summary.__name__]["properties"][name].setdefault("description", field.get("description", ""))


def _declare(definitions: Schema, analyzer: Analyzer) -> None:
    """Add what an analyzer's entry says of its segments, curves and warnings."""
    reference = definitions["Analyzers"]["properties"][analyzer.name]
    entry, series = (copy.deepcopy(definitions[name]) for name in (_target(reference), "Series"))
    fields = entry["properties"]
    segment = copy.deepcopy(definitions[_target(fields["segments"]["items"])])
    segment["properties"] |= _segment_fields(analyzer.labels, segment["properties"])
    fields["segments"]["items"] = {"$ref": f"#/$defs/{analyzer.name}.segment"}
    if not analyzer.labels:
        fields["segments"]["maxItems"] = 0
    columns = {name: f"{said[0].upper()}{said[1:]}." for name, said in analyzer.columns.items()}
    columns = {"t": _TIMES, **columns} if columns else {}
    values = series["properties"]["cols"].pop("additionalProperties")
    column_fields = {name: {**copy.deepcopy(values), "description": said} for name, said in columns.items()}
    for name, said in columns.items():
        _bind(column_fields[name], *stated_range(said))
    series["properties"]["cols"] |= {"properties": column_fields, "additionalProperties": False}
    fields["series"] = {"$ref": f"#/$defs/{analyzer.name}.series", "description": "Curves over time."}
    warnings = {"untrained_model": "a model that it reads has random weights, its name follows", **analyzer.warnings}
    fields["warnings"] |= {
        "items": {"type": "string", "pattern": f"^({'|'.join(warnings)})(:.+)?$"},
        "description": "Codes. " + _listed(warnings.items()),
    }
    definitions[analyzer.name] = {**entry, "description": f"{analyzer.title}."}
    definitions[f"{analyzer.name}.segment"] = {**segment, "description": "One finding in time."}
    definitions[f"{analyzer.name}.series"] = series
    definitions["Analyzers"]["properties"][analyzer.name] = {
        "$ref": f"#/$defs/{analyzer.name}",
        "description": f"{analyzer.title}.",
    }


def _segment_fields(labels: Sequence[Labels], fields: Mapping[str, Schema]) -> Mapping[str, Schema]:
    """Label, kind and score of an analyzer's segments."""
    label = {**fields["label"], "description": _listed((_named(each), each.meaning) for each in labels)}
    if all(each.names for each in labels):
        label["enum"] = [name for each in labels for name in each.names]
    kind = {**fields["kind"], "enum": sorted({each.kind for each in labels})}
    score = {"type": "null", "description": "Nothing is measured."}
    if scored := [(_named(each), each.score) for each in labels if each.score]:
        score = {**fields["score"], "description": f"0-1: {_listed(scored)}"}
    return {"label": label, "kind": kind, "score": score}


def _named(labels: Labels) -> str:
    return ", ".join(labels.names) if len(labels.names) < 4 else ""


def _listed(named: Iterable[tuple[str, str]]) -> str:
    return ". ".join(f"{name}: {said}" if name else said for name, said in named) + "."


def _bind(field: Schema, least: float | None, largest: float | None) -> None:
    """Bind the numbers of a field, whether they stand alone, in lists or by name; places in the picture are free."""
    for each in _numbers(field):
        each |= {key: limit for key, limit in (("minimum", least), ("maximum", largest)) if limit is not None}


def _numbers(field: Schema) -> Iterator[Schema]:
    if field.get("type") in ("number", "integer"):
        yield field
    parts = [*field.get("anyOf", ()), field.get("items"), field.get("additionalProperties")]
    for part in parts:
        if isinstance(part, dict) and "$ref" not in part:
            yield from _numbers(part)
