"""TensorRT plans: a graph that is in place, built for the GPU of this machine. Not yet run on a GPU.

A plan is served as a model of its own beside the graph, `<model>_trt`: it has no `provenance` output, which ensembles
and clients count on, so that the graph stays what they ask. Its provenance is a parameter of its config. Plans for
several kinds of GPU lie side by side, `1/gpu_fp16_sm75.plan`; `cc_model_filenames` of the config says which is whose.

TensorRT 11 Python API: Builder, OnnxParser, IBuilderConfig, ITimingCache.
https://docs.nvidia.com/deeplearning/tensorrt/latest/_static/python-api/
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx

from reelscope_export import fingerprint, write
from reelscope_export.configs import tensor_lines
from reelscope_export.contract import Contract
from reelscope_export.errors import GpuMissing, LibraryMissing, PlanRefused
from reelscope_export.paths import ModelSettings
from reelscope_export.registry import ModelModule
from reelscope_export.tensorrt_graph import prepare, require_candidate
from reelscope_export.tensorrt_settings import Shapes
from reelscope_export.verify import Array, Measure, Run, require
from reelscope_export.weights import Weights

SUFFIX = "_trt"
TIMING_CACHE = "tensorrt_sm{capability}.timing"
"""In the model repository: what TensorRT measured of layers on this kind of GPU, so that the next build is quick."""

_INSTALL = "pip install 'reelscope[tensorrt]' with NVIDIA's package index, or use NVIDIA's Triton container"


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan in place."""

    model: str
    file: Path
    measures: tuple[Measure, ...]
    """Parity of the plan with upstream."""


@dataclass(frozen=True, slots=True)
class PlanBuilder:
    """TensorRT, and the GPU that plans are built for and run on."""

    tensorrt: Any
    """The module."""
    torch: Any
    """The module; it holds the tensors that a plan is run on."""
    compute_capability: str
    """Of the GPU: 7.5 for a Quadro RTX 8000."""

    @classmethod
    def open(cls, load: Callable[[], ModuleType] | None = None) -> PlanBuilder:
        """Find TensorRT and a GPU.

        Raises:
            LibraryMissing: there is no TensorRT.
            GpuMissing: there is no GPU.
        """
        try:
            tensorrt = (load or _import_tensorrt)()
        except (ImportError, OSError) as exc:  # the bindings may be there, and the libraries not
            raise LibraryMissing(f"TensorRT cannot be loaded ({exc}): {_INSTALL}") from exc
        import torch

        if not torch.cuda.is_available():
            raise GpuMissing("a TensorRT plan is built on the kind of GPU that serves it, and there is none here")
        major, minor = torch.cuda.get_device_capability()
        return cls(tensorrt, torch, f"{major}.{minor}")

    @property
    def _architecture(self) -> str:
        return f"sm{self.compute_capability.replace('.', '')}"

    def build(
        self, settings: ModelSettings, shapes: Mapping[str, Shapes], weights: Weights, graph: Path, module: ModelModule
    ) -> Plan:
        """Build, verify and place the plan of a graph that is in place, and its config.

        Raises:
            PlanRefused: there can be no plan of it, or TensorRT builds none; quotes TensorRT.
            VerificationFailed: the plan differs from upstream; nothing was placed.
            PlacementFailed: the repository cannot be written.
        """
        contract, model = module.CONTRACT, f"{settings.model}{SUFFIX}"
        require_candidate(contract, settings, shapes)
        repository = graph.parents[2]
        serialized = self.serialize(onnx.load(str(graph)), settings, shapes, repository)
        target = repository / model / "1" / f"{graph.stem}_{self._architecture}.plan"
        with write.staged(target) as stream:
            stream.write(serialized)
            stream.flush()
            measures = module.verify(
                self.open_plan(serialized, contract),
                weights.file,
                variant=settings.variant,
                precision=settings.precision,
                trained=weights.trained,
            )
            require(model, measures)
        provenance = fingerprint.read_metadata(graph)[fingerprint.PROVENANCE_KEY]
        plans = {each.stem.rpartition("_sm")[2]: each.name for each in sorted(target.parent.glob("*_sm*.plan"))}
        with write.staged(repository / model / "config.pbtxt") as stream:
            stream.write(plan_config(contract, settings, plans, provenance).encode())
        return Plan(model, target, measures)

    def serialize(
        self, graph: onnx.ModelProto, settings: ModelSettings, shapes: Mapping[str, Shapes], repository: Path
    ) -> bytes:
        """Build the plan, strongly typed, with one optimization profile; layers timed before are not timed again.

        Raises:
            PlanRefused: the graph is none for TensorRT; quotes its parser or its builder.
        """
        trt, messages = self.tensorrt, _messages(self.tensorrt)
        builder = trt.Builder(messages)
        network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
        parser = trt.OnnxParser(network, messages)
        if not parser.parse(prepare(graph).SerializeToString()):
            errors = "; ".join(parser.get_error(k).desc() for k in range(parser.num_errors))
            raise PlanRefused(f"{settings.model}: TensorRT does not take the graph: {errors}")
        config = builder.create_builder_config()
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, (settings.gpu_mem_limit_mib or 4096) << 20)
        profile = builder.create_optimization_profile()
        for name, each in shapes.items():
            profile.set_shape(name, each.smallest, each.usual, each.largest)
        config.add_optimization_profile(profile)
        cache = repository / TIMING_CACHE.format(capability=self.compute_capability.replace(".", ""))
        config.set_timing_cache(
            config.create_timing_cache(cache.read_bytes() if cache.is_file() else b""), ignore_mismatch=False
        )
        serialized = builder.build_serialized_network(network, config)
        if serialized is None:
            raise PlanRefused(f"{settings.model}: TensorRT builds no plan: {messages.worst or 'it does not say why'}")
        with write.staged(cache) as stream:
            stream.write(bytes(config.get_timing_cache().serialize()))
        return bytes(serialized)

    def open_plan(self, serialized: bytes, contract: Contract) -> Run:
        """The plan as `verify` asks it: arrays in the contract's order in, outputs by name out."""
        torch, trt = self.torch, self.tensorrt
        runtime = trt.Runtime(_messages(trt))
        engine = runtime.deserialize_cuda_engine(serialized)
        context = engine.create_execution_context()
        types = {"TYPE_UINT8": torch.uint8, "TYPE_INT32": torch.int32, "TYPE_FP32": torch.float32}

        def run(*arrays: Array) -> dict[str, Array]:
            stream = torch.cuda.Stream()
            with torch.cuda.stream(stream):
                bound = {}
                for tensor, array in zip(contract.inputs, arrays, strict=True):
                    bound[tensor.name] = torch.from_numpy(np.ascontiguousarray(array)).cuda()
                    context.set_input_shape(tensor.name, array.shape)
                outputs = {}
                for tensor in contract.outputs:
                    shape = tuple(context.get_tensor_shape(tensor.name))
                    outputs[tensor.name] = torch.empty(shape, dtype=types[tensor.data_type], device="cuda")
                for name, held in {**bound, **outputs}.items():
                    context.set_tensor_address(name, held.data_ptr())
                if not context.execute_async_v3(stream.cuda_stream):
                    raise PlanRefused(f"{contract.name}: the plan does not run on {[each.shape for each in arrays]}")
            stream.synchronize()
            return {name: held.cpu().numpy() for name, held in outputs.items()}

        return run


