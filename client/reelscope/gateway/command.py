"""`reelscope serve`."""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import logging
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from reelscope import settings, tracing
from reelscope.errors import UsageError
from reelscope.gateway.configuration import LOOPBACK, Configuration
from reelscope.job import BiometricsOption, LongestOption, ProfileOption, UrlOption, served
from reelscope.terminal import address, console, errors, progress, reported

PORT = 8003
_SHUTDOWN_SECONDS = 10
_MEGABYTE = 1_000_000


def serve(
    root: Annotated[
        list[Path] | None,
        typer.Option(help="Folder below which video_path may name clips; may be repeated."),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen at; 0.0.0.0 for every network.")] = LOOPBACK[0],
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen at.")] = PORT,
    allowed_host: Annotated[
        list[str] | None,
        typer.Option(help="Name that this gateway may be asked by; default: this machine's own, or any with --host."),
    ] = None,
    profile: ProfileOption = "cpu",
    url: UrlOption = None,
    no_biometrics: BiometricsOption = False,
    jobs: Annotated[int, typer.Option(min=1, help="Clips that are analysed at the same time.")] = 1,
    queue: Annotated[int, typer.Option(min=1, help="Jobs that may wait; more are refused (429).")] = 32,
    timeout: Annotated[float, typer.Option(min=1, help="Most seconds for one clip.")] = 900.0,
    max_duration: LongestOption = 900.0,
    max_upload: Annotated[float, typer.Option(min=0.001, help="Largest upload, in MB.")] = 512.0,
    keep_days: Annotated[float, typer.Option(min=0, help="Days that jobs, results and uploads are kept.")] = 7.0,
    api_keys: Annotated[
        Path | None, typer.Option(help="File with a key per line; or REELSCOPE_API_KEYS, keys separated by commas.")
    ] = None,
) -> None:
    """Answer over HTTP on port 8003: health, analyses, jobs, events, reports.

    A local Triton is used or started as by `analyze`; one that was started ends with the gateway. Jobs and results are
    kept in the state folder. docs/gateway.md tells more.

    Exit codes: 2 usage, 5 no server, 130 Ctrl-C, 143 SIGTERM.
    """
    with reported(), contextlib.ExitStack() as stack:
        _require_extra()
        chosen = settings.profile(profile, biometrics=False if no_biometrics else None)
        keys, server_address = settings.api_keys(api_keys), address(url)
        roots = tuple(_folder(each) for each in root or ())
        folder = settings.state_folder() / "gateway"
        stack.enter_context(_claimed(folder))
        listening = stack.enter_context(_listening(host, port))
        if host not in LOOPBACK and not keys:
            errors.print("anybody who reaches this machine can use the gateway: set --api-keys", style="bold yellow")
        stack.enter_context(tracing.exported("reelscope-gateway"))
        with progress() as show:
            found = stack.enter_context(served(chosen, server_address, show, recovers=True))
        configuration = Configuration(
            folder=folder,
            profile=chosen,
            url=found,
            roots=roots,
            api_keys=keys,
            allowed_hosts=tuple(allowed_host or (LOOPBACK if host in LOOPBACK else ())),
            max_upload_bytes=round(max_upload * _MEGABYTE),
            max_seconds=max_duration,
            budget_seconds=timeout,
            queue_length=queue,
            parallel_jobs=jobs,
            keep_days=keep_days,
        )
        console.print(Text.assemble("listening at ", (f"http://{_shown(host)}:{port}", "bold")), soft_wrap=True)
        _run(configuration, listening)


def _run(configuration: Configuration, listening: socket.socket) -> None:
    """Serve until a signal ends it."""
    import uvicorn

    from reelscope.gateway.app import create_app
    from reelscope.gateway.observability import JsonLines

    lines = logging.StreamHandler()
    lines.setFormatter(JsonLines())
    logging.basicConfig(level=logging.INFO, handlers=[lines], force=True)
    app = create_app(configuration)

    class Server(uvicorn.Server):
        def handle_exit(self, sig: int, frame: object) -> None:
            app.state.gateway.jobs.dismiss()  # nobody is kept waiting for what will not come
            super().handle_exit(sig, frame)  # type: ignore[arg-type]

    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,  # it would name what was asked for
        server_header=False,
        lifespan="on",
        timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
    )
    Server(config).run(sockets=[listening])


def _require_extra() -> None:
    wanted = ("fastapi", "uvicorn", "python_multipart", "prometheus_client")
    if absent := [name for name in wanted if importlib.util.find_spec(name) is None]:
        raise UsageError(f"the gateway needs {', '.join(absent)}", "pip install 'reelscope[gateway]'")


def _folder(path: Path) -> Path:
    if not path.is_dir():
        raise UsageError(f"--root {path}: no such folder")
    return path.resolve()


@contextlib.contextmanager
def _claimed(folder: Path) -> Iterator[None]:
    """Be the only gateway that keeps its jobs in this folder."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UsageError(
                f"{folder}: another gateway keeps its jobs there", "export REELSCOPE_STATE=ANOTHER_FOLDER"
            ) from error
        yield


@contextlib.contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family)
    except OSError as error:
        raise UsageError(f"{host}:{port}: cannot be listened at ({error.strerror})") from error
    with listening:
        yield listening


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host
