"""Time and memory over the length of the clip: twelve times the demo clip must take about twelve times as long.

The demo clip, and the same clip repeated to two minutes (`footage.write_repeated`), each analysed by a `reelscope
analyze` of its own with all analyzers, on one warm server of the cpu profile; an analysis of the short one goes first
and does not count. Exits with 1 when a second of the long clip takes more than 1.25 times as long as one of the short
one's, or some analyzer is not ok.

    python -m benchmarks.scaling                    a quarter of an hour on 2 quiet cores
    python -m benchmarks.scaling --times 2          the same steps on a shorter clip; writes nothing
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import DEMO, footage, machine, record
from benchmarks.analysis import MemoryWatch, resident_mb
from benchmarks.memory import measure
from reelscope import settings
from reelscope.embedded import EmbeddedServer

DEMO_SECONDS = 10.0
TIMES = 12
MAX_RATIO = 1.25


def analyses(lengths: tuple[float, ...], folder: Path) -> list[dict[str, Any]]:
    """What `memory.measure` tells of the demo clip repeated to each length, and the memory of the server."""
    found: list[dict[str, Any]] = []
    with EmbeddedServer(settings.profile("cpu")) as server:
        for seconds in lengths:
            clip = footage.write_repeated(folder / f"{len(found)}.mp4", DEMO, seconds)
            with MemoryWatch({"server": lambda: resident_mb(server.supervisor.pid)}) as watch:
                figures = measure(clip, seconds, server.grpc_url, None)
            pace = figures.wall_seconds / seconds
            found.append(asdict(figures) | {"seconds_per_clip_second": pace, "server": asdict(watch.found["server"])})
    return found


def table(found: list[dict[str, Any]]) -> Table:
    """One row per clip."""
    columns = ("clip s", "wall s", "s per s", "client MiB, peak", "server GB, peak", "results MB", "segments")
    shown = Table(*columns, title=f"the demo clip, longer and longer; {machine()}")
    for each in found:
        shown.add_row(
            f"{each['seconds']:g}",
            f"{each['wall_seconds']:.1f}",
            f"{each['seconds_per_clip_second']:.2f}",
            f"{each['peak_mib']:.0f}",
            f"{each['server']['peak_mb'] / 1000:.1f}",
            f"{each['results_mb']:.1f}",
            str(each["segments"]),
        )
    return shown


def main(arguments: list[str] | None = None) -> int:
    """Make the clips, analyse them, print the figures, write them down."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description="Time over the clip's length.")
    parser.add_argument("--times", type=int, default=TIMES, help=f"repetitions in the long clip (default: {TIMES})")
    times = parser.parse_args(arguments).times
    with tempfile.TemporaryDirectory() as folder:
        found = analyses((DEMO_SECONDS, DEMO_SECONDS, times * DEMO_SECONDS), Path(folder))[1:]
    short, long = (each["seconds_per_clip_second"] for each in found)
    console = Console()
    console.print(table(found))
    console.print(
        f"a second of the long clip takes {long / short:.3f} of the short one's (at most {MAX_RATIO:g} wanted)"
    )
    if times == TIMES:
        console.print(f"written to {record('scaling', {'ratio': long / short, 'figures': found})}", highlight=False)
    else:
        console.print("not the lengths that are compared: nothing is written")
    return 0 if long / short <= MAX_RATIO else 1


if __name__ == "__main__":
    sys.exit(main())
