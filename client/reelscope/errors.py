"""Every error that reelscope raises on purpose.

    ReelscopeError
    ├── InputError                  the clip cannot be analysed                                exit 4
    │   ├── InputNotFound           no file there, or not a file
    │   ├── InputUnreadable         empty, damaged, or not a media file
    │   ├── InputTooLong            longer than the caller allows
    │   └── NoVideoStream           a media file without moving pictures
    ├── UsageError                  an option, name or path that makes no sense                exit 2
    ├── ChangeRefused               a version, config or unload was refused; the old one serves exit 1
    ├── ServerError                 Triton is not there, or cannot be used                     exit 5
    │   ├── ServerUnreachable       nothing answers at the address
    │   ├── AccessDenied            it refuses the call without the administrator's key
    │   ├── ServerStartFailed       the embedded server did not come up; quotes Triton
    │   └── ModelNotBuilt           the repository lacks a model file; names the command that builds it
    ├── InferenceError              one call failed; costs one signal, never the job
    │   ├── ModelUnavailable        not loaded, unloaded, or its server is gone
    │   ├── Overloaded              the server's queue is full, or the wait in it was too long
    │   ├── DeadlineExceeded        the call, or the job, ran out of time
    │   └── InvalidRequest          the server refused the tensors
    ├── SourceFailed                a signal source broke; costs its signal
    ├── ResultsError                a results file that is not one                             exit 2
    │   └── SchemaUnsupported       one of a schema that this version does not know
    └── TruthError                  an annotation file that is not one, or of another clip     exit 2

`code` is the machine-readable name that results, exit codes and HTTP statuses are derived from.
Foreign exceptions are translated where they enter: in `decode`, `inference`, `embedded`, `results` and
`evaluation`.
"""

from __future__ import annotations

from typing import ClassVar


class ReelscopeError(Exception):
    """Base of all; the message says what is wrong, where, and what to do; where a command mends it, it ends in that."""

    code: ClassVar[str] = "internal_error"

    def __init__(self, finding: str, remedy: str = "") -> None:
        """Say what is wrong and where, and the command that mends it, if there is one."""
        super().__init__(f"{finding}; run: {remedy}" if remedy else finding)
        self.finding, self.remedy = finding, remedy


class InputError(ReelscopeError):
    """The clip cannot be analysed."""

    code = "input_invalid"


class InputNotFound(InputError):
    """There is no file at the path, or the path is not a file."""

    code = "input_not_found"


class InputUnreadable(InputError):
    """The file is empty, damaged, or no media file."""

    code = "input_unreadable"


class InputTooLong(InputError):
    """The clip is longer than is allowed."""

    code = "input_too_long"


class NoVideoStream(InputError):
    """The file is media, but holds no moving pictures."""

    code = "no_video_stream"


class UsageError(ReelscopeError):
    """An option, a name or a path makes no sense."""

    code = "usage"


class ChangeRefused(ReelscopeError):
    """A change to a served model was refused or undone; what served before keeps serving."""

    code = "change_refused"


class ServerError(ReelscopeError):
    """Triton is not there, or cannot be used."""

    code = "server_error"


class ServerUnreachable(ServerError):
    """Nothing answers at the address."""

    code = "server_unreachable"


class AccessDenied(ServerError):
    """The server answers, but not to this call: it is restricted, and the key was absent or wrong."""

    code = "access_denied"


class ServerStartFailed(ServerError):
    """The embedded server did not come up; the message quotes Triton's own."""

    code = "server_start_failed"


class ModelNotBuilt(ServerError):
    """The model repository lacks a built file; the message names the command that builds it."""

    code = "model_not_built"


class InferenceError(ReelscopeError):
    """One inference call failed; it costs one signal, never the job."""

    code = "inference_failed"


class ModelUnavailable(InferenceError):
    """The model is not loaded, was unloaded, or its server is gone."""

    code = "model_unavailable"


class Overloaded(InferenceError):
    """The server refused the call: its queue is full, or the call waited in it too long. Nothing asks again by itself,
    which would make it worse."""

    code = "overloaded"


class DeadlineExceeded(InferenceError):
    """The call, or the whole job, ran out of time."""

    code = "deadline_exceeded"


class InvalidRequest(InferenceError):
    """The server refused the tensors: names, types or shapes do not fit the model."""

    code = "invalid_request"


class SourceFailed(ReelscopeError):
    """A signal source raised what it should not have; costs its signal, never the job."""

    code = "source_failed"


class ResultsError(ReelscopeError):
    """A results file is missing, is not JSON, or is no results file."""

    code = "results_invalid"


class SchemaUnsupported(ResultsError):
    """A results file of another schema than this version of reelscope reads."""

    code = "schema_unsupported"


class TruthError(ReelscopeError):
    """An annotation file is missing, is not JSON, breaks the format, or does not fit its clip."""

    code = "truth_invalid"
