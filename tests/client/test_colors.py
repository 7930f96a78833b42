"""Colours: the palette of a known card through x264, the scale of colourfulness, warmth, temperature, grade changes."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from feeding import measure
from skimage.color import deltaE_ciede2000, rgb2lab

import clips
from reelscope.analyzers import color_analysis
from reelscope.analyzers.color_analysis import GradeChange
from reelscope.decode import Decoder
from reelscope.sources.colors import ColorSource
from reelscope.sources.shots import ShotSource
from reelscope.types import FrameChunk

CARD = np.array([[230, 30, 40], [20, 90, 200], [250, 220, 60], [30, 160, 70], [240, 240, 240]], np.uint8)
SHARES = (0.40, 0.25, 0.15, 0.12, 0.08)


def card(height=1280, width=720):
    edges = np.round(np.cumsum([0, *SHARES]) * height).astype(int)
    image = np.zeros((height, width, 3), np.uint8)
    for color, first, end in zip(CARD, edges, edges[1:], strict=False):
        image[first:end] = color
    return image


def flat(rgb, count=30):
    return [np.full((64, 36, 3), rgb, np.uint8)] * count


def find(frames, **options):
    return color_analysis.analyze(measure(ColorSource(), frames, **options), measure(ShotSource(), frames, **options))


@pytest.mark.parametrize("tagged", [True, False])
def test_card_through_x264(tmp_path, tagged):
    path = clips.write(tmp_path / "card.mp4", [card()] * 30, crf=23, tagged=tagged)
    sources = ColorSource(), ShotSource()
    with Decoder(path, Fraction(10), None) as decoder:
        for source in sources:
            source.start(decoder.header)
        for part in decoder:
            if isinstance(part, FrameChunk):
                for source in sources:
                    source.push(part)
        colors, shots = (source.finish(1.0) for source in sources)
    palette = color_analysis.analyze(colors, shots).summary.palette
    assert len(palette) == 5
    assert [color.share for color in palette] == sorted((color.share for color in palette), reverse=True)
    for rgb, share in zip(CARD, SHARES, strict=True):
        lab = rgb2lab(rgb[None, None] / 255)[0, 0]
        nearest = min(palette, key=lambda color: deltaE_ciede2000(lab, color.lab))
        assert deltaE_ciede2000(lab, nearest.lab) <= 2
        assert nearest.share == pytest.approx(share, abs=0.02)


def test_gray_has_no_colour():
    summary = find(flat((128, 128, 128))).summary
    assert summary.colorfulness == 0
    assert summary.saturation == 0
    assert summary.warmth == pytest.approx(0, abs=1e-3)
    assert summary.harmony == "achromatic"
    assert [color.hex for color in summary.palette] == ["#808080"]
    assert summary.palette[0].share == 1


def test_colourfulness_equals_its_definition():
    image = clips.texture(4, 128, 72)
    red, green, blue = (image[..., k].astype(float) for k in range(3))
    first, second = red - green, (red + green) / 2 - blue
    true = np.hypot(first.std(), second.std()) + 0.3 * np.hypot(first.mean(), second.mean())
    assert find([image] * 10).summary.colorfulness == pytest.approx(true, rel=1e-9)


def test_warmth_has_the_sign_of_b():
    assert find(flat((255, 180, 80))).summary.warmth > 0.5
    assert find(flat((80, 120, 255))).summary.warmth == -1


@pytest.mark.parametrize(("rgb", "kelvin"), [((255, 255, 255), 6504), ((255, 206, 166), 4000)])
def test_color_temperature(rgb, kelvin):
    """D65, and the sRGB colour of a black body of 4000 K (Charity's table)."""
    found = find(flat(rgb)).summary.color_temperature_kelvin
    assert found == pytest.approx(kelvin, rel=0.05)


def test_color_temperature_far_from_the_locus_is_null():
    assert find(flat((0, 255, 0))).summary.color_temperature_kelvin is None
    assert find(flat((0, 0, 0))).summary.color_temperature_kelvin is None


@pytest.mark.parametrize(("level", "key"), [(240, "high"), (128, "middle"), (30, "low")])
def test_key(level, key):
    assert find(flat((level, level, level))).summary.key == key


def test_grade_change_between_shots():
    image = clips.texture(5, 128, 72)
    warm = (image * (1.0, 0.8, 0.5)).astype(np.uint8)
    cold = (image[:, ::-1] * (0.4, 0.6, 1.0)).astype(np.uint8)
    finding = find([warm] * 30 + [cold] * 30)
    changes = [segment for segment in finding.segments if isinstance(segment.data, GradeChange)]
    assert [round(change.start_seconds, 3) for change in changes] == [1.0]
    assert changes[0].data.delta_e > 10
    assert finding.summary.grade_change_count == 1
    assert finding.summary.consistency < 0.9


@pytest.mark.parametrize(
    ("hues", "harmony"),
    [
        ([(200, 40, 40)], "monochromatic"),
        ([(200, 40, 40), (40, 180, 180)], "complementary"),
        ([(220, 60, 40), (220, 140, 40)], "analogous"),
    ],
)
def test_harmony(hues, harmony):
    image = np.concatenate([np.full((32, 36, 3), rgb, np.uint8) for rgb in hues])
    assert find([image] * 10).summary.harmony == harmony


def test_a_shot_between_two_samples_has_colours():
    """At 1.25 samples a second a shot of 0.2 s falls between them."""
    frames = flat((200, 40, 40), 36) + flat((40, 40, 200), 6) + flat((40, 200, 40), 36)
    finding = find(frames, base_frame_rate=5)
    palettes = [segment.data.palette for segment in finding.segments if segment.label == "shot_colors"]
    assert [palette[0].hex for palette in palettes] == ["#c82828", "#2828c8", "#28c828"]


def test_one_frame():
    finding = find(flat((10, 20, 30), 1))
    assert len(finding.segments) == 1
    assert len(finding.series.columns["t"]) == 1


def test_same_again():
    frames = clips.shots((20,), 40)
    assert find(frames) == find(frames)


def test_a_held_frame_counts_for_as_long_as_it_is_shown():
    frames = [*flat((200, 40, 40), 1), *flat((40, 40, 200), 30)]
    colors = measure(ColorSource(), frames, times=[0.0, *(9 + np.arange(30) / 30)])
    shots = measure(ShotSource(), frames, times=[0.0, *(9 + np.arange(30) / 30)])
    finding = color_analysis.analyze(colors, shots)
    assert [color.hex for color in finding.summary.palette] == ["#c82828", "#2828c8"]
    assert finding.summary.palette[0].share == pytest.approx(0.9, abs=0.02)
    assert len(finding.segments) == 3, "two shots and the change of grade between them"


def test_black_bars_are_no_colour_of_the_picture():
    picture = clips.texture(6, 180, 180)
    boxed = np.zeros((320, 180, 3), np.uint8)
    boxed[70:250] = picture
    with_bars, without = find([boxed] * 20).summary, find([picture] * 20).summary
    assert with_bars.lightness_mean == pytest.approx(without.lightness_mean, abs=1.5)
    assert with_bars.key == without.key
    assert all(color.lab[0] > 5 for color in with_bars.palette)


def test_a_rare_colour_among_many_keeps_its_share():
    """Four flat colours and a tenth of noise with more bins than k-means has points."""
    rng = np.random.default_rng(0)
    frames = []
    for _ in range(40):
        image = np.repeat(CARD[:4], 32, axis=0)[:, None].repeat(72, axis=1).copy()
        image[:, :8] = rng.integers(0, 256, (128, 8, 3))
        frames += [image] * 6
    palette = find(frames).summary.palette
    for rgb in CARD[:4]:
        lab = rgb2lab(rgb[None, None] / 255)[0, 0]
        assert min(deltaE_ciede2000(lab, color.lab) for color in palette) < 3.5


def test_two_colours_and_specks_of_others():
    """More colour bins than clusters, most of them too rare to count."""
    image = np.concatenate([np.full((64, 72, 3), rgb, np.uint8) for rgb in ((200, 40, 40), (40, 40, 200))])
    for k in range(6):
        image[k, 0] = (40 * k, 255 - 40 * k, 100)
    palette = find([image] * 10).summary.palette
    assert [color.hex for color in palette[:2]] == ["#2828c8", "#c82828"]
    assert sum(color.share for color in palette) == pytest.approx(1)
