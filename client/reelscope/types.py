"""What flows through the client: the clip's facts, pieces of decoded media, model provenance, deadlines.

Conventions of the whole package: times are seconds from the first displayed video PTS; intervals are half-open;
boxes are x1, y1, x2, y2 in 0-1 of the *displayed* frame (rotation and pixel aspect applied), origin top-left;
images are uint8 RGB [height, width, 3].
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from reelscope.errors import DeadlineExceeded

MONO_SAMPLE_RATE_HZ = 16_000
"""Samples per second of the mono track that networks hear."""
WINDOW_FRAMES = 20
"""Frames of one uploaded window; a multiple of 4, so that the nested rates fit every window alike."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioFacts:
    """The clip's first audio stream."""

    is_present: bool
    """Whether the clip has an audio stream."""
    sample_rate_hz: int | None = None
    """Sample rate, Hz; null without audio."""
    channel_count: int | None = None
    """Channels, >= 0; null without audio."""
    offset_seconds: float | None = None
    """Start of the audio on the video's time axis; positive when the sound starts after the picture."""
    damaged_packet_count: int = 0
    """Packets that could not be decoded and are missing."""
    coverage: float | None = None
    """Decoded share of the sound, 0-1; below 1 where damaged packets left gaps; null without audio."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaFacts:
    """What the clip is, measured from its decoded frames."""

    sha256: str
    """SHA-256 of the file."""
    duration_seconds: float
    """End of the last displayed frame, in seconds."""
    width: int
    """Displayed width in square pixels."""
    height: int
    """Displayed height in square pixels."""
    rotation_degrees: int
    """Clockwise rotation that was applied for display, degrees: 0, 90, 180 or 270."""
    frame_count: int
    """Displayed frames."""
    frame_rate_average: float | None
    """Displayed frames per second; null for a single frame."""
    is_variable_frame_rate: bool
    """True when the spacing of frames varies by more than rounding."""
    hdr: str | None
    """hlg or pq for HDR transfer functions, null for SDR."""
    audio: AudioFacts
    """The clip's sound."""
    coverage: float
    """Decoded share of the clip, 0-1; below 1 for a truncated or damaged file."""
    size_change_count: int = 0
    """Times that the size or orientation changed in mid-stream; later pictures are fitted into the first size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipHeader:
    """What is known of a clip when its first frame has been decoded; sources are started with it."""

    width: int
    """Displayed width in square pixels."""
    height: int
    """Displayed height in square pixels."""
    frame_rate: Fraction
    """Nominal frames per second as the container states it; never used as a clock."""
    base_frame_rate: Fraction
    """Frames per second of the uploaded track: the profile's, or less for a long clip."""
    hdr: str | None
    """hlg or pq for HDR transfer functions, null for SDR."""
    has_audio: bool = False
    """Whether the clip has an audio stream; it may still turn out to be empty."""
    short_sound_windows: bool = True
    """Whether sounds are looked for in short windows as well, as the profile says."""
    read_windows: int = 3
    """Windows of frames that may be read while the next are filled, as the profile says."""
    stated_seconds: float | None = None
    """Duration of the video that the container states, else that its packets span; None when neither is known. A plan,
    never a clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameChunk:
    """Consecutive frames of the small track: every displayed frame, long side <= 320; for CPU sources only."""

    frames: NDArray[np.uint8]
    """uint8 RGB [n, height, width, 3]."""
    times_seconds: NDArray[np.float64]
    """[n], strictly increasing."""
    first_index: int
    """Index of the first frame in the clip."""
    is_abrupt: NDArray[np.bool_]
    """[n] whether the picture changed at once from the frame before it: a cut or a flash, not motion."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LumaFrame:
    """Luma of one frame at the size in which it was coded, neither scaled nor turned: what the coding left of it."""

    luma: NDArray[np.uint8]
    """uint8 [coded height, coded width]; full range, 0 black, 255 white, whatever the stream's own range."""
    time_seconds: float
    """The instant of the rate base/2 at which it is shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioChunk:
    """About a second of the clip's own audio, at its own rate (A48 in ANALYZERS.md, whatever the rate is).

    The chunks of a clip follow each other without a gap from time 0 on: sound before the first displayed frame is left
    out, and where there is none (before a late start, in place of damaged packets) they hold digital silence. They end
    with the sound, which may be before or after the last frame.
    """

    samples: NDArray[np.float32]
    """float32 [channels, n], full scale +-1; the layout of the first decoded samples."""
    start_seconds: float
    """Time of the first sample, >= 0."""
    sample_rate_hz: int
    channel_names: tuple[str, ...]
    """FFmpeg's names of the channels: FL, FR, FC, LFE, BL, SL, ..."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MonoChunk:
    """About a second of the clip's audio as networks hear it (A16): mono, 16 kHz; otherwise like AudioChunk."""

    samples: NDArray[np.float32]
    """float32 [n], full scale +-1; FFmpeg's downmix of all channels."""
    start_seconds: float
    """Time of the first sample, >= 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechPassage:
    """Mono sound cut where nobody speaks, with the speech in it; what the speech activity source passes on."""

    samples: NDArray[np.float32]
    """float32 [n], 16 kHz, full scale +-1; the passages of a clip follow each other without a gap."""
    start_seconds: float
    """Time of the first sample."""
    spans_seconds: NDArray[np.float64]
    """[k, 2] start and end of speech in the clip's time, sorted, disjoint, inside the passage; may be empty."""


