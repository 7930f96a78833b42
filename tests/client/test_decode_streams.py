"""Streams that are cut short, change on the way, start late, state nothing, or last too long."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest
from av.video.frame import PictureType

import clips
from reelscope.decode import MAX_SAMPLES, Decoder
from reelscope.errors import InputTooLong, InputUnreadable
from reelscope.types import AudioChunk, FrameChunk

VP9 = {"deadline": "realtime", "cpu-used": "8"}
FRAMES = 60


def decode(path, **options):
    with Decoder(path, Fraction(10), None, **options) as decoder:
        parts = list(decoder)
        facts = decoder.facts()
    chunks = [part for part in parts if isinstance(part, FrameChunk)]
    return decoder, facts, np.concatenate([chunk.frames for chunk in chunks]), parts


def gray(level, height=96, width=64):
    return np.full((height, width, 3), level, np.uint8)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """One clip of 2 s in every container, with sound."""
    folder = tmp_path_factory.mktemp("whole")
    frames = clips.pan(1, FRAMES, height=128, width=96)
    kinds = {
        "index_first.mp4": {"container_options": {"movflags": "faststart"}},
        "index_last.mp4": {},
        "fragmented.mp4": {"container_options": {"movflags": "frag_keyframe+empty_moov"}},
        "a.mkv": {},
        "a.webm": {"codec": "libvpx-vp9", "options": VP9},
        "a.ts": {},
        "a.avi": {},
        "a.flv": {},
    }
    return {
        name: clips.write(folder / name, frames, tone=(0.0, FRAMES / 30), **{"options": {"g": "15"}} | options)
        for name, options in kinds.items()
    }


@pytest.mark.parametrize(
    "name", ["index_first.mp4", "index_last.mp4", "fragmented.mp4", "a.mkv", "a.webm", "a.ts", "a.avi", "a.flv"]
)
def test_cut_short_at_every_tenth(whole, tmp_path, name):
    """Whatever is left is analysed and said to be a part; nothing else passes for a clip."""
    data = whole[name].read_bytes()
    decoder, facts, frames, _ = decode(whole[name])
    assert (facts.coverage, decoder.damage, len(frames)) == (1.0, None, FRAMES)
    decoded = 0
    for tenth in range(1, 10):
        size = len(data) * tenth // 10
        if name.endswith(".ts") and size % 188 == 0:
            size += 1  # a TS that ends with a whole packet says nothing of what followed
        path = tmp_path / name
        path.write_bytes(data[:size])
        try:
            decoder, facts, frames, _ = decode(path)
        except InputUnreadable:
            continue
        decoded += 1
        assert facts.coverage < 1
        assert decoder.damage == "truncated_input"
        if name not in ("a.ts", "fragmented.mp4"):  # those do not say how long they were
            assert facts.coverage == pytest.approx(len(frames) / FRAMES, abs=0.07)
    assert decoded >= (0 if name == "index_last.mp4" else 5)


def test_all_frames_of_an_avi_with_reordered_frames(tmp_path):
    """AVI states no PTS: the frames are displayed one per tick all the same."""
    levels = [20 + 3 * k for k in range(FRAMES)]
    path = clips.write(
        tmp_path / "a.avi", [gray(level) for level in levels], options={"bf": "2", "b-adapt": "0", "crf": "5"}
    )
    with av.open(str(path)) as container:
        assert any(frame.pict_type == PictureType.B for frame in container.decode(video=0))
    _, facts, frames, parts = decode(path)
    assert np.abs(frames.mean(axis=(1, 2, 3)) - levels).max() < 2
    times = np.concatenate([part.times_seconds for part in parts if isinstance(part, FrameChunk)])
    assert np.allclose(times, np.arange(FRAMES) / 30)
    assert facts.coverage == 1


def joined(folder, *segments):
    """One MPEG-TS of several: what an adaptive stream leaves when it is recorded."""
    path = folder / "joined.ts"
    path.write_bytes(b"".join(segment.read_bytes() for segment in segments))
    return path


def test_size_changes_in_mid_stream(tmp_path):
    """Portrait, then landscape, then portrait of another size: all of it within the first frame, undistorted."""
    tall, wide = gray(200, 320, 180), gray(100, 180, 320)
    tall[:, :90] = 60
    wide[:, :160] = 220
    small = tall[::2, ::2]
    path = joined(
        tmp_path,
        clips.write(tmp_path / "1.ts", [tall] * 15, crf=5, times=1.0 + np.arange(15) / 30),
        clips.write(tmp_path / "2.ts", [wide] * 15, crf=5, times=1.5 + np.arange(15) / 30),
        clips.write(tmp_path / "3.ts", [small] * 15, crf=5, times=2.0 + np.arange(15) / 30),
    )
    decoder, facts, frames, parts = decode(path)
    times = np.concatenate([part.times_seconds for part in parts if isinstance(part, FrameChunk)])
    assert np.allclose(times, np.arange(45) / 30, atol=1e-3)
    assert facts.size_change_count == 2
    assert facts.coverage == 1
    assert decoder.damage is None
    assert (facts.width, facts.height) == (180, 320)
    assert frames.shape == (45, 320, 180, 3)
    assert np.abs(frames[0].astype(int) - tall).mean() < 2
    # 320x180 in 180x320 is 180x101.
    boxed = frames[20].mean(axis=2)
    lit = np.flatnonzero(boxed.mean(axis=1) > 50)
    assert (lit[0], lit[-1]) == pytest.approx((109, 210), abs=1)
    assert (boxed[:105].max(), boxed[215:].max()) == (0, 0)
    assert boxed[160, 40] == pytest.approx(220, abs=3)
    assert boxed[160, 140] == pytest.approx(100, abs=3)
    assert np.abs(frames[40].astype(int) - tall).mean() < 3


def test_pixel_format_changes_in_mid_stream(tmp_path):
    first, second = clips.texture(1, 96, 64), clips.texture(2, 96, 64)
    path = joined(
        tmp_path,
        clips.write(tmp_path / "1.ts", [first] * 10, crf=5, times=(30 + np.arange(10)) / 30),
        clips.write(tmp_path / "2.ts", [second[:95]] * 10, crf=5, times=(40 + np.arange(10)) / 30),
    )
    with av.open(str(path)) as container:
        assert {frame.format.name for frame in container.decode(video=0)} == {"yuv420p", "yuv444p"}
    _, facts, frames, _ = decode(path, luma=True)
    assert len(frames) == 20
    assert facts.size_change_count == 1
    assert np.abs(frames[15, :95].astype(int) - second[:95]).mean() < 4


def test_an_unchanging_stream_has_no_size_changes(whole):
    assert decode(whole["a.mkv"])[1].size_change_count == 0


@pytest.mark.parametrize(("height", "width"), [(641, 361), (4001, 15), (1, 1)])
def test_odd_sizes(tmp_path, height, width):
    color = np.array((200, 120, 60))
    luma, blue, red = 16 + 219 * color / 255 @ (0.299, 0.587, 0.114), 90.0, 160.0
    planes = [np.full((height, width), round(code), np.uint8) for code in (luma, blue, red)]
    path = clips.write_coded(tmp_path / "odd.mkv", planes, "yuv444p", codec="ffv1")
    _, facts, frames, _ = decode(path, luma=True)
    assert (facts.width, facts.height) == (width, height)
    scale = min(1, 320 / max(height, width))
    assert frames.shape[1:3] == (max(1, round(height * scale)), max(1, round(width * scale)))
    # BT.601, limited: what an untagged stream is.
    expected = 1.164 * (planes[0][0, 0] - 16.0) + np.array([1.596 * 32, -0.392 * -38 - 0.813 * 32, 2.017 * -38])
    assert np.abs(frames[0] - expected).max() <= 2


def test_too_long_by_what_it_states(tmp_path):
    path = clips.write(tmp_path / "a.mp4", [gray(50)] * 60)
    with pytest.raises(InputTooLong, match=r"a\.mp4: 2 s long, more than the 1\.5 s"):
        Decoder(path, Fraction(10), None, max_seconds=1.5)
    assert decode(path, max_seconds=2.0)[1].frame_count == 60


def test_too_long_by_its_packets(tmp_path):
    """A live recording states no duration."""
    path = clips.write(tmp_path / "a.mkv", [gray(50)] * 60, container_options={"live": "1"})
    with pytest.raises(InputTooLong):
        Decoder(path, Fraction(10), None, max_seconds=1.5)
    decoder, facts, *_ = decode(path)
    assert decoder.header.stated_seconds == pytest.approx(2.0, abs=0.05)
    assert facts.coverage == 1


def test_too_long_by_what_it_turns_out_to_be(tmp_path):
    path = clips.write(tmp_path / "a.mkv", [gray(50)] * 60)
    data = path.read_bytes()
    assert data.count(b"00:00:02.") == 1
    path.write_bytes(data.replace(b"00:00:02.", b"00:00:01."))
    with Decoder(path, Fraction(10), None, max_seconds=1.5) as decoder:
        assert decoder.header.stated_seconds == pytest.approx(1.0, abs=0.05)
        with pytest.raises(InputTooLong):
            list(decoder)


def test_long_clips_are_sampled_less_often(tmp_path):
    """Two frames over ten minutes: as many samples as a clip may have, at every nested rate."""
    path = clips.write(tmp_path / "long.mkv", [gray(50), gray(90), gray(90)], times=[0.0, 599.0, 599.96])
    with Decoder(path, Fraction(10), None, luma=True) as decoder:
        assert decoder.header.base_frame_rate == Fraction(MAX_SAMPLES, 600)
        count = sum(type(part).__name__ == "LumaFrame" for part in decoder)
    assert count == MAX_SAMPLES / 2
    with Decoder(path, Fraction(2), None) as decoder:
        assert decoder.header.base_frame_rate == 2, "never more often than the profile says"


def test_stated_seconds(whole):
    for path in whole.values():
        assert decode(path)[0].header.stated_seconds == pytest.approx(2.0, abs=0.11), path.name


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts", "flv"])
@pytest.mark.parametrize(("picture", "sound"), [(1.0, 2.5), (2.5, 1.0)])
def test_sound_and_picture_of_different_length(tmp_path, suffix, picture, sound):
    frames = [gray(50)] * round(picture * 30)
    path = clips.write(tmp_path / f"a.{suffix}", frames, tone=(0.0, sound))
    decoder, facts, _, parts = decode(path)
    assert facts.duration_seconds == pytest.approx(picture, abs=0.05)
    assert (facts.coverage, decoder.damage) == (1.0, None)
    last = [part for part in parts if isinstance(part, AudioChunk)][-1]
    assert last.start_seconds + last.samples.shape[1] / 48000 == pytest.approx(sound, abs=0.1)


@pytest.mark.parametrize(("suffix", "start"), [("mp4", 2.0), ("mkv", 2.0), ("ts", 2.0), ("mkv", -0.5), ("ts", -0.5)])
def test_time_begins_with_the_picture(tmp_path, suffix, start):
    """Wherever the stream's own clock stands then."""
    path = clips.write(
        tmp_path / f"a.{suffix}", [gray(50)] * 30, times=start + np.arange(30) / 30, tone=(max(0.0, start - 1), 1.0)
    )
    decoder, facts, _, parts = decode(path)
    times = np.concatenate([part.times_seconds for part in parts if isinstance(part, FrameChunk)])
    assert np.allclose(times, np.arange(30) / 30, atol=1.5e-3)
    assert (facts.coverage, decoder.damage) == (1.0, None)
    assert facts.audio.offset_seconds == pytest.approx(max(0.0, start - 1) - start, abs=0.03)


def test_a_video_stream_without_a_frame(tmp_path):
    for name in ("a.mkv", "a.avi"):
        path = tmp_path / name
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=30)
            stream.width, stream.height, stream.pix_fmt = 64, 96, "yuv420p"
            container.start_encoding()
        with pytest.raises(InputUnreadable) as caught:
            Decoder(path, Fraction(10), None)
        assert str(path) in str(caught.value)


@pytest.mark.parametrize("suffix", ["mkv", "avi", "ts", "flv"])
def test_one_frame(tmp_path, suffix):
    _, facts, frames, parts = decode(clips.write(tmp_path / f"a.{suffix}", [gray(50)]), luma=True)
    assert len(frames) == facts.frame_count == 1
    assert facts.duration_seconds > 0
    assert facts.coverage == 1
    assert [part.time_seconds for part in parts if type(part).__name__ == "LumaFrame"] == [0]
