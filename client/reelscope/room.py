"""Room for windows: how far the decoder may run ahead of the sources.

A window of 20 frames of 1280x720 takes 55 MB, more than everything else that waits in queues together, and one source
that lags behind would have each of the others' windows kept for it. So the decoder fills the next one only when few are
still read: three, or more where a profile has the memory for it. Sources of three rates may each keep another one until
their next, a regular one and two of extra frames, so fewer would wait for ever.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection

from reelscope.types import Deadline, Window
from reelscope.worker import TICK_SECONDS, Worker


class Room:
    """Counts the windows of one clip that somebody still reads."""

    def __init__(self, workers: Collection[Worker], on_empty: Callable[[], None], read_windows: int) -> None:
        """Begin with no window.

        Args:
            workers: those that read.
            on_empty: called, in whichever thread, when no window comes any more and none is read.
            read_windows: how many may be read while the decoder fills the next, of regular and of extra frames; >= 3.
        """
        self._workers, self._read_windows = workers, read_windows
        self._read_count = 0
        self._on_empty = on_empty
        self._has_ended = False
        self._changed = threading.Condition()

    def enter(self, window: Window) -> None:
        """Count a window until its last reader is done; while the caller is one of them."""
        with self._changed:
            self._read_count += 1
        window.on_closed = self._leave

    def wait(self, deadline: Deadline, on_wait: Callable[[], None]) -> None:
        """Wait until few enough windows are read, or the job is out of time.

        Nobody is waited for once a source has been given up: what it reads is not given back. `on_wait` is called in
        this thread now and then.
        """
        with self._changed:
            while self._read_count > self._read_windows and not deadline.is_over:
                if any(worker.hangs(deadline) for worker in self._workers):
                    return
                if not self._changed.wait(TICK_SECONDS):
                    on_wait()

    def end(self) -> None:
        """No window comes any more."""
        with self._changed:
            self._has_ended = True
            is_empty = not self._read_count
        if is_empty:
            self._on_empty()

    def _leave(self) -> None:
        with self._changed:
            self._read_count -= 1
            is_empty = self._has_ended and not self._read_count
            self._changed.notify()
        if is_empty:
            self._on_empty()
