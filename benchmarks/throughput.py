"""Many clips at once through one server: clips a second, how long each takes, and what is busy meanwhile.

For every number of clips at once, that many processes, each with its own connection, analyse the clip again and again
until all of them together have done so `--clips` times (a process per clip is how the gateway works; interpreters start
before the clock does). Meanwhile the processors, the GPU and the models' queues are watched: where more clips at once
bring no more clips a second, the fullest of them is what the throughput is limited by.

    python -m benchmarks.throughput                                   the cpu profile, half an hour on 2 cores
    python -m benchmarks.throughput --profile h200 --at-once 1 2 4 8 16
    python -m benchmarks.throughput --at-once 1 2 --clips 2 --seconds 2 --size 320x568       writes nothing

Writes benchmarks/results/throughput.json (of other profiles: throughput_PROFILE).
"""

from __future__ import annotations

import argparse
import multiprocessing
import re
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks import footage, named, record
from benchmarks.observed import GpuWatch, tree_cpu_seconds
from reelscope import pipeline, settings
from reelscope.analyzers import ANALYZERS
from reelscope.embedded import EmbeddedServer
from reelscope.inference import InferenceClient
from reelscope.processes import prepare_for_analysis

AT_ONCE, CLIPS = (1, 2, 4), 8
SECONDS, SIZE = 10.0, "1080x1920"
GAIN = 1.1
"""More clips at once are worth it when they bring this much more clips a second."""
FULL = 0.85
"""Share from which on something counts as full."""
DEADLINE_SECONDS = 3600.0
QUEUED = re.compile(r'^nv_inference_queue_duration_us\{[^}]*model="([^"]+)"[^}]*\} (\S+)$', re.MULTILINE)

NOT_SATURATED = "not yet saturated"

_State = tuple[settings.Profile, InferenceClient]
_worker: list[_State] = []


def _start(profile_name: str, url: str) -> None:
    """In a process of its own: connect once."""
    prepare_for_analysis()
    _worker.append((settings.profile(profile_name), InferenceClient(url)))


def _analyze(clip: str) -> tuple[float, float, list[str]]:
    """Seconds that an analysis took, its client's CPU seconds, and the analyzers that are not ok."""
    profile, client = _worker[0]
    began, cpu_began = time.perf_counter(), time.process_time()
    results = pipeline.analyze(
        Path(clip), analyzers=ANALYZERS, profile=profile, client=client, budget_seconds=DEADLINE_SECONDS
    )
    wrong = [name for name, result in results.analyzers.items() if result.status != "ok"]
    return time.perf_counter() - began, time.process_time() - cpu_began, wrong


