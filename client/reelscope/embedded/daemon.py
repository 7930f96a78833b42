"""The embedded server that outlives the command that started it: up, status, restart, down.

One per state folder. `server.json` there says which process it is; a record whose process is gone, or whose pid now
belongs to another process, is removed by whoever finds it. A lock file keeps two commands from starting two servers.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from reelscope import settings
from reelscope.embedded import supervisor
from reelscope.embedded.deployment import expected_versions
from reelscope.embedded.server import EmbeddedServer, Progress, error_lines
from reelscope.embedded.supervisor import sweep_shared_memory
from reelscope.embedded.use import in_use, out_of_use
from reelscope.errors import ServerStartFailed, ServerUnreachable, UsageError
from reelscope.processes import ProcessIdentity


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerRecord:
    """A detached server, as recorded in the state folder."""

    profile: str
    config_name: str
    """Variant of the configs that it serves; empty for config.pbtxt itself."""
    repository: str
    """Model repository that it serves, an absolute path."""
    grpc_url: str
    metrics_url: str
    http_url: str
    """Empty when HTTP is off."""
    log_path: str
    models: tuple[str, ...]
    """Models and ensembles that it is to serve; which versions, the repository says."""
    failed: dict[str, str]
    """Those of them that did not load when it started, and why."""
    biometrics: bool
    """Whether the models that judge people by face or voice are among them."""
    supervisor_pid: int
    """Process to signal; it ends with the server."""
    supervisor_start_ticks: int
    """Its start in clock ticks since boot: a recycled pid has another."""
    server_pid: int
    """Process id of the first tritonserver; one that was started again has another: see `Supervision`."""

    @property
    def supervisor(self) -> ProcessIdentity:
        """The process to signal."""
        return ProcessIdentity(self.supervisor_pid, self.supervisor_start_ticks)

    @property
    def repositories(self) -> tuple[Path, ...]:
        """Folders that it serves: the models, and the ensembles over them."""
        return Path(self.repository), settings.deployment_root() / "ensembles"

    def lacks(self, profile: settings.Profile, http: bool = False) -> str | None:
        """Say in what the server cannot stand in for the one that would be started now; None when it can."""
        if self.profile != profile.name:
            return f"with profile {self.profile}"
        if profile.biometrics and not self.biometrics:
            return "without biometrics"
        if self.repository != _repository():
            return f"with the models of {self.repository}"
        return "without HTTP" if http and not self.http_url else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Supervision:
    """What the supervisor says of a server."""

    state: str
    """serving, recovering, restarting, or given up."""
    server_pid: int
    """Process id of tritonserver."""
    events: tuple[Recovery, ...]
    """What happened to it, the last of it last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """A server that was started again, or a model that was loaded again."""

    at: float
    """When it was done, in seconds since 1970."""
    what: str
    """What had happened."""
    seconds: float | None
    """From when it was seen until all served again; None when it was given up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerStatus:
    """A recorded server, asked over gRPC."""

    record: ServerRecord
    is_live: bool
    """Whether it answers."""
    models: dict[str, bool]
    """Model or ensemble -> whether every expected version answers requests."""
    supervision: Supervision | None
    """What the supervisor says of it; None when that cannot be read."""

    @property
    def is_ready(self) -> bool:
        """Whether the server answers and every expected model version is ready."""
        return self.is_live and all(self.models.values())


def up(profile: settings.Profile, http: bool = False, on_progress: Progress | None = None) -> ServerRecord:
    """Start a server that survives this process, or return the one that runs already.

    A command that dies before the server is ready takes it along.

    Raises:
        UsageError: a server with another profile or repository, or without the HTTP asked for, runs already.
        ServerStartFailed, ModelNotBuilt: see `EmbeddedServer.start`.
    """
    with _lock():
        if record := running():
            unwanted = "with biometrics" if record.biometrics and not profile.biometrics else None
            if mismatch := record.lacks(profile, http) or unwanted:
                raise UsageError(f"a server {mismatch} runs already; end it first: reelscope server down")
            return record
        server = EmbeddedServer(profile, http=http, recovers=True, on_progress=on_progress)
        server.start()
        try:
            record = ServerRecord(
                profile=profile.name,
                config_name=profile.config_name,
                repository=_repository(),
                grpc_url=server.grpc_url,
                metrics_url=server.metrics_url,
                http_url=server.http_url,
                log_path=str(server.log_path),
                models=tuple(model.name for model in server.models),
                failed={name: str(error) for name, error in server.failed.items()},
                biometrics=profile.biometrics,
                supervisor_pid=server.supervisor.pid,
                supervisor_start_ticks=server.supervisor.start_ticks,
                server_pid=server.pid,
            )
            _write(record)
            server.detach()
        except BaseException:
            server.stop()
            raise
        return record


def down() -> bool:
    """End the recorded server, and remove what it left; returns whether one ran."""
    with _lock():
        record = running()
        if record is None:
            sweep_shared_memory()
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(record.supervisor_pid, signal.SIGTERM)
        if not _ended(record.supervisor, 2 * supervisor.GRACE_SECONDS + 2):
            # The kernel kills tritonserver with its supervisor; the group holds the stubs.
            said = supervision(record)
            server_pid = said.server_pid if said else record.server_pid
            for kill, pid in ((os.kill, record.supervisor_pid), (os.killpg, server_pid)):
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    kill(pid, signal.SIGKILL)
            _ended(record.supervisor, supervisor.GRACE_SECONDS)
        sweep_shared_memory(record.supervisor)
        _path().unlink(missing_ok=True)
        return True


def restart(patience_seconds: float) -> Supervision:
    """Restart the running server at the same addresses, when no analysis of this machine uses it; others wait.

    Args:
        patience_seconds: longest wait for the analyses under way.

    Raises:
        ServerUnreachable: none runs.
        ChangeRefused: analyses still run; nothing was restarted.
        ServerStartFailed: it did not come back; quotes Triton.
    """
    record = running()
    if record is None:
        raise ServerUnreachable("no local server is running", "reelscope server up")
    with out_of_use(patience_seconds), _lock():
        before = supervision(record)
        os.kill(record.supervisor_pid, supervisor.RESTART_SIGNAL)
        while True:
            time.sleep(0.1)
            said = supervision(record)
            if said and said.state == "serving" and (before is None or said.server_pid != before.server_pid):
                return said
            if not record.supervisor.is_alive():
                lines = "".join(f"\n  {line}" for line in error_lines(Path(record.log_path)))
                raise ServerStartFailed(f"the server did not come back; its log, {record.log_path}:{lines}")


@contextlib.contextmanager
def using(url: str, on_wait: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Keep the server at the address from being restarted meanwhile, if it is the local one.

    One that is being restarted, or is coming back after it died, is waited for, which is told to `on_wait` first.
    """
    record = running()
    if record is None or record.grpc_url != url:
        yield
        return
    with in_use(on_wait):
        said = supervision(record)
        if said and said.state != "serving":
            on_wait()
        while said and said.state != "serving" and record.supervisor.is_alive():
            time.sleep(0.1)
            said = supervision(record)
        yield


