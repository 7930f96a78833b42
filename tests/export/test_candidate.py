"""Where a build goes when versions are rolled: aside when asked for, and never over one that serves."""

from __future__ import annotations

from dataclasses import replace

import pytest
from stand_in import StandIn

from reelscope_export import weights, write
from reelscope_export.errors import VersionInService
from reelscope_export.export import Exporter
from reelscope_export.paths import ModelSettings


@pytest.fixture
def first(exporter: Exporter, settings: ModelSettings) -> bytes:
    """Version 1, in place."""
    return exporter.export(settings).file.read_bytes()


def use_other_weights(exporter: Exporter) -> None:
    (exporter.cache.folder / "yolov8n.pt").write_bytes(b"another checkpoint")
    (exporter.cache.folder / weights.LOCK_NAME).unlink()


def test_a_candidate_is_built_aside(
    exporter: Exporter, stand_in: StandIn, settings: ModelSettings, first: bytes
) -> None:
    aside = replace(exporter, candidate=True)
    kept = aside.export(settings)
    assert (kept.built, kept.file.parent.name) == (False, "1"), "the same as what serves: nothing to roll"
    use_other_weights(exporter)
    built = aside.export(settings)
    folder = exporter.repository / "object_yolov8"
    assert (built.built, built.file) == (True, folder / "candidate" / "cpu.onnx")
    assert (folder / "1" / "cpu.onnx").read_bytes() == first
    assert built.file.read_bytes() != first
    again = aside.export(settings)
    assert (again.built, again.file, stand_in.builds) == (False, built.file, 2)
    assert replace(aside, force=True).export(settings).built


def test_random_weights_are_no_candidate_for_trained_ones_unasked(
    exporter: Exporter, settings: ModelSettings, first: bytes
) -> None:
    entry = replace(exporter.cache.manifest["object_yolov8"]["yolov8n"], url="http://127.0.0.1:9/x")
    manifest = {"object_yolov8": {"yolov8n": entry}}
    offline = replace(exporter, candidate=True, cache=replace(exporter.cache, manifest=manifest))
    (exporter.cache.folder / "yolov8n.pt").unlink()
    kept = offline.export(settings)
    assert (kept.built, kept.weights.trained, kept.file.parent.name) == (False, True, "1")
    assert replace(offline, mode="random").export(settings).file.parent.name == "candidate"


@pytest.mark.parametrize("name", ["2", "rolled-back-2"])
def test_versions_that_were_rolled_are_not_written_to(
    exporter: Exporter, stand_in: StandIn, settings: ModelSettings, first: bytes, name: str
) -> None:
    folder = exporter.repository / "object_yolov8"
    (folder / name).mkdir()
    (folder / name / "cpu.onnx").write_bytes(first)
    serving = "2" if name == "2" else "1"
    assert exporter.export(settings).file == folder / serving / "cpu.onnx"
    use_other_weights(exporter)
    for each in (exporter, replace(exporter, force=True)):
        with pytest.raises(VersionInService, match=rf"{serving}/cpu\.onnx is in service.*--candidate.*models roll"):
            each.export(settings)
    for version in ("1", name):
        assert (folder / version / "cpu.onnx").read_bytes() == first
    assert stand_in.builds == 1
    assert replace(exporter, candidate=True).export(settings).file.parent.name == "candidate"


def test_a_file_that_the_serving_version_lacks_is_built_there(
    exporter: Exporter, settings: ModelSettings, first: bytes
) -> None:
    """Version 2 was rolled in on a CPU; now a GPU's file is wanted."""
    folder = exporter.repository / "object_yolov8"
    (folder / "1").rename(folder / "2")
    built = exporter.export(replace(settings, model_file="gpu_fp16.onnx"))
    assert (built.built, built.file) == (True, folder / "2" / "gpu_fp16.onnx")


def test_the_serving_version_is_the_highest_number(tmp_path) -> None:
    assert write.in_service(tmp_path).name == "1"
    for name in ("9", "10", "candidate", "rolled-back-11", "12.old"):
        (tmp_path / name).mkdir()
    assert write.in_service(tmp_path).name == "10"
