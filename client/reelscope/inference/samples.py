"""Made-up inputs that fit a model's config: the same arrays at every call, so that two models can be compared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tritonclient.utils import triton_to_np_dtype

FRAME_PX = (360, 640)
"""Height and width of frames whose size the config leaves open."""
SMALL_FRAME_PX = (32, 32)
"""The same where only who answers is asked."""
WAVEFORM_SAMPLES = 16_000
"""Length of a single open dimension, [-1] or [1, -1]: one second of sound at 16 kHz."""
_OPEN_DIM = 2


def sample_inputs(
    config: dict[str, Any], rows: int, frame_px: tuple[int, int] = FRAME_PX, seed: int = 0
) -> dict[str, NDArray[Any]]:
    """Arrays for every input that a model requires, by name.

    uint8 is random texture 0-255 and every row differs, floats are random in [-1, 1), other numbers (ids, lengths) are
    zero, strings are empty.

    Args:
        config: config of the model, as `RepositoryClient.model_config` gives it.
        rows: size of the batch; models without batching ignore it.
        frame_px: height and width of frames [..., -1, -1, 3].
        seed: another seed, other texture.
    """
    random = np.random.default_rng(seed)
    arrays: dict[str, NDArray[Any]] = {}
    for item in config.get("input", ()):
        if item.get("optional"):
            continue
        shape = _shape([int(dim) for dim in item["dims"]], frame_px)
        if int(config.get("max_batch_size", 0)):
            shape = (rows, *shape)
        data_type = item["data_type"].removeprefix("TYPE_")
        if data_type == "STRING":
            arrays[item["name"]] = np.full(shape, b"", np.object_)
            continue
        kind = np.dtype(triton_to_np_dtype(data_type))
        if kind == np.uint8:
            arrays[item["name"]] = random.integers(0, 256, shape, np.uint8)
        elif kind.kind == "f":
            arrays[item["name"]] = random.uniform(-1, 1, shape).astype(kind)
        else:
            arrays[item["name"]] = np.zeros(shape, kind)
    return arrays


def _shape(dims: Sequence[int], frame_px: tuple[int, int]) -> tuple[int, ...]:
    if list(dims[-3:]) == [-1, -1, 3]:
        sizes = [_OPEN_DIM] * (len(dims) - 3) + [*frame_px, 3]
    elif all(dim == 1 for dim in dims[:-1]):
        sizes = [*dims[:-1], WAVEFORM_SAMPLES]
    else:
        sizes = [_OPEN_DIM] * len(dims)
    return tuple(size if dim == -1 else dim for dim, size in zip(dims, sizes, strict=True))
