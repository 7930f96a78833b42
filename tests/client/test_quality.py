"""Technical quality: known noise, blur, blocks, clipping and contrast; per shot and for the clip."""

from __future__ import annotations

from dataclasses import fields
from fractions import Fraction

import cv2
import numpy as np
import pytest
import skimage.data
from feeding import cut, embedded, header

import clips
from reelscope.analyzers import content_quality
from reelscope.analyzers.content_quality import POSITIVE_LABELS, THRESHOLDS, ClipIqa, Quality
from reelscope.decode import Decoder
from reelscope.settings import labels
from reelscope.signals import FrameQuality
from reelscope.sources.quality import QualitySource
from reelscope.types import LumaFrame

PHOTOGRAPHS = ("astronaut", "coffee", "chelsea", "camera")
LOOK = dict.fromkeys(POSITIVE_LABELS.values(), 0.5)


def photograph(name):
    image = getattr(skimage.data, name)()
    return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) if image.ndim == 3 else image


def smooth(name):
    return cv2.GaussianBlur(photograph(name), (0, 0), 1.5)


def noisy(luma, sigma, seed=0):
    noise = np.random.default_rng(seed).normal(0, sigma, luma.shape)
    return np.clip(np.round(luma + noise), 0, 255).astype(np.uint8)


def jpeg(luma, quality):
    return cv2.imdecode(cv2.imencode(".jpg", luma, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_GRAYSCALE)


def measure(*lumas):
    """Signal of these samples, five a second."""
    source = QualitySource()
    source.start(header([np.zeros((2, 2, 3), np.uint8)]))
    for k, luma in enumerate(lumas):
        source.push(LumaFrame(luma=luma, time_seconds=k / 5))
    return source.finish(len(lumas) / 5)


def find(*lumas, edges=None, embeddings=None):
    return content_quality.analyze(measure(*lumas), cut(*(edges or (0.0, len(lumas) / 5))), embeddings)


@pytest.mark.parametrize("name", PHOTOGRAPHS)
@pytest.mark.parametrize("sigma", [2, 5, 10, 20])
def test_noise(name, sigma):
    assert measure(noisy(smooth(name), sigma)).noise_sigma[0] == pytest.approx(sigma, rel=0.1)


def test_noise_of_what_is_confined_to_a_part_of_the_picture():
    """A third of fine texture, as grass, beside a smooth photograph with noise."""
    luma = noisy(smooth("camera"), 5)
    luma[:, :170] = photograph("grass")[:, :170]
    assert measure(luma).noise_sigma[0] == pytest.approx(5, rel=0.1)


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_sharpness_falls_with_blur(name):
    luma = photograph(name)
    found = measure(luma, *(cv2.GaussianBlur(luma, (0, 0), sigma) for sigma in (1, 2, 4))).laplacian_variance
    assert (np.diff(found) < 0).all()
    assert found[0] > 10 * found[2]


def test_sharpness_is_that_of_the_definition_and_does_not_depend_on_size():
    luma = photograph("astronaut")
    small = cv2.resize(luma, (640, 640), interpolation=cv2.INTER_CUBIC)
    enlarged = np.repeat(np.repeat(small, 3, axis=0), 3, axis=1)
    found = measure(luma, small, enlarged).laplacian_variance
    assert found[0] == pytest.approx(cv2.Laplacian(luma, cv2.CV_64F).var(), rel=1e-9), "never scaled up"
    assert found[2] == pytest.approx(found[1], rel=1e-9)


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_blockiness_rises_as_quality_falls(name):
    found = measure(*(jpeg(photograph(name), quality) for quality in (100, 80, 50, 20, 10))).blockiness
    assert found[0] == pytest.approx(1, abs=0.05)
    assert (np.diff(found) > 0).all()
    assert found[-1] > 2


def test_blockiness_needs_the_coding_grid():
    """Scaled by a little, the blocks are still there, and no longer on the grid: only the coded size tells."""
    luma = jpeg(photograph("camera"), 10)
    scaled = cv2.resize(luma, None, fx=1.1, fy=1.1, interpolation=cv2.INTER_LINEAR)
    on_grid, off_grid = measure(luma, scaled).blockiness
    assert on_grid > 2
    assert off_grid < 1.2


def test_edges_of_graphics_on_the_grid_are_no_blocks():
    luma = np.full((512, 512), 60, np.uint8)
    luma[128:384, 128:384] = 200
    assert np.isnan(measure(luma).blockiness[0])
    assert measure(cv2.add(luma, noisy(np.full_like(luma, 10), 2))).blockiness[0] == pytest.approx(1, abs=0.05)


def test_nothing_but_blocks():
    luma = np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8).repeat(8, axis=0).repeat(8, axis=1)
    assert 100 < measure(luma).blockiness[0] < np.inf


