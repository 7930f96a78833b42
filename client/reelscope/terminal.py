"""How the command line talks: consoles, progress bars, the summary, and the exit codes of errors and signals."""

from __future__ import annotations

import contextlib
import re
import signal
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, NoReturn

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from reelscope.errors import ChangeRefused, InferenceError, InputError, ReelscopeError, ServerError, UsageError

if TYPE_CHECKING:
    from reelscope.analyzers.base import Analyzer
    from reelscope.doctor import Check
    from reelscope.results import Results

OK, VIOLATED, USAGE, INCOMPLETE, BAD_INPUT, NO_SERVER = 0, 1, 2, 3, 4, 5
INTERRUPTED, TERMINATED = 130, 143
"""128 plus the number of the signal, as shells report it."""

# Paths, messages and values of files are printed everywhere: brackets and colons in them are no markup.
console = Console(markup=False, emoji=False, highlight=False)
errors = Console(stderr=True, markup=False, emoji=False, highlight=False)


def exit_code(error: ReelscopeError) -> int:
    """Exit code of the command line for an error that ends a command."""
    if isinstance(error, InputError):
        return BAD_INPUT
    if isinstance(error, ChangeRefused):
        return VIOLATED
    return NO_SERVER if isinstance(error, ServerError | InferenceError) else USAGE


class _Terminated(KeyboardInterrupt):
    """SIGTERM arrived; whatever cleans up after Ctrl-C cleans up after this."""


def _terminate(number: int, frame: object) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one must not break off the cleaning up
    raise _Terminated


@contextlib.contextmanager
def reported() -> Iterator[None]:
    """Turn our errors, Ctrl-C and SIGTERM into one line on stderr and an exit code."""
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    except ReelscopeError as error:
        errors.print(Text.assemble(("error", "bold red"), f" ({error.code}): {error}"), soft_wrap=True)
        raise typer.Exit(exit_code(error)) from error
    except KeyboardInterrupt as error:
        is_termination = isinstance(error, _Terminated)
        errors.print("terminated" if is_termination else "interrupted")
        raise typer.Exit(TERMINATED if is_termination else INTERRUPTED) from error
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def progress() -> Iterator[Callable[[str, float], None]]:
    """A bar per stage; the function it yields takes a stage and its share done, 0-1."""
    name, percentage = TextColumn("{task.description:24}", markup=False), TaskProgressColumn()
    with Progress(SpinnerColumn(), name, BarColumn(), percentage, TimeElapsedColumn(), console=errors) as progress:
        tasks = {}

        def show(stage: str, share: float) -> None:
            if stage not in tasks:
                tasks[stage] = progress.add_task(stage, total=1.0)
            progress.update(tasks[stage], completed=share)

        yield show


def print_summary(results: Results, analyzers: Sequence[Analyzer]) -> None:
    """Print the clip's facts, and one line per analyzer."""
    media = results.media
    console.print(
        f"{media.duration_seconds:.2f} s, {media.width}x{media.height}, {counted(media.frame_count, 'frame')}"
        f"{', variable frame rate' if media.is_variable_frame_rate else ''}, "
        f"{'audio' if media.audio.is_present else 'no audio'}, {counted(len(results.shots), 'shot')}",
    )
    table = Table("analyzer", "status", "segments", "wall s", "found")
    for analyzer in analyzers:
        result = results.analyzers[analyzer.name]
        colour = {"ok": "green", "partial": "yellow", "skipped": "dim"}.get(result.status, "red")
        status = Text(": ".join(filter(None, (result.status, result.reason))), colour)
        found = result.message if result.summary is None else analyzer.headline(result.summary)
        if untrained := [warning for warning in result.warnings if warning.startswith("untrained_model:")]:
            found = f"{found} ({', '.join(untrained)})"
        seconds = f"{result.timings.wall_milliseconds / 1000:.1f}"
        table.add_row(analyzer.name, status, str(len(result.segments)), seconds, found or "")
    console.print(table)


def address(url: str | None) -> str | None:
    """The server that `--url` names; gRPC itself would wait for what can never be one.

    Raises:
        UsageError: it is not HOST:PORT.
    """
    found = None if url is None else re.fullmatch(r"(?:grpcs://)?(?:\[[0-9A-Fa-f:.]+\]|[^\s:/\[\]]+):([0-9]{1,5})", url)
    if url is not None and not (found and 0 < int(found[1]) < 65536):
        raise UsageError(
            f"--url is HOST:PORT of Triton's gRPC endpoint, such as 127.0.0.1:8001, or grpcs://HOST:PORT, not {url!r}"
        )
    return url


def print_checks(checks: Sequence[Check]) -> None:
    """Print what the doctor found, then what mends it: a line each, unbroken, to be copied into a shell."""
    colours = {"ok": "green", "warning": "yellow", "missing": "red"}
    table = Table("", "state", "found")
    for check in checks:
        table.add_row(check.subject, Text(check.state, colours[check.state]), Text(check.finding, overflow="fold"))
    console.print(table)
    subjects: dict[str, list[str]] = {}
    for check in checks:
        if check.remedy:
            subjects.setdefault(check.remedy, []).append(check.subject)
    if subjects:
        console.print("to mend it:")
    for remedy, mended in subjects.items():
        console.print(Text.assemble(f"  {remedy}  ", (f"# {', '.join(mended)}", "dim")), soft_wrap=True)


def counted(count: int, noun: str) -> str:
    """Number and noun, in the plural where it is one."""
    return f"{count} {noun}{'' if count == 1 else 's'}"
