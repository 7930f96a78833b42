"""WebVTT files: https://www.w3.org/TR/webvtt1/.

Comments stand at the top. `-->` would end a cue's text or a comment: whoever writes a cue's lines escapes it.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from reelscope.exports.contents import Result, is_sensitive, untrained_models


@dataclass(frozen=True, slots=True)
class Cue:
    """Text for a while."""

    start_seconds: float
    end_seconds: float
    lines: tuple[str, ...]


def document(cues: Iterable[Cue], notes: Sequence[str] = ()) -> str:
    """A file of cues, whose lines are as WebVTT wants them, and of comments of one line."""
    comments = (f"NOTE {without_arrow(' '.join(note.split()))}\n" for note in notes)
    blocks = (
        f"{timestamp(cue.start_seconds, '.')} --> {timestamp(cue.end_seconds, '.')}\n" + "\n".join(cue.lines) + "\n"
        for cue in cues
    )
    return "\n".join(("WEBVTT\n", *comments, *blocks))


def caveat_notes(result: Result) -> list[str]:
    """What must be known before an analyzer's findings are used."""
    notes = []
    if models := untrained_models(result):
        notes.append(f"random weights ({', '.join(models)}): this means nothing")
    if is_sensitive(result):
        notes.append("sensitive: people as they appear by face or voice, not what they are or feel")
    return notes


def escaped(line: str) -> str:
    """Text of one line as cue text: & and < begin what is no text, and --> what is no cue."""
    return html.escape(" ".join(line.split()), quote=False)


def without_arrow(text: str) -> str:
    """Text in which nothing can be taken for the arrow between two times, for what knows no escapes."""
    return re.sub("-{2,}>", "->", text)


def timestamp(seconds: float, decimal_mark: str) -> str:
    """Hours, minutes, seconds and milliseconds."""
    milliseconds = round(1000 * seconds)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02}{decimal_mark}{rest % 1000:03}"
