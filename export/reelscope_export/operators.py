"""Operators of networks as onnxruntime runs them fastest."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from onnxscript import opset18
from torch import Tensor

op: Any = opset18
"""Untyped on purpose: the stubs give Constant no type that the other operators accept."""


def _gelu(x: Any, approximate: str = "none") -> Any:
    """x (1 + erf(x / sqrt 2)) / 2, in the order in which onnxruntime knows it, and makes one operator of the five."""
    assert approximate == "none", approximate
    root, one, half = (op.CastLike(op.Constant(value_float=value), x) for value in (math.sqrt(2), 1.0, 0.5))
    return op.Mul(op.Mul(x, op.Add(op.Erf(op.Div(x, root)), one)), half)


GELU: Mapping[Callable[..., Any], Callable[..., Any]] = {torch.ops.aten.gelu.default: _gelu}
"""Custom translation table for `torch.onnx.export`."""


def attention(query: Tensor, key: Tensor, value: Tensor, head_count: int) -> Tensor:
    """Attention to everything, without a matrix of all scores: onnxruntime's own operator works through it in blocks.

    For graphs alone: torch itself gives zeros.

    Args:
        query: [N,S,d], of all heads.
        key: [N,P,d].
        value: [N,P,d].
        head_count: of the heads, which share d equally.

    Returns:
        [N,S,d].
    """
    return torch.onnx.ops.symbolic(
        "com.microsoft::MultiHeadAttention",
        (query, key, value),
        {"num_heads": head_count},
        dtype=query.dtype,
        shape=query.shape,
        version=1,
    )
