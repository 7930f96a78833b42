"""Shot boundaries: recovered to the frame from clips whose cuts are known, through x264 and out of it."""

from __future__ import annotations

import itertools
from fractions import Fraction

import cv2
import numpy as np
import pytest
from feeding import header, measure

import clips
from reelscope.analyzers import cut_analysis
from reelscope.decode import Decoder
from reelscope.signals import Shots
from reelscope.sources.shots import ShotSource
from reelscope.types import FrameChunk

CUTS = (20, 27, 60, 66, 100, 140, 143, 200, 260)


def boundaries(shots: Shots) -> list[int]:
    return [shot.frame_in for shot in shots.shots[1:]]


def through_x264(path) -> Shots:
    source = ShotSource()
    with Decoder(path, Fraction(10), None) as decoder:
        source.start(decoder.header)
        for part in decoder:
            if isinstance(part, FrameChunk):
                source.push(part)
        return source.finish(decoder.facts().duration_seconds)


def kinds(shots: Shots) -> list[str]:
    return [shot.transition_in.kind for shot in shots.shots[1:] if shot.transition_in]


def test_nine_cuts_frame_exact_through_x264(tmp_path):
    path = clips.write(tmp_path / "cuts.mp4", clips.shots(CUTS, 300, height=640, width=360))
    shots = through_x264(path)
    assert boundaries(shots) == list(CUTS)
    assert set(kinds(shots)) == {"hard"}
    assert shots.flashes == ()


def test_cut_times_of_a_variable_frame_rate(tmp_path):
    steps = np.random.default_rng(3).choice([1, 2, 3], 300) / 60
    times = np.concatenate([[0], np.cumsum(steps)[:-1]])
    path = clips.write(tmp_path / "vfr.mp4", clips.shots(CUTS, 300), times=times)
    shots = through_x264(path)
    found = [shot.start_seconds for shot in shots.shots[1:]]
    # A cut closer than 0.1 s to the one before is below the shortest shot.
    true, last = [], -1.0
    for cut in CUTS:
        if times[cut] - last >= 0.1:
            true.append(times[cut])
            last = times[cut]
    assert np.allclose(found, true, atol=1e-3)


def test_white_flash_is_no_cut():
    frames = clips.pan(50, 120)
    frames[60] = frames[61] = np.full_like(frames[0], 255)
    shots = measure(ShotSource(), frames)
    assert boundaries(shots) == []
    assert [round(flash.start_seconds * 30) for flash in shots.flashes] == [60]
    assert [round(flash.end_seconds * 30) for flash in shots.flashes] == [62]


def test_long_flash_is_no_cut():
    frames = clips.pan(50, 120)
    frames[60:65] = [np.full_like(frames[0], 255)] * 5
    shots = measure(ShotSource(), frames)
    assert boundaries(shots) == []
    assert [round(flash.end_seconds * 30) for flash in shots.flashes] == [65]


def test_flash_between_two_shots_is_one_boundary():
    frames = [*clips.pan(50, 60), *[np.full((320, 180, 3), 255, np.uint8)] * 2, *clips.pan(51, 60)]
    shots = measure(ShotSource(), frames)
    assert len(boundaries(shots)) == 1
    assert boundaries(shots)[0] in (60, 62)


