"""What a clip needs at least: operations and bytes of every model, counted, over what this machine can do, measured.

Counted, not estimated: the demo clip is analysed, and the largest request to every ensemble runs through the graphs
without Triton (`bare`) under onnxruntime's profiler, unoptimised. Every convolution, matrix product and recurrent
layer that is executed is counted with the shapes that it really had, inside loops as well; what the clip's other
requests need follows from their rows. A multiplication and an addition are two operations. Bytes are what those layers
read and write, each tensor once: all that lies between them could be fused. Qwen2-VL is counted from its weights and
tokens: two operations per weight and token, and attention; its weights are read once for the prompt and once for each
step.

Ceilings: a matrix product of 4096 or 8192 squared in the precision of the model, and a copy of half a gigabyte. The
floor of a model is the longer of operations and bytes over these; the floor of a clip is their sum. The gap is what
`end_to_end` has measured, on the same machine, over the floor. The projection for the RTX 8000 (130 TFLOP/s FP16 on
its tensor cores, 16.3 TFLOP/s FP32, 672 GB/s: NVIDIA's data sheet) takes the measured time, and stretches the share of
it in which the GPU was busy by the ratio of the floors. It is a projection, not a measurement.

    python -m benchmarks.roofline                   the cpu profile, about three minutes
    python -m benchmarks.roofline --profile h200    after end_to_end

Writes benchmarks/results/roofline.json (of other profiles: roofline_PROFILE).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from benchmarks import DEMO, RESULTS, machine, named, record
from benchmarks.counting import Counted, count_clip
from reelscope import settings
from reelscope_export import paths

RTX_8000 = {"fp16_flops": 130e12, "fp32_flops": 16.3e12, "bytes_per_second": 672e9}


def ceilings(device: str) -> dict[str, float]:
    """Operations and bytes a second that this machine reaches."""
    side = 4096 if device == "cpu" else 8192
    torch.backends.cuda.matmul.allow_tf32 = False  # as it is served

    def product(dtype: torch.dtype) -> float:
        one = torch.randn(side, side, device=device, dtype=dtype)
        return 2 * side**3 / _quickest(lambda: one @ one, device)

    half_gigabyte = torch.zeros(2**27, device=device)
    there = torch.empty_like(half_gigabyte)
    bandwidth = 2 * half_gigabyte.nbytes / _quickest(lambda: there.copy_(half_gigabyte), device)
    fp32 = product(torch.float32)
    return {
        "fp32_flops": fp32,
        "fp16_flops": fp32 if device == "cpu" else product(torch.float16),
        "bytes_per_second": bandwidth,
    }


def _quickest(call: Callable[[], object], device: str, repeats: int = 5) -> float:
    times = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        call()
        if device != "cpu":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - began)
    return min(times[1:])


def floor_seconds(counted: Mapping[str, Counted], precisions: Mapping[str, str], limits: Mapping[str, float]) -> float:
    """Sum over the models of the longer of operations and bytes over the ceilings."""
    return sum(
        max(each.flop / limits[f"{precisions[name]}_flops"], each.bytes / limits["bytes_per_second"])
        for name, each in counted.items()
    )


def projection(measured: Mapping[str, Any], here: float, there: float) -> dict[str, Any]:
    """The measured time with the GPU's share of it stretched by the ratio of the floors."""
    wall, busy = measured["system"]["median_wall_seconds"], measured["system"]["gpu"]["busy_percent"] / 100
    return {
        "wall_seconds": wall * (1 - busy + busy * there / here),
        "floor_seconds": there,
        "stretch": there / here,
        "gpu_busy_ratio": busy,
        "about": "a projection for the RTX 8000, not a measurement: the same share of its ceilings, the same CPU",
    }


def against(end_to_end: Mapping[str, Any], here: float, there: float) -> dict[str, Any]:
    """Gap between a measured clip and the floor here and, where a GPU worked, the projection to the floor there."""
    found: dict[str, Any] = {"gap": end_to_end["system"]["median_wall_seconds"] / here}
    return found | ({"projection": projection(end_to_end, here, there)} if end_to_end["system"]["gpu"] else {})


def table(counted: Mapping[str, Counted], precisions: Mapping[str, str], limits: Mapping[str, float]) -> Table:
    """One row per model."""
    shown = Table("model", "", "GFLOP", "MB", "FLOP per byte", "floor ms", "by", title="what a clip needs at least")
    for name, each in sorted(counted.items(), key=lambda item: -item[1].flop):
        compute = each.flop / limits[f"{precisions[name]}_flops"]
        memory = each.bytes / limits["bytes_per_second"]
        shown.add_row(
            name,
            precisions[name],
            f"{each.flop / 1e9:.2f}",
            f"{each.bytes / 1e6:.0f}",
            f"{each.flop / each.bytes:.0f}" if each.bytes else "",
            f"{1000 * max(compute, memory):.2f}",
            "operations" if compute >= memory else "bytes",
        )
    return shown


def main(arguments: list[str] | None = None) -> int:
    """Count, measure the ceilings, print, write down."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.roofline", description="What a clip needs at least.")
    parser.add_argument("--profile", default="cpu", choices=settings.profile_names())
    parser.add_argument("--clip", type=Path, default=DEMO, help="another clip writes nothing")
    parser.add_argument("--commit", help="recorded where there is no git to ask")
    options = parser.parse_args(arguments)
    profile, console = settings.profile(options.profile), Console()
    counted = count_clip(options.clip, profile)
    profiles = paths.read_profiles()
    precisions = {name: paths.model_settings(profiles, profile.name, name).precision for name in counted}
    limits = ceilings("cuda:0" if profile.needs_gpu else "cpu")
    floor = floor_seconds(counted, precisions, limits)
    console.print(table(counted, precisions, limits))
    console.print("ceilings: " + ", ".join(f"{name} {value:.3g}" for name, value in limits.items()))
    console.print(f"the floor of a clip: {floor:.3f} s")
    figures: dict[str, Any] = {
        "profile": profile.name,
        "models": {
            name: {"flop": each.flop, "bytes": each.bytes, "precision": precisions[name]}
            for name, each in counted.items()
        },
        "tflop": sum(each.flop for each in counted.values()) / 1e12,
        "gigabytes": sum(each.bytes for each in counted.values()) / 1e9,
        "ceilings": limits,
        "floor_seconds": floor,
    }
    measured = RESULTS / f"{named('end_to_end', profile.name)}.json"
    if measured.is_file():
        end_to_end = json.loads(measured.read_text(encoding="utf-8"))
        there, here = (each.removesuffix(", MPS") for each in (end_to_end["machine"], machine()))
        if there == here:
            figures |= against(end_to_end, floor, floor_seconds(counted, precisions, RTX_8000))
            console.print(f"measured end to end: {figures['gap']:.1f} times the floor")
        else:
            console.print(f"measured end to end on {there}, not on {here}: no gap, no projection")
        if "projection" in figures:
            console.print(f"projected for an RTX 8000: {figures['projection']['wall_seconds']:.1f} s")
    if options.clip != DEMO:
        console.print("not the clip that is compared: nothing is written")
        return 0
    figures |= {"commit": options.commit} if options.commit else {}
    console.print(f"written to {record(named('roofline', profile.name), figures)}", highlight=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
