"""What a graph has to be before TensorRT builds a plan of it, and which graphs cannot be.

Two of our graphs' habits are none of TensorRT's. Strings: the output `provenance` is cut off, and goes into the
`parameters` of the plan's config. Bytes: uint8 may only enter and leave a network, so frames become float32 as they
enter and results uint8 as they leave. Both leave the numbers as they are; `tests/export` holds that in onnxruntime.

Types are strong: TensorRT 11 computes in the types that a graph has, and knows no FP16 mode. A graph of FP32 would give
an FP32 plan that is called FP16, so it is refused.

Source: TensorRT's documentation (Working with Dynamic Shapes, Strongly Typed Networks), and onnx-tensorrt's
docs/operators.md for the types that its parser takes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import onnx
from onnx import TensorProto, helper

from reelscope_export.contract import PROVENANCE, Contract
from reelscope_export.errors import PlanRefused
from reelscope_export.paths import ModelSettings
from reelscope_export.tensorrt_settings import Shapes

_FLOATS = "as_float_"


def require_candidate(contract: Contract, settings: ModelSettings, shapes: Mapping[str, Shapes]) -> None:
    """Refuse a model of which there can be no plan, before anything is built.

    Raises:
        PlanRefused: says why.
    """
    model = contract.name
    strings = [tensor.name for tensor in contract.outputs if tensor.data_type == "TYPE_STRING"]
    if contract.backend == "python":
        reason = "it is a Python model, not a graph"
    elif settings.instance_kind != "KIND_GPU":
        reason = f"profile {settings.profile} serves it on the CPU"
    elif settings.precision != "fp16":
        reason = f"profile {settings.profile} serves it in {settings.precision}; plans are of FP16 graphs"
    elif strings:
        reason = f"a plan cannot hold strings, and its output {', '.join(strings)} is one"
    elif not shapes:
        reason = f"server/profiles.toml has no shapes for it: [{settings.profile}.models.{model}.tensorrt]"
    else:
        return
    raise PlanRefused(f"{model}: no TensorRT plan: {reason}")


def prepare(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy for TensorRT.

    Raises:
        PlanRefused: the graph is not FP16, or has strings beside its provenance.
    """
    _require_half(model)
    return without_strings_and_bytes(model)


def without_strings_and_bytes(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy that answers the same: no strings, and bytes only where they enter and leave.

    Raises:
        PlanRefused: the graph has strings beside its provenance.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    graph = copy.graph
    _cut_provenance(graph)
    for value in graph.input:
        if value.type.tensor_type.elem_type == TensorProto.UINT8:
            _enter_as_float(graph, value.name)
    for value in graph.output:
        if value.type.tensor_type.elem_type == TensorProto.UINT8:
            _leave_as_bytes(graph, value.name)
    for each in _graphs(graph):
        del each.value_info[:]  # types between the two have changed
    onnx.checker.check_model(copy)
    return copy


def _require_half(model: onnx.ModelProto) -> None:
    types = {tensor.data_type for graph in _graphs(model.graph) for tensor in graph.initializer if len(tensor.dims) > 1}
    if TensorProto.FLOAT16 not in types:
        raise PlanRefused(
            f"{model.graph.name}: none of its weights are FP16, and TensorRT computes in the types of the graph; "
            "build it with a profile whose precision is fp16"
        )


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """A graph and those within it: bodies of loops and branches."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from _graphs(attribute.g)


def _cut_provenance(graph: onnx.GraphProto) -> None:
    """Take away the output, and whatever only it needed."""
    kept = [value for value in graph.output if value.name != PROVENANCE]
    del graph.output[:]
    graph.output.extend(kept)
    wanted = {value.name for value in kept}
    nodes = []
    for node in reversed(graph.node):
        if wanted & set(node.output):
            nodes.append(node)
            wanted |= _reads(node)
    nodes.reverse()
    initializers = [tensor for tensor in graph.initializer if tensor.name in wanted]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(nodes)
    graph.initializer.extend(initializers)
    if strings := [tensor.name for tensor in initializers if tensor.data_type == TensorProto.STRING]:
        raise PlanRefused(f"{graph.name}: a plan cannot hold strings, and the graph has {', '.join(strings)}")


def _reads(node: onnx.NodeProto) -> set[str]:
    """Names that a node reads, and its inner graphs from around them."""
    inner = [attribute.g for attribute in node.attribute if attribute.type == onnx.AttributeProto.GRAPH]
    return set(node.input).union(*(_reads(each) for graph in inner for each in graph.node))


def _enter_as_float(graph: onnx.GraphProto, name: str) -> None:
    """Read the input as float32 everywhere; what casts it to float32 later then does nothing."""
    for each in _graphs(graph):
        for node in each.node:
            for index, read in enumerate(node.input):
                if read == name:
                    node.input[index] = f"{_FLOATS}{name}"
    cast = helper.make_node("Cast", [name], [f"{_FLOATS}{name}"], f"{_FLOATS}{name}", to=TensorProto.FLOAT)
    graph.node.insert(0, cast)


def _leave_as_bytes(graph: onnx.GraphProto, name: str) -> None:
    """Cast to bytes last of all, from float32: TensorRT turns no integers into bytes."""
    index, cast = next((k, node) for k, node in enumerate(graph.node) if name in node.output)
    if cast.op_type != "Cast":
        raise PlanRefused(
            f"{graph.name}: {name} is uint8 before it leaves the graph, which TensorRT does not compute in"
        )
    floats = helper.make_node("Cast", cast.input, [f"{_FLOATS}{name}"], f"{_FLOATS}{name}", to=TensorProto.FLOAT)
    cast.input[0] = f"{_FLOATS}{name}"
    graph.node.insert(index, floats)
