"""Placing a built file: verified first, renamed last, so that a version in use is never seen half-written.

A build writes `1/.<file>.<random>.tmp` on the same filesystem and renames it over the file when all is well. The
temporary file is locked while its export lives; an export that died leaves an unlocked one, which the next export
of the same file removes.

Where `reelscope models roll` has made version 2, or a rollback has set one aside, versions are a history that is not
written to any more: the next build goes to `candidate/`, which Triton ignores until it is rolled in.
"""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from reelscope_export.errors import PlacementFailed

CANDIDATE = "candidate"
_FIRST = "1"
_ROLLED_BACK = "rolled-back-*"


def in_service(model_folder: Path) -> Path:
    """Folder of the version that Triton serves: the highest number; 1 where there is none yet."""
    numbers = [each.name for each in model_folder.glob("[0-9]*") if each.name.isdigit()]
    return model_folder / max(numbers, key=int, default=_FIRST)


def has_history(model_folder: Path) -> bool:
    """Whether a version was ever rolled in here."""
    return in_service(model_folder).name != _FIRST or any(model_folder.glob(_ROLLED_BACK))


@contextmanager
def staged(target: Path) -> Iterator[BinaryIO]:
    """Give an open temporary file beside `target`; rename it over `target` when the block succeeds.

    When the block raises, the temporary file is removed and `target` stays as it was.

    Raises:
        PlacementFailed: the folder cannot be written.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _remove_stale(target)
        temporary = target.with_name(f".{target.name}.{secrets.token_hex(6)}.tmp")
        stream = temporary.open("xb")
    except OSError as exc:
        raise PlacementFailed(f"cannot write to {target.parent}: {exc}") from exc
    try:
        with stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
            os.replace(temporary, target)
    except OSError as exc:
        raise PlacementFailed(f"cannot place {target}: {exc}") from exc
    finally:
        temporary.unlink(missing_ok=True)


def _remove_stale(target: Path) -> None:
    for temporary in target.parent.glob(f".{target.name}.*.tmp"):
        with temporary.open("rb") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue  # its export is alive
            temporary.unlink(missing_ok=True)
