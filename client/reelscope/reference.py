"""What the repository publishes of the results: written from the types and the registry.

    python -m reelscope.reference            write docs/results.schema.json, docs/results.md, the README's table
    python -m reelscope.reference --check    write nothing; exit 1 and name the files that differ

The page is the JSON Schema made readable: its descriptions, units and ranges are those of the fields' docstrings. What
stands around the marked parts of the page and of the README is written by hand.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from reelscope import settings
from reelscope.analyzers import ANALYZERS
from reelscope.analyzers.base import Analyzer
from reelscope.results import wire_name
from reelscope.schema import json_schema, stated_range
from reelscope.signals import Signal
from reelscope.sources import ENSEMBLE_SOURCES, source_of

Schema = dict[str, Any]
Row = tuple[str, str, str, str]

ANALYZER_COUNT = 24
"""Analyzers of the finished system."""
SCHEMA_FILE, PAGE, README = Path("docs/results.schema.json"), Path("docs/results.md"), Path("README.md")
BEGIN, END = "<!-- written by make schema -->", "<!-- end of what make schema writes -->"

_TIMES = ("start", "end", "t", "t0")
_SUFFIX_UNITS = {
    "_ms": "ms",
    "_syll_s": "syllables/s",
    "_per_s": "1/s",
    "_per_min": "1/min",
    "_deg_s": "°/s",
    "_pct_w_s": "% of width/s",
    "_pct_h_s": "% of height/s",
    "_pct_w": "% of width",
    "_pct": "%",
    "_lufs": "LUFS",
    "_lu": "LU",
    "_dbtp": "dBTP",
    "_dbfs": "dBFS",
    "_db": "dB",
    "_hz": "Hz",
    "_bpm": "BPM",
    "_deg": "°",
    "_years": "years",
    "_count": "count",
    "_k": "K",
    "_s": "s",
}
_WORD_UNITS = {
    "torso lengths per second": "torso lengths/s",
    "grey levels per 1/30 s": "grey levels per 1/30 s",
    "grey levels per second": "grey levels/s",
    "frames per second": "1/s",
    "per second": "1/s",
    "words per minute": "words/min",
    "syllables per second": "syllables/s",
    "LUFS": "LUFS",
    "dB": "dB",
    "Hz": "Hz",
    "degrees": "°",
    "years": "years",
    "pixels": "px",
    "cells": "cells",
    "semitones": "semitones",
    "robust z": "robust standard deviations",
    "seconds": "s",
    "syllables": "syllables",
}
"""By what a description says, where the name does not tell; a range tells enough by itself."""


def files() -> dict[Path, str]:
    """Text of every file that is written, by its path below the checkout."""
    schema = json_schema(ANALYZERS)
    return {
        SCHEMA_FILE: json.dumps(schema, indent=1) + "\n",
        PAGE: _filled(PAGE, _page(schema, ANALYZERS)),
        README: _filled(README, [*_overview(ANALYZERS, str(PAGE)), _count(ANALYZERS)]),
    }


def stale() -> list[Path]:
    """Files that differ from what would be written."""
    root = settings.deployment_root()
    return [path for path, text in files().items() if not _holds(root / path, text)]


def measure(name: str, description: str) -> str:
    """Unit and range of a number, by its wire name and its description; empty where neither tells."""
    least, largest = stated_range(description)
    limits = "" if least is None else f"≥ {least:g}" if largest is None else f"{least:g} to {largest:g}"
    return ", ".join(filter(None, (unit(name, description), limits)))


def numeric_types(field: Schema) -> bool:
    """Whether a field holds numbers itself, alone, in lists or by name."""
    parts = (field, *field.get("anyOf", ()), *field.get("prefixItems", ()))
    inner = [
        part[key] for part in parts for key in ("items", "additionalProperties") if isinstance(part.get(key), dict)
    ]
    return any(part.get("type") in ("number", "integer") for part in parts) or any(map(numeric_types, inner))


def fields(definition: Schema, definitions: Schema, prefix: str = "", skipped: Sequence[str] = ()) -> Iterator[Row]:
    """Name, type, unit and range, and meaning of every field; those of an inner object follow its own."""
    for name, field in definition["properties"].items():
        if name in skipped:
            continue
        path, said = prefix + name, field["description"]
        yield path, _type(field), measure(name, said) if numeric_types(field) else "", said
        inner = _objects(field)
        for target, suffix in inner:
            if len(inner) > 1:
                yield path, "", "", definitions[target]["description"]
            yield from fields(definitions[target], definitions, f"{path}{suffix}.")


def unit(name: str, description: str) -> str:
    """Unit of a number, by its wire name and its description; empty where neither tells."""
    if name in _TIMES:
        return "s"
    if name.startswith("n_"):
        return "count"
    if known := next((known for suffix, known in _SUFFIX_UNITS.items() if name.endswith(suffix)), ""):
        return known
    words = (known for word, known in _WORD_UNITS.items() if re.search(rf"\b{word}\b", description, re.IGNORECASE))
    return "" if stated_range(description)[1] is not None else next(words, "")


def _objects(field: Schema, suffix: str = "") -> list[tuple[str, str]]:
    """Definitions that a field refers to, and what leads there from its name: [] through lists."""
    if "$ref" in field:
        return [(field["$ref"].rpartition("/")[2], suffix)]
    found = [each for part in field.get("anyOf", ()) for each in _objects(part, suffix)]
    return found + (_objects(field["items"], suffix + "[]") if "items" in field else [])


def _type(field: Schema) -> str:
    if "$ref" in field:
        return "object"
    if "anyOf" in field:
        return ", ".join(dict.fromkeys(map(_type, field["anyOf"])))
    if "enum" in field or "const" in field:
        return ", ".join(f"`{json.dumps(value).strip(chr(34))}`" for value in field.get("enum", [field.get("const")]))
    if field["type"] == "array":
        parts = field.get("prefixItems")
        return f"{len(parts)} {_type(parts[0])}s" if parts else f"list of {_type(field['items'])}"
    if field["type"] == "object":
        values = field.get("additionalProperties")
        return f"{_type(values)} by name" if values else "object"
    return {"string": "text", "boolean": "true, false"}.get(field["type"], str(field["type"]))


def _page(schema: Schema, analyzers: Sequence[Analyzer]) -> Iterator[str]:
    """Lines of the part of the page that is generated."""
    definitions = schema["$defs"]
    yield from ("## Analyzers", "", *_overview(analyzers), "", "## The file", "")
    yield from _table((name, _type(field), "", field["description"]) for name, field in schema["properties"].items())
    for title, name in (("run", "RunFacts"), ("media", "MediaFacts"), ("shots", "Shot"), ("tracks", "Tracks")):
        yield from ("", f"### {title}", "", _escaped(definitions[name]["description"]), "")
        rows = fields(definitions[name], definitions)
        yield from _table(row for row in rows if name != "Tracks" or "." not in row[0])
    yield from ("", f"Each: {_escaped(definitions['Track']['description'])}", "")
    yield from _table(fields(definitions["Track"], definitions))
    first = analyzers[0].name
    yield from ("", "### analyzers", "", "What every analyzer says, under its name.", "")
    yield from _table(fields(definitions[first], definitions, skipped=("segments", "series", "summary", "warnings")))
    yield from ("", "`segments` hold", "")
    own = ("kind", "label", "score", "data")
    yield from _table(fields(definitions[f"{first}.segment"], definitions, skipped=own))
    yield from ("", "and `kind`, `label`, `score` and `data`, `series` hold", "")
    yield from _table(fields(definitions[f"{first}.series"], definitions, skipped=("cols",)))
    yield from ("", "and `cols`; all of these, the `summary` and the `warnings` are each analyzer's own.")
    for analyzer in analyzers:
        yield from _section(analyzer, definitions)
    yield from (
        "",
        "## Signals",
        "",
        "What analyzers read, and the settings of its source, which `params` hold as well.",
        "",
    )
    yield from ("| signal | from | settings |", "|---|---|---|")
    signals = {signal for analyzer in analyzers for signal in (*analyzer.requires, *analyzer.uses)}
    for signal in sorted(signals, key=lambda signal: signal.signal_name()):
        origin = _origin(signal) if "`" in _origin(signal) else "CPU"
        yield f"| {signal.signal_name()} | {origin} | {_settings(source_of(signal).parameters.items())} |"


def _section(analyzer: Analyzer, definitions: Schema) -> Iterator[str]:
    """Lines about one analyzer."""
    yield from ("", f"## {analyzer.name}", "", f"{analyzer.title[0].upper()}{analyzer.title[1:]}.", "")
    yield f"- Version {analyzer.version}; reads {_reads(analyzer)}."
    if analyzer.is_biometric:
        yield "- Biometric: `sensitive`, and left out with `--no-biometrics`."
    if own := _settings(analyzer.parameters.items()):
        yield f"- Settings: {own}."
    for code, said in analyzer.warnings.items():
        yield f"- Warning `{code}`: {_escaped(said)}."
    segment, summary = definitions[f"{analyzer.name}.segment"], definitions[analyzer.name]["properties"]["summary"]
    if analyzer.labels:
        yield from ("", "| segments | kind | meaning | score, 0 to 1 |", "|---|---|---|---|")
        for each in analyzer.labels:
            names = ", ".join(f"`{name}`" for name in each.names) or "*open*"
            yield f"| {names} | {each.kind} | {_escaped(each.meaning)} | {_escaped(each.score or 'null')} |"
    for part, holder in (("data", segment["properties"]["data"]), ("summary", summary)):
        for target, _ in _objects(holder):
            yield from ("", f"**`{part}`** {_escaped(definitions[target]['description'])}", "")
            yield from _table(fields(definitions[target], definitions))
    if analyzer.columns:
        yield from ("", "**`series.cols`** Curves over time.", "")
        columns = definitions[f"{analyzer.name}.series"]["properties"]["cols"]
        yield from _table(fields(columns, definitions))


def _overview(analyzers: Sequence[Analyzer], page: str = "") -> Iterator[str]:
    """Table of the analyzers."""
    yield from ("| analyzer | finds | reads |", "|---|---|---|")
    for analyzer in analyzers:
        yield f"| [{analyzer.name}]({page}#{analyzer.name}) | {analyzer.title} | {_reads(analyzer)} |"


def _count(analyzers: Sequence[Analyzer]) -> str:
    missing = "" if len(analyzers) == ANALYZER_COUNT else f"; {ANALYZER_COUNT - len(analyzers)} more are to come"
    return f"\n{len(analyzers)} analyzers{missing}."


def _reads(analyzer: Analyzer) -> str:
    """What an analyzer reads, in words: ensembles by their names, what the CPU computes by the signal's."""
    required = dict.fromkeys(map(_origin, analyzer.requires))
    used = [origin for origin in dict.fromkeys(map(_origin, analyzer.uses)) if origin not in required]
    parts = [", ".join(required), f"if there, {', '.join(used)}" if used else ""]
    others = {other.name for other in ANALYZERS} - {analyzer.name}
    told = "all others" if others == set(analyzer.consults) else ", ".join(analyzer.consults)
    parts.append(f"findings of {told}" if told else "")
    return "; ".join(filter(None, parts))


