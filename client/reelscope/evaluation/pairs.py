"""Which annotation belongs to which clip: by name.

clip.mp4                                 a clip
clip.results.json, or clip/results.json  its results, made before
clip.truth.json                          its annotation
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from reelscope.errors import InputNotFound, TruthError, UsageError

VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".3gp")
"""What counts as a clip in a folder; a clip that is named itself may be called anything."""
RESULTS = "results.json"
_RESULTS_SUFFIX, _TRUTH_SUFFIX = ".results.json", ".truth.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A clip, or its results, and its annotation."""

    name: str
    file: Path
    truth: Path

    @property
    def is_results(self) -> bool:
        """Whether the file holds results, not the clip itself."""
        return self.file.suffix == ".json"


def pairs(clips: Path, truths: Path) -> tuple[Pair, ...]:
    """Pair clips or results with annotations, by name; two files are a pair whatever their names.

    Args:
        clips: a clip, a results file, or a folder of either.
        truths: an annotation, or a folder of them.

    Raises:
        InputNotFound: there is nothing at `clips`.
        TruthError: there is nothing at `truths`.
        UsageError: something has no counterpart, or two files have one name.
    """
    if not clips.exists():
        raise InputNotFound(f"{clips}: no such file or folder")
    if not truths.exists():
        raise TruthError(f"{truths}: no such file or folder")
    if clips.is_file() and truths.is_file():
        return (Pair(name=_name(clips), file=clips, truth=truths),)
    files = _named([clips] if clips.is_file() else _clips_in(clips), clips)
    annotations = _named([truths] if truths.is_file() else sorted(truths.glob(f"*{_TRUTH_SUFFIX}")), truths)
    # A file that is named alone chooses; the folder may hold others.
    wanted = (
        files.keys() if clips.is_file() else annotations.keys() if truths.is_file() else (files | annotations).keys()
    )
    unpaired = [
        f"{folder}: no {missing} for {', '.join(alone)}"
        for there, missing, folder in ((files, "clip or results", clips), (annotations, "annotation", truths))
        if (alone := sorted(wanted - there.keys()))
    ]
    if unpaired:
        raise UsageError(f"{'; '.join(unpaired)} (NAME.mp4 or NAME/results.json, and NAME.truth.json, are a pair)")
    if not wanted:
        raise UsageError(f"{clips}: no clip (*{', *'.join(VIDEO_SUFFIXES)}), no *{_RESULTS_SUFFIX}, no */{RESULTS}")
    return tuple(Pair(name=name, file=files[name], truth=annotations[name]) for name in sorted(wanted))


def _clips_in(folder: Path) -> list[Path]:
    found = [file for file in folder.iterdir() if file.suffix.lower() in VIDEO_SUFFIXES and file.name[0] != "."]
    return sorted([*found, *folder.glob(f"*{_RESULTS_SUFFIX}"), *folder.glob(RESULTS), *folder.glob(f"*/{RESULTS}")])


def _named(files: Iterable[Path], where: Path) -> dict[str, Path]:
    named: dict[str, Path] = {}
    for file in files:
        if (other := named.setdefault(_name(file), file)) != file:
            both = " and ".join(sorted(str(each.relative_to(where)) for each in (other, file)))
            raise UsageError(f"{where}: {both} have one name; which one is meant?")
    return named


def _name(file: Path) -> str:
    """What pairs a file with others: its name without what says which kind of file it is."""
    if file.name == RESULTS:
        return file.resolve().parent.name
    kind = next((suffix for suffix in (_RESULTS_SUFFIX, _TRUTH_SUFFIX) if file.name.endswith(suffix)), file.suffix)
    return file.name.removesuffix(kind)
