"""Make the demo clip: `clip.mp4`, and `truth.json` which says what is in it.

Ten seconds cut to a 120 BPM beat: photographs under a moving camera, a palette card, a white flash, a fade through
black, captions, speech, music. Every number in the truth is the number that drew the frame (`shots.py`) or placed
the sound (`soundtrack.py`). At the end the file is decoded again and checked (`check_clip.py`).

Usage: python tests/demo/make_clip.py
"""

import hashlib
import json
import re
import sys
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, Interpolation
from check_clip import check_clip
from shots import (
    BOXES,
    FADE_FRAMES,
    FLASH_FRAMES,
    FRAME_COUNT,
    FRAME_RATE,
    HEIGHT,
    PALETTE,
    PANEL_TOP,
    SHOTS,
    TILE_CROP,
    TILE_SIZE,
    TILE_STEP,
    TILE_X,
    TILE_Y,
    WIDTH,
    Shot,
    draw_call_to_action,
    draw_frames,
    draw_palette,
    draw_panel,
    ink,
    view,
)
from soundtrack import SAMPLE_RATE, Soundtrack, soundtrack

FOLDER = Path(__file__).parent
CRF = "23"

CONVENTIONS = {
    "time": "seconds from the first displayed frame; frame k is shown at k / frame_rate; intervals are half-open",
    "space": "0 to 1 of the displayed frame, origin top left; quad: x, y of top left, top right, bottom right, "
    "bottom left of the ink of one line; box: left, top, right, bottom, cut at the edge of the frame",
    "shots": "frame_in is the first frame of the shot, frame_out the first frame after it; transition_in is null for "
    "the first shot",
    "fade": "a fade through black is one boundary at the middle of the black frames, which is frame_in of the next "
    "shot; fade_out_start is the first darkened frame, fade_in_end the first frame at full brightness again",
    "camera": "pan is positive when the camera turns right, tilt when it turns up, roll when it turns clockwise; "
    "zoom_per_second is the growth of the picture in one second, 1 for none; a flash does not end a shot",
    "text": "what was laid over the picture, one entry per line; lettering inside the photographs is not listed",
    "palettes": "share is the part of the area of the frame",
    "objects": "box_start and box_end are at the first and last frame of the shot; motion is linear in between except "
    "under zoom and roll; drawn by hand, good to about 3 % of the width",
    "speech": "a word lasts until the next one starts; the first word starts and the last one ends where the sound "
    "does; pauses are the gaps between sentences",
}


def seconds(frame: int) -> float:
    """The time at which a frame is shown."""
    return round(frame / FRAME_RATE, 6)


def interval(first: int, end: int) -> dict:
    """A half-open frame range in seconds."""
    return {"start_seconds": seconds(first), "end_seconds": seconds(end)}


def encode(path: Path, sound: Soundtrack) -> None:
    """Write H.264 in BT.709 limited range and AAC, with the index at the front."""
    flags = {"movflags": "+faststart", "fflags": "+bitexact"}
    with av.open(str(path), "w", options=flags) as container:
        options = {"crf": CRF, "preset": "slow", "g": "60"}
        video = container.add_stream("libx264", rate=FRAME_RATE, width=WIDTH, height=HEIGHT, options=options)
        video.pix_fmt = "yuv420p"
        coder = video.codec_context
        # One thread: the bytes must not depend on the number of cores.
        coder.thread_count = 1
        coder.colorspace, coder.color_range = Colorspace.ITU709, ColorRange.MPEG
        coder.color_primaries, coder.color_trc = ColorPrimaries.BT709, ColorTrc.BT709
        audio = container.add_stream("aac", rate=SAMPLE_RATE, layout="stereo", bit_rate=112_000)
        step = SAMPLE_RATE // FRAME_RATE
        for number, picture in enumerate(draw_frames()):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(
                format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG,
                dst_color_primaries=ColorPrimaries.BT709, dst_color_trc=ColorTrc.BT709,
                interpolation=Interpolation.BICUBIC | Interpolation.ACCURATE_RND,
            )  # fmt: skip
            frame.pts = number
            container.mux(video.encode(frame))
            samples = np.ascontiguousarray(sound.waveform[:, number * step : (number + 1) * step])
            block = av.AudioFrame.from_ndarray(samples, format="fltp", layout="stereo")
            block.sample_rate, block.pts = SAMPLE_RATE, number * step
            container.mux(audio.encode(block))
        container.mux(video.encode(None))
        container.mux(audio.encode(None))


