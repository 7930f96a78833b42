"""What every tritonserver of ours is started with, be it the embedded one or production's: said once."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from reelscope import settings
from reelscope.errors import ServerStartFailed

RESTRICTED = "model-repository,model-config,shared-memory,trace,logging,statistics"
"""Protocols for the administrator alone, by Triton's names; inference, metadata and health are for everybody."""

_HELP_SECONDS = 60.0
_CLIENT_SHARED_MEMORY = "--allow-client-shm"


def deployment_options(
    binary: Path, profile: settings.Profile, repositories: Sequence[Path], environment: Mapping[str, str] | None = None
) -> list[str]:
    """Options that follow from what is to be served: repositories, config variant, explicit control, slots.

    Args:
        binary: the tritonserver that gets them; asked which options it knows.
        profile: names the config variant, and the resources of the rate limiter.
        repositories: Triton model repositories, in order.
        environment: in which `binary` runs; None: this process's.

    Raises:
        ServerStartFailed: the binary cannot be run.
    """
    options = [f"--model-repository={repository.resolve()}" for repository in repositories]
    if profile.config_name:
        options.append(f"--model-config-name={profile.config_name}")
    if _CLIENT_SHARED_MEMORY in _help(binary, environment):
        options.append(f"{_CLIENT_SHARED_MEMORY}=true")  # off by default from 2.69.0 on; 2.51 refuses the option
    return [
        *options,
        *_slot_options(profile.slots),
        "--model-control-mode=explicit",
        # Configs are complete; completing them anyway would cost one more process and 1.5 seconds per model.
        "--disable-auto-complete-config",
        "--allow-sagemaker=false",
        "--allow-vertex-ai=false",
    ]


def restriction_options(admin_key: str, *, http: bool) -> list[str]:
    """Options that restrict what changes the server or tells of it; without a key nothing is restricted.

    Triton takes the key in no other way: who may list the processes of the machine sees it.
    """
    ways = ("--grpc-restricted-protocol", *(("--http-restricted-api",) if http else ()))
    return [f"{way}={RESTRICTED}:admin-key={admin_key}" for way in ways if admin_key]


def _slot_options(slots: Mapping[str, int]) -> list[str]:
    """Switch Triton's rate limiter on, which models ask for these resources; without any it stays off."""
    stated = [f"--rate-limit-resource={name}:{count}" for name, count in slots.items()]
    return ["--rate-limit=execution_count", *stated] if stated else []


def _help(binary: Path, environment: Mapping[str, str] | None) -> str:
    try:
        done = subprocess.run(
            [binary, "--help"],
            env=None if environment is None else dict(environment),
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=_HELP_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ServerStartFailed(f"{binary} cannot be run ({error})") from error
    return done.stdout + done.stderr
