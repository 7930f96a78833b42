"""Does a profile fit its GPU, and how long would its models take there? From what was measured on another.

Memory is that of the configuration, not of a lucky day: onnxruntime's arena of a model cannot grow beyond its
`gpu_mem_limit`, so the limits are added up, and what a process takes before it holds anything (CUDA's context, cuDNN)
once for all of them, as NVIDIA's backend keeps them in one process. (The embedded server has a process for each.) What
PyTorch takes for the vision-language model, in a process of its own, is taken as measured.

Time is a projection: what was measured, times the ratio of the two data sheets. FP16 networks are taken to be bound by
computing (tensor cores), FP32 ones, which use none, by memory. A call is scaled whole, with what a CPU does of it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from reelscope import settings
from reelscope.errors import UsageError

RESULTS = ("gpu_check.json", "vlm.json")
"""Files of benchmarks/results that are read; a wheel carries them beside the configs."""
MODEL_OF_VLM_FILE = "video_understanding_qwen2vl"
_MIB = 2**20 / 1e9
"""Gigabytes."""


@dataclass(frozen=True, slots=True)
class ModelPlan:
    """One model of a profile. None is what was not measured, at this size of the network."""

    name: str
    variant: str
    precision: str
    on_gpu: bool
    instance_count: int
    limit_gb: float | None
    """Memory that the arenas of its instances may take; None: nothing limits it."""
    measured_gb: float | None
    """Memory that its instances took at most, without what the process takes; for the batch that the profile allows."""
    is_scaled: bool
    """Whether `measured_gb` was taken with a larger batch, and is its share of that."""
    measured_milliseconds: float | None
    """Of one call about a window (20 frames, or as many rows as the model takes)."""
    projected_milliseconds: float | None
    """The same on the profile's GPU."""

    @property
    def planned_gb(self) -> float | None:
        """Memory to be kept for it: its limit, else what was measured; None on a GPU where neither is known."""
        if not self.on_gpu:
            return 0.0
        return self.measured_gb if self.limit_gb is None else self.limit_gb

    @property
    def passes_limit(self) -> bool:
        """Whether it was seen to need more than it may have."""
        return None not in (self.limit_gb, self.measured_gb) and self.measured_gb > self.limit_gb  # type: ignore[operator]


class Ratios(NamedTuple):
    """Times as long as on another GPU."""

    compute: float
    """Where tensor cores are the bound: FP16."""
    memory: float
    """Where memory is: FP32."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A profile on its GPU."""

    profile: str
    gpu: settings.GpuFacts
    ratios: Mapping[str, Ratios]
    """By the GPU that figures were taken on."""
    process_gb: float
    """What one process takes before it holds a model."""
    models: tuple[ModelPlan, ...]

    @property
    def planned_gb(self) -> float:
        """Memory of everything that is known."""
        return self.process_gb + sum(model.planned_gb or 0.0 for model in self.models)

    @property
    def embedded_gb(self) -> float:
        """The same with a process for each instance of a network, as the embedded server has it."""
        networks = sum(model.instance_count for model in self.models if model.on_gpu and model.limit_gb is not None)
        return self.planned_gb + (networks - 1) * self.process_gb

    @property
    def milliseconds(self) -> float:
        """One window through every measured model, one after another."""
        return sum(model.projected_milliseconds or 0.0 for model in self.models)

    @property
    def faults(self) -> tuple[str, ...]:
        """Why the profile does not fit; empty when it does."""
        over = [f"{self.planned_gb:.1f} GB are planned, {self.gpu.memory_budget_gb:g} may be"]
        return (
            *(over if self.planned_gb > self.gpu.memory_budget_gb else ()),
            *(f"{each.name} was seen to need more than its limit" for each in self.models if each.passes_limit),
            *(f"{each.name}: nothing says how much memory it takes" for each in self.models if each.planned_gb is None),
        )


