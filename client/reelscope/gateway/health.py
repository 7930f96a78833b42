"""What the Triton server can do, looked at all the time in the background, so that who asks gets an answer at once.

Every second the server's index of models is read: one call. What ensembles consist of, and who the models are, is asked
when the index has changed, and again where a model was too busy to say.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from reelscope import __version__
from reelscope.analyzers import ANALYZERS
from reelscope.analyzers.base import Analyzer
from reelscope.embedded import expected_models
from reelscope.errors import ReelscopeError
from reelscope.gateway.configuration import Configuration
from reelscope.gateway.observability import logger, where
from reelscope.inference import IndexRow, RepositoryClient
from reelscope.pipeline import needed_ensembles, permitted
from reelscope.rollout import ModelState, overview

LOOK_SECONDS = 1.0
"""How often the index is read."""
STALE_SECONDS = 30.0
"""Age from which on what is known says nothing: the server hangs."""
ASK_AGAIN_SECONDS = 60.0
"""How long models that did not say who they are are left alone."""


@dataclass(slots=True)
class _Seen:
    """What is known of the server."""

    index: tuple[IndexRow, ...] = ()
    reason: str | None = "not looked at yet"
    """Why it is not live; None when it is."""
    at: float | None = None
    """When it was looked at, on the monotonic clock."""
    models: dict[str, ModelState] = field(default_factory=dict)
    """What each is and who it says it is."""
    expected: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Versions that must serve, by model; "" is any."""
    described: tuple[IndexRow, ...] = ()
    """The index that `models` was made from."""
    asked_at: float = float("-inf")
    """When the models were asked last, on the monotonic clock."""