def framed(corners: np.ndarray, top: int = 0) -> list[float]:
    """The upright box around some points in pixels, cut at the frame (or at the panel), 0 to 1."""
    low = np.clip(corners.min(axis=0), (0, top), (WIDTH, HEIGHT)) / (WIDTH, HEIGHT)
    high = np.clip(corners.max(axis=0), (0, top), (WIDTH, HEIGHT)) / (WIDTH, HEIGHT)
    return [round(float(value), 4) for value in (*low, *high)]


def boxes(shot: Shot, index: int) -> dict[str, list[float]]:
    """What is to be seen in one frame of a shot, by label."""
    if shot.draw is draw_call_to_action:
        corners = np.array(BOXES["coffee"]["cup"], float).reshape(2, 2) - TILE_CROP[:2]
        corners *= TILE_SIZE / (TILE_CROP[2] - TILE_CROP[0])
        return {"cup": framed(np.add(corners, (TILE_X + TILE_STEP * index, TILE_Y)))}
    found = {}
    for label, (left, top, right, bottom) in BOXES.get(shot.photo, {}).items():
        corners = np.array([(left, top, 1), (right, top, 1), (right, bottom, 1), (left, bottom, 1)])
        found[label] = framed(corners @ view(shot, index).T, PANEL_TOP if shot.draw is draw_panel else 0)
    return found


def picture_truth() -> dict:
    """Shots, effects, palette, text and objects."""
    shots, text, objects, palettes = [], [], [], []
    for number, shot in enumerate(SHOTS):
        frames = {"frame_in": shot.first, "frame_out": shot.end}
        facts = {"transition_in": shot.transition_in, "content": shot.content, "camera": shot.camera.truth()}
        shots.append({**interval(shot.first, shot.end), **frames, **facts})
        for line in shot.texts:
            left, top, right, bottom = ink(line)
            corners = np.array([(left, top), (right, top), (right, bottom), (left, bottom)]) / (WIDTH, HEIGHT)
            quad = corners.round(4).ravel().tolist()
            text.append({"text": line.text, **interval(line.first, line.end), "quad": quad, "role": line.role})
        ends = boxes(shot, shot.end - shot.first - 1)
        for label, box in boxes(shot, 0).items():
            objects.append({"label": label, "shot": number, "box_start": box, "box_end": ends[label]})
        if shot.draw is draw_palette:
            colours = [{"hex": colour, "share": height / HEIGHT} for colour, height in PALETTE]
            palettes.append({"shot": number, "colors": colours})
    fade = {
        "boundary_seconds": seconds(FADE_FRAMES["boundary"]),
        "fade_out_start_seconds": seconds(FADE_FRAMES["out"]),
        "black_start_seconds": seconds(FADE_FRAMES["black"]),
        "black_end_seconds": seconds(FADE_FRAMES["in"]),
        "fade_in_end_seconds": seconds(FADE_FRAMES["end"]),
    }
    return {
        "shots": shots,
        "flashes": [interval(*FLASH_FRAMES)],
        "fades": [fade],
        "palettes": palettes,
        "text": text,
        "objects": objects,
        "products": [{"label": "cup", "brand": "ACME", "shot": len(SHOTS) - 1}],
    }


def write_truth(path: Path, clip: Path, sound: Soundtrack) -> None:
    """Write what the clip contains, as JSON with one short list per line."""
    facts = {
        "duration_seconds": FRAME_COUNT / FRAME_RATE,
        "width": WIDTH,
        "height": HEIGHT,
        "frame_rate": f"{FRAME_RATE}/1",
        "frame_count": FRAME_COUNT,
        "audio": {"sample_rate": SAMPLE_RATE, "channels": 2},
        "sha256": hashlib.sha256(clip.read_bytes()).hexdigest(),
    }
    truth = {"conventions": CONVENTIONS, "clip": {"file": clip.name, **facts}, **picture_truth()}
    truth |= {"speech": sound.speech, "music": sound.music}
    written = json.dumps(truth, indent=2, allow_nan=False)
    # Lists of numbers and small flat objects read better on one line.
    written = re.sub(r"\[([^\[\]{}\"]+)\]", lambda found: f"[{' '.join(found[1].split())}]", written)
    short_object = r"\{\s+([^{}\n]+(?:\n\s+[^{}\n]+){0,3}?)\n\s+\}"
    written = re.sub(short_object, lambda found: f"{{{' '.join(found[1].split())}}}", written)
    path.write_text(written + "\n", encoding="utf-8")


def main() -> int:
    clip, truth = FOLDER / "clip.mp4", FOLDER / "truth.json"
    sound = soundtrack()
    encode(clip, sound)
    write_truth(truth, clip, sound)
    return check_clip(clip, truth)


if __name__ == "__main__":
    sys.exit(main())
