"""`reelscope models stats`, `reelscope models trace`, `reelscope top`, `reelscope backup` and `reelscope restore`."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.live import Live
from rich.table import Column, Table
from rich.text import Text

from reelscope.errors import ServerUnreachable, UsageError
from reelscope.terminal import VIOLATED, address, console, counted, errors, progress, reported

if TYPE_CHECKING:
    from reelscope.inference.observation import Observer
    from reelscope.operations.tracing import Span

UrlOption = Annotated[
    str | None,
    typer.Option(
        help="HOST:PORT of a Triton server (gRPC), grpcs://HOST:PORT with TLS; default: the running local one."
    ),
]
MetricsOption = Annotated[
    str | None,
    typer.Option(help="Address of that server's metrics, http://HOST:8002/metrics; the local one's is known."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="JSON, for programs.")]

_BAR_CHARACTERS = 20


def stats(
    model: Annotated[str, typer.Argument(help="Only this model.")] = "",
    url: UrlOption = None,
    metrics: MetricsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what models have done since they were loaded: requests, failures, times per request, real batch size.

    Times are means per answered request. A long queue beside a short compute asks for instances or batches; rows per
    execution near 1 say that nothing is batched. What waits, and why requests failed, is told where the metrics are
    known. Of the Python backend, Triton 2.51 counts a request that was answered with an error as answered.
    """
    with reported(), _observed(url, metrics) as (observer, metrics_url):
        from reelscope.inference.observation import read_metrics
        from reelscope.operations.statistics import numbers

        samples = read_metrics(metrics_url) if metrics_url else ()
        rows = [numbers(work, samples) for work in observer.work(model)]
    if as_json:
        typer.echo(json.dumps(rows, indent=1))
        return
    columns = ("requests", "failed", "waiting", "ms", "queue", "compute", "rows/run")
    numeric = [Column(name, justify="right", no_wrap=True) for name in columns]
    table = Table(Column("model", overflow="fold"), *numeric, box=box.SIMPLE_HEAD)
    for row in rows:
        times = (row[f"{name}_ms"] for name in ("request", "queue", "compute"))
        table.add_row(
            f"{row['model']} {row['version']}",
            str(row["requests"]),
            _failures(row),
            "" if row["pending"] is None else str(row["pending"]),
            *("" if each is None else f"{each:.1f}" for each in times),
            "" if row["rows_per_execution"] is None else f"{row['rows_per_execution']:.1f}",
        )
    console.print(table)


