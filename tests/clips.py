"""Synthetic clips with known truth: textures, shots, and an encoder that takes any time stamps."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from av.video.reformatter import Colorspace
from numpy.typing import NDArray

Frame = NDArray[np.uint8]
CLOCK = Fraction(1, 90000)
SOUND = {".webm": "libopus", ".avi": "libmp3lame"}
"""Encoders of sound, for the containers that take no AAC (or none that FFmpeg reads back)."""


def texture(seed: int, height: int, width: int) -> Frame:
    """Smooth random colours at four scales, tinted: a stand-in for a photograph, uint8 RGB."""
    rng = np.random.default_rng(seed)
    image = np.zeros((height, width, 3), np.float32)
    for cell in (8, 16, 32, 64):
        noise = rng.random((height // cell + 2, width // cell + 2, 3)).astype(np.float32)
        image += cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC) * cell
    image = (image - image.min()) / (image.max() - image.min())
    return (np.clip(image * (rng.random(3) * 0.6 + 0.4), 0, 1) * 255).astype(np.uint8)


def pan(seed: int, count: int, px_per_frame: int = 4, height: int = 320, width: int = 180) -> list[Frame]:
    """A camera that pans over a texture at constant speed."""
    image = texture(seed, height, width + px_per_frame * count + 8)
    return [image[:, k * px_per_frame : k * px_per_frame + width] for k in range(count)]


def shots(cuts: Sequence[int], count: int, **options: int) -> list[Frame]:
    """Panning shots of different textures, cut at the given frames."""
    edges = [0, *cuts, count]
    return [
        frame
        for number, (first, end) in enumerate(itertools.pairwise(edges))
        for frame in pan(number + 1, end - first, **options)
    ]


def write(
    path: Path,
    frames: Iterable[Frame],
    *,
    rate: int = 30,
    times: Sequence[float] | None = None,
    crf: int = 23,
    codec: str = "libx264",
    tagged: bool = True,
    pixel_aspect: Fraction | None = None,
    tone: tuple[float, float] | None = None,
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
) -> Path:
    """Encode frames, to H.264 if nothing else is said.

    Args:
        path: file to write; its suffix chooses the container.
        frames: uint8 RGB, all of one size.
        rate: nominal frames per second.
        times: seconds of every frame; regular at `rate` when left out.
        crf: x264's quality.
        codec: encoder.
        tagged: BT.709 limited and said so; else BT.601 limited without a word.
        pixel_aspect: width over height of a pixel.
        tone: (start_seconds, duration_seconds) of a 440 Hz mono tone, AAC where the container takes it.
        options: the encoder's options, in place of x264's.
        container_options: FFmpeg's options of the container.
    """
    matrix = Colorspace.ITU709 if tagged else Colorspace.ITU601
    with av.open(str(path), "w", container_options=container_options or {}) as container:
        stream, sound = None, None
        for k, frame in enumerate(frames):
            if stream is None:
                stream = container.add_stream(codec, rate=rate)
                stream.height, stream.width = frame.shape[:2]
                stream.pix_fmt = "yuv420p" if frame.shape[0] % 2 == frame.shape[1] % 2 == 0 else "yuv444p"
                stream.options = options or {"crf": str(crf), "preset": "veryfast"}
                # AVI counts frames.
                clock = Fraction(1, rate) if path.suffix == ".avi" else CLOCK
                stream.codec_context.time_base = stream.time_base = clock
                if pixel_aspect:
                    stream.codec_context.sample_aspect_ratio = pixel_aspect
                if tagged:
                    context = stream.codec_context
                    context.colorspace = context.color_primaries = context.color_trc = 1
                    context.color_range = 1
                if tone:
                    sound = container.add_stream(SOUND.get(path.suffix, "aac"), rate=48000, layout="mono")
            image = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24").reformat(
                format=stream.pix_fmt, dst_colorspace=matrix, dst_color_range=1
            )
            seconds = times[k] if times is not None else k / rate
            image.pts, image.time_base = round(seconds / clock), clock
            container.mux(stream.encode(image))
        container.mux(stream.encode(None))
        if sound is not None:
            _encode_tone(container, sound, *tone)
    return path


def write_coded(
    path: Path,
    planes: Sequence[NDArray[np.unsignedinteger]],
    pixels: str,
    *,
    codec: str,
    tags: tuple[int, int, int, int] = (0, 2, 2, 2),
    options: dict[str, str] | None = None,
    count: int = 3,
) -> Path:
    """Encode one picture `count` times at 30 frames per second from its coded values.

    Args:
        path: file to write.
        planes: one [height, width] per plane, uint8 or uint16; packed pixels are one wide plane.
        pixels: FFmpeg's name of the pixel format.
        codec: encoder.
        tags: range (1 limited, 2 full), primaries, transfer and matrix as H.273 numbers them.
        options: the encoder's options.
        count: frames.
    """
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=30)
        frame = av.VideoFrame(*_picture_size(planes, pixels), pixels)
        stream.width, stream.height, stream.pix_fmt = frame.width, frame.height, pixels
        stream.options = options or {}
        context = stream.codec_context
        context.color_range, context.color_primaries, context.color_trc, context.colorspace = tags
        for plane, values in zip(frame.planes, planes, strict=True):
            rows = np.zeros((plane.buffer_size // plane.line_size, plane.line_size // values.itemsize), values.dtype)
            rows[: values.shape[0], : values.shape[1]] = values
            plane.update(rows.tobytes())
        frame.color_range, frame.colorspace = tags[0], tags[3]
        for k in range(count):
            frame.pts, frame.time_base = k, Fraction(1, 30)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def _picture_size(planes: Sequence[NDArray[np.unsignedinteger]], pixels: str) -> tuple[int, int]:
    """Width and height of the picture whose first plane is given."""
    height, width = planes[0].shape
    return width // {"rgb24": 3, "yuyv422": 2}.get(pixels, 1), height


def _encode_tone(container, stream, start_seconds: float, duration_seconds: float) -> None:
    samples = np.sin(2 * np.pi * 440 * np.arange(round(48000 * duration_seconds)) / 48000).astype(np.float32) * 0.5
    size = stream.codec_context.frame_size or 1024
    for first in range(0, len(samples), size):
        block = av.AudioFrame.from_ndarray(samples[None, first : first + size], format="fltp", layout="mono")
        block.sample_rate, block.time_base = 48000, Fraction(1, 48000)
        block.pts = round(start_seconds * 48000) + first
        container.mux(stream.encode(block))
    container.mux(stream.encode(None))


def sounding(
    path: Path,
    waveform: NDArray[np.float32],
    rate: int,
    *,
    layout: str = "mono",
    codec: str = "pcm_s16le",
    form: str = "s16",
    start_seconds: float = 0.0,
    picture_seconds: float | None = None,
) -> Path:
    """A grey picture, 10 frames a second, with this sound.

    Args:
        path: file to write; Matroska holds PCM as it is.
        waveform: float32 [n] or [channels, n], full scale +-1.
        rate: samples per second.
        layout: FFmpeg's name of the channels' layout.
        codec: encoder of the sound.
        form: sample format that the encoder takes.
        start_seconds: when the sound begins.
        picture_seconds: length of the picture; the sound's own when left out.
    """
    samples = np.atleast_2d(np.clip(waveform, -1, 1)).astype(np.float32)
    seconds = samples.shape[1] / rate if picture_seconds is None else picture_seconds
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=10)
        video.width, video.height, video.pix_fmt = 64, 64, "yuv420p"
        sound = container.add_stream(codec, rate=rate, layout=layout)
        sound.format = form
        grey = np.full((64, 64, 3), 128, np.uint8)
        for _ in range(max(1, int(np.ceil(10 * seconds)))):
            container.mux(video.encode(av.VideoFrame.from_ndarray(grey, format="rgb24")))
        container.mux(video.encode(None))
        resampler = av.AudioResampler(form, layout, rate)
        for first in range(0, samples.shape[1], 1024):
            block = np.ascontiguousarray(samples[:, first : first + 1024])
            frame = av.AudioFrame.from_ndarray(block, format="fltp", layout=layout)
            frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
            frame.pts = first + round(start_seconds * rate)
            for converted in resampler.resample(frame):
                container.mux(sound.encode(converted))
        container.mux(sound.encode(None))
    return path


def rotate_tag(source: Path, target: Path, clockwise_degrees: int) -> Path:
    """Copy an MP4 and write a display rotation into its video track header, as phones do."""
    cos, sin = {0: (1, 0), 90: (0, 1), 180: (-1, 0), 270: (0, -1)}[clockwise_degrees]
    data = bytearray(source.read_bytes())
    at = data.index(b"tkhd") + 4
    matrix = at + (52 if data[at] == 1 else 40)  # version 1 headers hold 64-bit times
    values = (cos << 16, sin << 16, 0, -sin << 16, cos << 16, 0, 0, 0, 1 << 30)
    data[matrix : matrix + 36] = b"".join(value.to_bytes(4, "big", signed=True) for value in values)
    target.write_bytes(data)
    return target


def tone_only(path: Path, seconds: float = 1.0) -> Path:
    """A media file without video."""
    with av.open(str(path), "w") as container:
        _encode_tone(container, container.add_stream("aac", rate=48000, layout="mono"), 0.0, seconds)
    return path


def damaged(path: Path, kind: str, start_seconds: float, count: int) -> Path:
    """Overwrite packets of one stream of an MP4."""
    with av.open(str(path)) as container:
        hit = [
            packet
            for packet in container.demux()
            if packet.size and packet.stream.type == kind and float(packet.pts * packet.time_base) >= start_seconds
        ][:count]
        places = [(packet.pos, packet.size) for packet in hit]
    data = bytearray(path.read_bytes())
    for position, size in places:
        data[position : position + size] = b"\xff" * size
    other = path.with_name(f"{kind}-{count}.mp4")
    other.write_bytes(data)
    return other