def plan(profile: settings.Profile) -> Plan:
    """Size a profile.

    Raises:
        UsageError: it runs on no GPU, or this installation lacks the figures.
    """
    if profile.gpu is None:
        raise UsageError(f"profile {profile.name} runs on no GPU: there is nothing to plan")
    check, vlm = (_read(name) for name in RESULTS)
    process_mib = min(each["loaded_mib"] / _instances(each) for each in check["models"].values() if _holds_gpu(each))
    # What was checked on another GPU than the rest says so.
    figures = {
        name: _of_check(each, process_mib, each.get("gpu", check["gpu"]["name"]))
        for name, each in check["models"].items()
    }
    figures[MODEL_OF_VLM_FILE] = _of_vlm(vlm)
    tables = settings.model_settings(profile)
    used = {name: each for name, each in figures.items() if name in tables and _describes(each, tables[name])}
    ratios = {gpu: _ratios(gpu, profile.gpu) for gpu in sorted({each.gpu for each in used.values()})}
    return Plan(
        profile=profile.name,
        gpu=profile.gpu,
        ratios=ratios,
        process_gb=process_mib * _MIB,
        models=tuple(_model(name, table, used.get(name), ratios) for name, table in tables.items()),
    )


def _ratios(measured_on: str, gpu: settings.GpuFacts) -> Ratios:
    source = next((each for each in settings.gpus() if each.name == measured_on), None)
    if source is None:
        raise UsageError(f"server/profiles.toml does not say what a {measured_on} can do, where figures are from")
    return Ratios(source.fp16_tflops / gpu.fp16_tflops, source.memory_gb_per_second / gpu.memory_gb_per_second)


@dataclass(frozen=True, slots=True)
class _Figures:
    """What was measured of one model, on which GPU; memory of one instance, without its process."""

    gpu: str
    variant: str
    memory_mib: float | None
    rows: int | None
    milliseconds: float | None


def _holds_gpu(found: Mapping[str, Any]) -> bool:
    """Whether its memory is its own: beside a model on the CPU there is what servers before it have not yet freed."""
    return bool(found["loaded_mib"]) and all(group["kind"] == "KIND_GPU" for group in found["instances"])


def _instances(found: Mapping[str, Any]) -> int:
    return sum(group["count"] for group in found["instances"]) or 1


def _describes(found: _Figures, table: Mapping[str, Any]) -> bool:
    """Whether figures are those of a profile's model: on the GPU, in the same size."""
    return bool(table["instance_kind"] == "KIND_GPU" and found.variant == table.get("variant", ""))


def _of_check(found: Mapping[str, Any], process_mib: float, gpu: str) -> _Figures:
    most = max((found[key] for key in ("loaded_mib", "full_batch_mib") if found[key]), default=None)
    speed = found["speed"]
    return _Figures(
        gpu,
        found["variant"],
        # Only loaded is not what it takes at work.
        most / _instances(found) - process_mib if most and found["full_batch_mib"] else None,
        found["full_batch_rows"],
        speed["window"]["p50_ms"] if speed else None,
    )


def _of_vlm(found: Mapping[str, Any]) -> _Figures:
    taken = found["served_memory_after_mib"] - found["served_memory_before_mib"]
    return _Figures(found["gpu"], found["variant"], taken, None, 1000 * found["served_requests_seconds"])


def _model(name: str, table: Mapping[str, Any], found: _Figures | None, ratios: Mapping[str, Ratios]) -> ModelPlan:
    on_gpu, count = table["instance_kind"] == "KIND_GPU", table["instance_count"]
    variant, rows, limit = table.get("variant", ""), table.get("max_batch_size", 0), table.get("gpu_mem_limit_mib")
    ratio = 1.0
    if found is None:
        found = _Figures("", variant, None, None, None)
    else:
        ratio = {"fp16": ratios[found.gpu].compute, "fp32": ratios[found.gpu].memory}[table["precision"]]
    is_scaled = bool(found.memory_mib and found.rows and 0 < rows < found.rows)
    share = rows / found.rows if is_scaled and found.rows else 1.0
    return ModelPlan(
        name=name,
        variant=variant,
        precision=table["precision"] if variant else "",
        on_gpu=on_gpu,
        instance_count=count,
        limit_gb=limit * count * _MIB if limit and on_gpu else None,
        measured_gb=None if found.memory_mib is None else found.memory_mib * share * count * _MIB,
        is_scaled=is_scaled,
        measured_milliseconds=found.milliseconds,
        projected_milliseconds=found.milliseconds and found.milliseconds * ratio,
    )


def _read(name: str) -> dict[str, Any]:
    file = settings.deployment_root() / "benchmarks" / "results" / name
    try:
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{file}: the figures that a plan is made from cannot be read ({error})") from error
    return found
