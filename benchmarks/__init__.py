"""Benchmarks: run with `make bench`; figures go to benchmarks/results/ with the machine they were taken on."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


def milliseconds(call: Callable[[], object], repeats: int, warm_up: int = 2) -> dict[str, float]:
    """Median, smallest and largest wall time of a call in ms."""
    for _ in range(warm_up):
        call()
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        call()
        times.append(1000 * (time.perf_counter() - began))
    return {"p50_ms": statistics.median(times), "min_ms": min(times), "max_ms": max(times), "repeats": repeats}


def record(name: str, figures: dict[str, Any]) -> Path:
    """Write figures with machine, date and commit."""
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False, cwd=RESULTS.parent
    ).stdout.strip()
    about = {
        "machine": f"{_processor()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
        "date": datetime.now(UTC).date().isoformat(),
        "commit": commit or None,
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps({**about, **figures}, indent=1) + "\n", encoding="utf-8")
    return path


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
