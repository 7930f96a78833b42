"""Bad input, one row each: one typed error, one exit code, a message that names what and where, and nothing left.

Everything goes through the command line, with the analyzers that need no server.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import resource
import struct
import tempfile
import threading
import time
from pathlib import Path

import av
import numpy as np
import pytest
from typer.testing import CliRunner

import clips
from places import DEMO
from reelscope import check, cli, pipeline
from reelscope.decode import container
from reelscope.inference import memory
from reelscope.inference.connection import connect
from reelscope.processes import ProcessIdentity

# What a command imports on the way must not need the rights that a test takes away.
from reelscope import decode, results  # isort: skip  # noqa: F401

LOCAL = ",".join(
    each.name for each in pipeline.select(None) if not pipeline.needed_ensembles(pipeline.select([each.name]))
)


@pytest.fixture(autouse=True)
def scratch(tmp_path, monkeypatch):
    """A temporary folder of this test alone."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setenv("COLUMNS", "400")
    return folder


def own_regions():
    me = ProcessIdentity.of(os.getpid())
    return [path.name for path in memory.SHARED_MEMORY.glob(f"{me.prefix(memory._NAME)}*")]


def analyze(clip, output, *options, only=LOCAL):
    """Run the command; whatever comes of it, nothing but results.json and report.html may be left."""
    threads = threading.active_count()
    done = CliRunner().invoke(cli.app, ["analyze", str(clip), "-o", str(output), "--only", only, *options])
    assert "Traceback" not in done.output
    assert done.exception is None or isinstance(done.exception, SystemExit), repr(done.exception)
    assert list(Path(tempfile.gettempdir()).iterdir()) == []
    assert own_regions() == []
    deadline = time.monotonic() + 10
    while threading.active_count() > threads and time.monotonic() < deadline:
        time.sleep(0.01)  # a source that was given up ends when it has done its piece
    assert threading.active_count() <= threads
    assert str(clip) not in {os.readlink(link) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()}
    return done


def refused(clip, output, code, says, *options):
    """The clip is refused before anything is written: exit 4, one line with code, path and reason."""
    done = analyze(clip, output, *options)
    assert done.exit_code == 4, done.output
    (line,) = done.stderr.strip().splitlines()
    assert re.match(rf"error \({code}\): {re.escape(str(clip))}: .*({says})", line)
    assert not output.exists()


def accepted(clip, output, *options):
    """Every analyzer answered and the results keep the invariants; returns them."""
    done = analyze(clip, output, *options)
    assert done.exit_code == 0, done.output
    return read(output)


def read(output):
    assert {file.name for file in output.iterdir()} == {"report.html", "results.json"}
    values = json.loads((output / "results.json").read_text(encoding="utf-8"))
    assert check.check(values) == []
    return values


def _file(path, content):
    path.write_bytes(content)
    return path


def _link(folder, target):
    (folder / "link.mp4").symlink_to(target)
    return folder / "link.mp4"


def _picture(path):
    with av.open(str(path), "w", format="image2") as container:
        stream = container.add_stream("mjpeg")
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuvj420p"
        container.mux(stream.encode(av.VideoFrame(64, 64, "yuvj420p")))
        container.mux(stream.encode(None))
    return path


