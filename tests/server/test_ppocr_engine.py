"""What lies between PP-OCR's networks, held against rapidocr's own classes; no network runs here."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from places import CHECKOUT
from reelscope_export import ppocr

MODULES = CHECKOUT / "model_repository" / "text_reader" / "1"


@pytest.fixture(scope="module")
def reader():
    """The modules of PP-OCR's engine, found as Triton's stub finds them: their folder is on the path."""
    before = set(sys.modules)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(MODULES))
        import lines
        import ppocr_boxes
        import ppocr_engine
        import ppocr_layout
        import ppocr_lines

        yield SimpleNamespace(
            boxes=ppocr_boxes, engine=ppocr_engine, layout=ppocr_layout, lines=ppocr_lines, found=lines
        )
        for name in set(sys.modules) - before:
            if getattr(sys.modules[name], "__file__", None) and str(MODULES) in sys.modules[name].__file__:
                del sys.modules[name]


@pytest.fixture(scope="module")
def upstream():
    """`RapidOCR()` with its parts loaded."""
    oracle = ppocr.oracle()
    for load in (oracle._load_det_model, oracle._load_cls_model, oracle._load_rec_model):
        load()
    return oracle


def blobs(seed: int, height: int, width: int) -> np.ndarray:
    """A map like the detector's: slanted bars of many sizes, some faint, some touching the border or each other."""
    random = np.random.default_rng(seed)
    drawn = np.zeros((height, width), np.float32)
    for _ in range(25):
        middle = random.uniform((0, 0), (width, height))
        size, angle = random.uniform((4, 2), (width / 5, 22)), random.choice([0, 0, 90, random.uniform(-90, 90)])
        corners = cv2.boxPoints((tuple(middle), tuple(size), float(angle))).astype(np.int32)
        cv2.fillPoly(drawn, [corners], float(random.uniform(0.2, 1.0)))
    return np.clip(cv2.GaussianBlur(drawn, (3, 3), 0), 0, 1)


@pytest.mark.parametrize("seed", range(12))
def test_boxes(reader, upstream, seed):
    height, width = (656, 384) if seed % 2 else (320, 736)
    shape = (height * 2 + 7 * seed, width * 2 - 5 * seed)
    probability = blobs(seed, height, width)
    detector = upstream.text_det
    expected, _ = detector.postprocess_op(probability[None, None], shape)
    found = reader.boxes.quads_of(probability, *shape)
    assert len(found) >= 5
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, detector.sorted_boxes(expected))


@pytest.mark.parametrize("level", [0.0, 0.29, 1.0])
def test_boxes_of_an_even_map(reader, upstream, level):
    probability = np.full((64, 96), level, np.float32)
    expected, _ = upstream.text_det.postprocess_op(probability[None, None], (128, 192))
    np.testing.assert_array_equal(reader.boxes.quads_of(probability, 128, 192), expected.reshape(-1, 4, 2))


SIZES = [(1280, 720), (720, 1280), (568, 320), (1080, 810), (3000, 1700), (1700, 3001), (60, 1200), (24, 80), (30, 30)]
SIZES += [(29, 400), (300, 40), (737, 739), (1, 1), (100, 801), (2001, 2001)]


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_layout(reader, upstream, height, width):
    from rapidocr.utils.process_img import apply_vertical_padding, map_boxes_to_original

    frame = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    picture, record = upstream.preprocess_img(frame)
    picture, record = apply_vertical_padding(picture, record, upstream.width_height_ratio, upstream.min_height)
    layout = reader.layout.Layout.of(height, width)
    ours = layout.picture_of(frame)
    np.testing.assert_array_equal(ours, picture)
    np.testing.assert_array_equal(layout.seen(ours), upstream.text_det.get_preprocess().resize(picture))
    high, wide = picture.shape[:2]
    quad = np.float32([[0, 0], [wide - 1, 0], [wide - 1, high - 1], [wide / 3, high / 2]])
    expected = map_boxes_to_original(quad[None].copy(), record, height, width)[0]
    np.testing.assert_allclose(layout.to_frame(quad), expected, atol=1e-3)


@pytest.mark.parametrize(("height", "width"), [(1280, 3), (1, 1280), (3000, 10)])
def test_a_shape_that_would_take_all_memory_is_refused(reader, height, width):
    with pytest.raises(reader.found.BadFrames, match=f"{width}x{height}"):
        reader.layout.Layout.of(height, width)


