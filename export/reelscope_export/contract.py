"""What a model promises to its callers: tensors by name, type and shape, the same for every profile and variant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

TensorType = Literal["TYPE_UINT8", "TYPE_INT32", "TYPE_FP32", "TYPE_STRING"]
"""Triton's names of the tensor types in use."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """One input or output; `dims` leave out the batch dimension, -1 is any size."""

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
    """Outputs without `provenance`, which every model has and `all_outputs` adds."""

    @property
    def all_outputs(self) -> tuple[Tensor, ...]:
        """Outputs in order; `provenance` (one JSON string per row) is the last."""
        return (*self.outputs, PROVENANCE)


PROVENANCE = Tensor("provenance", "TYPE_STRING", (1,))
"""One JSON string per row with the keys of `Provenance`: which weights answered."""