def _without_frames(path):
    """A container that announces a video stream and holds not one packet of it."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        container.start_encoding()
    return path


def _enormous(path):
    """A file of a few kilobytes whose header speaks of 100,000 x 100,000 pixels."""
    clips.write(path, clips.pan(1, 3, height=64, width=48), codec="ffv1")
    data = bytearray(path.read_bytes())
    at = data.index(b"strf") + 12  # after the chunk's size and the header's own
    assert struct.unpack_from("<ii", data, at) == (48, 64)
    struct.pack_into("<ii", data, at, 100_000, 100_000)
    return _file(path, bytes(data))


def _playlist(path, text):
    """A text that tells FFmpeg to open the clip beside it."""
    clips.write(path.with_name("beside.mp4"), clips.pan(1, 3))
    return _file(path, text.encode())


HLS = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nbeside.mp4\n#EXT-X-ENDLIST\n"


def _blind(path):
    """Sound is whole, and every packet of the video is overwritten."""
    clips.write(path, clips.pan(1, 10), tone=(0.0, 0.3))
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        for packet in container.demux(video=0):
            if packet.size:
                data[packet.pos : packet.pos + packet.size] = b"\xff" * packet.size
    return _file(path, bytes(data))


REFUSED = {
    "missing": (lambda folder: folder / "a.mp4", "input_not_found", "no such file"),
    "name too long": (lambda folder: folder / f"{'a' * 300}.mp4", "input_unreadable", "File name too long"),
    "folder": (lambda folder: folder, "input_not_found", "is a folder"),
    "link to nothing": (lambda folder: _link(folder, "nothing"), "input_not_found", "no such file"),
    "link to itself": (lambda folder: _link(folder, "link.mp4"), "input_not_found", "no such file"),
    "device": (lambda folder: _link(folder, "/dev/zero"), "input_not_found", "no regular file"),
    "empty": (lambda folder: _file(folder / "a.mp4", b""), "input_unreadable", "empty"),
    "text": (lambda folder: _file(folder / "a.mp4", b"no clip\n" * 99), "input_unreadable", "not a media file"),
    "noise": (
        lambda folder: _file(folder / "a.mp4", np.random.default_rng(0).bytes(20_000)),
        "input_unreadable",
        "not a media file|not one frame",
    ),
    "only a header": (
        lambda folder: _file(folder / "a.mp4", DEMO.read_bytes()[:40]),
        "no_video_stream",
        "found: nothing",
    ),
    "picture": (lambda folder: _picture(folder / "a.jpg"), "input_unreadable", "not a media file"),
    "sound": (lambda folder: clips.tone_only(folder / "a.m4a"), "no_video_stream", "found: audio"),
    "no frames": (lambda folder: _without_frames(folder / "a.mp4"), "no_video_stream", "found: nothing"),
    "no frames in Matroska": (lambda folder: _without_frames(folder / "a.mkv"), "input_unreadable", "not a media file"),
    "no frames in AVI": (lambda folder: _without_frames(folder / "a.avi"), "input_unreadable", "not one frame"),
    "enormous": (lambda folder: _enormous(folder / "a.avi"), "input_unreadable", "not one frame"),
    "playlist": (lambda folder: _playlist(folder / "a.m3u8", HLS), "input_unreadable", "not a media file"),
    "playlist that says it is a clip": (
        lambda folder: _playlist(folder / "a.mp4", HLS),
        "input_unreadable",
        "not a media file",
    ),
    "concat script": (
        lambda folder: _playlist(folder / "a.mp4", "ffconcat version 1.0\nfile beside.mp4\n"),
        "input_unreadable",
        "not a media file",
    ),
    "no frame whole": (lambda folder: _blind(folder / "a.mp4"), "input_unreadable", "not one frame"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_clip_that_cannot_be_read(tmp_path, name):
    (tmp_path / "in").mkdir()
    make, code, says = REFUSED[name]
    refused(make(tmp_path / "in"), tmp_path / "out", code, says)


def test_pictures_that_grow_too_large_on_the_way_are_not_decoded(tmp_path, monkeypatch):
    monkeypatch.setattr(container, "MAX_PIXELS", 320 * 192)  # as it is coded
    content = _segment(tmp_path, 1, 320, 180, 0.0) + _segment(tmp_path, 2, 640, 360, 0.6)
    done = analyze(_file(tmp_path / "a.ts", content), tmp_path / "out")
    assert done.exit_code == 3, done.output
    assert 10 <= read(tmp_path / "out")["media"]["n_frames"] <= 15, "what its decoder still held is lost"
    refused(tmp_path / "2.ts", tmp_path / "out2", "input_unreadable", "360x640 pixels")


@pytest.mark.parametrize("hidden", ["clip", "folder"])
def test_a_clip_without_permission(tmp_path, monkeypatch, hidden):
    """Root may read everything, so that as root this acts as nobody, who owns nothing."""
    monkeypatch.setattr(tempfile, "tempdir", None)
    with tempfile.TemporaryDirectory() as name:
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
        folder, clip = Path(name), Path(name) / "in" / "a.mp4"
        clip.parent.mkdir()
        clips.write(clip, clips.pan(1, 3))
        folder.chmod(0o755)
        (clip if hidden == "clip" else clip.parent).chmod(0)
        as_root = os.geteuid() == 0
        # Nobody cannot search pytest's own folders either; what is looked at afterwards is looked at as root.
        if as_root:
            os.seteuid(65534)
        try:
            done = CliRunner().invoke(cli.app, ["analyze", str(clip), "-o", name, "--only", LOCAL])
        finally:
            if as_root:
                os.seteuid(0)
            clip.parent.chmod(0o755)
        assert sorted(path.name for path in folder.iterdir()) == ["in"]
    assert done.exit_code == 4, done.output
    assert re.fullmatch(rf"error \(input_unreadable\): {re.escape(str(clip))}: .*Permission denied.*\n", done.stderr)


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_a_clip_that_is_too_long(tmp_path, suffix):
    clip = clips.write(tmp_path / f"a.{suffix}", clips.pan(1, 60))
    refused(clip, tmp_path / "out", "input_too_long", r"2 s long, more than the 1 s", "--max-duration", "1")
    assert accepted(clip, tmp_path / "out", "--max-duration", "3")["media"]["duration_s"] == pytest.approx(2, abs=0.01)


def test_a_clip_that_is_longer_than_it_says(tmp_path):
    """The limit holds for what is decoded, too; what was found until then is not passed off as results."""
    clip = clips.write(tmp_path / "a.mkv", clips.pan(1, 90))
    data = clip.read_bytes()
    stated = b"00:00:03.000000000"
    assert data.count(stated) == 1
    clip.write_bytes(data.replace(stated, b"00:00:00.500000000"))
    done = analyze(clip, tmp_path / "out", "--max-duration", "1")
    assert done.exit_code == 4, done.output
    assert re.search(rf"error \(input_too_long\): {clip}: 1 s long, more than the 1 s", done.stderr)
    assert list((tmp_path / "out").glob("*")) == []


@pytest.mark.parametrize(
    ("height", "width", "count", "name"),
    [
        (320, 180, 1, "a.mp4"),
        (1, 1, 5, "a.mkv"),
        (1, 1, 1, "a.mkv"),
        (15, 4001, 3, "a.mkv"),
        (4001, 15, 3, "a.mkv"),
        (2, 2, 40, "a.mkv"),
    ],
)
def test_a_clip_of_odd_size_is_a_clip(tmp_path, height, width, count, name):
    frames = [np.full((height, width, 3), 60 + 3 * k, np.uint8) for k in range(count)]
    codec = "ffv1" if name.endswith("mkv") else "libx264"
    values = accepted(clips.write(tmp_path / name, frames, codec=codec), tmp_path / "out")
    media = values["media"]
    assert (media["height"], media["width"], media["n_frames"]) == (height, width, count)
    assert {found["status"] for found in values["analyzers"].values() if found["reason"] != "no_audio_stream"} == {"ok"}


def _segment(folder, seed, height, width, start_seconds):
    times = [start_seconds + k / 30 for k in range(15)]
    frames = [clips.texture(seed, height, width)] * 15
    return clips.write(folder / f"{seed}.ts", frames, times=times).read_bytes()


def test_a_clip_that_changes_its_size(tmp_path):
    """Two recordings written one behind the other: every frame is there, in the first one's size."""
    content = _segment(tmp_path, 1, 320, 180, 0.0) + _segment(tmp_path, 2, 180, 320, 0.6)
    media = accepted(_file(tmp_path / "a.ts", content), tmp_path / "out")["media"]
    assert (media["height"], media["width"], media["n_frames"], media["n_size_changes"]) == (320, 180, 30, 1)
    assert media["duration_s"] == pytest.approx(1.0, abs=0.1)


