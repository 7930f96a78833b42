"""A graph over rows of any number works through them in chunks: ONNX's Loop around the whole of it.

A frame may hold no face and a window a thousand: without this, memory would grow with the number of faces, and a
network whose batch dimension was frozen when it was exported could not be asked about more than one. Zero rows are zero
rounds. Every round slices its rows from the inputs and appends its answers, which are small.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, compose, helper, inliner, numpy_helper

GPU_ROWS = 5
"""Frames that a GPU works at together: a window has 5, 10 or 20, by the rate at which they are looked at."""
_INNER = "chunk/"
"""Prefix of every name inside the loop, so that none shadows one outside."""


def in_chunks(
    model: onnx.ModelProto, row_count: int, *, filled: bool = False, weights_inside: bool = True
) -> onnx.ModelProto:
    """Wrap a graph in a loop that gives it `row_count` rows at a time, and what is left in the last round.

    Args:
        model: its inputs and outputs have rows as their first dimension, and outputs nothing else that varies.
        row_count: at least 1; a network that was frozen to one row needs 1.
        filled: the last round has as many rows as the others, the last row again and again, whose answers are dropped.
            On a GPU onnxruntime plans every convolution anew when its input's shape changes, which takes milliseconds
            each; so the shape never does.
        weights_inside: onnxruntime fuses convolutions with what follows them only when their weights are in the loop,
            and the answers of networks of many convolutions differ without that. But it keeps weights in the loop a
            second time, as they came: large networks of matrix products take a third of the memory with theirs outside.

    Returns:
        A graph of the same inputs and outputs, for any number of rows from 0 up.
    """
    if model.functions:
        model = inliner.inline_local_functions(model)
    inputs, outputs = ([_any_rows(value) for value in side] for side in (model.graph.input, model.graph.output))
    inner = helper.make_graph(model.graph.node, "inner", model.graph.input, model.graph.output)
    names = {weight.name: _INNER + weight.name for weight in model.graph.initializer}
    body = _body(compose.add_prefix_graph(inner, _INNER, name_map=dict(names)), inputs, outputs, filled)
    found = [f"filled_{value.name}" if filled else value.name for value in outputs]
    nodes = [
        helper.make_node("Shape", [inputs[0].name], ["rows"], "count_rows", start=0, end=1),
        helper.make_node("Add", ["rows", "chunk_rows_less_one"], ["rows_and_more"], "round_up"),
        helper.make_node("Div", ["rows_and_more", "chunk_rows"], ["rounds"], "count_rounds"),
        helper.make_node(
            "Loop",
            ["rounds", "", *(f"no_{value.name}" for value in outputs)],
            found,
            "chunks",
            body=body,
        ),
    ]
    constants = [_integer("chunk_rows", row_count), _integer("chunk_rows_less_one", row_count - 1)]
    if filled:
        nodes.insert(-1, helper.make_node("Sub", ["rows", "one"], ["last_row"], "find_last_row"))
        nodes += [
            helper.make_node("Slice", [name, "no_row", "rows"], [value.name], f"drop_filled_{value.name}")
            for name, value in zip(found, outputs, strict=True)
        ]
        places = numpy_helper.from_array(np.arange(row_count, dtype=np.int64), "places")
        constants += [_integer("one", 1), _integer("no_row", 0), places]
    graph = helper.make_graph(nodes, "in_chunks", inputs, outputs, [*constants, *map(_no_rows, outputs)])
    chunked = helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
    # Weights last, because every step above copies what it is given.
    loop = next(node for node in chunked.graph.node if node.op_type == "Loop")
    (loop_body,) = (attribute.g for attribute in loop.attribute if attribute.name == "body")
    for weight in model.graph.initializer:
        placed = (loop_body if weights_inside else chunked.graph).initializer.add()
        placed.CopyFrom(weight)
        placed.name = names[weight.name]
    return chunked


def for_gpu(model: onnx.ModelProto, precision: str) -> onnx.ModelProto:
    """FP16 graphs, which are for GPUs, in filled chunks of `GPU_ROWS` rows; others as they are."""
    return in_chunks(model, GPU_ROWS, filled=True) if precision == "fp16" else model


def _body(
    inner: onnx.GraphProto, inputs: list[onnx.ValueInfoProto], outputs: list[onnx.ValueInfoProto], filled: bool
) -> onnx.GraphProto:
    """One round: slice, run, append. The network lies in here whole, so that onnxruntime optimises it as a whole."""
    if filled:
        slices = [
            helper.make_node("Add", ["first", "places"], ["wanted_rows"], "find_rows"),
            helper.make_node("Min", ["wanted_rows", "last_row"], ["chunk"], "fill_with_last_row"),
        ]
    else:
        slices = [helper.make_node("Add", ["first", "chunk_rows"], ["end"], "end_row")]
    bounds = ("Gather", ["chunk"]) if filled else ("Slice", ["first", "end"])
    slices += [
        helper.make_node(bounds[0], [value.name, *bounds[1]], [f"{_INNER}{value.name}"], f"slice_{value.name}")
        for value in inputs
    ]
    appends = [
        helper.make_node("Concat", [f"so_far_{name}", f"{_INNER}{name}"], [f"by_now_{name}"], f"append_{name}", axis=0)
        for name in (value.name for value in outputs)
    ]
    carried = [_renamed(value, f"so_far_{value.name}") for value in outputs]
    return helper.make_graph(
        [
            helper.make_node("Mul", ["round", "chunk_rows"], ["first"], "first_row"),
            *slices,
            *inner.node,
            *appends,
            helper.make_node("Identity", ["going"], ["going_on"], "go_on"),
        ],
        "one_chunk",
        [
            helper.make_tensor_value_info("round", TensorProto.INT64, []),
            helper.make_tensor_value_info("going", TensorProto.BOOL, []),
            *carried,
        ],
        [
            helper.make_tensor_value_info("going_on", TensorProto.BOOL, []),
            *(_renamed(value, f"by_now_{value.name}") for value in outputs),
        ],
    )


def _any_rows(value: onnx.ValueInfoProto) -> onnx.ValueInfoProto:
    """The same tensor with a first dimension that is named, not fixed."""
    free = onnx.ValueInfoProto()
    free.CopyFrom(value)
    free.type.tensor_type.shape.dim[0].dim_param = "row"
    return free


def _renamed(value: onnx.ValueInfoProto, name: str) -> onnx.ValueInfoProto:
    """The same tensor under another name; its first dimension, which grows from round to round, is left open."""
    renamed = _any_rows(value)
    renamed.name = name
    renamed.type.tensor_type.shape.dim[0].Clear()
    return renamed


def _integer(name: str, value: int) -> onnx.TensorProto:
    return helper.make_tensor(name, TensorProto.INT64, [1], [value])


def _no_rows(value: onnx.ValueInfoProto) -> onnx.TensorProto:
    """What the answer is before the first round: of the tensor's type and shape, but without rows."""
    kind = value.type.tensor_type
    shape = [0, *(dim.dim_value for dim in kind.shape.dim[1:])]
    return numpy_helper.from_array(np.zeros(shape, helper.tensor_dtype_to_np_dtype(kind.elem_type)), f"no_{value.name}")
