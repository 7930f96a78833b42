"""Crops are the squares that they should be, resized as Pillow, torch and CLIP's processor resize them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch

from places import CHECKOUT
from reelscope_export import object_crops, paths, photographs, verify, weights
from reelscope_export.errors import VerificationFailed
from reelscope_export.export import Exporter, Outcome
from reelscope_export.verify import Array

GREY = 114


@pytest.fixture(scope="module")
def built() -> Outcome:
    settings = paths.model_settings(paths.read_profiles(), "cpu", "object_crops")
    cache = weights.Cache(CHECKOUT / "out" / "test" / "weights", weights.read_manifest())
    return Exporter(CHECKOUT / "out" / "test" / "model_repository", cache, mode="random").export(settings)


@pytest.fixture(scope="module")
def run(built: Outcome) -> verify.Run:
    return verify.open_graph(built.file)


def _crops(run: verify.Run, frames: Array, boxes: list[tuple[float, ...]], frame_index: list[int]) -> Array:
    return run(frames, np.array(boxes, np.float32).reshape(-1, 4), np.array(frame_index, np.int32))["crops"]


SQUARES = (
    # frame height, width; box in pixels x0 y0 x1 y1; the square's top, left, side
    ((200, 400), (100, 50, 150, 90), (40, 95, 60)),  # 50 px and a tenth of it on each side, around the middle
    ((200, 400), (0, 0, 50, 50), (0, 0, 60)),  # moved into the frame
    ((200, 400), (350, 150, 400, 200), (140, 340, 60)),
    ((200, 400), (10, 5, 30, 185), (0, 0, 200)),  # 216 px are not there: less context
    ((200, 400), (20, 90, 380, 110), (-80, 20, 360)),  # wider than the frame is high: the frame's whole height
    ((200, 400), (0, 0, 400, 200), (-100, 0, 400)),
    ((400, 200), (0, 300, 200, 400), (200, 0, 200)),  # 240 px are not there; moved up
    ((200, 400), (77.7, 66.4, 77.7, 66.4), (66, 77, 1)),  # a point is one pixel
)


@pytest.mark.parametrize(("size", "box", "square"), SQUARES)
def test_squares(size: tuple[int, int], box: tuple[float, ...], square: tuple[int, ...]) -> None:
    height, width = size
    boxes = torch.tensor([box]) / torch.tensor([width, height, width, height])
    frames = torch.zeros(1, height, width, 3, dtype=torch.uint8)
    found = object_crops.Squares()(frames, boxes.float(), torch.tensor([0], dtype=torch.int32))
    assert found.tolist() == [[0, *square]]


def test_equals_pillow_and_torch_for_many_boxes(run: verify.Run) -> None:
    generator = np.random.default_rng(0)
    frames, _, _ = object_crops.sample()
    corners = np.sort(generator.random((40, 2, 2)), axis=1)
    boxes = corners.reshape(40, 4).astype(np.float32)
    frame_index = generator.integers(0, 2, 40).astype(np.int32)
    crops = run(frames, boxes, frame_index)["crops"].astype(np.int64)
    squares = [object_crops.square(frames[index], box) for box, index in zip(boxes, frame_index, strict=True)]
    assert min(len(square) for square in squares) < 224 < max(len(square) for square in squares)
    by_torch = np.stack([object_crops.resized_by_torch(square) for square in squares])
    by_pillow = np.stack([object_crops.resized_by_pillow(square) for square in squares])
    assert (crops != by_torch).mean() <= 5e-5
    assert (np.abs(crops - by_pillow) > 1).mean() <= 1e-4


def test_noise_equals_torch(run: verify.Run) -> None:
    """Noise shows what photographs hide: ringing, and rounding between the passes."""
    frame = np.random.default_rng(0).integers(0, 256, (331, 517, 3), dtype=np.uint8)
    boxes = np.array([(0.1, 0.1, 0.2, 0.2), (0.1, 0.1, 0.9, 0.6), (0, 0, 1, 1), (0.5, 0.5, 0.505, 0.51)], np.float32)
    crops = run(frame[None], boxes, np.zeros(4, np.int32))["crops"]
    for crop, box in zip(crops, boxes, strict=True):
        assert (crop != object_crops.resized_by_torch(object_crops.square(frame, box))).mean() <= 1e-4


def test_no_boxes_give_no_crops(run: verify.Run) -> None:
    crops = _crops(run, np.zeros((3, 20, 30, 3), np.uint8), [], [])
    assert (crops.shape, crops.dtype) == ((0, 224, 224, 3), np.uint8)


def test_every_box_is_cut_from_its_own_frame(run: verify.Run) -> None:
    frames = np.full((4, 90, 160, 3), 0, np.uint8) + np.array([10, 20, 30, 40], np.uint8)[:, None, None, None]
    crops = _crops(run, frames, [(0.4, 0.3, 0.6, 0.7)] * 5, [3, 0, 2, 2, 1])
    assert [int(crop.min()) for crop in crops] == [int(crop.max()) for crop in crops] == [40, 10, 30, 30, 20]


def test_many_boxes(run: verify.Run) -> None:
    frame = photographs.read()["bus.jpg"][:300, :400]
    crops = _crops(run, frame[None], [(0.1, 0.1, 0.3, 0.4)] * 300, [0] * 300)
    assert len(crops) == 300
    assert (crops == crops[0]).all()


def test_batch_equals_singles(run: verify.Run) -> None:
    frames, boxes, frame_index = object_crops.sample()
    together = run(frames, boxes, frame_index)["crops"]
    for row in range(len(boxes)):
        alone = run(frames, boxes[row : row + 1], frame_index[row : row + 1])["crops"][0]
        assert (together[row] == alone).all()


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 300), (300, 1), (37, 5), (15, 2001)])
def test_any_frame_size(height: int, width: int, run: verify.Run) -> None:
    """A frame of one colour is of that colour in its crops, and beyond the frame is grey."""
    frames = np.full((2, height, width, 3), 60, np.uint8)
    crops = _crops(run, frames, [(0, 0, 1, 1), (0.4, 0.4, 0.6, 0.6)], [0, 1])
    assert crops.shape == (2, 224, 224, 3)
    inside = np.abs(crops.astype(int) - 60) <= 8  # the cubic filter overshoots where the frame ends
    beyond = np.abs(crops.astype(int) - GREY) <= 8
    assert inside[1].all() or min(height, width) < 0.2 * max(height, width)
    assert inside[0].mean() + beyond[0].mean() > 0.9
    assert beyond[0].any() == (height != width)


def test_beyond_the_frame_is_grey(run: verify.Run) -> None:
    frames = np.full((1, 100, 200, 3), 250, np.uint8)
    crop = _crops(run, frames, [(0, 0, 1, 1)], [0])[0]
    assert (crop[:50] == GREY).all()
    assert (crop[62:162] == 250).all()
    assert (crop[-50:] == GREY).all()


def test_boxes_that_are_none_are_answered(run: verify.Run) -> None:
    """Not a number, inverted, and beyond the frame: a crop each, and nothing that the others would notice."""
    frame = photographs.read()["zidane.jpg"][::4, ::4]
    right = (0.2, 0.2, 0.6, 0.8)
    boxes = [(np.nan, 0.1, 0.5, np.nan), (0.9, 0.9, 0.1, 0.1), (-3, -3, 4, 4), (np.inf, 0, np.inf, 1), right]
    crops = _crops(run, np.ascontiguousarray(frame)[None], boxes, [0] * 5)
    assert (crops[4] == _crops(run, np.ascontiguousarray(frame)[None], [right], [0])[0]).all()
    assert (crops[2] == _crops(run, np.ascontiguousarray(frame)[None], [(0, 0, 1, 1)], [0])[0]).all()


def test_a_frame_that_is_not_there_is_refused(run: verify.Run) -> None:
    with pytest.raises(Exception, match="out of data bounds"):
        _crops(run, np.zeros((2, 20, 30, 3), np.uint8), [(0, 0, 1, 1)], [2])


def test_a_mirrored_frame_gives_mirrored_crops(run: verify.Run) -> None:
    frame = photographs.read()["bus.jpg"][:400, :600]
    box = (120 / 600, 0.25, 240 / 600, 0.5)  # 120x100 px: a square of 144, whose corner is a whole pixel on both sides
    crop = _crops(run, frame[None], [box], [0])[0].astype(int)
    mirrored = np.ascontiguousarray(frame[:, ::-1])[None]
    other = _crops(run, mirrored, [(1 - box[2], box[1], 1 - box[0], box[3])], [0])[0].astype(int)
    assert np.abs(crop[:, ::-1] - other).max() <= 1


def test_clip_sees_the_crop_as_it_is(run: verify.Run) -> None:
    """CLIP's processor leaves a crop alone, and makes the same of the square itself."""
    from transformers import CLIPImageProcessor

    processor = CLIPImageProcessor(do_rescale=False, do_normalize=False)
    frames, boxes, frame_index = object_crops.sample()
    crops = run(frames, boxes, frame_index)["crops"]
    for crop, box, index in zip(crops, boxes, frame_index, strict=True):
        for pixels in (crop, object_crops.square(frames[index], box)):
            seen = processor(images=[pixels], input_data_format="channels_last", return_tensors="pt")["pixel_values"]
            assert (seen[0].permute(1, 2, 0).numpy() != crop).mean() <= 5e-5


