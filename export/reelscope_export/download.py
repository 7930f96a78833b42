"""Downloading: the only network access of the exporter.

Whether there is a network is decided within ten seconds in total, whatever hangs: name lookup, connection, proxy
or the first byte. What has started to arrive may take its time, as long as something keeps arriving.
"""

from __future__ import annotations

import os
import queue
import threading
import urllib.request
from collections.abc import Callable
from http.client import HTTPException, HTTPResponse
from pathlib import Path

DECISION_SECONDS = 10.0
"""Time for the answer to begin; a refused connection or an unknown host answers at once."""

STALL_SECONDS = 30.0
"""Longest silence within a download."""

_CHUNK_BYTES = 1 << 18


class Offline(Exception):
    """The file cannot be had from the network; says why. `weights` turns it into an error or into random weights."""


class Silent(Offline):
    """Nobody answered in time; a second address of the same host would cost the same time."""


def fetch(url: str, target: Path, *, report: Callable[[str], None], decision_seconds: float = DECISION_SECONDS) -> None:
    """Download `url` to `target`, with a progress bar; `target` appears complete or not at all.

    Raises:
        Silent: no answer in time.
        Offline: an error status, a broken transfer, or a web page instead of a file.
    """
    response = _open(url, decision_seconds)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        with response:
            _receive(response, temporary, target.name)
        os.replace(temporary, target)
    except (OSError, HTTPException) as exc:
        raise Offline(f"the transfer broke off: {exc}") from exc
    finally:
        temporary.unlink(missing_ok=True)
    report(f"downloaded {target.name} from {url}")


def _open(url: str, decision_seconds: float) -> HTTPResponse:
    """Open the address in a thread of its own: a name lookup cannot be given a time limit."""
    answers: queue.Queue[HTTPResponse | Exception] = queue.Queue()

    def ask() -> None:
        try:
            answers.put(urllib.request.urlopen(url, timeout=STALL_SECONDS))
        except Exception as exc:
            answers.put(exc)

    threading.Thread(target=ask, daemon=True).start()
    try:
        answer = answers.get(timeout=decision_seconds)
    except queue.Empty:
        raise Silent(f"no answer within {decision_seconds:g} s") from None
    if isinstance(answer, Exception):
        raise Offline(f"no network: {getattr(answer, 'reason', answer)}") from answer
    return answer


def _receive(response: HTTPResponse, file: Path, name: str) -> None:
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    total = int(response.headers.get("Content-Length") or 0)
    received = 0
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with file.open("wb") as stream, Progress(*columns, transient=True) as progress:
        task = progress.add_task(name, total=total or None)
        while chunk := response.read(_CHUNK_BYTES):
            if not received and chunk.lstrip()[:1] == b"<":
                raise OSError("a web page came instead of the file (a login page of the network?)")
            stream.write(chunk)
            received += len(chunk)
            progress.update(task, completed=received)
    if total and received != total:
        raise OSError(f"{received} of {total} bytes came")
