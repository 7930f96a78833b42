"""Profiles, folders and environment: the only module that reads `os.environ`.

REELSCOPE_REPOSITORY   model repository with the built models (default: the checkout's, else the user's data folder)
REELSCOPE_STATE        logs and the record of the running embedded server (default: the user's state folder)
REELSCOPE_API_KEYS     keys of the gateway, separated by commas (default: those of the file that it is given, or none)
OTEL_*                 OpenTelemetry's own: where traces go (default: none are made)
REELSCOPE_TRITON_CA    file with the certificates by which a Triton server is known (default: gRPC's own)
REELSCOPE_TRITON_CERT, REELSCOPE_TRITON_CERT_KEY
                       files with our certificate and its key, for servers that ask for one
REELSCOPE_TRITON_ADMIN_KEY_FILE
                       file with the key of Triton's restricted protocols; the local server is started with it, too
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import platformdirs

from reelscope.errors import UsageError

BUILT_SUFFIXES = (".onnx", ".safetensors")
"""Of the files that the exporter places in a model repository."""

MIN_KEY_CHARACTERS = 16
"""Of a key of the gateway, or of Triton: shorter ones can be guessed."""

_PACKAGE = Path(__file__).resolve().parent
_CHECKOUT = _PACKAGE.parents[1]


def is_checkout() -> bool:
    """True when the package runs from a source checkout, False when it was installed from a wheel."""
    return (_CHECKOUT / "server" / "profiles.toml").is_file()


def deployment_root() -> Path:
    """Folder that holds `model_repository/`, `ensembles/` and `server/`: the checkout, or the wheel's copy."""
    return _CHECKOUT if is_checkout() else _PACKAGE / "_deployment"


def state_folder() -> Path:
    """Folder of logs and of the record of the running embedded server; created when missing.

    Raises:
        UsageError: it cannot be created or written to.
    """
    folder = Path(os.environ.get("REELSCOPE_STATE") or platformdirs.user_state_path("reelscope"))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        reason = None if os.access(folder, os.W_OK | os.X_OK) else os.strerror(errno.EACCES)
    except OSError as error:
        reason = error.strerror
    if reason:
        raise UsageError(
            f"REELSCOPE_STATE, the folder of logs and of the server's record: {folder}: {reason}",
            "export REELSCOPE_STATE=WRITABLE_FOLDER",
        )
    return folder


def model_repository() -> Path:
    """Model repository that the embedded server serves.

    Outside a checkout the wheel's read-only configs and Python models are copied (when they differ) to the
    repository beside the built files, so that Triton finds both in one folder.

    Raises:
        UsageError: it cannot be created or written to.
    """
    chosen = os.environ.get("REELSCOPE_REPOSITORY")
    if not chosen and is_checkout():
        return _CHECKOUT / "model_repository"
    repository = Path(chosen) if chosen else platformdirs.user_data_path("reelscope") / "model_repository"
    try:
        _mirror_committed_files(deployment_root() / "model_repository", repository)
    except OSError as error:
        raise UsageError(
            f"REELSCOPE_REPOSITORY, the model repository: {repository}: {error.strerror}",
            "export REELSCOPE_REPOSITORY=WRITABLE_FOLDER",
        ) from error
    return repository


def _mirror_committed_files(source: Path, target: Path) -> None:
    for file in source.rglob("*"):
        if not file.is_file() or file.suffix in BUILT_SUFFIXES:
            continue
        copy = target / file.relative_to(source)
        if not copy.is_file() or copy.read_bytes() != file.read_bytes():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, copy)


@dataclass(frozen=True, slots=True)
class GpuFacts:
    """A profile's GPU, as its data sheet says, and how much of its memory may be planned."""

    name: str
    memory_budget_gb: float
    fp16_tflops: float
    """Dense, with tensor cores, in units of 1e12 operations a second."""
    memory_gb_per_second: float


