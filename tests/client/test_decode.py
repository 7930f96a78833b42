"""The decoder against clips whose every frame and time is known, and against OpenCV where it is the oracle."""

from __future__ import annotations

import os
from fractions import Fraction

import cv2
import numpy as np
import pytest
from skimage.color import deltaE_ciede2000, rgb2lab

import clips
from reelscope.decode import Decoder
from reelscope.errors import InputNotFound, InputUnreadable, NoVideoStream
from reelscope.types import AudioChunk, FrameChunk, Window, nested_order


class Buffer:
    """Window memory that counts how many are alive."""

    alive = 0

    def __init__(self, height: int, width: int, rows: int) -> None:
        self.array = np.zeros((rows, height, width, 3), np.uint8)
        Buffer.alive += 1

    def close(self) -> None:
        Buffer.alive -= 1


def decode(path, rate=10):
    with Decoder(path, Fraction(rate), Buffer) as decoder:
        parts = list(decoder)
        facts = decoder.facts()
    return decoder.header, facts, parts


def small_frames(parts):
    chunks = [part for part in parts if isinstance(part, FrameChunk)]
    return np.concatenate([chunk.frames for chunk in chunks]), np.concatenate([chunk.times_seconds for chunk in chunks])


def counted(count, height=64, width=64):
    """Frames whose gray level says which one they are: 20 + 4 k, for up to 58 frames."""
    return [np.full((height, width, 3), 20 + 4 * k, np.uint8) for k in range(count)]


def frame_number(image):
    return round((float(image.mean()) - 20) / 4)


def test_every_frame_once_with_its_time(tmp_path):
    path = clips.write(tmp_path / "a.mp4", counted(40), crf=5)
    _, facts, parts = decode(path)
    frames, times = small_frames(parts)
    assert [frame_number(frame) for frame in frames] == list(range(40))
    assert np.allclose(times, np.arange(40) / 30, atol=1e-4)
    assert facts.frame_count == 40
    assert facts.duration_seconds == pytest.approx(40 / 30, abs=1e-3)
    assert facts.frame_rate_average == pytest.approx(30, abs=0.01)
    assert not facts.is_variable_frame_rate
    assert facts.coverage == 1
    assert not facts.audio.is_present


def test_uploaded_track_holds_the_frame_shown_at_each_instant(tmp_path):
    """Variable frame rate: the sample at k/rate is the last frame whose PTS is not later."""
    rng = np.random.default_rng(0)
    times = np.concatenate([[0], np.cumsum(rng.choice([0.02, 0.05, 0.15], 49))])
    path = clips.write(tmp_path / "vfr.mp4", counted(50), times=times, crf=5)
    _, facts, parts = decode(path, rate=10)
    assert facts.is_variable_frame_rate
    windows = [part for part in parts if isinstance(part, Window)]
    samples = {}
    for window in windows:
        for row, (sample, time) in enumerate(zip(window.samples, window.times_seconds, strict=True)):
            assert time == pytest.approx(sample / 10)
            samples[sample] = frame_number(window.buffer.array[row])
    assert sorted(samples) == list(range(len(samples)))
    assert len(samples) == int(np.ceil(facts.duration_seconds * 10 - 1e-6))
    for sample, found in samples.items():
        assert found == np.searchsorted(times, sample / 10 + 0.0005, side="right") - 1


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7, 13, 19, 20])
def test_nested_rates_are_prefixes(count):
    order = nested_order(count)
    assert sorted(order) == list(range(count))
    window = Window(Buffer(2, 2, 20), 40, count, Fraction(10))
    for divisor in (4, 2, 1):
        rows = window.row_count(divisor)
        assert sorted(window.samples[:rows]) == [40 + k for k in range(0, count, divisor)]
    window.release()


def test_windows_are_given_back_by_their_last_reader(tmp_path):
    path = clips.write(tmp_path / "a.mp4", counted(50), crf=10)
    Buffer.alive = 0
    _, _, parts = decode(path, rate=30)
    windows = [part for part in parts if isinstance(part, Window)]
    assert [window.count for window in windows] == [20, 20, 10]
    assert Buffer.alive == 3
    windows[0].retain()
    for window in windows:
        window.release()
    assert Buffer.alive == 1
    windows[0].release()
    assert Buffer.alive == 0


