"""A clip end to end, against the sum of its parts: how well decoding, inference and CPU work overlap.

Measured in one run on the server that serves the cpu profile: the whole analysis, the decode alone, and every source
alone on what was decoded before.

    python -m benchmarks.clip [CLIP]
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks import milliseconds, record
from reelscope import pipeline, settings
from reelscope.decode import Decoder
from reelscope.embedded import EmbeddedServer
from reelscope.inference import InferenceClient
from reelscope.sources import CPU_SOURCES, ENSEMBLE_SOURCES
from reelscope.sources.base import Source
from reelscope.types import ClipHeader, Deadline, Window

DEMO = Path(__file__).resolve().parents[1] / "tests" / "demo" / "clip.mp4"
REPEATS = 5


class _Plain:
    """A window in ordinary memory."""

    def __init__(self, height: int, width: int) -> None:
        self.array = np.empty((20, height, width, 3), np.uint8)

    def close(self) -> None:
        """Nothing to give back."""


def source_alone(make: Callable[[], Source], header: ClipHeader, parts: list, duration: float) -> Callable[[], object]:
    """Run one source on decoded pieces."""

    def run() -> object:
        source = make()
        source.start(header)
        for part in parts:
            if isinstance(part, source.consumes):
                source.push(part)
        return source.finish(duration)

    return run


def main(clip: Path) -> None:
    """Measure, print, write down."""
    profile, analyzers = settings.profile("cpu"), pipeline.select(None)
    figures = {}
    with EmbeddedServer(profile) as server, InferenceClient(server.grpc_url) as client:

        def whole() -> object:
            return pipeline.analyze(clip, analyzers=analyzers, profile=profile, client=client)

        def decode() -> list:
            with Decoder(clip, profile.base_frame_rate, _Plain) as decoder:
                return list(decoder)

        figures["whole analysis"] = milliseconds(whole, REPEATS, warm_up=1)
        figures["decode alone"] = milliseconds(decode, REPEATS, warm_up=1)
        with Decoder(clip, profile.base_frame_rate, client.allocate) as decoder:
            parts = list(decoder)
            duration = decoder.facts().duration_seconds
            for signal, make in CPU_SOURCES.items():
                call = source_alone(make, decoder.header, parts, duration)
                figures[f"{signal.__name__} alone"] = milliseconds(call, REPEATS, warm_up=1)
            for signal, make in ENSEMBLE_SOURCES.items():
                for window in parts:
                    if isinstance(window, Window):
                        window.retain()

                def asked(make: type = make) -> Source:
                    return make(client, Deadline(600))

                call = source_alone(asked, decoder.header, parts, duration)
                figures[f"{signal.__name__} alone"] = milliseconds(call, REPEATS, warm_up=1)
            for window in parts:
                if isinstance(window, Window):
                    window.release()
    total = figures["whole analysis"]["p50_ms"]
    alone = sum(figure["p50_ms"] for name, figure in figures.items() if name.endswith("alone"))
    table = Table("", "p50 ms", "min", "max", title=f"{clip.name}, {duration:.1f} s, {time.strftime('%Y-%m-%d')}")
    for name, figure in figures.items():
        table.add_row(name, *(f"{figure[key]:.0f}" for key in ("p50_ms", "min_ms", "max_ms")))
    console = Console()
    console.print(table)
    ratio, pace = total / alone, total / 1000 / duration
    console.print(f"the whole takes {ratio:.2f} of the sum of its parts, {pace:.2f} s per second of clip")
    about = {"clip": clip.name, "duration_s": duration, "whole_over_parts": ratio}
    path = record("clip", {**about, "figures": figures})
    console.print(f"written to {path}", highlight=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else DEMO)
