"""What `reelscope top` shows: GPUs, queues and request rates of a server, now and again.

Everything that is asked of Triton are its metrics, which no key guards and which cost its models nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.console import Group
from rich.table import Column, Table
from rich.text import Text

from reelscope.inference.observation import Sample, read_metrics
from reelscope.operations import gpus


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelLoad:
    """One version of a model, over the last interval."""

    model: str
    version: str
    requests_per_second: float
    failures_per_second: float
    pending: int
    """Requests that wait."""
    queue_ms: float | None
    """Mean wait of the requests of the interval; None without any."""
    compute_ms: float | None
    """Mean computing of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """What is seen at one time."""

    gpus: tuple[gpus.Gpu, ...]
    gpu_source: str
    """nvml, triton, or none where there is no GPU."""
    models: tuple[ModelLoad, ...]
    """Those that wait or worked first, then by name."""


def look(url: str, interval_seconds: float) -> Moment:
    """Read the metrics at an address twice.

    Raises:
        ServerUnreachable: there are none.
    """
    return next(looks(url, interval_seconds))


def looks(url: str, interval_seconds: float) -> Iterator[Moment]:
    """Look for ever, once in each interval; raises as `look`."""
    before, then = read_metrics(url), time.monotonic()
    while True:
        time.sleep(interval_seconds)
        samples, now = read_metrics(url), time.monotonic()
        yield moment(before, samples, now - then)
        before, then = samples, now


def moment(before: Sequence[Sample], after: Sequence[Sample], seconds: float) -> Moment:
    """What happened between two looks at the metrics, `seconds` apart, and how the GPUs are now."""
    local = gpus.of_this_machine()
    found = local or gpus.of_server(after)
    earlier, later = _by_model(before), _by_model(after)
    models = [_load(identity, earlier.get(identity, {}), values, seconds) for identity, values in later.items()]
    models.sort(key=lambda load: (-load.pending, -load.requests_per_second, load.model))
    source = "nvml" if local else "triton" if found else "none"
    return Moment(gpus=found, gpu_source=source, models=tuple(models))


def _by_model(samples: Sequence[Sample]) -> dict[tuple[str, str], dict[str, float]]:
    """Sums of every metric of a model, by name and version; reasons of failures together."""
    found: dict[tuple[str, str], dict[str, float]] = {}
    for sample in samples:
        if sample.name.startswith("nv_inference_") and "model" in sample.labels:
            values = found.setdefault((sample.labels["model"], sample.labels.get("version", "")), {})
            name = sample.name.removeprefix("nv_inference_").removesuffix("_total")
            values[name] = values.get(name, 0.0) + sample.value
    return found


def _load(identity: tuple[str, str], before: dict[str, float], now: dict[str, float], seconds: float) -> ModelLoad:
    def grown(name: str) -> float:
        # A server that was started again counts from zero.
        return max(now.get(name, 0.0) - before.get(name, 0.0), 0.0)

    requests = grown("request_success")
    queue, compute = (
        grown(f"{name}_duration_us") / 1000 / requests if requests else None for name in ("queue", "compute_infer")
    )
    return ModelLoad(
        model=identity[0],
        version=identity[1],
        requests_per_second=requests / seconds,
        failures_per_second=grown("request_failure") / seconds,
        pending=int(now.get("pending_request_count", 0)),
        queue_ms=queue,
        compute_ms=compute,
    )


def shown(seen: Moment) -> Group:
    """A look as people read it."""
    table = Table(Column("model", overflow="fold"), *_numeric("req/s", "failed/s", "waiting", "queue ms", "compute ms"))
    table.box = box.SIMPLE_HEAD
    for load in seen.models:
        times = ("" if each is None else f"{each:.1f}" for each in (load.queue_ms, load.compute_ms))
        failed = Text(f"{load.failures_per_second:.1f}", "red" if load.failures_per_second else "")
        table.add_row(
            f"{load.model} {load.version}", f"{load.requests_per_second:.1f}", failed, str(load.pending), *times
        )
    return Group(_gpu_table(seen), table)


def _gpu_table(seen: Moment) -> Any:
    if not seen.gpus:
        return Text("no GPU: neither does the driver list one here, nor does the server tell of one")
    table = Table(Column("GPU", overflow="fold"), *_numeric("busy", "memory GB", "power W", "temp", "SM MHz"))
    table.box = box.SIMPLE_HEAD
    for gpu in seen.gpus:
        table.add_row(
            gpu.name,
            "" if gpu.utilization_ratio is None else f"{gpu.utilization_ratio:.0%}",
            _of(gpu.memory_used_bytes, gpu.memory_total_bytes, 1e9, 1),
            _of(gpu.power_watts, gpu.power_limit_watts, 1, 0),
            "" if gpu.temperature_celsius is None else f"{gpu.temperature_celsius:.0f} °C",
            "" if gpu.sm_clock_mhz is None else f"{gpu.sm_clock_mhz:.0f}",
        )
    return table


def _numeric(*names: str) -> list[Column]:
    return [Column(name, justify="right", no_wrap=True) for name in names]


def _of(part: float | None, whole: float | None, unit: float, digits: int) -> str:
    return " of ".join(f"{each / unit:.{digits}f}" for each in (part, whole) if each is not None)
