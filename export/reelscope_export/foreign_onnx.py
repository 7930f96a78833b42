"""Networks that exist as ONNX alone, as their libraries distribute them: read, and put between our own steps.

They come in old opsets, with fixed batch dimensions, and some list their weights as inputs. Here they get this
package's opset and a free batch dimension; whether a network then answers several rows as it answers each alone is
tried, because a size that was frozen inside shows nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import compose, version_converter

from reelscope_export.errors import WeightsUnreadable
from reelscope_export.graph import OPSET

_ROWS = "row"


def read(weights: Path) -> onnx.ModelProto:
    """Load a network of one input, in this package's opset, with a free first dimension of the input.

    Raises:
        WeightsUnreadable: it is no ONNX network that can be converted.
    """
    try:
        model = version_converter.convert_version(onnx.load(str(weights)), OPSET)
        onnx.checker.check_model(model)
    except Exception as exc:  # protobuf's, onnx's and the converter's own share no base
        raise WeightsUnreadable(f"{weights}: {exc}; delete the file to fetch it again") from exc
    weight_names = {value.name for value in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weight_names]
    inputs[0].type.tensor_type.shape.dim[0].dim_param = _ROWS
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    # Written for the fixed sizes; onnxruntime infers them anew.
    del model.graph.value_info[:]
    for output in model.graph.output:
        for dim in output.type.tensor_type.shape.dim:
            dim.Clear()
    return model


def takes_rows_together(model: onnx.ModelProto, shape: tuple[int, ...]) -> bool:
    """Whether two rows in one run get the answers that each gets alone; False when the network refuses them.

    Args:
        model: one input, whose rows have `shape`; every output has rows as its first dimension.
        shape: of one row, e.g. (3, 640, 640).
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    rows = np.random.default_rng(0).standard_normal((2, *shape), np.float32)
    singles: list[Any] = [session.run(None, {name: rows[row : row + 1]}) for row in range(2)]
    try:
        together = session.run(None, {name: rows})
    except Exception:  # onnxruntime's types for failed runs share no base
        return False
    return all(
        found.shape == (alone := np.concatenate(pair)).shape and np.allclose(found, alone, rtol=1e-3, atol=1e-4)
        for found, *pair in zip(together, *singles, strict=True)
    )


def surround(
    before: onnx.ModelProto, network: onnx.ModelProto, after: onnx.ModelProto, *, answers: Mapping[str, str]
) -> onnx.ModelProto:
    """Join three graphs: the first output of `before` is what the network sees, `answers` what `after` makes of it.

    Args:
        before: its further outputs are inputs of `after` by the same name.
        network: one input.
        after: may have inputs of its own, which become the joined graph's.
        answers: output of the network to the input of `after` that it is.
    """
    ir_version = max(each.ir_version for each in (before, network, after))
    parts = []
    for prefix, part in (("before/", before), ("network/", network), ("after/", after)):
        inner = prefix == "network/"
        named = compose.add_prefix(part, prefix, rename_inputs=inner, rename_outputs=inner)
        named.ir_version = ir_version
        parts.append(named)
    seen = before.graph.output[0].name
    passed = [value.name for value in before.graph.output[1:]]
    first = compose.merge_models(parts[0], parts[1], io_map=[(seen, f"network/{network.graph.input[0].name}")])
    pairs = [*((f"network/{name}", target) for name, target in answers.items()), *((name, name) for name in passed)]
    return compose.merge_models(first, parts[2], io_map=pairs)


def halved(network: onnx.ModelProto) -> onnx.ModelProto:
    """The same network with FP16 weights and arithmetic; its input and outputs stay FP32."""
    from onnxruntime.transformers.float16 import convert_float_to_float16
    from onnxruntime.transformers.onnx_model import OnnxModel

    converted = OnnxModel(convert_float_to_float16(network, keep_io_types=True))
    converted.topological_sort()  # the converter appends its casts at the end
    half: onnx.ModelProto = converted.model
    return half
