"""Changes to what a running server serves: load, unload, roll a candidate in, roll back.

Nothing is ever unloaded before its successor is ready: Triton loads a version beside the old one, lets requests under
way finish, and only then retires the old; both are in memory meanwhile. When a load fails, the old one never stopped
serving, and the folder that was renamed gets its old name back.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from reelscope.errors import (
    ChangeRefused,
    DeadlineExceeded,
    InferenceError,
    ReelscopeError,
    ServerUnreachable,
    UsageError,
)
from reelscope.inference import RepositoryClient, sample_inputs
from reelscope.rollout.comparison import ANSWER_SECONDS, Comparison, compare, is_provenance, read_provenance
from reelscope.rollout.folder import ModelFolder, rename
from reelscope.rollout.overview import ready_versions, users

LOAD_SECONDS = 600.0
"""Longest that one load may take: engines of large models are built at load."""
_RETIRE_SECONDS = 60.0
_POLL_SECONDS = 0.1

Report = Callable[[str], None]
"""Told what happens, a line at a time."""
Checked = Callable[[Comparison], None]
"""Told what the check found, before anything is decided."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What serves now."""

    version: str
    """Version that answers."""
    before: str
    """Version that answered before."""


@dataclass(frozen=True, slots=True)
class Rollout:
    """One server, and the repositories that it serves."""

    client: RepositoryClient
    repositories: Callable[[], tuple[Path, ...]]
    """Folders as seen from here; called only for what changes versions."""
    report: Report = print

    def roll(
        self, model: str, *, version: int | None = None, force: bool = False, on_checked: Checked | None = None
    ) -> Change:
        """Make the candidate the next version, after it was checked beside the one that serves.

        Args:
            model: name of the model.
            version: a version that was rolled back, instead of the candidate.
            force: roll in what there are only objections against.
            on_checked: told what the check found.

        Raises:
            ChangeRefused: the candidate failed the check or did not load; the old version serves, the candidate stays.
            UsageError: no candidate, or a repository that is not the server's or cannot be written.
        """
        folder = ModelFolder.find(model, self.repositories())
        with folder.locked():
            candidate = folder.candidate(version)
            before = self._serving(folder)
            found = self._check(folder, candidate, force, on_checked)
            number = folder.next_version(candidate)
            with self._renamed(folder, candidate, folder.path / str(number)):
                self._load_verified(folder, str(number), found.candidate.provenance)
        return Change(version=str(number), before=before)

    def roll_config(self, model: str, *, force: bool = False, on_checked: Checked | None = None) -> Change:
        """Let the configs on disk take effect, after they were checked beside the ones that serve.

        Raises:
            ChangeRefused: the config failed the check or did not load; the old one serves.
            UsageError: a repository that is not the server's or cannot be written.
        """
        folder = ModelFolder.find(model, self.repositories())
        with folder.locked():
            before = self._serving(folder)
            try:
                self._check(folder, folder.path / before, force, on_checked)
                self._load_verified(folder, before, None)
            except ChangeRefused as error:
                reason = f"{_reason(error)}; mend the config before the server starts again"
                raise self._refusal(model, reason) from error
        return Change(version=before, before=before)

    def roll_back(self, model: str) -> Change:
        """Return to the previous version, and set the one that serves aside; holds over a restart.

        Raises:
            ChangeRefused: there is no previous version, or it did not load; the later one serves.
            UsageError: a repository that is not the server's or cannot be written.
        """
        folder = ModelFolder.find(model, self.repositories())
        with folder.locked():
            before = self._serving(folder)
            *earlier, current = folder.versions
            if not earlier:
                raise ChangeRefused(f"{model}: there is no version before {current} in {folder.path}")
            with self._renamed(folder, folder.path / str(current), folder.aside(current)):
                self._load_verified(folder, str(earlier[-1]), None)
        return Change(version=str(earlier[-1]), before=before)

    def load(self, model: str) -> tuple[str, ...]:
        """Load what does not serve; returns the versions that serve now.

        Raises:
            ChangeRefused: it serves already, or does not load; the message is Triton's own.
        """
        self._require_known(model)
        if serving := ready_versions(self.client.repository_index(), model):
            raise ChangeRefused(
                f"{model}: version {', '.join(serving)} serves already; a new version or config is rolled in",
                f"reelscope models roll {model}",
            )
        try:
            self.client.load_model(model, LOAD_SECONDS)
        except InferenceError as error:
            raise ChangeRefused(f"{model} did not load: {_reason(error)}") from error
        return ready_versions(self.client.repository_index(), model)

    def unload(self, model: str, *, force: bool = False) -> tuple[str, ...]:
        """Unload a model; returns the ensembles that this took down.

        Raises:
            ChangeRefused: ensembles that serve use it, and `force` was not given.
            UsageError: it is unknown, or not loaded.
        """
        self._require_known(model)
        if not ready_versions(self.client.repository_index(), model):
            raise UsageError(f"{model} is not loaded")
        ensembles = users(self.client, model)
        if ensembles and not force:
            raise ChangeRefused(
                f"{model}: unloading it takes down {', '.join(ensembles)} at once; --force does it all the same"
            )
        self.client.unload_model(model)
        self._await_retired(model)
        return ensembles

    def _check(self, folder: ModelFolder, version_folder: Path, force: bool, on_checked: Checked | None) -> Comparison:
        model = folder.name
        with folder.alias(version_folder) as alias:
            if not any(row.name == alias for row in self.client.repository_index()):
                raise UsageError(
                    f"the server does not serve {folder.path.parent}; --repository names the folder that it does"
                )
            self.report(f"{model}: loading {version_folder.name} beside the serving version")
            try:
                self.client.load_model(alias, LOAD_SECONDS)
                self.report(f"{model}: comparing the two")
                found = compare(self.client, model, alias)
            except InferenceError as error:
                raise ChangeRefused(f"{model}: {version_folder.name} is not fit: {_reason(error)}") from error
            finally:
                self._unload_alias(alias)
        if on_checked:
            on_checked(found)
        if found.objections and not force:
            raise ChangeRefused(f"{model}: {'; '.join(found.objections)}; --force rolls it in all the same")
        return found

    def _unload_alias(self, alias: str) -> None:
        # The error that brought us here matters more than one of cleaning up.
        with contextlib.suppress(InferenceError, ServerUnreachable):
            self.client.unload_model(alias)
            self._await_retired(alias)

    @contextlib.contextmanager
    def _renamed(self, folder: ModelFolder, source: Path, target: Path) -> Iterator[None]:
        """Rename a version folder for good if the block succeeds; else undo it, and say which version serves."""
        rename(source, target)
        try:
            yield
        except BaseException as error:
            rename(target, source)
            # Triton may have loaded it after all, or still be at it.
            with contextlib.suppress(InferenceError, ServerUnreachable):
                self.client.load_model(folder.name, LOAD_SECONDS)
            if not isinstance(error, ReelscopeError):
                raise
            raise self._refusal(folder.name, f"{_reason(error)}; undone") from error

    def _refusal(self, model: str, reason: str) -> ChangeRefused:
        serving = ", ".join(ready_versions(self.client.repository_index(), model))
        named = reason if reason.startswith(model) else f"{model}: {reason}"
        return ChangeRefused(f"{named}; {f'version {serving} serves' if serving else 'no version serves'}")

    def _load_verified(
        self, folder: ModelFolder, version: str, provenance: dict[str, dict[str, object]] | None
    ) -> None:
        """Load what lies in the folder; it must be `version` that answers then, and say that it is `provenance`."""
        model = folder.name
        self.report(f"{model}: loading version {version}")
        try:
            self.client.load_model(model, LOAD_SECONDS)
        except DeadlineExceeded as error:
            raise ChangeRefused(f"version {version} did not load within {LOAD_SECONDS:g} s") from error
        except InferenceError as error:
            raise ChangeRefused(f"version {version} did not load: {_reason(error)}") from error
        config = self.client.model_config(model)
        names = [item["name"] for item in config["output"]]
        answer = self.client.ask(model, sample_inputs(config, rows=1), names, ANSWER_SECONDS)
        if answer.version != version:
            raise ChangeRefused(
                f"version {answer.version} answers instead of {version}: is {folder.path.parent} what the server "
                "serves, and does the config's version_policy allow it?"
            )
        if provenance is not None:
            try:
                stated = {name: read_provenance(answer.outputs[name]) for name in names if is_provenance(name)}
            except ValueError as error:
                raise ChangeRefused(f"version {version} is not what was checked: {error}") from error
            if stated != provenance:
                raise ChangeRefused(f"version {version} is not what was checked: it says {stated}")

    def _serving(self, folder: ModelFolder) -> str:
        """The version that serves, which must be the highest of the folder."""
        serving = ready_versions(self.client.repository_index(), folder.name)
        if not serving:
            raise ChangeRefused(f"{folder.name}: no version serves", f"reelscope models load {folder.name}")
        if not folder.versions or str(folder.versions[-1]) != serving[-1]:
            raise UsageError(
                f"{folder.name}: the server's version is {serving[-1]}, the highest in {folder.path} is "
                f"{folder.versions[-1] if folder.versions else 'none'}; --repository names the folder that it serves"
            )
        return serving[-1]

    def _require_known(self, model: str) -> None:
        known = sorted({row.name for row in self.client.repository_index()})
        if model not in known:
            raise UsageError(f"the server has no model {model}; there are: {', '.join(known) or 'none'}")

    def _await_retired(self, model: str) -> None:
        deadline = time.monotonic() + _RETIRE_SECONDS
        while any(row.name == model and row.state in ("READY", "UNLOADING") for row in self.client.repository_index()):
            if time.monotonic() > deadline:
                raise DeadlineExceeded(f"{model} is still unloading after {_RETIRE_SECONDS:g} s")
            time.sleep(_POLL_SECONDS)


def _reason(error: ReelscopeError) -> str:
    """Triton's own words, without the stack of its Python backend."""
    return str(error).partition("\n\nAt:")[0].strip()
