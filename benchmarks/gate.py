"""A gate against getting slower: quick ratios on the CPU, held to those that were recorded last.

Absolute times differ from machine to machine and from hour to hour; ratios of two things that are measured in turns do
so much less. Each ratio is better the larger it is; one that falls by more than 15 % is measured again, once, and fails
when it has fallen again.

- transport: frames inside requests over frames in shared memory (`transport`);
- speech: `whisper.transcribe` over the ensemble `speech` on half a minute of speech (`speech`);
- served: bare over served time, the geometric mean of the models that a clip asks (`served_vs_raw`);
- end_to_end: the predecessor's way over the system, on a small clip of four seconds (`end_to_end`).

    python -m benchmarks.gate                           ten minutes on 2 quiet cores; `make bench-gate`
    python -m benchmarks.gate --only transport
    python -m benchmarks.gate --record                  these are the ratios from now on: benchmarks/results/gate.json

Exits with 1 when a ratio has fallen, 2 when there is nothing recorded to hold it to.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks import DEMO, RESULTS, end_to_end, footage, machine, record, served_vs_raw, speech, transport
from benchmarks.bare import BareModels
from reelscope import settings
from reelscope.embedded import EmbeddedServer
from reelscope.inference import InferenceClient

MAX_FALL = 0.15
REPEATS = 3
SECONDS, WIDTH, HEIGHT = 4.0, 360, 640


def _transport() -> float:
    figures = transport.measure(10 * REPEATS)
    return figures["inline"]["min_ms"] / figures["shared memory"]["min_ms"]


def _speech() -> float:
    return speech.quick_ratio(REPEATS)


def _served() -> float:
    profile = settings.profile("cpu")
    with EmbeddedServer(profile) as server, InferenceClient(server.grpc_url) as client:
        requests = served_vs_raw.requests_of(DEMO, profile, server, server.grpc_url)
        bare = BareModels(server.models)
        found = [served_vs_raw.compare(bare, client, name, each, REPEATS) for name, each in requests.items()]
    return statistics.geometric_mean(each["ratio"] for each in found)


def _end_to_end() -> float:
    with tempfile.TemporaryDirectory() as folder:
        clip = footage.write_clip(Path(folder) / "clip.mp4", width=WIDTH, height=HEIGHT, rate=30, seconds=SECONDS)
        found = end_to_end.measure(clip, settings.profile("cpu"), "cpu", REPEATS)
    return float(found["times_as_fast"]["median"])


RATIOS: Mapping[str, Callable[[], float]] = {
    "transport": _transport,
    "speech": _speech,
    "served": _served,
    "end_to_end": _end_to_end,
}


def has_fallen(measured: float, recorded: float) -> bool:
    """Whether a ratio is more than MAX_FALL below what it was."""
    return measured < (1 - MAX_FALL) * recorded


def hold(recorded: Mapping[str, float], measure: Mapping[str, Callable[[], float]]) -> dict[str, tuple[float, bool]]:
    """Measure what is recorded; a ratio that has fallen gets a second try, and the better one counts.

    Returns:
        Name to the ratio and whether it holds.
    """
    found = {}
    for name, call in measure.items():
        ratio = call()
        if has_fallen(ratio, recorded[name]):
            ratio = max(ratio, call())
        found[name] = ratio, not has_fallen(ratio, recorded[name])
    return found


def table(found: Mapping[str, tuple[float, bool]], recorded: Mapping[str, float]) -> Table:
    """One row per ratio."""
    shown = Table(
        "ratio", "recorded", "measured", "change", "", title=f"at most {MAX_FALL:.0%} below what was recorded"
    )
    for name, (ratio, holds) in found.items():
        change = f"{ratio / recorded[name] - 1:+.0%}"
        shown.add_row(name, f"{recorded[name]:.2f}", f"{ratio:.2f}", change, "" if holds else "[red]FALLEN[/]")
    return shown


def main(arguments: list[str] | None = None) -> int:
    """Hold the ratios, or record them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gate", description="Has anything become slower?")
    parser.add_argument("--only", help=f"ratios, separated by commas: {', '.join(RATIOS)}")
    parser.add_argument("--record", action="store_true", help="measure, and hold later runs to it")
    options = parser.parse_args(arguments)
    names = options.only.split(",") if options.only else list(RATIOS)
    if unknown := [name for name in names if name not in RATIOS]:
        parser.error(f"no ratio named {', '.join(unknown)}; there are: {', '.join(RATIOS)}")
    console, file = Console(), RESULTS / "gate.json"
    before = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {"ratios": {}}
    if options.record:
        ratios = before["ratios"] | {name: RATIOS[name]() for name in names}
        console.print(f"written to {record('gate', {'ratios': ratios})}", highlight=False)
        return 0
    if missing := [name for name in names if name not in before["ratios"]]:
        console.print(f"nothing is recorded of {', '.join(missing)}: python -m benchmarks.gate --record")
        return 2
    found = hold(before["ratios"], {name: RATIOS[name] for name in names})
    console.print(table(found, before["ratios"]))
    console.print(f"recorded on {before['machine']} at {before['commit']}; this is {machine()}")
    return int(not all(holds for _, holds in found.values()))


if __name__ == "__main__":
    sys.exit(main())
