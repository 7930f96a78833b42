"""Points followed between frames: which pairs are made, what repetition, rates and cuts do to them, what they cost."""

from __future__ import annotations

import itertools
import time

import cv2
import numpy as np
import pytest
from feeding import header, measure

import clips
from reelscope.signals import POINT_STEPS_PER_PX
from reelscope.sources.flow import HOLD_SECONDS, MAX_PAIRS, MAX_POINTS, FlowSource
from reelscope.types import FrameChunk


def pan(count=30, px_per_frame=2, seed=2):
    """The picture moves left."""
    return clips.pan(seed, count, px_per_frame=px_per_frame)


def points_of(flow, pair):
    return flow.points[flow.offsets[pair] : flow.offsets[pair + 1]] / POINT_STEPS_PER_PX


def spans(flow):
    return list(zip(flow.start_seconds.round(4).tolist(), flow.end_seconds.round(4).tolist(), strict=True))


def assert_well_formed(flow):
    assert len(flow.offsets) == len(flow.start_seconds) + 1 == len(flow.end_seconds) + 1
    assert flow.offsets[0] == 0
    assert flow.offsets[-1] == len(flow.points)
    assert np.all(np.diff(flow.offsets) >= 0)
    assert np.all(flow.end_seconds > flow.start_seconds)
    assert np.all(flow.start_seconds[1:] >= flow.end_seconds[:-1]), "pairs do not overlap"


def test_every_point_moves_with_the_picture():
    flow = measure(FlowSource(), pan(px_per_frame=2))
    assert_well_formed(flow)
    assert (flow.width_px, flow.height_px, flow.sample_count) == (180, 320, 30)
    assert spans(flow) == [(round(k / 30, 4), round((k + 1) / 30, 4)) for k in range(29)]
    for pair in range(29):
        points = points_of(flow, pair)
        assert 100 < len(points) <= MAX_POINTS
        assert np.median(points[:, 2:] - points[:, :2], axis=0) == pytest.approx([-2, 0], abs=0.05)


def test_points_are_spread_over_the_frame():
    """Also when the corners of one half are ten times as strong (the square of the contrast)."""
    image = cv2.resize(clips.texture(2, 640, 368), (184, 320), interpolation=cv2.INTER_AREA).astype(float)
    image[160:] /= 3
    frames = [image[:, k : k + 180].astype(np.uint8) for k in (0, 2)]
    points = points_of(measure(FlowSource(), frames), 0)
    assert np.count_nonzero(points[:, 1] < 160) == pytest.approx(len(points) / 2, rel=0.35)


def test_frames_doubled_give_the_same_pairs():
    frames = pan()
    single = measure(FlowSource(), frames)
    double = measure(FlowSource(), [frame for frame in frames for _ in range(2)], times=np.arange(60) / 60)
    assert spans(double) == spans(single)
    assert np.array_equal(double.points, single.points)


def test_repeats_of_a_low_rate_are_passed_over():
    frames = [frame for frame in pan(10, px_per_frame=4) for _ in range(3)]
    flow = measure(FlowSource(), frames)
    assert spans(flow) == [(round(k / 10, 4), round((k + 1) / 10, 4)) for k in range(9)]
    for pair in range(9):
        points = points_of(flow, pair)
        assert np.median(points[:, 0] - points[:, 2]) == pytest.approx(4, abs=0.1)


def test_what_stands_still_is_measured():
    flow = measure(FlowSource(), pan(1) * 30)
    assert_well_formed(flow)
    assert flow.start_seconds[0] == 0
    assert flow.end_seconds[-1] >= 29 / 30 - HOLD_SECONDS
    assert np.array_equal(flow.points[:, :2], flow.points[:, 2:])
    assert len(flow.points) > 100 * len(flow.start_seconds)


def test_a_still_between_two_cuts_is_a_pair():
    """Even one too short to be told from repetition by its length."""
    stills = [clips.texture(seed, 320, 180) for seed in (2, 4, 5)]
    flow = measure(FlowSource(), [still for still in stills for _ in range(4)])
    assert_well_formed(flow)
    found = {span for pair, span in enumerate(spans(flow)) if len(points_of(flow, pair)) > 100}
    assert found == {(round(k / 30, 4), round((k + 3) / 30, 4)) for k in (0, 4, 8)}


