"""The resizes of CLIP's and SegFormer's graphs equal those of transformers' processors, level by level."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from reelscope_export import antialias, paths

SIDE_PX = 224


@pytest.fixture(scope="module")
def processor() -> Any:
    paths.isolate_libraries()
    from transformers import CLIPImageProcessor

    return CLIPImageProcessor(do_rescale=False, do_normalize=False)


def _noise(height: int, width: int) -> Tensor:
    generator = torch.Generator().manual_seed(height * 10000 + width)
    return torch.randint(0, 256, (1, height, width, 3), generator=generator, dtype=torch.uint8)


def _processed(processor: Any, frames: Tensor) -> Tensor:
    pixels = processor(images=list(frames.permute(0, 3, 1, 2)), input_data_format="channels_first", return_tensors="pt")
    found: Tensor = pixels["pixel_values"].to(torch.float32)
    return found


def _share_differing(found: Tensor, expected: Tensor) -> float:
    assert found.shape == expected.shape
    assert (found - expected).abs().max() <= 1
    return float((found != expected).float().mean())


@pytest.mark.parametrize("height", [1, 2, 7, 57, 100, 223, 224, 225, 301, 448, 719, 1080, 1280])
def test_equals_the_processor_on_noise(height: int, processor: Any) -> None:
    """Up, down and unchanged, portrait and landscape; what is left is rounding of sums beyond 24 bits."""
    for width in (1, 3, 15, 100, 224, 226, 361, 720, 1279):
        frames = _noise(height, width)
        differing = _share_differing(antialias.resize_and_crop(frames, SIDE_PX), _processed(processor, frames))
        assert differing <= 5e-5, f"{height}x{width}: {differing:.1e} of the pixels"


@pytest.mark.parametrize(("height", "width"), [(15, 4001), (4001, 15), (4096, 2160), (3, 2048)])
def test_equals_the_processor_on_extreme_frames(height: int, width: int, processor: Any) -> None:
    frames = _noise(height, width)
    assert _share_differing(antialias.resize_and_crop(frames, SIDE_PX), _processed(processor, frames)) <= 5e-5


def test_the_middle_square_is_seen() -> None:
    """Red, green and blue thirds: of each frame only the middle third is in the square."""
    for shape in ((1, 300, 900, 3), (1, 900, 300, 3)):
        frames = torch.zeros(shape, dtype=torch.uint8)
        for channel in range(3):
            frames.narrow(1 if shape[1] > shape[2] else 2, 300 * channel, 300)[..., channel] = 200
        square = antialias.resize_and_crop(frames, SIDE_PX)
        inner = square[:, :, 4:-4, 4:-4]  # the filter reaches two pixels into the neighbours
        assert torch.equal(inner, torch.tensor([0.0, 200.0, 0.0]).view(1, 3, 1, 1).expand_as(inner))


def test_frames_do_not_influence_each_other() -> None:
    frames = torch.cat([_noise(90, 160), _noise(90, 160).flip(2), torch.zeros(1, 90, 160, 3, dtype=torch.uint8)])
    together = antialias.resize_and_crop(frames, SIDE_PX)
    alone = torch.cat([antialias.resize_and_crop(frame[None], SIDE_PX) for frame in frames])
    assert torch.equal(together, alone)
    assert together[2].eq(0).all()


@pytest.fixture(scope="module")
def stretcher() -> Any:
    paths.isolate_libraries()
    from transformers import SegformerImageProcessor

    return SegformerImageProcessor(do_rescale=False, do_normalize=False)


@pytest.mark.parametrize("height", [1, 2, 7, 100, 361, 511, 512, 513, 720, 1080, 1280])
def test_stretched_equals_the_processor_on_noise(height: int, stretcher: Any) -> None:
    """SegFormer's bilinear resize, each axis by its own scale."""
    for width in (1, 3, 100, 512, 719, 1279):
        frames = _noise(height, width)
        differing = _share_differing(antialias.resize(frames, 512, 512), _processed(stretcher, frames))
        assert differing <= 5e-5, f"{height}x{width}: {differing:.1e} of the pixels"