def plan_config(contract: Contract, settings: ModelSettings, plans: Mapping[str, str], provenance: str) -> str:
    """The config of a plan: the graph's contract without provenance, which is a parameter."""
    capabilities = {f"{key[:-1]}.{key[-1]}": name for key, name in plans.items()}
    quoted = json.dumps(provenance)  # a string of JSON within a string of protobuf's text
    lines = [
        f"# TensorRT plan of {contract.name}, profile {settings.profile}; written by reelscope-export --tensorrt.",
        f'name: "{contract.name}{SUFFIX}"',
        'platform: "tensorrt_plan"',
        f"max_batch_size: {settings.max_batch_size if contract.batched else 0}",
        *tensor_lines("input", contract.inputs),
        *tensor_lines("output", contract.outputs),
        f"instance_group [{{ count: {settings.instance_count} kind: {settings.instance_kind} }}]",
        *(f'cc_model_filenames {{ key: "{key}" value: "{name}" }}' for key, name in capabilities.items()),
        f'parameters {{ key: "provenance" value: {{ string_value: {quoted} }} }}',
    ]
    if settings.max_queue_delay_microseconds is not None and contract.batched:
        lines.append(f"dynamic_batching {{ max_queue_delay_microseconds: {settings.max_queue_delay_microseconds} }}")
    return "\n".join(lines) + "\n"


def _import_tensorrt() -> ModuleType:
    import tensorrt

    return tensorrt  # type: ignore[no-any-return]


def _messages(trt: Any) -> Any:
    """TensorRT's log, of which the last error is kept."""

    class Messages(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.worst = ""

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR):
                self.worst = message

    return Messages()
