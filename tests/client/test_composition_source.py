"""Composition source: what stands out, symmetry, empty space and the horizon of pictures whose truth is known."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from feeding import header, measure

import clips
from reelscope.sources.composition import CompositionSource
from reelscope.types import FrameChunk

HEIGHT, WIDTH = 320, 180
POINTS = [(1 / 3, 1 / 3), (2 / 3, 1 / 3), (1 / 2, 1 / 2), (1 / 3, 2 / 3), (2 / 3, 2 / 3)]


def noisy(image, sigma, seed=0):
    return np.clip(image + np.random.default_rng(seed).normal(0, sigma, image.shape), 0, 255).astype(np.uint8)


def disk(x, y, noise=0, color=(230, 30, 20)):
    """A disk of a sixth of the width on a plain ground."""
    image = np.full((HEIGHT, WIDTH, 3), (90, 120, 100), np.uint8)
    cv2.circle(image, (round(x * WIDTH - 0.5), round(y * HEIGHT - 0.5)), 15, color, -1)
    return noisy(image, noise)


def horizon(degrees, noise=4, height=HEIGHT, width=WIDTH):
    """Sky over sea; positive degrees: the right end is lower."""
    rows, columns = np.mgrid[:height, :width]
    line = 0.47 * height + np.tan(np.radians(degrees)) * (columns - width / 2)
    return noisy(np.where((rows < line)[..., None], 190, 60) + np.zeros(3), noise)


def letterboxed(image, bar=60):
    """The same picture between black bars."""
    black = np.zeros((bar, image.shape[1], 3), np.uint8)
    return np.concatenate([black, image, black])


def one(image):
    """Signal of a clip of this one picture."""
    return measure(CompositionSource(), [image] * 4)


@pytest.mark.parametrize("noise", [0, 2])
@pytest.mark.parametrize("color", [(230, 30, 20), (240, 240, 240), (20, 20, 20)])
@pytest.mark.parametrize(("x", "y"), POINTS)
def test_a_disk_stands_out_where_it_is(x, y, color, noise):
    assert one(disk(x, y, noise, color)).saliency_xy[0] == pytest.approx([x, y], abs=0.03)


def test_two_disks_are_not_taken_for_one_in_the_middle():
    image = disk(0.25, 0.3)
    cv2.circle(image, (135, 224), 20, (20, 20, 20), -1)
    x, y = one(image).saliency_xy[0]
    assert min(np.hypot(x - 0.25, y - 0.3), np.hypot(x - 0.75, y - 0.7)) < 0.1


def test_mirrored_pictures_are_symmetric_and_random_ones_are_not():
    half = clips.texture(4, HEIGHT, WIDTH // 2)
    assert one(np.concatenate([half, half[:, ::-1]], axis=1)).symmetry[0] == pytest.approx(1, abs=1e-6)
    rng = np.random.default_rng(0)
    for _ in range(5):
        assert abs(one(rng.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)).symmetry[0]) < 0.3


def test_opposite_sides_are_antisymmetric():
    image = np.full((HEIGHT, WIDTH, 3), 40, np.uint8)
    image[:, WIDTH // 2 :] = 200
    assert one(image).symmetry[0] == pytest.approx(-1, abs=1e-6)


@pytest.mark.parametrize("noise", [0, 2])
def test_negative_space_is_the_share_without_detail(noise):
    image = np.full((HEIGHT, WIDTH, 3), 120, np.uint8)
    image[: HEIGHT // 2] = np.random.default_rng(1).integers(0, 256, (HEIGHT // 2, WIDTH, 3), np.uint8)
    assert one(noisy(image, noise)).negative_space[0] == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("degrees", [-10, -8, -3, -1, 0, 0.5, 1, 4, 10])
@pytest.mark.parametrize(("height", "width"), [(320, 180), (180, 320), (240, 240)])
@pytest.mark.parametrize("noise", [0, 4])
def test_horizon(degrees, height, width, noise):
    assert one(horizon(degrees, noise, height, width)).horizon_degrees[0] == pytest.approx(degrees, abs=0.3)


def test_a_horizon_behind_somebody():
    image = horizon(-4)
    image[80:, 70:100] = (120, 40, 40)
    assert one(image).horizon_degrees[0] == pytest.approx(-4, abs=0.5)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("noise", [0, 4])
def test_textures_have_no_horizon(seed, noise):
    assert np.isnan(one(noisy(clips.texture(seed, HEIGHT, WIDTH), noise, seed)).horizon_degrees[0])


def test_noise_has_no_horizon():
    rng = np.random.default_rng(0)
    for _ in range(10):
        assert np.isnan(one(rng.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)).horizon_degrees[0])


@pytest.mark.parametrize("degrees", [25, 45, 90])
def test_steep_lines_are_no_horizon(degrees):
    image = np.ascontiguousarray(horizon(0).transpose(1, 0, 2)) if degrees == 90 else horizon(degrees)
    assert np.isnan(one(image).horizon_degrees[0])


def test_lines_that_disagree_are_no_horizon():
    """A wedge of -12 and 12 degrees, as a road in perspective."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    slope = np.tan(np.radians(12)) * (columns - WIDTH / 2)
    image = np.where(((rows > 100 + slope) & (rows < 220 - slope))[..., None], 190, 60) + np.zeros(3)
    assert np.isnan(one(noisy(image, 2)).horizon_degrees[0])


