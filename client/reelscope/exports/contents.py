"""What a results file holds, as the exports read it, and what they make of it.

A results file may come from an older or a newer version, or from another program: a name or a value that is not as it
should be raises KeyError, TypeError, ValueError and the like, which `Format.documents` turns into one ResultsError.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Result = Mapping[str, Any]
"""One analyzer's part of a results file, under its wire names."""


@dataclass(frozen=True, slots=True)
class Document:
    """One file of an export."""

    text: str
    count: int
    noun: str
    """What `count` counts, in the singular."""


Documents = Mapping[str, Document]
"""By path below the folder that they are written to."""


@dataclass(frozen=True, slots=True)
class Contents:
    """A results file, and the clip that it tells of where somebody said which that is."""

    values: Mapping[str, Any]
    clip: Path | None = None

    @property
    def media(self) -> Mapping[str, Any]:
        """Facts of the clip."""
        media: Mapping[str, Any] = self.values["media"]
        return media

    def results(self) -> Iterator[tuple[str, Result]]:
        """Every analyzer of the file with its result."""
        for name, result in self.values["analyzers"].items():
            if not re.fullmatch("[a-z0-9_]+", name):  # files are named after it
                raise ValueError(f"{name!r} is no analyzer's name")
            yield name, result

    def found(self) -> Iterator[tuple[str, Result]]:
        """Those that looked at the clip, whatever they found: neither skipped nor failed."""
        return ((name, result) for name, result in self.results() if result["summary"] is not None)

    def missing(self, name: str) -> str | None:
        """Why the file holds nothing of an analyzer; None when it does."""
        result = self.values["analyzers"].get(name)
        if result is None:
            return f"analyze was not asked for {name}"
        if result["summary"] is None:
            return f"{name} {result['status']}, {result['message'] or result['reason']}"
        return None


def untrained_models(result: Result) -> list[str]:
    """Models with random weights that an analyzer read: what it says means nothing."""
    return sorted({model["name"] for model in result["models"] if not model["trained"]})


def is_sensitive(result: Result) -> bool:
    """Whether an analyzer judges people by face or voice."""
    return bool((result["summary"] or {}).get("sensitive"))


def caveats(result: Result) -> dict[str, Any]:
    """What must be known before an analyzer's findings are used, for formats that hold JSON; {} where there is none."""
    known = {"untrained_models": untrained_models(result), "sensitive": is_sensitive(result)}
    return {name: value for name, value in known.items() if value}
