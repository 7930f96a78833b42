"""A model module for tests of the steps around the models."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import onnx

from reelscope_export import object_yolov8
from reelscope_export.contract import PROVENANCE
from reelscope_export.verify import Measure, Run


@dataclass
class StandIn:
    """A model module that builds in no time: it hands out an already built graph, as its fields say."""

    graph_file: Path
    change: Callable[[onnx.ModelProto], None] | None = None
    measures: tuple[Measure, ...] | None = None
    """What `verify` says; None asks the real model's."""
    fail: BaseException | None = None
    """Raised by `verify`, when the new graph is already on the disk."""
    builds: int = 0

    CONTRACT = object_yolov8.CONTRACT

    def write_random(self, variant: str, file: Path) -> None:
        file.write_bytes(f"random {variant}".encode())

    def build(self, weights: Path, precision: str) -> onnx.ModelProto:
        self.builds += 1
        model = onnx.load(str(self.graph_file))
        for node in [node for node in model.graph.node if node.name.startswith(f"{PROVENANCE}_")]:
            model.graph.node.remove(node)
        for value in [value for value in model.graph.initializer if value.name.startswith(f"{PROVENANCE}_")]:
            model.graph.initializer.remove(value)
        del model.graph.output[-1]
        del model.metadata_props[:]
        if self.change:
            self.change(model)
        return model

    def labels(self, weights: Path) -> tuple[str, ...]:
        return tuple(object_yolov8.class_names().values())

    def verify(self, run: Run, weights: Path, *, variant: str, precision: str, trained: bool) -> tuple[Measure, ...]:
        if self.fail:
            raise self.fail
        if self.measures is not None:
            return self.measures
        return object_yolov8.verify(run, weights, variant=variant, precision=precision, trained=trained)