def test_unfinished_window_is_given_back(tmp_path):
    path = clips.write(tmp_path / "a.mp4", counted(50), crf=10)
    Buffer.alive = 0
    with Decoder(path, Fraction(30), Buffer) as decoder:
        next(iter(decoder))
    assert Buffer.alive == 0


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_rotation_is_applied_once(tmp_path, degrees):
    image = clips.texture(3, 120, 200)
    path = clips.rotate_tag(clips.write(tmp_path / "plain.mp4", [image] * 5, crf=5), tmp_path / "rotated.mp4", degrees)
    header, facts, parts = decode(path)
    upright = np.rot90(image, k=-degrees // 90)
    assert (header.height, header.width) == upright.shape[:2]
    assert facts.rotation_degrees == degrees
    window = next(part for part in parts if isinstance(part, Window))
    ours = window.buffer.array[0].astype(int)
    assert np.abs(ours - upright).mean() < 4
    oracle = cv2.VideoCapture(str(path)).read()[1][:, :, ::-1].astype(int)
    assert oracle.shape == ours.shape
    assert np.abs(ours - oracle).mean() < 4


def test_pixel_aspect_is_applied(tmp_path):
    path = clips.write(tmp_path / "anamorphic.mp4", counted(3, 96, 128), pixel_aspect=Fraction(4, 3))
    header, facts, parts = decode(path)
    assert (header.width, header.height) == (facts.width, facts.height) == (171, 96)
    assert next(part for part in parts if isinstance(part, Window)).buffer.array.shape[1:3] == (96, 171)


@pytest.mark.parametrize(("height", "width"), [(2000, 1000), (720, 1280), (64, 64), (101, 35)])
def test_sizes(tmp_path, height, width):
    path = clips.write(tmp_path / "a.mp4", [clips.texture(1, height, width)] * 2)
    _, facts, parts = decode(path)
    frames, _ = small_frames(parts)
    window = next(part for part in parts if isinstance(part, Window))
    assert (facts.height, facts.width) == (height, width)
    assert max(window.buffer.array.shape[1:3]) == min(1280, max(height, width))
    assert max(frames.shape[1:3]) == min(320, max(height, width))
    aspect = window.buffer.array.shape[1] / window.buffer.array.shape[2]
    assert aspect == pytest.approx(height / width, rel=0.02)


@pytest.mark.parametrize("tagged", [True, False])
def test_colours_survive(tmp_path, tagged):
    """BT.709 where the stream says so, BT.601 where it says nothing."""
    colors = np.array(
        [[230, 30, 40], [20, 90, 200], [250, 220, 60], [30, 160, 70], [255, 255, 255], [0, 0, 0]], np.uint8
    )
    image = np.repeat(colors, 64, axis=0)[:, None].repeat(216, axis=1)
    _, _, parts = decode(clips.write(tmp_path / "a.mp4", [image] * 3, crf=10, tagged=tagged))
    window = next(part for part in parts if isinstance(part, Window))
    small, _ = small_frames(parts)
    for picture in (window.buffer.array[0], small[0]):
        step = picture.shape[0] // 6
        found = picture[step // 2 :: step, picture.shape[1] // 2]
        assert deltaE_ciede2000(rgb2lab(found / 255), rgb2lab(colors / 255)).max() < 1.0


@pytest.mark.parametrize("start", [0.0, 0.5])
def test_audio_offset(tmp_path, start):
    path = clips.write(tmp_path / "a.mkv", counted(58), tone=(start, 1.0))
    _, facts, parts = decode(path)
    assert facts.audio.is_present
    assert (facts.audio.sample_rate_hz, facts.audio.channel_count) == (48000, 1)
    assert facts.audio.offset_seconds == pytest.approx(start, abs=0.03)  # AAC's priming is one frame, 21 ms
    chunks = [part for part in parts if isinstance(part, AudioChunk)]
    samples = np.concatenate([chunk.samples for chunk in chunks], axis=1)[0]
    assert chunks[0].start_seconds == 0
    onset = int(np.argmax(np.abs(samples) > 0.1)) / 48000
    assert onset == pytest.approx(start, abs=0.005)
    middle = samples[round((start + 0.3) * 48000) : round((start + 0.6) * 48000)]  # AAC overshoots where a tone sets in
    assert np.abs(middle).max() == pytest.approx(0.5, abs=0.05)
    assert all(chunk.samples.dtype == np.float32 for chunk in chunks)


def test_one_frame(tmp_path):
    _, facts, parts = decode(clips.write(tmp_path / "one.mp4", counted(1)))
    assert facts.frame_count == 1
    assert facts.frame_rate_average is None
    assert facts.duration_seconds > 0
    assert [part.count for part in parts if isinstance(part, Window)] == [1]


def test_without_memory_nothing_is_uploaded(tmp_path):
    with Decoder(clips.write(tmp_path / "a.mp4", counted(10)), Fraction(10), None) as decoder:
        assert not any(isinstance(part, Window) for part in decoder)


def test_a_truncated_clip_says_how_much_was_covered(tmp_path):
    """Matroska needs no index, so that what is left of the file can be played."""
    whole = clips.write(tmp_path / "whole.mkv", clips.pan(1, 150), crf=20)
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * 0.6)])
    _, facts, parts = decode(cut)
    frames, _ = small_frames(parts)
    assert 0 < len(frames) < 150
    assert facts.coverage == pytest.approx(len(frames) / 150, abs=0.01)


