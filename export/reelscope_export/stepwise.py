"""A graph that is one step of a decoder becomes one that takes several: ONNX's Loop around it.

What a decoder attends to is tens of megabytes, and a step takes milliseconds: were each a request, most of the time
would go into carrying the same tensors. So a request asks for some steps; between requests the caller can give up.
What is computed from them alone is the same in every step as well, and computed once, before the loop.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import onnx
from onnx import TensorProto, compose, helper, inliner

from reelscope_export.contract import Contract

_INNER = "step/"
"""Prefix of every name inside the loop, so that none shadows one outside."""

_TYPES = {"TYPE_FP32": TensorProto.FLOAT, "TYPE_INT32": TensorProto.INT32}


@dataclass(frozen=True, slots=True)
class Plan:
    """What of a step goes where."""

    carried: Mapping[str, str]
    """Input of the step to the output that is its value in the next step; the first value is an input of the graph."""
    stacked: Mapping[str, str]
    """Output of the graph, [N,steps], to the output of the step, [N], that is its column."""
    final: tuple[str, ...]
    """Outputs of the step, and of the graph, as the last step has them; those of `carried` have the input's name."""
    columns: Mapping[str, str]
    """Input of the step, [N], to the input of the graph, [N,steps], whose column it is; their width is the steps'."""
    going: str
    """Output of the step: whether there is more to do, one boolean."""


def in_steps(step: onnx.ModelProto, plan: Plan, contract: Contract) -> onnx.ModelProto:
    """Wrap a step.

    Args:
        step: inputs that are neither carried nor columns are the same in every step. FP16 stays inside: the graph takes
            and gives FP32.
        plan: what goes where.
        contract: names and types of the graph's inputs and outputs, except `provenance` and what has no step.
    """
    step = inliner.inline_local_functions(step)
    inputs = {value.name: value for value in step.graph.input}
    outputs = {value.name: value for value in step.graph.output}
    halves = {name for name, value in inputs.items() if value.type.tensor_type.elem_type == TensorProto.FLOAT16}
    body = _body(step, plan, {name: f"{name}_half" if name in halves else name for name in inputs})
    before, constants = _hoist(
        body, {f"{name}_half" if name in halves else name for name in inputs if name not in plan.carried}
    )
    width = next(iter(plan.columns.values()))
    promised = {tensor.name for tensor in contract.outputs}
    kept = [name for name in plan.carried if f"next_{name}" in promised]
    begun = [f"{name}_half" if name in halves else name for name in plan.carried]
    ended = [f"{name}_ended" for name in plan.carried]
    nodes = [
        *(_cast(name, f"{name}_half", TensorProto.FLOAT16) for name in sorted(halves)),
        *before,
        helper.make_node("Shape", [width], ["step_count"], "count_steps", start=1, end=2),
        helper.make_node(
            "Loop",
            ["step_count", "", *begun, *(f"no_{name}" for name in plan.final)],
            [*ended, *plan.final, *(f"{name}_rows" for name in plan.stacked)],
            "steps",
            body=body,
        ),
        *(
            _cast(f"{name}_ended", f"next_{name}", TensorProto.FLOAT)
            if name in halves
            else helper.make_node("Identity", [f"{name}_ended"], [f"next_{name}"], f"end_{name}")
            for name in kept
        ),
        *(
            helper.make_node("Transpose", [f"{name}_rows"], [name], f"columns_{name}", perm=[1, 0])
            for name in plan.stacked
        ),
    ]
    nothing = [
        helper.make_tensor(
            f"no_{name}", value.type.tensor_type.elem_type, [0] * len(value.type.tensor_type.shape.dim), []
        )
        for name, value in outputs.items()
        if name in plan.final
    ]
    offered = {*plan.final, *plan.stacked, *(f"next_{name}" for name in kept)}
    graph = helper.make_graph(
        nodes,
        "in_steps",
        [_declared(tensor.name, tensor.data_type, tensor.dims) for tensor in contract.inputs],
        [_declared(each.name, each.data_type, each.dims) for each in contract.outputs if each.name in offered],
        [*nothing, *constants],
    )
    return helper.make_model(graph, opset_imports=step.opset_import, ir_version=step.ir_version)


def _body(step: onnx.ModelProto, plan: Plan, outer: Mapping[str, str]) -> onnx.GraphProto:
    """One step: its columns cut out, what is carried put on; `outer` are the names outside of what never changes."""
    inner = compose.add_prefix(step, _INNER).graph
    constant = {
        f"{_INNER}{name}": outer[name] for name in outer if name not in plan.carried and name not in plan.columns
    }
    for node in inner.node:
        for number, name in enumerate(node.input):
            node.input[number] = constant.get(name, name)
    types = {value.name: value.type.tensor_type.elem_type for value in (*inner.input, *inner.output)}
    columns = [
        helper.make_node("Gather", [whole, "step_number"], [f"{_INNER}{name}"], f"column_{name}", axis=1)
        for name, whole in plan.columns.items()
    ]
    going = f"{_INNER}{plan.going}"
    old = [helper.make_tensor_value_info(f"old_{name}", types[f"{_INNER}{name}"], None) for name in plan.final]
    return helper.make_graph(
        [*columns, *inner.node],
        "one_step",
        [
            helper.make_tensor_value_info("step_number", TensorProto.INT64, []),
            helper.make_tensor_value_info("was_going", TensorProto.BOOL, []),
            *(
                helper.make_tensor_value_info(f"{_INNER}{name}", types[f"{_INNER}{name}"], None)
                for name in plan.carried
            ),
            *old,
        ],
        [
            helper.make_tensor_value_info(name, types[name], None)
            for name in (
                going,
                *(f"{_INNER}{name}" for name in plan.carried.values()),
                *(f"{_INNER}{name}" for name in plan.final),
                *(f"{_INNER}{name}" for name in plan.stacked.values()),
            )
        ],
        inner.initializer,
    )


def _hoist(body: onnx.GraphProto, outside: set[str]) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """Take the nodes out of the body that need nothing but what comes from outside, and their constants with them."""
    constants = {tensor.name: tensor for tensor in body.initializer}
    moved: list[onnx.NodeProto] = []
    same, kept, used = set(outside), [], set()
    for node in body.node:
        needed = set(node.input) - constants.keys() - {""}
        if needed and needed <= same:
            moved.append(node)
            same.update(node.output)
            used.update(constants.keys() & set(node.input))
        else:
            kept.append(node)
    del body.node[:], body.initializer[:]
    body.node.extend(kept)
    body.initializer.extend(tensor for name, tensor in constants.items() if name not in used)
    return moved, [constants[name] for name in sorted(used)]


def _cast(name: str, to: str, kind: int) -> onnx.NodeProto:
    return helper.make_node("Cast", [name], [to], f"cast_{name}", to=kind)


def _declared(name: str, kind: str, dims: tuple[int, ...]) -> onnx.ValueInfoProto:
    shape = [f"{name}_{number}" if size < 0 else size for number, size in enumerate(dims)]
    return helper.make_tensor_value_info(name, _TYPES[kind], shape)
