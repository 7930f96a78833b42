"""The sampler by hand: which frames between the samples are kept as extras, and how many at most."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from feeding import Memory

import clips
from reelscope.decode import Decoder
from reelscope.decode.changes import AbruptChanges
from reelscope.sampler import EXTRA_ALLOWANCE, EXTRA_FRAMES, Sampler
from reelscope.types import ExtraWindow, FrameChunk, Window

RATE = Fraction(10)


def sample(times, abrupt, end, rate=RATE):
    """Windows of frames shown from `times` on, every pixel of frame k being k % 256; `abrupt` are numbers of frames."""
    sampler = Sampler(lambda k: np.full((2, 2, 3), k % 256, np.uint8), rate, Memory)
    windows = []
    for k, time in enumerate(times):
        windows += sampler.advance(time)
        sampler.show(k, time, is_abrupt=k in abrupt)
    return [*windows, *sampler.advance(end), *sampler.last()]


def extras(windows):
    return [window for window in windows if isinstance(window, ExtraWindow)]


def test_new_pictures_between_samples_are_kept():
    """At 30 frames a second base/2 shows frames 0, 6, 12, ..., base/4 shows 0, 12, 24, ..."""
    (extra,) = extras(sample(np.arange(60) / 30, {7, 18, 24, 40}, 2.0))
    assert extra.row_count(1) == 0
    # Frame 18 is a sample of base/2 that base/4 lacks; frame 24 belongs to both.
    assert extra.times_seconds == pytest.approx((7 / 30, 40 / 30, 18 / 30))
    assert (extra.row_count(2), extra.row_count(4), extra.count) == (2, 3, 3)
    assert extra.buffer.array[:3, 0, 0, 0].tolist() == [7, 40, 18]
    assert extra.samples == ()


def test_regular_windows_are_as_without_extras():
    times = np.arange(60) / 30
    plain = sample(times, set(), 2.0)
    regular = [window for window in sample(times, {7, 19}, 2.0) if not isinstance(window, ExtraWindow)]
    assert not extras(plain)
    assert [(window.samples, window.times_seconds) for window in regular] == [
        (window.samples, window.times_seconds) for window in plain
    ]
    for ours, theirs in zip(regular, plain, strict=True):
        assert np.array_equal(ours.buffer.array[: ours.count], theirs.buffer.array[: theirs.count])


def test_full_extra_windows_are_handed_on():
    abrupt = {7 + 12 * k for k in range(25)}
    found = extras(sample(np.arange(310) / 30, abrupt, 310 / 30))
    assert [window.count for window in found] == [EXTRA_FRAMES] * 5
    assert sorted(time for window in found for time in window.times_seconds) == pytest.approx(
        [k / 30 for k in sorted(abrupt)]
    )


def test_flashing_pictures_do_not_flood():
    """Ten seconds in which every frame is new: extras keep their distance, and their number its bound."""
    found = extras(sample(np.arange(300) / 30, set(range(300)), 10.0))
    times = np.sort([time for window in found for time in window.times_seconds])
    assert np.diff(times).min() >= 0.1 - 1e-9
    assert EXTRA_ALLOWANCE < len(times) <= 10 * RATE / 2 + EXTRA_ALLOWANCE


def test_open_windows_are_given_back():
    made = []

    def allocate(height, width, rows):
        made.append(Memory(height, width, rows))
        return made[-1]

    sampler = Sampler(lambda k: np.zeros((2, 2, 3), np.uint8), RATE, allocate)
    for k in range(8):
        list(sampler.advance(k / 30))
        sampler.show(k, k / 30, is_abrupt=k == 4)
    assert len(made) == 2
    sampler.close()
    assert all(memory.is_closed for memory in made)


def test_nothing_shown_nothing_sampled():
    assert sample([], set(), 0.0) == []


def test_a_change_is_abrupt_once():
    """Cuts and flashes are; the first frame, motion, a fade and a still are not."""
    changes = AbruptChanges()
    black = np.zeros((64, 36, 3), np.uint8)
    frames = [*clips.shots((10, 20), 30, height=64, width=36), *[black] * 3]
    found = [changes.is_abrupt(frame) for frame in frames]
    assert np.flatnonzero(found).tolist() == [10, 20, 30]
    fade = AbruptChanges()
    picture = clips.texture(1, 64, 36)
    assert not any(fade.is_abrupt((picture * level).astype(np.uint8)) for level in np.linspace(1, 0, 30))
    flash = AbruptChanges()
    assert [flash.is_abrupt(frame) for frame in (picture, 255 - black, picture, picture)] == [False, True, False, False]


def test_every_shot_of_a_clip_has_a_frame_at_every_nested_rate(tmp_path):
    """Shots of 0.2 s, half as long as the samples of base/4 are apart at 10 frames a second."""
    cuts = list(range(20, 80, 6))
    path = clips.write(tmp_path / "a.mp4", clips.shots(cuts, 90, height=128, width=72))
    with Decoder(path, RATE, Memory) as decoder:
        parts = list(decoder)
    marked = np.concatenate([part.is_abrupt for part in parts if isinstance(part, FrameChunk)])
    assert np.flatnonzero(marked).tolist() == cuts
    edges = np.array([0, *cuts, 90]) / 30
    for divisor in (2, 4):
        times = [
            time
            for window in parts
            if isinstance(window, Window)
            for time in window.times_seconds[: window.row_count(divisor)]
        ]
        assert (np.histogram(np.array(times) + 1e-3, edges)[0] > 0).all()