def test_provenance_needs_no_training(built: Outcome, run: verify.Run) -> None:
    rows = run(np.zeros((3, 8, 8, 3), np.uint8), np.zeros((2, 4), np.float32), np.zeros(2, np.int32))["provenance"]
    assert rows.shape == (1,)
    said = json.loads(rows[0])
    assert (said["name"], said["source"], said["licence"]) == ("square-224", "reelscope", "AGPL-3.0-or-later")
    assert said["trained"] is True
    assert said["sha256"] == weights.file_sha256(Path(object_crops.__file__))


def test_there_are_no_weights_to_find_or_draw(tmp_path: Path) -> None:
    cache = weights.Cache(tmp_path / "weights", weights.read_manifest())

    def refuse(_: Path) -> None:
        raise AssertionError("nothing is drawn")

    for mode in get_args(weights.Mode):
        for policy in get_args(weights.LicencePolicy):
            found = cache.resolve(
                "object_crops", "square-224", mode=mode, policy=policy, write_random=refuse, recipe="none"
            )
            assert (found.trained, found.file) == (True, Path(object_crops.__file__))
    assert not cache.folder.exists()


def test_verification_notices(run: verify.Run) -> None:
    def shifted(*arrays: Array) -> dict[str, Array]:
        answer = run(*arrays)
        return answer | {"crops": np.roll(answer["crops"], 1, axis=2)}

    with pytest.raises(VerificationFailed, match=r"within a level of Pillow's"):
        verify.require(
            "object_crops",
            object_crops.verify(shifted, Path("none"), variant="square-224", precision="fp32", trained=True),
        )
