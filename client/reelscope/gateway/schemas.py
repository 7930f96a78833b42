"""What goes over the wire: requests, jobs, events, health. Names are those of the results file: units at their end."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

State = Literal["queued", "running", "completed", "failed", "cancelled", "interrupted"]
ENDED: frozenset[State] = frozenset(("completed", "failed", "cancelled", "interrupted"))
"""States that do not change any more."""


class Wire(BaseModel):
    """Base of all: nothing unknown, and field docstrings are what the OpenAPI document says."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class Options(Wire):
    """Options of one analysis, as those of `reelscope analyze`."""

    only: Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1)] | None = None
    """Analyzers to run (with those that they consult); default: all."""
    detail: Literal["standard", "full"] = "standard"
    """full: with the densest series."""
    timeout_s: Annotated[float, Field(ge=1, allow_inf_nan=False)] | None = None
    """Seconds for the analysis, at most the gateway's own limit, which is the default."""
    max_duration_s: Annotated[float, Field(ge=1, allow_inf_nan=False)] | None = None
    """Longest clip that is accepted, in seconds; at most the gateway's own limit, which is the default."""
    no_biometrics: bool = False
    """Judge nobody by face or voice."""


class PathRequest(Options):
    """A clip that the gateway can reach by itself."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"video_path": "/videos/test1.mp4", "only": ["color_analysis"]}]}
    )

    video_path: Annotated[str, Field(min_length=1, max_length=4096)]
    """File below one of the gateway's roots: absolute, or relative to a root."""


class ProblemBody(BaseModel):
    """An error (RFC 9457)."""

    model_config = ConfigDict(extra="allow", use_attribute_docstrings=True)

    type: str
    """URN of the kind of error."""
    title: str
    """The kind of error, for people."""
    status: int
    """HTTP status."""
    detail: str
    """What is wrong this time."""
    code: str
    """Machine-readable name of the kind of error."""


class UsedModel(Wire):
    """A model that an analyzer read."""

    name: str
    trained: bool
    """False: random weights; what it says means nothing."""


class Outcome(Wire):
    """What an analyzer found, in short; event `analyzer`. All of it is in the results."""

    name: str
    title: str
    """What it finds, for people."""
    status: Literal["ok", "partial", "skipped", "failed"]
    reason: str | None
    """Machine-readable; null when ok."""
    message: str | None
    """The reason for people; null when ok."""
    headline: str | None
    """The summary in a few words; null when skipped or failed."""
    n_segments: int
    wall_ms: float
    models: list[UsedModel]
    warnings: list[str]
    summary: dict[str, Any] | None
    """As in the results; null when skipped or failed."""


class Stage(Wire):
    """How far a stage is; event `progress`."""

    stage: str
    """decode, signals, or the name of an analyzer."""
    share: Annotated[float, Field(ge=0, le=1)]
    """Share of it that is done, 0-1."""


class Links(Wire):
    """Addresses of what belongs to a job."""

    self: str
    events: str
    results: str
    report: str
    captions_srt: str
    captions_vtt: str


class Job(Wire):
    """One analysis; event `job`."""

    id: str
    state: State
    """completed: there are results, whatever single analyzers say; failed: `problem` says why; cancelled: nobody waited
    any more; interrupted: the gateway ended while it ran."""
    name: str
    """Name of the clip's file, for people."""
    source: Literal["path", "upload"]
    options: Options
    created: str
    """ISO 8601, UTC; so are the others."""
    started: str | None
    ended: str | None
    problem: ProblemBody | None
    """Why there are no results; null otherwise."""
    analyzers: dict[str, str]
    """Status by analyzer, of those that are done."""
    links: Links


class JobList(Wire):
    """Jobs, the newest first."""

    jobs: list[Job]
    total: int
    """Jobs that fit the question, on all pages."""


class ServingModel(Wire):
    """A model of the server, as it reports itself."""

    name: str
    version: str
    """Versions that serve, by number, separated by commas; empty when none does."""
    trained: bool | None = None
    """False: random weights. Null, like the others: it has not been asked yet, or has nothing to say."""
    source: str | None = None
    revision: str | None = None
    sha256: str | None = None
    licence: str | None = None
    precision: str | None = None


class AnalyzerHealth(Wire):
    """Whether an analyzer would find something if it were asked now."""

    title: str
    ready: bool
    reason: str | None
    """Why it is not ready; null when it is."""
    missing_inputs: list[str]
    """Ensembles that do not serve and that it can do without."""
    biometric: bool
    """Whether it judges people by face or voice."""
    models: list[ServingModel]
    """Models that it reads; empty where it computes everything itself."""


class ServerHealth(Wire):
    """The Triton server."""

    url: str
    live: bool
    reason: str | None
    """Why it is not live; null when it is."""
    profile: str
    checked_s_ago: float | None
    """Age of this knowledge; null: not checked yet."""


class Limits(Wire):
    """What the gateway takes."""

    max_upload_bytes: int
    """Largest request body."""
    max_duration_s: float
    """Longest clip."""
    queue_length: int
    """Jobs that may wait."""
    reads_paths: bool
    """Whether `video_path` can name anything: the gateway has roots."""


class Health(Wire):
    """What the gateway can do now."""

    status: Literal["ok", "degraded", "unavailable"]
    """degraded: some analyzer is not ready; unavailable: no server answers."""
    active_analyzers: int
    """Analyzers that are ready."""
    expected_analyzers: int
    """Analyzers that this deployment is to have; fewer than all where it leaves biometrics out."""
    analyzers: dict[str, AnalyzerHealth]
    server: ServerHealth
    limits: Limits
    jobs_queued: int
    jobs_running: int
    tool: str
    """Program and version."""


class Liveness(Wire):
    """Answer of the probes."""

    status: Literal["ok"]