def test_variable_frame_rate():
    steps = np.random.default_rng(3).uniform(0.02, 0.06, 30)
    times = np.cumsum(steps) - steps[0]
    image = clips.texture(2, 320, 400)
    left = [round(60 * second) for second in times]
    flow = measure(FlowSource(), [image[:, x : x + 180] for x in left], times=times)
    assert_well_formed(flow)
    assert set(flow.start_seconds) | set(flow.end_seconds) <= set(times)
    assert np.all(flow.end_seconds[:-1] - flow.start_seconds[:-1] >= 1 / 30 - 0.001)
    by_time = dict(zip(times, left, strict=True))
    for pair, (start, end) in enumerate(zip(flow.start_seconds, flow.end_seconds, strict=True)):
        points = points_of(flow, pair)
        assert np.median(points[:, 0] - points[:, 2]) == pytest.approx(by_time[end] - by_time[start], abs=0.15)


def test_long_clips_get_wider_pairs():
    """Ten minutes: 15 pairs a second, and with them the memory of MAX_PAIRS."""
    source, frames = FlowSource(), pan(60)
    stated = header(frames)
    source.start(type(stated)(**{name: getattr(stated, name) for name in stated.__slots__} | {"stated_seconds": 600.0}))
    times = np.arange(60) / 30
    source.push(FrameChunk(frames=np.stack(frames), times_seconds=times, first_index=0, is_abrupt=np.zeros(60, bool)))
    flow = source.finish(2.0)
    assert len(flow.start_seconds) == pytest.approx(2 * MAX_PAIRS / 600, abs=1)
    assert np.diff(flow.start_seconds) == pytest.approx(2 / 30)
    assert flow.points.itemsize * 4 * MAX_POINTS * MAX_PAIRS <= 15e6
    points = points_of(flow, 5)
    assert np.median(points[:, 0] - points[:, 2]) == pytest.approx(4, abs=0.1)


@pytest.mark.parametrize("level", [0, 128, 255])
def test_nothing_to_follow_on_a_flat_frame(level):
    flow = measure(FlowSource(), [np.full((320, 180, 3), level, np.uint8)] * 10)
    assert_well_formed(flow)
    assert len(flow.points) == 0


def test_noise_is_no_texture():
    """Noise of 6 grey levels at 720p, scaled as the decoder does."""
    rng = np.random.default_rng(0)
    wall = [np.clip(128 + rng.normal(0, 6, (1280, 720, 3)), 0, 255).astype(np.uint8) for _ in range(8)]
    small = [cv2.resize(frame, (180, 320), interpolation=cv2.INTER_AREA) for frame in wall]
    flow = measure(FlowSource(), small, times=np.arange(8) / 5)
    assert np.diff(flow.offsets).max() < 12


@pytest.mark.parametrize("shape", [(1, 1), (320, 1), (1, 320), (2, 2), (16, 16), (20, 320), (30, 40)])
@pytest.mark.parametrize("count", [1, 2, 9])
def test_any_size_and_length(shape, count):
    rng = np.random.default_rng(1)
    frames = [rng.integers(0, 256, (*shape, 3), dtype=np.uint8) for _ in range(count)]
    flow = measure(FlowSource(), frames)
    assert_well_formed(flow)
    assert flow.sample_count == count
    assert len(flow.start_seconds) == count - 1


def test_a_flash_leaves_the_other_pairs_as_they_are():
    frames = pan(30)
    plain = measure(FlowSource(), frames)
    for k in (10, 11):
        frames[k] = np.full_like(frames[k], 255)
    flow = measure(FlowSource(), frames)
    assert_well_formed(flow)
    touched = [pair for pair, (start, end) in enumerate(spans(flow)) if end > 9.5 / 30 and start < 11.5 / 30]
    assert all(len(points_of(flow, pair)) == 0 for pair in touched)
    whole = {span: points_of(plain, pair) for pair, span in enumerate(spans(plain))}
    others = [pair for pair in range(len(spans(flow))) if pair not in touched]
    assert len(others) == 26
    assert all(np.array_equal(points_of(flow, pair), whole[spans(flow)[pair]]) for pair in others)


def test_cuts_every_three_frames():
    frames = list(itertools.chain.from_iterable(pan(3, px_per_frame=4, seed=seed) for seed in range(2, 9)))
    flow = measure(FlowSource(), frames)
    assert_well_formed(flow)
    for pair in range(len(frames) - 1):
        crosses = pair % 3 == 2
        assert (len(points_of(flow, pair)) < 12) == crosses


def test_ten_milliseconds_per_pair():
    """CPU time of one thread, the fastest of three runs: other work on the machine does not count."""
    frames, seconds, threads = pan(21, px_per_frame=5), [], cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        for _ in range(3):
            began = time.thread_time()
            measure(FlowSource(), frames)
            seconds.append(time.thread_time() - began)
    finally:
        cv2.setNumThreads(threads)
    assert min(seconds) / 20 <= 0.010
