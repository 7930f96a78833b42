"""Jobs: a bounded queue, a few of them at work, and whoever follows them. Runs in one event loop.

The store holds what must not be lost; what a running job is doing at the moment is held here.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gzip
import math
import secrets
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from reelscope import tracing
from reelscope.gateway.configuration import Configuration
from reelscope.gateway.observability import Metrics, logger
from reelscope.gateway.problems import Problem
from reelscope.gateway.runner import Analysis, Runner
from reelscope.gateway.store import Event, JobRecord, Store

PRUNE_SECONDS = 600.0
"""How often it is looked for jobs that are kept no longer."""
_FIRST_GUESS_SECONDS = 30.0
"""Length of a job before any has been seen."""


@dataclass(slots=True, eq=False)
class _Live:
    """A job that has not ended."""

    job: JobRecord
    stages: dict[str, float] = field(default_factory=dict)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    """Set at the next change; the change after that has an event of its own."""
    work: asyncio.Task[None] | None = None
    why: str = "interrupted"
    """What the job ends with when its work is cancelled: interrupted, client_disconnected or job_erased."""
    context: contextvars.Context = field(default_factory=contextvars.copy_context)
    """Of the request that it came with: its id in the log, and its trace. A restart forgets them."""

    def tell(self) -> None:
        """Wake up whoever waits for a change."""
        self.changed.set()
        self.changed = asyncio.Event()


class Jobs:
    """All jobs of a gateway; `start` begins, `close` ends what runs."""

    def __init__(self, configuration: Configuration, runner: Runner, metrics: Metrics) -> None:
        """Open what is kept.

        Raises:
            UsageError: it cannot be opened.
        """
        self._configuration, self._runner, self._metrics = configuration, runner, metrics
        self.store = Store(configuration.database)
        self._live: dict[str, _Live] = {}
        self._queue: asyncio.Queue[str] = asyncio.Queue()
        self._receiving = 0
        self._is_closing = False
        self._seconds = _FIRST_GUESS_SECONDS
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def queued(self) -> int:
        """Jobs that wait."""
        return sum(live.job.state == "queued" for live in self._live.values())

    @property
    def running(self) -> int:
        """Jobs at work."""
        return sum(live.job.state == "running" for live in self._live.values())

    async def start(self) -> None:
        """Take up what an earlier gateway left, and begin to work."""
        jobs, _ = self.store.jobs()
        kept = {job.clip for job in jobs if job.is_upload}
        for clip in self._configuration.clips.iterdir():
            if clip not in kept:
                clip.unlink()
        for job in reversed(jobs):
            if job.state == "running":
                await self._end(job, Problem("interrupted", "the gateway ended while the job ran"))
            elif job.state == "queued":
                self._live[job.id] = _Live(job)
                self._queue.put_nowait(job.id)
        self._tasks = [asyncio.create_task(self._work()) for _ in range(self._configuration.parallel_jobs)]
        self._tasks.append(asyncio.create_task(self._prune()))

    def dismiss(self) -> None:
        """Let nobody wait any more: the gateway is about to end."""
        self._is_closing = True
        for live in self._live.values():
            live.tell()

    async def close(self) -> None:
        """End what runs; it is stated as interrupted. What waits is taken up by the next gateway."""
        self.dismiss()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        works = [live.work for live in self._live.values() if live.work]
        for work in works:
            work.cancel()
        await asyncio.gather(*works, return_exceptions=True)
        self.store.close()

    @contextlib.contextmanager
    def place(self) -> Iterator[None]:
        """A place in the queue, held while a clip is received and until its job is added.

        Raises:
            Problem: there is none.
        """
        waiting = self.queued + self._receiving
        if waiting >= self._configuration.queue_length:
            seconds = math.ceil(self._seconds * waiting / self._configuration.parallel_jobs)
            self._metrics.refused.inc()
            retry = {"Retry-After": str(min(max(seconds, 1), 3600))}
            raise Problem("queue_full", f"{waiting} jobs are waiting; about {seconds} s until they are done", retry)
        self._receiving += 1
        try:
            yield
        finally:
            self._receiving -= 1

    @staticmethod
    def new_id() -> str:
        """Name of a job that nobody can guess, and that sorts by nothing."""
        return secrets.token_hex(16)

    async def add(self, job: JobRecord) -> None:
        """Let a job wait for its turn; within `place`."""
        await asyncio.to_thread(self.store.add, job)
        self._live[job.id] = live = _Live(job)
        await self._tell_state(live)
        self._queue.put_nowait(job.id)
        logger.info("job queued", extra={"job": job.id, "queued": self.queued})

    async def ended(self, job_id: str) -> JobRecord:
        """Wait until a job has ended.

        Raises:
            Problem: it was erased, or the gateway ends.
        """
        while (live := self._live.get(job_id)) and not self._is_closing:
            await live.changed.wait()
        if live:
            raise Problem("interrupted", "the gateway ends; the job can be asked for when it is back", job=job_id)
        job = await asyncio.to_thread(self.store.job, job_id)
        if job is None:
            raise Problem("job_erased", "the job was deleted")
        return job

    async def follow(self, job_id: str, after: int = 0) -> AsyncIterator[Event]:
        """What has happened to a job after the event of this number, and what happens, until it ends.

        Progress has number 0: it is not kept, and what is done of every stage is told again to who follows anew.
        """
        told: dict[str, float] = {}
        while True:
            live = self._live.get(job_id)
            changed = live.changed if live else None
            for event in await asyncio.to_thread(self.store.events, job_id, after):
                yield event
                after = event.number
            if live is None or changed is None or self._is_closing:
                return
            for stage, share in list(live.stages.items()):
                if told.get(stage) != share:
                    told[stage] = share
                    yield Event(0, "progress", {"stage": stage, "share": share})
            await changed.wait()

    async def abandon(self, job_id: str) -> None:
        """End a job that nobody waits for any more; it stays, as cancelled."""
        await self._stop(job_id, "client_disconnected")

    async def erase(self, job_id: str) -> None:
        """End a job, and forget everything that is kept of it.

        Raises:
            Problem: there is none.
        """
        job = await asyncio.to_thread(self.store.job, job_id)
        await self._stop(job_id, "job_erased")
        if job is None or not await self._forget(job):
            raise Problem("job_not_found", "no such job")
        logger.info("job erased", extra={"job": job_id})

    async def _stop(self, job_id: str, why: str) -> None:
        live = self._live.get(job_id)
        if live is None:
            return
        live.why = why
        if live.work:
            live.work.cancel()
            await asyncio.wait([live.work])
        else:
            del self._live[job_id]  # nobody may take it up any more
            await self._end(live.job, Problem(why, _WHY[why]))
            live.tell()

    async def _forget(self, job: JobRecord) -> bool:
        found = await asyncio.to_thread(self.store.erase, job.id)
        if job.is_upload:
            await asyncio.to_thread(job.clip.unlink, missing_ok=True)
        return found

    async def _work(self) -> None:
        """Take jobs in turn, for ever."""
        while True:
            live = self._live.get(await self._queue.get())
            if live is not None:
                live.work = asyncio.create_task(self._run(live), context=live.context)
                await asyncio.wait([live.work])

    async def _run(self, live: _Live) -> None:
        job, began = live.job, time.monotonic()
        try:
            job.state, job.started = "running", time.time()
            await asyncio.to_thread(self.store.update, job)
            self._metrics.wait_seconds.observe(job.started - job.created)
            await self._tell_state(live)
            with tracing.span("job", {"reelscope.job": job.id}) as span:
                analysis = self._analysis(job, span.headers)
                results = await self._runner(analysis, lambda kind, body: self._heard(live, kind, body))
            await self._end(job, None, results)
        except Problem as problem:
            await self._end(job, problem)
        except asyncio.CancelledError:
            await self._end(job, Problem(live.why, _WHY[live.why]))
        except Exception as error:
            logger.error("runner failed", extra={"job": job.id, "error": type(error).__name__})
            await self._end(job, Problem("internal_error", f"{type(error).__name__} while the job ran"))
        finally:
            seconds = time.monotonic() - began
            self._seconds += (seconds - self._seconds) / 5
            self._metrics.job_seconds.observe(seconds)
            self._leave(live)

    def _analysis(self, job: JobRecord, trace: dict[str, str]) -> Analysis:
        limits, options = self._configuration, job.options
        return Analysis(
            clip=str(job.clip),
            profile=limits.profile.name,
            biometrics=limits.profile.biometrics and not options["no_biometrics"],
            only=options["only"],
            detail=options["detail"],
            budget_seconds=options["timeout_s"] or limits.budget_seconds,
            max_seconds=options["max_duration_s"] or limits.max_seconds,
            url=limits.url,
            request_id=tracing.request_id.get() or job.id,
            trace=trace,
        )

    async def _heard(self, live: _Live, kind: str, body: dict[str, Any]) -> None:
        """Something happened in a job's process."""
        if kind == "progress":
            live.stages[body["stage"]] = body["share"]
        else:
            self._note(live.job, body)
            await asyncio.to_thread(
                self.store.add_event, live.job.id, kind, body, subject=body["name"], status=body["status"]
            )
        live.tell()

    def _note(self, job: JobRecord, outcome: dict[str, Any]) -> None:
        """Count an analyzer's result, and log it."""
        name, status, reason = outcome["name"], outcome["status"], outcome["reason"]
        self._metrics.analyzers.labels(name, status).inc()
        if status == "failed":
            self._metrics.failures.labels(name, reason).inc()
        facts = {"job": job.id, "analyzer": name, "status": status, "duration_ms": outcome["wall_ms"]}
        logger.info("analyzer ended", extra=facts | ({"reason": reason} if reason else {}))

    async def _end(self, job: JobRecord, problem: Problem | None, results: bytes | None = None) -> None:
        job.ended = time.time()
        job.state = _STATES.get(problem.code, "failed") if problem else "completed"
        job.problem = problem.body() if problem else None
        packed = None if results is None else await asyncio.to_thread(gzip.compress, results, 6)
        await asyncio.to_thread(self.store.update, job, packed)
        await asyncio.to_thread(self.store.add_event, job.id, "job", await self.shown(job))
        self._metrics.jobs.labels(job.state).inc()
        if problem:
            self._metrics.problems.labels(problem.code).inc()
        code = {"code": problem.code} if problem else {}
        logger.info("job ended", extra={"job": job.id, "state": job.state} | code)

    def _leave(self, live: _Live) -> None:
        self._live.pop(live.job.id, None)
        live.tell()

    async def _tell_state(self, live: _Live) -> None:
        await asyncio.to_thread(self.store.add_event, live.job.id, "job", await self.shown(live.job))
        live.tell()

    async def shown(self, job: JobRecord) -> dict[str, Any]:
        """A job as `schemas.Job` writes it."""
        statuses = await asyncio.to_thread(self.store.statuses, [job.id])
        return shown(job, statuses[job.id])

    async def _prune(self) -> None:
        while True:
            moment = time.time() - self._configuration.keep_days * 86400
            for job in await asyncio.to_thread(self.store.ended_before, moment):
                await self._forget(job)
                logger.info("job forgotten", extra={"job": job.id})
            await asyncio.sleep(PRUNE_SECONDS)


_STATES = {"interrupted": "interrupted", "client_disconnected": "cancelled", "job_erased": "cancelled"}
_WHY = {
    "interrupted": "the gateway ended while the job ran",
    "client_disconnected": "the client went away while its job was not done",
    "job_erased": "the job was deleted",
}


def shown(job: JobRecord, statuses: Mapping[str, str]) -> dict[str, Any]:
    """A job as `schemas.Job` writes it."""
    here = f"/jobs/{job.id}"
    return {
        "id": job.id,
        "state": job.state,
        "name": job.name,
        "source": "upload" if job.is_upload else "path",
        "options": job.options,
        "created": _moment(job.created),
        "started": _moment(job.started),
        "ended": _moment(job.ended),
        "problem": job.problem,
        "analyzers": dict(statuses),
        "links": {
            "self": here,
            "events": f"{here}/events",
            "results": f"{here}/results",
            "report": f"{here}/report",
            "captions_srt": f"{here}/captions.srt",
            "captions_vtt": f"{here}/captions.vtt",
        },
    }


def _moment(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
