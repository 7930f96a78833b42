"""Where the time of a request goes: Triton's trace of it, as spans.

Triton writes a file per traced request (mode "triton", log frequency 1) at a path that is chosen when the server
starts. A trace holds names, numbers and times; nothing of what was asked or answered.
Source: https://docs.nvidia.com/deeplearning/triton-inference-server/user-guide/docs/user_guide/trace.html
"""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reelscope.errors import UsageError
from reelscope.inference.observation import Observer

_POLL_SECONDS = 0.1
_CHANGED = ("trace_level", "trace_rate", "trace_count", "log_frequency")


@dataclass(slots=True)
class Span:
    """A request to one model, or the step of an ensemble that it is."""

    model: str
    version: str
    request_id: str
    parent: int | None
    """Number of the span that asked for it; None for a client's request."""
    moments_ns: dict[str, int] = field(default_factory=dict)
    """Triton's name of a moment -> the monotonic clock of the server's machine."""
    steps: list[Span] = field(default_factory=list)
    """What it asked for, by time."""

    def milliseconds(self, begin: str, end: str) -> float | None:
        """Time between two moments; None when either is not known, as with an ensemble's own computing."""
        known = self.moments_ns
        return (known[end] - known[begin]) / 1e6 if begin in known and end in known else None

    @property
    def start_ns(self) -> int:
        """Arrival of the request."""
        return self.moments_ns["REQUEST_START"]


def record(observer: Observer, model: str, count: int, seconds: float) -> list[Span]:
    """Trace the next requests of clients, and return them by arrival, steps inside; settings are put back.

    Args:
        observer: the server.
        model: trace this model or ensemble; "" for all.
        count: requests to wait for.
        seconds: longest wait.

    Raises:
        UsageError: the server sends its traces elsewhere, or writes them where they cannot be read from here.
        AccessDenied, ServerUnreachable, InferenceError: see `Observer`.
    """
    before = observer.trace_settings(model)
    prefix = _prefix(before)
    for old in _files(prefix):
        old.unlink()
    found: dict[Path, list[Span]] = {}
    with _switched_on(observer, model, count, before):
        deadline = time.monotonic() + seconds
        while len(found) < count and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
            for file in _files(prefix):
                if file not in found:
                    with contextlib.suppress(json.JSONDecodeError):  # it is being written
                        found[file] = spans(json.loads(file.read_text(encoding="utf-8")))
    for file in _files(prefix):
        file.unlink()
    return sorted((span for each in found.values() for span in each), key=lambda span: span.start_ns)


def spans(entries: list[dict[str, Any]]) -> list[Span]:
    """Requests of clients in the entries of a trace file, each with its steps inside."""
    by_number: dict[int, Span] = {}
    for entry in entries:
        number = entry["id"]
        if "model_name" in entry:
            span = Span(
                entry["model_name"], str(entry["model_version"]), entry.get("request_id", ""), entry.get("parent_id")
            )
            by_number.setdefault(number, span)
    for entry in entries:
        for moment in entry.get("timestamps", ()):
            by_number[entry["id"]].moments_ns[moment["name"]] = moment["ns"]
    whole = [span for span in by_number.values() if "REQUEST_START" in span.moments_ns]
    for span in sorted(whole, key=lambda span: span.start_ns):
        if span.parent in by_number:
            by_number[span.parent].steps.append(span)
    return [span for span in whole if span.parent not in by_number]


def _prefix(settings: dict[str, list[str]]) -> Path:
    mode = "".join(settings.get("trace_mode", []))
    if mode != "triton":
        raise UsageError(f"this server's traces go to a collector (mode {mode}): look at them there")
    file = Path("".join(settings.get("trace_file", [])))
    if not file.name or not file.parent.is_dir():
        raise UsageError(
            "this server's traces cannot be read from here: start it with --trace-config=triton,file=FILE, "
            f"at a path of this machine (now {file})"
        )
    return file


def _files(prefix: Path) -> list[Path]:
    """Trace files, by number."""
    found = [each for each in prefix.parent.glob(f"{prefix.name}.*") if re.fullmatch(r"\.\d+", each.suffix)]
    return sorted(found, key=lambda each: int(each.suffix[1:]))


@contextlib.contextmanager
def _switched_on(observer: Observer, model: str, count: int, before: dict[str, list[str]]) -> Iterator[None]:
    observer.set_trace(
        {"trace_level": ["TIMESTAMPS"], "trace_rate": "1", "trace_count": str(count), "log_frequency": "1"}, model
    )
    try:
        yield
    finally:
        if model:
            observer.set_trace(dict.fromkeys(_CHANGED), model)
        else:
            levels = before["trace_level"]
            observer.set_trace({name: levels if name == "trace_level" else before[name][0] for name in _CHANGED})
