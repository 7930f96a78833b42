"""One embedded Triton as a context manager: started, loaded model by model, and gone when the block ends."""

from __future__ import annotations

import compileall
import datetime
import itertools
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from reelscope import settings
from reelscope.embedded import supervisor
from reelscope.embedded.deployment import ServedModel, default_repositories, differences, plan, unbuilt
from reelscope.embedded.installation import backend_folder, find_installation
from reelscope.embedded.options import deployment_options, restriction_options
from reelscope.embedded.supervisor import sweep_shared_memory
from reelscope.errors import InferenceError, ModelNotBuilt, ReelscopeError, ServerError, ServerStartFailed
from reelscope.processes import ProcessIdentity

if TYPE_CHECKING:
    from reelscope.inference import RepositoryClient

Progress = Callable[[str, str], None]
"""Called with a model's name and its state: loading, ready or failed."""

_HOST = "127.0.0.1"
_KEPT_LOGS = 10
_PORT_ATTEMPTS = 3
_LIVE_SECONDS = 30.0
_POLL_SECONDS = 0.05
LOADS_AT_ONCE = max(1, min(4, len(os.sched_getaffinity(0)) // 2))
"""Models that are loaded at once. Each takes a core, and more memory than it keeps."""


class EmbeddedServer:
    """A Triton server on loopback that serves a profile's models.

    It ends with the block, with an exception, and with the process that started it (however that ends); a process
    forked off without exec does not keep it alive.

    Attributes:
        grpc_url: "127.0.0.1:port"; empty until started, like the others.
        metrics_url: address of the Prometheus metrics.
        http_url: "127.0.0.1:port" when `http` was asked for, else empty.
        pid: process id of tritonserver.
        log_path: Triton's log.
        models: what is to be served, models first, then ensembles.
        failed: which of them are not, and why; the others serve all the same.
    """

    def __init__(
        self,
        profile: settings.Profile,
        *,
        models: Sequence[str] | None = None,
        repositories: Sequence[Path] | None = None,
        http: bool = False,
        options: Sequence[str] = (),
        recovers: bool = False,
        log_folder: Path | None = None,
        on_progress: Progress | None = None,
        timeout_seconds: float = 300.0,
    ) -> None:
        """Describe a server; `start`, or entering the block, starts it.

        Args:
            profile: names the config variant and, by default, the models.
            models: names of the models; ensembles whose steps are all among them are served with them.
            repositories: Triton model repositories; by default the deployment's models and ensembles.
            http: serve KServe's HTTP too, on loopback.
            options: further options of tritonserver.
            recovers: start it again when it dies, and a model whose process dies: see `supervisor`.
            log_folder: where logs go; by default `logs` in the state folder.
            on_progress: told about every model, by several threads at once.
            timeout_seconds: time until everything must be ready.
        """
        self.profile = profile
        self.grpc_url = self.metrics_url = self.http_url = ""
        self.pid = 0
        self.log_path = Path()
        self.models: tuple[ServedModel, ...] = ()
        self.failed: dict[str, ReelscopeError] = {}
        self._model_names = tuple(profile.models if models is None else models)
        self._repositories = None if repositories is None else tuple(repositories)
        self._http = http
        self._options = tuple(options)
        self._recovers = recovers
        self._log_folder = log_folder
        self._on_progress = on_progress or (lambda model, state: None)
        self._timeout_seconds = timeout_seconds
        self._supervisor: subprocess.Popen[str] | None = None
        self._identity: ProcessIdentity | None = None

    def __enter__(self) -> EmbeddedServer:
        """Start the server and return it when every model is ready, or has failed."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the server."""
        self.stop()

    @property
    def supervisor(self) -> ProcessIdentity:
        """Process whose end ends the server; raises ServerError when the server is not running."""
        if self._identity is None:
            raise ServerError("the embedded server is not running")
        return self._identity

    def start(self) -> None:
        """Start Triton and load every model. One that cannot be loaded is in `failed`, with its reason.

        Raises:
            ModelNotBuilt: not one graph is built. On this and every other failure nothing is left behind.
            ServerStartFailed: Triton does not start, or not one graph can be loaded; quotes Triton.
            UsageError: no such model.
        """
        repositories = default_repositories() if self._repositories is None else self._repositories
        self.models = plan(self.profile, self._model_names, repositories)
        missing = unbuilt(self.models, self.profile.name)
        if missing and not self._graphs - missing.keys():
            first = next(iter(missing.values()))
            remedy = first.remedy if len(missing) == 1 else f"reelscope-export --all --profile {self.profile.name}"
            raise ModelNotBuilt("\n".join(error.finding for error in missing.values()), remedy)
        _compile(self.models)
        installation = find_installation()
        environment = installation.environment()
        command = [str(installation.binary), f"--backend-directory={backend_folder(installation)}", *_FIXED_OPTIONS]
        command += deployment_options(installation.binary, self.profile, repositories, environment)
        command += [*self._options, *restriction_options(settings.access().admin_key, http=True)]
        self.log_path = _new_log(self._log_folder or settings.state_folder() / "logs", self.profile.name)
        command += _trace_options(self.log_path.with_suffix(".trace"))
        deadline = time.monotonic() + self._timeout_seconds
        try:
            self._launch(command, environment)
            self._load_all(deadline, missing)
        except BaseException:
            self.stop()
            raise
        if self._recovers:
            os.kill(self.supervisor.pid, supervisor.KEEP_SIGNAL)

    @property
    def state_path(self) -> Path:
        """What the supervisor says of the server, in JSON; beside the log."""
        return self.log_path.with_suffix(".json")

    def stop(self) -> None:
        """End the server and everything it left behind; does nothing when it is not running."""
        process, identity = self._supervisor, self._identity
        if process is None or identity is None:
            return
        process.terminate()
        try:
            process.wait(2 * supervisor.GRACE_SECONDS + 2)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        sweep_shared_memory(identity)
        self._supervisor = self._identity = None

    def detach(self) -> None:
        """Let the server outlive this process; to end it is then the caller's duty, by a signal to `supervisor`."""
        os.kill(self.supervisor.pid, supervisor.DETACH_SIGNAL)
        process, self._supervisor, self._identity = self._supervisor, None, None
        if process is not None:
            # Popen would warn about a child that nobody waited for.
            process.returncode = 0

    def _launch(self, command: list[str], environment: dict[str, str]) -> None:
        for attempt in range(_PORT_ATTEMPTS):
            ports = _free_ports(3)
            self._spawn([*command, *_port_options(ports, self._http)], environment, ports[0])
            if self._wait_until_serving():
                break
            if attempt + 1 == _PORT_ATTEMPTS or not _PORT_TAKEN.search(self.log_path.read_text(errors="replace")):
                raise ServerStartFailed(self._with_log("Triton did not start"))
        self.grpc_url = self._url(ports[0])
        self.metrics_url = f"http://{_HOST}:{ports[1]}/metrics"
        self.http_url = f"{_HOST}:{ports[2]}" if self._http else ""

    def _url(self, port: int) -> str:
        return f"{'grpcs://' if _TLS_OPTIONS & {*self._options} else ''}{_HOST}:{port}"

    def _spawn(self, command: list[str], environment: dict[str, str], port: int) -> None:
        self.stop()
        script = [sys.executable, "-I", "-S", supervisor.__file__, f"--owner={os.getpid()}", f"--port={port}"]
        script += [f"--url={self._url(port)}", f"--state={self.state_path}"]
        script += [*(f"--load={model.name}" for model in self.models), "--"]
        with self.log_path.open("ab") as log:
            self._supervisor = subprocess.Popen(
                [*script, *command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment,
                cwd="/",
                text=True,
                # A Ctrl-C in the terminal is the owner's to handle.
                start_new_session=True,
            )
        self._identity = ProcessIdentity.of(self._supervisor.pid) or ProcessIdentity(self._supervisor.pid, 0)
        assert self._supervisor.stdout is not None
        with self._supervisor.stdout as pipe:
            self.pid = int(pipe.readline() or 0)

    def _wait_until_serving(self) -> bool:
        deadline = time.monotonic() + _LIVE_SECONDS
        # Its own word in the log, because at the port itself somebody else may have become faster.
        while time.monotonic() < deadline and self._is_running():
            if _SERVING in self.log_path.read_text(encoding="utf-8", errors="replace"):
                return True
            time.sleep(_POLL_SECONDS)
        return False

    def _is_running(self) -> bool:
        return self._supervisor is not None and self._supervisor.poll() is None

    @property
    def _graphs(self) -> set[str]:
        """Names of the models that were built: not ensembles, nor what Python does around the others."""
        return {model.name for model in self.models if model.is_built}

    def _load_all(self, deadline: float, missing: Mapping[str, ReelscopeError]) -> None:
        # tritonclient takes most of a second to import, which `reelscope --help` need not pay.
        from reelscope.inference import RepositoryClient

        failed = self.failed = dict(missing)
        # The largest first: it takes the longest, and the others are loaded beside it.
        models = sorted((model for model in self.models if not model.steps), key=lambda each: -each.size_bytes)
        ensembles = (model for model in self.models if model.steps)
        with RepositoryClient(self.grpc_url) as client:
            load = partial(self._load, client, deadline)
            threads = ThreadPoolExecutor(LOADS_AT_ONCE, "load")
            try:
                for _ in itertools.chain(threads.map(load, models), map(load, ensembles)):
                    pass
            finally:
                threads.shutdown(wait=False, cancel_futures=True)  # one that hangs ends with the server
        if failed and not self._graphs - failed.keys():
            names, reasons = ", ".join(failed), "\n".join(str(error) for error in failed.values())
            raise ServerStartFailed(self._with_log(f"{names} did not load: {reasons}"))

    def _load(self, client: RepositoryClient, deadline: float, model: ServedModel) -> None:
        """Load one model, or note in `failed` why it cannot be."""
        if broken := sorted(model.steps & self.failed.keys()):
            self.failed[model.name] = ServerError(f"{model.name} needs {', '.join(broken)}")
        elif model.name not in self.failed:
            self._on_progress(model.name, "loading")
            try:
                self._require_loaded(client, deadline, model)
            except (InferenceError, ServerError) as error:
                self.failed[model.name] = error
        self._on_progress(model.name, "failed" if model.name in self.failed else "ready")
        if not self._is_running():
            raise ServerStartFailed(self._with_log(f"Triton ended while it loaded {model.name}"))

    def _require_loaded(self, client: RepositoryClient, deadline: float, model: ServedModel) -> None:
        client.load_model(model.name, max(deadline - time.monotonic(), 0.1))
        if found := differences(model.config, client.model_config(model.name)):
            raise ServerStartFailed(
                f"{model.name} is not the variant of profile {self.profile.name}: {'; '.join(found)}"
            )
        for version in model.versions:
            while not client.is_model_ready(model.name, version):
                if time.monotonic() > deadline:
                    raise ServerStartFailed(f"{model.name}: version {version} was not ready in time")
                time.sleep(_POLL_SECONDS)

    def _with_log(self, message: str) -> str:
        lines = error_lines(self.log_path)
        quoted = "".join(f"\n  {line}" for line in lines)
        return f"{message}\nTriton's log, {self.log_path}:{quoted}" if lines else f"{message}; log: {self.log_path}"


def _compile(models: Iterable[ServedModel]) -> None:
    """Write the byte code of models in Python now.

    Their own processes would write it while they load. Triton then takes them for changed, and loads them once more
    when it loads an ensemble of theirs: 16 s for Qwen2-VL.
    """
    for model in models:
        for version in model.versions:
            compileall.compile_dir(model.folder / version, maxlevels=0, quiet=2)


_FIXED_OPTIONS = (
    f"--grpc-address={_HOST}",
    f"--http-address={_HOST}",
    f"--metrics-address={_HOST}",
    "--exit-timeout-secs=5",
)
# The last of the endpoints that Triton opens.
_SERVING = "Started Metrics Service"
_PORT_TAKEN = re.compile(r"already in use|failed to start (GRPC|HTTP|Metrics)", re.IGNORECASE)


_TLS_OPTIONS = {"--grpc-use-ssl=true", "--grpc-use-ssl-mutual=true"}
# One in so many requests is traced that no trace asks for: none, in practice.
_UNASKED_TRACES = 10**9


def _trace_options(file: Path) -> list[str]:
    """Have traces sent to the collector, of requests that come with a `traceparent`; without a collector they are off
    until `reelscope models trace` asks for them, and then a file per request."""
    endpoint = settings.trace_endpoint()
    if endpoint is None:
        chosen = ["level=OFF", "rate=1", "triton,log-frequency=1", f"triton,file={file}"]
    else:
        chosen = [
            *("mode=opentelemetry", "level=TIMESTAMPS", f"rate={_UNASKED_TRACES}"),
            *(f"opentelemetry,url={endpoint}", "opentelemetry,resource=service.name=triton"),
            "opentelemetry,bsp_schedule_delay=1000",
        ]
    return [f"--trace-config={option}" for option in chosen]


def _port_options(ports: Sequence[int], http: bool) -> list[str]:
    grpc_port, metrics_port, http_port = ports
    options = [f"--grpc-port={grpc_port}", f"--metrics-port={metrics_port}", f"--allow-http={str(http).lower()}"]
    return [*options, f"--http-port={http_port}"] if http else options


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind((_HOST, 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def _new_log(folder: Path, profile_name: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for old in sorted(folder.glob("tritonserver-*.log"), key=lambda path: path.stat().st_mtime)[: -(_KEPT_LOGS - 1)]:
        for file in folder.glob(f"{old.stem}.*"):
            file.unlink(missing_ok=True)
    moment = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    for number in range(1000):
        path = folder / f"tritonserver-{moment}-{profile_name}-{os.getpid()}-{number}.log"
        if not path.exists():
            path.touch()
            return path
    raise ServerStartFailed(f"cannot create a log in {folder}")


def error_lines(log: Path, count: int = 12) -> list[str]:
    """Read the last error lines of a Triton log, or its last lines when it has none; [] when there is no log."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return []
    errors = [re.sub(r"^E\d{4} \S+ \d+ ", "", line) for line in lines if re.match(r"E\d{4} ", line)]
    return list(dict.fromkeys(errors or [line for line in lines if line.strip()]))[-count:]
