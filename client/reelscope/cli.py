"""The command line: analyze, check, analyzers, schema, server.

Exit codes: 0 every requested analyzer is ok, or skipped with a reason; 1 `check` found a violation; 2 usage; 3 results
are written, but some analyzer failed or is partial; 4 the clip cannot be analysed; 5 no server.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from reelscope import __version__, settings
from reelscope.errors import InferenceError, InputError, ReelscopeError, ServerError, UsageError

if TYPE_CHECKING:
    from reelscope.analyzers.base import Analyzer
    from reelscope.inference import InferenceClient
    from reelscope.results import Results

OK, VIOLATED, USAGE, INCOMPLETE, BAD_INPUT, NO_SERVER = 0, 1, 2, 3, 4, 5

app = typer.Typer(
    help="Analyse short videos with models served by NVIDIA Triton.\n\n"
    "Start with:  reelscope analyze clip.mp4 -o out\n\n"
    "Models are built once by reelscope-export --all; a local Triton is started when none runs.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)
server = typer.Typer(help="The local Triton on this machine (loopback only).", no_args_is_help=True)
app.add_typer(server, name="server")

console = Console()
errors = Console(stderr=True)

ProfileOption = Annotated[str, typer.Option(help="Profile of server/profiles.toml: cpu, rtx8000, h200.")]


def exit_code(error: ReelscopeError) -> int:
    """Exit code of the command line for an error that ends a command."""
    if isinstance(error, InputError):
        return BAD_INPUT
    return NO_SERVER if isinstance(error, ServerError | InferenceError) else USAGE


@contextlib.contextmanager
def _reported() -> Iterator[None]:
    """Turn our errors into one line on stderr and an exit code."""
    try:
        yield
    except ReelscopeError as error:
        errors.print(f"[bold red]error[/] ({error.code}): ", end="")
        errors.print(str(error), markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(exit_code(error)) from error


@app.callback(invoke_without_command=True)
def main(version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False) -> None:
    """Print the version."""
    if version:
        console.print(f"reelscope {__version__}")
        raise typer.Exit


@app.command()
def analyze(
    clip: Annotated[Path, typer.Argument(help="The video file.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for results.json; made when missing.")],
    only: Annotated[str | None, typer.Option(help="Analyzers to run, separated by commas; default: all.")] = None,
    profile: ProfileOption = "cpu",
    url: Annotated[
        str | None,
        typer.Option(help="HOST:PORT of a Triton server (gRPC); default: the local one, or one for this job."),
    ] = None,
    detail: Annotated[str, typer.Option(help="standard, or full with the densest series.")] = "standard",
    timeout: Annotated[float, typer.Option(min=1, help="Seconds for the whole job.")] = 900.0,
) -> None:
    """Analyse one clip and write OUTPUT/results.json.

    Exit codes: 0 every analyzer ok (or skipped with a reason), 2 usage, 3 some analyzer failed or is partial,
    4 the clip cannot be analysed, 5 no server.
    """
    with _reported():
        from reelscope import decode, pipeline, results

        if detail not in ("standard", "full"):
            raise UsageError(f"--detail is standard or full, not {detail!r}")
        analyzers = pipeline.select(only.split(",") if only else None)
        chosen = settings.profile(profile)
        with decode.Decoder(clip, chosen.base_frame_rate, None):
            pass  # a clip that cannot be read is refused before a server is started for it
        with _progress() as show, _client(chosen, url, analyzers, show) as client:
            found = pipeline.analyze(
                clip,
                analyzers=analyzers,
                profile=chosen,
                client=client,
                detail="full" if detail == "full" else "standard",
                budget_seconds=timeout,
                on_progress=show,
            )
        file = output / "results.json"
        results.write(results.to_json(found, analyzers), file)
        _print_summary(found, analyzers)
        console.print(f"[bold]{file}[/]  {file.stat().st_size / 1e6:.2f} MB", highlight=False)
    if any(result.status in ("failed", "partial") for result in found.analyzers.values()):
        raise typer.Exit(INCOMPLETE)


@app.command()
def check(
    results: Annotated[Path, typer.Argument(help="A results.json.")],
    rerun: Annotated[Path | None, typer.Option(help="I7: results of a second run on the same clip.")] = None,
    flipped: Annotated[Path | None, typer.Option(help="I8: results of the clip mirrored left to right.")] = None,
    rotated: Annotated[Path | None, typer.Option(help="I8: results of the clip rotated before encoding.")] = None,
    doubled: Annotated[Path | None, typer.Option(help="I8: results of the clip with every frame doubled.")] = None,
) -> None:
    """Check the invariants I1-I9 that every results file keeps.

    I7 and I8 compare two runs and are checked when the other run's file is given.
    """
    with _reported():
        from reelscope import check as rules
        from reelscope.results import read

        values = read(results)
        violations = rules.check(values)
        checked = ["I1", "I2", "I3", "I4", "I5", "I6", "I9"]
        if rerun:
            violations += rules.check_rerun(values, read(rerun))
            checked.append("I7")
        for twin, is_flipped in ((flipped, True), (rotated, False), (doubled, False)):
            if twin:
                violations += rules.check_twin(values, read(twin), is_flipped=is_flipped)
                checked.append("I8")
    for violation in violations:
        console.print(f"[red]{violation.invariant}[/] {violation.where}: {violation.message}", highlight=False)
    broken = {violation.invariant for violation in violations}
    passed = sorted({*checked} - broken)
    open_ = [name for name in ("I7", "I8") if name not in checked]
    console.print(
        f"{', '.join(passed) or 'none'} hold"
        + (f"; not checked without a second run: {', '.join(open_)}" if open_ else "")
    )
    if violations:
        raise typer.Exit(VIOLATED)


@app.command()
def analyzers() -> None:
    """List the analyzers."""
    from reelscope.analyzers import ANALYZERS

    table = Table("analyzer", "finds", "reads", "version")
    for analyzer in ANALYZERS:
        reads = ", ".join(kind.__name__ for kind in (*analyzer.requires, *analyzer.uses))
        table.add_row(analyzer.name, analyzer.title, reads, analyzer.version)
    console.print(table)


@app.command()
def schema() -> None:
    """Print the JSON Schema of results.json."""
    from reelscope.analyzers import ANALYZERS
    from reelscope.results import json_schema

    typer.echo(json.dumps(json_schema(ANALYZERS), indent=1))


@server.command("up")
def server_up(
    profile: ProfileOption = "cpu",
    http: Annotated[bool, typer.Option("--http", help="Open Triton's HTTP endpoint as well.")] = False,
) -> None:
    """Start the local Triton with every model of the profile, and leave it running."""
    with _reported():
        from reelscope import embedded

        with _progress() as show:
            record = embedded.up(settings.profile(profile), http=http, on_progress=_model_lines(show))
    console.print(
        f"gRPC at [bold]{record.grpc_url}[/], profile {record.profile}, log {record.log_path}", highlight=False
    )


@server.command("down")
def server_down() -> None:
    """Stop the local Triton."""
    with _reported():
        from reelscope import embedded

        stopped = embedded.down()
    console.print("stopped" if stopped else "none was running")


@server.command("status")
def server_status() -> None:
    """Say whether the local Triton runs, and which models are ready. Exit code 5 when it is not ready."""
    with _reported():
        from reelscope import embedded

        status = embedded.status()
    if status is None:
        console.print("no local server is running; start one with: reelscope server up")
        raise typer.Exit(NO_SERVER)
    table = Table("model", "ready", title=f"{status.record.grpc_url}, profile {status.record.profile}")
    for model, ready in status.models.items():
        table.add_row(model, "yes" if ready else "[red]no[/]")
    console.print(table)
    if not status.is_ready:
        raise typer.Exit(NO_SERVER)


@contextlib.contextmanager
def _client(
    profile: settings.Profile, url: str | None, analyzers: Sequence[Analyzer], show: Callable[[str, float], None]
) -> Iterator[InferenceClient | None]:
    """Connection for one job: to `url`, else to the running local server, else to one started for the job."""
    from reelscope import embedded, pipeline
    from reelscope.inference import InferenceClient

    if not pipeline.needed_ensembles(analyzers):
        yield None
        return
    with contextlib.ExitStack() as stack:
        if url is None:
            running = embedded.running()
            if running is not None and running.profile == profile.name:
                url = running.grpc_url
            else:
                url = stack.enter_context(embedded.EmbeddedServer(profile, on_progress=_model_lines(show))).grpc_url
        yield stack.enter_context(InferenceClient(url))


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[str, float], None]]:
    """A bar per stage; the function it yields takes a stage and its share done, 0-1."""
    columns = (SpinnerColumn(), TextColumn("{task.description:24}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=errors) as progress:
        tasks = {}

        def show(stage: str, share: float) -> None:
            if stage not in tasks:
                tasks[stage] = progress.add_task(stage, total=1.0)
            progress.update(tasks[stage], completed=share)

        yield show


def _model_lines(show: Callable[[str, float], None]) -> Callable[[str, str], None]:
    return lambda model, state: show(f"model {model}", 1.0 if state == "ready" else 0.5)


def _print_summary(results: Results, analyzers: Sequence[Analyzer]) -> None:
    media = results.media
    console.print(
        f"{media.duration_seconds:.2f} s, {media.width}x{media.height}, {media.frame_count} frames"
        f"{', variable frame rate' if media.is_variable_frame_rate else ''}, "
        f"{'audio' if media.audio.is_present else 'no audio'}, {len(results.shots)} shots",
        highlight=False,
    )
    table = Table("analyzer", "status", "segments", "wall s", "found")
    for analyzer in analyzers:
        result = results.analyzers[analyzer.name]
        colour = {"ok": "green", "partial": "yellow", "skipped": "dim"}.get(result.status, "red")
        status = f"[{colour}]{result.status}{'' if result.reason is None else f': {result.reason}'}[/]"
        found = result.message if result.summary is None else analyzer.headline(result.summary)
        if untrained := [warning for warning in result.warnings if warning.startswith("untrained_model:")]:
            found = f"{found} ({', '.join(untrained)})"
        seconds = f"{result.timings.wall_milliseconds / 1000:.1f}"
        table.add_row(analyzer.name, status, str(len(result.segments)), seconds, found or "")
    console.print(table)
