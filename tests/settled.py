"""What Triton has counted: it counts a request after it has answered it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def settled(read: Callable[[], T]) -> T:
    """What `read` returns, once that has stood for 0.3 s: longer than a thread waits for a busy machine's cores."""
    end = time.monotonic() + 20
    last = read()
    while True:
        time.sleep(0.3)
        if (now := read()) == last:
            return now
        assert time.monotonic() < end, "it goes on counting"
        last = now