@dataclass(frozen=True, slots=True)
class Profile:
    """One machine's choice of models, rates and batch sizes, as written in `server/profiles.toml`."""

    name: str
    config_name: str
    """Value of Triton's --model-config-name; empty for config.pbtxt itself."""
    description: str
    base_frame_rate: Fraction
    """Frames per second of the uploaded track; F10, F5 and F2.5 are this rate, its half and its quarter."""
    model_file: str
    """File of the version folder that this profile serves, e.g. cpu.onnx."""
    models: tuple[str, ...]
    """Names of the models that the profile serves, sorted."""
    needs_gpu: bool = False
    """Whether some model of it runs on a GPU."""
    gpu: GpuFacts | None = None
    """The GPU that it is sized for."""
    slots: Mapping[str, int] = field(default_factory=dict)
    """Resources of Triton's rate limiter, by name: how many executions may hold one at once; without any, no limit."""
    biometrics: bool = True
    """Whether people's age, expression, gaze and voice are analysed; if not, no model for them is served."""
    short_sound_windows: bool = True
    """Whether sounds are looked for in short windows as well: ten times the work of the long ones, for their times."""
    read_windows: int = 3
    """Windows of frames that may be read while the decoder fills the next: see `room`."""
    waiting_parts: int = 0
    """Pieces of the clip that come before sources begin that nobody waits for: see `worker`."""


def _profiles() -> dict[str, Any]:
    with (deployment_root() / "server" / "profiles.toml").open("rb") as file:
        profiles = tomllib.load(file)
    for name, own in profiles.items():
        if base := profiles.get(own.get("extends", "")):
            names = base["models"] | own.get("models", {})
            models = {each: base["models"].get(each, {}) | own.get("models", {}).get(each, {}) for each in names}
            profiles[name] = base | own | {"models": models}
    return profiles


def gpus() -> tuple[GpuFacts, ...]:
    """The GPUs that profiles are for, and those that figures were taken on in their place."""
    tables = (
        table
        for profile in _profiles().values()
        for table in (*([profile["gpu"]] if "gpu" in profile else []), *profile.get("stand_in_gpus", ()))
    )
    return tuple(GpuFacts(**table) for table in tables)


def model_settings(profile: Profile) -> dict[str, dict[str, Any]]:
    """What `server/profiles.toml` says of each model of a profile, its profile's own settings included, by model."""
    chosen = _profiles()[profile.name]
    return {model: chosen | chosen["models"][model] for model in profile.models}


def profile_names() -> tuple[str, ...]:
    """Names that `profile` accepts, in the order of the file."""
    return tuple(_profiles())


def profile(name: str, *, biometrics: bool | None = None) -> Profile:
    """Read one profile.

    Args:
        name: as in `server/profiles.toml`.
        biometrics: False takes the models that judge people's faces and voices out of it; None leaves that to the
            profile, and True cannot bring back what the profile leaves out.

    Raises:
        UsageError: there is no profile of that name, or it leaves biometrics out and they are asked for.
    """
    profiles = _profiles()
    if name not in profiles:
        raise UsageError(f"no profile {name!r}; there are: {', '.join(profiles)}")
    chosen = profiles[name]
    stated = chosen["biometrics"]
    if stated not in ("on", "off"):
        raise UsageError(f'profile {name}: biometrics is {stated!r}; it must be "on" or "off"')
    if biometrics and stated == "off":
        raise UsageError(f'profile {name} states biometrics = "off"')
    judges = stated == "on" and biometrics is not False
    models = {model: table for model, table in chosen["models"].items() if judges or not table.get("biometric", False)}
    return Profile(
        name=name,
        config_name=chosen["config_name"],
        description=chosen["description"],
        base_frame_rate=Fraction(str(chosen["base_frame_rate_fps"])),
        model_file=chosen["model_file"],
        models=tuple(sorted(models)),
        biometrics=judges,
        short_sound_windows=chosen["short_sound_windows"],
        read_windows=chosen["read_windows"],
        waiting_parts=chosen["waiting_parts"],
        gpu=GpuFacts(**chosen["gpu"]) if "gpu" in chosen else None,
        slots=chosen.get("slots", {}),
        needs_gpu="KIND_GPU" in {table.get("instance_kind", chosen["instance_kind"]) for table in models.values()},
    )


def api_keys(file: Path | None) -> tuple[str, ...]:
    """Keys that open the gateway, from a file with one per line (# begins a comment), else from the environment.

    Raises:
        UsageError: the file cannot be read, or holds none; or a key is too short to be one.
    """
    if file is None:
        found = [key.strip() for key in os.environ.get("REELSCOPE_API_KEYS", "").split(",")]
    else:
        try:
            found = [line.partition("#")[0].strip() for line in file.read_text(encoding="utf-8").splitlines()]
        except (OSError, ValueError) as error:
            raise UsageError(f"{file}: the keys cannot be read ({error})") from error
        if not any(found):
            raise UsageError(f"{file}: there is no key in it")
    keys = tuple(key for key in found if key)
    if any(len(key) < MIN_KEY_CHARACTERS or not key.isascii() for key in keys):
        raise UsageError(f"a key of the gateway has at least {MIN_KEY_CHARACTERS} ASCII characters")
    return keys


