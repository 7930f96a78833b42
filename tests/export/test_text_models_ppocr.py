"""PP-OCR's graphs: what rapidocr's networks answer, from uint8, in small tensors; trained on every machine."""

from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from reelscope_export import paths, ppocr, registry, text_recognition_ppocr, verify, weights
from reelscope_export.errors import VerificationFailed, WeightsUnavailable, WeightsUnreadable
from reelscope_export.export import Exporter, Outcome
from reelscope_export.verify import Array

MODELS = ("text_detection_ppocr", "text_orientation_ppocr", "text_recognition_ppocr")


def export(model: str, repository: Path, profile: str = "cpu") -> Outcome:
    cache = weights.Cache(paths.weights_folder(), weights.read_manifest())
    settings = paths.model_settings(paths.read_profiles(), profile, model)
    return Exporter(repository, cache, mode="random", policy="commercial").export(settings)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    """The CPU profile's graphs, exported through every step, parity with rapidocr among them."""
    repository = tmp_path_factory.mktemp("repository")
    return {model: export(model, repository) for model in MODELS}


@pytest.fixture(scope="module")
def runs(built: dict[str, Outcome]) -> dict[str, verify.Run]:
    return {model: verify.open_graph(outcome.file) for model, outcome in built.items()}


def noise(*shape: int) -> Array:
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


@pytest.mark.parametrize("model", MODELS)
def test_is_trained_even_where_random_weights_are_asked_for(model: str, built: dict[str, Outcome]) -> None:
    outcome = built[model]
    assert outcome.weights.trained
    assert outcome.weights.source == "package rapidocr"
    assert outcome.weights.revision == importlib.metadata.version("rapidocr")
    assert outcome.weights.licence == "Apache-2.0"
    assert outcome.measures
    assert all(measure.passed for measure in outcome.measures)


def test_provenance_in_every_row(runs: dict[str, verify.Run]) -> None:
    rows = runs["text_detection_ppocr"](noise(3, 32, 64, 3))["provenance"]
    assert rows.shape == (3, 1)
    said = [json.loads(row) for row in rows[:, 0]]
    assert said[0] == said[1] == said[2]
    assert (said[0]["name"], said[0]["trained"], said[0]["precision"]) == ("PP-OCRv6_small_det", True, "fp32")


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_batches_of_any_size(rows: int, runs: dict[str, verify.Run]) -> None:
    """Outputs of the batch, and of the same rows one by one."""
    widths = np.arange(1, rows + 1, dtype=np.int32)[:, None] * 35
    inputs: dict[str, tuple[Array, ...]] = {
        "text_detection_ppocr": (noise(rows, 64, 96, 3),),
        "text_orientation_ppocr": (noise(rows, 48, 192, 3), widths),
        "text_recognition_ppocr": (noise(rows, 48, 200, 3), widths),
    }
    for model, arrays in inputs.items():
        together = runs[model](*arrays)
        alone = [runs[model](*(array[row : row + 1] for array in arrays)) for row in range(rows)]
        for name in (tensor.name for tensor in registry.load_module(model).CONTRACT.outputs):
            singles = np.concatenate([each[name] for each in alone])
            np.testing.assert_allclose(together[name], singles, atol=1e-5, err_msg=f"{model} {name}")


@pytest.mark.parametrize(("height", "width"), [(32, 32), (64, 320), (736, 416), (1, 1), (45, 333)])
def test_maps_are_as_large_as_frames(height: int, width: int, runs: dict[str, verify.Run]) -> None:
    found = runs["text_detection_ppocr"](noise(1, height, width, 3))["text_probability"]
    assert found.shape == (1, height, width)
    assert found.min() >= 0
    assert found.max() <= 1


def test_padding_of_frames_is_black(runs: dict[str, verify.Run]) -> None:
    frames = noise(1, 70, 100, 3)
    padded = np.zeros((1, 96, 128, 3), np.uint8)
    padded[:, :70, :100] = frames
    found, expected = (runs["text_detection_ppocr"](each)["text_probability"] for each in (frames, padded))
    np.testing.assert_array_equal(found, expected[:, :70, :100])