def quads() -> list[np.ndarray]:
    boxes = [
        ((150, 100), (180, 40), 0),
        ((150, 100), (200, 30), 12.5),
        ((120, 90), (30, 120), 3),
        ((20, 20), (60, 9), 0),
    ]
    corners = [cv2.boxPoints((middle, size, angle)) for middle, size, angle in boxes]
    return [np.clip(np.roll(each, -1, axis=0).round(), 0, (299, 199)).astype(np.float32) for each in corners]


@pytest.mark.parametrize("number", range(4))
def test_cuts(reader, number):
    from rapidocr.utils.process_img import get_rotate_crop_image

    picture = np.random.default_rng(1).integers(0, 256, (200, 300, 3), np.uint8)
    quad = reader.boxes._clockwise(quads()[number])
    cut = reader.lines.cut(picture, quad, 7, lambda corners: corners)
    expected = get_rotate_crop_image(picture, quad.copy())
    np.testing.assert_array_equal(cut.pixels, expected)
    assert cut.frame == 7
    standing = quad[3, 1] - quad[0, 1] > 1.5 * (quad[1, 0] - quad[0, 0])
    np.testing.assert_array_equal(cut.quad_px, np.roll(quad, -1, axis=0) if standing else quad)
    cut.turn_round()
    np.testing.assert_array_equal(cut.pixels, expected[::-1, ::-1])
    np.testing.assert_array_equal(cut.quad_px[2], quad[1 if standing else 0])


def a_cut(reader, height: int, width: int, frame: int = 0):
    pixels = np.random.default_rng(height * width).integers(0, 256, (height, width, 3), np.uint8)
    return reader.lines.Cut(frame, np.zeros((4, 2)), pixels)


def as_upstream(line: np.ndarray, width: int) -> np.ndarray:
    """uint8 to what the graph makes of it: -1 to 1, and 0 past the line's width."""
    pixels = (line.astype(np.float32) / 255 - np.float32(0.5)) / np.float32(0.5)
    pixels[:, width:] = 0
    return pixels.transpose(2, 0, 1)


@pytest.mark.parametrize(("height", "width"), [(40, 100), (31, 900), (20, 5), (90, 134)])
def test_padding(reader, upstream, height, width):
    cut = a_cut(reader, height, width)
    (line,), ((own,),) = reader.lines.padded([cut], reader.lines.ORIENTATION_WIDTH_PX)
    np.testing.assert_array_equal(as_upstream(line, own), upstream.text_cls.resize_norm_img(cut.pixels))
    ratio = max(320 / 48, cut.ratio)
    (line,), ((own,),) = reader.lines.padded([cut], int(48 * ratio))
    np.testing.assert_array_equal(as_upstream(line, own), upstream.text_rec.resize_norm_img(cut.pixels, ratio))


def test_groups_are_those_of_rapidocr(reader, upstream, monkeypatch):
    """Sorted by shape within a frame, six at a time padded to the widest; then by width over all frames."""
    from rapidocr.ch_ppocr_rec import TextRecInput

    shapes = [(20, 30 + 7 * (k * 5 % 11)) for k in range(14)], [(20, 400), (20, 60)], [(20, 100)]
    cuts = [a_cut(reader, *shape, frame) for frame, group in zip((0, 3, 9), shapes, strict=True) for shape in group]
    expected: dict[int, int] = {}

    def session(batch):
        expected[batch.shape[3]] = expected.get(batch.shape[3], 0) + len(batch)
        return np.zeros((len(batch), 1, len(upstream.text_rec.postprocess_op.character)), np.float32)

    monkeypatch.setattr(upstream.text_rec, "session", session)
    for frame in (0, 3, 9):
        own = [cut.pixels for cut in cuts if cut.frame == frame]
        upstream.text_rec(TextRecInput(img=own, return_word_box=False))
    groups = reader.lines.by_width(cuts)
    assert {width: len(numbers) for width, numbers in groups.items()} == expected
    assert sorted(number for numbers in groups.values() for number in numbers) == list(range(len(cuts)))
    assert reader.lines.by_width([]) == {}


@pytest.mark.parametrize("steps", [[], [0, 0], [5, 5, 0, 5, 7], [0, 9, 9, 9, 0, 0, 9, 3], [18709, 18709, 2]])
def test_characters_are_joined(reader, upstream, steps):
    decoder = upstream.text_rec.postprocess_op
    probabilities = np.random.default_rng(2).uniform(0.3, 1, len(steps)).astype(np.float32)
    ((text, confidence),), _ = decoder.decode(np.array([steps], int), probabilities[None], remove_duplicate=True)
    labels = (MODULES.parents[1] / "text_recognition_ppocr" / "labels.txt").read_text(encoding="utf-8").splitlines()
    assert labels[1:] == decoder.character[1:]
    found = reader.lines.joined(np.array(steps, np.int32), probabilities, labels)
    assert found == (text, pytest.approx(confidence, abs=1e-5))


