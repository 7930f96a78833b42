"""The reader's EasyOCR engine against EasyOCR's own functions, on drawn score maps and scripted answers of networks."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace

import cv2
import numpy as np
import pytest
from PIL import Image

from places import CHECKOUT

MODULES = CHECKOUT / "model_repository" / "text_reader" / "1"
SEEDS = range(40)


@pytest.fixture(scope="module")
def engine() -> Iterator[SimpleNamespace]:
    """The engine's modules, by their names without the prefix."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(MODULES))
        names = ("boxes", "lines", "crops", "decoding", "engine")
        yield SimpleNamespace(**{name: __import__(f"easyocr_{name}") for name in names})
    for file in MODULES.glob("*.py"):
        sys.modules.pop(file.stem, None)


@pytest.fixture(scope="module")
def upstream() -> ModuleType:
    import easyocr
    import easyocr.craft_utils
    import easyocr.recognition
    import easyocr.utils

    return easyocr


def drawn_maps(random: np.random.Generator) -> np.ndarray:
    """Words at random places, in sizes and at angles, some faint, some reaching out of the maps; and noise."""
    height, width = (16 * int(random.integers(2, limit)) for limit in (10, 12))
    rows, columns = np.mgrid[:height, :width]
    maps = np.zeros((height, width, 2), np.float32)
    for _ in range(random.integers(3, 25)):
        centre, radius = random.uniform((0, 0), (width, height)), random.uniform(1.5, 6)
        angle = math.radians(random.choice([0, 0, 90, random.uniform(-60, 60), random.uniform(-6, 6)]))
        step = 2.5 * radius * np.array([math.cos(angle), math.sin(angle)])
        letters = int(random.integers(1, 9))
        for place in range(2 * letters - 1):
            across, down = centre + step * place / 2
            blob = np.exp(-((columns - across) ** 2 + (rows - down) ** 2) / (2 * radius**2))
            level = blob * random.uniform(0.3 if place % 2 else 0.5, 1)
            maps[..., place % 2] = np.maximum(maps[..., place % 2], level)
    return maps + random.normal(0, 0.03, maps.shape).astype(np.float32)


def upstream_boxes(upstream, maps, ratio):
    boxes = upstream.craft_utils.getDetBoxes(maps[..., 0], maps[..., 1], 0.7, 0.4, 0.4, False)[0]
    boxes = upstream.craft_utils.adjustResultCoordinates(boxes, 1 / ratio, 1 / ratio)
    return [np.array(box).astype(np.int32).reshape(-1) for box in boxes]


