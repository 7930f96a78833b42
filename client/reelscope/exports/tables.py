"""Tables: CSV as RFC 4180 has it (comma, CRLF, a header, quotes doubled), UTF-8 without a mark.

- segments.csv: every segment of every analyzer; `data_json` is its `data` as one line of JSON.
- analyzers.csv: one row per analyzer, joined by its name: whether it looked at the clip, how much of it, which random
  weights it read (then its segments mean nothing), and whether it judges people.
- series/ANALYZER.csv: curves, one row per instant `t`, seconds.

A cell holds what was found, and an empty one is null. A text is never changed to please a spreadsheet: one that begins
with =, +, - or @ is a formula to a program that opens the file instead of importing it as text.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from reelscope.exports.contents import Contents, Document, Documents, Result, is_sensitive, untrained_models

SEGMENT_COLUMNS = ("analyzer", "id", "kind", "start", "end", "label", "score", "track_id", "data_json")
ANALYZER_COLUMNS = ("analyzer", "status", "reason", "coverage", "n_segments", "untrained_models", "sensitive")


def write(contents: Contents) -> Documents:
    """Make segments.csv, analyzers.csv, and series/ANALYZER.csv of every analyzer that has curves."""
    results = dict(contents.results())
    curves = {f"series/{name}.csv": _series(found["series"]) for name, found in results.items()}
    return {
        "segments.csv": _table(SEGMENT_COLUMNS, _segments(results)),
        "analyzers.csv": _table(ANALYZER_COLUMNS, (_analyzer(*found) for found in results.items())),
        **{path: _table(*table) for path, table in curves.items() if table},
    }


def _segments(results: dict[str, Result]) -> Iterator[Sequence[Any]]:
    columns = SEGMENT_COLUMNS[1:-1]
    for name, result in results.items():
        for segment in result["segments"]:
            line = json.dumps(segment["data"], allow_nan=False, ensure_ascii=False, separators=(",", ":"))
            yield name, *(segment[column] for column in columns), line


def _analyzer(name: str, result: Result) -> Sequence[Any]:
    facts = (result["status"], result["reason"], result["coverage"], len(result["segments"]))
    return name, *facts, " ".join(untrained_models(result)), json.dumps(is_sensitive(result))


def _series(series: Any) -> tuple[Sequence[str], Iterable[Sequence[Any]]] | None:
    """Header and rows; None without any curve."""
    columns = dict(series["cols"])
    if not columns:
        return None
    times = columns.pop("t", None)
    if series["hop_s"] is not None:
        count = max(map(len, columns.values()))
        times = [round(series["t0"] + k * series["hop_s"], 3) for k in range(count)]
    return ("t", *columns), zip(times, *columns.values(), strict=True)


def _table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> Document:
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(header)
    count = 0
    for count, row in enumerate(rows, 1):  # noqa: B007
        writer.writerow(row)
    return Document(text.getvalue(), count, "row")
