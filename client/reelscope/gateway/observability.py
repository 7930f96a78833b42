"""What an operator sees: Prometheus metrics, and logs as lines of JSON, with a request id and without content.

Logged are ids of requests and jobs, routes, statuses, codes and times; never names of files, addresses as they were
asked for, messages of errors, or anything from a clip.
"""

from __future__ import annotations

import contextlib
import json
import logging
import re
import secrets
import time
import traceback
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from reelscope import tracing
from reelscope.analyzers import ANALYZERS
from reelscope.errors import Overloaded
from reelscope.gateway.problems import MEDIA_TYPE, TITLES, Problem
from reelscope.gateway.schemas import ENDED

logger = logging.getLogger("reelscope.gateway")
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message"}
_SAFE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data: blob:; media-src 'self' data: blob:;"
    " style-src 'self' 'unsafe-inline'; base-uri 'none'; form-action 'self'; frame-ancestors 'self'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""Of every answer that does not say otherwise: nothing is cached, nothing is loaded from elsewhere."""
_JOB_SECONDS = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 900, 1800)


class JsonLines(logging.Formatter):
    """One JSON object per line. Of an exception only its type and the line that raised it are told."""

    def format(self, record: logging.LogRecord) -> str:
        """Write one record."""
        said: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
        }
        if request_id := tracing.request_id.get():
            said["request"] = request_id
        said |= {name: value for name, value in vars(record).items() if name not in _STANDARD}
        if record.exc_info and record.exc_info[1]:
            said["error"] = where(record.exc_info[1])
        return json.dumps(said, default=str)


def where(error: BaseException) -> str:
    """Type of an exception and the line that raised it; not its message, which may quote anything."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {frames[-1].filename}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{place}"


class Metrics:
    """Prometheus metrics of one gateway."""

    def __init__(self, queue_length: int) -> None:
        """Begin to count: what has few values from 0, so that the first failure is an increase, too."""
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.requests = Counter(
            "reelscope_http_requests", "Requests answered.", ("method", "route", "status"), registry=self.registry
        )
        self.request_seconds = Histogram(
            "reelscope_http_request_seconds", "Time to the end of the answer.", ("route",), registry=self.registry
        )
        self.upload_bytes = Counter("reelscope_upload_bytes", "Bytes of uploaded clips.", registry=self.registry)
        self.jobs = Counter("reelscope_jobs", "Jobs that ended, by state.", ("state",), registry=self.registry)
        self.job_seconds = Histogram(
            "reelscope_job_seconds", "Time of a job without its wait.", buckets=_JOB_SECONDS, registry=self.registry
        )
        self.wait_seconds = Histogram(
            "reelscope_job_wait_seconds", "Time that a job waited.", buckets=_JOB_SECONDS, registry=self.registry
        )
        self.problems = Counter(
            "reelscope_job_problems", "Jobs that ended without results, by code.", ("code",), registry=self.registry
        )
        self.refused = Counter("reelscope_jobs_refused", "Jobs refused by a full queue.", registry=self.registry)
        self.analyzers = Counter(
            "reelscope_analyzer_results", "Results of analyzers.", ("analyzer", "status"), registry=self.registry
        )
        self.failures = Counter(
            "reelscope_analyzer_failures",
            "Analyzers that failed, by reason; overloaded: the server refused their calls.",
            ("analyzer", "reason"),
            registry=self.registry,
        )
        for state in ENDED:
            self.jobs.labels(state)
        for analyzer in ANALYZERS:
            self.failures.labels(analyzer.name, Overloaded.code)
        for code in TITLES:
            self.problems.labels(code)
        limit = Gauge("reelscope_jobs_queue_limit", "Jobs that may wait.", registry=self.registry)
        limit.set(queue_length)
        self._queued = Gauge("reelscope_jobs_queued", "Jobs that wait.", registry=self.registry)
        self._running = Gauge("reelscope_jobs_running", "Jobs at work.", registry=self.registry)
        self._server_up = Gauge("reelscope_server_up", "1 when a Triton server answers.", registry=self.registry)
        self._models = Gauge(
            "reelscope_model_ready",
            "1 when an expected version of a model answers requests.",
            ("model", "version"),
            registry=self.registry,
        )
        self._ready = Gauge("reelscope_analyzer_ready", "1 when it is ready.", ("analyzer",), registry=self.registry)

    def text(
        self,
        *,
        queued: int,
        running: int,
        is_live: bool,
        ready: Mapping[str, bool],
        models: Mapping[tuple[str, str], bool],
    ) -> bytes:
        """Everything in Prometheus' text format, with what is measured at this moment."""
        self._queued.set(queued)
        self._running.set(running)
        self._server_up.set(is_live)
        for name, is_ready in ready.items():
            self._ready.labels(name).set(is_ready)
        self._models.clear()  # versions that are expected no more
        for labels, is_ready in models.items():
            self._models.labels(*labels).set(is_ready)
        return generate_latest(self.registry)