@pytest.fixture(scope="module", params=["mp4", "faststart.mp4", "mkv", "ts"])
def whole(request, tmp_path_factory):
    """Three seconds with sound; the index of an MP4 comes last, or first as streaming sites write it."""
    path = clips.write(
        tmp_path_factory.mktemp("whole") / f"plain.{request.param[-3:].strip('.')}",
        clips.shots((31,), 90),
        tone=(0.0, 3.0),
    )
    if request.param != "faststart.mp4":
        return path
    other = path.with_name(request.param)
    with av.open(str(path)) as source, av.open(str(other), "w", options={"movflags": "faststart"}) as target:
        streams = {stream.index: target.add_stream_from_template(stream) for stream in source.streams}
        for packet in source.demux():
            if packet.dts is not None:
                packet.stream = streams[packet.stream.index]
                target.mux(packet)
    return other


@pytest.mark.parametrize("tenths", range(1, 10))
def test_a_truncated_clip_is_partial_or_refused(tmp_path, whole, tenths):
    """Never whole, never a crash: either the results say how much they cover, or the clip is refused."""
    data = whole.read_bytes()
    end = len(data) * tenths // 10
    end -= end % 188 == 0  # a transport stream that ends with a packet cannot be told from a whole one
    clip = _file(tmp_path / whole.name, data[:end])
    done = analyze(clip, tmp_path / "out")
    if done.exit_code == 4:
        assert f"error (input_unreadable): {clip}: " in done.stderr
        assert not (tmp_path / "out").exists()
        assert tenths < 3 or whole.name == "plain.mp4", "only an index that comes last makes most of a clip unreadable"
        return
    assert done.exit_code == 3, done.output
    values = read(tmp_path / "out")
    for found in values["analyzers"].values():
        if found["status"] == "skipped":  # cut off before the first sample of its sound
            assert (found["reason"], values["media"]["audio"]["present"]) == ("no_audio_stream", False)
            continue
        assert found["status"] == "partial"
        assert found["reason"] in ("truncated_input", "damaged_input")
        assert 0 < found["coverage"] < 1


