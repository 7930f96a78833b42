"""Clips to measure on, made on the fly: shots of noisy texture under a moving camera, somebody speaking over a tone."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import soxr
from numpy.typing import NDArray

from benchmarks.asking import SENTENCE
from reelscope_export import spoken

SHOT_SECONDS = 1.25
PAN_WIDTHS_PER_SECOND = 0.25
NOISE_SIGMA = 5.0
"""Grey levels; 1080x1920 comes to 5 Mbit/s, as uploads have."""
BRIGHTNESS = 0.5
"""Share of the full range: a detector with random weights sees hundreds of objects in brighter texture."""
SAMPLE_RATE_HZ = 48_000
LAYOUTS = {1: "mono", 2: "stereo"}
TONE_HZ = 440
PAUSE_SECONDS = 1.0
"""Between two sentences."""


def write_clip(path: Path, *, width: int, height: int, rate: int, seconds: float, preset: str = "veryfast") -> Path:
    """Encode H.264 at x264's crf 23 and AAC; every shot is cut hard, and pans another way over another texture."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=rate)
        video.width, video.height, video.pix_fmt = width, height, "yuv420p"
        # Without B frames and open groups, what was encoded can be repeated packet by packet.
        video.options = {"crf": "23", "preset": preset, "bf": "0", "x264-params": "open-gop=0"}
        sound = container.add_stream("aac", rate=SAMPLE_RATE_HZ, layout="mono")
        for frame in _frames(width, height, rate, round(seconds * rate)):
            container.mux(video.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(video.encode(None))
        container.mux(sound.encode(_sound(seconds)))
        container.mux(sound.encode(None))
    return path


def write_repeated(path: Path, source: Path, seconds: float) -> Path:
    """Repeat a clip of constant frame rate up to a duration: its pictures without encoding them again, its sound anew.

    With B frames, `seconds` must be a multiple of the clip's.
    """
    sound_once = _decoded_sound(source)
    with av.open(str(source)) as once:
        picture: Any = once.streams.video[0]
        packets = [packet for packet in once.demux(picture) if packet.dts is not None]
        length = picture.duration
        with av.open(str(path), "w") as container:
            video = container.add_stream_from_template(picture)
            video.time_base = picture.time_base
            sound = container.add_stream("aac", rate=SAMPLE_RATE_HZ, layout=LAYOUTS[len(sound_once)])
            once_seconds = float(length * picture.time_base)
            for repeat in range(math.ceil(seconds / once_seconds)):
                first = repeat * once_seconds
                container.mux(sound.encode(_audio(sound_once, min(once_seconds, seconds - first), first)))
                for payload in packets:
                    if first + payload.pts * payload.time_base >= seconds:
                        break
                    packet = av.Packet(bytes(payload))
                    packet.stream, packet.time_base, packet.is_keyframe = video, payload.time_base, payload.is_keyframe
                    packet.pts, packet.dts = payload.pts + repeat * length, payload.dts + repeat * length
                    packet.duration = payload.duration
                    container.mux(packet)
            container.mux(sound.encode(None))
    return path


def _frames(width: int, height: int, rate: int, count: int) -> Iterator[NDArray[np.uint8]]:
    """uint8 RGB [height,width,3]; the same at every call."""
    random = np.random.default_rng(0)
    noise = random.normal(0, NOISE_SIGMA, (height + 64, width + 64, 3)).astype(np.int16)
    per_shot = round(SHOT_SECONDS * rate)
    step = width * PAN_WIDTHS_PER_SECOND / rate
    reach = math.ceil(step * per_shot)
    for k in range(count):
        shot, place = divmod(k, per_shot)
        if place == 0:
            scene = _texture(random, height + reach, width + reach).astype(np.int16)
        moved = round(step * place)
        x = moved if shot % 2 == 0 else reach - moved
        y = moved if shot % 4 >= 2 else 0
        grain_x, grain_y = random.integers(0, 64, 2)
        grain = noise[grain_y : grain_y + height, grain_x : grain_x + width]
        yield np.clip(scene[y : y + height, x : x + width] + grain, 0, 255).astype(np.uint8)


def _texture(random: np.random.Generator, height: int, width: int) -> NDArray[np.uint8]:
    """Random colours at scales of 4 to 256 px, uint8 [height,width,3]: corners, edges, areas, as in photographs."""
    image = np.zeros((height, width, 3), np.float32)
    for cell in (4, 8, 16, 32, 64, 128, 256):
        coarse = random.random((height // cell + 2, width // cell + 2, 3)).astype(np.float32)
        image += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC) * cell**0.7
    cv2.normalize(image, image, 0, 255 * BRIGHTNESS, cv2.NORM_MINMAX)
    return image.astype(np.uint8)


def _sound(seconds: float) -> av.AudioFrame:
    count = round(seconds * SAMPLE_RATE_HZ)
    tone = 0.02 * np.sin(2 * np.pi * TONE_HZ * np.arange(count) / SAMPLE_RATE_HZ)
    return _audio((tone + np.resize(_sentence(), count)).astype(np.float32)[None], seconds, 0)


def _audio(samples: NDArray[np.float32], seconds: float, start_seconds: float) -> av.AudioFrame:
    """The first `seconds` of [channels,n] as a frame; silence where they are fewer."""
    count = round(seconds * SAMPLE_RATE_HZ)
    padded = np.pad(samples[:, :count], ((0, 0), (0, max(0, count - samples.shape[1]))))
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(padded), format="fltp", layout=LAYOUTS[len(samples)])
    frame.sample_rate, frame.time_base = SAMPLE_RATE_HZ, Fraction(1, SAMPLE_RATE_HZ)
    frame.pts = round(start_seconds * SAMPLE_RATE_HZ)
    return frame


def _decoded_sound(clip: Path) -> NDArray[np.float32]:
    """[channels,n] at SAMPLE_RATE_HZ, which the clip must have."""
    with av.open(str(clip)) as container:
        assert container.streams.audio[0].rate == SAMPLE_RATE_HZ, container.streams.audio[0].rate
        return np.concatenate([frame.to_ndarray() for frame in container.decode(audio=0)], axis=1)


@functools.cache
def _sentence() -> NDArray[np.float32]:
    """A sentence and the pause behind it."""
    speech = soxr.resample(spoken.say(SENTENCE), spoken.SAMPLE_RATE_HZ, SAMPLE_RATE_HZ)
    pause = np.zeros(round(PAUSE_SECONDS * SAMPLE_RATE_HZ), np.float32)
    return np.concatenate([0.5 * speech / np.abs(speech).max(), pause])
