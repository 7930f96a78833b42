"""The routes. What they answer besides is in `description`."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.responses import FileResponse, JSONResponse, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent
from starlette.exceptions import HTTPException

from reelscope.errors import UsageError
from reelscope.exports import FORMATS, Contents
from reelscope.exports.clip import media_type
from reelscope.gateway import description, intake
from reelscope.gateway.configuration import Configuration
from reelscope.gateway.health import Watch
from reelscope.gateway.jobs import Jobs, shown
from reelscope.gateway.observability import Metrics
from reelscope.gateway.problems import Problem
from reelscope.gateway.runner import ReportBuilder
from reelscope.gateway.schemas import ENDED, Health, Job, JobList, Liveness, State
from reelscope.gateway.store import JobRecord


@dataclass(frozen=True, slots=True)
class Gateway:
    """What the routes work on."""

    configuration: Configuration
    jobs: Jobs
    watch: Watch
    metrics: Metrics
    build_report: ReportBuilder


def _gateway(request: Request) -> Gateway:
    gateway: Gateway = request.app.state.gateway
    return gateway


Here = Annotated[Gateway, Depends(_gateway)]
JobId = Annotated[str, description.JOB_ID]


async def _known_job(job_id: JobId, here: Here) -> JobRecord:
    job = await asyncio.to_thread(here.jobs.store.job, job_id)
    if job is None:
        raise Problem("job_not_found", "no such job")
    return job


KnownJob = Annotated[JobRecord, Depends(_known_job)]

probes = APIRouter(tags=["state"], responses=description.problems("foreign_host", "internal_error"))
state = APIRouter(tags=["state"], responses=description.problems(*description.ALWAYS))
analyses = APIRouter(tags=["analyses"], responses=description.problems(*description.ALWAYS, "invalid_request"))


@probes.get("/livez")
async def livez() -> Liveness:
    """Whether the gateway itself lives."""
    return Liveness(status="ok")


@probes.get("/readyz", responses=description.problems("server_unreachable"))
async def readyz(here: Here) -> Liveness:
    """Whether jobs can be done: a Triton server answers. Which analyzers are ready, /health says."""
    if not here.watch.is_live:
        raise Problem("server_unreachable", "no Triton server answers", {"Retry-After": "5"})
    return Liveness(status="ok")


@state.get("/health", response_model=Health, responses=description.HEALTH)
async def health(here: Here) -> Response:
    """Which analyzers are ready now, why others are not, and the provenance of the models."""
    found = here.watch.health(here.jobs.queued, here.jobs.running)
    is_gone = found["status"] == "unavailable"
    return JSONResponse(found, 503 if is_gone else 200, {"Retry-After": "5"} if is_gone else None)


@state.get("/metrics", response_class=Response, responses=description.METRICS)
async def metrics(here: Here) -> Response:
    """Metrics in Prometheus' text format."""
    jobs, watch = here.jobs, here.watch
    text = here.metrics.text(
        queued=jobs.queued, running=jobs.running, is_live=watch.is_live, ready=watch.ready(), models=watch.models()
    )
    return Response(text, media_type=description.METRICS_TYPE)


@analyses.post("/analyze", response_class=Response, **description.ANALYZE)
async def analyze(
    request: Request,
    here: Here,
    wait: Annotated[bool, Query(description="false: answer 202 with the job at once.")] = True,
) -> Response:
    """Analyse a clip below the gateway's roots, or an uploaded one. Who goes away while waiting cancels the job."""
    jobs = here.jobs
    with jobs.place():
        job = await intake.receive(request, jobs.new_id(), here.configuration)
        if job.is_upload:
            here.metrics.upload_bytes.inc(job.clip.stat().st_size)
        await jobs.add(job)
    headers = {"Location": f"/jobs/{job.id}"}
    if not wait:
        return JSONResponse(await jobs.shown(job), 202, headers)
    job = await _waited_for(request, jobs, job.id)
    if job.problem:
        raise Problem(job.problem["code"], job.problem["detail"], headers, job=job.id)
    return await _results(here, job, request, headers)


@analyses.get("/jobs")
async def list_jobs(
    here: Here,
    state: State | None = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    offset: Annotated[int, Query(ge=0, le=2**31)] = 0,
) -> JobList:
    """Jobs that are kept, the newest first."""
    store = here.jobs.store
    found, total = await asyncio.to_thread(store.jobs, state, limit, offset)
    statuses = await asyncio.to_thread(store.statuses, [job.id for job in found])
    return JobList.model_validate({"jobs": [shown(job, statuses[job.id]) for job in found], "total": total})


@analyses.get("/jobs/{job_id}", responses=description.problems("job_not_found"))
async def get_job(here: Here, job: KnownJob) -> Job:
    """How a job is."""
    return Job.model_validate(await here.jobs.shown(job))


