"""CRAFT's graph scales frames and scores them as EasyOCR does, with random weights that find text."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest

from reelscope_export import paths, text_detection_craft, text_pages, verify, weights
from reelscope_export.errors import WeightsUnreadable
from reelscope_export.export import Exporter, Outcome
from reelscope_export.verify import Array

MODEL = "text_detection_craft"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """The CPU profile's graph, exported through every step."""
    cache = weights.Cache(paths.weights_folder(), weights.read_manifest())
    settings = paths.model_settings(paths.read_profiles(), "cpu", MODEL)
    return Exporter(tmp_path_factory.mktemp("repository"), cache, mode="random").export(settings)


@pytest.fixture(scope="module")
def run(built: Outcome) -> verify.Run:
    return verify.open_graph(built.file)


def noise(*shape: int) -> Array:
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def canvas(side_px: int, rows: int = 1) -> Array:
    return np.full((rows, 1), side_px, np.int32)


def test_verified_against_easyocr(built: Outcome) -> None:
    measures = {measure.name: measure for measure in built.measures}
    assert list(measures) == ["boxes", "equal boxes", "score difference", "batch to singles"]
    assert measures["equal boxes"].value == 1
    assert all(measure.passed for measure in built.measures)


@pytest.mark.parametrize(
    ("height", "width", "canvas_px"),
    [
        (64, 96, 640),  # not scaled, not padded
        (65, 97, 640),  # padded on both sides
        (180, 320, 160),  # halved: OpenCV takes another way
        (300, 211, 128),
        (97, 300, 299),  # the shorter side is truncated, not rounded
        (1281, 40, 640),
        (640, 33, 100),
    ],
)
def test_scales_pads_and_scores_like_easyocr(run: verify.Run, built: Outcome, height: int, width: int, canvas_px: int):
    network = text_detection_craft.load(built.weights.file)
    frame = noise(height, width, 3)
    answer = run(frame[None], canvas(canvas_px))
    maps, long_side_px = text_detection_craft.upstream_maps(network, frame, canvas_px)
    assert answer["long_side_px"].tolist() == [[long_side_px]]
    assert answer["score_maps"].shape == (1, *maps.shape)
    np.testing.assert_allclose(answer["score_maps"][0], maps, atol=1e-4)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 300), (300, 1), (37, 5)])
def test_any_frame_size(run: verify.Run, height: int, width: int) -> None:
    """Also those of which EasyOCR's scaling would leave no row."""
    answer = run(noise(2, height, width, 3), canvas(64, 2))
    assert answer["score_maps"].shape == (2, 16 * min(2, -(-height // 32)), 16 * min(2, -(-width // 32)), 2)
    assert np.isfinite(answer["score_maps"]).all()
    assert answer["long_side_px"].tolist() == 2 * [[min(64, max(height, width))]]


@pytest.mark.parametrize("rows", [2, 5])
def test_batch_equals_singles(run: verify.Run, rows: int) -> None:
    batch = np.stack([np.roll(text_pages.page(120, 160), 30 * row, axis=1) for row in range(rows)])
    together = run(batch, canvas(128, rows))
    for row in range(rows):
        alone = run(batch[row : row + 1], canvas(128))
        np.testing.assert_allclose(together["score_maps"][row], alone["score_maps"][0], atol=1e-5)


@pytest.mark.parametrize(("paper", "level"), [("light", 225), ("white", 255), ("black", 0)])
def test_random_weights_find_lines_and_nothing_on_a_plain_page(run: verify.Run, paper: str, level: int) -> None:
    page, plain = text_pages.page(256, 320, paper=paper), np.full((256, 320, 3), level, np.uint8)
    found = [
        len(text_detection_craft.upstream_boxes(run(each[None], canvas(640))["score_maps"][0]))
        for each in (page, plain)
    ]
    assert found[0] >= 3
    assert found[1] == 0


def test_random_weights_are_deterministic(built: Outcome, tmp_path: Path) -> None:
    again = tmp_path / "another-name.pth"
    text_detection_craft.write_random("craft_mlt_25k", again)
    assert weights.file_sha256(again) == built.weights.sha256


def test_provenance_in_every_row(run: verify.Run) -> None:
    rows = run(noise(3, 32, 32, 3), canvas(32, 3))["provenance"]
    assert rows.shape == (3, 1)
    said = [json.loads(row) for row in rows[:, 0]]
    assert said[0] == said[1] == said[2]
    assert (said[0]["name"], said[0]["trained"], said[0]["precision"]) == ("craft_mlt_25k", False, "fp32")


@pytest.mark.parametrize("content", [b"", b"not a checkpoint"])
def test_a_file_that_is_no_checkpoint_names_itself(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "craft_mlt_25k.pth"
    file.write_bytes(content)
    with pytest.raises(WeightsUnreadable, match="craft_mlt_25k"):
        text_detection_craft.load(file)


def test_the_weights_have_the_hash_that_easyocr_states() -> None:
    from easyocr.config import detection_models

    (entry,) = weights.read_manifest()[MODEL].values()
    known = detection_models["craft"]
    assert (entry.url, entry.member, entry.md5) == (known["url"], known["filename"], known["md5sum"])


@pytest.mark.slow
def test_fp16_verifies(built: Outcome, tmp_path: Path) -> None:
    graph_file = tmp_path / "graph.onnx"
    onnx.save(text_detection_craft.build(built.weights.file, "fp16"), str(graph_file))
    measures = text_detection_craft.verify(
        verify.open_graph(graph_file), built.weights.file, variant="craft_mlt_25k", precision="fp16", trained=False
    )
    verify.require(MODEL, measures)
