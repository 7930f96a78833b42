"""Benchmarks: run with `make bench`; figures go to benchmarks/results/ with the machine they were taken on."""

from __future__ import annotations

import functools
import importlib.metadata
import json
import math
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
DEMO = Path(__file__).parents[1] / "tests" / "demo" / "clip.mp4"
"""Ten seconds of which the truth is known."""


def milliseconds(
    call: Callable[[], object], repeats: int, *, warm_up: int = 2, most_seconds: float = math.inf
) -> dict[str, float]:
    """Median, smallest and largest wall time of a call in ms; fewer repeats, but one, when they take too long."""
    for _ in range(warm_up):
        call()
    began, times = time.perf_counter(), [timed(call)]
    while len(times) < repeats and time.perf_counter() - began < most_seconds:
        times.append(timed(call))
    return summary(times)


def interleaved(calls: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    """Wall times in ms of every call; the calls take turns, so that a machine that slows down slows all of them.

    One turn goes first to warm up, and does not count.
    """
    turns = [{name: timed(call) for name, call in calls.items()} for _ in range(repeats + 1)]
    return {name: [turn[name] for turn in turns[1:]] for name in calls}


def summary(times_ms: Sequence[float]) -> dict[str, float]:
    """Median, smallest and largest of wall times in ms."""
    return {
        "p50_ms": statistics.median(times_ms),
        "min_ms": min(times_ms),
        "max_ms": max(times_ms),
        "repeats": len(times_ms),
    }


def timed(call: Callable[[], object]) -> float:
    """Wall time of a call in ms."""
    began = time.perf_counter()
    call()
    return 1000 * (time.perf_counter() - began)


def record(name: str, figures: dict[str, Any], folder: Path | None = None) -> Path:
    """Write figures with machine, date and commit to `name`.json in a folder, that of the committed results if none."""
    folder = folder or RESULTS
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False, cwd=RESULTS.parent
    ).stdout.strip()
    about = {
        "machine": machine(),
        "python": platform.python_version(),
        "date": datetime.now(UTC).date().isoformat(),
        "commit": commit or None,
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    path.write_text(json.dumps({**about, **figures}, indent=1) + "\n", encoding="utf-8")
    return path


def named(name: str, profile: str) -> str:
    """Name of a file of figures: those of the cpu profile have none of their own."""
    return name if profile == "cpu" else f"{name}_{profile}"


def checkpoint(sha256: str | None) -> Path:
    """The file of weights that a served model was built from.

    Raises:
        FileNotFoundError: it is neither in the cache nor in a package that brings weights.
    """
    from reelscope_export import paths, weights

    entries = [entry for variants in weights.read_manifest().values() for entry in variants.values() if entry.package]
    packaged = [Path(str(importlib.metadata.distribution(each.package).locate_file(each.file))) for each in entries]
    for file in (*packaged, *paths.weights_folder().rglob("*")):
        if file.is_file() and _sha256(file, file.stat().st_mtime_ns) == sha256:
            return file
    raise FileNotFoundError(f"no weights with SHA-256 {sha256} in {paths.weights_folder()}; build the models again")


@functools.cache
def _sha256(file: Path, changed_ns: int) -> str:
    from reelscope_export import weights

    return weights.file_sha256(file)


def machine() -> str:
    """What figures were taken on: the processor, the first GPU if there is one, and MPS if processes share it."""
    return ", ".join([f"{_processor()}, {os.cpu_count()} cores", *_gpu(), *_mps()])


def _gpu() -> list[str]:
    command = ["nvidia-smi", "-i", "0", "--query-gpu=name", "--format=csv,noheader"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    except (FileNotFoundError, subprocess.CalledProcessError):
        return []


def _mps() -> list[str]:
    """CUDA's Multi-Process Service, if its daemon answers."""
    try:
        asked = subprocess.run(
            ["nvidia-cuda-mps-control"],
            input="get_server_list\n",
            capture_output=True,
            text=True,
            check=False,
            timeout=10,  # seconds; a daemon that hangs must not cost the figures
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [] if asked.returncode else ["MPS"]


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
