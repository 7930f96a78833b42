"""One decode for everybody: a clip becomes small frames, upload windows and audio.

The only module that knows the codec library.

- Time is the PTS, never the frame index; zero is the first displayed video frame.
- Rotation and pixel aspect are applied here, once. Colours are sRGB-range RGB: the stream's own matrix and range are
  used where it states them, BT.601 limited where it does not (as FFmpeg and OpenCV do).
- The small track holds every displayed frame, long side <= 320. The uploaded track holds the frame shown at k/rate
  seconds, long side <= 1280, in windows (see `types.Window`). Both come out of the same pass.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import av.error
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

from reelscope.errors import InputNotFound, InputUnreadable, NoVideoStream
from reelscope.sampler import Allocate, Sampler
from reelscope.types import AudioChunk, AudioFacts, ClipHeader, FrameChunk, MediaFacts, Window, fitted_size

SMALL_LONG_SIDE_PX = 320
UPLOAD_LONG_SIDE_PX = 1280
CHUNK_FRAMES = 16
"""Small frames per chunk: few enough to start the sources early, enough to make a hand-over cheap."""

_CONTAINERS = "mov,matroska,webm,avi,mpegts,mpeg,flv,asf,gif,ogg,mxf,ivf,wav,mp3,aac,flac"
"""FFmpeg's names of the containers that hold their media themselves."""
_HDR_TRANSFER = {16: "pq", 18: "hlg"}
"""H.273 transfer characteristics that mean HDR."""
_SCALING = Interpolation.AREA | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
"""Without full chroma swscale takes a faster path that darkens every channel by one to two grey levels."""


