"""What a profile needs on this machine, what of it is there, and what mends the rest.

`examine` never raises: a probe that fails is a finding like any other. Nothing is downloaded or loaded, no model and no
server is started.

    software   Python, packages, Triton
    models     built models, cached weights
    servers    the local server, or the one at an address; how it is opened
    machine    disks, memory, processors, GPU
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from reelscope.doctor import machine, models, servers, software
from reelscope.doctor.checks import Check, missing, warning
from reelscope.errors import ReelscopeError
from reelscope.settings import Profile

__all__ = ["Check", "examine"]

Probe = Callable[[Profile], Iterator[Check]]

_PROBES: dict[str, Probe] = {
    "Python": software.python,
    "packages": software.packages,
    "OpenCV": software.opencv,
    "tritonserver": software.triton,
    "models": models.models,
    "local server": servers.local,
    "access": servers.access,
    "disk": machine.disk,
    "shared memory": machine.shared_memory,
    "memory": machine.memory,
    "processors": machine.processors,
    "open files": machine.open_files,
    "GPU": machine.gpu,
}


_ON_THE_SERVER = ("tritonserver", "models", "local server", "GPU")
"""What a machine does not need whose models another one serves."""


def examine(profile: Profile, url: str | None = None) -> tuple[Check, ...]:
    """Look at everything that the profile needs; what is to be mended first comes first.

    Args:
        profile: what is to run.
        url: address of the server that serves it, where that is not started on this machine.
    """
    probes = _PROBES
    if url is not None:
        probes = {subject: probe for subject, probe in _PROBES.items() if subject not in _ON_THE_SERVER}
        probes["server"] = partial(servers.remote, url)
    return tuple(check for subject, probe in probes.items() for check in _guarded(subject, probe, profile))


def _guarded(subject: str, probe: Probe, profile: Profile) -> Iterator[Check]:
    try:
        yield from probe(profile)
    except ReelscopeError as error:
        yield missing(subject, error.finding, error.remedy)
    except Exception as error:
        yield warning(subject, f"cannot be looked at ({type(error).__name__}: {error})")