def upstream_lines(upstream, boxes):
    """Level lines and slanted ones, with the arguments of `readtext` and the filter of `Reader.detect`."""
    level, slanted = upstream.utils.group_text_box(boxes, 0.1, 0.5, 0.5, 0.5, 0.1, True) if boxes else ([], [])
    return (
        [line for line in level if max(line[1] - line[0], line[3] - line[2]) > 20],
        [line for line in slanted if max(np.ptp(np.array(line), axis=0)) > 20],
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_boxes_lines_and_crops_are_easyocrs(engine, upstream, seed):
    random = np.random.default_rng(seed)
    maps, ratio = drawn_maps(random), random.choice([1.0, 0.5, 640 / 1081, 0.37])
    boxes = engine.boxes.find_boxes(maps, 1 / ratio)
    expected = upstream_boxes(upstream, maps, ratio)
    assert len(expected) > 0
    np.testing.assert_array_equal(boxes.reshape(-1, 8), expected)

    level, slanted = engine.lines.group(boxes)
    expected_level, expected_slanted = upstream_lines(upstream, expected)
    assert [[line.left, line.right, line.top, line.bottom] for line in level] == expected_level
    np.testing.assert_array_equal(np.reshape(slanted, (-1, 4, 2)), np.reshape(expected_slanted, (-1, 4, 2)))

    height, width = (int(2 * cells / ratio) - 7 for cells in maps.shape[:2])  # without the padding
    grey = cv2.resize(random.integers(0, 256, (height // 4, width // 4), np.uint8), (width, height))
    grey = (grey / random.integers(1, 6)).astype(np.uint8) + 20  # of low contrast too
    crops = engine.crops.crop_lines(grey, level, slanted)
    cut = [(line, []) for line in expected_level] + [([], line) for line in expected_slanted]
    cut = [each for each in cut if in_frame(each, height, width)]
    assert len(crops) == len(cut)
    for crop, (level_line, slanted_line) in zip(crops, cut, strict=True):
        lines = ([level_line] if level_line else [], [slanted_line] if slanted_line else [])
        ((quad, pixels),), padded_width = upstream.utils.get_image_list(*lines, grey, model_height=64)
        np.testing.assert_array_equal(crop.quad_px, np.clip(quad, 0, (width, height)))
        np.testing.assert_array_equal(crop.pixels, pixels)
        for ours, contrast in ((crop.padded(), 0.0), (crop.padded_with_contrast(), 0.5)):
            np.testing.assert_array_equal(ours, aligned(upstream, pixels, padded_width, contrast))


def in_frame(line, height, width):
    """Whether EasyOCR can cut the line out; it raises where there is no pixel of the frame."""
    level, slanted = line
    if slanted:
        return True
    return max(0, level[0]) < min(level[1], width) and max(0, level[2]) < min(level[3], height)


def aligned(upstream, pixels, width, contrast):
    """What EasyOCR's collation makes of a crop, as grey levels."""
    collate = upstream.recognition.AlignCollate(64, width, True, contrast)
    return np.rint((collate([Image.fromarray(pixels)])[0, 0].numpy() * 0.5 + 0.5) * 255).astype(np.uint8)


def test_the_random_maps_hold_all_kinds_of_lines(engine):
    kinds = {"level": 0, "slanted": 0, "joined": 0, "tall": 0}
    for seed in SEEDS:
        random = np.random.default_rng(seed)
        maps, ratio = drawn_maps(random), random.choice([1.0, 0.5, 640 / 1081, 0.37])
        boxes = engine.boxes.find_boxes(maps, 1 / ratio)
        level, slanted = engine.lines.group(boxes)
        kinds["level"] += len(level)
        kinds["slanted"] += len(slanted)
        kinds["joined"] += len(boxes) > len(level) + len(slanted)
        kinds["tall"] += sum(line.height > line.right - line.left for line in level)
    assert min(kinds.values()) >= 10, kinds


def test_no_text_no_boxes(engine):
    boxes = engine.boxes.find_boxes(np.zeros((32, 48, 2), np.float32), 1.0)
    assert boxes.shape == (0, 4, 2)
    assert engine.lines.group(boxes) == ([], [])


def test_lines_without_a_pixel_of_the_frame_are_left_out(engine):
    """EasyOCR raises for them; the padding below a frame can hold boxes."""
    grey = np.zeros((40, 100), np.uint8)
    below = engine.lines.Level(10, 60, 41, 60)
    point = np.full((4, 2), 5.0)
    assert engine.crops.crop_lines(grey, [below], [point]) == []


@pytest.mark.parametrize("size", [(65, 64), (100, 64), (127, 64), (139, 64), (700, 64)])
def test_tall_crops_are_scaled_as_pillow_does(engine, size):
    pixels = np.random.default_rng(0).integers(0, 256, size, np.uint8)
    width = math.ceil(64 * (64 / size[0]))
    expected = np.asarray(Image.fromarray(pixels).resize((width, 64), Image.Resampling.BICUBIC))
    crop = engine.crops.Crop(np.zeros((4, 2)), pixels, 64 * math.ceil(size[0] / 64))
    np.testing.assert_array_equal(crop.padded()[:, :width], expected)
    assert (crop.padded()[:, width:] == expected[:, -1:]).all()


@pytest.mark.parametrize("seed", SEEDS)
def test_strings_and_confidences_are_easyocrs(engine, upstream, seed):
    random = np.random.default_rng(seed)
    characters = " abcä"
    steps = np.repeat(random.integers(0, 6, 40), random.integers(1, 4, 40))
    probabilities = random.uniform(0.5, 1, len(steps)).astype(np.float32)
    converter = upstream.utils.CTCLabelConverter(characters)
    (text,) = converter.decode_greedy(steps, [len(steps)])
    confidence = upstream.recognition.custom_mean(probabilities[steps != 0])
    assert engine.decoding.decode(steps, probabilities, ["", *characters]) == (text, pytest.approx(float(confidence)))


def test_a_line_of_which_nothing_is_read_has_no_confidence(engine):
    assert engine.decoding.decode(np.zeros(9, np.int32), np.ones(9, np.float32), [""]) == ("", 0.0)


def test_labels_are_read_with_their_two_names(engine, tmp_path):
    labels = tmp_path / "labels.txt"
    labels.write_text("<none>\n<space>\n!\nß\n", encoding="utf-8")
    assert engine.decoding.read_characters(labels) == ["", " ", "!", "ß"]


class Networks:
    """Answers of networks as a script has them; notes what was asked, and how much was under way at once."""

    def __init__(self, frames_per_call: int, *answers: tuple[int, float]) -> None:
        """`answers`: for each line in the order of asking, the one character that is read in it, and how surely."""
        self.frames_per_call = frames_per_call
        self.answers = list(answers)
        self.frames_asked: list[int] = []
        self.lines_asked: list[np.ndarray] = []
        self.under_way = self.most_under_way = 0

    def submit(self, model, inputs, *outputs, most=0):
        assert (model, outputs) == ("text_detection_craft", ("score_maps", "long_side_px"))
        self.frames_asked.append(len(inputs["frames"]))
        assert inputs["canvas_px"].tolist() == [[640]] * len(inputs["frames"])
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        return SimpleNamespace(result=lambda: self._maps(inputs["frames"]))

    def ask(self, model, inputs, *outputs, most=0):
        assert (model, outputs) == ("text_recognition_crnn", ("character_ids", "character_probabilities"))
        self.lines_asked.append(inputs["lines"])
        count = len(inputs["lines"])
        ids, probabilities = np.zeros((count, 5), np.int32), np.ones((count, 5), np.float32)
        for row in range(count):
            ids[row, 2], probabilities[row, 2] = self.answers.pop(0)
        return {"character_ids": ids, "character_probabilities": probabilities}

    def _maps(self, frames):
        """Text wherever a frame is not white; no links."""
        self.under_way -= 1
        ink = (frames[:, ::2, ::2].min(3) < 255).astype(np.float32)
        return {
            "score_maps": np.stack((ink, np.zeros_like(ink)), 3),
            "long_side_px": np.full((len(frames), 1), max(frames.shape[1:3]), np.int32),
        }


@pytest.fixture
def reader(engine, tmp_path):
    folder = tmp_path / "text_recognition_crnn"
    folder.mkdir()
    (folder / "labels.txt").write_text("<none>\n<space>\na\nb\nc\n", encoding="utf-8")
    return engine.engine.Engine(tmp_path, {"canvas_px": "640", "engine": "easyocr"})


def white(count: int, height: int = 96, width: int = 200) -> np.ndarray:
    return np.full((count, height, width, 3), 255, np.uint8)


def test_no_frames_and_frames_without_text_have_no_lines(reader):
    assert reader.read(white(0), Networks(1)) == []
    networks = Networks(1)
    assert reader.read(white(3), networks) == []
    assert networks.frames_asked == [1, 1, 1]
    assert networks.lines_asked == [], "the recognition is not asked about nothing"


def test_lines_come_by_frame_and_the_next_call_is_under_way_meanwhile(reader):
    frames = white(5)
    frames[::2, 30:50, 20:180] = 10
    networks = Networks(2, (2, 0.9), (3, 0.8), (4, 0.7))
    lines = reader.read(frames, networks)
    assert [(line.frame, line.text) for line in lines] == [(0, "a"), (2, "b"), (4, "c")]
    assert [line.confidence for line in lines] == pytest.approx([0.9**2, 0.8**2, 0.7**2])
    assert networks.frames_asked == [2, 2, 1]
    assert networks.most_under_way == 2
    for line in lines:
        assert (line.quad_px[0] <= (20, 30)).all()
        assert (line.quad_px[2] >= (178, 48)).all()


def test_lines_of_one_width_are_read_together(reader):
    frames = white(2)
    frames[:, 10:30, 20:180] = 10
    frames[:, 60:80, 20:60] = 30
    networks = Networks(2, (2, 0.9), (3, 0.9), (4, 0.9), (1, 0.9))
    lines = reader.read(frames, networks)
    assert [(line.frame, line.text) for line in lines] == [(0, "a"), (0, "c"), (1, "b"), (1, " ")]
    shapes = [lines.shape for lines in networks.lines_asked]
    assert [shape[:2] for shape in shapes] == [(2, 64), (2, 64)]
    assert shapes[0][2] > shapes[1][2]
    assert all(shape[2] % 64 == 0 for shape in shapes)


def test_very_many_columns_are_read_by_and_by(reader, engine, monkeypatch):
    monkeypatch.setattr(engine.engine, "COLUMNS_PER_CALL", 1000)
    frames = white(1, 400)
    for top in range(10, 390, 60):
        frames[:, top : top + 20, 20:180] = 10
    networks = Networks(1, *[(2, 0.9)] * 7)
    assert len(reader.read(frames, networks)) == 7
    assert all(len(lines) >= 1 and lines.shape[0] * lines.shape[2] <= 1000 for lines in networks.lines_asked)


def test_what_is_hardly_read_is_read_again_and_the_better_taken(reader):
    frames = white(3)
    frames[:, 30:50, 20:180] = 200
    networks = Networks(3, (2, 0.2), (2, 0.2), (2, 0.5), (3, 0.6), (4, 0.1))
    lines = reader.read(frames, networks)
    assert [line.text for line in lines] == ["b", "a", "a"]
    assert [line.confidence for line in lines] == pytest.approx([0.6**2, 0.2**2, 0.5**2])
    first, second = networks.lines_asked
    assert (len(first), len(second)) == (3, 2)
    assert np.ptp(second) > 2 * np.ptp(first), "with more contrast"


def test_lines_without_characters_are_left_out(reader):
    frames = white(1)
    frames[:, 30:50, 20:180] = 10
    assert reader.read(frames, Networks(1, (0, 1.0), (0, 1.0))) == []
