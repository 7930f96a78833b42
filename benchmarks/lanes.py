"""Where the time of a clip goes: what every part was at work for, which threads computed, what the models did.

The clip of `end_to_end` is analysed twice to warm up, then `--repeats` times; the fastest turn is shown:

- lanes: decoder, sources, calls of the server and analyzers: for how long each was at work, from when to when;
- threads of the client by name: CPU seconds. FFmpeg names its own; `python` are those of OpenCV, BLAS and gRPC;
- models, by Triton's statistics: rows, executions, and the time that they computed and that requests waited.

What could be set otherwise can be tried: --opencv-threads, --blas-threads and
--switch-milliseconds, the time after which one Python thread has to let another run.

    python -m benchmarks.lanes
    python -m benchmarks.lanes --profile h200 --blas-threads 16 --switch-milliseconds 0.5

Prints, and writes nothing: for people who look for what to make faster.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import threading
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import cv2
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits

from benchmarks import footage
from benchmarks.end_to_end import HEIGHT, SECONDS, WIDTH
from benchmarks.observed import TICKS_PER_SECOND, Observation, ObservedClient, Span, analyze
from reelscope import settings
from reelscope.analyzers import ANALYZERS
from reelscope.embedded import EmbeddedServer
from reelscope.inference.observation import ModelWork, Observer
from reelscope.processes import prepare_for_analysis

SAMPLE_SECONDS = 0.1
"""Between two looks at the threads; one that lives shorter is not seen."""


class ThreadWatch:
    """CPU time of every thread of this process during a block.

    Attributes:
        seconds: name to CPU seconds of all threads of that name, most first.
        counts: name to the number of such threads.
    """

    def __init__(self) -> None:
        """Nothing is watched yet."""
        self.seconds: dict[str, float] = {}
        self.counts: dict[str, int] = {}
        self._before: dict[int, float] = {}
        self._last: dict[int, tuple[str, float]] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample, name="ThreadWatch", daemon=True)

    def __enter__(self) -> Self:
        """Begin."""
        self._before = {thread: seconds for thread, _, seconds in _threads()}
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Look a last time, and sum up by name."""
        self._ended.set()
        self._thread.join()
        self._look()
        seconds: dict[str, float] = defaultdict(float)
        counts = Counter[str]()
        for thread, (name, spent) in self._last.items():
            if gained := spent - self._before.get(thread, 0.0):
                seconds[name] += gained
                counts[name] += 1
        self.seconds = dict(sorted(seconds.items(), key=lambda each: -each[1]))
        self.counts = dict(counts)

    def _sample(self) -> None:
        while not self._ended.wait(SAMPLE_SECONDS):
            self._look()

    def _look(self) -> None:
        named = {thread.native_id: thread.name for thread in threading.enumerate()}
        for thread, name, seconds in _threads():
            known = self._last.get(thread)
            self._last[thread] = named.get(thread) or (known[0] if known else name), seconds


def _threads() -> Iterable[tuple[int, str, float]]:
    """Id, the system's name and CPU seconds of every thread of this process.

    The id is the one that the thread itself sees: in a container /proc may be that of the machine, which counts others.
    """
    for folder in Path("/proc/self/task").iterdir():
        try:
            line = (folder / "stat").read_text(encoding="utf-8")
            status = (folder / "status").read_text(encoding="utf-8")
        except (FileNotFoundError, ProcessLookupError):
            continue
        name, _, fields = line.partition("(")[2].rpartition(")")
        own = re.search(r"^NSpid:.*\b(\d+)$", status, re.MULTILINE)
        yield int(own[1] if own else folder.name), name, sum(map(int, fields.split()[11:13])) / TICKS_PER_SECOND


def lanes_table(spans: Sequence[Span]) -> Table:
    """One row per lane, in the order in which they ended."""
    shown = Table("what", "lane", "pieces", "at work s", "from s", "to s")
    lanes: dict[tuple[str, str], list[Span]] = {}
    for span in spans:
        lanes.setdefault((span.kind, span.lane), []).append(span)
    for (kind, lane), own in sorted(lanes.items(), key=lambda item: max(span.end_seconds for span in item[1])):
        busy = sum(span.end_seconds - span.start_seconds for span in own)
        first, last = min(span.start_seconds for span in own), max(span.end_seconds for span in own)
        shown.add_row(kind, lane, str(len(own)), f"{busy:.2f}", f"{first:.2f}", f"{last:.2f}")
    return shown


