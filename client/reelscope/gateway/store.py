"""Jobs, their events and their results: one SQLite file that survives restarts.

What is deleted is overwritten (`secure_delete`) and its pages go back to the file system (`auto_vacuum`), and no
write-ahead log keeps it any longer. Times are seconds since the epoch.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reelscope.errors import UsageError

_SCHEMA = """
PRAGMA auto_vacuum = FULL;
PRAGMA journal_mode = DELETE;
PRAGMA secure_delete = ON;
PRAGMA foreign_keys = ON;
CREATE TABLE IF NOT EXISTS jobs (
    id TEXT PRIMARY KEY,
    state TEXT NOT NULL,
    name TEXT NOT NULL,
    clip TEXT NOT NULL,
    is_upload INTEGER NOT NULL,
    options TEXT NOT NULL,
    created REAL NOT NULL,
    started REAL,
    ended REAL,
    problem TEXT,
    results BLOB
);
CREATE INDEX IF NOT EXISTS jobs_by_age ON jobs (created);
CREATE TABLE IF NOT EXISTS events (
    job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    number INTEGER NOT NULL,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    status TEXT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (job, number)
) WITHOUT ROWID;
"""
_VERSION = 1
_COLUMNS = "id, state, name, clip, is_upload, options, created, started, ended, problem"


@dataclass(slots=True, kw_only=True)
class JobRecord:
    """One job, as it is kept."""

    id: str
    state: str = "queued"
    name: str
    """Name of the clip's file, for people."""
    clip: Path
    is_upload: bool
    """Whether the clip is the gateway's own copy, to be erased with the job."""
    options: dict[str, Any]
    created: float = field(default_factory=time.time)
    started: float | None = None
    ended: float | None = None
    problem: dict[str, Any] | None = None
    """Body of the problem it ended with."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a job, for those who follow it."""

    number: int
    """Counted from 1 within the job."""
    kind: str
    """job or analyzer."""
    body: dict[str, Any]


class Store:
    """The file of jobs. Every method may be called from every thread."""

    def __init__(self, path: Path) -> None:
        """Open the file; it is made when missing.

        Raises:
            UsageError: it cannot be opened, is no database, or was written by a newer version.
        """
        self._lock = threading.Lock()
        self._folder = path.parent
        try:
            self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            path.chmod(0o600)
            self._connection.executescript(_SCHEMA)
            (version,) = self._connection.execute("PRAGMA user_version").fetchone()
            if version not in (0, _VERSION):
                raise UsageError(f"{path}: of version {version}; this reelscope reads version {_VERSION}")
            self._connection.execute(f"PRAGMA user_version = {_VERSION}")
        except (sqlite3.Error, OSError) as error:
            raise UsageError(f"{path}: the jobs cannot be kept there ({error})") from error

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    def add(self, job: JobRecord) -> None:
        """Keep a new job."""
        with self._changes() as connection:
            connection.execute(
                f"INSERT INTO jobs ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    job.id,
                    job.state,
                    job.name,
                    # Our own copies are named from here: the folder may be restored elsewhere.
                    str(job.clip.relative_to(self._folder) if job.clip.is_relative_to(self._folder) else job.clip),
                    job.is_upload,
                    json.dumps(job.options),
                    job.created,
                    job.started,
                    job.ended,
                    None,
                ),
            )

    def update(self, job: JobRecord, results: bytes | None = None) -> bool:
        """Keep the state of a job and, when it ends with them, its results; returns whether it is still there."""
        problem = None if job.problem is None else json.dumps(job.problem)
        with self._changes() as connection:
            changed = connection.execute(
                "UPDATE jobs SET state = ?, started = ?, ended = ?, problem = ?, results = ? WHERE id = ?",
                (job.state, job.started, job.ended, problem, results, job.id),
            )
            return changed.rowcount == 1

    def job(self, job_id: str) -> JobRecord | None:
        """A job; None when it is not kept (any more)."""
        rows = self._rows(f"SELECT {_COLUMNS} FROM jobs WHERE id = ?", (job_id,))
        return self._job(rows[0]) if rows else None

    def jobs(self, state: str | None = None, limit: int = -1, offset: int = 0) -> tuple[list[JobRecord], int]:
        """Jobs in a state, or all, the newest first, and how many there are in all."""
        condition, values = ("WHERE state = ?", (state,)) if state else ("", ())
        rows = self._rows(
            f"SELECT {_COLUMNS} FROM jobs {condition} ORDER BY created DESC, id LIMIT ? OFFSET ?",
            (*values, limit, offset),
        )
        ((total,),) = self._rows(f"SELECT count(*) FROM jobs {condition}", values)
        return [self._job(row) for row in rows], total

    def results(self, job_id: str) -> bytes | None:
        """What was kept as the results of a job."""
        rows = self._rows("SELECT results FROM jobs WHERE id = ?", (job_id,))
        found: bytes | None = rows[0][0] if rows else None
        return found

    def add_event(self, job_id: str, kind: str, body: dict[str, Any], subject: str = "", status: str = "") -> None:
        """Keep an event of a job; nothing happens when the job is gone."""
        with self._changes() as connection:
            connection.execute(
                "INSERT INTO events SELECT id, (SELECT count(*) FROM events WHERE job = id) + 1, ?, ?, ?, ?"
                " FROM jobs WHERE id = ?",
                (kind, subject, status, json.dumps(body), job_id),
            )

    def events(self, job_id: str, after: int = 0) -> list[Event]:
        """Events of a job after the one of this number."""
        rows = self._rows(
            "SELECT number, kind, body FROM events WHERE job = ? AND number > ? ORDER BY number", (job_id, after)
        )
        return [Event(number, kind, json.loads(body)) for number, kind, body in rows]

    def statuses(self, job_ids: Sequence[str]) -> dict[str, dict[str, str]]:
        """Status of every analyzer that is done, by job."""
        marks = ", ".join("?" * len(job_ids))
        rows = self._rows(
            f"SELECT job, subject, status FROM events WHERE kind = 'analyzer' AND job IN ({marks}) ORDER BY number",
            tuple(job_ids),
        )
        found: dict[str, dict[str, str]] = {job_id: {} for job_id in job_ids}
        for job_id, subject, status in rows:
            found[job_id][subject] = status
        return found

    def erase(self, job_id: str) -> bool:
        """Forget a job and everything that is kept of it; returns whether there was one."""
        with self._changes() as connection:
            return connection.execute("DELETE FROM jobs WHERE id = ?", (job_id,)).rowcount == 1

    def ended_before(self, moment: float) -> list[JobRecord]:
        """Jobs that ended before a moment."""
        return [self._job(row) for row in self._rows(f"SELECT {_COLUMNS} FROM jobs WHERE ended < ?", (moment,))]

    def _job(self, row: tuple[Any, ...]) -> JobRecord:
        job_id, state, name, clip, is_upload, options, created, started, ended, problem = row
        return JobRecord(
            id=job_id,
            state=state,
            name=name,
            clip=self._folder / clip,
            is_upload=bool(is_upload),
            options=json.loads(options),
            created=created,
            started=started,
            ended=ended,
            problem=None if problem is None else json.loads(problem),
        )

    def _rows(self, query: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        with self._lock:
            return self._connection.execute(query, values).fetchall()

    @contextmanager
    def _changes(self) -> Iterator[sqlite3.Connection]:
        with self._lock, self._connection:
            self._connection.execute("BEGIN")
            yield self._connection