@pytest.mark.parametrize(("model", "width"), [("text_orientation_ppocr", 192), ("text_recognition_ppocr", 320)])
def test_padding_is_not_seen(model: str, width: int, runs: dict[str, verify.Run]) -> None:
    lines, widths = noise(1, 48, width, 3), np.array([[120]], np.int32)
    blackened = lines.copy()
    blackened[:, :, 120:] = 0
    name = registry.load_module(model).CONTRACT.outputs[-1].name
    np.testing.assert_array_equal(runs[model](lines, widths)[name], runs[model](blackened, widths)[name])
    assert (runs[model](lines, widths)[name] != runs[model](lines, widths + 40)[name]).any()


def test_no_weight_is_denormal(built: dict[str, Outcome]) -> None:
    """They slow a CPU down by half a second per frame, and rapidocr's own file is full of them."""

    def denormal_count(file: Path) -> int:
        tensors = [numpy_helper.to_array(tensor) for tensor in onnx.load(str(file)).graph.initializer]
        floats = [tensor for tensor in tensors if tensor.dtype == np.float32]
        return sum(int(((tensor != 0) & (np.abs(tensor) < np.finfo(np.float32).tiny)).sum()) for tensor in floats)

    outcome = built["text_detection_ppocr"]
    assert denormal_count(outcome.weights.file) > 100_000
    assert denormal_count(outcome.file) == 0


def test_characters_are_those_of_the_graph(built: dict[str, Outcome]) -> None:
    labels = text_recognition_ppocr.labels(built["text_recognition_ppocr"].weights.file)
    assert len(labels) == 18710
    assert (labels[0], labels[-1]) == ("<none>", " ")
    assert {"a", "Z", "7", "ä", "ß", "€", "@", "#"} <= set(labels)


def test_short_lines_of_one_shape(runs: dict[str, verify.Run], tmp_path: Path) -> None:
    """The graph for GPUs: any number of rows, none too, as the graph of any width reads lines padded to 320 px."""
    outcome = export("text_recognition_ppocr_short", tmp_path, "h200")
    assert outcome.weights.trained
    assert all(measure.passed for measure in outcome.measures)
    run = verify.open_graph(outcome.file)
    for rows in (0, 1, 6, 7, 32):
        lines, widths = noise(rows, 48, 320, 3), np.full((rows, 1), 170, np.int32)
        found = run(lines, widths)
        assert found["character_ids"].shape == found["character_probabilities"].shape == (rows, 40)
        if rows:
            expected = runs["text_recognition_ppocr"](lines, widths)
            np.testing.assert_array_equal(found["character_ids"], expected["character_ids"])
            probabilities = (each["character_probabilities"] for each in (found, expected))
            np.testing.assert_allclose(*probabilities, atol=1e-4)


def test_a_graph_that_names_no_characters(built: dict[str, Outcome]) -> None:
    with pytest.raises(WeightsUnreadable, match="characters"):
        text_recognition_ppocr.labels(built["text_detection_ppocr"].weights.file)


def test_another_graph_is_refused(built: dict[str, Outcome], tmp_path: Path) -> None:
    file = tmp_path / "broken.onnx"
    file.write_bytes(built["text_detection_ppocr"].file.read_bytes()[:1000])
    with pytest.raises(WeightsUnreadable, match=r"broken\.onnx"):
        ppocr.build(file, ppocr.lines_to_pixels("width"), "")


def test_a_graph_of_other_weights_does_not_verify(built: dict[str, Outcome], tmp_path: Path) -> None:
    outcome = built["text_recognition_ppocr"]
    model = onnx.load(str(outcome.file))
    floats = (tensor for tensor in model.graph.initializer if tensor.data_type == onnx.TensorProto.FLOAT)
    largest = max(floats, key=lambda tensor: tensor.ByteSize())
    largest.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(largest) * np.float32(1.5), largest.name))
    onnx.save(model, str(tmp_path / "other.onnx"))
    run = verify.open_graph(tmp_path / "other.onnx")
    measures = text_recognition_ppocr.verify(run, outcome.weights.file, variant="", precision="fp32", trained=True)
    with pytest.raises(VerificationFailed, match="probability difference"):
        verify.require("text_recognition_ppocr", measures)


def test_without_the_package_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    actual = importlib.metadata.version

    def version(name: str) -> str:
        if name == "rapidocr":
            raise importlib.metadata.PackageNotFoundError(name)
        return actual(name)

    monkeypatch.setattr("reelscope_export.fingerprint.version", actual)
    monkeypatch.setattr("reelscope_export.weights.importlib.metadata.version", version)
    with pytest.raises(WeightsUnavailable, match=r"PP-OCRv6_det_small.*pip install 'reelscope\[export\]'"):
        export("text_detection_ppocr", tmp_path)
