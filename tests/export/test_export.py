"""Steps and guarantees of an export: nothing unverified, nothing half-placed, nothing built twice."""

from __future__ import annotations

import fcntl
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from stand_in import StandIn

from reelscope_export import graph, object_yolov8, weights, write
from reelscope_export.errors import PlacementFailed, TracingFailed, VerificationFailed
from reelscope_export.export import Exporter, Outcome
from reelscope_export.paths import ModelSettings
from reelscope_export.verify import Measure


def _files(folder: Path) -> list[str]:
    return sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())


def test_second_run_builds_nothing(exporter: Exporter, stand_in: StandIn, settings: ModelSettings) -> None:
    first, second = exporter.export(settings), exporter.export(settings)
    assert (first.built, second.built, stand_in.builds) == (True, False, 1)
    assert _files(exporter.repository) == ["object_yolov8/1/cpu.onnx"]


def test_random_weights_never_replace_trained_ones_unasked(
    exporter: Exporter, stand_in: StandIn, settings: ModelSettings
) -> None:
    """The cache was pruned and the network is gone: `auto` keeps what is in place, `random` does as it is told."""
    exporter.export(settings)
    entry = replace(exporter.cache.manifest["object_yolov8"]["yolov8n"], url="http://127.0.0.1:9/x")
    manifest = {"object_yolov8": {"yolov8n": entry}}
    offline = replace(exporter, cache=replace(exporter.cache, manifest=manifest))
    (exporter.cache.folder / "yolov8n.pt").unlink()
    kept = offline.export(settings)
    assert (kept.built, kept.weights.trained, stand_in.builds) == (False, True, 1)
    replaced = replace(offline, mode="random").export(settings)
    assert (replaced.built, replaced.weights.trained, stand_in.builds) == (True, False, 2)
    assert not offline.export(settings).weights.trained


def test_force_builds_again(exporter: Exporter, stand_in: StandIn, settings: ModelSettings) -> None:
    exporter.export(settings)
    assert replace(exporter, force=True).export(settings).built
    assert stand_in.builds == 2


def test_other_weights_and_other_precision_rebuild(exporter: Exporter, settings: ModelSettings) -> None:
    exporter.export(settings)
    (exporter.cache.folder / "yolov8n.pt").write_bytes(b"another checkpoint")
    (exporter.cache.folder / weights.LOCK_NAME).unlink()
    assert exporter.export(settings).built
    assert exporter.export(replace(settings, precision="fp16")).built


def test_replacement_is_a_new_file(exporter: Exporter, settings: ModelSettings) -> None:
    """A server that has the old version open keeps reading the old bytes."""
    target = exporter.export(settings).file
    with target.open("rb") as in_use:
        before = target.stat().st_ino
        replace(exporter, force=True).export(settings)
        assert target.stat().st_ino != before
        assert in_use.read(1)


def test_tampered_graph_is_refused(
    exporter: Exporter, stand_in: StandIn, built: Outcome, settings: ModelSettings
) -> None:
    """A graph that rescales one filter by 10 % passes every check but the comparison with upstream."""

    def tamper(model: onnx.ModelProto) -> None:
        filters = [value for value in model.graph.initializer if len(value.dims) == 4 and value.dims[1] == 3]
        scaled = numpy_helper.to_array(filters[0]) * np.float32(1.1)
        filters[0].CopyFrom(numpy_helper.from_array(scaled, filters[0].name))

    target = exporter.export(settings).file
    before = target.read_bytes()
    (exporter.cache.folder / weights.LOCK_NAME).unlink()
    (exporter.cache.folder / "yolov8n.pt").write_bytes(built.weights.file.read_bytes())
    stand_in.change, stand_in.measures = tamper, None
    with pytest.raises(VerificationFailed, match="differs from upstream"):
        exporter.export(settings)
    assert target.read_bytes() == before
    assert _files(exporter.repository) == ["object_yolov8/1/cpu.onnx"]


def test_graph_that_breaks_the_contract_is_refused(
    exporter: Exporter, stand_in: StandIn, settings: ModelSettings
) -> None:
    stand_in.change = lambda model: model.graph.output.pop()
    with pytest.raises(VerificationFailed, match="contract"):
        exporter.export(settings)
    assert _files(exporter.repository) == []


def test_other_classes_are_refused(
    exporter: Exporter, stand_in: StandIn, settings: ModelSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(StandIn, "labels", lambda self, weights: ("cat", "dog"))
    with pytest.raises(VerificationFailed, match="2 classes"):
        exporter.export(settings)


def test_not_a_number_is_no_parity(exporter: Exporter, stand_in: StandIn, settings: ModelSettings) -> None:
    stand_in.measures = (Measure("difference", float("nan"), 1.0),)
    with pytest.raises(VerificationFailed, match="difference nan"):
        exporter.export(settings)


@pytest.mark.parametrize("interruption", [KeyboardInterrupt(), RuntimeError("killed")])
def test_interruption_places_nothing(
    exporter: Exporter, stand_in: StandIn, settings: ModelSettings, interruption: BaseException
) -> None:
    stand_in.fail = interruption
    with pytest.raises(type(interruption)):
        exporter.export(settings)
    assert _files(exporter.repository) == []


def test_leftovers_of_dead_exports_are_removed(exporter: Exporter, settings: ModelSettings) -> None:
    folder = exporter.repository / "object_yolov8" / "1"
    folder.mkdir(parents=True)
    dead, living, other = (folder / name for name in (".cpu.onnx.aa.tmp", ".cpu.onnx.bb.tmp", ".gpu_fp16.onnx.cc.tmp"))
    for file in (dead, living, other):
        file.write_bytes(b"half a graph")
    with living.open("rb") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        exporter.export(settings)
    assert not dead.exists()
    assert living.exists()
    assert other.exists()


def test_repository_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(PlacementFailed, match="cannot write"), write.staged(tmp_path / "file" / "1" / "cpu.onnx"):
        pass


def test_committed_labels_are_the_checkpoints(built: Outcome) -> None:
    assert object_yolov8.labels(built.weights.file)[:3] == ("person", "bicycle", "car")


def test_network_that_torch_cannot_trace_is_an_error_of_ours() -> None:
    """Which torch, and which network: the other models are built all the same."""

    class Deciding(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x if bool(x.sum() > 0) else -x

    with pytest.raises(TracingFailed, match=f"torch {re.escape(torch.__version__)} cannot trace Deciding"):
        graph.to_onnx(Deciding(), {"x": graph.Example(torch.zeros(2), {0: "batch"})}, output_names=("y",))