def trace_endpoint() -> str | None:
    """Address that traces are posted to, by OpenTelemetry's own variables; None when they name none, or switch it off.

    Raises:
        UsageError: they ask for another protocol than OTLP over HTTP, the one that Triton speaks.
    """
    disabled = os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
    base = os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT", "")
    address = os.environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or (base and f"{base.rstrip('/')}/v1/traces")
    if disabled or os.environ.get("OTEL_TRACES_EXPORTER") == "none" or not address:
        return None
    shared = os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL") or "http/protobuf"
    protocol = os.environ.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or shared
    if protocol != "http/protobuf":
        raise UsageError(
            f"traces are sent by OTLP over HTTP, and OTEL_EXPORTER_OTLP_PROTOCOL is {protocol}",
            "export OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf, and the collector's HTTP port (4318)",
        )
    return address


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What opens Triton servers: certificates where the address begins with grpcs://, and the administrator's key."""

    ca: Path | None = None
    """Certificates, in PEM, by which the server is known; None: those that gRPC brings."""
    certificate: Path | None = None
    """Our certificate, in PEM, for a server that asks for one."""
    certificate_key: Path | None = None
    """Its private key, in PEM."""
    admin_key: str = field(default="", repr=False)
    """Value of the header triton-grpc-protocol-admin-key, which opens restricted protocols; empty: none is sent."""


def access() -> Access:
    """What the environment says of how Triton servers are opened.

    Raises:
        UsageError: a file cannot be read, a certificate is without its key, or the key is no key.
    """
    files: dict[str, Path] = {}
    for part in ("CA", "CERT", "CERT_KEY", "ADMIN_KEY_FILE"):
        name = f"REELSCOPE_TRITON_{part}"
        if chosen := os.environ.get(name):
            if not os.access(chosen, os.R_OK) or not Path(chosen).is_file():
                raise UsageError(f"{name}: {chosen}: there is no file that can be read")
            files[part] = Path(chosen)
    if ("CERT" in files) != ("CERT_KEY" in files):
        raise UsageError("REELSCOPE_TRITON_CERT and REELSCOPE_TRITON_CERT_KEY belong together: one of them is not set")
    key = ""
    if key_file := files.get("ADMIN_KEY_FILE"):
        key = key_file.read_text(encoding="utf-8", errors="replace").strip()
        # Triton takes its options apart at commas, colons and equals signs.
        if not re.fullmatch(rf"[A-Za-z0-9._~+/-]{{{MIN_KEY_CHARACTERS},}}", key):
            raise UsageError(
                f"REELSCOPE_TRITON_ADMIN_KEY_FILE: {key_file}: a key is one line of at least {MIN_KEY_CHARACTERS} "
                "characters, of A-Z a-z 0-9 . _ ~ + / -",
                f"openssl rand -hex 32 > {key_file}",
            )
    return Access(
        ca=files.get("CA"), certificate=files.get("CERT"), certificate_key=files.get("CERT_KEY"), admin_key=key
    )


def triton_home() -> Path | None:
    """Folder with `bin/tritonserver` named by TRITON_HOME, or None to take the one of the nvidia-pytriton wheel."""
    chosen = os.environ.get("TRITON_HOME")
    return Path(chosen) if chosen else None


def server_environment(binary_folder: Path, library_folders: tuple[Path, ...]) -> dict[str, str]:
    """Environment of the embedded server: the user's, without what would redirect its loader or its interpreter.

    `binary_folder` comes first on PATH, because Triton's Python stub finds its virtual environment through `python3`;
    LD_LIBRARY_PATH is `library_folders` alone.
    """
    # AIP_* would switch on Triton's Vertex AI endpoint, TRITON_* its own hidden settings.
    redirecting = ("LD_", "PYTHON", "AIP_", "TRITON_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(redirecting)}
    environment["PATH"] = os.pathsep.join([str(binary_folder), environment.get("PATH", os.defpath)])
    environment["LD_LIBRARY_PATH"] = os.pathsep.join(str(folder) for folder in library_folders)
    # FP32 is served where FP16 is not right; TF32, which Turing does not know, would round as coarsely.
    environment["NVIDIA_TF32_OVERRIDE"] = "0"
    return environment


def labels(model: str) -> tuple[str, ...]:
    """Class names of a model in the order of its class ids, from its committed `labels.txt`."""
    text = (deployment_root() / "model_repository" / model / "labels.txt").read_text(encoding="utf-8")
    return tuple(text.splitlines())
