"""What GPUs are doing: by the driver's own library where they are in this machine, else by Triton's metrics.

Source: NVML, https://docs.nvidia.com/deploy/nvml-api/; Triton's metrics tell no temperatures and no clocks.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reelscope.inference.observation import Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """One GPU at one moment; None is what is not known of it."""

    name: str
    """Its model, or its identity where only Triton tells of it."""
    utilization_ratio: float | None = None
    """Share of the time in which some kernel ran, 0-1."""
    memory_used_bytes: float | None = None
    memory_total_bytes: float | None = None
    power_watts: float | None = None
    power_limit_watts: float | None = None
    temperature_celsius: float | None = None
    sm_clock_mhz: float | None = None


def of_this_machine() -> tuple[Gpu, ...]:
    """GPUs that the driver lists; () without a driver, or without a GPU."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return ()
    try:
        handles = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
        return tuple(_read(pynvml, handle) for handle in handles)
    finally:
        pynvml.nvmlShutdown()


def of_server(samples: Iterable[Sample]) -> tuple[Gpu, ...]:
    """GPUs that a Triton server tells of in its metrics, by identity."""
    found: dict[str, dict[str, float]] = {}
    for sample in samples:
        if sample.name in _METRICS and "gpu_uuid" in sample.labels:
            found.setdefault(sample.labels["gpu_uuid"], {})[_METRICS[sample.name]] = sample.value
    return tuple(Gpu(name=name, **values) for name, values in sorted(found.items()))


_METRICS = {
    "nv_gpu_utilization": "utilization_ratio",
    "nv_gpu_memory_used_bytes": "memory_used_bytes",
    "nv_gpu_memory_total_bytes": "memory_total_bytes",
    "nv_gpu_power_usage": "power_watts",
    "nv_gpu_power_limit": "power_limit_watts",
}


def _read(nvml: Any, handle: Any) -> Gpu:
    values: dict[str, float] = {}
    memory = None
    # What a card, a driver or a virtual machine does not tell is left out.
    with contextlib.suppress(nvml.NVMLError):
        memory = nvml.nvmlDeviceGetMemoryInfo(handle)
    with contextlib.suppress(nvml.NVMLError):
        values["utilization_ratio"] = nvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100
    with contextlib.suppress(nvml.NVMLError):
        values["power_watts"] = nvml.nvmlDeviceGetPowerUsage(handle) / 1000
    with contextlib.suppress(nvml.NVMLError):
        values["power_limit_watts"] = nvml.nvmlDeviceGetEnforcedPowerLimit(handle) / 1000
    with contextlib.suppress(nvml.NVMLError):
        values["temperature_celsius"] = nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU)
    with contextlib.suppress(nvml.NVMLError):
        values["sm_clock_mhz"] = nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM)
    if memory:
        values |= {"memory_used_bytes": memory.used, "memory_total_bytes": memory.total}
    return Gpu(name=str(nvml.nvmlDeviceGetName(handle)), **values)