def _origin(signal: type[Signal]) -> str:
    asked = [kind for kind in (signal, *source_of(signal).needs) if kind in ENSEMBLE_SOURCES]
    return f"`{ENSEMBLE_SOURCES[asked[0]].ensemble}`" if asked else signal.signal_name().replace("_", " ")


def _settings(items: Iterable[tuple[str, Any]]) -> str:
    return ", ".join(
        f"`{wire_name(name)}` {value:g}" if isinstance(value, float) else f"`{wire_name(name)}` {value}"
        for name, value in items
    )


def _table(rows: Iterable[Row]) -> Iterator[str]:
    yield from ("| field | type | unit, range | meaning |", "|---|---|---|---|")
    for path, kind, size, said in rows:
        yield f"| `{path}` | {kind} | {size} | {_escaped(said)} |"


def _escaped(text: str) -> str:
    """Text as Markdown shows it unchanged, in a table as well."""
    return re.sub(r"([*|])", r"\\\1", " ".join(text.split())).replace("<", "&lt;")


def _filled(path: Path, lines: Iterable[str]) -> str:
    """The file with new lines between its marks."""
    before, _, rest = (settings.deployment_root() / path).read_text(encoding="utf-8").partition(BEGIN)
    return "\n".join([f"{before}{BEGIN}", *lines, f"{END}{rest.partition(END)[2]}"])


def _holds(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text(encoding="utf-8") == text


def main() -> None:
    """Write the files, or check them."""
    parser = argparse.ArgumentParser(prog="python -m reelscope.reference", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when a file differs")
    arguments = parser.parse_args()
    if not settings.is_checkout():
        parser.error("the files are part of a checkout, and this is none")
    if arguments.check:
        for path in (differing := stale()):
            print(f"{path} is not what the types say; run: make schema", file=sys.stderr)
        sys.exit(bool(differing))
    for path, text in files().items():
        (settings.deployment_root() / path).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
