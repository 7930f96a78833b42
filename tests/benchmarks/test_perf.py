"""What `make perf` sends, and how it reads perf_analyzer's report; perf_analyzer itself is no part of the tests."""

from __future__ import annotations

import base64
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import perf, perf_analyzer
from benchmarks.perf_inputs import DemoInputs

REPORT = """\
Request Rate,Inferences/Second,Client Send,Network+Server Send/Recv,Server Queue,Server Compute Input,\
Server Compute Infer,Server Compute Output,Client Recv,p50 latency,p90 latency,p95 latency,p99 latency,Avg latency
5.08,4.7,90,6100,3,4000,110000,2000,20,105000,150000,160500,178000,119000
2.54,2.4,95,6400,4,4100,112000,2100,21,117000,190000,195000,226000,133000

Composing models:
"""
PRINTED = """
Request Rate: 2.54 inference requests per seconds
  Client:
    Request count: 17
Request Rate: 5.08 inference requests per seconds
  Client:
    Request count: 19
"""


def test_a_report_in_milliseconds_with_its_counts():
    slow, fast = perf_analyzer.read_report(REPORT, PRINTED)
    assert (slow.load, slow.requests, fast.load, fast.requests) == (2.54, 17, 5.08, 19)
    assert (fast.per_second, fast.p50_ms, fast.p95_ms, fast.p99_ms) == (4.7, 105.0, 160.5, 178.0)
    assert (fast.queue_ms, fast.compute_ms) == (0.003, 116.0)


@pytest.mark.parametrize(("rows", "shape"), [(1, [2, 3]), (0, [1, 2, 3])])
def test_tensors_as_perf_analyzer_reads_them(rows, shape):
    """The batch dimension is its own business where a model is batched."""
    array = np.arange(6, dtype=np.float32).reshape(1, 2, 3)
    sent = perf_analyzer._tensor(array, rows)
    assert sent["shape"] == shape
    assert base64.b64decode(sent["content"]["b64"]) == array.tobytes()
    assert perf_analyzer._tensor(np.array([[b"window"]], object), rows)["content"] == ["window"]


def test_inputs_are_the_demo_clips():
    inputs = DemoInputs(SimpleNamespace())
    (frames,) = inputs.of("detections", ("frames",)).values()
    (sound,) = inputs.of("speech_activity", ("waveform",)).values()
    assert frames.shape == (1, 1280, 720, 3)
    assert frames.std() > 20
    assert sound.shape[1] == pytest.approx(160_000, abs=1000)
    assert 0.1 < np.abs(sound).max() <= 1
    assert inputs.of("sounds", ("waveform",))["waveform"].shape == (1, 40_000)


def test_a_missing_wheel_says_what_to_run(tmp_path):
    with pytest.raises(perf_analyzer.PerfAnalyzerFailed, match="make perf"):
        perf_analyzer.PerfAnalyzer(tmp_path / "none.whl", tmp_path)


def test_the_curve_is_small(tmp_path):
    loads = perf_analyzer.read_report(REPORT, PRINTED)
    perf.draw(tmp_path / "perf.svg", {"detections": loads})
    perf.write_csv(tmp_path / "perf.csv", {"detections": loads}, {"detections": loads})
    assert (tmp_path / "perf.svg").stat().st_size < 60_000
    lines = (tmp_path / "perf.csv").read_text().splitlines()
    assert len(lines) == 5
    assert lines[1].startswith("detections,concurrency,2.54,17,")
