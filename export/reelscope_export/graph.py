"""torch module to ONNX: the shared build step, and the `provenance` output that every graph carries."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from reelscope_export.contract import PROVENANCE
from reelscope_export.errors import TracingFailed

OPSET = 18
"""Highest opset whose Resize and ReduceMax have CUDA kernels in onnxruntime."""


@dataclass(frozen=True, slots=True)
class Provenance:
    """Which weights answered; the JSON keys of the `provenance` output."""

    name: str
    """Upstream's name of the network, e.g. yolov8n."""
    source: str
    """Where the weights come from: an address, a file, or how they were drawn."""
    revision: str
    sha256: str
    """Of the weights' file."""
    licence: str
    trained: bool
    """False: the network answers in the right shapes, but what it says means nothing."""
    precision: str

    def to_json(self) -> str:
        """One line of JSON with sorted keys."""
        return json.dumps(asdict(self), sort_keys=True)


@dataclass(frozen=True, slots=True)
class Example:
    """An input to trace with."""

    tensor: Tensor
    """Its dynamic dimensions must be at least 2 (0 and 1 are specialised)."""
    dynamic_dims: Mapping[int, str]
    """Dimension to its name; the others are fixed."""


def to_onnx(
    module: nn.Module,
    inputs: Mapping[str, Example],
    *,
    output_names: tuple[str, ...],
    translations: Mapping[Callable[..., Any], Callable[..., Any]] | None = None,
) -> onnx.ModelProto:
    """Trace a module to a self-contained ONNX graph.

    Args:
        module: network with pre- and post-processing; put into evaluation mode here.
        inputs: by name, in the order of the module's parameters. Dimensions of one name are equal in all of them.
        output_names: names of the outputs, in order.
        translations: custom torch operators to functions that build them in ONNX.

    Raises:
        TracingFailed: this torch cannot turn the module into a graph.
    """
    module.eval()
    dims = {name: torch.export.Dim(name) for each in inputs.values() for name in each.dynamic_dims.values()}
    shapes = tuple({dim: dims[name] for dim, name in each.dynamic_dims.items()} for each in inputs.values())
    with warnings.catch_warnings(), torch.inference_mode(False), torch.no_grad():
        warnings.simplefilter("ignore")
        try:
            program = torch.onnx.export(
                module,
                tuple(each.tensor for each in inputs.values()),
                dynamo=True,
                input_names=list(inputs),
                output_names=list(output_names),
                dynamic_shapes=shapes,
                opset_version=OPSET,
                custom_translation_table=dict(translations or {}),
                external_data=False,
                optimize=True,
                verbose=False,
            )
        except torch.onnx.OnnxExporterError as exc:
            cause = str(exc.__cause__ or exc).splitlines()[0]
            raise TracingFailed(f"torch {torch.__version__} cannot trace {type(module).__name__}: {cause}") from exc
    assert program is not None
    # A traced operation may bear the name of an output (torch's `embedding` does), and names must be unique.
    traced = program.model.graph
    for value in (*traced.initializers.values(), *(output for node in traced for output in node.outputs)):
        if value.name in output_names and value not in traced.outputs:
            value.name = f"inner_{value.name}"
    return program.model_proto


def frames_example(height: int = 360, width: int = 640) -> dict[str, Example]:
    """The input `frames` of most models: uint8 [N,H,W,3], all but the channels dynamic."""
    frames = torch.zeros(2, height, width, 3, dtype=torch.uint8)
    return {"frames": Example(frames, {0: "batch", 1: "height", 2: "width"})}


def attach_provenance(model: onnx.ModelProto, provenance: Provenance, *, batched: bool) -> None:
    """Add the constant output `provenance`: STRING [N,1], N being the first dimension of the first input, or [1]."""
    graph = model.graph
    prefix = f"{PROVENANCE}_"
    if not batched:
        graph.initializer.append(numpy_helper.from_array(np.array([provenance.to_json()], object), f"{prefix}json"))
        graph.node.append(helper.make_node("Identity", [f"{prefix}json"], [PROVENANCE], f"{prefix}identity"))
        graph.output.append(helper.make_tensor_value_info(PROVENANCE, TensorProto.STRING, [1]))
        return
    batch = graph.input[0].type.tensor_type.shape.dim[0].dim_param
    text = np.array([[provenance.to_json()]], dtype=object)
    graph.initializer.append(numpy_helper.from_array(text, f"{prefix}json"))
    graph.initializer.append(helper.make_tensor(f"{prefix}one", TensorProto.INT64, [1], [1]))
    graph.node.extend(
        (
            helper.make_node("Shape", [graph.input[0].name], [f"{prefix}rows"], f"{prefix}shape", start=0, end=1),
            helper.make_node("Concat", [f"{prefix}rows", f"{prefix}one"], [f"{prefix}size"], f"{prefix}concat", axis=0),
            helper.make_node("Expand", [f"{prefix}json", f"{prefix}size"], [PROVENANCE], f"{prefix}expand"),
        )
    )
    graph.output.append(helper.make_tensor_value_info(PROVENANCE, TensorProto.STRING, [batch, 1]))


def strip_trace(model: onnx.ModelProto) -> None:
    """Drop what the exporter notes about the building machine: stack traces, source paths, doc strings."""
    model.doc_string = ""
    model.graph.doc_string = ""
    for node in model.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    for value in (*model.graph.value_info, *model.graph.input, *model.graph.output):
        del value.metadata_props[:]
    del model.graph.metadata_props[:]
    for function in model.functions:
        function.doc_string = ""
        del function.metadata_props[:]
