"""The recognition's graph reads lines as EasyOCR's network does, for every variant by the same labels."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest

from places import CHECKOUT
from reelscope_export import easyocr_networks, paths, text_pages, text_recognition_crnn, verify, weights
from reelscope_export.errors import WeightsUnreadable
from reelscope_export.export import Exporter, Outcome
from reelscope_export.verify import Array

MODEL = "text_recognition_crnn"
LABELS = (CHECKOUT / "model_repository" / MODEL / "labels.txt").read_text(encoding="utf-8").splitlines()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """The CPU profile's graph, exported through every step."""
    cache = weights.Cache(paths.weights_folder(), weights.read_manifest())
    settings = paths.model_settings(paths.read_profiles(), "cpu", MODEL)
    assert settings.variant == "latin_g2", "umlauts matter"
    return Exporter(tmp_path_factory.mktemp("repository"), cache, mode="random").export(settings)


@pytest.fixture(scope="module")
def run(built: Outcome) -> verify.Run:
    return verify.open_graph(built.file)


def noise(*shape: int) -> Array:
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def test_verified_against_easyocr(built: Outcome) -> None:
    assert [measure.name for measure in built.measures][:2] == ["characters", "characters that differ"]
    assert all(measure.passed for measure in built.measures)


@pytest.mark.parametrize("width", [8, 64, 65, 100, 640, 1283])
def test_reads_like_easyocr_at_any_width(run: verify.Run, built: Outcome, width: int) -> None:
    line = noise(64, width)
    answer = run(line[None])
    with easyocr_networks.reader(built.weights.file.parent, "latin_g2", detector=False) as reader:
        characters, probabilities = text_recognition_crnn.upstream_steps(reader, line)
    assert answer["character_ids"].shape == (1, width // 4 - 1)
    named = {" ": "<space>"}
    assert [LABELS[each] for each in answer["character_ids"][0]] == [named.get(each, each) for each in characters]
    np.testing.assert_allclose(answer["character_probabilities"][0], probabilities, atol=1e-3)


@pytest.mark.parametrize("rows", [2, 7])
def test_batch_equals_singles(run: verify.Run, rows: int) -> None:
    line = text_pages.lines()[0][:, :320]
    assert verify.batch_difference(run, np.stack([np.roll(line, 40 * row, axis=1) for row in range(rows)])) <= 1e-4


def test_labels_are_one_character_a_line() -> None:
    assert LABELS[:2] == ["<none>", "<space>"]
    assert {len(label) for label in LABELS[2:]} == {1}
    assert len(set(LABELS)) == len(LABELS) == 352
    assert not any(label.isspace() for label in LABELS), "an editor that trims lines does no harm"
    assert set("äöüÄÖÜß€") < set(LABELS)


@pytest.mark.slow
def test_english_answers_by_the_same_labels(tmp_path: Path) -> None:
    checkpoint, graph_file = tmp_path / "english_g2.pth", tmp_path / "graph.onnx"
    text_recognition_crnn.write_random("english_g2", checkpoint)
    assert list(text_recognition_crnn.labels(checkpoint)) == LABELS
    onnx.save(text_recognition_crnn.build(checkpoint, "fp32"), str(graph_file))
    run = verify.open_graph(graph_file)
    measures = text_recognition_crnn.verify(run, checkpoint, variant="english_g2", precision="fp32", trained=False)
    verify.require(MODEL, measures)
    read = {LABELS[each] for line in text_pages.lines() for each in run(line[None])["character_ids"][0]}
    assert len(read) > 10
    assert all(each.startswith("<") or each.isascii() or each == "€" for each in read)


def test_random_weights_are_deterministic(built: Outcome, tmp_path: Path) -> None:
    again = tmp_path / "another-name.pth"
    text_recognition_crnn.write_random("latin_g2", again)
    assert weights.file_sha256(again) == built.weights.sha256


def test_random_weights_read_some_lines_with_confidence_and_some_without(run: verify.Run) -> None:
    confidences = []
    for line in text_pages.lines():
        answer = run(line[None])
        said = answer["character_probabilities"][answer["character_ids"] > 0]
        confidences.append(said.prod() ** (2 / np.sqrt(said.size)))
    assert min(confidences) < 0.1 < max(confidences), "EasyOCR reads lines below 0.1 again"


def test_provenance_in_every_row(run: verify.Run) -> None:
    rows = run(noise(3, 64, 64))["provenance"]
    assert rows.shape == (3, 1)
    said = [json.loads(row) for row in rows[:, 0]]
    assert said[0] == said[1] == said[2]
    assert (said[0]["name"], said[0]["trained"], said[0]["precision"]) == ("latin_g2", False, "fp32")


def test_a_checkpoint_of_another_network_names_itself(tmp_path: Path) -> None:
    from reelscope_export import text_detection_craft

    file = tmp_path / "latin_g2.pth"
    text_detection_craft.write_random("craft_mlt_25k", file)
    with pytest.raises(WeightsUnreadable, match="latin_g2"):
        text_recognition_crnn.load(file)


@pytest.mark.parametrize("variant", text_recognition_crnn.VARIANTS)
def test_the_weights_have_the_hash_that_easyocr_states(variant: str) -> None:
    from easyocr.config import recognition_models

    entry, known = weights.read_manifest()[MODEL][variant], recognition_models["gen2"][variant]
    assert (entry.url, entry.member, entry.md5) == (known["url"], known["filename"], known["md5sum"])
