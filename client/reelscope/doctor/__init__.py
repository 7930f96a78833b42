"""What a profile needs on this machine, what of it is there, and what mends the rest.

`examine` never raises: a probe that fails is a finding like any other. Nothing is downloaded or loaded, no model and no
server is started.

    software   Python, packages, Triton
    models     built models, cached weights
    machine    state folder and local server, disks, memory, processors, GPU
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from reelscope.doctor import machine, models, software
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
    "local server": machine.local_server,
    "disk": machine.disk,
    "shared memory": machine.shared_memory,
    "memory": machine.memory,
    "processors": machine.processors,
    "open files": machine.open_files,
    "GPU": machine.gpu,
}


def examine(profile: Profile) -> tuple[Check, ...]:
    """Look at everything that the profile needs; what is to be mended first comes first."""
    return tuple(check for subject, probe in _PROBES.items() for check in _guarded(subject, probe, profile))


def _guarded(subject: str, probe: Probe, profile: Profile) -> Iterator[Check]:
    try:
        yield from probe(profile)
    except ReelscopeError as error:
        yield missing(subject, error.finding, error.remedy)
    except Exception as error:
        yield warning(subject, f"cannot be looked at ({type(error).__name__}: {error})")
