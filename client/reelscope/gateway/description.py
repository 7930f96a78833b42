"""What the OpenAPI document says of the routes besides what their types say: bodies, errors, examples."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import Path

from reelscope.gateway.problems import MEDIA_TYPE, STATUSES, example
from reelscope.gateway.schemas import Health, Job, Options, PathRequest, ProblemBody

ABOUT = """Analyses of short videos over HTTP.

    curl http://localhost:8003/health
    curl -X POST http://localhost:8003/analyze -H 'Content-Type: application/json' \\
         -d '{"video_path": "/videos/test1.mp4"}'
    curl -X POST 'http://localhost:8003/analyze?wait=false' -F video=@clip.mp4

Errors are problem+json (RFC 9457) with a `code`; every answer carries X-Request-ID."""
ALWAYS = ("unauthorized", "foreign_host", "internal_error")
"""Errors of every route but the probes."""
JOB_ID = Path(description="Name of the job.", examples=["0f8c64de2ad3cf5b0d1a7d2a9c7e3b11"])
HTML_TYPE, METRICS_TYPE = "text/html; charset=utf-8", "text/plain; version=0.0.4; charset=utf-8"
SRT_TYPE, VTT_TYPE = "application/x-subrip; charset=utf-8", "text/vtt; charset=utf-8"
REPORT_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' blob:; worker-src blob:; style-src 'unsafe-inline';"
    " img-src data: blob:; media-src 'self' data: blob:; font-src data:; connect-src data: blob:;"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
"""A report holds all that it needs; whatever stands in it can ask nobody."""

Responses = dict[int | str, dict[str, Any]]


def problems(*codes: str) -> Responses:
    """Errors that a route answers with, by status, with an example of each."""
    found: Responses = {}
    for code in codes:
        status = STATUSES[code]
        entry = found.setdefault(
            status,
            {
                "description": HTTPStatus(status).phrase,
                "content": {MEDIA_TYPE: {"schema": ProblemBody.model_json_schema(), "examples": {}}},
            },
        )
        entry["content"][MEDIA_TYPE]["examples"][code] = example(code)
    return found


def _answers(media_type: str, says: str, schema: Mapping[str, Any], **members: Any) -> Responses:
    """A successful answer that is no JSON of our schemas."""
    return {200: {"description": says, "content": {media_type.partition(";")[0]: {"schema": schema, **members}}}}


_OPTIONS = Options.model_json_schema()
_FORM = {
    **_OPTIONS,
    "title": "UploadedClip",
    "required": ["video"],
    "properties": {
        "video": {"type": "string", "format": "binary", "description": "The clip."},
        **_OPTIONS["properties"],
    },
}
_JOB: dict[str, Any] = {
    "id": "0f8c64de2ad3cf5b0d1a7d2a9c7e3b11",
    "state": "running",
    "name": "clip.mp4",
    "source": "upload",
    "options": Options().model_dump(),
    "created": "2026-01-31T12:00:00.000+00:00",
    "started": "2026-01-31T12:00:00.015+00:00",
    "ended": None,
    "problem": None,
    "analyzers": {"cut_analysis": "ok"},
    "links": {
        "self": "/jobs/0f8c64de2ad3cf5b0d1a7d2a9c7e3b11",
        **{
            name: f"/jobs/0f8c64de2ad3cf5b0d1a7d2a9c7e3b11/{path}"
            for name, path in (
                ("events", "events"),
                ("results", "results"),
                ("report", "report"),
                ("captions_srt", "captions.srt"),
                ("captions_vtt", "captions.vtt"),
            )
        },
    },
}
_RESULTS = _answers(
    "application/json",
    "The results file; its JSON Schema is docs/results.schema.json.",
    {"type": "object", "required": ["schema", "run", "media", "shots", "tracks", "analyzers"]},
)
_NEEDS_RESULTS = problems("job_not_found", "not_finished", "no_results")

ANALYZE: dict[str, Any] = {
    "responses": {
        **_RESULTS,
        202: {
            "description": "The job waits or runs (wait=false).",
            "model": Job,
            "content": {"application/json": {"example": _JOB}},
            "headers": {"Location": {"description": "Address of the job.", "schema": {"type": "string"}}},
        },
        **problems(
            "malformed_request",
            "cross_site",
            "foreign_host",
            "input_not_found",
            "job_erased",
            "upload_too_large",
            "unsupported_media_type",
            "invalid_request",
            "usage",
            "input_unreadable",
            "input_too_long",
            "no_video_stream",
            "queue_full",
            "internal_error",
            "job_crashed",
            "server_unreachable",
            "server_error",
            "interrupted",
            "disk_full",
            "deadline_exceeded",
        ),
    },
    "openapi_extra": {
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": PathRequest.model_json_schema(),
                    "examples": {
                        "all analyzers": {"value": {"video_path": "/videos/test1.mp4"}},
                        "two analyzers": {
                            "value": {"video_path": "test1.mp4", "only": ["color_analysis", "cut_analysis"]}
                        },
                    },
                },
                "multipart/form-data": {"schema": _FORM},
            },
        }
    },
}
HEALTH: Responses = {503: {"description": "No Triton server answers.", "model": Health}}
METRICS = _answers(METRICS_TYPE, "Metrics.", {"type": "string"})
EVENTS: Responses = {
    204: {"description": "The job has ended, and all was told before: there will be no more events."},
    **problems("job_not_found", "invalid_request"),
}
RESULTS: Responses = {**_RESULTS, **_NEEDS_RESULTS}
REPORT: Responses = {**_answers(HTML_TYPE, "One file of HTML.", {"type": "string"}), **_NEEDS_RESULTS}
CLIP: Responses = {
    200: {
        "description": "The file; parts of it by Range.",
        "content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in ("video/mp4", "video/webm")},
    },
    206: {"description": "The part that was asked for."},
    416: {"description": "There is no such part."},
    **problems("job_not_found", "input_not_found"),
}
_NEEDS_CAPTIONS = problems("job_not_found", "not_finished", "no_results", "no_captions")
SRT: Responses = {**_answers(SRT_TYPE, "Captions, SubRip.", {"type": "string"}), **_NEEDS_CAPTIONS}
VTT: Responses = {**_answers(VTT_TYPE, "Captions, WebVTT.", {"type": "string"}), **_NEEDS_CAPTIONS}
