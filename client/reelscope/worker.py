"""One signal source in a thread of its own, behind a short queue.

The queue is what lets decoding, inference and CPU work overlap, and what bounds memory: a source that lags behind
stops the decoder. A failed source keeps emptying its queue, so that it never stops the others; one that hangs over a
single piece is given up, so that it stops them no longer than its own `patience_seconds`.
"""

from __future__ import annotations

import contextlib
import contextvars
import queue
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from reelscope.errors import DeadlineExceeded, ReelscopeError, SourceFailed
from reelscope.signals import Signal
from reelscope.sources.base import Source
from reelscope.types import ClipHeader, Deadline, TrackedWindow, Window

QUEUE_PARTS = 4
"""Pieces that wait for one source at most, unless a profile lets those that can wait have more."""
GRACE_SECONDS = 5.0
"""Patience with each source after the job's deadline."""
ABANDON_SECONDS = 3.0
"""Patience with the current step of a source that is not wanted any more; a chunk takes well under 1 s."""
TICK_SECONDS = 0.5
"""How often somebody who waits for a source hears that it is still waited for."""


_SHARED = (Window, TrackedWindow)
"""Parts that are kept alive by their readers."""


class Worker:
    """Runs one source for one clip. `signal` or `error` is there when it has ended, and never both."""

    def __init__(
        self, source: Source[Any], on_ended: Callable[[], None] = lambda: None, waiting_parts: int = 0
    ) -> None:
        """Prepare; `start` begins.

        Args:
            source: what to run.
            on_ended: called, in the source's thread, when it has ended.
            waiting_parts: pieces that a source which can wait lets come before it begins, so that the CPU is free for
                those that others wait for; it begins earlier when nothing comes any more. 0: with the first.
        """
        self.signal: Signal | None = None
        self.error: ReelscopeError | None = None
        self.queue_seconds = 0.0
        self.cpu_seconds = 0.0
        self.wall_seconds = 0.0
        self._lock = threading.Lock()
        self._source = source
        self._busy_since: float | None = None
        self._is_closed = False
        self._is_over = False
        self._duration_seconds: float | None = None
        self._due = float("inf")
        self._on_ended = on_ended
        self._done = 0
        held_parts = waiting_parts if source.can_wait else 0
        self._queue: queue.Queue[tuple[float, object]] = queue.Queue(held_parts or QUEUE_PARTS)
        self._may_work = threading.Event()
        if not held_parts:
            self._may_work.set()
        # What the source asks the server belongs to the request, and the trace, of whoever made the worker.
        run = partial(contextvars.copy_context().run, self._run)
        self._thread = threading.Thread(target=run, name=type(source).__name__, daemon=True)

    @property
    def infer_seconds(self) -> float:
        """Time that the source waited for the server."""
        return self._source.inference_seconds

    @property
    def refused_calls(self) -> int:
        """Calls that the server refused because it had too much to do."""
        return self._source.refused_calls

    @property
    def has_ended(self) -> bool:
        """Whether it has a signal or an error that does not change any more, and its times are known."""
        return self.error is not None or self._is_over

    @property
    def share(self) -> float:
        """About how much it has done of what it knows of, 0-1: pieces, calls of the server, and its end."""
        if self.signal is not None or self.error is not None:
            return 1.0
        done = self._done + self._source.answers
        return done / (self._done + self._source.calls + self._queue.qsize() + 1)

    def feed(self, other: Worker, deadline: Deadline) -> None:
        """Let another worker consume what this one's source emits; before `start`."""
        self._source.listeners.append(lambda part: other.offer(part, deadline))

    def start(self, header: ClipHeader) -> None:
        """Start the thread."""
        self._header = header
        self._thread.start()

    def offer(self, part: object, deadline: Deadline, on_wait: Callable[[], None] = lambda: None) -> None:
        """Queue a piece if the source consumes its kind; waits while the queue is full.

        A source that hangs over one piece, or lets this one wait past the job's deadline, is given up. `on_wait` is
        called in this thread now and then.
        """
        if self.error is None and isinstance(part, self._source.consumes):
            if isinstance(part, _SHARED):
                part.retain()
            if not self._put(part, deadline, on_wait) and isinstance(part, _SHARED):
                part.release()

    def end(self, duration_seconds: float, deadline: Deadline, needed: Sequence[Worker] = ()) -> None:
        """Tell the source that nothing comes any more; it fails with the first of the workers that it needed.

        Does not wait: the source ends when it is done with what is queued, by the job's deadline and some grace.
        """
        if failure := next((worker.error for worker in needed if worker.error), None):
            self._settle(None, failure)
        self._due = time.monotonic() + _patience_seconds(deadline)
        self._duration_seconds = duration_seconds
        self._may_work.set()
        with contextlib.suppress(queue.Full):  # then it looks again anyway
            self._queue.put_nowait((time.monotonic(), None))

    def look(self, deadline: Deadline) -> bool:
        """Whether the source has ended; one that hangs, or is late with its signal, is given up here."""
        if not self.has_ended:
            self._wait_seconds(self._due, deadline)
        return self.has_ended

    def hangs(self, deadline: Deadline) -> bool:
        """Whether the source has been given up and is still at its step; given up here, when it is time."""
        return self.look(deadline) and self._busy_since is not None

    def abandon(self) -> None:
        """End the source without a signal, as soon as it looks at its queue. Harmless when it has ended.

        Waits a moment for its current step: a thread that is inside a C++ library when the interpreter ends aborts it.
        One that was given up has been waited for.
        """
        given_up = self.error is not None
        self._settle(None, SourceFailed("the job was abandoned"))
        self._may_work.set()
        while self._thread.is_alive():
            try:
                self._queue.put((time.monotonic(), None), timeout=0.05)
            except queue.Full:
                self._discard()
            else:
                break
        if self._thread.is_alive() and not given_up:
            self._thread.join(ABANDON_SECONDS)

    def _put(self, item: object, deadline: Deadline, on_wait: Callable[[], None] = lambda: None) -> bool:
        until = time.monotonic() + _patience_seconds(deadline)
        while (wait := self._wait_seconds(until, deadline)) is not None:
            with contextlib.suppress(queue.Full):
                self._queue.put((time.monotonic(), item), timeout=min(wait, TICK_SECONDS))
                if self._queue.full():
                    self._may_work.set()
                return True
            on_wait()
        return False

    def _wait_seconds(self, until: float, deadline: Deadline) -> float | None:
        """How long the source may be waited for before it is to be looked at again; None once it is given up."""
        now, limit, busy_since = time.monotonic(), self._source.patience_seconds, self._busy_since
        hangs_at = now + limit if busy_since is None else busy_since + limit
        if now < min(until, hangs_at):
            return min(until, hangs_at) - now
        reason = f"hung over one piece for {limit:g} s"
        if until <= hangs_at:
            reason = f"was not done within the job's {deadline.seconds:g} s"
        self._settle(None, DeadlineExceeded(f"{self._thread.name} {reason}"))
        return None

    def _settle(self, signal: Signal | None, error: ReelscopeError | None) -> None:
        """Signal or error, whichever comes first, is the outcome; a signal after giving up is dropped."""
        with self._lock:
            if self.signal is None and self.error is None:
                self.signal, self.error = signal, error

    def _run(self) -> None:
        began, cpu_began = time.monotonic(), time.thread_time()
        try:
            self._guarded(lambda: self._source.start(self._header))
            self._may_work.wait()
            works_since = time.monotonic()
            while True:
                queued, item = self._queue.get()
                if item is not None:
                    self.queue_seconds = max(self.queue_seconds, time.monotonic() - max(queued, works_since))
                    self._guarded(partial(self._source.push, item))
                    self._done += 1
                    if self.error is not None:
                        self._close()  # the others shall not wait for the windows that it holds
                    if isinstance(item, _SHARED):
                        item.release()
                elif self._duration_seconds is None:
                    break
                if self._duration_seconds is not None and self._queue.empty():
                    self._guarded(self._finish)
                    break
        finally:
            self._close()
            self._discard()
            self.cpu_seconds = time.thread_time() - cpu_began + self._source.helper_cpu_seconds
            self.wall_seconds = time.monotonic() - began
            self._is_over = True
            self._on_ended()

    def _close(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            self._source.close()

    def _finish(self) -> None:
        assert self._duration_seconds is not None
        signal = self._source.finish(self._duration_seconds)
        self._source.emit(signal)
        self._settle(signal, None)

    def _guarded(self, step: Callable[[], None]) -> None:
        if self.error is not None:
            return
        self._busy_since = time.monotonic()
        try:
            step()
        except ReelscopeError as error:
            self._settle(None, error)
        except Exception as error:
            failure = SourceFailed(f"{self._thread.name}: {type(error).__name__}: {error}")
            failure.__cause__ = error
            self._settle(None, failure)
        finally:
            self._busy_since = None

    def _discard(self) -> None:
        while True:
            try:
                _, item = self._queue.get_nowait()
            except queue.Empty:
                return
            if isinstance(item, _SHARED):
                item.release()


def _patience_seconds(deadline: Deadline) -> float:
    """What the job has left, and a moment of grace: a source that lags behind may still deliver what it has."""
    try:
        return deadline.remaining(float("inf")) + GRACE_SECONDS
    except DeadlineExceeded:
        return GRACE_SECONDS
