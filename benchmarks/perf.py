"""Every model and ensemble under NVIDIA's perf_analyzer, with a frame and the sound of the demo clip.

One request at a time, then two; for some ensembles, requests at growing rates as well, to see where a queue begins.
Figures go to results/perf.json and perf.csv, the curve to perf.svg. Inputs lie in a temporary folder; frames travel in
shared memory. The windows of perf_analyzer are accepted however much they differ: counts say what a figure rests on.

    make perf                                       the wheel with perf_analyzer, then all of it: 9 minutes on 2 cores
    python -m benchmarks.perf --only detections     print, write nothing
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks import RESULTS, record
from benchmarks.perf_analyzer import WINDOWS, Load, PerfAnalyzer, PerfAnalyzerFailed
from benchmarks.perf_inputs import DemoInputs, LeftOut
from reelscope import settings
from reelscope.embedded import EmbeddedServer
from reelscope.embedded.deployment import ServedModel
from reelscope.errors import ReelscopeError
from reelscope.inference import InferenceClient

WHEEL = settings.deployment_root() / "out" / "perf" / "tritonclient-2.50.0-py3-none-manylinux1_x86_64.whl"
CONCURRENCIES = (1, 2)
RATED = ("detections", "embeddings", "text_regions", "speech_activity")
"""Ensembles of which the curve is drawn."""
RATE_SHARES = (0.3, 0.6, 0.9, 1.2)
"""Of the requests per second that the ensemble answers with two at once."""
WINDOW_SECONDS = 0.6
MAX_REQUESTS_PER_WINDOW = 100
DEADLINE_SECONDS = 120.0

Loads = dict[str, list[Load]]


class Measuring:
    """A server's models, one by one."""

    def __init__(self, url: str, client: InferenceClient, analyzer: PerfAnalyzer) -> None:
        """Measure nothing yet."""
        self._url, self._client, self._analyzer = url, client, analyzer
        self._inputs = DemoInputs(client)

    def closed(self, model: ServedModel) -> list[Load]:
        """Loads at each of CONCURRENCIES."""
        inputs, seconds = self._warmed(model)
        return [
            self._measure(model, inputs, round(count * WINDOW_SECONDS / seconds), concurrency=count)[0]
            for count in CONCURRENCIES
        ]

    def rated(self, model: ServedModel, per_second: float) -> list[Load]:
        """Loads at each of RATE_SHARES of what it answers."""
        inputs, _ = self._warmed(model)
        rates = tuple(round(share * per_second, 2) for share in RATE_SHARES)
        return self._measure(model, inputs, round(rates[0] * 2 * WINDOW_SECONDS), rates=rates)

    def _warmed(self, model: ServedModel) -> tuple[Mapping[str, np.ndarray], float]:
        """Inputs, and the seconds that the second answer takes."""
        inputs = self._inputs.of(model.name, tuple(each["name"] for each in model.config["input"]))
        outputs = [each["name"] for each in model.config["output"]]
        for _ in range(2):
            began = time.monotonic()
            self._client.ask(model.name, inputs, outputs, DEADLINE_SECONDS).result()
        return inputs, time.monotonic() - began

    def _measure(self, model: ServedModel, inputs: Mapping[str, np.ndarray], count: int, **load: Any) -> list[Load]:
        return self._analyzer.measure(
            self._url,
            model.name,
            inputs,
            rows=1 if model.config.get("max_batch_size") else 0,
            requests_per_window=min(max(count, 2), MAX_REQUESTS_PER_WINDOW),
            shared_memory="frames" in inputs and not any(each.dtype == np.object_ for each in inputs.values()),
            **load,
        )


