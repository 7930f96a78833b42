"""One `reelscope analyze` in a process of its own, and the memory of client, server and GPU meanwhile."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

SAMPLE_SECONDS = 1.0
"""Between two readings of memory; one takes some 70 ms of one core."""

ANALYZE = """
import sys
from pathlib import Path
from reelscope.cli import app
try:
    app(sys.argv[2:])
finally:
    status = Path("/proc/self/status").read_text()
    Path(sys.argv[1]).write_text(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))
"""
"""The command line, which notes its peak in KiB when it ends; getrusage would also count who started it."""


@dataclass(frozen=True, slots=True)
class Analysis:
    """One run of the command line."""

    exit_code: int
    wall_seconds: float
    """Of the process, imports included."""
    peak_mib: float | None
    """Of its resident set, with the windows that it shares with the server; None when it was killed."""
    file: Path
    """Its results.json."""

    def results(self) -> dict[str, Any] | None:
        """What it wrote; None when it wrote nothing."""
        return json.loads(self.file.read_bytes()) if self.file.is_file() else None

    @property
    def results_mb(self) -> float:
        """Size of what it wrote."""
        return self.file.stat().st_size / 1e6 if self.file.is_file() else 0.0


def analyze(clip: Path, folder: Path, url: str, *options: str) -> Analysis:
    """Analyse a clip through the server at `url`; the progress goes to stderr, `folder` keeps the results.

    Args:
        clip: the clip.
        folder: made when missing; results of an earlier run in it are removed first.
        url: gRPC address of the server.
        options: further options of `reelscope analyze`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file, peak = folder / "results.json", folder / "peak_kib"
    for old in (file, peak):
        old.unlink(missing_ok=True)
    command = ["analyze", str(clip), "-o", str(folder), "--url", url, *options]
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", ANALYZE, str(peak), *command], check=False, stdout=subprocess.DEVNULL)
    wall_seconds = time.perf_counter() - began
    peak_mib = int(peak.read_text()) / 1024 if peak.is_file() else None
    peak.unlink(missing_ok=True)
    return Analysis(done.returncode, wall_seconds, peak_mib, file)


@dataclass(frozen=True, slots=True)
class Memory:
    """What something held before, at its highest during, and after a run, in MB."""

    before_mb: float
    peak_mb: float
    after_mb: float


class MemoryWatch:
    """Reads memory before a block, every second during it, and after it.

    Attributes:
        found: name -> memory, once the block has ended.
    """

    def __init__(self, readers: Mapping[str, Callable[[], float]]) -> None:
        """Watch what the readers tell, in MB, by name."""
        self.found: dict[str, Memory] = {}
        self._readers = readers
        self._samples: list[dict[str, float]] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> MemoryWatch:
        """Begin."""
        self._read()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Read a last time, and put the samples together."""
        self._ended.set()
        self._thread.join()
        self._read()
        for name in self._readers:
            values = [sample[name] for sample in self._samples]
            self.found[name] = Memory(values[0], max(values), values[-1])

    def _sample(self) -> None:
        while not self._ended.wait(SAMPLE_SECONDS):
            self._read()

    def _read(self) -> None:
        self._samples.append({name: read() for name, read in self._readers.items()})


def resident_mb(pid: int) -> float:
    """Memory of a process and everything below it, in MB, shared pages counted once (Pss); 0 when it has ended."""
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8")
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    own = sum(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")) * 1024 / 1e6
    return own + sum(resident_mb(int(child)) for child in children)
