"""Peak memory of the client over the length of the clip: it must not grow with it.

A clip of one minute and one of ten, 1280x720 at 25 fps with the same pictures, each analysed by a `reelscope analyze`
of its own, with all analyzers, on one running server of the cpu profile. Exits with 1 when the long clip's peak is more
than 25 % above the short one's.

    python -m benchmarks.memory                             about ten minutes on 2 cores
    python -m benchmarks.memory --only a,b                  the analyzers named, such as those that listen
    python -m benchmarks.memory --seconds 5 10              the same steps on short clips; writes nothing

The peak is the resident set's: shared-memory windows count, the server does not.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks import footage, record
from benchmarks.analysis import analyze
from reelscope import settings
from reelscope.embedded import EmbeddedServer

SECONDS = (60.0, 600.0)
MAX_RATIO = 1.25
REPEATED_SECONDS = 10.0
"""Of footage that is encoded; the rest repeats it."""
BUDGET_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class Figures:
    """One analysis."""

    seconds: float
    """Of the clip."""
    peak_mib: float
    wall_seconds: float
    results_mb: float
    segments: int
    """Of all analyzers; untrained detectors make many, which are kept to the end."""
    statuses: dict[str, str]


def measure(clip: Path, seconds: float, url: str, only: str | None) -> Figures:
    """Analyse a clip.

    Raises:
        RuntimeError: some analyzer is not ok.
    """
    options = ["--timeout", str(BUDGET_SECONDS), *(["--only", only] if only else [])]
    run = analyze(clip, clip.with_suffix(""), url, *options)
    analyzers = (run.results() or {"analyzers": {}})["analyzers"]
    if run.exit_code or not analyzers or run.peak_mib is None:
        wrong = [f"{name}: {each['message']}" for name, each in analyzers.items() if each["status"] != "ok"]
        raise RuntimeError("\n".join([f"{clip.name}: reelscope analyze ended with {run.exit_code}", *wrong]))
    return Figures(
        seconds=seconds,
        peak_mib=run.peak_mib,
        wall_seconds=run.wall_seconds,
        results_mb=run.results_mb,
        segments=sum(len(found["segments"]) for found in analyzers.values()),
        statuses={name: found["status"] for name, found in analyzers.items()},
    )


def main(arguments: list[str] | None = None) -> int:
    """Make the clips, analyse them, print the figures, write them down."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description="Peak memory of the client.")
    parser.add_argument("--seconds", nargs=2, type=float, default=SECONDS, metavar=("SHORT", "LONG"))
    parser.add_argument("--only", metavar="ANALYZERS")
    options = parser.parse_args(arguments)
    lengths, only = tuple(options.seconds), options.only
    with tempfile.TemporaryDirectory() as folder, EmbeddedServer(settings.profile("cpu")) as server:
        source = footage.write_clip(
            Path(folder) / "once.mp4", width=1280, height=720, rate=25, seconds=REPEATED_SECONDS, preset="ultrafast"
        )
        figures = []
        for seconds in lengths:
            clip = footage.write_repeated(Path(folder) / f"{seconds:g}s.mp4", source, seconds)
            figures.append(measure(clip, seconds, server.grpc_url, only))
    ratio = figures[1].peak_mib / figures[0].peak_mib
    table = Table(
        "clip s",
        "peak MiB",
        "wall s",
        "results MB",
        "segments",
        title=f"the client, {only or 'all analyzers'}, 1280x720",
    )
    for figure in figures:
        table.add_row(
            f"{figure.seconds:g}",
            f"{figure.peak_mib:.0f}",
            f"{figure.wall_seconds:.0f}",
            f"{figure.results_mb:.1f}",
            str(figure.segments),
        )
    console = Console()
    console.print(table)
    console.print(f"the long clip takes {ratio:.3f} of the short one's memory (at most {MAX_RATIO:g} wanted)")
    if lengths == SECONDS:
        path = record(
            "memory_only" if only else "memory",
            {"only": only, "ratio": ratio, "figures": [asdict(figure) for figure in figures]},
        )
        console.print(f"written to {path}", highlight=False)
    else:
        console.print("not the lengths that are compared: nothing is written")
    return 0 if ratio <= MAX_RATIO else 1


if __name__ == "__main__":
    sys.exit(main())
