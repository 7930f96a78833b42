"""All analyzers on one clip, end to end, against the sum of its parts and a plain script of upstream libraries.

The clip is 10 s of 1080x1920 at 30 fps (see `footage`); the server of the cpu profile is running and warm. Measured in
one run, taking turns:

- the whole analysis;
- its parts, one after the other: one decode; every model as a bare onnxruntime session, with the same graph, settings,
  frames and batches; every CPU source alone. The whole may take 1.25 times their sum: more is what serving, queues and
  analyzers cost beyond what overlaps.
- every ensemble's source alone, served: what the server adds to the bare model, and the client makes of its answers;
- the plain script (see `upstream`).

    python -m benchmarks.end_to_end                         about ten minutes on 2 cores
    python -m benchmarks.end_to_end --clip X --repeats 1    another clip, of constant frame rate; writes nothing

Exits with 1 when the bound is broken.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import footage, interleaved, record, summary, upstream
from reelscope import pipeline, settings
from reelscope.analyzers import ANALYZERS
from reelscope.decode import Decoder
from reelscope.embedded import EmbeddedServer
from reelscope.embedded.deployment import ServedModel
from reelscope.inference import InferenceClient
from reelscope.signals import Signal
from reelscope.sources import CPU_SOURCES, ENSEMBLE_SOURCES
from reelscope.sources.base import Source
from reelscope.sources.ensemble import EnsembleSource
from reelscope.types import ClipHeader, Deadline, Window
from reelscope_export import paths, weights

MAX_RATIO = 1.25
REPEATS = 5
WIDTH, HEIGHT, FRAME_RATE, SECONDS = 1080, 1920, 30, 10.0
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
    """Run one source on what was decoded before."""
    source = make()
    source.start(header)
    try:
        for part in parts:
            if isinstance(part, source.consumes):
                source.push(part)
        return source.finish(duration_seconds)
    finally:
        source.close()


def bare(model: ServedModel, source: type[EnsembleSource], windows: Sequence[Window]) -> Call:
    """Run a model's graph on the frames and batches that its source sends, in a session as the server opens it."""
    sys.path.append(str(settings.deployment_root() / "server" / "backends" / "onnxruntime"))
    from ort_session import open_session, run_options

    graph = model.folder / model.versions[-1] / model.file_name
    session, options = open_session(model.config, model.name, graph, None), run_options(model.config)
    outputs = [*source.outputs, "provenance"]

    def run() -> None:
        for window in windows:
            if rows := window.row_count(source.divisor):
                session.run(outputs, {"frames": window.buffer.array[:rows]}, options)

    return run


def checkpoint(sha256: str | None) -> Path:
    """The file of weights that a served model was built from.

    Raises:
        FileNotFoundError: it is not in the cache.
    """
    for file in paths.weights_folder().rglob("*"):
        if file.is_file() and weights.file_sha256(file) == sha256:
            return file
    raise FileNotFoundError(f"no weights with SHA-256 {sha256} in {paths.weights_folder()}; build the models again")


def measure(clip: Path, repeats: int) -> dict[str, Any]:
    """Times of the whole, its parts, and the plain script, in ms."""
    profile = settings.profile("cpu")
    with EmbeddedServer(profile) as server, InferenceClient(server.grpc_url) as client:
        served = {model.name: model for model in server.models}
        with Decoder(clip, profile.base_frame_rate, client.allocate, luma=True) as decoder:
            parts = list(decoder)
            header, duration_seconds = decoder.header, decoder.facts().duration_seconds
        windows = [part for part in parts if isinstance(part, Window)]
        part_calls: dict[str, Call] = {DECODE: lambda: decode(clip, profile, client)}
        served_calls: dict[str, Call] = {}
        weights_of, threads = {}, 1
        for kind in SIGNALS:
            if kind in CPU_SOURCES:
                make = CPU_SOURCES[kind]
                part_calls[kind.signal_name()] = lambda make=make: alone(make, header, parts, duration_seconds)
                continue
            source = ENSEMBLE_SOURCES[kind]
            model = served[source.model]

            def ask(source: type[EnsembleSource] = source) -> Signal:
                return alone(lambda: source(client, Deadline(DEADLINE_SECONDS)), header, parts, duration_seconds)

            part_calls[f"{kind.signal_name()}: bare {model.name}"] = bare(model, source, windows)
            served_calls[f"{kind.signal_name()}: served"] = ask
            weights_of[kind] = checkpoint(ask().models[0].sha256)
            threads = int(model.config["parameters"]["intra_op_thread_count"]["string_value"])
        plain = upstream.tasks(clip, header.base_frame_rate, weights_of, threads)
        plain_calls = {f"{kind.signal_name()}: plain": plain[kind] for kind in SIGNALS if kind in plain}

        def whole() -> object:
            return pipeline.analyze(
                clip, analyzers=ANALYZERS, profile=profile, client=client, budget_seconds=DEADLINE_SECONDS
            )

        times = interleaved({WHOLE: whole, **part_calls, **served_calls, **plain_calls}, repeats)
        for window in windows:
            window.release()
    return {
        "duration_seconds": duration_seconds,
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
    with tempfile.TemporaryDirectory() as folder:
        clip = options.clip or footage.write_clip(
            Path(folder) / "footage.mp4", width=WIDTH, height=HEIGHT, rate=FRAME_RATE, seconds=SECONDS
        )
        times = measure(clip, options.repeats)
        size_mb = clip.stat().st_size / 1e6
    over_parts, over_plain = ratio(times["whole"], times["parts"]), ratio(times["whole"], times["plain"])
    console = Console()
    title = f"{clip.name}, {times['duration_seconds']:.1f} s, {size_mb:.1f} MB, {len(ANALYZERS)} analyzers"
    console.print(table(times, title))
    pace = statistics.median(times["whole"]) / 1000 / times["duration_seconds"]
    console.print(f"the whole takes {over_parts:.2f} of the sum of its parts (at most {MAX_RATIO:g} wanted)")
    console.print(f"and {over_plain:.2f} of a plain script's time; {pace:.2f} s per second of clip")
    if options.clip or options.repeats != REPEATS:
        console.print("not the clip or repeats that are compared: nothing is written")
    else:
        figures = {
            "clip": {"size": [WIDTH, HEIGHT], "frame_rate": FRAME_RATE, "seconds": SECONDS, "mb": size_mb},
            "analyzers": [analyzer.name for analyzer in ANALYZERS],
            "whole_over_parts": over_parts,
            "whole_over_plain_script": over_plain,
            "seconds_per_clip_second": pace,
            "without_plain": times["without_plain"],
            "whole": summary(times["whole"]),
        }
        for group in ("parts", "served", "plain"):
            figures[group] = {name: summary(measured) for name, measured in times[group].items()}
        console.print(f"written to {record('end_to_end', figures)}", highlight=False)
    return 0 if over_parts <= MAX_RATIO else 1


if __name__ == "__main__":
    sys.exit(main())
