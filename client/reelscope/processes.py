"""Processes told apart for good: by pid, start and pid namespace. The supervisor, which runs bare, imports this."""

from __future__ import annotations

import ctypes
import os
from dataclasses import dataclass
from pathlib import Path

_M_ARENA_MAX = -8
"""glibc's malloc.h."""


def prepare_for_analysis() -> None:
    """Settle what the thirty threads of an analysis share; before they start.

    They get two of glibc's heaps. By default each has one of its own, and keeps in it what it once needed: together
    some 60 MB. Nothing happens with another C library.

    OpenCV works in the thread that calls it. Every source has one of its own, their pictures are small, and OpenCV's
    pool of a thread per core waits busily between them: on 16 cores it took 24 instead of 16 CPU seconds a clip, and no
    less time. The same holds for the pools of OpenBLAS, of which NumPy and SciPy have one each.
    """
    import cv2
    import scipy.linalg  # noqa: F401 - what is loaded later has all its threads
    import threadpoolctl

    if mallopt := getattr(ctypes.CDLL(None), "mallopt", None):
        mallopt(_M_ARENA_MAX, 2)
    cv2.setNumThreads(1)
    threadpoolctl.threadpool_limits(1, "blas")


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """A process that cannot be confused with a later one of the same pid."""

    pid: int
    start_ticks: int
    """Start time in clock ticks since boot, as in /proc/PID/stat."""

    @classmethod
    def of(cls, pid: int) -> ProcessIdentity | None:
        """Identify a running process; None when there is none (a zombie counts as none)."""
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return None
        return None if fields[0] in "ZX" else cls(pid, int(fields[19]))

    def is_alive(self) -> bool:
        """Return whether this very process still runs."""
        return ProcessIdentity.of(self.pid) == self

    def prefix(self, kind: str) -> str:
        """Start of the names of what belongs to this process: kind-<pid namespace>-<pid>-<start ticks>-."""
        return f"{kind}-{_pid_namespace()}-{self.pid}-{self.start_ticks}-"


def owner(name: str, kind: str) -> ProcessIdentity | None:
    """The process that a name made with `prefix` belongs to; None for a foreign name or pid namespace."""
    head = f"{kind}-{_pid_namespace()}-"
    pid, ticks, *_ = [*name.removeprefix(head).split("-"), "", ""] if name.startswith(head) else ["", ""]
    return ProcessIdentity(int(pid), int(ticks)) if pid.isdigit() and ticks.isdigit() else None


def _pid_namespace() -> int:
    # Containers may share /dev/shm but not pids: another container's live regions must not look dead to us.
    return os.stat("/proc/self/ns/pid").st_ino
