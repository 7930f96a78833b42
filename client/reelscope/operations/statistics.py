"""The work of every model, as one table of numbers: from the server's statistics and, where they are, its metrics."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from reelscope.inference.observation import ModelWork, Sample

_PENDING = "nv_inference_pending_request_count"
_FAILURE = "nv_inference_request_failure"


def numbers(work: ModelWork, samples: Iterable[Sample]) -> dict[str, Any]:
    """What `reelscope models stats --json` says of one model.

    Times are means per answered request, in milliseconds; None without requests. `pending` and `failures_by_reason` are
    None where no metrics were read.
    """
    mine = [each for each in samples if (each.labels.get("model"), each.labels.get("version")) == _identity(work)]
    pending = [int(each.value) for each in mine if each.name == _PENDING]
    # Counters end in _total or not, depending on the reader.
    reasons = {
        each.labels["reason"].lower(): int(each.value)
        for each in mine
        if each.name.removesuffix("_total") == _FAILURE and "reason" in each.labels and each.value
    }
    return {
        "model": work.name,
        "version": work.version,
        "requests": work.requests,
        "failed_requests": work.failed_requests,
        "failures_by_reason": reasons if mine else None,
        "pending": pending[0] if pending else None,
        "request_ms": _mean_ms(work.request_seconds, work.requests),
        "queue_ms": _mean_ms(work.queue_seconds, work.requests),
        "input_ms": _mean_ms(work.input_seconds, work.requests),
        "compute_ms": _mean_ms(work.compute_seconds, work.requests),
        "output_ms": _mean_ms(work.output_seconds, work.requests),
        "executions": work.executions,
        "rows": work.rows,
        "rows_per_execution": work.rows_per_execution,
    }


def _identity(work: ModelWork) -> tuple[str, str]:
    return work.name, work.version


def _mean_ms(seconds: float, requests: int) -> float | None:
    return 1000 * seconds / requests if requests else None
