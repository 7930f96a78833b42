"""The pass over a clip."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import av.error
import numpy as np
from numpy.typing import NDArray

from reelscope.decode.changes import AbruptChanges
from reelscope.decode.container import is_cut_short, open_file, sha256, spanned_seconds, stated, video_stream
from reelscope.decode.pictures import Screen, ToLuma, ToRgb, hdr_curve
from reelscope.decode.sound import SoundTrack
from reelscope.errors import InputTooLong, InputUnreadable
from reelscope.sampler import Allocate, LumaSampler, Sampler
from reelscope.types import AudioChunk, ClipHeader, FrameChunk, LumaFrame, MediaFacts, MonoChunk, Window

SMALL_LONG_SIDE_PX = 320
UPLOAD_LONG_SIDE_PX = 1280
CHUNK_FRAMES = 16
"""Small frames per chunk: few enough to start the sources early, enough to make a hand-over cheap."""
MAX_SECONDS = 900.0
"""Longest clip that is accepted unless the caller says otherwise."""
MAX_SAMPLES = 3000
"""Samples of a clip at the base rate."""
MAX_FRAME_RATE = 1000
"""Frames per second beyond which a stated rate is the container's clock, not the camera's."""


class Decoder:
    """One pass over a clip. Iterate it once; `facts` is there afterwards.

    Yields FrameChunk, Window, LumaFrame, AudioChunk and MonoChunk in the order in which they become complete.
    """

    def __init__(
        self,
        path: Path,
        base_frame_rate: Fraction,
        allocate: Allocate | None,
        *,
        luma: bool = False,
        max_seconds: float = MAX_SECONDS,
    ) -> None:
        """Open the clip and decode its first frame, so that `header` is known.

        Without `allocate` nothing is uploaded: the clip yields no windows. With `luma` it yields a LumaFrame at every
        instant of base/2.

        Raises:
            InputNotFound: no file at `path`.
            InputUnreadable: empty, damaged, or not a media file.
            NoVideoStream: sound or still pictures only.
            InputTooLong: longer than `max_seconds`; also while iterating, where a clip turns out to be.
        """
        self._path, self._max_seconds = path, max_seconds
        self._container = open_file(path)
        try:
            self._video = video_stream(self._container, path)
            self._audio = next(iter(self._container.streams.audio), None)
            self._video.thread_type = "AUTO"
            self._bytes_read = self._damaged_video_packets = self._damaged_audio_packets = 0
            self._reached_end = self._is_last_packet_corrupt = False
            self._times: list[float] = []
            self._frames = self._decode()
            self._pending: list[Any] = []
            first = self._first_video_frame()
            self._origin = self._seconds(first)
            self._stated = stated(self._container, self._video, self._origin)
            seconds = self._stated.seconds if self._stated else spanned_seconds(path)
            self._check_length(seconds or 0.0)
        except BaseException:
            self._container.close()
            raise
        self._screen = Screen(first, self._video)
        self._to_small = ToRgb(self._screen, SMALL_LONG_SIDE_PX)
        self._changes = AbruptChanges()
        rate = min(base_frame_rate, Fraction(MAX_SAMPLES, max(1, math.ceil(seconds or 0.0))))
        self._sampler = Sampler(ToRgb(self._screen, UPLOAD_LONG_SIDE_PX), rate, allocate)
        self._luma_sampler = LumaSampler(ToLuma(), rate / 2) if luma else None
        self.header = ClipHeader(
            width=self._screen.size[0],
            height=self._screen.size[1],
            frame_rate=_nominal_rate(self._video),
            base_frame_rate=rate,
            hdr=hdr_curve(first),
            has_audio=self._audio is not None,
            stated_seconds=seconds,
        )
        self._small: list[NDArray[np.uint8]] = []
        self._is_abrupt: list[bool] = []
        self._sound = SoundTrack(max_seconds)
        self._end = 0.0

    def __enter__(self) -> Decoder:
        """Return the decoder itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Close the file and give back windows that were not completed."""
        self._sampler.close()
        self._container.close()

    def __iter__(self) -> Iterator[FrameChunk | Window | LumaFrame | AudioChunk | MonoChunk]:
        """Decode to the end. Damaged packets are left out; `damage` and `facts().coverage` say so."""
        for frame in itertools.chain(self._pending, self._frames):
            if isinstance(frame, av.AudioFrame):
                yield from self._sound.take(frame, self._sound_start(frame))
                continue
            now = self._end if self._stamp(frame) is None else self._seconds(frame) - self._origin
            if self._times and now <= self._times[-1]:
                continue  # a second frame at the same instant is never displayed
            self._check_length(now)
            yield from self._advance(now)
            self._show(frame, now)
            if len(self._small) == CHUNK_FRAMES:
                yield self._chunk()
        if self._small:
            yield self._chunk()
        yield from self._advance(self._end)
        yield from self._sampler.last()
        yield from self._sound.last()

    def facts(self) -> MediaFacts:
        """Facts of what was decoded; of the whole clip when the iteration has ended, else `coverage` is below 1."""
        steps = np.diff(self._times)
        return MediaFacts(
            sha256=sha256(self._path),
            duration_seconds=self._end,
            width=self._screen.size[0],
            height=self._screen.size[1],
            rotation_degrees=self._screen.rotation_degrees,
            frame_count=len(self._times),
            frame_rate_average=len(self._times) / self._end if len(self._times) > 1 else None,
            is_variable_frame_rate=bool(steps.size and steps.max() - steps.min() > _rounding_seconds(self._video)),
            hdr=self.header.hdr,
            audio=self._sound.facts(self._damaged_audio_packets),
            coverage=self._coverage(),
            size_change_count=self._screen.change_count,
        )

    @property
    def damage(self) -> str | None:
        """Why time of the clip is missing: damaged_input, truncated_input, or None for a whole clip."""
        if self._coverage() >= 1:
            return None
        if self._reached_end and self._is_cut_short():
            return "truncated_input"
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
            if packet.size:  # not one that only flushes the decoder
                self._is_last_packet_corrupt = packet.is_corrupt
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

    def _stamp(self, frame: Any) -> int | None:
        """Time stamp of a video frame in its stream's ticks; None where it carries none."""
        # AVI knows no PTS: FFmpeg's are those of the order of decoding, while its DTS count what is displayed.
        is_avi = self._container.format.name == "avi"
        stamp: int | None = frame.dts if is_avi and (frame.dts is not None or self._times) else frame.pts
        return stamp

    def _seconds(self, frame: Any) -> float:
        if (stamp := self._stamp(frame)) is None:
            raise InputUnreadable(f"{self._path}: its first frame carries no time stamp; remux the stream")
        return float(stamp * frame.time_base)

    def _sound_start(self, frame: Any) -> float | None:
        """Time of an audio frame on the video's axis; None where it carries no stamp."""
        return None if frame.pts is None else float(frame.pts * frame.time_base) - self._origin

    def _check_length(self, seconds: float) -> None:
        if seconds > self._max_seconds:
            raise InputTooLong(f"{self._path}: {seconds:.0f} s long, more than the {self._max_seconds:g} s allowed")

    def _advance(self, until_seconds: float) -> Iterator[Window | LumaFrame]:
        yield from self._sampler.advance(until_seconds)
        if self._luma_sampler:
            yield from self._luma_sampler.advance(until_seconds)

    def _show(self, frame: Any, now: float) -> None:
        self._screen.note(frame)
        small = self._to_small(frame)
        is_abrupt = self._changes.is_abrupt(small)
        self._sampler.show(frame, now, is_abrupt=is_abrupt)
        if self._luma_sampler:
            self._luma_sampler.show(frame)
        self._small.append(small)
        self._is_abrupt.append(is_abrupt)
        self._times.append(now)
        self._end = now + self._shown_for(frame)

    def _shown_for(self, frame: Any) -> float:
        """How long a frame is displayed if it is the last: its own duration, else the stream's nominal one."""
        own = float(frame.duration * frame.time_base) if frame.duration else 0.0
        return own if own >= 1 / MAX_FRAME_RATE else float(1 / self.header.frame_rate)

    def _chunk(self) -> FrameChunk:
        frames, self._small = self._small, []
        is_abrupt, self._is_abrupt = self._is_abrupt, []
        first = len(self._times) - len(frames)
        return FrameChunk(
            frames=np.stack(frames),
            times_seconds=np.array(self._times[first:]),
            first_index=first,
            is_abrupt=np.array(is_abrupt),
        )

    def _is_cut_short(self) -> bool:
        return self._is_last_packet_corrupt or is_cut_short(self._path)

    def _coverage(self) -> float:
        """Decoded share of the clip; 1 unless something is known to be missing.

        Where something is missing and nothing tells how much, it is just below 1.
        """
        frame_seconds = float(1 / self.header.frame_rate)
        covered = max(0.0, self._end - self._damaged_video_packets * frame_seconds)
        whole, is_whole = self._end, self._reached_end and not self._is_cut_short()
        if self._stated:
            reached = max(self._end, self._sound.end_seconds) if self._stated.is_of_file else self._end
            # Containers round, and count what edit lists hide.
            is_whole &= self._stated.seconds - reached <= 0.1 + 2 * frame_seconds
            whole = self._end if is_whole else max(self._end, self._stated.seconds)
        elif not self._reached_end:
            # No duration to compare with: what was not reached is told by its bytes.
            share_read = self._bytes_read / self._path.stat().st_size
            whole = self._end / share_read if share_read else float("inf")
        # Below 1 also after rounding, when anything at all is missing.
        return 1.0 if is_whole and covered >= whole else min(0.9999, covered / whole)


def _nominal_rate(stream: Any) -> Fraction:
    """Frames per second as the container states it, or as FFmpeg guesses it; 30 where neither can be."""
    rates = (stream.average_rate, stream.guessed_rate)
    return next((rate for rate in rates if rate and rate <= MAX_FRAME_RATE), Fraction(30))


def _rounding_seconds(stream: Any) -> float:
    """Spread of frame times that is rounding to the container's clock, not a variable rate."""
    return max(2.5 * float(stream.time_base), 0.002)