def trace(
    model: Annotated[str, typer.Argument(help="Only requests to this model or ensemble; default: all.")] = "",
    count: Annotated[int, typer.Option(min=1, help="Requests to trace.")] = 1,
    seconds: Annotated[float, typer.Option(min=0.1, help="Longest wait for them.")] = 30.0,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Trace the next requests, and show where the time of each goes: every step, how long it waited and computed.

    Tracing is switched on for them, and put back. Nothing of what is asked or answered is recorded. The server must
    write traces where this machine can read them; the local one does.

    Exit codes: 0 traced, 1 no request came, 2 usage, 5 no server, or one that wants a key.
    """
    with reported(), _observed(url, None) as (observer, _):
        from reelscope.operations.tracing import record

        errors.print(f"waiting for {counted(count, 'request')}, at most {seconds:g} s", soft_wrap=True)
        found = record(observer, model, count, seconds)
    if as_json:
        typer.echo(json.dumps([_shown(span) for span in found], indent=1))
    else:
        for span in found:
            console.print(_waterfall(span))
    if not found:
        errors.print("no request came")
        raise typer.Exit(VIOLATED)


def backup(
    file: Annotated[Path, typer.Argument(help="The archive to write, a tar; replaced when it is there.")],
) -> None:
    """Save what a machine cannot make again: the gateway's jobs and clips, the models, and what they belong to.

    A gateway and a server may run meanwhile. REELSCOPE_STATE and REELSCOPE_REPOSITORY say what is saved, as they say
    what is served.
    """
    with reported(), progress() as show:
        from reelscope.operations.backup import save

        saved = save(file, show)
    jobs = "" if any(name.endswith("/jobs.sqlite") for name in saved.files) else ", no jobs: no gateway has run"
    console.print(
        f"{file}: {counted(len(saved.files), 'file')}, {file.stat().st_size / 1e6:.0f} MB{jobs}", soft_wrap=True
    )


def restore(
    file: Annotated[Path, typer.Argument(help="The archive.")],
    folder: Annotated[Path, typer.Argument(help="New folder to unpack it in.")],
) -> None:
    """Unpack what was saved, every file held to its hash, and say how to serve from it."""
    with reported(), progress() as show:
        from reelscope.operations.backup import restore as unpack

        saved, differing = unpack(file, folder, show)
    if differing:
        origin = f"git checkout {saved.commit}; make setup" if saved.commit else f"install reelscope {saved.version}"
        errors.print(f"this installation is another: {', '.join(differing)} differ; first {origin}", soft_wrap=True)
    console.print(f"export REELSCOPE_STATE={(folder / 'state').resolve()}", soft_wrap=True, highlight=False)
    console.print(
        f"export REELSCOPE_REPOSITORY={(folder / 'model_repository').resolve()}", soft_wrap=True, highlight=False
    )


@contextlib.contextmanager
def _observed(url: str | None, metrics: str | None) -> Iterator[tuple[Observer, str | None]]:
    """The server that is meant, and the address of its metrics, where that is known."""
    checked = address(url)  # before the slow imports
    from reelscope import embedded
    from reelscope.inference.observation import Observer

    if checked is None:
        record = embedded.running()
        if record is None:
            raise ServerUnreachable("no local server is running; --url names another", "reelscope server up")
        checked, metrics = record.grpc_url, metrics or record.metrics_url
    with Observer(checked) as observer:
        yield observer, metrics and metrics_address(metrics)


def top(
    metrics: MetricsOption = None,
    interval: Annotated[float, typer.Option(min=0.2, help="Seconds between two looks.")] = 2.0,
    once: Annotated[bool, typer.Option("--once", help="Look once (for one interval), print it, and end.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show what a server and its GPUs are doing: power, temperature, clock, memory, queues, request rates.

    GPUs of this machine are asked by NVIDIA's library; else Triton's metrics tell of them, without temperature and
    clock. Without a GPU the models are shown all the same. No key is needed. Ctrl-C ends it; --json prints one look.
    """
    with reported():
        from reelscope.operations.top import look, looks, shown

        url = metrics_address(metrics)
        if as_json:
            typer.echo(json.dumps(asdict(look(url, interval)), indent=1))
        elif once:
            console.print(shown(look(url, interval)))
        else:
            with Live(Text("looking"), console=console, screen=console.is_terminal, auto_refresh=False) as live:
                for seen in looks(url, interval):
                    live.update(shown(seen), refresh=True)


def metrics_address(metrics: str | None) -> str:
    """Where metrics are read: the address given, else that of the running local server.

    Raises:
        UsageError: it is no address of HTTP.
        ServerUnreachable: none is given, and no local server runs.
    """
    from reelscope import embedded

    if metrics is not None:
        if not metrics.startswith(("http://", "https://")):
            raise UsageError(f"--metrics is an address such as http://127.0.0.1:8002/metrics, not {metrics!r}")
        return metrics
    record = embedded.running()
    if record is None:
        raise ServerUnreachable("no local server is running; --metrics names another's metrics", "reelscope server up")
    return record.metrics_url


def _failures(row: dict[str, Any]) -> Text:
    reasons = ", ".join(f"{name} {number}" for name, number in (row["failures_by_reason"] or {}).items())
    count = row["failed_requests"]
    return Text(f"{count}{f' ({reasons})' if reasons else ''}", "red" if count else "")


_PARTS = (
    ("total", "REQUEST_START", "REQUEST_END"),
    ("queue", "QUEUE_START", "COMPUTE_START"),
    ("input", "COMPUTE_START", "COMPUTE_INPUT_END"),
    ("compute", "COMPUTE_INPUT_END", "COMPUTE_OUTPUT_START"),
    ("output", "COMPUTE_OUTPUT_START", "COMPUTE_END"),
)


def _shown(span: Span) -> dict[str, Any]:
    return {
        "model": span.model,
        "version": span.version,
        "request_id": span.request_id,
        "start_ns": span.start_ns,
        **{f"{name}_ms": span.milliseconds(begin, end) for name, begin, end in _PARTS},
        "steps": [_shown(step) for step in span.steps],
    }


def _waterfall(request: Span) -> Table:
    total = request.milliseconds("REQUEST_START", "REQUEST_END") or 0.0
    title = f"{request.model}{f', request {request.request_id}' if request.request_id else ''}: {total:.1f} ms"
    columns = ("starts", "total", "queue", "compute")
    numeric = [Column(name, justify="right", no_wrap=True) for name in columns]
    bars = Column("░ waits █ runs", no_wrap=True)
    table = Table(Column("ms", overflow="fold"), *numeric, bars, title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for depth, span in _flat(request, 0):
        starts = (span.start_ns - request.start_ns) / 1e6
        parts = {name: span.milliseconds(begin, end) for name, begin, end in _PARTS}
        numbers = ["" if parts[name] is None else f"{parts[name]:.1f}" for name in columns[1:]]
        bar = _bar(starts, parts["total"] or 0.0, parts["queue"] or 0.0, total)
        table.add_row("  " * depth + span.model, f"{starts:.1f}", *numbers, bar)
    return table


def _flat(span: Span, depth: int) -> Iterator[tuple[int, Span]]:
    yield depth, span
    for step in span.steps:
        yield from _flat(step, depth + 1)


def _bar(starts: float, length: float, waits: float, total: float) -> str:
    """A step's time on the time of the whole request: blank before it, then what it waits, then the rest."""
    first, computes, last = (
        round(_BAR_CHARACTERS * moment / (total or 1.0)) for moment in (starts, starts + waits, starts + length)
    )
    return " " * first + "░" * (computes - first) + "█" * max(last - computes, 1)
