"""`reelscope models`: what a running server serves, and changing it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from itertools import starmap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Column, Table
from rich.text import Text

from reelscope import settings, sizing
from reelscope.errors import ServerUnreachable, UsageError
from reelscope.terminal import VIOLATED, address, console, counted, errors, reported

if TYPE_CHECKING:
    from reelscope.rollout import Comparison, Measured, ModelState, Rollout

app = typer.Typer(
    help="Models of a running server: what serves, and changing it without a failed request.\n\n"
    "A new version, step by step:\n\n"
    "1. `reelscope-export MODEL --candidate` builds and verifies it, aside: nothing serves it yet.\n"
    "2. `reelscope models roll MODEL` checks it beside the serving version, then lets it serve.\n"
    "3. `reelscope models rollback MODEL` returns to the version before, if need be.\n\n"
    "The old version serves until the new one is ready, and keeps serving when that is refused; both are in memory "
    "meanwhile. A changed config.pbtxt: `reelscope models roll MODEL --config`.\n\n"
    "Without `--url` the local server is meant (`reelscope server up`). Versions are folders of the model repository: "
    "for another server, `--repository` says where they can be reached from here.\n\n"
    "Where the server keeps these calls for its administrator, REELSCOPE_TRITON_ADMIN_KEY_FILE names the file with the "
    "key; REELSCOPE_TRITON_CA, _CERT and _CERT_KEY name certificates for TLS.\n\n"
    "Exit codes: 0 done, 1 refused or undone (what served before serves), 2 usage, 5 no server.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)

_MOVING = ("LOADING", "UNLOADING")

ModelArgument = Annotated[str, typer.Argument(help="Name of the model, as `reelscope models list` shows it.")]
UrlOption = Annotated[
    str | None,
    typer.Option(
        help="HOST:PORT of a Triton server (gRPC), grpcs://HOST:PORT with TLS; default: the running local one."
    ),
]
RepositoryOption = Annotated[
    Path | None, typer.Option(help="Folder that the server serves the model from; default: the deployment's.")
]


@app.command("list")
def list_models(url: UrlOption = None) -> None:
    """List models and ensembles: versions, what they run, whose weights answer, and why one does not serve."""
    with reported(), _rollout(url) as rollout:
        from reelscope.rollout import overview

        states = overview(rollout.client)
    table = Table("model", "serving", "runs", "weights", "used by")
    for state in states:
        moving = "".join(f"; {row.version} {row.state.lower()}" for row in state.versions if row.state in _MOVING)
        serving = Text(f"version {', '.join(state.serving)}{moving}" if state.serving else f"no: {state.reason}")
        if not state.serving:
            serving.stylize("dim" if state.reason == "never loaded" else "red")
        runs = ", ".join(filter(None, (state.kind, state.file_name, state.instances)))
        table.add_row(state.name, serving, runs, _weights(state), ", ".join(state.used_by))
    console.print(table)


@app.command()
def status(model: ModelArgument, url: UrlOption = None) -> None:
    """Tell everything about one model: every version that the server knows, config, provenance, ensembles."""
    with reported(), _rollout(url) as rollout:
        from reelscope.rollout import overview

        if not (states := overview(rollout.client, model)):
            raise UsageError(f"the server has no model {model}; reelscope models list shows what there is")
    state = states[0]
    table = Table("", "", show_header=False, title=state.name, title_justify="left")
    for row in state.versions:
        if row.version or row.state:
            table.add_row(f"version {row.version}", ": ".join(filter(None, (row.state.lower(), row.reason.strip()))))
    config = state.config or {}
    tensors = [
        (f"{side} {item['name']}", f"{item['data_type'].removeprefix('TYPE_')} [{', '.join(map(str, item['dims']))}]")
        for side in ("input", "output")
        for item in config.get(side, ())
    ]
    facts = (
        ("serves", ", ".join(state.serving) or f"no: {state.reason}"),
        ("runs", state.kind),
        ("file", state.file_name),
        ("instances", state.instances),
        ("largest batch", str(config.get("max_batch_size", 0)) if config else ""),
        ("used by", ", ".join(state.used_by)),
        *tensors,
        *((f"{name} {key}", str(value)) for name, said in state.provenance.items() for key, value in said.items()),
    )
    for name, value in facts:
        if value:
            table.add_row(name, Text(value))
    console.print(table)


@app.command()
def load(model: ModelArgument, url: UrlOption = None) -> None:
    """Load a model that does not serve. What serves already is changed with roll."""
    with reported(), _rollout(url) as rollout:
        versions = rollout.load(model)
    console.print(f"{model}: version {', '.join(versions)} serves")


@app.command()
def unload(
    model: ModelArgument,
    url: UrlOption = None,
    force: Annotated[bool, typer.Option("--force", help="Unload it even if ensembles go down with it.")] = False,
) -> None:
    """Unload a model. Refused while ensembles that serve use it."""
    with reported(), _rollout(url) as rollout:
        taken_down = rollout.unload(model, force=force)
    ensembles = f"; this took down {', '.join(taken_down)}" if taken_down else ""
    console.print(f"{model} is unloaded{ensembles}")


@app.command()
def roll(
    model: ModelArgument,
    version: Annotated[int | None, typer.Option(help="Bring back this version, which was rolled back.")] = None,
    config: Annotated[bool, typer.Option("--config", help="No new version: let the configs on disk serve.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Even random weights for trained ones, or less batch.")
    ] = False,
    url: UrlOption = None,
    repository: RepositoryOption = None,
) -> None:
    """Check the candidate beside the serving version, and make it the next version if it is fit.

    The candidate is the folder MODEL/candidate of the model repository: `reelscope-export MODEL --candidate` makes it,
    or you put files there. It must have the same tensors, answer with the right shapes and finite numbers, say whose
    weights it holds, and answer batches as it answers single rows. It is then renamed to the next number and loaded;
    what fails is undone.
    """
    with reported(), _rollout(url, repository) as rollout:
        if config and version is not None:
            raise UsageError("--config serves the version that there is; leave out --version")
        if config:
            change = rollout.roll_config(model, force=force, on_checked=_print_comparison)
        else:
            change = rollout.roll(model, version=version, force=force, on_checked=_print_comparison)
    before = " with the config on disk" if config else f", before it {change.before}; back: models rollback {model}"
    console.print(f"{model}: version {change.version} serves{before}", soft_wrap=True)


@app.command()
def rollback(model: ModelArgument, url: UrlOption = None, repository: RepositoryOption = None) -> None:
    """Return to the version before, now and after every restart.

    The later version is set aside (MODEL/rolled-back-N) and can be brought back: models roll MODEL --version N.
    """
    with reported(), _rollout(url, repository) as rollout:
        change = rollout.roll_back(model)
    console.print(
        f"{model}: version {change.version} serves; version {change.before} is set aside, "
        f"back: models roll {model} --version {change.before}",
        soft_wrap=True,
    )


@app.command()
def plan(
    profile: Annotated[str, typer.Option(help="Profile of server/profiles.toml that runs on a GPU.")] = "rtx8000",
) -> None:
    """Say whether a profile fits its GPU: memory and time of every model, from figures measured on another GPU.

    No server is asked. Memory is what the configs allow; times are a projection by the data sheets of both GPUs. Exit
    codes: 0 it fits, 1 it does not.
    """
    with reported():
        found = sizing.plan(settings.profile(profile))
    _print_plan(found)
    if found.faults:
        raise typer.Exit(VIOLATED)


def _print_plan(found: sizing.Plan) -> None:
    titles = ("GB at most", "GB measured", "ms measured", "ms projected")
    table = Table("model", *(Column(title, justify="right") for title in titles), title=found.gpu.name)
    for model in found.models:
        copies = f", {model.instance_count} instances" if model.instance_count > 1 else ""
        variant = f"{model.variant} {model.precision}" if model.variant else "Python"
        name = Text.assemble(f"{model.name}\n", (f"{variant}{copies}", "dim"))
        if not model.on_gpu:
            table.add_row(name, Text("on the CPU", "dim"))
            continue
        measured = _decimals(model.measured_gb, 1) + ("*" if model.is_scaled else "")
        table.add_row(
            name,
            _decimals(model.limit_gb, 1, "no limit"),
            Text(measured, "red" if model.passes_limit else ""),
            _decimals(model.measured_milliseconds, 0),
            _decimals(model.projected_milliseconds, 0),
        )
    table.add_row("a process without a model", f"{found.process_gb:.1f}")
    measured_ms = sum(model.measured_milliseconds or 0.0 for model in found.models)
    total = (f"{found.planned_gb:.1f}", "", f"{measured_ms:.0f}", f"{found.milliseconds:.0f}")
    table.add_row("together", *total, style="bold")
    console.print(table)
    console.print(
        f"{found.planned_gb:.1f} of {found.gpu.memory_budget_gb:g} GB: what the configs allow, or what was measured "
        "where they limit nothing; every network in one process, as in NVIDIA's container. The local server has one "
        f"for each: {found.embedded_gb - found.planned_gb:.0f} GB more. * share of what a larger batch took.\n"
        f"Measured: a window of 20 frames, or as many rows as the model takes; of Qwen2-VL five windows of 8 frames. "
        f"Projected, not measured, by the GPUs' data sheets: {'; '.join(starmap(_ratios, found.ratios.items()))}.",
        soft_wrap=True,
    )
    for fault in found.faults:
        errors.print(Text(fault, "red"), soft_wrap=True)


def _ratios(gpu: str, ratios: sizing.Ratios) -> str:
    return (
        f"of what one {gpu} did, FP16 takes {ratios.compute:.1f} times as long (bound by the tensor cores), "
        f"FP32 {ratios.memory:.1f} times (bound by memory)"
    )


def _decimals(value: float | None, digits: int, otherwise: str = "unmeasured") -> str:
    return otherwise if value is None else f"{value:.{digits}f}"


@contextlib.contextmanager
def _rollout(url: str | None, repository: Path | None = None) -> Iterator[Rollout]:
    """The server that is meant, and the folders that it serves."""
    checked = address(url)  # before the slow imports
    if repository is not None and not repository.is_dir():
        raise UsageError(f"--repository {repository}: no such folder")
    from reelscope import embedded
    from reelscope.inference import RepositoryClient
    from reelscope.rollout import Rollout

    if checked is not None:
        folders = embedded.default_repositories
    elif (record := embedded.running()) is not None:
        checked, folders = record.grpc_url, lambda: record.repositories
    else:
        raise ServerUnreachable("no local server is running; --url names another", "reelscope server up")
    with RepositoryClient(checked) as client:
        if not client.server_live():
            raise ServerUnreachable(f"no Triton server answers at {checked}")
        yield Rollout(
            client,
            folders if repository is None else lambda: (repository.resolve(),),
            lambda line: errors.print(line, soft_wrap=True),
        )


def _weights(state: ModelState) -> Text:
    said = Text()
    for number, stated in enumerate(state.provenance.values()):
        source = f"{stated['source']} {stated['revision']}"[:40]
        said.append("\n" if number else "")
        said.append("trained" if stated["trained"] else "random", "" if stated["trained"] else "yellow")
        said.append(f", {source}" if stated["trained"] else "")
    return said


def _print_comparison(found: Comparison) -> None:
    table = Table(
        "", "serving", "candidate", title=f"{found.serving.model}: checked side by side", title_justify="left"
    )
    both = (found.serving, found.candidate)
    table.add_row("version", found.serving.version, "new")
    for output in found.serving.provenance | found.candidate.provenance:
        for key in ("trained", "source", "revision", "sha256", "licence", "precision"):
            table.add_row(f"{output.removesuffix('provenance')}{key}", *(_said(each, output, key) for each in both))
    table.add_row("one row, median", *(f"{each.p50_seconds * 1000:.1f} ms" for each in both))
    table.add_row("batch equals rows", *(_percent(each.batch_agreement_ratio) for each in both))
    table.add_row("equal outputs", "", _percent(found.agreement_ratio))
    console.print(table)
    if found.objections:
        errors.print(counted(len(found.objections), "objection") + ": " + "; ".join(found.objections), soft_wrap=True)


def _said(measured: Measured, output: str, key: str) -> Text:
    value = measured.provenance.get(output, {}).get(key, "")
    text = ("yes" if value else "no: random weights") if isinstance(value, bool) else str(value)
    return Text(text[:12] if key == "sha256" else text, "yellow" if value is False else "")


def _percent(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.1%}"
