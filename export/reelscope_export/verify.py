"""Verification steps that all models share: run the graph in onnxruntime, measure, and refuse what differs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime

from reelscope_export.contract import Contract, TensorType
from reelscope_export.errors import VerificationFailed

Array = npt.NDArray[Any]
Run = Callable[..., dict[str, Array]]
"""A graph: its inputs in the contract's order in, its outputs by name out."""

THREAD_COUNT = 2

_ONNX_TYPES: dict[TensorType, int] = {
    "TYPE_UINT8": onnx.TensorProto.UINT8,
    "TYPE_INT32": onnx.TensorProto.INT32,
    "TYPE_FP32": onnx.TensorProto.FLOAT,
    "TYPE_STRING": onnx.TensorProto.STRING,
}


@dataclass(frozen=True, slots=True)
class Measure:
    """One figure of a parity check, held to its bound."""

    name: str
    value: float
    bound: float
    unit: str = ""
    at_least: bool = False
    """True: the value must reach the bound; False: it must not exceed it."""

    @property
    def passed(self) -> bool:
        """Whether the value keeps to the bound; not-a-number never does."""
        return bool(self.value >= self.bound if self.at_least else self.value <= self.bound)

    @property
    def figure(self) -> str:
        """Name and value, e.g. `box 0.012 px`."""
        return f"{self.name} {self.value:.3g}{f' {self.unit}' if self.unit else ''}"

    def __str__(self) -> str:
        """Figure and bound, e.g. `box 0.012 px (<= 0.05)`."""
        return f"{self.figure} ({'>=' if self.at_least else '<='} {self.bound:g})"


def require(model: str, measures: Sequence[Measure]) -> None:
    """Refuse a graph that breaks any bound.

    Raises:
        VerificationFailed: names every broken bound.
    """
    broken = [str(measure) for measure in measures if not measure.passed]
    if broken:
        raise VerificationFailed(f"{model}: the graph differs from upstream: {'; '.join(broken)}; nothing was placed")


def require_contract(file: Path, contract: Contract) -> None:
    """Hold the graph's tensors to the contract: names, types, and shapes; behind a dynamic batch dimension, if batched.

    Raises:
        VerificationFailed: names the first tensor that differs.
    """
    model = onnx.load(str(file), load_external_data=False)
    onnx.checker.check_model(model)
    for side, tensors, values in (
        ("input", contract.inputs, model.graph.input),
        ("output", contract.all_outputs, model.graph.output),
    ):
        rows = (-1,) if contract.batched else ()
        promised = [(tensor.name, _ONNX_TYPES[tensor.data_type], (*rows, *tensor.dims)) for tensor in tensors]
        actual = [
            (
                value.name,
                value.type.tensor_type.elem_type,
                tuple(-1 if dim.dim_param else dim.dim_value for dim in value.type.tensor_type.shape.dim),
            )
            for value in values
        ]
        if actual != promised:
            raise VerificationFailed(f"{contract.name}: the graph's {side}s are {actual}, the contract's {promised}")


def open_graph(file: Path) -> Run:
    """Load a graph into onnxruntime's CPU provider, with two threads."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREAD_COUNT
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    inputs = [node.name for node in session.get_inputs()]
    names = [output.name for output in session.get_outputs()]

    def run(*arrays: Array) -> dict[str, Array]:
        return dict(zip(names, session.run(names, dict(zip(inputs, arrays, strict=True))), strict=True))

    return run


def batch_difference(run: Run, batch: Array) -> float:
    """Largest difference between a batch and its rows one by one, over all outputs (1.0 for unequal strings).

    An exporter that freezes the batch size does so without an error; this is the check that notices.
    """
    together = run(batch)
    alone = [run(batch[row : row + 1]) for row in range(len(batch))]
    worst = 0.0
    for name, outputs in together.items():
        singles = np.concatenate([single[name] for single in alone])
        if outputs.shape != singles.shape:
            return float("inf")
        if outputs.dtype.kind in "OSU":
            worst = max(worst, float(np.any(outputs != singles)))
        elif outputs.size:
            worst = max(worst, float(np.abs(outputs.astype(np.float64) - singles.astype(np.float64)).max()))
    return worst