@pytest.mark.parametrize("image", [disk(0.3, 0.6, 2), horizon(-6), horizon(2.5), clips.texture(3, HEIGHT, WIDTH)])
def test_flipped(image):
    """I8: a mirrored picture mirrors what stands out and negates the horizon; the rest is the same."""
    signal, twin = one(image), one(np.ascontiguousarray(image[:, ::-1]))
    x, y = signal.saliency_xy[0]
    assert twin.saliency_xy[0] == pytest.approx([1 - x, y], abs=0.02)
    assert twin.horizon_degrees[0] == pytest.approx(-signal.horizon_degrees[0], abs=0.3, nan_ok=True)
    assert twin.symmetry[0] == pytest.approx(signal.symmetry[0], abs=1e-6)
    assert twin.negative_space[0] == pytest.approx(signal.negative_space[0], abs=0.02)


def test_letterboxed():
    """Bars do not count; positions are of the whole frame."""
    frame = letterboxed(disk(1 / 3, 1 / 3, 2))
    signal = one(frame)
    height = frame.shape[0]
    assert signal.pictures_xyxy[0] == pytest.approx([0, 60 / height, 1, 1 - 60 / height], abs=0.02)
    assert signal.saliency_xy[0] == pytest.approx([1 / 3, (60 + HEIGHT / 3) / height], abs=0.03)
    assert one(letterboxed(horizon(3))).horizon_degrees[0] == pytest.approx(3, abs=0.5)
    plain = one(letterboxed(clips.texture(2, HEIGHT, WIDTH))).negative_space[0]
    assert plain == pytest.approx(one(clips.texture(2, HEIGHT, WIDTH)).negative_space[0], abs=0.05)


def test_black_has_nothing_to_tell_but_its_emptiness():
    signal = one(np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    assert np.isnan(signal.saliency_xy).all()
    assert np.isnan(signal.symmetry).all()
    assert np.isnan(signal.horizon_degrees).all()
    assert signal.negative_space.tolist() == [1]


@pytest.mark.parametrize(("height", "width"), [(320, 8), (1, 1), (8, 320)])
def test_pictures_that_are_too_small_are_not_measured(height, width):
    signal = one(clips.texture(0, height, width))
    assert len(signal.times_seconds) == 1
    for values in (signal.saliency_xy, signal.symmetry, signal.negative_space, signal.horizon_degrees):
        assert np.isnan(values).all()


def test_one_frame():
    signal = measure(CompositionSource(), [disk(0.5, 0.5)])
    assert signal.times_seconds.tolist() == [0]
    assert signal.is_on_grid.tolist() == [True]


def test_an_abrupt_change_between_samples_gets_a_sample_of_its_own():
    """At 2.5 samples a second a shot of 0.2 s may fall between two."""
    frames = [disk(0.3, 0.3)] * 14 + [clips.texture(1, HEIGHT, WIDTH)] * 6 + [disk(0.7, 0.7)] * 20
    signal = measure(CompositionSource(), frames, base_frame_rate=5)
    extra = signal.times_seconds[~signal.is_on_grid]
    assert extra == pytest.approx([14 / 30, 20 / 30])
    assert signal.sample_count == signal.is_on_grid.sum() == 4
    assert (np.diff(signal.times_seconds) > 0).all()


def test_chunks_make_no_difference():
    frames = clips.shots((20, 33), 50)
    parts = []
    for size in (1, 7, 50):
        source = CompositionSource()
        source.start(header(frames))
        for first in range(0, 50, size):
            part = frames[first : first + size]
            abrupt = np.array([first + k in (20, 33) for k in range(len(part))])
            times = np.arange(first, first + len(part)) / 30
            source.push(FrameChunk(frames=np.stack(part), times_seconds=times, first_index=first, is_abrupt=abrupt))
        parts.append(source.finish(50 / 30))
    for part in parts[1:]:
        for name in ("times_seconds", "is_on_grid", "saliency_xy", "symmetry", "negative_space", "horizon_degrees"):
            np.testing.assert_array_equal(getattr(part, name), getattr(parts[0], name), err_msg=name)


def test_variable_frame_rate():
    """What is shown at an instant counts, however many frames came before it."""
    frames = [disk(0.3, 0.3)] + [disk(0.7, 0.7)] * 30
    times = [0.0, *(2 + np.arange(30) / 60)]
    signal = measure(CompositionSource(), frames, times=times)
    held = signal.times_seconds < 1.999
    assert held.sum() == 10
    assert signal.saliency_xy[held] == pytest.approx(np.full((10, 2), 0.3), abs=0.03)
    assert signal.saliency_xy[~held] == pytest.approx(np.full(((~held).sum(), 2), 0.7), abs=0.03)
