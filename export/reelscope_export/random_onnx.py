"""Seeded random networks as ONNX files, for libraries that distribute ONNX alone."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

OPSET = 11
"""Of the files that InsightFace distributes."""


@contextmanager
def drawing(seed: int) -> Iterator[None]:
    """Draw weights: torch's random numbers from `seed` on, no gradients, the same on every machine.

    Sums depend on how they are split: one thread gives the same weights whatever the number of cores.
    """
    threads = torch.get_num_threads()
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)


def settle_batch_norm(network: nn.Module, examples: Tensor) -> None:
    """Set BatchNorm's statistics to those of the examples, so that every layer sees values of ordinary size."""
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
    network.train()
    network(examples)
    network.eval()


def write(
    network: nn.Module,
    example: Tensor,
    file: Path,
    *,
    names: tuple[str, ...],
    dynamic: Mapping[str, Mapping[int, str]],
) -> None:
    """Write the network in upstream's old opset; equal networks give equal bytes.

    Args:
        network: one input.
        example: the input to trace with.
        file: overwritten in place; give a temporary name.
        names: of the input, then of the outputs.
        dynamic: by name, the dimensions that vary.
    """
    stream = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter by tracing is deprecated; the other one knows no old opsets
        torch.onnx.export(
            network.eval(),
            (example,),
            cast(Any, stream),  # its annotation forgets streams
            dynamo=False,
            opset_version=OPSET,
            input_names=list(names[:1]),
            output_names=list(names[1:]),
            dynamic_axes={name: dict(dims) for name, dims in dynamic.items()},
        )
    file.write_bytes(stream.getvalue())
