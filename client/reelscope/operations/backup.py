"""What a machine cannot make again, in one file, and back: the gateway's jobs and clips, and the models as they serve.

    state/gateway/jobs.sqlite, state/gateway/clips/     as in the state folder
    model_repository/                                   configs, labels, built models, every version
    installation/                                       the lock of hashes, profiles and ensembles that they belong to
    manifest.json                                       version, commit, and the SHA-256 of every other file

All else comes from the commit and the manifest of weights. The archive is an uncompressed tar: weights do not shrink.
"""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import sqlite3
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath

from reelscope import __version__, settings
from reelscope.decode import sha256
from reelscope.errors import UsageError

Progress = Callable[[str, float], None]

_MANIFEST = "manifest.json"
_DATABASE = "state/gateway/jobs.sqlite"
_INSTALLATION = "installation"
_OF_THE_INSTALLATION = ("requirements.lock", "server/profiles.toml", "ensembles")


@dataclass(frozen=True, slots=True)
class Manifest:
    """What an archive holds."""

    version: str
    """Of the reelscope that wrote it."""
    commit: str
    """Of its checkout; empty where there is none."""
    files: dict[str, str]
    """SHA-256 by name."""


def save(file: Path, show: Progress) -> Manifest:
    """Write the archive; a gateway and a server may run meanwhile.

    Args:
        file: replaced when it is there.
        show: told about the share that is written, 0-1.

    Raises:
        UsageError: something cannot be read, or the archive cannot be written.
    """
    unfinished = file.with_name(f"{file.name}.unfinished")
    try:
        with _members() as members, tarfile.open(unfinished, "w") as archive:
            total, written = sum(path.stat().st_size for path in members.values()) or 1, 0
            hashes = {}
            for name, path in members.items():
                hashes[name] = sha256(path)
                archive.add(path, name, recursive=False)
                written += path.stat().st_size
                show("backup", written / total)
            manifest = Manifest(__version__, _commit(), hashes)
            _add_text(archive, _MANIFEST, json.dumps(asdict(manifest), indent=1))
        unfinished.replace(file)
    except (OSError, sqlite3.Error) as error:
        unfinished.unlink(missing_ok=True)
        raise UsageError(f"{file}: the backup cannot be written ({error})") from error
    return manifest


def restore(file: Path, folder: Path, show: Progress) -> tuple[Manifest, list[str]]:
    """Unpack an archive into a new folder, every file held to its hash.

    Returns:
        What it holds, and which files of the installation differ here: what was saved belongs to another commit then.

    Raises:
        UsageError: it is no backup or is damaged, or the folder is not empty; nothing is left of it then.
    """
    if folder.exists() and any(folder.iterdir()):
        raise UsageError(f"{folder}: is not empty; name a new folder")
    unfinished = folder.with_name(f"{folder.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        with tarfile.open(file) as archive:
            archive.extractall(unfinished, filter="data")
        manifest = Manifest(**json.loads((unfinished / _MANIFEST).read_text(encoding="utf-8")))
        _verify(unfinished, manifest, show)
        if folder.exists():
            folder.rmdir()
        unfinished.replace(folder)
    except (OSError, tarfile.TarError, ValueError, TypeError) as error:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise UsageError(f"{file}: cannot be restored ({error})") from error
    return manifest, _differing(manifest)


@contextlib.contextmanager
def _members() -> Iterator[dict[str, Path]]:
    """Files of an archive by their names there; the database as a copy that is whole."""
    root, state, repository = settings.deployment_root(), settings.state_folder(), settings.model_repository()
    folders = {
        "state/gateway/clips": state / "gateway" / "clips",
        "model_repository": repository,
        **{f"{_INSTALLATION}/{name}": root / name for name in _OF_THE_INSTALLATION},
    }
    members: dict[str, Path] = {}
    for name, start in folders.items():
        if start.is_file():
            members[name] = start
        for path in sorted(start.rglob("*")) if start.is_dir() else ():
            if path.is_file() and "__pycache__" not in path.parts:
                members[str(PurePosixPath(name, *path.relative_to(start).parts))] = path
    with tempfile.TemporaryDirectory(prefix="reelscope-backup-") as scratch:
        database = state / "gateway" / "jobs.sqlite"
        if database.is_file():
            copy = Path(scratch) / database.name
            with (
                contextlib.closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as jobs,
                contextlib.closing(sqlite3.connect(copy)) as whole,
            ):
                jobs.backup(whole)
            members[_DATABASE] = copy
        yield members


def _verify(folder: Path, manifest: Manifest, show: Progress) -> None:
    for number, (name, expected) in enumerate(manifest.files.items(), 1):
        path = folder / name
        if not path.is_file():
            raise ValueError(f"{name} is missing")
        if sha256(path) != expected:
            raise ValueError(f"{name} is not what was saved")
        show("verify", number / len(manifest.files))


def _differing(manifest: Manifest) -> list[str]:
    """Files of the installation that are not what the archive was made with."""
    root, prefix = settings.deployment_root(), f"{_INSTALLATION}/"
    saved = {name.removeprefix(prefix): each for name, each in manifest.files.items() if name.startswith(prefix)}
    return [name for name, expected in saved.items() if not (root / name).is_file() or sha256(root / name) != expected]


def _commit() -> str:
    if not settings.is_checkout():
        return ""
    command = ["git", "-C", str(settings.deployment_root()), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def _add_text(archive: tarfile.TarFile, name: str, text: str) -> None:
    content = text.encode()
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    archive.addfile(entry, io.BytesIO(content))