def measure(clip: Path, profile: settings.Profile, server: EmbeddedServer, at_once: int, clips: int) -> dict[str, Any]:
    """Analyse a clip `clips` times, `at_once` at a time."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(at_once, _start, (profile.name, server.grpc_url)) as pool:
        pool.map(_analyze, [str(clip)] * at_once, chunksize=1)  # imports, buffers, compiled code
        busy_before, queues_before = processors(), queued_seconds(server)
        server_before = tree_cpu_seconds(server.supervisor.pid)
        with GpuWatch(profile.needs_gpu) as gpu:
            began = time.perf_counter()
            found = pool.map(_analyze, [str(clip)] * clips, chunksize=1)
            wall_seconds = time.perf_counter() - began
        busy = processors() - busy_before
        queues = {name: seconds - queues_before.get(name, 0.0) for name, seconds in queued_seconds(server).items()}
    times = [seconds for seconds, _, _ in found]
    return {
        "at_once": at_once,
        "clips": clips,
        "wall_seconds": wall_seconds,
        "clips_per_second": clips / wall_seconds,
        "p50_seconds": float(np.percentile(times, 50)),
        "p99_seconds": float(np.percentile(times, 99)),
        "client_cpu_seconds_per_clip": sum(cpu for _, cpu, _ in found) / clips,
        "server_cpu_seconds_per_clip": (tree_cpu_seconds(server.supervisor.pid) - server_before) / clips,
        "processors_busy_ratio": float(busy[0] / busy.sum()),
        "gpu": gpu.found,
        "queued_seconds_per_clip": {
            name: seconds / clips for name, seconds in sorted(queues.items(), key=lambda each: -each[1])[:5]
        },
        "not_ok": sorted({name for _, _, wrong in found for name in wrong}),
    }


def processors() -> np.ndarray:
    """Ticks that all processors were busy, and idle, since the machine started: [busy, idle]."""
    with open("/proc/stat", encoding="utf-8") as stream:
        user, nice, system, idle, waiting, *others = map(int, stream.readline().split()[1:9])
    return np.array([user + nice + system + sum(others), idle + waiting], float)


def queued_seconds(server: EmbeddedServer) -> dict[str, float]:
    """Seconds that requests have waited in each model's queue so far, by Triton's metrics."""
    with urllib.request.urlopen(server.metrics_url, timeout=10) as answer:
        text = answer.read().decode()
    found: dict[str, float] = {}
    for model, microseconds in QUEUED.findall(text):
        found[model] = found.get(model, 0.0) + float(microseconds) / 1e6
    return found


def saturation(found: Sequence[dict[str, Any]]) -> tuple[int, str]:
    """From how many clips at once on more bring no more, and what is full there.

    The number is the largest measured one where throughput still grew; then nothing is known to be full.
    """
    best = found[0]
    for each in found[1:]:
        if each["clips_per_second"] < GAIN * best["clips_per_second"]:
            return best["at_once"], _fullest(each)
        best = each
    return best["at_once"], NOT_SATURATED


def _fullest(each: dict[str, Any]) -> str:
    shares = {"processors": each["processors_busy_ratio"]}
    if each["gpu"]:
        shares["GPU"] = each["gpu"]["busy_percent"] / 100
    full = [f"{name} ({share:.0%} busy)" for name, share in shares.items() if share >= FULL]
    queues = [name for name, seconds in each["queued_seconds_per_clip"].items() if seconds > 0]
    return ", ".join(full) or f"the queue of {queues[0]}" if full or queues else "nothing that is watched"


def table(found: Sequence[dict[str, Any]], title: str) -> Table:
    """One row per number of clips at once."""
    shown = Table(
        "at once", "clips/s", "p50 s", "p99 s", "CPU s a clip", "CPU busy", "GPU busy", "longest queue", title=title
    )
    for each in found:
        cpu = each["client_cpu_seconds_per_clip"] + each["server_cpu_seconds_per_clip"]
        queue = next(iter(each["queued_seconds_per_clip"].items()), ("-", 0.0))
        shown.add_row(
            str(each["at_once"]),
            f"{each['clips_per_second']:.3f}",
            f"{each['p50_seconds']:.2f}",
            f"{each['p99_seconds']:.2f}",
            f"{cpu:.1f}",
            f"{each['processors_busy_ratio']:.0%}",
            f"{each['gpu']['busy_percent']:.0f}%" if each["gpu"] else "-",
            f"{queue[0]} {queue[1]:.1f} s a clip",
        )
    return shown


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, write down; 1 when an analyzer was not ok."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.throughput", description="Many clips at once.")
    parser.add_argument("--profile", default="cpu", choices=settings.profile_names())
    parser.add_argument("--at-once", nargs="+", type=int, default=list(AT_ONCE), metavar="N")
    parser.add_argument("--clips", type=int, default=CLIPS, help=f"for each number at once (default: {CLIPS})")
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--size", default=SIZE, help=f"WIDTHxHEIGHT of the clip that is made (default: {SIZE})")
    parser.add_argument("--commit", help="recorded where there is no git to ask")
    options = parser.parse_args(arguments)
    profile, console = settings.profile(options.profile), Console()
    width, height = map(int, options.size.split("x"))
    with tempfile.TemporaryDirectory() as folder, EmbeddedServer(profile) as server:
        clip = footage.write_clip(
            Path(folder) / "clip.mp4", width=width, height=height, rate=30, seconds=options.seconds
        )
        found = []
        for at_once in options.at_once:
            found.append(measure(clip, profile, server, at_once, max(options.clips, at_once)))
            console.print(table(found[-1:], f"{at_once} at once"))
    title = f"{options.seconds:g} s of {options.size}, {profile.name}"
    console.print(table(found, title))
    at_once, reason = saturation(found)
    console.print(f"more than {at_once} at once bring no more: {reason}")
    not_ok = sorted({name for each in found for name in each["not_ok"]})
    if not_ok:
        console.print(f"[red]not ok[/]: {', '.join(not_ok)}")
    if (options.seconds, options.size) != (SECONDS, SIZE) or options.clips < CLIPS:
        console.print("not the clip or number of clips that are compared: nothing is written")
    else:
        figures: dict[str, Any] = {
            "profile": profile.name,
            "clip": {"seconds": options.seconds, "size": options.size},
            "levels": found,
        }
        figures |= {"most_clips_per_second": max(each["clips_per_second"] for each in found)}
        figures |= {"saturated_at": at_once, "limited_by": reason}
        commit = {"commit": options.commit} if options.commit else {}
        console.print(f"written to {record(named('throughput', profile.name), figures | commit)}", highlight=False)
    return int(bool(not_ok))


if __name__ == "__main__":
    sys.exit(main())
