"""All analyzers on one clip, end to end, against the sum of its parts and a plain script of upstream libraries.

The clip is the demo clip, 10 s of 720x1280 at 30 fps; the server of the cpu profile is running and warm. Measured in
one run, taking turns:

- the whole analysis;
- its parts, one after the other: one decode; every ensemble's models without Triton (see `bare`), with the same graphs,
  settings, frames and batches; every CPU source alone. The whole may take 1.25 times their sum: more is what serving,
  queues and analyzers cost beyond what overlaps.
- every ensemble's source alone, served: what the server adds to the bare model, and the client makes of its answers;
- the plain script (see `upstream`).

    python -m benchmarks.end_to_end                         about a quarter of an hour on 2 cores
    python -m benchmarks.end_to_end --clip X --repeats 1    another clip, of constant frame rate; writes nothing

Exits with 1 when the bound is broken.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks import DEMO, checkpoint, interleaved, record, summary, upstream
from benchmarks.analysis import resident_mb
from benchmarks.bare import BareModels
from reelscope import pipeline, settings
from reelscope.analyzers import ANALYZERS
from reelscope.decode import Decoder
from reelscope.embedded import EmbeddedServer
from reelscope.inference import InferenceClient, PendingAnswer
from reelscope.signals import Signal
from reelscope.sources import CPU_SOURCES, ENSEMBLE_SOURCES, source_of
from reelscope.sources.base import Source
from reelscope.types import ClipHeader, Deadline, FrameBuffer, ModelProvenance, Window

MAX_RATIO = 1.25
MAX_SERVER_GB = 8.0
THREADS = 2
"""Of the plain script's libraries, as many as every served model has."""
REPEATS = 2
DEADLINE_SECONDS = 3600.0

WHOLE = "the whole analysis"
DECODE = "one decode"
SIGNALS = sorted(
    {kind for analyzer in ANALYZERS for kind in (*analyzer.requires, *analyzer.uses)},
    key=lambda kind: kind.signal_name(),
)
"""What the analyzers read."""

Call = Callable[[], object]


def decode(clip: Path, profile: settings.Profile, client: InferenceClient) -> None:
    """Decode a clip as the pipeline does, and give every piece back at once."""
    with Decoder(clip, profile.base_frame_rate, client.allocate, luma=True) as decoder:
        for part in decoder:
            if isinstance(part, Window):
                part.release()


def alone(make: Callable[[], Source[Any]], header: ClipHeader, parts: Sequence[Any], duration_seconds: float) -> Signal:
    """Run one source on what was decoded, or emitted, before."""
    source = make()
    source.start(header)
    try:
        for part in parts:
            if isinstance(part, source.consumes):
                source.push(part)
        return source.finish(duration_seconds)
    finally:
        source.close()


def is_fed_to_others(kind: type[Signal]) -> bool:
    """Whether some source consumes this signal, once it is complete."""
    consumed = (source_of(other).consumes for other in SIGNALS)
    return any(kind in kinds for kinds in consumed if isinstance(kinds, tuple))


class Asked:
    """A client that remembers what it was asked, so that it can be asked again without Triton."""

    def __init__(self, client: InferenceClient) -> None:
        """Pass everything on to `client`."""
        self._client = client
        self.requests: list[tuple[str, dict[str, np.ndarray], list[str]]] = []

    def submit(
        self,
        model: str,
        buffer: FrameBuffer,
        rows: int,
        outputs: Sequence[str],
        timeout_seconds: float,
        inputs: Mapping[str, np.ndarray],
    ) -> PendingAnswer:
        """Ask and remember; the frames stay where they are."""
        self.requests.append((model, {"frames": buffer.array[:rows], **inputs}, list(outputs)))
        return self._client.submit(model, buffer, rows, outputs, timeout_seconds, inputs)

    def ask(
        self, model: str, inputs: Mapping[str, np.ndarray], outputs: Sequence[str], timeout_seconds: float
    ) -> PendingAnswer:
        """Ask about arrays and remember."""
        self.requests.append((model, dict(inputs), list(outputs)))
        return self._client.ask(model, inputs, outputs, timeout_seconds)

    def provenance(self, text: bytes, model: str, ensemble: str) -> ModelProvenance:
        """As the client says."""
        return self._client.provenance(text, model, ensemble)


def emitted(kind: type[Signal], client: Asked, header: ClipHeader, parts: Sequence[Any]) -> tuple[list[Any], Signal]:
    """What a source that asks the server passes on to those that need it, and its signal."""
    found: list[Any] = []

    def listening() -> Source[Any]:
        source = ENSEMBLE_SOURCES[kind](client, Deadline(DEADLINE_SECONDS))  # type: ignore[arg-type]
        if any(kind in source_of(other).needs for other in SIGNALS):
            source.listeners.append(found.append)
        return source

    return found, alone(listening, header, parts, header.stated_seconds or 0.0)