def measure_all(server: EmbeddedServer, only: set[str], console: Console) -> tuple[Loads, Loads, dict[str, str]]:
    """Loads by name at fixed concurrency and at rates, and what was left out, with the reason."""
    closed: Loads = {}
    rated: Loads = {}
    left_out = {name: str(error) for name, error in server.failed.items()}
    with tempfile.TemporaryDirectory() as folder, InferenceClient(server.grpc_url) as client:
        measuring = Measuring(server.grpc_url, client, PerfAnalyzer(WHEEL, Path(folder)))
        for model in server.models:
            if model.name in left_out or (only and model.name not in only):
                continue
            try:
                closed[model.name] = measuring.closed(model)
                if model.name in RATED:
                    rated[model.name] = measuring.rated(model, closed[model.name][-1].per_second)
                console.print(f"{model.name}: {closed[model.name][0].p50_ms:.1f} ms", highlight=False)
            except (LeftOut, PerfAnalyzerFailed, ReelscopeError) as error:
                left_out[model.name] = str(error)
                console.print(f"{model.name}: left out: {error}", highlight=False)
    return closed, rated, left_out


def table(loads: Loads, title: str) -> Table:
    """One row per model and load."""
    shown = Table("model", "load", "requests", "1/s", "p50 ms", "p95", "p99", "queue", "compute", title=title)
    for name, each in loads.items():
        for load in each:
            times = (load.p50_ms, load.p95_ms, load.p99_ms, load.queue_ms, load.compute_ms)
            shown.add_row(name, f"{load.load:g}", f"{load.requests}", f"{load.per_second:.1f}", *map(_short, times))
    return shown


def _short(milliseconds: float) -> str:
    return f"{milliseconds:.3g}" if milliseconds < 100 else f"{milliseconds:.0f}"


def write_csv(path: Path, closed: Loads, rated: Loads) -> None:
    """All figures in one table, RFC 4180."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["model", "kind", *Load.__dataclass_fields__])
        for kind, loads in (("concurrency", closed), ("requests per second", rated)):
            for name, each in loads.items():
                writer.writerows([name, kind, *asdict(load).values()] for load in each)


def draw(path: Path, rated: Loads) -> None:
    """Latency over rate."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "perf"})
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4), layout="constrained")
    for name, loads in rated.items():
        capacity = [load.load / (loads[0].load / RATE_SHARES[0]) for load in loads]
        (line,) = axes.plot(capacity, [load.p50_ms for load in loads], marker="o", label=f"{name} p50")
        axes.plot(capacity, [load.p95_ms for load in loads], linestyle="--", color=line.get_color(), label="p95")
    axes.set(xlabel="requests sent, of those answered with two at once", ylabel="latency, ms", yscale="log")
    axes.xaxis.set_major_formatter("{x:.0%}")
    axes.grid(alpha=0.3)
    figure.legend(fontsize="small", ncols=4, loc="outside upper center")
    figure.savefig(path, metadata={"Date": None})


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, write down."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.perf", description="Models under perf_analyzer.")
    parser.add_argument("--profile", default="cpu", choices=settings.profile_names())
    parser.add_argument("--only", default="", help="models and ensembles, separated by commas; nothing is written")
    options = parser.parse_args(arguments)
    only = set(filter(None, options.only.split(",")))
    console, profile = Console(width=120), settings.profile(options.profile)
    before = os.getloadavg()
    with EmbeddedServer(profile) as server:
        closed, rated, left_out = measure_all(server, only, console)
    console.print(table(closed, f"profile {profile.name}, requests under way at once"))
    console.print(table(rated, "requests sent per second"))
    for name, reason in left_out.items():
        console.print(f"left out: {name}: {reason}", highlight=False)
    if not only:
        figures = {
            "profile": profile.name,
            "windows": WINDOWS,
            "load_average": {"before": before, "after": os.getloadavg()},
            "concurrency": {name: [asdict(load) for load in each] for name, each in closed.items()},
            "requests_per_second": {name: [asdict(load) for load in each] for name, each in rated.items()},
            "left_out": left_out,
        }
        write_csv(RESULTS / "perf.csv", closed, rated)
        draw(RESULTS / "perf.svg", rated)
        console.print(f"written to {record('perf', figures)}", highlight=False, soft_wrap=True)
    return 0 if closed else 1


if __name__ == "__main__":
    sys.exit(main())