class FrameBuffer(Protocol):
    """Memory that one window is decoded into; a shared-memory region where the server can see it."""

    @property
    def array(self) -> NDArray[np.uint8]:
        """uint8 [WINDOW_FRAMES, height, width, 3]."""

    def close(self) -> None:
        """Give the memory back."""


class Window:
    """Up to WINDOW_FRAMES frames of the uploaded track, in a buffer that lives until its last reader is done.

    Rows are ordered base/4 first, then those only in base/2, then the rest, so that every nested rate is a prefix.
    A window is born with one reference; `retain` adds one, `release` drops one, the last closes the buffer.

    The windows of a clip come in time order, except those of `ExtraWindow`.
    """

    samples: tuple[int, ...]
    """Number of the sample in every row, counted from the clip's first at the base rate; empty for extra frames."""
    times_seconds: tuple[float, ...]
    """Time of every row."""
    on_closed: Callable[[], None] | None = None
    """Called when the last reader is done."""

    def __init__(self, buffer: FrameBuffer, first_sample: int, count: int, base_frame_rate: Fraction) -> None:
        """Take over `buffer`, whose first `count` rows hold samples first_sample ... in `nested_order`."""
        self.buffer = buffer
        self.count = count
        self.samples = tuple(first_sample + k for k in nested_order(count))
        self.times_seconds = tuple(float(sample / base_frame_rate) for sample in self.samples)
        self._readers = 1
        self._lock = threading.Lock()

    def row_count(self, divisor: int) -> int:
        """Rows of the rate base/divisor: the length of its prefix. `divisor` is 1, 2 or 4."""
        return -(-self.count // divisor)

    def retain(self) -> None:
        """Add a reader."""
        with self._lock:
            self._readers += 1

    def release(self) -> None:
        """Drop a reader; the last one gives the buffer back."""
        with self._lock:
            self._readers -= 1
            last = self._readers == 0
        if last:
            self.buffer.close()
            if self.on_closed:
                self.on_closed()


class ExtraWindow(Window):
    """Frames between the samples that begin a new picture, so that every shot has one at the nested rates.

    Rows are those of base/2 first, then those that only base/4 lacks; the base rate itself has none of them. It comes
    when it is full or the clip has ended, so later than regular windows of the same time.
    """

    def __init__(self, buffer: FrameBuffer, times_seconds: Sequence[float], half_rate_count: int) -> None:
        """Take over `buffer`; its rows are shown from `times_seconds` on, base/2 lacks the first `half_rate_count`."""
        super().__init__(buffer, 0, 0, Fraction(1))
        self.count = len(times_seconds)
        self.times_seconds = tuple(times_seconds)
        self._half_rate_count = half_rate_count

    def row_count(self, divisor: int) -> int:
        """Rows that the rate base/divisor lacks: the length of its prefix. `divisor` is 1, 2 or 4."""
        return {1: 0, 2: self._half_rate_count, 4: self.count}[divisor]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackedWindow:
    """A window of the uploaded track with the objects that were found in it; what the object source passes on."""

    window: Window
    rows: NDArray[np.int64]
    """[k] row of the window that every object was found in."""
    boxes_xyxy: NDArray[np.float64]
    """[k, 4] 0-1 of the frame."""
    scores: NDArray[np.float64]
    """[k] 0-1."""
    track_ids: NDArray[np.int64]
    """[k] as far as they are known by now: -1 for an object that no track has."""

    def retain(self) -> None:
        """Add a reader of the window."""
        self.window.retain()

    def release(self) -> None:
        """Drop a reader of the window."""
        self.window.release()


def nested_order(count: int) -> tuple[int, ...]:
    """Sample offsets of a window's rows: multiples of 4, then the other even ones, then the odd ones."""
    return (*range(0, count, 4), *range(2, count, 4), *range(1, count, 2))


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelProvenance:
    """The model that answered, as it reports itself."""

    name: str
    """Model name in the repository."""
    version: str | None
    """Version that answered; null when several were serving at once and the answer cannot tell."""
    ensemble: str
    """Ensemble through which it was asked."""
    source: str
    """Where its weights came from."""
    revision: str
    """Revision of the weights at their source."""
    sha256: str | None
    """SHA-256 of the weights file."""
    licence: str
    """Licence of the weights."""
    precision: str
    """fp32 or fp16."""
    trained: bool
    """False for random weights: the signal is reported, but is evidence for nothing."""


@dataclass(slots=True)
class Deadline:
    """A point in time that every call of one job shares, so that later calls get what is left."""

    seconds: float
    """Budget from now, in seconds."""
    clock: Callable[[], float] = time.monotonic
    _end: float = field(init=False)

    def __post_init__(self) -> None:
        """Start the clock."""
        self._end = self.clock() + self.seconds

    @property
    def is_over(self) -> bool:
        """Whether nothing is left."""
        return self.clock() >= self._end

    def remaining(self, at_most_seconds: float) -> float:
        """Seconds that one call may take: at most `at_most_seconds`, at most what the job has left.

        Raises:
            DeadlineExceeded: nothing is left.
        """
        left = self._end - self.clock()
        if left <= 0:
            raise DeadlineExceeded(f"the job's {self.seconds:g} s are used up")
        return min(left, at_most_seconds)


def fitted_size(size: tuple[int, int], long_side_px: int) -> tuple[int, int]:
    """Size (in either order) scaled down, never up, to a long side of at most `long_side_px`; at least 1 px each."""
    scale = min(1.0, long_side_px / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
