"""Who uses the local server, so that a restart waits for them and they for it.

Two files in the state folder, locked and never removed. Who analyses holds `server.use` together with others; who
restarts holds `server.gate`, so that nobody else begins, and then waits for `server.use` alone.
"""

from __future__ import annotations

import contextlib
import fcntl
import time
from collections.abc import Callable, Iterator
from typing import TextIO

from reelscope import settings
from reelscope.errors import ChangeRefused

_POLL_SECONDS = 0.1


@contextlib.contextmanager
def in_use(on_wait: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Keep the local server from being restarted; waits while that is under way, which is told to `on_wait` first."""
    with _open("use") as use:
        with _open("gate") as gate:
            if not _locked(gate, fcntl.LOCK_SH):
                on_wait()
                fcntl.flock(gate, fcntl.LOCK_SH)
            fcntl.flock(use, fcntl.LOCK_SH)
        yield


@contextlib.contextmanager
def out_of_use(patience_seconds: float) -> Iterator[None]:
    """Let no analysis begin, and wait until those under way have ended.

    Raises:
        ChangeRefused: they have not within `patience_seconds`.
    """
    with _open("gate") as gate, _open("use") as use:
        deadline = time.monotonic() + patience_seconds
        for file in (gate, use):
            while not _locked(file, fcntl.LOCK_EX):
                if time.monotonic() > deadline:
                    raise ChangeRefused(f"analyses still run after {patience_seconds:g} s: nothing was restarted")
                time.sleep(_POLL_SECONDS)
        yield


def _open(name: str) -> TextIO:
    return (settings.state_folder() / f"server.{name}").open("w", encoding="utf-8")


def _locked(file: TextIO, how: int) -> bool:
    """Lock a file if that needs no waiting."""
    try:
        fcntl.flock(file, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
