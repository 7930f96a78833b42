"""Who asked, and one trace of what is done for them: from the gateway's request to the steps of Triton's ensembles.

Off, and nothing of OpenTelemetry is imported, unless its own variables name a collector (`settings.trace_endpoint`).
The trace's context travels as W3C's `traceparent` (https://www.w3.org/TR/trace-context/): into a job's process with
what it is to do, and to Triton in the metadata of each call. Spans hold ids, routes, names of models, statuses and
times; never names of files, words, or messages of errors.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from typing import Any, Literal

from reelscope import settings
from reelscope.errors import UsageError

FLUSH_SECONDS = 2.0
"""Longest that a process waits at its end for a collector to take its last spans."""

request_id: ContextVar[str] = ContextVar("request_id", default="")
"""Id of the request that is worked on, in logs and at Triton alike; empty when nobody gave one."""

_tracer: Any = None
"""OpenTelemetry's; None while tracing is off."""

Kind = Literal["INTERNAL", "SERVER", "CLIENT"]
Facts = Mapping[str, str | int]
"""Attributes of a span, by OpenTelemetry's names where it has some."""


class Span:
    """One piece of work; without OpenTelemetry's span below it, everything here does nothing."""

    def __init__(self, span: Any = None) -> None:
        """Wrap OpenTelemetry's span."""
        self._span = span

    @property
    def headers(self) -> dict[str, str]:
        """What makes work elsewhere a child of this; empty also when the span is not sampled: Triton would trace it."""
        carried: dict[str, str] = {}
        if self._span is not None and self._span.get_span_context().trace_flags.sampled:
            from opentelemetry.trace import set_span_in_context
            from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

            TraceContextTextMapPropagator().inject(carried, set_span_in_context(self._span))
        return carried

    def rename(self, name: str, facts: Facts) -> None:
        """Give it another name, and further facts."""
        if self._span is not None:
            self._span.update_name(name)
            self._span.set_attributes(facts)

    def end(self, failure: str | None = None) -> None:
        """End it; with a code when it failed."""
        if self._span is not None:
            if failure is not None:
                from opentelemetry.trace import Status, StatusCode

                self._span.set_status(Status(StatusCode.ERROR, failure))
            self._span.end()


@contextlib.contextmanager
def exported(service: str) -> Iterator[None]:
    """Send the spans of this process to the collector while the block runs; does nothing when none is named.

    Args:
        service: name of this process in the trace.

    Raises:
        UsageError: the extra is not installed, or the variables ask for another protocol than OTLP over HTTP.
    """
    global _tracer
    if settings.trace_endpoint() is None:
        yield
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise UsageError(
            f"OTEL_EXPORTER_OTLP_ENDPOINT is set, and OpenTelemetry is not installed ({error})",
            "pip install 'reelscope[otel]'",
        ) from error
    provider = TracerProvider(resource=Resource.create({"service.name": service}), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    _tracer = provider.get_tracer("reelscope")
    try:
        yield
    finally:
        _tracer = None
        # A collector that does not answer is tried again for long; nobody waits for that.
        flush = threading.Thread(target=provider.shutdown, daemon=True)
        flush.start()
        flush.join(FLUSH_SECONDS)


def begin(name: str, facts: Facts, kind: Kind = "INTERNAL", parent: Mapping[str, str] | None = None) -> Span:
    """Begin a span that somebody ends.

    Args:
        name: what is done, of few different values.
        facts: its attributes.
        kind: SERVER for work that came in, CLIENT for work that somebody else does.
        parent: headers of a span elsewhere; by default the span of this context.
    """
    if _tracer is None:
        return Span()
    from opentelemetry.trace import SpanKind
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    context = TraceContextTextMapPropagator().extract(parent) if parent else None
    return Span(_tracer.start_span(name, context, SpanKind[kind], facts))


@contextlib.contextmanager
def span(name: str, facts: Facts, kind: Kind = "INTERNAL", parent: Mapping[str, str] | None = None) -> Iterator[Span]:
    """A span around a block, and the parent of what begins in it; an exception ends it as failed, by its type."""
    begun = begin(name, facts, kind, parent)
    if begun._span is None:
        yield begun
        return
    from opentelemetry.trace import use_span

    failure = None
    try:
        with use_span(begun._span, record_exception=False, set_status_on_exception=False):
            yield begun
    except BaseException as error:
        failure = type(error).__name__
        raise
    finally:
        begun.end(failure)