class Networks:
    """Networks that find one line in each frame, and read the frame's grey level; they note what they are asked."""

    def __init__(self, frames_per_call: int, *also: str) -> None:
        self.frames_per_call, self.also = frames_per_call, also
        self.asked: list[tuple[str, tuple[int, ...]]] = []
        self.under_way = self.most_under_way = 0

    def serves(self, model):
        return model in self.also

    def submit(self, model, inputs, *outputs, most=0):
        first = next(iter(inputs.values()))
        self.asked.append((model, first.shape))
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        return SimpleNamespace(result=lambda: self._answer(model, first))

    def ask(self, model, inputs, *outputs, most=0):
        return self.submit(model, inputs, *outputs).result()

    def _answer(self, model, rows):
        self.under_way -= 1
        count = len(rows)
        if model == "text_detection_ppocr":
            maps = np.zeros(rows.shape[:3], np.float32)
            maps[:, 200:230, 100:500] = 0.9 * (rows[:, :1, :1, 0] > 0)
            return {"text_probability": maps}
        if model == "text_orientation_ppocr":
            return {"upside_down_probability": np.full((count, 1), 0.9, np.float32)}
        ids = np.zeros((count, 4), np.int32)
        ids[:, 1] = rows[:, 24, 100, 0]
        return {"character_ids": ids, "character_probabilities": np.full((count, 4), 0.75, np.float32)}


def read(reader, frames: np.ndarray, networks: Networks):
    return reader.engine.Engine(MODULES.parents[1], {}).read(frames, networks)


@pytest.mark.parametrize("frames_per_call", [1, 2, 5])
def test_frames_are_read_some_at_a_time(reader, frames_per_call):
    levels = [40, 0, 41, 42, 43, 0, 44]
    frames = np.stack([np.full((736, 736, 3), level, np.uint8) for level in levels])
    networks = Networks(frames_per_call)
    lines = read(reader, frames, networks)
    assert [line.frame for line in lines] == [0, 2, 3, 4, 6], "frames without text have no lines"
    characters = (MODULES.parents[1] / "text_recognition_ppocr" / "labels.txt").read_text(encoding="utf-8").splitlines()
    assert [line.text for line in lines] == [characters[level] for level in levels if level]
    assert {line.confidence for line in lines} == {0.75}
    assert all(line.quad_px[0].tolist() < line.quad_px[2].tolist() for line in lines), "0.9 is not above 0.9: upright"
    detected = [shape for model, shape in networks.asked if model == "text_detection_ppocr"]
    assert [shape[0] for shape in detected] == [min(frames_per_call, 7 - k) for k in range(0, 7, frames_per_call)]
    assert networks.most_under_way <= 2 + 1, "two calls of the detector, and one about the lines of an earlier one"


def test_short_lines_are_read_by_the_network_for_them_where_it_is_served(reader):
    """Lines of the least width; longer ones need the network that takes any."""
    short, any_width = "text_recognition_ppocr_short", "text_recognition_ppocr"
    engine = reader.engine.Engine(MODULES.parents[1], {})
    for also, of_short in (((short,), short), ((), any_width)):
        networks = Networks(1, *also)
        for width in (60, 400):
            engine._recognised([a_cut(reader, 20, width)], networks)
        assert networks.asked == [(of_short, (1, 48, 320, 3)), (any_width, (1, 48, 960, 3))]


def test_no_frames_ask_nothing(reader):
    networks = Networks(1)
    assert read(reader, np.zeros((0, 64, 64, 3), np.uint8), networks) == []
    assert networks.asked == []


def test_calls_keep_to_what_the_models_take(reader):
    """Rows per call are within the models' max_batch_size in every profile, and frames within the detector's."""
    from reelscope_export import paths

    for profile in paths.read_profiles().values():
        models = profile["models"]
        names = [reader.engine.ORIENTATION, reader.engine.RECOGNITION]
        if profile["instance_kind"] == "KIND_GPU":
            names.append(reader.engine.RECOGNITION_OF_SHORT)
        for name in names:
            assert models[name]["max_batch_size"] >= reader.engine.LINES_PER_CALL
        frames_per_call = int(models["text_reader"]["parameters"]["frames_per_call"])
        assert models["text_detection_ppocr"]["max_batch_size"] >= frames_per_call