def threads_table(watch: ThreadWatch) -> Table:
    """One row per name of threads that took a hundredth of a second or more."""
    shown = Table("threads", "number", "CPU s")
    for name, seconds in watch.seconds.items():
        if seconds >= 0.01:
            shown.add_row(name, str(watch.counts[name]), f"{seconds:.2f}")
    return shown


def models_table(before: Iterable[ModelWork], after: Iterable[ModelWork]) -> Table:
    """One row per model that was asked in between; times are sums over its requests."""
    shown = Table("model", "requests", "rows", "executions", "computed s", "waited s", "in and out s")
    known = {each.name: each for each in before}
    for each in after:
        was = known[each.name]
        if requests := each.requests - was.requests:
            copies = each.input_seconds + each.output_seconds - was.input_seconds - was.output_seconds
            shown.add_row(
                each.name,
                str(requests),
                str(each.rows - was.rows),
                str(each.executions - was.executions),
                f"{each.compute_seconds - was.compute_seconds:.2f}",
                f"{each.queue_seconds - was.queue_seconds:.2f}",
                f"{copies:.2f}",
            )
    return shown


def tell(console: Console, turn: int, found: Observation) -> None:
    """One line on one turn."""
    gpu = f", GPU busy {found.gpu['busy_percent']:.0f} %" if found.gpu else ""
    failed = [name for name, result in found.results.analyzers.items() if result.status != "ok"]
    console.print(
        f"turn {turn}: {found.wall_seconds:.2f} s, client {found.client_cpu_seconds:.1f} and server "
        f"{found.server_cpu_seconds:.1f} CPU s, {found.uploaded_bytes / 1e6:.0f} MB to the server{gpu}"
        + (f"; [red]not ok[/]: {', '.join(failed)}" if failed else ""),
        highlight=False,
    )


def main(arguments: list[str] | None = None) -> int:
    """Analyse, print the tables of the fastest turn."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.lanes", description="Where the time of a clip goes.")
    parser.add_argument("--profile", default="cpu", choices=settings.profile_names())
    parser.add_argument("--clip", type=Path, help="default: the clip of end_to_end")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--opencv-threads", type=int, help="default: 1, as the command line sets it")
    parser.add_argument("--blas-threads", type=int, help="default: 1, as the command line sets it")
    parser.add_argument("--switch-milliseconds", type=float, default=1000 * sys.getswitchinterval())
    options = parser.parse_args(arguments)
    profile, console = settings.profile(options.profile), Console()
    prepare_for_analysis()
    if options.opencv_threads:
        cv2.setNumThreads(options.opencv_threads)
    sys.setswitchinterval(options.switch_milliseconds / 1000)
    with ExitStack() as stack:
        if options.blas_threads:
            stack.enter_context(threadpool_limits(options.blas_threads, user_api="blas"))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        clip = options.clip or footage.write_clip(
            folder / "clip.mp4", width=WIDTH, height=HEIGHT, rate=30, seconds=SECONDS
        )
        server = stack.enter_context(EmbeddedServer(profile))
        pid = server.supervisor.pid
        client = stack.enter_context(ObservedClient(server.grpc_url))
        observer = stack.enter_context(Observer(server.grpc_url))
        for _ in range(2):
            analyze(clip, profile, client, ANALYZERS, pid)
        turns = []
        for turn in range(options.repeats):
            before = observer.work()
            with ThreadWatch() as watch:
                found = analyze(clip, profile, client, ANALYZERS, pid)
            turns.append((found, watch, before, observer.work()))
            tell(console, turn + 1, found)
    found, watch, before, after = min(turns, key=lambda turn: turn[0].wall_seconds)
    for table in (lanes_table(found.spans), threads_table(watch), models_table(before, after)):
        console.print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
