"""Triton in a production container: its command from the profile, its secrets from files, its driver, its health.

    python3 -m reelscope.container run --profile rtx8000     becomes tritonserver (server/triton/Dockerfile)
    python3 -m reelscope.container ready --profile rtx8000   exits with 0 when every expected model version is ready

It shares its options with the embedded server (`embedded.options`). One model that fails to load does not take the
others with it: the server runs, and is not ready. `ready` asks for the versions that the repository expects *now*, so
that it follows a roll and a rollback; Triton's own server-ready is true with no model at all.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from reelscope import driver, settings
from reelscope.embedded.deployment import ServedModel, default_repositories, expected_versions, plan, unbuilt
from reelscope.embedded.options import deployment_options, restriction_options
from reelscope.errors import ModelNotBuilt, ReelscopeError, ServerStartFailed, UsageError

BINARY = Path("/opt/tritonserver/bin/tritonserver")
"""In NVIDIA's images."""
GRPC_PORT, METRICS_PORT, HTTP_PORT = 8001, 8002, 8000
_TLS_FILES = ("server.crt", "server.key")


def command(
    profile: settings.Profile,
    repositories: Sequence[Path],
    *,
    binary: Path = BINARY,
    http: bool = False,
    admin_key: str = "",
    tls_folder: Path | None = None,
) -> tuple[list[str], tuple[ServedModel, ...]]:
    """Build the command of a production server, and say which models it loads, in order.

    Args:
        profile: what is to be served.
        repositories: Triton model repositories.
        binary: tritonserver.
        http: serve KServe's HTTP as well.
        admin_key: opens the restricted protocols; empty: none is restricted.
        tls_folder: folder with server.crt and server.key, and clients.crt where clients have to show a certificate of
            its issuer; None: no TLS.

    Raises:
        UsageError: a file of certificates is missing or unfit, or there is no such model.
        ServerStartFailed: a model lacks the profile's variant, or the binary cannot be run.
    """
    models = plan(profile, profile.models, repositories)
    options = [
        *deployment_options(binary, profile, repositories),
        # One after another: what loading takes beside the model itself is then taken once.
        "--model-load-thread-count=1",
        *(f"--load-model={model.name}" for model in models),
        "--exit-on-error=false",
        "--exit-timeout-secs=30",
        f"--grpc-port={GRPC_PORT}",
        f"--metrics-port={METRICS_PORT}",
        # Who may reach it is said by compose.yaml, which publishes nothing beyond loopback.
        *(f"--{endpoint}-address=0.0.0.0" for endpoint in ("grpc", "metrics", *(("http",) if http else ()))),
        f"--allow-http={str(http).lower()}",
        *((f"--http-port={HTTP_PORT}",) if http else ()),
        *restriction_options(admin_key, http=http),
        *_tls_options(tls_folder),
    ]
    return [str(binary), *options], models


def _tls_options(folder: Path | None) -> list[str]:
    """TLS of gRPC; Triton's HTTP and metrics have none."""
    if folder is None:
        return []
    for name in _TLS_FILES:
        _read(folder / name, "certificate" if name.endswith("crt") else "key of the certificate")
    options = [
        "--grpc-use-ssl=true",
        *(f"--grpc-server-{name[-3:].replace('crt', 'cert')}={folder / name}" for name in _TLS_FILES),
    ]
    if (folder / "clients.crt").exists():
        options[0] = "--grpc-use-ssl-mutual=true"
        options.append(f"--grpc-root-cert={folder / 'clients.crt'}")
    return options


def _read(file: Path, what: str) -> str:
    try:
        return file.read_text(encoding="ascii")
    except (OSError, ValueError) as error:
        raise UsageError(f"{file}: the {what} cannot be read by user {os.getuid()} ({error})") from error


def check_gpu(profile: settings.Profile) -> str:
    """Name the GPUs and the driver of the machine, which a profile with models on a GPU needs; "" if it needs none.

    Raises:
        ServerStartFailed: no GPU is visible, or driver or GPU are older than this image's CUDA wants.
    """
    if not profile.needs_gpu:
        return ""
    found = driver.gpus()
    if found is None:
        raise ServerStartFailed(
            f"profile {profile.name} needs a GPU, and nvidia-smi is not in the container: the NVIDIA Container Toolkit "
            "puts it there (capability utility)",
            "nvidia-ctk runtime configure --runtime=docker && systemctl restart docker  # on the host",
        )
    for gpu in found:
        gpu.require_recent()
    return "; ".join(f"{gpu.name}, {gpu.memory}, driver {gpu.driver}" for gpu in found)


def not_ready(url: str, profile: settings.Profile, repositories: Sequence[Path]) -> list[str]:
    """Model versions that the profile expects and that do not answer, as "model 1"; [] when all do.

    Raises:
        ServerUnreachable: no server answers at `url`, "HOST:PORT" of Triton's gRPC endpoint.
        UsageError, ServerStartFailed: as `command`.
    """
    from reelscope.inference import RepositoryClient

    names = [model.name for model in plan(profile, profile.models, repositories)]
    with RepositoryClient(url) as client:
        return [
            f"{name} {version}".strip()
            for name, versions in expected_versions(names, repositories, profile.config_name).items()
            for version in versions
            if not client.is_model_ready(name, version)
        ]


def _run(options: argparse.Namespace, profile: settings.Profile) -> int:
    said = check_gpu(profile)
    if said:
        print(f"reelscope: GPU {said}", file=sys.stderr)
    line, models = command(
        profile,
        default_repositories(),
        binary=options.binary,
        http=options.http,
        admin_key=settings.access().admin_key,
        tls_folder=options.tls_folder,
    )
    missing = unbuilt(models, profile.name)
    if not {model.name for model in models if model.is_built} - missing.keys():
        raise ModelNotBuilt("no model is built", f"reelscope-export --all --profile {profile.name}  # on the host")
    for error in missing.values():
        print(f"reelscope: not served: {error}", file=sys.stderr)
    sys.stderr.flush()
    os.execv(line[0], [*line, *options.more])


def _ready(options: argparse.Namespace, profile: settings.Profile) -> int:
    if missing := not_ready(options.url, profile, default_repositories()):
        print(f"not ready: {', '.join(missing)}")
    return int(bool(missing))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run Triton, or tell whether it is ready; 1 when it is not, 2 when something has to be mended first."""
    parser = argparse.ArgumentParser(prog="python3 -m reelscope.container", description="Triton in a container.")
    commands = parser.add_subparsers(required=True)
    run = commands.add_parser("run", help="check driver and models, then become tritonserver")
    run.add_argument("--binary", type=Path, default=BINARY)
    run.add_argument("--http", action="store_true", help="serve KServe's HTTP as well")
    run.add_argument("--tls-folder", type=Path, help="folder of server.crt, server.key, perhaps clients.crt")
    run.add_argument("more", nargs="*", help="after --: further options of tritonserver")
    run.set_defaults(do=_run)
    ready = commands.add_parser("ready", help="whether every expected model version answers")
    ready.add_argument("--url", default=f"localhost:{GRPC_PORT}", help="HOST:PORT of Triton's gRPC endpoint")
    ready.set_defaults(do=_ready)
    for each in (run, ready):
        each.add_argument("--profile", required=True, choices=settings.profile_names())
        each.add_argument("--no-biometrics", action="store_true", help="without the models that judge people")
    options = parser.parse_args(arguments)
    try:
        profile = settings.profile(options.profile, biometrics=False if options.no_biometrics else None)
        return int(options.do(options, profile))
    except ReelscopeError as error:
        print(f"reelscope: error ({error.code}): {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
