"""Every model through Triton against the same graph without it, on the same request.

The requests are real: a clip is analysed, the largest request to every ensemble is kept, and run through the models
without Triton (`bare`), which shows what each model inside is asked. Each model is then asked that very thing in turns:
by the bare session or Python model here, and through the server, with frames in shared memory as clients have
them. What differs is transport, queue and copies.

- `ratio`: bare over served time, 1 where serving is free. Inputs under 1 MB: at least 0.85 is wanted.
- `overhead_ms_per_mb`: for models that take frames, what serving adds for each MB of input; at most 0.6 is wanted.

    python -m benchmarks.served_vs_raw                      the cpu profile, about five minutes on 2 cores
    python -m benchmarks.served_vs_raw --profile h200
    python -m benchmarks.served_vs_raw --only pose_yolov8,sound_events_ast --repeats 2       writes nothing

Writes benchmarks/results/served_vs_raw.json (of other profiles: served_vs_raw_PROFILE).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks import DEMO, interleaved, named, record, summary
from benchmarks.asking import DEADLINE_SECONDS
from benchmarks.bare import Arrays, BareModels
from reelscope import pipeline, settings
from reelscope.analyzers import ANALYZERS
from reelscope.embedded import EmbeddedServer
from reelscope.embedded.deployment import ServedModel
from reelscope.inference import InferenceClient, PendingAnswer
from reelscope.types import WINDOW_FRAMES, FrameBuffer

REPEATS = 10
SMALL_MB = 1.0
MIN_RATIO = 0.85
MAX_OVERHEAD_MS_PER_MB = 0.6
Request = tuple[dict[str, np.ndarray], list[str]]
"""Inputs by name, and the outputs wanted."""


class KeepingClient(InferenceClient):
    """Keeps a copy of the largest request to every ensemble.

    Attributes:
        kept: ensemble to its request.
    """

    def __init__(self, url: str) -> None:
        """Connect; nothing is kept yet."""
        super().__init__(url)
        self.kept: dict[str, Request] = {}

    def submit(
        self,
        model: str,
        buffer: FrameBuffer,
        rows: int,
        outputs: Sequence[str],
        timeout_seconds: float,
        inputs: Mapping[str, np.ndarray] | None = None,
    ) -> PendingAnswer:
        """As the client does."""
        self._keep(model, {"frames": buffer.array[:rows], **(inputs or {})}, outputs)
        return super().submit(model, buffer, rows, outputs, timeout_seconds, inputs)

    def ask(
        self, model: str, inputs: Mapping[str, np.ndarray], outputs: Sequence[str], timeout_seconds: float
    ) -> PendingAnswer:
        """As the client does."""
        self._keep(model, inputs, outputs)
        return super().ask(model, inputs, outputs, timeout_seconds)

    def _keep(self, model: str, inputs: Arrays, outputs: Sequence[str]) -> None:
        if model not in self.kept or size_mb(inputs) > size_mb(self.kept[model][0]):
            self.kept[model] = {name: array.copy() for name, array in inputs.items()}, list(outputs)


class WatchedModels(BareModels):
    """Bare models that keep the largest request that each of them was asked.

    Attributes:
        kept: model, or ensemble, to its request.
    """

    def __init__(self, models: Iterable[ServedModel]) -> None:
        """Nothing is kept yet."""
        super().__init__(models)
        self.kept: dict[str, Request] = {}

    def infer(self, name: str, inputs: Arrays, outputs: Iterable[str]) -> dict[str, np.ndarray]:
        """Answer, and keep the request if it is the largest so far."""
        wanted = list(outputs)
        if name not in self.kept or size_mb(inputs) > size_mb(self.kept[name][0]):
            self.kept[name] = dict(inputs), wanted
        return super().infer(name, inputs, wanted)


def size_mb(inputs: Arrays) -> float:
    """Size of a request's arrays; of strings only their pointers."""
    return sum(array.nbytes for array in inputs.values()) / 1e6


def requests_of(clip: Path, profile: settings.Profile, server: EmbeddedServer, url: str) -> dict[str, Request]:
    """What every model of a deployment is asked at most, when a clip is analysed."""
    with KeepingClient(url) as client:
        pipeline.analyze(clip, analyzers=ANALYZERS, profile=profile, client=client, budget_seconds=3600.0)
    watched = WatchedModels(server.models)
    for ensemble, (inputs, outputs) in client.kept.items():
        watched.infer(ensemble, inputs, outputs)
    ensembles = {model.name for model in server.models if model.steps}
    # A request about no face at all compares nothing.
    return {name: each for name, each in watched.kept.items() if name not in ensembles and size_mb(each[0])}


