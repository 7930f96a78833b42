"""Colours out of the decoder: HDR against its SDR twin, pixel formats, ranges, and the luma that was coded."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest
from skimage.color import deltaE_ciede2000, rgb2lab

import clips
from reelscope.decode import Decoder
from reelscope.types import FrameChunk, LumaFrame

PALETTE = np.array(
    [
        [230, 30, 40],
        [20, 90, 200],
        [250, 220, 60],
        [30, 160, 70],
        [0, 200, 200],
        [60, 10, 90],
        [200, 150, 130],
        [255, 255, 255],
        [128, 128, 128],
        [24, 24, 24],
        [0, 0, 0],
    ],
    np.uint8,
)
PATCH_PX = 32
LIMITED, FULL = 1, 2


def decode(path):
    with Decoder(path, Fraction(10), None, luma=True) as decoder:
        parts = list(decoder)
        facts = decoder.facts()
    frames = np.concatenate([part.frames for part in parts if isinstance(part, FrameChunk)])
    return facts, frames, [part for part in parts if isinstance(part, LumaFrame)]


def patches(picture, count):
    """Colours in the middle of `count` stripes from top to bottom."""
    rows = ((np.arange(count) + 0.5) * picture.shape[0] / count).astype(int)
    return picture[rows, picture.shape[1] // 2]


def delta_e(first, second):
    return deltaE_ciede2000(rgb2lab(first[None] / 255.0)[0], rgb2lab(second[None] / 255.0)[0])


def stripes(values, kind, width=64, height=PATCH_PX):
    """One stripe per value."""
    return np.repeat(np.rint(values).astype(kind), height)[:, None].repeat(width, axis=1)


def hdr_codes(rgb, curve):
    """What BT.2408 makes of SDR: R'G'B' 0-1 in HDR, SDR white at 203 cd/m2, which is 75 % of HLG and 58 % of PQ.

    From BT.709 (shown with BT.1886) to BT.2020 by their chromaticities; curves of BT.2100-2.
    """
    nits = 203 * (rgb / 255.0) ** 2.4 @ (_rgb_to_xyz("bt709").T @ np.linalg.inv(_rgb_to_xyz("bt2020")).T)
    if curve == "pq":
        power = (np.maximum(nits, 0) / 10000) ** (2610 / 16384)
        return ((3424 / 4096 + 2413 / 128 * power) / (1 + 2392 / 128 * power)) ** (2523 / 32)
    display = nits / 1000
    luminance = np.maximum(display @ (0.2627, 0.6780, 0.0593), 1e-9)
    scene = np.maximum(display * luminance[:, None] ** (1 / 1.2 - 1), 0)
    logarithm = 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073
    return np.where(scene <= 1 / 12, np.sqrt(3 * scene), logarithm)


def _rgb_to_xyz(primaries):
    """Matrix from linear RGB to XYZ, out of the standard's chromaticities and D65."""
    red_green_blue = {
        "bt709": ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060)),
        "bt2020": ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    }[primaries]
    columns = np.array([(x / y, 1, (1 - x - y) / y) for x, y in red_green_blue]).T
    white = np.array((0.3127 / 0.3290, 1, (1 - 0.3127 - 0.3290) / 0.3290))
    return columns * np.linalg.solve(columns, white)


