"""What a model promises to its callers: tensors by name, type and shape, the same for every profile and variant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Backend = Literal["onnxruntime", "python"]
TensorType = Literal["TYPE_UINT8", "TYPE_INT32", "TYPE_FP32", "TYPE_STRING"]
"""Triton's names of the tensor types in use."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """One input or output; `dims` leave out the batch dimension of a batched model, -1 is any size."""

    name: str
    data_type: TensorType
    dims: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Contract:
    """A model's tensors, in order, and what the head comment of its configs says."""

    name: str
    """Model name, task_architecture; its folder in the repository and its module in this package."""
    comment: tuple[str, ...]
    """Head comment of the configs, line by line: what it computes, colour order, units, padding."""
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    """Outputs without `provenance`, which every model with a network has and `all_outputs` adds."""
    batched: bool = True
    """False: Triton batches nothing, because rows are not one per request row; `dims` are then the whole shape."""
    backend: Backend = "onnxruntime"
    """python: the committed 1/model.py serves it. What is built, if anything, is what that reads: see `write`."""
    provenance_count: int = 1
    """Networks that a Python model answers for, at most: -1 for any number; 0 leaves `provenance` out."""

    @property
    def all_outputs(self) -> tuple[Tensor, ...]:
        """Outputs in order; `provenance` is the last."""
        if not self.provenance_count:
            return self.outputs
        return (*self.outputs, Tensor(PROVENANCE, "TYPE_STRING", (self.provenance_count,)))


PROVENANCE = "provenance"
"""Output of every model: JSON with the keys of `Provenance`, which weights answered; one string per row of a batched
model, one in all of any other."""