def compare(bare: BareModels, client: InferenceClient, model: str, request: Request, repeats: int) -> dict[str, Any]:
    """Times of one model, bare and served, in turns."""
    inputs, outputs = request
    window = _window(client, inputs)
    others = {name: array for name, array in inputs.items() if window is None or name != "frames"}

    def served() -> None:
        if window is None:
            client.ask(model, others, outputs, DEADLINE_SECONDS).result()
        else:
            client.submit(model, window, len(inputs["frames"]), outputs, DEADLINE_SECONDS, others).result()

    try:
        times = interleaved({"bare": lambda: bare.infer(model, inputs, outputs), "served": served}, repeats)
    finally:
        if window is not None:
            window.close()
    found = {name: summary(each) for name, each in times.items()}
    # The quickest of each: whatever else happens on the machine only adds.
    bare_ms, served_ms = found["bare"]["min_ms"], found["served"]["min_ms"]
    megabytes = size_mb(inputs)
    return found | {
        "input_mb": megabytes,
        "rows": max((len(array) for array in inputs.values()), default=0),
        "ratio": bare_ms / served_ms,
        "takes_frames": window is not None and megabytes >= SMALL_MB,
        "overhead_ms_per_mb": (served_ms - bare_ms) / megabytes,
    }


def _window(client: InferenceClient, inputs: Arrays) -> FrameBuffer | None:
    """The frames of a request in memory that the server can see; None when it has no frames of a window."""
    frames = inputs.get("frames")
    if frames is None or frames.ndim != 4 or len(frames) > WINDOW_FRAMES:
        return None
    window = client.allocate(*frames.shape[1:3])
    window.array[: len(frames)] = frames
    return window


def table(found: dict[str, dict[str, Any]]) -> Table:
    """One row per model."""
    shown = Table("model", "rows", "MB in", "bare ms", "served ms", "ratio", "ms per MB", title="served against bare")
    for name, each in found.items():
        shown.add_row(
            name,
            str(each["rows"]),
            f"{each['input_mb']:.2f}",
            f"{each['bare']['min_ms']:.1f}",
            f"{each['served']['min_ms']:.1f}",
            f"{each['ratio']:.2f}",
            f"{each['overhead_ms_per_mb']:.2f}" if each["takes_frames"] else "",
        )
    return shown


def verdict(found: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The worst of the small inputs and of those that take frames, and by which model."""
    small = {name: each["ratio"] for name, each in found.items() if each["input_mb"] < SMALL_MB}
    frames = {name: each["overhead_ms_per_mb"] for name, each in found.items() if each["takes_frames"]}
    return {
        "least_ratio_of_small": min(small.values(), default=None),
        "least_ratio_model": min(small, key=small.__getitem__, default=None),
        "most_overhead_ms_per_mb": max(frames.values(), default=None),
        "most_overhead_model": max(frames, key=frames.__getitem__, default=None),
    }


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, write down; 1 when a bound is missed."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.served_vs_raw", description="Triton against its graphs."
    )
    parser.add_argument("--profile", default="cpu", choices=settings.profile_names())
    parser.add_argument("--clip", type=Path, default=DEMO)
    parser.add_argument("--only", help="models, separated by commas; writes nothing")
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--commit", help="recorded where there is no git to ask")
    options = parser.parse_args(arguments)
    profile, console = settings.profile(options.profile), Console()
    with EmbeddedServer(profile) as server, InferenceClient(server.grpc_url) as client:
        requests = requests_of(options.clip, profile, server, server.grpc_url)
        bare = BareModels(server.models)
        wanted = options.only.split(",") if options.only else sorted(requests)
        found = {name: compare(bare, client, name, requests[name], options.repeats) for name in wanted}
        unasked = sorted(model.name for model in server.models if not model.steps and model.name not in requests)
    console.print(table(found))
    worst = verdict(found)
    console.print(f"inputs under {SMALL_MB:g} MB: {worst['least_ratio_model']} {worst['least_ratio_of_small']}")
    console.print(f"frames: {worst['most_overhead_model']} {worst['most_overhead_ms_per_mb']} ms per MB")
    console.print(f"asked by nobody in this clip: {', '.join(unasked) or 'none'}")
    if options.only or options.repeats != REPEATS or options.clip != DEMO:
        console.print("not everything that is compared: nothing is written")
    else:
        commit = {"commit": options.commit} if options.commit else {}
        figures = {"profile": profile.name, "models": found, "unasked": unasked, **worst, **commit}
        console.print(f"written to {record(named('served_vs_raw', profile.name), figures)}", highlight=False)
    ratio, overhead = worst["least_ratio_of_small"], worst["most_overhead_ms_per_mb"]
    return int((ratio or 1) < MIN_RATIO or (overhead or 0) > MAX_OVERHEAD_MS_PER_MB)


if __name__ == "__main__":
    sys.exit(main())