def running() -> ServerRecord | None:
    """Return the record of the server that runs, or None; a record of a dead process is removed."""
    path = _path()
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        record = ServerRecord(**fields | {"models": tuple(fields["models"])})
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError):
        # Written by another version of reelscope, or by hand.
        record = None
    if record is not None and record.supervisor.is_alive():
        return record
    path.unlink(missing_ok=True)
    sweep_shared_memory()
    return None


def status() -> ServerStatus | None:
    """Ask the running server which models are ready; None when none runs."""
    record = running()
    if record is None:
        return None
    from reelscope.inference import RepositoryClient

    with RepositoryClient(record.grpc_url) as client:
        is_live = client.server_live()
        models = dict.fromkeys(record.models, False)
        expected = expected_versions(record.models, record.repositories, record.config_name)
        with contextlib.suppress(ServerUnreachable):
            for name, versions in expected.items() if is_live else ():
                models[name] = all(client.is_model_ready(name, version) for version in versions)
    return ServerStatus(record=record, is_live=is_live, models=models, supervision=supervision(record))


def supervision(record: ServerRecord) -> Supervision | None:
    """What the supervisor of a server says of it; None when that cannot be read."""
    try:
        said = json.loads(Path(record.log_path).with_suffix(".json").read_text(encoding="utf-8"))
        events = tuple(Recovery(**event) for event in said.pop("events"))
        return Supervision(**said, events=events)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _repository() -> str:
    return str(settings.model_repository().resolve())


def _path() -> Path:
    return settings.state_folder() / "server.json"


def _write(record: ServerRecord) -> None:
    aside = _path().with_suffix(".new")
    aside.write_text(json.dumps(asdict(record), indent=2) + "\n", encoding="utf-8")
    aside.replace(_path())


@contextlib.contextmanager
def _lock() -> Iterator[None]:
    # Never removed: a lock file that is deleted while somebody waits for it locks nobody.
    with (settings.state_folder() / "server.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _ended(process: ProcessIdentity, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while process.is_alive():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    with contextlib.suppress(ChildProcessError):
        # It is our own child when this very process called `up`.
        os.waitpid(process.pid, os.WNOHANG)
    return True
