"""The Grafana dashboard's one source: `python server/monitoring/dashboard.py` writes the JSON, --check compares.

A row per question of an operator, a panel per answer. Panels are Grafana's own types (grafana-foundation-sdk), so that
one which Grafana would not read cannot be written.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from grafana_foundation_sdk.builders import common, dashboard, prometheus, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.common import LegendDisplayMode, LegendPlacement, TooltipDisplayMode
from grafana_foundation_sdk.models.dashboard import DashboardCursorSync, DataSourceRef

FILE = Path(__file__).parent / "grafana" / "dashboards" / "reelscope.json"
_SOURCE = DataSourceRef(type_val="prometheus", uid="prometheus")
_COLUMNS, _HEIGHT = 3, 8
_WIDTH = 24 // _COLUMNS


@dataclass(frozen=True, slots=True)
class Panel:
    """One graph; each query is PromQL and the legend of its lines."""

    title: str
    unit: str
    queries: tuple[tuple[str, str], ...]
    note: str = ""


VLM = 'model="video_understanding_qwen2vl"'
ROWS: dict[str, tuple[Panel, ...]] = {
    "Does it work": (
        Panel(
            "Answers",
            units.Short,
            (("up", "{{job}}"), ("reelscope_server_up", "Triton, seen by the gateway")),
            "1: it answers.",
        ),
        Panel("Expected models that do not serve", units.Short, (("reelscope_model_ready == 0", "{{model}}"),)),
        Panel("Alerts", units.Short, (('ALERTS{alertstate="firing"}', "{{alertname}} {{model}}{{analyzer}}{{code}}"),)),
    ),
    "Jobs": (
        Panel(
            "Jobs that wait and work",
            units.Short,
            (
                ("reelscope_jobs_queued", "wait"),
                ("reelscope_jobs_running", "work"),
                ("reelscope_jobs_queue_limit", "may wait"),
            ),
        ),
        Panel(
            "Time of a job",
            units.Seconds,
            (
                ("histogram_quantile(0.5, sum by (le) (rate(reelscope_job_seconds_bucket[15m])))", "work, median"),
                ("histogram_quantile(0.95, sum by (le) (rate(reelscope_job_seconds_bucket[15m])))", "work, 95 %"),
                ("histogram_quantile(0.95, sum by (le) (rate(reelscope_job_wait_seconds_bucket[15m])))", "wait, 95 %"),
            ),
        ),
        Panel(
            "Jobs that ended, per minute",
            units.Short,
            (("60 * sum by (state) (rate(reelscope_jobs_total[5m]))", "{{state}}"),),
        ),
        Panel(
            "Jobs without results, and refused, in 15 minutes",
            units.Short,
            (
                ("sum by (code) (increase(reelscope_job_problems_total[15m])) > 0", "{{code}}"),
                ("increase(reelscope_jobs_refused_total[15m])", "refused: queue full"),
            ),
        ),
        Panel(
            "Analyzers that fail, in 15 minutes",
            units.Short,
            (
                (
                    "sum by (analyzer, reason) (increase(reelscope_analyzer_failures_total[15m])) > 0",
                    "{{analyzer}}: {{reason}}",
                ),
            ),
        ),
        Panel(
            "Requests to the gateway",
            units.RequestsPerSecond,
            (("sum by (route, status) (rate(reelscope_http_requests_total[5m]))", "{{route}} {{status}}"),),
        ),
    ),
    "Models": (
        Panel("Wait in the queue", units.Seconds, (("model:queue_seconds:mean5m", "{{model}}"),)),
        Panel("Time of a request", units.Seconds, (("model:request_seconds:mean5m", "{{model}}"),)),
        Panel("Time in the network", units.Seconds, (("model:compute_seconds:mean5m", "{{model}}"),)),
        Panel(
            "Requests",
            units.RequestsPerSecond,
            (("sum by (model) (rate(nv_inference_request_success[5m]))", "{{model}}"),),
        ),
        Panel("Rows per execution", units.Short, (("model:batch_size:mean5m", "{{model}}"),), "How well batches fill."),
        Panel(
            "Failed requests, by reason",
            units.PercentUnit,
            (("model_reason:failures:ratio5m > 0", "{{model}}: {{reason}}"),),
        ),
    ),
    "Vision-language model": (
        Panel("Requests pending", units.Short, ((f"nv_inference_pending_request_count{{{VLM}}}", "pending"),)),
        Panel("Wait", units.Seconds, ((f"model:queue_seconds:mean5m{{{VLM}}}", "queue"),)),
        Panel("Work", units.Seconds, ((f"model:compute_seconds:mean5m{{{VLM}}}", "window"),)),
    ),
    "Machine": (
        Panel(
            "GPU memory",
            units.BytesIEC,
            (("nv_gpu_memory_used_bytes", "used"), ("nv_gpu_memory_total_bytes", "there is")),
        ),
        Panel("GPU at work", units.PercentUnit, (("nv_gpu_utilization", "{{gpu_uuid}}"),)),
        Panel("GPU power", units.Watt, (("nv_gpu_power_usage", "used"), ("nv_gpu_power_limit", "limit"))),
        Panel("CPU at work", units.PercentUnit, (("nv_cpu_utilization", "machine"),)),
        Panel(
            "Memory",
            units.BytesIEC,
            (
                ("nv_cpu_memory_used_bytes", "machine, used"),
                ("nv_cpu_memory_total_bytes", "machine, there is"),
                ("process_resident_memory_bytes", "{{job}}"),
            ),
        ),
        Panel(
            "Pinned memory for transfers",
            units.BytesIEC,
            (("nv_pinned_memory_pool_used_bytes", "used"), ("nv_pinned_memory_pool_total_bytes", "there is")),
        ),
    ),
}


def queries() -> Iterator[str]:
    """Every PromQL expression of the dashboard."""
    for panels in ROWS.values():
        for panel in panels:
            yield from (query for query, _ in panel.queries)


def text() -> str:
    """The dashboard as Grafana reads it."""
    built = (
        dashboard.Dashboard("reelscope")
        .uid("reelscope")
        .tags(["reelscope", "triton"])
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .refresh("30s")
        .time("now-1h", "now")
        .timezone("browser")
        .readonly()
    )
    numbers = itertools.count(1)
    for title, panels in ROWS.items():
        built = built.with_row(dashboard.Row(title).id(next(numbers)))
        for panel in panels:
            built = built.with_panel(_graph(panel).id(next(numbers)))
    return JSONEncoder(sort_keys=True, indent=1).encode(built.build()) + "\n"


def _graph(panel: Panel) -> timeseries.Panel:
    graph = timeseries.Panel().title(panel.title).unit(panel.unit).datasource(_SOURCE).min(0)
    graph = graph.description(panel.note).height(_HEIGHT).span(_WIDTH)
    legend = common.VizLegendOptions().display_mode(LegendDisplayMode.LIST).placement(LegendPlacement.BOTTOM)
    graph = graph.legend(legend.show_legend(True).calcs([]))
    graph = graph.tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI))
    for letter, (query, name) in zip("ABCDEF", panel.queries, strict=False):
        graph = graph.with_target(prometheus.Dataquery().ref_id(letter).expr(query).legend_format(name))
    return graph


def main() -> int:
    """Write the file, or say with --check whether it is current."""
    if "--check" not in sys.argv:
        FILE.write_text(text(), encoding="utf-8")
        return 0
    is_current = FILE.is_file() and FILE.read_text(encoding="utf-8") == text()
    if not is_current:
        print(f"{FILE} is not current: python server/monitoring/dashboard.py")
    return not is_current


if __name__ == "__main__":
    sys.exit(main())
