"""What a Triton server says of its work: statistics of models, traces of requests, and its Prometheus metrics."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from prometheus_client.parser import text_string_to_metric_families
from tritonclient.utils import InferenceServerException

from reelscope.errors import ServerUnreachable
from reelscope.inference.connection import CONTROL_SECONDS, connect
from reelscope.inference.translation import translate


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelWork:
    """What one version of a model has done since it was loaded; times are sums over requests, in seconds."""

    name: str
    version: str
    requests: int
    """Requests that were answered."""
    failed_requests: int
    """Requests that failed."""
    rows: int
    """Rows of all batches that were computed; one per request where there are no batches."""
    executions: int
    """Times that the model ran; 0 for an ensemble."""
    request_seconds: float
    """From a request's arrival to its answer."""
    queue_seconds: float
    input_seconds: float
    compute_seconds: float
    output_seconds: float

    @property
    def rows_per_execution(self) -> float | None:
        """The real batch size; None when the model never ran."""
        return self.rows / self.executions if self.executions else None


@dataclass(frozen=True, slots=True)
class Sample:
    """One value of the server's metrics."""

    name: str
    """As Prometheus knows it, e.g. nv_inference_pending_request_count."""
    labels: Mapping[str, str]
    value: float


class Observer:
    """Asks one server about its work."""

    def __init__(self, url: str) -> None:
        """Prepare a connection to an address as `connect` takes it; nothing is sent yet."""
        self._client = connect(url)

    def __enter__(self) -> Self:
        """Return the observer itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connection."""
        self._client.close()

    def work(self, model: str = "") -> tuple[ModelWork, ...]:
        """What every loaded model, or one, has done, by name.

        Raises:
            AccessDenied: the server keeps its statistics for its administrator.
            ModelUnavailable: there is no such model, or it is not loaded.
            ServerUnreachable: no server answers.
        """
        try:
            said = self._client.get_inference_statistics(model, client_timeout=CONTROL_SECONDS)
        except InferenceServerException as error:
            raise translate(error, model or None) from error
        return tuple(sorted((_work(each) for each in said.model_stats), key=lambda work: (work.name, work.version)))

    def trace_settings(self, model: str = "") -> dict[str, list[str]]:
        """How requests are traced, of the whole server or of one model: Triton's names and values.

        Raises:
            AccessDenied: the server keeps traces for its administrator.
            InvalidRequest, ModelUnavailable: there is no such model.
            ServerUnreachable: no server answers.
        """
        try:
            said = self._client.get_trace_settings(model, client_timeout=CONTROL_SECONDS)
        except InferenceServerException as error:
            raise translate(error, model or None) from error
        return {name: list(setting.value) for name, setting in said.settings.items()}

    def set_trace(self, settings: Mapping[str, str | list[str] | None], model: str = "") -> None:
        """Change how requests are traced; None lets a model follow the server again. Raises as `trace_settings`."""
        try:
            self._client.update_trace_settings(model, dict(settings), client_timeout=CONTROL_SECONDS)
        except InferenceServerException as error:
            raise translate(error, model or None) from error


def read_metrics(url: str) -> tuple[Sample, ...]:
    """Read a server's Prometheus metrics at http://HOST:PORT/metrics.

    Raises:
        ServerUnreachable: nothing answers there, or something else.
    """
    # Metrics are of this machine or its network: no proxy.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=CONTROL_SECONDS) as answer:
            families = list(text_string_to_metric_families(answer.read().decode("utf-8")))
    except (urllib.error.URLError, OSError, ValueError) as error:
        raise ServerUnreachable(f"no metrics at {url} ({error})") from error
    return tuple(Sample(each.name, each.labels, each.value) for family in families for each in family.samples)


def _work(said: Any) -> ModelWork:
    stats = said.inference_stats
    return ModelWork(
        name=said.name,
        version=said.version,
        requests=stats.success.count,
        failed_requests=stats.fail.count,
        rows=said.inference_count,
        executions=said.execution_count,
        request_seconds=stats.success.ns / 1e9,
        queue_seconds=stats.queue.ns / 1e9,
        input_seconds=stats.compute_input.ns / 1e9,
        compute_seconds=stats.compute_infer.ns / 1e9,
        output_seconds=stats.compute_output.ns / 1e9,
    )