def test_strobe_within_a_shot_is_one_flash():
    frames = clips.pan(50, 150, px_per_frame=1)
    for k in range(30):
        frames[60 + k] = np.full_like(frames[0], 255 if (k // 3) % 2 else 10)
    shots = measure(ShotSource(), frames)
    assert boundaries(shots) == []
    assert len(shots.flashes) == 1


@pytest.mark.parametrize("px_per_frame", [4, 20, 50])
def test_whip_pans_are_no_cuts(px_per_frame):
    """50 px a frame of 180 px at 30 fps are 833 % of the width in a second."""
    frames = clips.pan(7, 60, px_per_frame=px_per_frame)
    assert boundaries(measure(ShotSource(), frames)) == []


def test_fade_through_black_is_one_boundary_at_its_midpoint():
    a, b = clips.pan(50, 60), clips.pan(51, 60)
    fade_out = [(frame * (1 - (k + 1) / 15)).astype(np.uint8) for k, frame in enumerate(a[45:])]
    fade_in = [(frame * ((k + 1) / 15)).astype(np.uint8) for k, frame in enumerate(b[:15])]
    frames = [*a[:45], *fade_out, *[np.zeros_like(a[0])] * 6, *fade_in, *b[15:]]
    shots = measure(ShotSource(), frames)
    # The last frame of the fade-out is black already: frames 59 to 65 are.
    black = [k for k, frame in enumerate(frames) if frame.max() < 20]
    assert boundaries(shots) == [(black[0] + black[-1] + 1) // 2]
    assert kinds(shots) == ["fade"]
    assert shots.shots[1].transition_in.length_seconds == pytest.approx(36 / 30, abs=0.15)


def test_fades_at_the_ends_are_no_boundaries():
    a = clips.pan(50, 90)
    for k in range(15):
        a[k] = (a[k] * (k / 15)).astype(np.uint8)
        a[-1 - k] = (a[-1 - k] * (k / 15)).astype(np.uint8)
    assert boundaries(measure(ShotSource(), a)) == []


def test_hard_cuts_to_and_from_black_are_two():
    frames = [*clips.pan(50, 40), *[np.zeros((320, 180, 3), np.uint8)] * 20, *clips.pan(51, 40)]
    assert boundaries(measure(ShotSource(), frames)) == [40, 60]


@pytest.mark.parametrize(
    ("rate", "content_rate", "px_per_frame"), [(30, 10, 40), (30, 10, 12), (60, 15, 24), (60, 24, 40), (60, 24, 16)]
)
def test_repeated_frames_are_no_cuts(tmp_path, rate, content_rate, px_per_frame):
    """Content of a low frame rate in a file of a high one: motion comes in jumps."""
    content = clips.pan(7, 3 * content_rate, px_per_frame=px_per_frame)
    frames = [content[k * content_rate // rate] for k in range(3 * rate)]
    assert boundaries(through_x264(clips.write(tmp_path / "a.mp4", frames, rate=rate))) == []


def test_repeated_frames_hide_no_cuts(tmp_path):
    content = clips.shots((15, 22, 40), 60)
    frames = [content[k // 3] for k in range(180)]
    assert boundaries(through_x264(clips.write(tmp_path / "a.mp4", frames))) == [45, 66, 120]


def test_slides_are_cut():
    """Nothing moves, and then everything changes at once."""
    slides = [clips.texture(seed, 320, 180) for seed in range(5)]
    assert boundaries(measure(ShotSource(), [slide for slide in slides for _ in range(20)])) == [20, 40, 60, 80]


def test_a_frame_that_is_held_is_a_shot():
    """One frame shown for nine seconds, then another scene."""
    frames = [clips.texture(1, 320, 180), *clips.pan(2, 30)]
    shots = measure(ShotSource(), frames, times=[0.0, *(9 + np.arange(30) / 30)])
    assert boundaries(shots) == [1]
    assert shots.shots[1].start_seconds == 9.0


def test_a_last_frame_that_is_held_is_a_shot():
    frames = [*clips.pan(2, 30), clips.texture(1, 320, 180)]
    source = ShotSource()
    source.start(header(frames))
    source.push(
        FrameChunk(
            frames=np.stack(frames),
            times_seconds=np.arange(31) / 30,
            first_index=0,
            is_abrupt=np.zeros(31, bool),
        )
    )
    assert boundaries(source.finish(3.0)) == [30]


def test_dissolves_and_wipes_are_not_found_and_never_called_hard():
    """They need a network; until there is one this is a known limit, and the analyzer warns of it."""
    a, b = clips.pan(50, 60), clips.pan(51, 60)
    mixed = [cv2.addWeighted(x, 1 - k / 15, y, k / 15, 0) for k, (x, y) in enumerate(zip(a[45:], b[:15], strict=True))]
    assert boundaries(measure(ShotSource(), [*a[:45], *mixed, *b[15:]])) == []
    wiped = [np.hstack([y[:, : 12 * k], x[:, 12 * k :]]) for k, (x, y) in enumerate(zip(a[45:], b[:15], strict=True))]
    found = measure(ShotSource(), [*a[:45], *wiped, *b[15:]])
    assert "hard" not in kinds(found)
    assert "gradual_transitions_not_detected" in cut_analysis.analyze(found).warnings


def test_jump_cut_within_one_scene_is_kept():
    """The picture shifts by a third: same colours, another frame."""
    image = clips.texture(9, 320, 900)
    frames = [image[:, :180]] * 40 + [image[:, 400:580]] * 40
    assert boundaries(measure(ShotSource(), frames)) == [40]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_few_frames_are_one_shot(count):
    shots = measure(ShotSource(), clips.pan(1, count))
    assert len(shots.shots) == 1
    assert shots.shots[0].transition_in is None
    assert shots.shots[0].score is None
    assert shots.shots[0].frame_out == count


def test_shots_partition_the_clip():
    shots = measure(ShotSource(), clips.shots(CUTS, 300)).shots
    assert shots[0].start_seconds == 0
    assert all(a.end_seconds == b.start_seconds for a, b in itertools.pairwise(shots))
    assert shots[-1].end_seconds == pytest.approx(10.0)
    assert all(0 <= shot.score <= 1 for shot in shots[1:])