@pytest.mark.parametrize("level", [0, 2, 253, 255])
def test_clipping(level):
    luma = np.clip(photograph("astronaut"), 10, 240)
    luma[:, : round(0.1 * luma.shape[1])] = level
    found = measure(luma)
    clipped, other = found.clipped_high, found.clipped_low
    if level < 128:
        clipped, other = other, clipped
    assert 100 * clipped[0] == pytest.approx(10, abs=0.5)
    assert other[0] == 0


@pytest.mark.parametrize("level", [3, 252])
def test_nearly_clipped_is_not_clipped(level):
    found = measure(np.full((64, 64), level, np.uint8))
    assert found.clipped_high[0] == found.clipped_low[0] == 0


def test_contrast_is_that_of_the_definition():
    luma = photograph("coffee")
    found = measure(luma, luma // 2 + 64).rms_contrast
    assert found[0] == pytest.approx(luma.std() / 255, rel=1e-9)
    assert found[1] == pytest.approx(found[0] / 2, rel=0.01)


@pytest.mark.parametrize("is_upright", [True, False])
def test_black_bars_are_no_part_of_the_picture(is_upright):
    picture = cv2.resize(noisy(smooth("camera"), 5), (720, 720), interpolation=cv2.INTER_NEAREST)
    picture = np.clip(picture, 5, 250)
    boxed = np.zeros((1280, 720), np.uint8)
    boxed[280:1000] = picture
    with_bars, without = measure(boxed if is_upright else boxed.T), measure(picture if is_upright else picture.T)
    assert with_bars.clipped_low[0] == 0
    for name in ("laplacian_variance", "noise_sigma", "blockiness", "rms_contrast"):
        assert getattr(with_bars, name)[0] == pytest.approx(getattr(without, name)[0], rel=0.05), name


def test_a_dark_side_is_no_bar():
    luma = np.clip(photograph("camera"), 30, 255)
    luma[:64] = 0
    assert measure(luma).clipped_low[0] == pytest.approx(64 / 512)


def test_a_flat_picture():
    """Sharpness, noise and contrast are zero, which is a finding; blocks cannot be told."""
    found = measure(np.full((360, 640), 100, np.uint8))
    assert (found.laplacian_variance[0], found.noise_sigma[0], found.rms_contrast[0]) == (0, 0, 0)
    assert np.isnan(found.blockiness[0])


@pytest.mark.parametrize(
    ("shape", "unmeasured"),
    [
        ((1, 1), {"laplacian_variance", "noise_sigma", "blockiness", "rms_contrast"}),
        ((1, 300), {"laplacian_variance", "noise_sigma"}),
        ((8, 8), {"noise_sigma", "blockiness"}),
        ((4001, 15), {"laplacian_variance", "noise_sigma"}),
        ((18, 18), set()),
    ],
)
def test_what_a_frame_is_too_small_for_is_not_a_number(shape, unmeasured):
    found = measure(np.random.default_rng(0).integers(3, 253, shape, np.uint8))
    measures = {field.name for field in fields(FrameQuality)} - {field.name for field in fields(FrameQuality)[:5]}
    assert {name for name in measures if np.isnan(getattr(found, name)[0])} == unmeasured


def test_a_size_that_changes_in_mid_stream():
    small = np.clip(photograph("camera"), 30, 255)
    boxed = np.zeros((800, 512), np.uint8)
    boxed[144:656] = small
    found = measure(boxed, small, cv2.resize(small, (300, 700)))
    assert found.clipped_low.tolist() == [0, 0, 0]
    assert found.sample_count == 3


def test_no_sample_at_all():
    finding = find(edges=(0.0, 1.0))
    assert finding.summary.overall is None
    assert finding.summary.worst_segment is None
    assert finding.summary.issues == ()
    assert [segment.data for segment in finding.segments] == [None]


def test_one_frame():
    finding = content_quality.analyze(measure(photograph("camera")), cut(0.0, 1 / 30), None)
    assert len(finding.segments) == 1
    assert finding.segments[0].data.overall == finding.summary.overall
    assert len(finding.series.columns["t"]) == 1


def degraded(kind, step):
    luma = photograph("astronaut")
    match kind:
        case "blurry":
            return cv2.GaussianBlur(luma, (0, 0), 0.5 + step)
        case "noisy":
            return noisy(cv2.GaussianBlur(luma, (0, 0), 0.7), 4 * step)
        case "blocky":
            return jpeg(luma, (100, 50, 20, 10, 5)[step])
        case "overexposed":
            return np.clip(luma.astype(int) + 40 * step, 0, 255).astype(np.uint8)
        case "underexposed":
            return np.clip(luma.astype(int) + 20 - 40 * step, 0, 255).astype(np.uint8)
        case _:
            return (128 + (luma.astype(float) - 128) / 2**step).astype(np.uint8)


@pytest.mark.parametrize("issue", [issue for issue, *_ in THRESHOLDS])
def test_issues_come_with_the_degradation_and_stay(issue):
    summaries = [find(degraded(issue, step)).summary for step in range(5)]
    is_found = [issue in summary.issues for summary in summaries]
    assert is_found == sorted(is_found)
    assert (is_found[0], is_found[-1]) == (False, True)
    assert summaries[-1].overall < summaries[0].overall


def test_a_good_photograph_has_no_issues():
    luma = np.clip(photograph("coffee"), 3, 252)
    summary = find(luma).summary
    assert summary.issues == ()
    assert summary.overall > 95


def test_shots_and_the_worst_of_them():
    good, bad = photograph("coffee"), noisy(cv2.GaussianBlur(photograph("coffee"), (0, 0), 4), 12)
    finding = find(*[good] * 5, *[bad] * 5, *[good] * 5, edges=(0.0, 1.0, 2.0, 2.95, 3.0))
    assert [segment.start_seconds for segment in finding.segments] == [0.0, 1.0, 2.0, 2.95]
    first, second, third, fourth = (segment.data for segment in finding.segments)
    assert first == third
    assert second.noise_sigma == pytest.approx(12, rel=0.1)
    assert second.issues == ("noisy",)
    assert fourth is None, "no sample fell into it"
    assert finding.summary.worst_segment == finding.segments[1].id == "content_quality:2"
    assert finding.segments[1].score == second.overall / 100


def test_medians_and_means():
    luma = photograph("coffee")
    blown = luma.copy()
    blown[:100] = 255
    finding = find(luma, luma, cv2.GaussianBlur(luma, (0, 0), 4), blown, blown)
    quality = measure(luma, luma, cv2.GaussianBlur(luma, (0, 0), 4), blown, blown)
    assert finding.summary.laplacian_variance == pytest.approx(np.median(quality.laplacian_variance))
    assert finding.summary.clipped_high_percent == pytest.approx(100 * quality.clipped_high.mean())


def test_a_sample_at_a_cut_counts_for_the_shot_that_it_shows():
    """A container that rounds to milliseconds may start the shot a little after the sampled instant."""
    good, flat = photograph("coffee"), np.full((64, 64), 100, np.uint8)
    finding = find(good, good, flat, flat, edges=(0.0, 0.4003, 0.8))
    assert finding.segments[0].data.rms_contrast > 0.1
    assert finding.segments[1].data.rms_contrast == 0


def test_clip_iqa_is_the_mean_of_the_positive_prompts():
    probabilities = {label: [0.2, 0.4, 0.9] for label in POSITIVE_LABELS.values()}
    found = embedded([0.0, 0.4, 1.2], np.eye(3), probabilities)
    luma = photograph("coffee")
    finding = find(*[luma] * 10, edges=(0.0, 1.0, 2.0), embeddings=found)
    assert [segment.data.clip_iqa.good for segment in finding.segments] == pytest.approx([0.3, 0.9])
    assert finding.summary.clip_iqa.sharp == pytest.approx(0.5)
    assert finding.summary.worst_segment == finding.segments[0].id


def test_weights_are_scaled_up_where_something_is_missing():
    luma = np.clip(photograph("coffee"), 3, 252)
    technical = find(luma).summary.overall
    with_look = find(luma, embeddings=embedded([0.0], np.eye(1), LOOK)).summary
    assert with_look.overall == pytest.approx(0.6 * technical + 0.4 * 50)
    assert find(luma).summary.clip_iqa is None
    only_look = content_quality.analyze(measure(), cut(0.0, 0.2), embedded([0.0], np.eye(1), LOOK))
    assert only_look.summary.overall == pytest.approx(50)
    assert only_look.segments[0].data.rms_contrast is None


def test_a_shot_without_an_embedding_has_no_clip_iqa():
    finding = find(*[photograph("coffee")] * 10, edges=(0.0, 1.0, 2.0), embeddings=embedded([0.0], np.eye(1), LOOK))
    assert isinstance(finding.segments[0].data.clip_iqa, ClipIqa)
    assert finding.segments[1].data.clip_iqa is None


def test_the_served_model_has_the_labels():
    assert set(POSITIVE_LABELS.values()) <= set(labels("embedding_clip"))


def test_series():
    finding = find(photograph("camera"), np.full((64, 64), 255, np.uint8))
    columns = finding.series.columns
    assert columns["t"] == (0.0, 0.2)
    assert columns["clip_hi_pct"][1] == 100
    assert columns["blockiness"][1] is None
    assert {len(column) for column in columns.values()} == {2}
    assert {"lap_var", "noise_sigma", "clip_lo_pct", "rms_contrast"} <= set(columns)


def test_weights_are_published():
    parameters = content_quality.PARAMETERS
    assert sum(value for name, value in parameters.items() if name.startswith("weight_")) == pytest.approx(1)
    assert {field.name for field in fields(Quality)} >= {name for _, name, *_ in THRESHOLDS}
    assert parameters["noisy_above"] == 8


@pytest.mark.parametrize("clockwise_degrees", [0, 90])
def test_from_an_encoded_clip(tmp_path, clockwise_degrees):
    """Letterboxed; a tenth of the picture is white; then out of focus."""
    picture = np.clip(cv2.resize(photograph("astronaut"), (360, 360), interpolation=cv2.INTER_AREA), 20, 230)
    picture[:, :36] = 255
    frames = []
    for shot in (picture, cv2.GaussianBlur(picture, (0, 0), 4)):
        boxed = np.zeros((640, 360, 3), np.uint8)
        boxed[140:500] = shot[..., None]
        frames += [boxed] * 30
    path = clips.write(tmp_path / "a.mp4", frames, crf=18)
    path = clips.rotate_tag(path, tmp_path / "b.mp4", clockwise_degrees)
    source = QualitySource()
    with Decoder(path, Fraction(10), None, luma=True) as decoder:
        source.start(decoder.header)
        for part in decoder:
            if isinstance(part, LumaFrame):
                source.push(part)
    quality = source.finish(2.0)
    assert np.allclose(quality.times_seconds, np.arange(10) / 5)
    finding = content_quality.analyze(quality, cut(0.0, 1.0, 2.0), None)
    sharp, blurred = (segment.data for segment in finding.segments)
    assert sharp.clipped_high_percent == pytest.approx(10, abs=0.5)
    assert sharp.clipped_low_percent == 0
    assert sharp.rms_contrast == pytest.approx(picture.std() / 255, rel=0.03)
    assert sharp.laplacian_variance > 10 * blurred.laplacian_variance
    assert (sharp.issues, blurred.issues) == ((), ("blurry",))
    assert finding.summary.worst_segment == finding.segments[1].id