def test_whole_clips_are_whole(tmp_path, whole):
    values = accepted(whole, tmp_path / "out")
    assert {found["coverage"] for found in values["analyzers"].values()} == {1.0}


@contextlib.contextmanager
def small_files():
    """No file may grow beyond 4000 bytes: what a full disk does to who writes, on every machine, to root as well.

    Not a fixture: pytest itself writes before it ends those, and its output may be a file as well.
    """
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("earlier", [None, "earlier results"])
def test_a_disk_that_is_full(tmp_path, earlier):
    output = tmp_path / "out"
    output.mkdir()
    if earlier:
        (output / "results.json").write_text(earlier, encoding="utf-8")
    with small_files():
        done = analyze(DEMO, output, only="cut_analysis")
    assert done.exit_code == 2, done.output
    assert f"error (usage): {output / 'results.json'}: cannot be written ({os.strerror(errno.EFBIG)})" in done.stderr
    assert [path.read_text(encoding="utf-8") for path in output.iterdir()] == ([earlier] if earlier else [])


@pytest.mark.parametrize("kind", ["a file", "below a file", "of the kernel", "link to nothing below a file"])
def test_an_output_that_cannot_be(tmp_path, kind):
    _file(tmp_path / "file", b"kept")
    (tmp_path / "link").symlink_to(tmp_path / "file" / "deeper")
    output = {
        "a file": tmp_path / "file",
        "below a file": tmp_path / "file" / "out",
        "of the kernel": Path("/proc/self"),
        "link to nothing below a file": tmp_path / "link",
    }[kind]
    done = analyze(DEMO, output, only="cut_analysis")
    assert done.exit_code == 2, done.output
    assert re.search(rf"error \(usage\): {output}: cannot be written to \(.+\)", done.stderr)
    assert (tmp_path / "file").read_bytes() == b"kept"


@pytest.mark.parametrize("full", ["from the start", "on the way"])
def test_shared_memory_that_is_full_leaves_nothing(full):
    """Too little free, or used up by somebody else between the look and the reservation."""
    if full == "from the start":
        room = memory.shutil.disk_usage(memory.SHARED_MEMORY).total
        size, reason, files = room, errno.ENOSPC, contextlib.nullcontext()
    else:
        size, reason, files = 5000, errno.EFBIG, small_files()
    with connect("127.0.0.1:9") as nobody, files, pytest.raises(OSError) as caught:  # noqa: PT011
        memory.Region(nobody, size)
    assert caught.value.errno == reason
    assert own_regions() == []
