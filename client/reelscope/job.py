"""What commands that run models share: their options, the folder they write to, the connection to a server."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from reelscope import settings, tracing
from reelscope.errors import UsageError
from reelscope.processes import prepare_for_analysis
from reelscope.terminal import errors

if TYPE_CHECKING:
    from reelscope.analyzers.base import Analyzer
    from reelscope.inference import InferenceClient

BiometricsOption = Annotated[
    bool,
    typer.Option(
        "--no-biometrics",
        help="Judge nobody by face or voice: no age, expression, gaze or vocal emotion; no face is cut out.",
    ),
]
ProfileOption = Annotated[str, typer.Option(help="Profile of server/profiles.toml: cpu, rtx8000, h200.")]
UrlOption = Annotated[
    str | None,
    typer.Option(
        help="HOST:PORT of a Triton server (gRPC), grpcs://HOST:PORT with TLS; "
        "default: the local one, or one for this job."
    ),
]
LongestOption = Annotated[float, typer.Option(min=1, help="Longest clip that is accepted, in seconds.")]


def writable(folder: Path, name: str) -> Path:
    """The file of this name in the folder, which is created when missing, once it is known that it can be written.

    Raises:
        UsageError: it cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UsageError(f"{folder}: cannot be written to ({error.strerror})") from error
    if (folder / name).is_dir():
        raise UsageError(f"{folder / name}: cannot be written (is a folder)")
    return folder / name


@contextlib.contextmanager
def connected(
    profile: settings.Profile, url: str | None, analyzers: Sequence[Analyzer], show: Callable[[str, float], None]
) -> Iterator[InferenceClient | None]:
    """Connection for one job to a server that is `served`; None when none is needed."""
    from reelscope import embedded, pipeline
    from reelscope.inference import InferenceClient

    prepare_for_analysis()
    with tracing.exported("reelscope"):
        if not pipeline.needed_ensembles(pipeline.permitted(analyzers, profile)):
            yield None
            return
        with (
            served(profile, url, show) as found,
            embedded.using(found, _say_waiting),
            InferenceClient(found) as client,
            tracing.span("analyze", {}),
        ):
            yield client


@contextlib.contextmanager
def served(
    profile: settings.Profile, url: str | None, show: Callable[[str, float], None], *, recovers: bool = False
) -> Iterator[str]:
    """Address of a server: `url`, else that of the running local server, else that of one started for the block.

    The one that is started is started again when it dies, if `recovers`.
    """
    from reelscope import embedded

    running = embedded.running() if url is None else None
    mismatch = running.lacks(profile) if running else None
    if url is not None or (running and not mismatch):
        yield url or running.grpc_url  # type: ignore[union-attr]
        return
    if mismatch:
        errors.print(f"the running server is one {mismatch}: starting another", soft_wrap=True)
    with embedded.EmbeddedServer(profile, recovers=recovers, on_progress=model_lines(show)) as started:
        print_failed({name: str(error) for name, error in started.failed.items()})
        try:
            yield started.grpc_url
        finally:
            errors.print("stopping the server")


def _say_waiting() -> None:
    errors.print("the server is being restarted: waiting")


def print_failed(failed: Mapping[str, str]) -> None:
    """Name the models that are not served: what needs them will fail, the rest goes on."""
    for model, reason in failed.items():
        errors.print(Text.assemble((model, "bold red"), f" is not served: {reason}"), soft_wrap=True)


def model_lines(show: Callable[[str, float], None]) -> Callable[[str, str], None]:
    """A line of the progress bars per model that is loaded."""
    return lambda model, state: show(f"model {model}", 1.0 if state == "ready" else 0.5)
