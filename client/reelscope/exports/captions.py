"""Captions: SubRip and WebVTT from the words of a results file.

Conventions: a cue has at most two lines of 42 characters and lasts at most 7 s. It begins with its first word and ends
with its last, or stays for a second where the next cue leaves the time, so that short ones can be read. Cues break
where an utterance or, after a second, a sentence ends, where nobody speaks for a second, and else where the next word
would not fit; they never overlap. Languages written without spaces are joined without any.

Lines and length after the Timed Text Style Guides of broadcasters and streaming services (42 characters, 7 s). Formats:
W3C WebVTT; SubRip has no standard, and is written as players read it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from reelscope.errors import UsageError
from reelscope.exports.contents import Contents, Document, Documents, untrained_models
from reelscope.exports.webvtt import Cue, document, escaped, timestamp, without_arrow

MAX_LINE_CHARS = 42
MAX_LINES = 2
MAX_SECONDS = 7.0
MIN_SECONDS = 1.0
"""A cue stays this long where the next one leaves the time."""
SHORTEST_SECONDS = 0.001
"""What the formats can tell: words without a length get this."""
GAP_SECONDS = 1.0
"""Silence that ends a cue."""
WITHOUT_SPACES = frozenset(("ja", "lo", "my", "th", "yue", "zh"))
"""Languages of which Whisper takes every character for a word."""
SENTENCE_ENDS = (".", "!", "?", "…", "。", "！", "？")  # noqa: RUF001


@dataclass(frozen=True, slots=True)
class Piece:
    """A word, or a part of one that is longer than a line."""

    text: str
    start_seconds: float
    end_seconds: float
    joint: str
    """What stands between it and the piece before it, in one line: a space, or nothing."""


def srt(contents: Contents) -> Documents:
    """Make captions.srt; it is empty where nothing is said.

    SubRip cannot escape: an arrow within the text, which readers take for times, is shortened.

    Raises:
        UsageError: the results hold no transcript, or one of random weights.
    """
    cues = _cues(contents)
    blocks = (
        f"{number}\n{timestamp(cue.start_seconds, ',')} --> {timestamp(cue.end_seconds, ',')}\n"
        + "\n".join(without_arrow(line) for line in cue.lines)
        + "\n"
        for number, cue in enumerate(cues, 1)
    )
    return {"captions.srt": Document("\n".join(blocks), len(cues), "cue")}


def vtt(contents: Contents) -> Documents:
    """Make captions.vtt; it has no cues where nothing is said.

    Raises:
        UsageError: the results hold no transcript, or one of random weights.
    """
    cues = [Cue(cue.start_seconds, cue.end_seconds, tuple(map(escaped, cue.lines))) for cue in _cues(contents)]
    return {"captions.vtt": Document(document(cues), len(cues), "cue")}


def _cues(contents: Contents) -> list[Cue]:
    return cues_of(_utterances(contents), contents.media["duration_s"])


def cues_of(utterances: Iterable[Sequence[Piece]], duration_seconds: float) -> list[Cue]:
    """Lay out the words of utterances, sorted by start, as cues."""
    groups = [group for utterance in utterances for group in _groups(utterance)]
    next_starts = [*(group[0].start_seconds for group in groups[1:]), duration_seconds]
    cues: list[Cue] = []
    for group, next_start in zip(groups, next_starts, strict=False):
        start = max(group[0].start_seconds, cues[-1].end_seconds if cues else 0.0)
        spoken = max(piece.end_seconds for piece in group)
        shown = max(spoken, min(start + MIN_SECONDS, next_start))
        end = min(shown, max(next_start, start), start + MAX_SECONDS)
        cues.append(Cue(start, max(end, start + SHORTEST_SECONDS), _lines(group)))
    return cues


def _utterances(contents: Contents) -> Iterator[list[Piece]]:
    if reason := contents.missing("speech_transcription"):
        raise UsageError(f"the results hold no transcript: {reason}")
    found = contents.values["analyzers"]["speech_transcription"]
    if untrained_models(found):
        raise UsageError("the results hold no transcript: the words come from random weights")
    for segment in found["segments"]:
        joint = "" if segment["data"]["lang"] in WITHOUT_SPACES else " "
        words = segment["data"]["words"]
        pieces = [piece for word in words for piece in _pieces(word["w"], word["start"], word["end"], joint)]
        if pieces or segment["data"]["text"]:
            yield pieces or list(_timed(segment["data"]["text"], segment["start"], segment["end"], joint))


def _pieces(text: str, start_seconds: float, end_seconds: float, joint: str) -> Iterator[Piece]:
    """A word, cut where it is longer than a line; the parts share its time evenly."""
    text = " ".join(text.split())
    parts = [text[at : at + MAX_LINE_CHARS] for at in range(0, len(text), MAX_LINE_CHARS)]
    seconds = (end_seconds - start_seconds) / max(1, len(parts))
    for number, part in enumerate(parts):
        start = start_seconds + number * seconds
        yield Piece(part, start, start + seconds, "" if number else joint)


def _timed(text: str, start_seconds: float, end_seconds: float, joint: str) -> Iterator[Piece]:
    """Text without times of its words: they share the time evenly."""
    words = text.split() if joint else list(text)
    seconds = (end_seconds - start_seconds) / max(1, len(words))
    for number, word in enumerate(words):
        start = start_seconds + number * seconds
        yield from _pieces(word, start, start + seconds, joint)


def _groups(pieces: Sequence[Piece]) -> Iterator[list[Piece]]:
    """What is shown together."""
    group: list[Piece] = []
    for piece in pieces:
        if group and _breaks(group, piece):
            yield group
            group = []
        group.append(piece)
    if group:
        yield group


def _breaks(group: Sequence[Piece], piece: Piece) -> bool:
    last = group[-1]
    seconds = last.end_seconds - group[0].start_seconds
    return (
        (last.text.endswith(SENTENCE_ENDS) and seconds >= MIN_SECONDS)
        or piece.start_seconds - last.end_seconds >= GAP_SECONDS
        or piece.end_seconds - group[0].start_seconds > MAX_SECONDS
        or _split([*group, piece]) is None
    )


def _lines(group: Sequence[Piece]) -> tuple[str, ...]:
    at = _split(group)
    parts = (group,) if not at else (group[:at], group[at:])
    return tuple(_joined(part) for part in parts)


def _split(group: Sequence[Piece]) -> int | None:
    """Where to break the text into two lines that fit, as even as can be; 0 where it fits one line, None in no way."""
    if len(_joined(group)) <= MAX_LINE_CHARS:
        return 0
    lengths = {at: (len(_joined(group[:at])), len(_joined(group[at:]))) for at in range(1, len(group))}
    fitting = [at for at, (upper, lower) in lengths.items() if max(upper, lower) <= MAX_LINE_CHARS]
    return min(fitting, key=lambda at: abs(lengths[at][0] - lengths[at][1]), default=None)


def _joined(pieces: Sequence[Piece]) -> str:
    return "".join((piece.joint if number else "") + piece.text for number, piece in enumerate(pieces))