@pytest.mark.parametrize(
    ("kind", "count", "frames", "coverage", "damage"),
    [("audio", 15, 150, 1.0, None), ("video", 3, 147, 0.98, "damaged_input"), ("video", 60, 87, 0.6, "damaged_input")],
)
def test_damaged_packets_cost_themselves(tmp_path, kind, count, frames, coverage, damage):
    path = clips.write(tmp_path / "whole.mp4", clips.pan(1, 150), crf=20, tone=(0.0, 5.0))
    with Decoder(clips.damaged(path, kind, 2.0, count), Fraction(5), None) as decoder:
        decoded = sum(len(part.frames) for part in decoder if isinstance(part, FrameChunk))
        facts = decoder.facts()
    # Of a longer run of damaged packets the decoder conceals some.
    assert frames <= decoded <= frames + 5
    assert facts.duration_seconds == pytest.approx(5.0, abs=0.05)
    assert facts.coverage == pytest.approx(coverage, abs=0.03)
    assert decoder.damage == damage
    assert (facts.audio.damaged_packet_count > 0) == (kind == "audio")


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (lambda folder: folder / "missing.mp4", InputNotFound, "no such file"),
        (lambda folder: folder, InputNotFound, "folder"),
        (lambda folder: _file(folder / "empty.mp4", b""), InputUnreadable, "empty"),
        (lambda folder: _file(folder / "text.mp4", b"this is no video\n" * 50), InputUnreadable, "not a media file"),
        (lambda folder: clips.tone_only(folder / "sound.m4a"), NoVideoStream, "audio"),
        (lambda folder: _playlist(folder), InputUnreadable, "media file"),
        (lambda folder: _script(folder), InputUnreadable, "media file"),
        (lambda folder: _fifo(folder), InputNotFound, "no regular file"),
    ],
)
def test_bad_input(tmp_path, make, error, says):
    path = make(tmp_path)
    with pytest.raises(error, match=says) as caught:
        Decoder(path, Fraction(10), Buffer)
    assert str(path) in str(caught.value)


def _file(path, content):
    path.write_bytes(content)
    return path


def _playlist(folder):
    """A playlist that points to a network address: FFmpeg must not follow it."""
    return _file(folder / "list.m3u8", b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/x.ts\n#EXT-X-ENDLIST\n")


def _script(folder):
    """FFmpeg's concat script that names another file: only files that hold their media themselves are opened."""
    clips.write(folder / "other.mp4", counted(3))
    return _file(folder / "script.mp4", b"ffconcat version 1.0\nfile other.mp4\n")


def _fifo(folder):
    os.mkfifo(folder / "pipe")
    return folder / "pipe"
