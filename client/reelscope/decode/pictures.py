"""Decoded frames as pictures: scaled, turned, and in the colours that everything behind the decoder expects."""

from __future__ import annotations

import functools
import os
from fractions import Fraction
from typing import Any

import cv2
import numpy as np
from av.video.reformatter import ColorRange, Interpolation, VideoReformatter
from numpy.typing import NDArray

from reelscope.decode import hdr
from reelscope.types import fitted_size

_SCALING = Interpolation.AREA | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
"""Without full chroma swscale takes a faster path that darkens every channel by one to two grey levels."""
_THREADS = max(1, min(8, len(os.sched_getaffinity(0)) // 2))
"""Slices that swscale scales at once, to the same pixels; the other cores are the decoder's."""
_HDR_TRANSFER: dict[int, hdr.Curve] = {16: "pq", 18: "hlg"}
"""H.273 transfer characteristics that mean HDR."""
_BT709_PRIMARIES = 1
_LIMITED, _FULL = 1, 2
"""FFmpeg's AVColorRange."""

Size = tuple[int, int]
"""Width and height in pixels."""


def hdr_curve(frame: Any) -> hdr.Curve | None:
    """HDR transfer function that a frame is tagged with; None for SDR and for untagged frames of any depth."""
    return _HDR_TRANSFER.get(int(frame.color_trc))


def rotation_degrees(frame: Any) -> int:
    """Clockwise rotation for display, to the nearest quarter turn: 0, 90, 180 or 270."""
    return -round(float(frame.rotation) / 90) % 4 * 90


class Screen:
    """The size in which a clip is displayed: that of its first frame.

    A stream may change its size or orientation on the way. Later frames are fitted into the first size as a player
    with a fixed window shows them: whole, undistorted, black around them where the shape differs.
    """

    def __init__(self, first: Any, stream: Any) -> None:
        """Take the size of the first frame."""
        self._stream = stream
        self._aspects = {(first.width, first.height): stream.sample_aspect_ratio or Fraction(1)}
        self.rotation_degrees = rotation_degrees(first)
        self.size = self.size_of(first)
        self.change_count = 0
        self._last = self._geometry(first)

    def note(self, frame: Any) -> None:
        """Take notice of the next frame, in the order of display."""
        geometry = self._geometry(frame)
        if geometry != self._last:
            aspect = self._stream.codec_context.sample_aspect_ratio or Fraction(1)
            self._aspects.setdefault((frame.width, frame.height), aspect)
            self._last = geometry
            self.change_count += 1

    def size_of(self, frame: Any) -> Size:
        """Displayed size of a frame in square pixels."""
        width = max(1, round(frame.width * self._aspects[frame.width, frame.height]))
        return (frame.height, width) if rotation_degrees(frame) % 180 else (width, frame.height)

    @staticmethod
    def _geometry(frame: Any) -> tuple[int, int, int]:
        return frame.width, frame.height, rotation_degrees(frame)


class ToRgb:
    """Converts the frames of one clip to RGB of one displayed size."""

    def __init__(self, screen: Screen, long_side_px: int) -> None:
        """Fit what `screen` displays to a long side of at most `long_side_px`."""
        self._screen = screen
        self.size = fitted_size(screen.size, long_side_px)
        self._reformatter = VideoReformatter()  # one swscale context for the whole clip

    def __call__(self, frame: Any) -> NDArray[np.uint8]:
        """uint8 RGB [height, width, 3]; may be a view of FFmpeg's memory, so copy what is kept."""
        shown = self._screen.size_of(frame)
        inner = self.size if shown == self._screen.size else _inside(shown, self.size)
        picture = self._turned(frame, inner)
        if inner == self.size:
            return picture
        left, top = (self.size[0] - inner[0]) // 2, (self.size[1] - inner[1]) // 2
        boxed = np.zeros((self.size[1], self.size[0], 3), np.uint8)
        boxed[top : top + inner[1], left : left + inner[0]] = picture
        return boxed

    def _turned(self, frame: Any, size: Size) -> NDArray[np.uint8]:
        rotation, curve = rotation_degrees(frame), hdr_curve(frame)
        width, height = size[::-1] if rotation % 180 else size
        # Planes for 16 bits: swscale's packed rgb48 loses the green of pictures that it does not scale.
        pixels = "gbrp16le" if curve else "rgb24"
        scaled = self._reformatter.reformat(frame, width, height, pixels, interpolation=_SCALING, threads=_THREADS)
        if curve:
            green, blue, red = (_plane(scaled, 1, np.uint16, number) for number in range(3))
            coded = np.asarray(cv2.merge([red, green, blue]), np.uint16)
            rgb = hdr.to_sdr(coded, curve, is_wide=frame.color_primaries != _BT709_PRIMARIES)
        else:
            rgb = _plane(scaled, 3, np.uint8)
            if _is_limited_gray(frame):
                rgb = np.asarray(cv2.LUT(rgb, _full_range(8, is_limited=True)), np.uint8)
        return np.rot90(rgb, k=-rotation // 90)


class ToLuma:
    """Converts frames to luma as it was coded: neither scaled, turned nor tone-mapped."""

    def __init__(self) -> None:
        """Prepare for what has no luma plane."""
        self._reformatter = VideoReformatter()

    def __call__(self, frame: Any) -> NDArray[np.uint8]:
        """uint8 [coded height, coded width], full range, in memory of its own; of RGB what swscale takes for luma."""
        if bits := _luma_plane_bits(frame.format):
            codes = _plane(frame, 1, np.uint8 if bits == 8 else np.uint16)
            return np.asarray(cv2.LUT(codes, _full_range(bits, is_limited=_is_limited(frame))), np.uint8)
        gray = self._reformatter.reformat(
            frame,
            format="gray",
            dst_colorspace=frame.colorspace,
            dst_color_range=ColorRange.JPEG,
            interpolation=_SCALING,
            threads=1,
        )
        return np.array(_plane(gray, 1, np.uint8))


def _inside(size: Size, frame: Size) -> Size:
    """`size` scaled to fit into `frame`, at least 1 px each."""
    scale = min(frame[0] / size[0], frame[1] / size[1])
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _plane(frame: Any, channels: int, kind: type[Any], number: int = 0) -> NDArray[Any]:
    """A plane of full size as a view, [height, width] or [height, width, channels]."""
    plane = frame.planes[number]
    samples = np.frombuffer(memoryview(plane), kind).reshape(-1, plane.line_size // np.dtype(kind).itemsize)
    picture = samples[: frame.height, : frame.width * channels]
    return picture if channels == 1 else picture.reshape(frame.height, frame.width, channels)


def _luma_plane_bits(pixels: Any) -> int:
    """Bits of a sample where the first plane holds luma and nothing else, in a form that we can read; else 0."""
    first, *others = pixels.components
    is_alone = first.is_luma and not pixels.has_palette and all(each.plane for each in others)
    # Names like p010 hold their samples in the upper bits.
    return int(first.bits) if is_alone and not pixels.is_big_endian and not pixels.name.startswith("p") else 0


def _is_gray(pixels: Any) -> bool:
    return len(pixels.components) == 1 and not pixels.has_palette


def _is_limited_gray(frame: Any) -> bool:
    """Whether swscale would take a frame for flatter than it is: it knows gray of full range only."""
    return frame.color_range == _LIMITED and _is_gray(frame.format)


def _is_limited(frame: Any) -> bool:
    """Whether the samples of a luma plane are of limited range; as swscale has it where nothing is said."""
    is_full = frame.format.name.startswith("yuvj") or (_is_gray(frame.format) and frame.color_range != _LIMITED)
    return not is_full and frame.color_range != _FULL


@functools.cache
def _full_range(bits: int, *, is_limited: bool) -> NDArray[np.uint8]:
    """Every value of `bits` (and, for the look-up, of its whole word) to full range, 0-255."""
    codes = np.arange(256 if bits == 8 else 65536) / 2 ** (bits - 8)
    levels = (codes - 16) * 255 / 219 if is_limited else codes * 255 / (256 - 2 ** (8 - bits))
    table: NDArray[np.uint8] = np.clip(np.rint(levels), 0, 255).astype(np.uint8)
    return table
