"""What `server/profiles.toml` says about TensorRT: shapes of a plan, and onnxruntime's accelerator.

A model that has shapes, `[<profile>.models.<model>.tensorrt]`, is one of which there can be a plan, and one that the
accelerator is for. Parameters are those that Triton's onnxruntime backend documents, shapes options of onnxruntime.
https://github.com/triton-inference-server/onnxruntime_backend#onnx-runtime-with-tensorrt-optimization
https://onnxruntime.ai/docs/execution-providers/TensorRT-ExecutionProvider.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Profiles = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Shapes:
    """An optimization profile's shapes of one input, with rows."""

    smallest: tuple[int, ...]
    usual: tuple[int, ...]
    """What TensorRT optimizes for."""
    largest: tuple[int, ...]


def shapes(profiles: Profiles, profile: str, model: str) -> dict[str, Shapes]:
    """Shapes by input; empty for a model that has none."""
    inputs = profiles[profile]["models"][model].get("tensorrt", {})
    return {name: Shapes(*(tuple(each[bound]) for bound in ("min", "opt", "max"))) for name, each in inputs.items()}


def accelerator(profiles: Profiles, profile: str, model: str) -> str:
    """What a config has more where its profile has the accelerator on; empty where not."""
    chosen, inputs = profiles[profile].get("tensorrt_accelerator", {}), shapes(profiles, profile, model)
    if not inputs or not chosen.get("enabled"):
        return ""
    parameters = {
        "precision_mode": "FP16",
        "max_workspace_size_bytes": chosen["max_workspace_size_bytes"],
        "trt_engine_cache_enable": 1,
        "trt_engine_cache_path": f"{chosen['engine_cache_folder']}/{model}",
        "trt_profile_min_shapes": _listed({name: each.smallest for name, each in inputs.items()}),
        "trt_profile_opt_shapes": _listed({name: each.usual for name, each in inputs.items()}),
        "trt_profile_max_shapes": _listed({name: each.largest for name, each in inputs.items()}),
    }
    lines = [f'    parameters {{ key: "{key}" value: "{value}" }}' for key, value in parameters.items()]
    head = 'optimization { execution_accelerators {\n  gpu_execution_accelerator [{\n    name: "tensorrt"'
    return "\n".join([head, *lines, "  }]", "}}"]) + "\n"


def _listed(sizes: Mapping[str, tuple[int, ...]]) -> str:
    return ",".join(f"{name}:{'x'.join(map(str, shape))}" for name, shape in sizes.items())
