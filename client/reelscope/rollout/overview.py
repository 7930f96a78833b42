"""What a server serves: versions and states, why a model does not serve, who answers, and which ensembles use it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from reelscope.errors import InferenceError
from reelscope.inference import IndexRow, RepositoryClient, sample_inputs
from reelscope.inference.samples import SMALL_FRAME_PX
from reelscope.rollout.comparison import is_provenance, read_provenance

_PROVENANCE_SECONDS = 5.0
"""Longest that a model may take to say who it is; one that is busy is listed without."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelState:
    """One model or ensemble of a server."""

    name: str
    versions: tuple[IndexRow, ...]
    """Every version that the server knows, by number; Triton never forgets one that it unloaded or failed to load."""
    config: dict[str, Any] | None
    """Config that it runs with; None when no version serves."""
    provenance: dict[str, dict[str, Any]]
    """Provenance output -> what it says; empty when it has none, does not answer in time, or was not asked."""
    used_by: tuple[str, ...]
    """Ensembles that serve and need it, sorted."""

    @property
    def serving(self) -> tuple[str, ...]:
        """Versions that answer requests."""
        return tuple(row.version for row in self.versions if row.state == "READY")

    @property
    def reason(self) -> str:
        """Why no version answers; empty when one does."""
        if self.serving:
            return ""
        states = [row.reason or row.state.lower() for row in reversed(self.versions) if row.state]
        return states[0] if states else "never loaded"

    @property
    def kind(self) -> str:
        """Backend or ensemble; empty when no version serves."""
        return (self.config or {}).get("backend") or (self.config or {}).get("platform") or ""

    @property
    def file_name(self) -> str:
        """File of the version folder that is loaded; empty for an ensemble."""
        return str((self.config or {}).get("default_model_filename", ""))

    @property
    def instances(self) -> str:
        """Instances, e.g. "2 gpu"; empty for an ensemble."""
        groups = (self.config or {}).get("instance_group", ())
        return ", ".join(f"{group.get('count', 1)} {_kind(group)}" for group in groups)


def overview(client: RepositoryClient, model: str | None = None) -> tuple[ModelState, ...]:
    """Describe every model of a server, or one; () when it has none.

    In the overview of all, ensembles are not asked who they are: their models are.

    Raises:
        ServerUnreachable: no server answers.
    """
    rows: dict[str, list[IndexRow]] = {}
    for row in client.repository_index():
        rows.setdefault(row.name, []).append(row)
    configs = {name: config for name, listed in rows.items() if (config := _config(client, listed))}
    return tuple(
        ModelState(
            name=name,
            versions=tuple(sorted(listed, key=_number)),
            config=configs.get(name),
            provenance=_provenance(client, name, configs[name])
            if name in configs and (model or not _steps(configs[name]))
            else {},
            used_by=_users(configs, name),
        )
        for name, listed in sorted(rows.items())
        if model in (None, name)
    )


def ready_versions(index: Iterable[IndexRow], model: str) -> tuple[str, ...]:
    """Versions of a model that answer requests, by number."""
    return tuple(row.version for row in sorted(index, key=_number) if row.name == model and row.state == "READY")


def users(client: RepositoryClient, model: str) -> tuple[str, ...]:
    """Ensembles that serve and need a model, directly or through another ensemble, sorted."""
    ready = {row.name for row in client.repository_index() if row.state == "READY"}
    return _users({name: client.model_config(name) for name in ready}, model)


def _users(configs: dict[str, dict[str, Any]], model: str) -> tuple[str, ...]:
    found: set[str] = set()
    while more := {name for name, config in configs.items() if name not in found if _steps(config) & {model, *found}}:
        found |= more
    return tuple(sorted(found))


def _steps(config: dict[str, Any]) -> set[str]:
    return {step["model_name"] for step in config.get("ensemble_scheduling", {}).get("step", ())}


def _config(client: RepositoryClient, rows: list[IndexRow]) -> dict[str, Any] | None:
    if not any(row.state == "READY" for row in rows):
        return None
    try:
        return client.model_config(rows[0].name)
    except InferenceError:  # unloaded in this moment
        return None


def _provenance(client: RepositoryClient, name: str, config: dict[str, Any]) -> dict[str, dict[str, Any]]:
    names = [item["name"] for item in config.get("output", ()) if is_provenance(item["name"])]
    if not names:
        return {}
    try:
        inputs = sample_inputs(config, rows=1, frame_px=SMALL_FRAME_PX)
        answer = client.ask(name, inputs, names, _PROVENANCE_SECONDS)
        return {output: read_provenance(answer.outputs[output]) for output in names}
    except (InferenceError, ValueError):
        return {}


def _number(row: IndexRow) -> int:
    return int(row.version) if row.version.isdigit() else 0


def _kind(group: dict[str, Any]) -> str:
    return str(group.get("kind", "KIND_AUTO")).removeprefix("KIND_").lower()
