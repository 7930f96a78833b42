"""The command line: analyze, report, evaluate, check, convert, serve, analyzers, schema, doctor, server, models.

Exit codes: 0 every requested analyzer is ok, or skipped with a reason; 1 `check` found a violation, `doctor`
that something is missing, or `models` refused a change; 2 usage; 3 results are written, but some analyzer failed or is
partial; 4 the clip cannot be analysed; 5 no server; 130 Ctrl-C; 143 SIGTERM.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from reelscope import __version__, models, settings
from reelscope.errors import UsageError
from reelscope.evaluation import command as evaluation
from reelscope.exports import FORMATS, Contents
from reelscope.gateway import command as gateway
from reelscope.job import (
    BiometricsOption,
    LongestOption,
    ProfileOption,
    UrlOption,
    connected,
    model_lines,
    print_failed,
    writable,
)
from reelscope.operations import command as operations
from reelscope.terminal import (
    INCOMPLETE,
    NO_SERVER,
    VIOLATED,
    address,
    console,
    counted,
    print_checks,
    print_summary,
    progress,
    reported,
)

REPORT = "report.html"

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
app.add_typer(models.app, name="models")
models.app.command()(operations.stats)
models.app.command()(operations.trace)
app.command()(operations.top)
app.command()(operations.backup)
app.command()(operations.restore)
app.command()(evaluation.evaluate)
app.command()(gateway.serve)


@app.callback(invoke_without_command=True)
def main(version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False) -> None:
    """Print the version."""
    if version:
        console.print(f"reelscope {__version__}")
        raise typer.Exit


@app.command()
def analyze(
    clip: Annotated[Path, typer.Argument(help="The video file.")],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Folder for results.json and report.html; made when missing.")
    ],
    only: Annotated[str | None, typer.Option(help="Analyzers to run, separated by commas; default: all.")] = None,
    profile: ProfileOption = "cpu",
    url: UrlOption = None,
    detail: Annotated[str, typer.Option(help="standard, or full with the densest series.")] = "standard",
    timeout: Annotated[float, typer.Option(min=1, help="Seconds for the whole job.")] = 900.0,
    max_duration: LongestOption = 900.0,
    no_biometrics: BiometricsOption = False,
    no_report: Annotated[bool, typer.Option("--no-report", help="Write no report.html.")] = False,
) -> None:
    """Analyse one clip and write OUTPUT/results.json, and OUTPUT/report.html to look at it.

    Exit codes: 0 every analyzer ok (or skipped with a reason), 2 usage, 3 some analyzer failed or is partial,
    4 the clip cannot be analysed, 5 no server.
    """
    with reported():
        from reelscope import decode, pipeline, results

        if detail not in ("standard", "full"):
            raise UsageError(f"--detail is standard or full, not {detail!r}")
        analyzers = pipeline.select(_names(only))
        server_address = address(url)
        chosen = settings.profile(profile, biometrics=False if no_biometrics else None)
        with decode.Decoder(clip, chosen.base_frame_rate, None, max_seconds=max_duration):
            pass  # a clip that cannot be read is refused before a server is started for it
        file = writable(output, "results.json")
        with progress() as show, connected(chosen, server_address, analyzers, show) as client:
            found = pipeline.analyze(
                clip,
                analyzers=analyzers,
                profile=chosen,
                client=client,
                detail="full" if detail == "full" else "standard",
                budget_seconds=timeout,
                max_seconds=max_duration,
                on_progress=show,
            )
        values = results.to_json(found, analyzers)
        results.write(values, file)
        print_summary(found, analyzers)
        _print_size(file)
        if not no_report:
            _write_report(values, clip, output / REPORT)
    if any(result.status in ("failed", "partial") for result in found.analyzers.values()):
        raise typer.Exit(INCOMPLETE)


@app.command()
def report(
    results: Annotated[Path, typer.Argument(help="A results.json.")],
    clip: Annotated[Path | None, typer.Argument(help="The clip that was analysed; without it, no pictures.")] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help=f"File to write; default: {REPORT} beside RESULTS.")
    ] = None,
) -> None:
    """Write results as one HTML page to look at: it needs no network and no server.

    The clip plays with what was found drawn over it, above a timeline of all analyzers. A clip of up to 20 MB becomes
    part of the page; a larger one must lie beside it, under its name.
    """
    with reported():
        from reelscope.results import read

        _write_report(read(results), clip, output or results.parent / REPORT)


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
    with reported():
        from reelscope import check as rules
        from reelscope.results import read

        values = read(results)
        violations = rules.check(values)
        is_fit = not any(violation.invariant == "I1" for violation in violations)
        checked = {*rules.ALONE} if is_fit else {"I1"}
        for second, is_flipped in ((rerun, None), (flipped, True), (rotated, False), (doubled, False)):
            if second is None:
                continue
            others = read(second)
            violations += (found := rules.misfits(others, str(second)))
            if any(violation.invariant == "I1" for violation in found):
                continue
            if is_fit and is_flipped is None:
                violations += rules.check_rerun(values, others)
                checked.add("I7")
            elif is_fit:
                violations += rules.check_twin(values, others, is_flipped=bool(is_flipped))
                checked.add("I8")
    for violation in violations:
        line = Text.assemble((violation.invariant, "red"), f" {violation.where}: {violation.message}")
        console.print(line, soft_wrap=True)
    broken = {violation.invariant for violation in violations}
    verdicts = (
        ("{} hold", checked - broken),
        ("broken: {}", broken),
        ("not checked: {}", {*rules.INVARIANTS} - checked),
    )
    said = "; ".join(verdict.format(", ".join(sorted(names))) for verdict, names in verdicts if names)
    console.print(said, soft_wrap=True)
    if violations:
        raise typer.Exit(VIOLATED)


@app.command(epilog="\n\n".join(f"**{each.name}**: {each.title} → {each.files}" for each in FORMATS))
def convert(
    results: Annotated[Path, typer.Argument(help="A results.json.")],
    to: Annotated[str, typer.Option(help=f"Form to write: {', '.join(each.name for each in FORMATS)}.")],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="File to write, or folder of several files; default: beside RESULTS."),
    ] = None,
    clip: Annotated[
        Path | None, typer.Option(help="otio: the clip that was analysed, for editing programs to find it.")
    ] = None,
) -> None:
    """Write results in another form, for players, spreadsheets, editing programs or annotation tools.

    Each file appears complete or not at all. What random weights found says so where the form can, and is left out of
    captions and chapters.
    """
    with reported():
        from reelscope.results import read, write_text

        form = next((each for each in FORMATS if each.name == to), None)
        if form is None:
            raise UsageError(f"--to is one of {', '.join(each.name for each in FORMATS)}, not {to!r}")
        if clip and not form.names_clip:
            raise UsageError(f"--clip is for otio: {to} does not refer to the clip")
        documents = form.documents(Contents(read(results), clip))
        folder = output if output and form.is_folder else results.parent
        for name, document in documents.items():
            file = output if output and not form.is_folder else folder / name
            write_text(document.text, file)
            console.print(
                Text.assemble((str(file), "bold"), f"  {counted(document.count, document.noun)}"), soft_wrap=True
            )


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
def schema(
    of: Annotated[
        str, typer.Argument(help="results, truth (annotations that `evaluate` reads) or evaluation (what it writes).")
    ] = "results",
) -> None:
    """Print the JSON Schema of results.json, or of another of our files."""
    with reported():
        from reelscope.analyzers import ANALYZERS
        from reelscope.evaluation import figures, truth
        from reelscope.schema import json_schema

        schemas = {
            "results": lambda: json_schema(ANALYZERS),
            "truth": truth.json_schema,
            "evaluation": figures.json_schema,
        }
        if of not in schemas:
            raise UsageError(f"there is a schema of {', '.join(schemas)}; none of {of!r}")
    typer.echo(json.dumps(schemas[of](), indent=1))


@app.command()
def doctor(
    profile: ProfileOption = "cpu",
    url: Annotated[
        str | None,
        typer.Option(help="HOST:PORT of the Triton server that serves the profile, when it is not this machine."),
    ] = None,
) -> None:
    """Say what the profile needs on this machine, what of it is missing, and what mends it.

    Exit codes: 0 the profile can run, 1 something that it needs is missing.
    """
    with reported():
        from reelscope.doctor import examine

        checks = examine(settings.profile(profile), url)
    print_checks(checks)
    count = sum(check.state == "missing" for check in checks)
    console.print(f"profile {profile} {f'cannot run: {count} missing' if count else 'can run'}", soft_wrap=True)
    if count:
        raise typer.Exit(VIOLATED)


@server.command("up")
def server_up(
    profile: ProfileOption = "cpu",
    http: Annotated[bool, typer.Option("--http", help="Open Triton's HTTP endpoint as well.")] = False,
    no_biometrics: BiometricsOption = False,
) -> None:
    """Start the local Triton with every model of the profile, and leave it running.

    A model that cannot be loaded is named, and the others serve. Exit codes: 0 it runs, 5 it does not.
    """
    with reported():
        from reelscope import embedded

        chosen = settings.profile(profile, biometrics=False if no_biometrics else None)
        with progress() as show:
            record = embedded.up(chosen, http=http, on_progress=model_lines(show))
    print_failed(record.failed)
    console.print(
        Text.assemble("gRPC at ", (record.grpc_url, "bold"), f", profile {record.profile}, log {record.log_path}"),
        soft_wrap=True,
    )


@server.command("restart")
def server_restart(
    patience: Annotated[float, typer.Option(min=0, help="Longest wait for analyses under way, in seconds.")] = 900.0,
) -> None:
    """Restart the local Triton at the same address, when no analysis of this machine is under way.

    Those that begin meanwhile wait until it serves again. Exit codes: 1 analyses still run, nothing was restarted;
    5 it does not run, or did not come back.
    """
    with reported():
        from reelscope import embedded

        event = embedded.restart(patience).events[-1]
    console.print(f"serves again after {event.seconds:.1f} s")


@server.command("down")
def server_down() -> None:
    """Stop the local Triton."""
    with reported():
        from reelscope import embedded

        stopped = embedded.down()
    console.print("stopped" if stopped else "none was running")


@server.command("status")
def server_status() -> None:
    """Say whether the local Triton runs, and which models are ready. Exit code 5 when it is not ready."""
    with reported():
        from reelscope import embedded

        status = embedded.status()
    if status is None:
        console.print("no local server is running; start one with: reelscope server up")
        raise typer.Exit(NO_SERVER)
    table = Table("model", "ready", title=f"{status.record.grpc_url}, profile {status.record.profile}")
    for model, ready in status.models.items():
        table.add_row(model, "yes" if ready else Text("no", "red"))
    console.print(table)
    if said := status.supervision:
        console.print(
            f"supervisor: {said.state}, tritonserver is process {said.server_pid}; log {status.record.log_path}"
        )
        for event in said.events:
            moment = datetime.fromtimestamp(event.at).astimezone().isoformat(sep=" ", timespec="seconds")
            ended = "given up" if event.seconds is None else f"served again after {event.seconds:.1f} s"
            console.print(f"  {moment}  {event.what}: {ended}", soft_wrap=True)
    print_failed({model: why for model, why in status.record.failed.items() if not status.models.get(model)})
    if not status.is_ready:
        raise typer.Exit(NO_SERVER)


def _write_report(values: Mapping[str, Any], clip: Path | None, file: Path) -> None:
    from reelscope import report
    from reelscope.results import write_text

    write_text(report.build(values, clip), file)
    _print_size(file)


def _print_size(file: Path) -> None:
    console.print(Text.assemble((str(file), "bold"), f"  {file.stat().st_size / 1e6:.2f} MB"), soft_wrap=True)


def _names(only: str | None) -> list[str] | None:
    """Analyzers that `--only` names."""
    if only is None:
        return None
    if names := [name.strip() for name in only.split(",") if name.strip()]:
        return names
    from reelscope.analyzers import ANALYZERS

    known = ", ".join(sorted(analyzer.name for analyzer in ANALYZERS))
    raise UsageError(f"--only names no analyzer; there are: {known}")
