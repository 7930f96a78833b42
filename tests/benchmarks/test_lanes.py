"""Where the time of a clip goes: lanes, threads and models, each against what was put in."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import pytest
from rich.console import Console
from rich.table import Table

from benchmarks import lanes
from benchmarks.observed import Span
from reelscope.inference.observation import ModelWork

IDLE = ModelWork(
    name="pose",
    version="1",
    requests=10,
    failed_requests=0,
    rows=100,
    executions=5,
    request_seconds=9.0,
    queue_seconds=1.0,
    input_seconds=0.5,
    compute_seconds=2.0,
    output_seconds=0.5,
)


def rows(table: Table) -> list[list[str]]:
    console = Console(width=200)
    with console.capture() as capture:
        console.print(table)
    printed = [line for line in capture.get().splitlines() if line.startswith("│")]
    return [[cell.strip() for cell in line.strip("│").split("│")] for line in printed]


def test_a_lane_sums_up_its_pieces_and_the_last_to_end_is_last() -> None:
    spans = [Span("poses", "server", 0.5, 2.0), Span("decode", "decode", 0.0, 0.25), Span("decode", "decode", 1.0, 1.5)]
    assert rows(lanes.lanes_table(spans)) == [
        ["decode", "decode", "2", "0.75", "0.00", "1.50"],
        ["server", "poses", "1", "1.50", "0.50", "2.00"],
    ]


def test_threads_are_told_by_name_with_what_they_computed_meanwhile() -> None:
    """What a thread took before does not count, and one that ends on the way is not forgotten."""

    def compute(seconds: float) -> None:
        until = time.thread_time() + seconds
        while time.thread_time() < until:
            pass

    def compute_and_stay() -> None:
        compute(0.3)
        time.sleep(1.0)  # what a thread took after the last look is not seen, and looks wait for threads that compute

    compute(0.3)
    with lanes.ThreadWatch() as watch:
        busy = [threading.Thread(target=compute_and_stay, name="busy") for _ in range(2)]
        for thread in busy:
            thread.start()
        for thread in busy:
            thread.join()
    assert watch.counts["busy"] == 2
    assert watch.seconds["busy"] == pytest.approx(0.6, abs=0.1)
    assert watch.seconds.get("MainThread", 0.0) < 0.1
    assert rows(lanes.threads_table(watch))[0][:2] == ["busy", "2"]


def test_models_are_told_with_what_they_did_in_between() -> None:
    after = replace(
        IDLE, requests=12, rows=130, executions=6, compute_seconds=2.75, queue_seconds=1.5, input_seconds=0.75
    )
    unasked = replace(IDLE, name="sounds")
    assert rows(lanes.models_table([IDLE, unasked], [after, unasked])) == [
        ["pose", "2", "30", "1", "0.75", "0.50", "0.25"]
    ]