class Decoder:
    """One pass over a clip. Iterate it once; `facts` is there afterwards.

    Yields FrameChunk, Window and AudioChunk in the order in which they become complete.
    """

    def __init__(self, path: Path, base_frame_rate: Fraction, allocate: Allocate | None) -> None:
        """Open the clip and decode its first frame, so that `header` is known.

        Without `allocate` nothing is uploaded: the clip yields no windows.

        Raises:
            InputNotFound: no file at `path`.
            InputUnreadable: empty, damaged, or not a media file.
            NoVideoStream: sound or still pictures only.
        """
        self._path = path
        self._container = _open(path)
        try:
            self._video = _video_stream(self._container, path)
            self._audio = next(iter(self._container.streams.audio), None)
            self._video.thread_type = "AUTO"
            self._bytes_read = self._damaged_video_packets = self._damaged_audio_packets = 0
            self._reached_end = False
            self._frames = self._decode()
            self._pending: list[Any] = []
            first = self._first_video_frame()
        except BaseException:
            self._container.close()
            raise
        self._origin = _seconds(first)
        self._rotation = -round(first.rotation) % 360
        self._size = _displayed_size(first, self._video.sample_aspect_ratio, self._rotation)
        self._audio_start: float | None = None
        self._to_small = _ToRgb(fitted_size(self._size, SMALL_LONG_SIDE_PX), self._rotation)
        self._sampler = Sampler(
            _ToRgb(fitted_size(self._size, UPLOAD_LONG_SIDE_PX), self._rotation), base_frame_rate, allocate
        )
        self.header = ClipHeader(
            width=self._size[0],
            height=self._size[1],
            frame_rate=self._video.average_rate or self._video.guessed_rate or Fraction(30),
            base_frame_rate=base_frame_rate,
            hdr=_HDR_TRANSFER.get(int(first.color_trc)),
        )
        self.stated_seconds = _stated_seconds(self._video)
        """Duration of the video that the container states; None when it states none."""
        self._times: list[float] = []
        self._end = 0.0

    def __enter__(self) -> Decoder:
        """Return the decoder itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Close the file and give back a window that was not completed."""
        self._sampler.close()
        self._container.close()

    def __iter__(self) -> Iterator[FrameChunk | Window | AudioChunk]:
        """Decode to the end. Damaged packets are left out; `damage` and `facts().coverage` say so."""
        small: list[NDArray[np.uint8]] = []
        for frame in itertools.chain(self._pending, self._frames):
            if isinstance(frame, av.AudioFrame):
                yield from self._audio_chunk(frame)
                continue
            now = _seconds(frame) - self._origin
            if self._times and now <= self._times[-1]:
                continue  # a second frame at the same instant is never displayed
            yield from self._sampler.advance(now)
            self._sampler.show(frame)
            self._times.append(now)
            self._end = now + self._shown_for(frame)
            small.append(self._to_small(frame))
            if len(small) == CHUNK_FRAMES:
                yield self._chunk(small)
                small = []
        if small:
            yield self._chunk(small)
        yield from self._sampler.advance(self._end)
        yield from self._sampler.last()

    def facts(self) -> MediaFacts:
        """Facts of what was decoded; of the whole clip when the iteration has ended, else `coverage` is below 1."""
        steps = np.diff(self._times)
        return MediaFacts(
            sha256=_sha256(self._path),
            duration_seconds=self._end,
            width=self._size[0],
            height=self._size[1],
            rotation_degrees=self._rotation,
            frame_count=len(self._times),
            frame_rate_average=len(self._times) / self._end if len(self._times) > 1 else None,
            is_variable_frame_rate=bool(steps.size and steps.max() - steps.min() > _rounding_seconds(self._video)),
            hdr=self.header.hdr,
            audio=self._audio_facts(),
            coverage=self._coverage(),
        )

    @property
    def damage(self) -> str | None:
        """Why time of the clip is missing: damaged_input, truncated_input, or None for a whole clip."""
        if self._coverage() >= 1:
            return None
        return "damaged_input" if self._damaged_video_packets or not self._reached_end else "truncated_input"

    def _decode(self) -> Iterator[Any]:
        """Frames of both streams. A packet that cannot be decoded costs itself; a broken container ends the clip."""
        streams = [self._video] if self._audio is None else [self._video, self._audio]
        packets = self._container.demux(streams)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                self._reached_end = True
                return
            except av.error.FFmpegError:
                return
            self._bytes_read = max(self._bytes_read, packet.pos or 0)
            try:
                yield from packet.decode()
            except av.error.FFmpegError:
                if packet.stream is self._video:
                    self._damaged_video_packets += 1
                else:
                    self._damaged_audio_packets += 1

    def _first_video_frame(self) -> Any:
        for frame in self._frames:
            self._pending.append(frame)
            if isinstance(frame, av.VideoFrame):
                return frame
        raise InputUnreadable(f"{self._path}: not one frame of the video stream can be decoded")

    def _shown_for(self, frame: Any) -> float:
        """How long a frame is displayed if it is the last: its own duration, else the stream's nominal one."""
        own = float(frame.duration * frame.time_base) if frame.duration else 0.0
        return own or float(1 / self.header.frame_rate)

    def _chunk(self, frames: list[NDArray[np.uint8]]) -> FrameChunk:
        first = len(self._times) - len(frames)
        return FrameChunk(frames=np.stack(frames), times_seconds=np.array(self._times[first:]), first_index=first)

    def _audio_chunk(self, frame: Any) -> Iterator[AudioChunk]:
        start = _seconds(frame) - self._origin
        if self._audio_start is None:
            self._audio_start = start
        samples = frame.to_ndarray()
        if not frame.format.is_planar:
            samples = samples.reshape(-1, frame.layout.nb_channels).T
        yield AudioChunk(samples=_full_scale(samples), start_seconds=start, sample_rate_hz=frame.sample_rate)

    def _audio_facts(self) -> AudioFacts:
        if self._audio is None or self._audio_start is None:
            return AudioFacts(is_present=False)
        context = self._audio.codec_context
        return AudioFacts(
            is_present=True,
            sample_rate_hz=context.sample_rate,
            channel_count=context.layout.nb_channels,
            offset_seconds=self._audio_start,
            damaged_packet_count=self._damaged_audio_packets,
        )

    def _coverage(self) -> float:
        """Decoded share of the clip; 1 unless something is known to be missing."""
        frame_seconds = float(1 / self.header.frame_rate)
        covered = max(0.0, self._end - self._damaged_video_packets * frame_seconds)
        if self.stated_seconds is None:
            # No duration to compare with: what was not reached is told by its bytes.
            share_read = 1.0 if self._reached_end else self._bytes_read / self._path.stat().st_size
            whole = self._end / share_read if share_read else float("inf")
        else:
            # Containers round, and count what edit lists hide.
            missing = not self._reached_end or self.stated_seconds - self._end > 0.1 + 2 * frame_seconds
            whole = self.stated_seconds if missing else self._end
        # Below 1 also after rounding, when anything at all is missing.
        return 1.0 if self._reached_end and covered >= whole else min(0.9999, covered / whole)