def measure(clip: Path, repeats: int) -> dict[str, Any]:
    """Times of the whole, its parts, and the plain script, in ms."""
    profile = settings.profile("cpu")
    with EmbeddedServer(profile) as server, InferenceClient(server.grpc_url) as client:
        assert not server.failed, server.failed
        with Decoder(clip, profile.base_frame_rate, client.allocate, luma=True) as decoder:
            parts = list(decoder)
            header = replace(decoder.header, short_sound_windows=profile.short_sound_windows)
            duration_seconds = decoder.facts().duration_seconds
        windows = [part for part in parts if isinstance(part, Window)]
        part_calls: dict[str, Call] = {DECODE: lambda: decode(clip, profile, client)}
        served_calls: dict[str, Call] = {}
        bare_models, weights_of = BareModels(server.models), {}
        # Those that others feed come last: what they are fed with is part of `parts` by then.
        for kind in sorted(SIGNALS, key=lambda kind: bool(source_of(kind).needs)):
            if kind in CPU_SOURCES:
                make = CPU_SOURCES[kind]
                if make.needs:  # what it is fed with came from models
                    models = alone(make, header, parts, duration_seconds).models
                    weights_of |= {model.name: checkpoint(model.sha256) for model in models}
                elif is_fed_to_others(kind):
                    parts.append(alone(make, header, parts, duration_seconds))
                part_calls[kind.signal_name()] = lambda make=make: alone(make, header, parts, duration_seconds)
                continue
            asked = Asked(client)
            passed_on, signal = emitted(kind, asked, header, parts)
            parts.extend([*passed_on, signal])

            def replay(requests: list[Any] = asked.requests) -> None:
                for request in requests:
                    bare_models.infer(*request)

            def ask(kind: type[Signal] = kind) -> Signal:
                return emitted(kind, Asked(client), header, parts)[1]

            name = f"{kind.signal_name()}: {ENSEMBLE_SOURCES[kind].ensemble}"
            part_calls[f"{name}, bare"], served_calls[f"{name}, served"] = replay, ask
            weights_of |= {model.name: checkpoint(model.sha256) for model in signal.models}
        plain = upstream.tasks(clip, header.base_frame_rate, weights_of, THREADS)
        plain_calls = {f"{kind.signal_name()}: plain": plain[kind] for kind in SIGNALS if kind in plain}

        def whole() -> object:
            return pipeline.analyze(
                clip, analyzers=ANALYZERS, profile=profile, client=client, budget_seconds=DEADLINE_SECONDS
            )

        times = interleaved({WHOLE: whole, **part_calls, **served_calls, **plain_calls}, repeats)
        server_mb = resident_mb(server.supervisor.pid)
        for window in windows:
            window.release()
    return {
        "duration_seconds": duration_seconds,
        "server_mb": server_mb,
        "whole": times[WHOLE],
        "parts": {name: times[name] for name in part_calls},
        "served": {name: times[name] for name in served_calls},
        "plain": {name: times[name] for name in plain_calls},
        "without_plain": [kind.signal_name() for kind in SIGNALS if kind not in plain],
    }


def ratio(whole: Sequence[float], parts: dict[str, list[float]]) -> float:
    """The whole over the sum of its parts: the median of the turns, because times of one turn are alike."""
    return statistics.median(time / sum(turn) for time, *turn in zip(whole, *parts.values(), strict=True))


def table(times: dict[str, Any], title: str) -> Table:
    """One row per measurement, and the sums."""

    def row(name: str, measured: Sequence[float], style: str | None = None) -> None:
        shown.add_row(name, *(f"{summary(measured)[key]:.0f}" for key in ("p50_ms", "min_ms", "max_ms")), style=style)

    shown = Table("", "p50 ms", "min", "max", title=title)
    row(WHOLE, times["whole"], "bold")
    for group, total in (("parts", "sum of the parts"), ("served", None), ("plain", "sum of the plain script")):
        shown.add_section()
        for name, measured in times[group].items():
            row(name, measured)
        if total:
            row(total, [sum(turn) for turn in zip(*times[group].values(), strict=True)], "bold")
    return shown


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, write down."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.end_to_end", description="A clip end to end.")
    parser.add_argument("--clip", type=Path)
    parser.add_argument("--repeats", type=int, default=REPEATS)
    options = parser.parse_args(arguments)
    clip = options.clip or DEMO
    times = measure(clip, options.repeats)
    size_mb = clip.stat().st_size / 1e6
    over_parts, over_plain = ratio(times["whole"], times["parts"]), ratio(times["whole"], times["plain"])
    console = Console()
    title = f"{clip.name}, {times['duration_seconds']:.1f} s, {size_mb:.1f} MB, {len(ANALYZERS)} analyzers"
    console.print(table(times, title))
    pace = statistics.median(times["whole"]) / 1000 / times["duration_seconds"]
    console.print(f"the whole takes {over_parts:.2f} of the sum of its parts (at most {MAX_RATIO:g} wanted)")
    console.print(f"all models together hold {times['server_mb'] / 1000:.1f} GB (at most {MAX_SERVER_GB:g} wanted)")
    console.print(f"and {over_plain:.2f} of a plain script's time; {pace:.2f} s per second of clip")
    if options.clip or options.repeats != REPEATS:
        console.print("not the clip or repeats that are compared: nothing is written")
    else:
        figures = {
            "clip": {"name": clip.name, "seconds": times["duration_seconds"], "mb": size_mb},
            "analyzers": [analyzer.name for analyzer in ANALYZERS],
            "whole_over_parts": over_parts,
            "whole_over_plain_script": over_plain,
            "seconds_per_clip_second": pace,
            "server_mb": times["server_mb"],
            "without_plain": times["without_plain"],
            "whole": summary(times["whole"]),
        }
        for group in ("parts", "served", "plain"):
            figures[group] = {name: summary(measured) for name, measured in times[group].items()}
        console.print(f"written to {record('end_to_end', figures)}", highlight=False)
    return 0 if over_parts <= MAX_RATIO and times["server_mb"] <= 1000 * MAX_SERVER_GB else 1


if __name__ == "__main__":
    sys.exit(main())
