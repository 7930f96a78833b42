"""What the exporter says of files and cache without building anything; damaged files included."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from reelscope_export import fingerprint, inventory, paths
from reelscope_export.errors import LibraryMissing
from reelscope_export.weights import LOCK_NAME, Weights

MODEL = "object_yolov8"


def _graph(file: Path, **changes: object) -> Path:
    weights = Weights(file=file, sha256="0" * 64, trained=True, source="file a.pt", revision="v1", licence="MIT")
    stamp = fingerprint.fingerprint(paths.model_settings(paths.read_profiles(), "cpu", MODEL), weights)
    names = ("sha256", "trained", "source", "revision", "licence")
    provenance = {name: getattr(weights, name) for name in names} | changes
    graph = helper.make_model(helper.make_graph([], "graph", [], []))
    stamped = {fingerprint.METADATA_KEY: stamp, fingerprint.PROVENANCE_KEY: json.dumps(provenance)}
    helper.set_model_props(graph, stamped)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(graph.SerializeToString())
    return file


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    return _graph(tmp_path / MODEL / "1" / "cpu.onnx")


def test_a_built_graph_is_described(graph: Path) -> None:
    assert inventory.built_graph(graph, "cpu") == inventory.BuiltGraph(True, "file a.pt", True)
    other_profile = inventory.built_graph(graph, "h200")
    assert other_profile is not None
    assert other_profile.is_current is False
    _graph(graph, trained=False)
    assert inventory.built_graph(graph, "cpu") == inventory.BuiltGraph(False, "file a.pt", False)


def test_without_the_extra_nothing_is_said_about_its_age(graph: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def recipe(model: str) -> str:
        raise LibraryMissing("torch is not installed")

    monkeypatch.setattr(fingerprint, "recipe", recipe)
    assert inventory.built_graph(graph, "cpu") == inventory.BuiltGraph(True, "file a.pt", None)


def test_damaged_files_are_nothing_and_end(graph: Path) -> None:
    whole = graph.read_bytes()
    rng = np.random.default_rng(0)
    damaged = [whole[:end] for end in range(len(whole))]
    damaged += [rng.integers(0, 256, 400, np.uint8).tobytes() for _ in range(300)]
    damaged += [b"\x72" + b"\xff" * 9 + b"\x01", b"\x72\xff\xff\xff\xff\x7f", b"\x80" * 3_000_000]
    began = time.process_time()
    for content in damaged:
        graph.write_bytes(content)
        assert inventory.built_graph(graph, "cpu") is None
    assert time.process_time() - began < 10


def test_the_cache_is_listed(tmp_path: Path) -> None:
    assert inventory.cached_weights(tmp_path / "absent") == inventory.CachedWeights(str(tmp_path / "absent"), (), ())
    for name in ("b.pt", "a.pt", LOCK_NAME, ".a.pt.1.tmp", "random/c.pt", "random/.c.pt.1.tmp", "settings/x.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = inventory.cached_weights(tmp_path)
    assert (found.trained, found.random) == (("a.pt", "b.pt"), ("c.pt",))


def test_the_answer_is_json(graph: Path, capsys: pytest.CaptureFixture[str]) -> None:
    absent = graph.with_name("absent.onnx")
    assert inventory.main("cpu", [str(graph), str(absent)]) == 0
    answer = json.loads(capsys.readouterr().out)
    described = {"is_trained": True, "source": "file a.pt", "is_current": True}
    assert answer["graphs"] == {str(graph): described, str(absent): None}
    assert answer["weights"]["folder"] == str(paths.weights_folder())
    assert inventory.main("toaster", [str(graph)]) == 2
    assert "unknown_profile" in capsys.readouterr().err