@pytest.mark.parametrize(("curve", "transfer", "white"), [("hlg", 18, 0.75), ("pq", 16, 0.58)], ids=["hlg", "pq"])
@pytest.mark.parametrize("width", [64, 640], ids=["unscaled", "scaled"])
def test_hdr_looks_like_its_sdr_twin(tmp_path, curve, transfer, white, width):
    codes = hdr_codes(PALETTE, curve)
    assert codes[7] == pytest.approx(white, abs=0.005)
    luma = codes @ (0.2627, 0.6780, 0.0593)
    blue, red = (codes[:, 2] - luma) / 1.8814, (codes[:, 0] - luma) / 1.4746
    height = PATCH_PX * width // 64
    planes = [stripes(64 + 876 * luma, np.uint16, width, height)]
    planes += [stripes(512 + 896 * chroma, np.uint16, width // 2, height // 2) for chroma in (blue, red)]
    path = clips.write_coded(
        tmp_path / "hdr.mp4",
        planes,
        "yuv420p10le",
        codec="libx265",
        tags=(LIMITED, 9, transfer, 9),
        options={"crf": "6", "preset": "ultrafast", "x265-params": "log-level=none"},
    )
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
        assert (frame.color_trc, frame.color_primaries, frame.colorspace) == (transfer, 9, 9)
        assert frame.format.name == "yuv420p10le"
    facts, frames, _ = decode(path)
    assert facts.hdr == curve
    assert delta_e(patches(frames[0], len(PALETTE)), PALETTE).max() <= 1.0


def test_untagged_ten_bits_are_sdr(tmp_path):
    planes = [stripes([64, 502, 940], np.uint16), *[np.full((48, 32), 512, np.uint16)] * 2]
    path = clips.write_coded(tmp_path / "a.mkv", planes, "yuv420p10le", codec="ffv1")
    facts, frames, luma = decode(path)
    assert facts.hdr is None
    for picture in (frames[0], luma[0].luma[..., None]):
        assert np.abs(patches(picture, 3).astype(int) - [[0], [128], [255]]).max() <= 1


def yuv(rgb, *, limited, depth=8):
    """BT.709 Y'CbCr codes of R'G'B'."""
    red, green, blue = (rgb / 255.0).T
    luma = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    chroma = (blue - luma) / 1.8556, (red - luma) / 1.5748
    unit = 2 ** (depth - 8)
    if limited:
        return [unit * (16 + 219 * luma), *(unit * (128 + 224 * value) for value in chroma)]
    return [(256 * unit - 1) * luma, *(128 * unit + (256 * unit - 1) * value for value in chroma)]


@pytest.mark.parametrize("span", [LIMITED, FULL])
@pytest.mark.parametrize(
    ("pixels", "depth", "halved"),
    [
        ("yuv420p", 8, (2, 2)),
        ("yuv422p", 8, (2, 1)),
        ("yuv444p", 8, (1, 1)),
        ("yuv420p10le", 10, (2, 2)),
        ("yuv422p10le", 10, (2, 1)),
        ("yuv444p10le", 10, (1, 1)),
    ],
)
def test_pixel_formats(tmp_path, pixels, depth, halved, span):
    codes = yuv(PALETTE, limited=span == LIMITED, depth=depth)
    kind = np.uint8 if depth == 8 else np.uint16
    chroma = [
        stripes(np.clip(code, 0, 2**depth - 1), kind, 64 // halved[0], PATCH_PX // halved[1]) for code in codes[1:]
    ]
    path = clips.write_coded(
        tmp_path / "a.mkv", [stripes(codes[0], kind), *chroma], pixels, codec="ffv1", tags=(span, 1, 1, 1)
    )
    _, frames, luma = decode(path)
    assert np.abs(patches(frames[0], len(PALETTE)).astype(int) - PALETTE).max() <= 2
    expected = np.rint(255 * (PALETTE / 255.0) @ (0.2126, 0.7152, 0.0722))
    assert luma[0].luma.shape == (PATCH_PX * len(PALETTE), 64)
    assert np.abs(patches(luma[0].luma, len(PALETTE)) - expected).max() <= 1


@pytest.mark.parametrize(("codec", "pixels"), [("ffv1", "gray"), ("ffv1", "gray10le"), ("libx265", "gray")])
@pytest.mark.parametrize("span", [LIMITED, FULL])
def test_gray(tmp_path, codec, pixels, span):
    levels = np.array([0, 60, 128, 200, 255])
    unit = 4 if "10" in pixels else 1
    codes = unit * (16 + 219 * levels / 255) if span == LIMITED else (256 * unit - 1) * levels / 255
    path = clips.write_coded(
        tmp_path / "gray.mkv",
        [stripes(codes, np.uint8 if unit == 1 else np.uint16)],
        pixels,
        codec=codec,
        tags=(span, 1, 1, 1),
        options={"x265-params": "log-level=none:lossless=1", "preset": "ultrafast"} if codec == "libx265" else None,
    )
    _, frames, luma = decode(path)
    assert np.abs(patches(frames[0], 5).astype(int) - levels[:, None]).max() <= 2
    assert np.abs(patches(luma[0].luma, 5).astype(int) - levels).max() <= 2


def test_packed_pixels(tmp_path):
    luma, blue, red = (np.rint(code).astype(np.uint8) for code in yuv(PALETTE, limited=True))
    packed = np.stack([luma, blue, luma, red], axis=1)[:, None].repeat(32, axis=1).reshape(len(PALETTE), 128)
    packed = packed.repeat(PATCH_PX, axis=0)
    path = clips.write_coded(tmp_path / "a.avi", [packed], "yuyv422", codec="rawvideo", tags=(LIMITED, 1, 1, 1))
    _, _, found = decode(path)
    expected = np.clip(np.rint((luma.astype(float) - 16) * 255 / 219), 0, 255)
    assert found[0].luma.shape == (PATCH_PX * len(PALETTE), 64)
    assert np.abs(patches(found[0].luma, len(PALETTE)) - expected).max() <= 1


def test_coded_as_rgb(tmp_path):
    image = PALETTE.repeat(PATCH_PX, axis=0)[:, None].repeat(64, axis=1)
    packed = image.reshape(len(image), -1)
    path = clips.write_coded(tmp_path / "rgb.mkv", [packed], "rgb24", codec="libx264rgb", options={"qp": "0"})
    with av.open(str(path)) as container:
        assert container.streams.video[0].codec_context.pix_fmt == "gbrp"
    _, frames, luma = decode(path)
    assert np.abs(patches(frames[0], len(PALETTE)).astype(int) - PALETTE).max() <= 1
    assert patches(luma[0].luma, len(PALETTE))[[7, 8, 10]] == pytest.approx([255, 128, 0], abs=1)


def test_luma_is_what_was_coded(tmp_path):
    """Neither scaled nor turned, and at the instants of base/2: each the frame shown then."""
    picture = clips.texture(1, 480, 640)
    frames = [(picture * (0.4 + 0.02 * k)).astype(np.uint8) for k in range(30)]
    plain = clips.write(tmp_path / "plain.mp4", frames, crf=1)
    path = clips.rotate_tag(plain, tmp_path / "rotated.mp4", 90)
    facts, _, luma = decode(path)
    assert (facts.width, facts.height) == (480, 640)
    assert [part.time_seconds for part in luma] == pytest.approx([0, 0.2, 0.4, 0.6, 0.8])
    with av.open(str(path)) as container:
        planes = [frame.to_ndarray()[:480, :640] for frame in container.decode(video=0)]
    for part, shown in zip(luma, (0, 6, 12, 18, 24), strict=True):
        full_range = np.clip(np.rint((planes[shown].astype(float) - 16) * 255 / 219), 0, 255)
        assert part.luma.dtype == np.uint8
        assert np.array_equal(part.luma, full_range)


def test_a_frame_held_for_long_is_every_sample_of_its_time(tmp_path):
    frames = [np.full((64, 64, 3), level, np.uint8) for level in (40, 220)]
    _, _, luma = decode(clips.write(tmp_path / "held.mkv", frames, times=[0.0, 1.1], crf=1))
    assert [part.time_seconds for part in luma] == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1.0])
    assert [round(float(part.luma.mean()), -1) for part in luma] == [40] * 6


def test_no_luma_unless_asked(tmp_path):
    with Decoder(clips.write(tmp_path / "a.mp4", [clips.texture(1, 64, 64)] * 10), Fraction(10), None) as decoder:
        assert not any(isinstance(part, LumaFrame) for part in decoder)