@analyses.delete("/jobs/{job_id}", status_code=204, responses=description.problems("job_not_found"))
async def delete_job(here: Here, job_id: JobId) -> None:
    """End a job, down to what the server is doing for it, and erase everything that is kept of it."""
    await here.jobs.erase(job_id)


async def _news(
    here: Here,
    job: KnownJob,
    last_event_id: Annotated[int, Header(ge=0, le=2**53, description="Events up to this one are left out.")] = 0,
) -> int:
    if job.state in ENDED and not await asyncio.to_thread(here.jobs.store.events, job.id, last_event_id):
        raise HTTPException(204)  # browsers then connect no more
    return last_event_id


@analyses.get("/jobs/{job_id}/events", response_class=EventSourceResponse, responses=description.EVENTS)
async def follow_job(
    here: Here, job: KnownJob, after: Annotated[int, Depends(_news)]
) -> AsyncIterator[ServerSentEvent]:
    """Server-sent events: `job` at every change of state, `progress` of stages, `analyzer` with what each found.

    What happened before is told first; the stream ends when the job has ended. Data are JSON of the schemas `Job`,
    `Stage` and `Outcome`.
    """
    async for event in here.jobs.follow(job.id, after):
        yield ServerSentEvent(data=event.body, event=event.kind, id=str(event.number) if event.number else None)


@analyses.get("/jobs/{job_id}/results", response_class=Response, responses=description.RESULTS)
async def get_results(here: Here, job: KnownJob, request: Request) -> Response:
    """The results file; docs/results.md explains it."""
    return await _results(here, job, request, {})


@analyses.get("/jobs/{job_id}/report", response_class=Response, responses=description.REPORT)
async def get_report(here: Here, job: KnownJob) -> Response:
    """The results to look at: one HTML file, with the clip where that is still there."""
    html = await here.build_report(gzip.decompress(await _packed_results(here, job)), job.clip, job.name)
    return Response(html, 200, {"Content-Security-Policy": description.REPORT_POLICY}, description.HTML_TYPE)


@analyses.get("/jobs/{job_id}/clip", response_class=FileResponse, responses=description.CLIP)
async def get_clip(job: KnownJob) -> FileResponse:
    """The clip, as it was given, for the report to play."""
    try:
        kind = await asyncio.to_thread(media_type, job.clip)
    except OSError as error:
        raise Problem("input_not_found", "the clip is not there any more") from error
    return FileResponse(job.clip, media_type=kind)


@analyses.get("/jobs/{job_id}/captions.srt", response_class=Response, responses=description.SRT)
async def get_srt(here: Here, job: KnownJob) -> Response:
    """What is said, as SubRip."""
    return Response(await _captions(here, job, "srt"), media_type=description.SRT_TYPE)


@analyses.get("/jobs/{job_id}/captions.vtt", response_class=Response, responses=description.VTT)
async def get_vtt(here: Here, job: KnownJob) -> Response:
    """What is said, as WebVTT."""
    return Response(await _captions(here, job, "vtt"), media_type=description.VTT_TYPE)


async def _captions(here: Gateway, job: JobRecord, name: str) -> str:
    contents = Contents(json.loads(gzip.decompress(await _packed_results(here, job))))
    form = next(each for each in FORMATS if each.name == name)
    try:
        documents = await asyncio.to_thread(form.documents, contents)
    except UsageError as error:
        raise Problem("no_captions", str(error)) from error
    return documents[form.files].text


async def _packed_results(here: Gateway, job: JobRecord) -> bytes:
    packed = await asyncio.to_thread(here.jobs.store.results, job.id)
    if packed is not None:
        return packed
    if job.state not in ENDED:
        raise Problem("not_finished", f"the job is {job.state}")
    raise Problem("no_results", f"the job {job.state}: {job.problem['detail'] if job.problem else 'it is gone'}")


async def _results(here: Gateway, job: JobRecord, request: Request, headers: dict[str, str]) -> Response:
    packed = await _packed_results(here, job)
    headers = {**headers, "Vary": "Accept-Encoding"}
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(packed, 200, {**headers, "Content-Encoding": "gzip"}, "application/json")
    return Response(await asyncio.to_thread(gzip.decompress, packed), 200, headers, "application/json")


async def _waited_for(request: Request, jobs: Jobs, job_id: str) -> JobRecord:
    """The job when it has ended; who goes away ends it.

    Raises:
        Problem: it was erased, or the gateway ends.
    """
    ended, gone = asyncio.ensure_future(jobs.ended(job_id)), asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait((ended, gone), return_when=asyncio.FIRST_COMPLETED)
        if not ended.done():
            await jobs.abandon(job_id)
        return await ended
    finally:
        gone.cancel()
        ended.cancel()


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
