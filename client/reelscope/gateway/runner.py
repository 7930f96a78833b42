"""One job, one process: `python -m reelscope.gateway.analysis`, spawned for it and gone with it. So it is with reports.

The process gets one line of JSON on its standard input, tells what happens in lines of JSON on its standard output, and
writes the results to a file. It ends itself when its standard input ends: so it is cancelled, and so it goes with a
gateway that was killed. A crash inside a decoder costs one job.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from reelscope.gateway.problems import Problem

GRACE_SECONDS = 30.0
"""Time beyond its budget that a job has for writing its results before it is ended."""
REPORT_SECONDS = 120.0
"""Longest that a report may take."""
CANCEL_SECONDS = 10.0
"""Time that a cancelled process has for taking back what it asked the server; then it is killed."""
_LINE_BYTES = 64 * 2**20
"""Longest line that is read: an analyzer's summary may hold a transcript."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """One clip to be analysed."""

    clip: str
    profile: str
    biometrics: bool
    only: list[str] | None
    detail: str
    budget_seconds: float
    max_seconds: float
    url: str
    request_id: str
    """Of the request that the job came with, for Triton's log and traces."""
    trace: dict[str, str]
    """Headers of the span that the analysis is part of; empty without tracing."""


Report = Callable[[str, dict[str, Any]], Awaitable[None]]
"""Told what happens: "progress" with a `Stage`, "analyzer" with an `Outcome`, as JSON values."""
Runner = Callable[[Analysis, Report], Awaitable[bytes]]
"""Analyses one clip; returns the results file. Cancelling it ends the analysis.

Raises:
    Problem: there are no results.
"""

ReportBuilder = Callable[[bytes, Path, str], Awaitable[str]]
"""Makes one file of HTML of a results file and, where it is still the same, the clip.

Raises:
    Problem: there is no report.
"""


class ProcessRunner:
    """Runs each job in a process of its own."""

    def __init__(self, scratch: Path) -> None:
        """Let jobs write below this folder; each removes what it wrote."""
        self._scratch = scratch

    async def __call__(self, analysis: Analysis, report: Report) -> bytes:
        """Analyse one clip; see `Runner`."""
        with tempfile.TemporaryDirectory(dir=self._scratch) as folder:
            results = Path(folder) / "results.json"
            process = await _spawned("reelscope.gateway.analysis")
            try:
                async with asyncio.timeout(analysis.budget_seconds + GRACE_SECONDS):
                    await _follow(process, {**asdict(analysis), "results": str(results)}, report)
            except TimeoutError as error:
                raise Problem("deadline_exceeded", f"not done within {analysis.budget_seconds:g} s") from error
            finally:
                await _ended(process)
            return await asyncio.to_thread(results.read_bytes)


async def report_by_process(results: bytes, clip: Path, name: str) -> str:
    """Make a report; see `ReportBuilder`."""
    process = await _spawned("reelscope.gateway.reporting")
    try:
        async with asyncio.timeout(REPORT_SECONDS):
            said, _ = await process.communicate(json.dumps([str(clip), name]).encode() + b"\n" + results)
    except TimeoutError as error:
        raise Problem("deadline_exceeded", f"the report was not done within {REPORT_SECONDS:g} s") from error
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        status = await process.wait()
    if not said:
        raise Problem("job_crashed", f"the process that made the report {_how(status)}")
    answer = json.loads(said)
    if "html" not in answer:
        raise Problem(answer["code"], answer["detail"])
    html: str = answer["html"]
    return html


async def _spawned(module: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", module),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,  # FFmpeg names files, libraries quote what they read
        limit=_LINE_BYTES,
        start_new_session=True,  # a Ctrl-C in the terminal is the gateway's to handle
    )


async def _follow(process: asyncio.subprocess.Process, request: dict[str, Any], report: Report) -> None:
    """Tell what the process tells, until it is done.

    Raises:
        Problem: it says that it cannot, or ends without a word.
    """
    assert process.stdin is not None
    assert process.stdout is not None
    with contextlib.suppress(ConnectionError):  # it is gone already: the end of its output says so
        process.stdin.write(json.dumps(request).encode() + b"\n")
        await process.stdin.drain()
    while line := await process.stdout.readline():
        said = json.loads(line)
        if said["kind"] == "done":
            return
        if said["kind"] == "problem":
            raise Problem(said["code"], said["detail"])
        await report(said["kind"], said["body"])
    raise Problem("job_crashed", f"the process that analysed the clip {_how(await process.wait())}")


async def _ended(process: asyncio.subprocess.Process) -> None:
    """End the process, if it has not ended: first by asking, then by force."""
    assert process.stdin is not None
    process.stdin.close()
    try:
        # What it still writes must not keep it waiting.
        async with asyncio.timeout(CANCEL_SECONDS):
            await process.communicate()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _how(status: int) -> str:
    """Say how a process ended."""
    if status >= 0:
        return f"ended with status {status}"
    with contextlib.suppress(ValueError):
        return f"was ended by {signal.Signals(-status).name}"
    return f"was ended by signal {-status}"
