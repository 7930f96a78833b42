"""Every error that the exporter raises on purpose.

    ExportError
    ├── UsageError                  an option, name or folder that makes no sense              exit 2
    │   ├── UnknownModel            no model of that name, or the profile does not serve it
    │   └── UnknownProfile          no profile of that name
    ├── WeightsError                the weights cannot be used                                 exit 1
    │   ├── WeightsUnavailable      neither the cache nor the network has them
    │   ├── WeightsCorrupt          the file's hash is not the recorded one
    │   ├── WeightsUnreadable       the library cannot load the file
    │   └── LicenceRefused          the licence policy forbids them
    ├── TracingFailed               torch cannot turn the network into a graph                 exit 1
    ├── VerificationFailed          the graph differs from upstream; nothing was placed        exit 1
    ├── VersionInService            the file would replace one of a version that serves        exit 1
    ├── PlanRefused                 there can be no TensorRT plan of the graph                 exit 1
    ├── GpuMissing                  what is asked for needs a GPU                              exit 1
    ├── PlacementFailed             the repository cannot be written                           exit 1
    └── LibraryMissing              the extra `export` is not installed                        exit 1

Foreign exceptions are translated where they enter: in `weights`, `write`, `registry`, `graph` and the models' loaders.
"""

from __future__ import annotations

from typing import ClassVar


class ExportError(Exception):
    """Base of all; the message says what is wrong, where, and what to do."""

    code: ClassVar[str] = "export_failed"
    exit_code: ClassVar[int] = 1


class UsageError(ExportError):
    """An option, a name or a folder makes no sense."""

    code = "usage"
    exit_code = 2


class UnknownModel(UsageError):
    """There is no model of that name, or the profile does not serve it."""

    code = "unknown_model"


class UnknownProfile(UsageError):
    """There is no profile of that name."""

    code = "unknown_profile"


class WeightsError(ExportError):
    """The weights cannot be used."""

    code = "weights_error"


class WeightsUnavailable(WeightsError):
    """Neither the cache nor the network has the weights; the message names the file to put where."""

    code = "weights_unavailable"


class WeightsCorrupt(WeightsError):
    """The file's hash is not the one recorded; the message names file, expected and actual hash."""

    code = "weights_corrupt"


class WeightsUnreadable(WeightsError):
    """The upstream library cannot load the file, or it holds another model."""

    code = "weights_unreadable"


class LicenceRefused(WeightsError):
    """The licence policy forbids these weights."""

    code = "licence_refused"


class TracingFailed(ExportError):
    """torch cannot turn the network into a graph; the message names its version, which the lock pins, and why."""

    code = "tracing_failed"


class VerificationFailed(ExportError):
    """The graph does not compute what upstream computes; nothing was placed."""

    code = "verification_failed"


class VersionInService(ExportError):
    """Versions were rolled here: the next one is built aside, not in place; the message names the commands."""

    code = "version_in_service"


class PlanRefused(ExportError):
    """There can be no TensorRT plan of the graph; says why, or quotes TensorRT."""

    code = "plan_refused"


class GpuMissing(ExportError):
    """What is asked for needs a GPU, and there is none."""

    code = "gpu_missing"


class PlacementFailed(ExportError):
    """The model repository cannot be written."""

    code = "placement_failed"


class LibraryMissing(ExportError):
    """A library of the extra `export` is not installed."""

    code = "library_missing"