class Watch:
    """Watches one server for the analyzers of a gateway."""

    def __init__(self, configuration: Configuration, analyzers: Iterable[Analyzer] = ANALYZERS) -> None:
        """Know nothing yet; `run` looks."""
        self._configuration = configuration
        self._analyzers = permitted(analyzers, configuration.profile)
        self._needs = {
            each.name: (needed_ensembles([replace(each, uses=())]), needed_ensembles([each]))
            for each in self._analyzers
        }
        self._seen = _Seen()

    async def run(self) -> None:
        """Look for ever."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._for_ever(self._look_at_index))
            tasks.create_task(self._for_ever(self._look_at_models))

    async def _for_ever(self, look: Callable[[RepositoryClient], Awaitable[None]]) -> None:
        with contextlib.closing(RepositoryClient(self._configuration.url)) as client:
            while True:
                try:
                    await look(client)
                except Exception as error:  # the watch outlives whatever a server answers
                    logger.error("watch failed", extra={"error": where(error)})
                await asyncio.sleep(LOOK_SECONDS)

    async def _look_at_index(self, client: RepositoryClient) -> None:
        seen, was_live = self._seen, self.is_live
        try:
            seen.index, seen.reason = tuple(sorted(await asyncio.to_thread(client.repository_index))), None
        except ReelscopeError as error:
            # Whatever answers next may be another server.
            seen.index, seen.reason, seen.models, seen.described = (), str(error), {}, ()
        seen.at = time.monotonic()
        if self.is_live != was_live:
            logger.warning("server answers" if self.is_live else "server does not answer")

    async def _look_at_models(self, client: RepositoryClient) -> None:
        seen, index = self._seen, self._seen.index
        is_due = time.monotonic() - seen.asked_at > ASK_AGAIN_SECONDS and self._is_anybody_unknown()
        if not index or (index == seen.described and not is_due):
            return
        seen.asked_at = time.monotonic()
        try:
            seen.expected = await asyncio.to_thread(expected_models, self._configuration.profile)
        except ReelscopeError as error:  # a repository that is being written, or is not here
            seen.expected = {}
            logger.error("expected models are unknown", extra={"error": where(error)})
        with contextlib.suppress(ReelscopeError):  # the other look says what is wrong
            models = await asyncio.to_thread(overview, client)
            if seen.index:
                seen.models, seen.described = {each.name: each for each in models}, index

    def _is_anybody_unknown(self) -> bool:
        return any(
            state.serving and not state.provenance and state.kind != "ensemble" for state in self._seen.models.values()
        )

    @property
    def is_live(self) -> bool:
        """Whether the server answers."""
        return self._seen.reason is None and self._age() < STALE_SECONDS

    def _age(self) -> float:
        return float("inf") if self._seen.at is None else time.monotonic() - self._seen.at

    def ready(self) -> dict[str, bool]:
        """Whether each analyzer would find something now."""
        return {name: not self._wanting(needs) for name, (needs, _) in self._needs.items()}

    def models(self) -> dict[tuple[str, str], bool]:
        """Whether each version that is expected serves now; "any" where the repository here does not say which.

        What else the server's index holds does not count: Triton never forgets a version that it unloaded.
        """
        serving = {(row.name, row.version) for row in self._seen.index if row.state == "READY" and self.is_live}
        serving |= {(name, "") for name, _ in serving}
        pairs = [(name, version) for name, versions in self._seen.expected.items() for version in versions]
        return {(name, version or "any"): (name, version) in serving for name, version in pairs}

    def health(self, queued: int, running: int) -> dict[str, Any]:
        """What is known, as `schemas.Health` writes it."""
        analyzers = {each.name: self._analyzer(each) for each in self._analyzers}
        active = sum(each["ready"] for each in analyzers.values())
        working = "ok" if active == len(analyzers) else "degraded"
        age, reason = self._age(), self._seen.reason
        return {
            "status": working if self.is_live else "unavailable",
            "active_analyzers": active,
            "expected_analyzers": len(analyzers),
            "analyzers": analyzers,
            "server": {
                "url": self._configuration.url,
                "live": self.is_live,
                "reason": reason if reason or self.is_live else f"has not answered for {age:.0f} s",
                "profile": self._configuration.profile.name,
                "checked_s_ago": None if self._seen.at is None else round(age, 3),
            },
            "limits": {
                "max_upload_bytes": self._configuration.max_upload_bytes,
                "max_duration_s": self._configuration.max_seconds,
                "queue_length": self._configuration.queue_length,
                "reads_paths": bool(self._configuration.roots),
            },
            "jobs_queued": queued,
            "jobs_running": running,
            "tool": f"reelscope {__version__}",
        }

    def _analyzer(self, analyzer: Analyzer) -> dict[str, Any]:
        required, read = self._needs[analyzer.name]
        wanting = self._wanting(required)
        helping = self._wanting([ensemble for ensemble in read if ensemble not in required])
        return {
            "title": analyzer.title,
            "ready": not wanting,
            "reason": "; ".join(wanting.values()) or None,
            "missing_inputs": list(helping),
            "biometric": analyzer.is_biometric,
            "models": [
                _shown(state)
                for state in self._seen.models.values()
                if state.kind != "ensemble" and set(state.used_by) & set(read)
            ],
        }

    def _wanting(self, ensembles: Iterable[str]) -> dict[str, str]:
        """Which of the ensembles do not serve, and why."""
        wanting = {}
        for ensemble in ensembles:
            steps = [name for name, state in self._seen.models.items() if ensemble in state.used_by]
            absent = [name for name in (ensemble, *steps) if not self._serves(name)]
            if not self.is_live:
                wanting[ensemble] = f"{ensemble}: no server answers"
            elif absent:
                wanting[ensemble] = f"{ensemble}: " + ", ".join(f"{name} {self._why(name)}" for name in absent)
        return wanting

    def _serves(self, name: str) -> bool:
        return any(row.name == name and row.state == "READY" for row in self._seen.index)

    def _why(self, name: str) -> str:
        rows = [row for row in self._seen.index if row.name == name and row.state]
        return f"is not loaded ({rows[-1].reason or rows[-1].state.lower()})" if rows else "was never loaded"


def _shown(state: ModelState) -> dict[str, Any]:
    """A model as `schemas.ServingModel` writes it; one that passes on what others answered names their weights."""
    stated = next(iter(state.provenance.values()), {})
    members = ("trained", "source", "revision", "sha256", "licence", "precision")
    return {"name": state.name, "version": ", ".join(state.serving)} | {name: stated.get(name) for name in members}
