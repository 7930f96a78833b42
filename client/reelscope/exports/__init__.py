"""Exports: results in the forms that players, spreadsheets, editors and annotation tools read.

A format is a module's function from `Contents` to `Documents`, and one line in `FORMATS`; the command line, its help
and the README's table follow from it. Modules are loaded when they are asked for.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass

from reelscope.errors import ResultsError
from reelscope.exports.contents import Contents, Document, Documents

__all__ = ["FORMATS", "Contents", "Document", "Documents", "Format"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """One form of results."""

    name: str
    """What --to calls it."""
    title: str
    """What it holds, for lists and help."""
    files: str
    """The file that it writes, or the files."""
    is_folder: bool = False
    """Whether it writes several files."""
    names_clip: bool = False
    """Whether it refers to the clip's file."""
    writer: str
    """Module of this package and function: `Contents` -> `Documents`."""

    def documents(self, contents: Contents) -> Documents:
        """Make its files of a results file's contents.

        Raises:
            UsageError: the results do not hold what it is made of.
            ResultsError: they are not in the form of results.
        """
        module, function = self.writer.split(":")
        write: Callable[[Contents], Documents] = getattr(importlib.import_module(f"{__name__}.{module}"), function)
        try:
            return write(contents)
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            reason = f"{type(error).__name__}: {error}"
            raise ResultsError(f"these results cannot be written as {self.name} ({reason})") from error


FORMATS = (
    Format(name="srt", title="captions of what is said, SubRip", files="captions.srt", writer="captions:srt"),
    Format(name="vtt", title="captions of what is said, WebVTT", files="captions.vtt", writer="captions:vtt"),
    Format(
        name="chapters",
        title="chapters, WebVTT: phases, else scenes, else shots",
        files="chapters.vtt",
        writer="chapters:write",
    ),
    Format(
        name="metadata",
        title="every segment as JSON at its time, WebVTT (kind=metadata)",
        files="ANALYZER.meta.vtt",
        is_folder=True,
        writer="metadata:write",
    ),
    Format(
        name="csv",
        title="segments, curves, and a row per analyzer, RFC 4180",
        files="segments.csv, analyzers.csv, series/ANALYZER.csv",
        is_folder=True,
        writer="tables:write",
    ),
    Format(
        name="otio",
        title="timeline cut at the shots, with markers, OpenTimelineIO",
        files="timeline.otio",
        names_clip=True,
        writer="timeline:write",
    ),
    Format(
        name="coco",
        title="boxes, keypoints and masks by frame, COCO JSON",
        files="coco.json",
        writer="coco:write",
    ),
)
