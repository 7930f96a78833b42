"""Files and what they say of themselves: opening, the video stream, stated duration, whether the end is missing."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import av.error

from reelscope.errors import InputNotFound, InputUnreadable, NoVideoStream

_CONTAINERS = "mov,matroska,webm,avi,mpegts,mpeg,flv,asf,gif,ogg,mxf,ivf,wav,mp3,aac,flac"
"""FFmpeg's names of the containers that hold their media themselves."""
MAX_PIXELS = 36_000_000
"""Of one picture: those of 8K video fit. FFmpeg itself allows seven times as many, and a decoder holds a dozen."""
_TS_PACKET_BYTES, _TS_SYNC = 188, 0x47
_RIFF_UNKNOWN = 0xFFFFFFFF
"""Size of a RIFF file whose writer could not go back to fill it in."""


def open_file(path: Path) -> Any:
    """PyAV's container.

    Raises:
        InputNotFound: no file at `path`.
        InputUnreadable: empty, or not a media file.
    """
    try:
        if not path.is_file():
            raise InputNotFound(f"{path}: {_what(path)}")
        size_bytes = path.stat().st_size
    except OSError as error:  # its folder may not be searched, or its name is too long
        raise InputUnreadable(f"{path}: cannot be read ({error.strerror})") from error
    if size_bytes == 0:
        raise InputUnreadable(f"{path}: the file is empty")
    try:
        # A playlist or script must not make FFmpeg open other addresses or files.
        return av.open(f"file:{path}", options={"protocol_whitelist": "file", "format_whitelist": _CONTAINERS})
    except (av.error.FFmpegError, OSError) as error:
        raise InputUnreadable(f"{path}: not a media file that FFmpeg can read ({error})") from error


def video_stream(container: Any, path: Path) -> Any:
    """The first stream of moving pictures; one that grows beyond MAX_PIXELS on the way is not decoded there.

    Raises:
        NoVideoStream: sound or still pictures only.
        InputUnreadable: its pictures have more than MAX_PIXELS.
    """
    for stream in container.streams.video:
        if not stream.disposition & av.stream.Disposition.attached_pic:  # a cover picture is no video
            codec = stream.codec_context
            if codec.width * codec.height > MAX_PIXELS:
                size = f"{codec.width}x{codec.height}"
                raise InputUnreadable(f"{path}: pictures of {size} pixels; at most {MAX_PIXELS:,} are decoded")
            codec.options = {"max_pixels": str(MAX_PIXELS)}
            return stream
    kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
    raise NoVideoStream(f"{path}: no video stream in it (found: {kinds})")


@dataclass(frozen=True, slots=True)
class Statement:
    """The duration that a container states."""

    seconds: float
    """From the first displayed frame on."""
    is_of_file: bool
    """Whether it ends with the longest stream, not with the video."""


def stated(container: Any, stream: Any, origin_seconds: float) -> Statement | None:
    """Duration of the video, or else of the whole file; None when nothing is stated.

    FFmpeg itself takes what MPEG-TS and MPEG-PS do not state from the last time stamps that it finds in the file.
    """
    if stream.duration:
        seconds = float(stream.duration * stream.time_base)
        if container.format.name == "avi" and stream.average_rate:
            # FFmpeg shortens the duration of a truncated AVI to what is there, but not its frame count.
            seconds = max(seconds, float(stream.frames / stream.average_rate))
        return Statement(seconds, is_of_file=False)
    if end := _tagged_end_seconds(stream):
        return Statement(end - origin_seconds, is_of_file=False)
    if container.duration:
        start = container.start_time or 0
        return Statement((start + container.duration) / av.time_base - origin_seconds, is_of_file=True)
    return None


def spanned_seconds(path: Path) -> float | None:
    """Time that the packets of the video span, for a file that states no duration; reads all of it, decodes nothing."""
    first = end = None
    with open_file(path) as container:
        stream = video_stream(container, path)
        try:
            for packet in container.demux(stream):
                if packet.pts is not None:
                    first = packet.pts if first is None else min(first, packet.pts)
                    end = max(end or first, packet.pts + (packet.duration or 0))
        except av.error.FFmpegError:
            pass  # decoding will find the damage
        return None if first is None or end is None else float((end - first) * stream.time_base)


def is_cut_short(path: Path) -> bool:
    """Whether the file's own structure runs past its end: what a download that was broken off leaves.

    MPEG-TS shows it by its last packet, unless it was cut exactly behind one; what comes in pieces without a size
    (Matroska and FLV as a live recorder writes them) does not show it here.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(_TS_PACKET_BYTES + 1)
        if head[:4] == b"RIFF":
            length = int.from_bytes(head[4:8], "little")
            return length != _RIFF_UNKNOWN and 8 + length > size
        if head[4:8] in (b"ftyp", b"moov", b"styp"):
            return _box_overruns(file, size)
        is_ts = head[0] == _TS_SYNC and head[-1] == _TS_SYNC and len(head) > _TS_PACKET_BYTES
        return is_ts and size % _TS_PACKET_BYTES != 0


def sha256(path: Path) -> str:
    """SHA-256 of the file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _what(path: Path) -> str:
    if path.is_dir():
        return "is a folder, not a clip"
    return "is no regular file" if path.exists() else "no such file"


def _tagged_end_seconds(stream: Any) -> float | None:
    """End of a Matroska stream, on the file's own clock, from a tag like 00:00:05.005000000."""
    hours, _, rest = stream.metadata.get("DURATION", "").partition(":")
    minutes, _, seconds = rest.partition(":")
    try:
        return 3600 * int(hours) + 60 * int(minutes) + float(seconds)
    except ValueError:
        return None


def _box_overruns(file: Any, size: int) -> bool:
    """Whether one of the top-level boxes of an MP4 or MOV ends behind the file's end (ISO 14496-12, 4.2)."""
    position = 0
    while position < size:
        file.seek(position)
        header = file.read(16)
        length = int.from_bytes(header[:4], "big")
        if length == 1:
            length = int.from_bytes(header[8:16], "big")
        if length < 8:  # 0 reaches to the end; less than a header is padding behind the last box
            return False
        position += length
    return position > size
