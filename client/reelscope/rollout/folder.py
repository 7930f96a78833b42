"""A model's folder in a Triton repository: its versions, the candidate for the next one, and those that were set aside.

    <model>/1  <model>/2        versions; Triton serves the highest (unless the config's version_policy says otherwise)
    <model>/candidate           built, not approved; Triton ignores it, so that no restart serves it
    <model>/rolled-back-2       was version 2
    <model>.candidate           only during a check: a model of that name over one of these folders

A version changes by renaming one folder, never by writing into it. Triton takes the leading digits of a folder's name
for a version ("2.old" is version 2), so what it must ignore begins with a letter.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from reelscope.embedded.deployment import CANDIDATE_SUFFIX
from reelscope.errors import ChangeRefused, UsageError
from reelscope.inference import RepositoryClient

CANDIDATE = "candidate"
_ROLLED_BACK = "rolled-back-"


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """One model's folder; its name is the model's."""

    path: Path

    @classmethod
    def find(cls, model: str, repositories: Sequence[Path]) -> ModelFolder:
        """Find a model in the first repository that has it.

        Raises:
            UsageError: none has it.
        """
        for repository in repositories:
            if (repository / model / "config.pbtxt").is_file():
                return cls(repository / model)
        searched = ", ".join(map(str, repositories))
        raise UsageError(f"no model {model} in {searched}; --repository names the folder that the server serves")

    @property
    def name(self) -> str:
        """Name of the model."""
        return self.path.name

    @property
    def versions(self) -> tuple[int, ...]:
        """Version numbers, ascending."""
        return tuple(sorted(int(each.name) for each in self.path.iterdir() if each.is_dir() and each.name.isdigit()))

    @property
    def rolled_back(self) -> tuple[int, ...]:
        """Numbers of the versions that were set aside, ascending."""
        names = [each.name.removeprefix(_ROLLED_BACK) for each in self.path.glob(f"{_ROLLED_BACK}*")]
        return tuple(sorted(int(name) for name in names if name.isdigit()))

    def candidate(self, version: int | None) -> Path:
        """Folder of the candidate, or of a version that was set aside.

        Raises:
            UsageError: there is none, or an export is still writing it.
        """
        folder = self.path / CANDIDATE if version is None else self.aside(version)
        if not folder.is_dir() or not any(folder.iterdir()):
            found = ", ".join(map(str, self.rolled_back)) or "none"
            if version is not None:
                raise UsageError(f"{self.name}: no version {version} is set aside; there are: {found}")
            raise UsageError(
                f"{self.name}: there is no candidate ({folder}; set aside: {found})",
                f"reelscope-export {self.name} --candidate",
            )
        if any(folder.glob(".*.tmp")):
            raise UsageError(
                f"{folder}: an export is writing there; after one that was cut off",
                f"reelscope-export {self.name} --candidate",
            )
        return folder

    def aside(self, version: int) -> Path:
        """Where a version is set aside."""
        return self.path / f"{_ROLLED_BACK}{version}"

    def next_version(self, candidate: Path) -> int:
        """Number that a candidate gets: above every version, and none that another one ever had."""
        aside = [version for version in self.rolled_back if self.aside(version) != candidate]
        return max((0, *self.versions, *aside)) + 1

    @contextlib.contextmanager
    def alias(self, version_folder: Path) -> Iterator[str]:
        """A model `<model>.candidate` in the same repository, over one version folder; gone after the block.

        It has every config of the model under the new name, so that Triton itself chooses the variant.

        Raises:
            ChangeRefused: a config does not parse.
            UsageError: the repository cannot be written.
        """
        alias = self.path.with_name(f"{self.name}{CANDIDATE_SUFFIX}")
        try:
            self._write_alias(alias, version_folder)
            yield alias.name
        finally:
            shutil.rmtree(alias, ignore_errors=True)

    def _write_alias(self, alias: Path, version_folder: Path) -> None:
        configs = (self.path / "config.pbtxt", *sorted((self.path / "configs").glob("*.pbtxt")))
        try:
            shutil.rmtree(alias, ignore_errors=True)
            (alias / "configs").mkdir(parents=True)
            for config in configs:
                name = config.relative_to(self.path)
                try:
                    text = RepositoryClient.renamed_config(config.read_text(encoding="utf-8"), alias.name)
                except (UsageError, UnicodeDecodeError) as error:
                    raise ChangeRefused(f"{self.name}/{name}: {error}") from error
                (alias / name).write_text(text, encoding="utf-8")
            # Relative: the server may see the repository under another path.
            (alias / "1").symlink_to(Path("..", self.name, version_folder.name))
        except OSError as error:
            raise _unwritable(alias, error) from error

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other commands from changing the model's versions meanwhile.

        Raises:
            ChangeRefused: another command is at it.
        """
        # The folder itself is the lock: nothing is left behind that Triton or git could stumble over.
        descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise ChangeRefused(f"{self.name}: another command is changing it") from error
            yield
        finally:
            os.close(descriptor)


def rename(source: Path, target: Path) -> None:
    """Rename a version folder, which is atomic.

    Raises:
        UsageError: the repository cannot be written.
    """
    try:
        source.rename(target)
    except OSError as error:
        raise _unwritable(target, error) from error


def _unwritable(path: Path, error: OSError) -> UsageError:
    return UsageError(f"{path}: {error.strerror}; changing versions needs to write to the model repository")
