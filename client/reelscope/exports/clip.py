"""The file of the clip, where results are written with it."""

from __future__ import annotations

from pathlib import Path

from reelscope.decode import sha256
from reelscope.errors import UsageError
from reelscope.exports.contents import Contents

_EBML = b"\x1a\x45\xdf\xa3"
"""Begins Matroska, and with it WebM (RFC 8794)."""


def require_same_clip(contents: Contents) -> None:
    """Refuse a file that is not the clip of the results.

    Raises:
        UsageError: it is another, or cannot be read.
    """
    clip, expected = contents.clip, contents.media["sha256"]
    try:
        found = sha256(clip) if clip else expected
    except OSError as error:
        raise UsageError(f"{clip}: cannot be read ({error.strerror})") from error
    if found != expected:
        raise UsageError(f"{clip}: is not the clip of these results (its SHA-256 is {found[:12]}, not {expected[:12]})")


def media_type(clip: Path) -> str:
    """What a browser is told that a clip is: WebM, else MP4, whatever it is; browsers look inside for the rest."""
    with clip.open("rb") as file:
        return "video/webm" if file.read(len(_EBML)) == _EBML else "video/mp4"
