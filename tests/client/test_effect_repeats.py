"""Repeated frames: freezes against static holds, slow motion against low frame rates, through real encodes."""

from __future__ import annotations

import numpy as np
import pytest
from test_effects import FRAME, decoded, find, of_type

import clips

FROZEN = (46, 69)
"""First frame of the freeze, first frame after it."""


def frozen(px_per_frame=3, height=1280, width=720, after=40):
    """A pan that stops for 23 frames."""
    image = clips.texture(3, height, width + 120 * px_per_frame)
    steps = [*range(46), *[46] * 23, *range(47, 47 + after)]
    return [image[:, k * px_per_frame : k * px_per_frame + width] for k in steps]


def noisy(sigma, count=60, height=1280, width=720):
    """A camera on a tripod."""
    image, rng = clips.texture(3, height, width), np.random.default_rng(0)
    return [np.clip(image + rng.normal(0, sigma, image.shape), 0, 255).astype(np.uint8) for _ in range(count)]


KEYFRAMES = {"crf": "23", "preset": "veryfast", "g": "10"}


@pytest.mark.parametrize("options", [None, KEYFRAMES])
@pytest.mark.parametrize("px_per_frame", [3, 8])
def test_a_freeze(px_per_frame, options, tmp_path):
    (freeze,) = decoded(clips.write(tmp_path / "f.mp4", frozen(px_per_frame), options=options)).segments
    assert freeze.label == "freeze"
    assert freeze.start_seconds == pytest.approx(FROZEN[0] * FRAME, abs=FRAME + 0.001)
    assert freeze.end_seconds == pytest.approx(FROZEN[1] * FRAME, abs=FRAME + 0.001)
    assert min(freeze.data.parameters.motion_before, freeze.data.parameters.motion_after) >= 0.75


@pytest.mark.parametrize("options", [None, KEYFRAMES])
@pytest.mark.parametrize("sigma", [0, 4])
def test_a_static_shot_is_no_freeze(sigma, options, tmp_path):
    """After x264 its frames repeat each other just as well."""
    finding = decoded(clips.write(tmp_path / "s.mp4", noisy(sigma), options=options))
    (hold,) = finding.segments
    assert hold.label == "static_hold"
    assert hold.end_seconds - hold.start_seconds > 1.5
    assert finding.summary.counts == {}


def test_a_hold_between_cuts_is_no_freeze():
    """A still between two moving shots, and a freeze at the end of a shot: motion on one side only."""
    still = clips.texture(5, 320, 180)
    film = clips.pan(1, 30)
    between = find([*film, *[still] * 20, *clips.pan(2, 30)])
    assert [segment.label for segment in between.segments] == ["static_hold"]
    at_end = find([*film, *[film[-1]] * 20, *clips.pan(2, 30)])
    assert [segment.label for segment in at_end.segments] == ["static_hold"]


def test_a_short_pause_is_neither():
    film = clips.pan(1, 60)
    assert find([*film[:30], *[film[30]] * 4, *film[31:]]).segments == ()


@pytest.mark.parametrize(("rate", "repeat"), [(60, 1), (30, 2)])
def test_a_freeze_at_60_fps(rate, repeat):
    image = clips.texture(3, 320, 600)
    seconds = np.arange(round(3.5 * rate)) / rate
    shown = np.where(seconds < 1.5, seconds, np.maximum(1.5, seconds - 0.5))
    frames = [image[:, x : x + 180] for x in np.rint(90 * shown).astype(int) for _ in range(repeat)]
    (freeze,) = find(frames, np.arange(len(frames)) / (rate * repeat)).segments
    assert freeze.label == "freeze"
    assert (freeze.start_seconds, freeze.end_seconds) == pytest.approx((1.5, 2.0), abs=FRAME + 0.001)


def test_a_freeze_at_a_variable_frame_rate():
    film = clips.pan(3, 81)
    times = np.cumsum(np.random.default_rng(1).choice([1 / 60, 1 / 30, 1 / 20], 100))
    (freeze,) = find([*film[:40], *[film[40]] * 20, *film[41:81]][:100], times).segments
    assert freeze.label == "freeze"
    assert (freeze.start_seconds, freeze.end_seconds) == pytest.approx((times[40], times[60]))


def test_pictures_that_are_all_held_are_not_frozen():
    """Five pictures a second, each held for six frames."""
    film = clips.pan(3, 30, px_per_frame=8)
    finding = find([frame for frame in film for _ in range(6)])
    assert of_type(finding, "freeze", "slow_motion") == []


def slowed(film, factor=2):
    """40 frames, 25 pictures in slow motion, 40 frames."""
    return [*film[:40], *(frame for frame in film[40:65] for _ in range(factor)), *film[65:105]]


@pytest.mark.parametrize("crf", [18, 23])
def test_slow_motion(crf, tmp_path):
    finding = decoded(clips.write(tmp_path / "s.mp4", slowed(clips.pan(1, 110)), crf=crf))
    (slow,) = finding.segments
    assert slow.label == "slow_motion"
    assert slow.data.parameters.duplicate_ratio == pytest.approx(0.5, abs=0.05)
    assert slow.data.parameters.speed_ratio == pytest.approx(0.5, abs=0.05)
    assert not slow.data.parameters.is_whole_shot
    assert (slow.start_seconds, slow.end_seconds) == pytest.approx((40 * FRAME, 90 * FRAME), abs=2 * FRAME + 0.001)
    assert finding.summary.counts == {"slow_motion": 1}


def test_a_third_of_the_speed():
    (slow,) = find(slowed(clips.pan(1, 110), 3)).segments
    assert slow.data.parameters.duplicate_ratio == pytest.approx(2 / 3, abs=0.05)


def test_slow_motion_in_a_file_of_doubled_frames(tmp_path):
    frames = [frame for frame in slowed(clips.pan(1, 110)) for _ in range(2)]
    (slow,) = decoded(clips.write(tmp_path / "s.mp4", frames, rate=60)).segments
    assert slow.data.parameters.duplicate_ratio == pytest.approx(0.5, abs=0.05)
    assert (slow.start_seconds, slow.end_seconds) == pytest.approx((40 * FRAME, 90 * FRAME), abs=3 * FRAME)


def test_a_whole_shot_may_be_of_a_lower_frame_rate():
    frames = [*clips.pan(3, 40), *(frame for frame in clips.pan(4, 30) for _ in range(2)), *clips.pan(5, 40)]
    (slow,) = find(frames).segments
    assert slow.data.parameters.is_whole_shot
    assert slow.score <= 0.5


@pytest.mark.parametrize(("rate", "ratio"), [(15, 0.5), (20, 1 / 3), (24, 0.2), (30, 0.0)])
def test_a_lower_frame_rate_is_no_slow_motion(rate, ratio, tmp_path):
    film = clips.pan(1, 120)
    finding = decoded(clips.write(tmp_path / "r.mp4", [film[k * rate // 30] for k in range(120)]))
    assert finding.segments == ()
    assert finding.summary.repeated_frame_ratio == pytest.approx(ratio, abs=0.05)
