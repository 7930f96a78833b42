"""`reelscope-export`: build the model repository that Triton serves."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from reelscope_export import paths, tensorrt_settings, weights
from reelscope_export.errors import ExportError, PlanRefused, UsageError
from reelscope_export.export import Exporter, Outcome
from reelscope_export.paths import ModelSettings
from reelscope_export.registry import ADAPTERS, MODELS, load_module
from reelscope_export.tensorrt_settings import Profiles

if TYPE_CHECKING:
    from reelscope_export.tensorrt_plan import PlanBuilder

app = typer.Typer(add_completion=False, rich_markup_mode="rich", pretty_exceptions_enable=False)

_console = Console(stderr=True)

_EPILOG = """
[bold]Examples[/bold]

[cyan]reelscope-export --all[/cyan] - everything that the CPU profile serves

[cyan]reelscope-export object_yolov8 --profile rtx8000[/cyan] - one model, FP16

[cyan]reelscope-export object_yolov8 --candidate[/cyan] - its next version, not served yet

[cyan]reelscope-export --all --weights random[/cyan] - offline; answers mean nothing

[bold]REELSCOPE_REPOSITORY[/bold]: where to build.
[bold]REELSCOPE_WEIGHTS[/bold]: cache of weights; without a network, put checkpoints there.

[bold]Exit codes[/bold]: 0 all in place; 1 an export failed: its old file stays,
and the other models are built all the same; 2 wrong usage.
"""


class _Mode(StrEnum):
    AUTO = "auto"
    TRAINED = "trained"
    RANDOM = "random"


class _Policy(StrEnum):
    ANY = "any"
    COMMERCIAL = "commercial"


@app.command(epilog=_EPILOG)
def export(
    model: Annotated[str | None, typer.Argument(help=f"One of: {', '.join(MODELS)}.", show_default=False)] = None,
    every: Annotated[bool, typer.Option("--all", help="Every model that the profile serves.")] = False,
    profile: Annotated[str, typer.Option(help="Profile of server/profiles.toml: cpu, rtx8000, h200.")] = "cpu",
    mode: Annotated[
        _Mode, typer.Option("--weights", help="auto: trained where cache or network have them, else random; it says.")
    ] = _Mode.AUTO,
    policy: Annotated[
        _Policy, typer.Option("--licence-policy", help="commercial: no weights whose licence forbids commercial use.")
    ] = _Policy.ANY,
    accept: Annotated[
        list[str] | None,
        typer.Option("--accept-licence", metavar="NAME", help="Download weights that ask for it, under this licence."),
    ] = None,
    repository: Annotated[
        Path | None, typer.Option(help="Model repository to build into.", show_default="the checkout's or the user's")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Build even what is up to date.")] = False,
    candidate: Annotated[
        bool, typer.Option("--candidate", help="Build the next version aside; `reelscope models roll` lets it serve.")
    ] = False,
    tensorrt: Annotated[
        bool,
        typer.Option("--tensorrt", help="Also build FP16 plans for this machine's GPU, MODEL_trt; of models that can."),
    ] = False,
) -> None:
    """Build models for Triton: official weights in, verified ONNX files out.

    Each graph takes raw frames and gives final results: what comes before
    and after the network is inside. It is placed only when it answers like
    the library that the weights come from. A second run builds what changed.
    """
    outcomes: list[Outcome] = []
    failures: list[ExportError] = []
    try:
        profiles = paths.read_profiles()
        names = _chosen(model, every, tuple(paths.profile_table(profiles, profile)["models"]))
        settings = [paths.model_settings(profiles, profile, name) for name in names]
        cache = weights.Cache(paths.weights_folder(), weights.read_manifest(), _report, frozenset(accept or ()))
        exporter = Exporter(
            repository=repository or paths.repository_folder(),
            cache=cache,
            mode=mode.value,
            policy=policy.value,
            force=force,
            candidate=candidate,
            report=_report,
        )
        plans = _plan_builder(settings, profiles, every) if tensorrt else None
        for each in settings:
            try:
                outcomes.append(exporter.export(each))
                if plans:
                    _add_plan(plans, outcomes[-1], profiles, every)
            except ExportError as exc:
                _print_error(exc)
                failures.append(exc)
    except ExportError as exc:
        _print_error(exc)
        failures.append(exc)
    finally:
        if outcomes:
            _print_table(outcomes)
    if failures:
        raise typer.Exit(failures[0].exit_code)


def _chosen(model: str | None, every: bool, served: tuple[str, ...]) -> tuple[str, ...]:
    if every == (model is not None):
        raise UsageError(f"name one model or give --all; models: {', '.join(MODELS)}")
    if model in ADAPTERS:
        raise UsageError(f"{model} is served by its committed 1/model.py: there is nothing to build")
    return tuple(name for name in MODELS if name in served) if model is None else (model,)


def _plan_builder(chosen: Sequence[ModelSettings], profiles: Profiles, every: bool) -> PlanBuilder:
    """TensorRT and a GPU, found before anything is built; a single model that can have no plan is refused as well."""
    from reelscope_export.tensorrt_graph import require_candidate
    from reelscope_export.tensorrt_plan import PlanBuilder

    if not every:
        (each,) = chosen
        shapes = tensorrt_settings.shapes(profiles, each.profile, each.model)
        require_candidate(load_module(each.model).CONTRACT, each, shapes)
    return PlanBuilder.open()


def _add_plan(plans: PlanBuilder, outcome: Outcome, profiles: Profiles, every: bool) -> None:
    settings = outcome.settings
    shapes = tensorrt_settings.shapes(profiles, settings.profile, settings.model)
    try:
        plan = plans.build(settings, shapes, outcome.weights, outcome.file, load_module(settings.model))
    except PlanRefused as exc:
        if not every:
            raise
        _report(str(exc))
    else:
        _report(f"{plan.model}: {plan.file.name}, {'; '.join(map(str, plan.measures))}")


def _print_error(error: ExportError) -> None:
    _console.print(f"[red]{error.code}[/red]: {error}", highlight=False, soft_wrap=True)


def _report(line: str) -> None:
    _console.print(f"[dim]-[/dim] {line}", highlight=False, soft_wrap=True)


def _print_table(outcomes: list[Outcome]) -> None:
    table = Table(title="Model repository", title_justify="left")
    for column in ("model", "weights", "parity with upstream", "file"):
        table.add_column(column, overflow="fold")
    for column in ("MB", "seconds"):
        table.add_column(column, justify="right", no_wrap=True)
    for outcome in outcomes:
        settings, chosen = outcome.settings, outcome.weights
        table.add_row(
            f"{settings.model}\n{settings.variant} {settings.precision}",
            f"trained\n{chosen.source}" if chosen.trained else f"[yellow]untrained[/yellow]\n{chosen.source}",
            "\n".join(measure.figure for measure in outcome.measures) or "as when built",
            f"{outcome.file.parent.name}/{outcome.file.name}\n{'built' if outcome.built else 'unchanged'}",
            f"{outcome.file.stat().st_size / 1e6:.1f}",
            f"{outcome.seconds:.1f}",
        )
    Console().print(table)