class _ToRgb:
    """Scales, converts and turns frames to one displayed size."""

    def __init__(self, size: tuple[int, int], rotation: int) -> None:
        self.size, self._turns = size, -rotation // 90
        self._coded_size = size[::-1] if rotation % 180 else size
        # One swscale context for the whole clip; more threads would only compete with the decoder's.
        self._reformatter = VideoReformatter()

    def __call__(self, frame: Any) -> NDArray[np.uint8]:
        """uint8 RGB [height, width, 3]; may be a view of FFmpeg's memory, so copy what is kept."""
        width, height = self._coded_size
        scaled = self._reformatter.reformat(frame, width, height, "rgb24", interpolation=_SCALING, threads=1)
        plane = scaled.planes[0]
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[:height, : width * 3]
        return np.rot90(rows.reshape(height, width, 3), k=self._turns)


def _what(path: Path) -> str:
    if path.is_dir():
        return "is a folder, not a clip"
    return "is no regular file" if path.exists() else "no such file"


def _open(path: Path) -> Any:
    if not path.is_file():
        raise InputNotFound(f"{path}: {_what(path)}")
    if path.stat().st_size == 0:
        raise InputUnreadable(f"{path}: the file is empty")
    try:
        # A playlist or script must not make FFmpeg open other addresses or files.
        return av.open(f"file:{path}", options={"protocol_whitelist": "file", "format_whitelist": _CONTAINERS})
    except (av.error.FFmpegError, OSError) as error:
        raise InputUnreadable(f"{path}: not a media file that FFmpeg can read ({error})") from error


def _video_stream(container: Any, path: Path) -> Any:
    for stream in container.streams.video:
        if not stream.disposition & av.stream.Disposition.attached_pic:  # a cover picture is no video
            return stream
    kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
    raise NoVideoStream(f"{path}: no video stream in it (found: {kinds})")


def _seconds(frame: Any) -> float:
    if frame.pts is None:
        raise InputUnreadable("a frame carries no time stamp; remux the stream into a container")
    return float(frame.pts * frame.time_base)


def _stated_seconds(stream: Any) -> float | None:
    """Duration of a stream in its header, or, as Matroska does it, in a tag like 00:00:05.005000000."""
    if stream.duration:
        return float(stream.duration * stream.time_base)
    hours, _, rest = stream.metadata.get("DURATION", "").partition(":")
    minutes, _, seconds = rest.partition(":")
    try:
        return 3600 * int(hours) + 60 * int(minutes) + float(seconds)
    except ValueError:
        return None


def _displayed_size(frame: Any, pixel_aspect: Fraction | None, rotation: int) -> tuple[int, int]:
    width = round(frame.width * (pixel_aspect or 1))
    return (frame.height, width) if rotation % 180 else (width, frame.height)


def _full_scale(samples: NDArray[np.generic]) -> NDArray[np.float32]:
    """Samples of any PCM type as float32, full scale +-1."""
    values = samples.astype(np.float32)
    if samples.dtype.kind == "f":
        return values
    if samples.dtype == np.uint8:
        values -= 128
    values /= 128 if samples.dtype == np.uint8 else 2 ** (8 * samples.dtype.itemsize - 1)
    return values


def _rounding_seconds(stream: Any) -> float:
    """Spread of frame times that is rounding to the container's clock, not a variable rate."""
    return max(2.5 * float(stream.time_base), 0.002)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
