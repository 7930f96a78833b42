"""One finding of the doctor, and sizes in words."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

_UNITS = ("B", "kB", "MB", "GB", "TB")


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    subject: str
    state: Literal["ok", "warning", "missing"]
    """warning: the profile runs, but something will surprise; missing: the profile cannot run."""
    finding: str
    remedy: str = ""
    """Command or step that mends it."""


def ok(subject: str, finding: str) -> Check:
    """A thing that is as it should be."""
    return Check(subject, "ok", finding)


def warning(subject: str, finding: str, remedy: str = "") -> Check:
    """A thing that the profile runs without, or with, but not well."""
    return Check(subject, "warning", finding, remedy)


def missing(subject: str, finding: str, remedy: str = "") -> Check:
    """A thing without which the profile cannot run."""
    return Check(subject, "missing", finding, remedy)


def in_words(size_bytes: float) -> str:
    """A size in decimal units: 999 B, 13.1 MB, 2.0 GB."""
    power = 0
    while size_bytes >= 999.95 and power < len(_UNITS) - 1:
        size_bytes, power = size_bytes / 1000, power + 1
    return f"{size_bytes:.{min(power, 1)}f} {_UNITS[power]}"


def folder_bytes(folder: Path) -> int:
    """Bytes of all files below a folder, links not followed; 0 when there is none."""
    found = 0
    for path in folder.rglob("*"):
        try:
            found += path.lstat().st_size if path.is_file() else 0
        except FileNotFoundError:
            continue  # logs come and go
    return found
