"""`reelscope top`: what it says of a real server without a GPU, and of GPUs that others tell of."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from reelscope.cli import app
from reelscope.inference import RepositoryClient
from reelscope.inference.observation import Sample, read_metrics
from reelscope.operations import gpus, top
from settled import settled


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch):
    monkeypatch.setattr(gpus, "of_this_machine", lambda: ())


def test_it_works_without_a_gpu_and_says_so(server):
    done = CliRunner().invoke(app, ["top", "--once", "--interval", "0.2", "--metrics", server.metrics_url])
    assert done.exit_code == 0, done.output
    assert "no GPU" in done.output
    assert "frame_sum" in done.output
    done = CliRunner().invoke(app, ["top", "--json", "--interval", "0.2", "--metrics", server.metrics_url])
    said = json.loads(done.stdout)
    assert (said["gpus"], said["gpu_source"]) == ([], "none")
    assert {"described", "frame_sum"} <= {load["model"] for load in said["models"]}


def test_rates_are_of_the_interval(server):
    def counters():
        return [each for each in read_metrics(server.metrics_url) if each.name.startswith("nv_inference")]

    before = settled(counters)
    with RepositoryClient(server.grpc_url) as client:
        for _ in range(4):
            client.ask("described", {"frames": np.ones((1, 4, 4, 3), np.uint8)}, ["words"], 10)
    seen = top.moment(before, settled(counters), 2.0)
    loads = {load.model: load for load in seen.models}
    assert loads["frame_sum"].requests_per_second == 2.0
    assert loads["frame_sum"].queue_ms > 100  # it waits 200 ms for others
    assert loads["identity"].requests_per_second == 0
    assert loads["identity"].queue_ms is None
    assert seen.models[0].requests_per_second > 0


def test_a_server_that_was_started_again_has_no_negative_rates():
    labels = {"model": "m", "version": "1"}
    before, after = ([Sample("nv_inference_request_success_total", labels, value)] for value in (9.0, 2.0))
    assert top.moment(before, after, 1.0).models[0].requests_per_second == 0


def test_gpus_that_triton_tells_of():
    values = {
        "nv_gpu_utilization": 0.5,
        "nv_gpu_memory_used_bytes": 16e9,
        "nv_gpu_memory_total_bytes": 48e9,
        "nv_gpu_power_usage": 120.0,
        "nv_gpu_power_limit": 260.0,
    }
    seen = top.moment([], [Sample(name, {"gpu_uuid": "GPU-1"}, value) for name, value in values.items()], 1.0)
    assert seen.gpu_source == "triton"
    console = Console(width=100)
    with console.capture() as capture:
        console.print(top.shown(seen))
    for text in ("GPU-1", "50%", "16.0 of 48.0", "120 of 260"):
        assert text in capture.get()


def test_what_a_card_does_not_tell_is_left_out():
    class NVMLError(Exception):
        pass

    def refuse(*arguments):
        raise NVMLError

    nvml = SimpleNamespace(
        NVMLError=NVMLError,
        NVML_TEMPERATURE_GPU=0,
        NVML_CLOCK_SM=1,
        nvmlDeviceGetName=lambda handle: "Quadro RTX 8000",
        nvmlDeviceGetMemoryInfo=lambda handle: SimpleNamespace(used=1, total=2),
        nvmlDeviceGetUtilizationRates=lambda handle: SimpleNamespace(gpu=40),
        nvmlDeviceGetPowerUsage=lambda handle: 61_500,
        nvmlDeviceGetEnforcedPowerLimit=refuse,
        nvmlDeviceGetTemperature=lambda handle, sensor: 55,
        nvmlDeviceGetClockInfo=refuse,
    )
    read = gpus._read(nvml, None)
    assert (read.utilization_ratio, read.power_watts, read.temperature_celsius) == (0.4, 61.5, 55)
    assert (read.power_limit_watts, read.sm_clock_mhz) == (None, None)