class Frame:
    """Around every request: its id, its line in the log, its count; who may ask; and what nobody foresaw.

    A web page of another site can make a browser ask a server on its machine. It can read no answer, but it could start
    jobs, so that what changes something is refused to it; and with a name that it lets point here it could read, too,
    so that a gateway on loopback answers by its own names only.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, allowed_hosts: Sequence[str], max_body_bytes: int) -> None:
        """Frame an application; without `allowed_hosts` it may be asked by any name."""
        self._app, self._metrics, self._max_body_bytes = app, metrics, max_body_bytes
        self._allowed_hosts = frozenset(host.lower() for host in allowed_hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        asked = headers.get("x-request-id", "")
        request_id = asked if _SAFE_ID.fullmatch(asked) else secrets.token_hex(8)
        token, began, status, received = tracing.request_id.set(request_id), time.monotonic(), 0, 0

        async def receive_framed() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            self._refuse_large(received)
            return message

        async def send_framed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                for name, value in (("X-Request-ID", request_id), *_HEADERS.items()):
                    MutableHeaders(scope=message).setdefault(name, value)
            await send(message)

        with self._traced(scope["method"], headers, request_id) as span:
            try:
                self._refuse_strangers(scope["method"], headers)
                length = headers.get("content-length", "")
                self._refuse_large(int(length) if length.isdecimal() else 0)
                await self._app(scope, receive_framed, send_framed)
            except Problem as problem:
                await problem_response(problem)(scope, receive, send_framed)
            except ClientDisconnect:
                pass  # nobody is left to be answered
            except Exception as error:
                logger.error("request failed", extra={"error": where(error)})
                if not status:
                    answer = problem_response(Problem("internal_error", f"the log tells more: request {request_id}"))
                    await answer(scope, receive, send_framed)
            finally:
                self._note(scope, status, time.monotonic() - began, span)
                tracing.request_id.reset(token)

    @staticmethod
    def _traced(method: str, headers: Headers, request_id: str) -> AbstractContextManager[tracing.Span]:
        """A span around the request; what only looks, probes and pages above all, would bury the others."""
        if method in ("GET", "HEAD", "OPTIONS"):
            return contextlib.nullcontext(tracing.Span())
        return tracing.span("request", {"reelscope.request_id": request_id}, "SERVER", headers)

    def _refuse_strangers(self, method: str, headers: Headers) -> None:
        host = re.sub(r":\d*$", "", headers.get("host", "")).strip("[]").lower()
        if self._allowed_hosts and host not in self._allowed_hosts:
            raise Problem("foreign_host", "ask by the host's own name, or start the gateway with --allowed-host")
        if method not in ("GET", "HEAD", "OPTIONS") and headers.get("sec-fetch-site") in ("cross-site", "same-site"):
            raise Problem("cross_site", "only pages of this gateway may start or delete jobs")

    def _refuse_large(self, length: int) -> None:
        """Refuse a body that says, or of which is seen, that it is too large."""
        if length > self._max_body_bytes:
            raise Problem("upload_too_large", f"a request has at most {self._max_body_bytes} bytes")

    def _note(self, scope: Scope, status: int, seconds: float, span: tracing.Span) -> None:
        route = getattr(scope.get("route"), "path", "") or "other"
        # Whoever invents methods must not invent time series.
        method = scope["method"] if scope["method"] in ("GET", "HEAD", "POST", "DELETE", "OPTIONS") else "other"
        self._metrics.requests.labels(method, route, status).inc()
        self._metrics.request_seconds.labels(route).observe(seconds)
        facts = {"method": method, "route": route, "status": status, "duration_ms": round(1000 * seconds, 1)}
        logger.info("request", extra=facts)
        said = {"http.request.method": method, "http.route": route, "http.response.status_code": status}
        span.rename(f"{method} {route}", said)


def problem_response(problem: Problem) -> Response:
    """The answer that says so; in ASCII, as it may quote what no encoding holds."""
    return Response(json.dumps(problem.body()), problem.status, problem.headers, MEDIA_TYPE)
