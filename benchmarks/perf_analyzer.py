"""NVIDIA's perf_analyzer: its binary, its inputs, its reports.

The binary comes from the wheel of tritonclient 2.50.0 (`requirements-perf.lock`), the last that runs on glibc 2.36; the
libraries that it wants are those of the embedded Triton's wheel. Documentation:
https://docs.nvidia.com/deeplearning/triton-inference-server/user-guide/docs/perf_benchmark/perf_analyzer.html
"""

from __future__ import annotations

import base64
import csv
import importlib.util
import json
import re
import subprocess
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

WINDOWS = 3
"""Measurement windows, whose requests are taken together."""
_LIBRARIES = {"libb64.so.0d": "libb64-*.so.0d", "libcudart.so.12": "libcudart-*.so.12*"}
_NO_STABILITY = "999"
"""Percent by which windows may differ: on a shared machine any other bound leaves no report at all."""
_OUTPUT_BYTES = 64 << 20
_TIMEOUT_SECONDS = 300


class PerfAnalyzerFailed(Exception):
    """There is no binary, or it measured nothing; the message quotes it."""


@dataclass(frozen=True, slots=True)
class Load:
    """What perf_analyzer measured under one load; times in ms, from the client's side unless they say otherwise."""

    load: float
    """Requests under way at once, or requests sent per second."""
    requests: int
    """How many it counted, in WINDOWS windows together."""
    per_second: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    queue_ms: float
    """Mean time in the server's queue; of an ensemble its own, which is none: its steps have theirs."""
    compute_ms: float
    """Mean time of input, inference and output on the server; of an ensemble, of its steps together."""


class PerfAnalyzer:
    """The binary, unpacked into a folder of its own."""

    def __init__(self, wheel: Path, folder: Path) -> None:
        """Unpack it.

        Raises:
            PerfAnalyzerFailed: the wheel is not there, or the embedded Triton is not installed.
        """
        triton = importlib.util.find_spec("pytriton")
        if not wheel.is_file() or triton is None or triton.origin is None:
            raise PerfAnalyzerFailed(f"{wheel} or nvidia-pytriton is missing; run: make perf")
        with zipfile.ZipFile(wheel) as archive:
            inside = next(name for name in archive.namelist() if name.endswith("/bin/perf_analyzer"))
            self._binary = folder / "perf_analyzer"
            self._binary.write_bytes(archive.read(inside))
        self._binary.chmod(0o755)
        libraries = Path(triton.origin).parents[1] / "nvidia_pytriton.libs"
        for name, pattern in _LIBRARIES.items():
            (folder / name).symlink_to(next(libraries.glob(pattern)))
        self._folder = folder

    def measure(
        self,
        url: str,
        model: str,
        inputs: Mapping[str, np.ndarray],
        *,
        rows: int,
        requests_per_window: int,
        shared_memory: bool,
        concurrency: int | None = None,
        rates: Sequence[float] = (),
    ) -> list[Load]:
        """Send equal requests, `concurrency` at once, or at each rate of `rates` (evenly spaced, requests per second).

        Args:
            url: gRPC address.
            model: model or ensemble.
            inputs: of one request, with the batch dimension.
            rows: of a model that Triton batches; 0 for others.
            requests_per_window: at least so many are counted in each of WINDOWS windows.
            shared_memory: whether inputs and outputs lie in system shared memory.
            concurrency: requests under way at once.
            rates: instead of that, requests per second.

        Raises:
            PerfAnalyzerFailed: it measured nothing.
        """
        report, data = self._folder / "report.csv", self._folder / "inputs.json"
        report.unlink(missing_ok=True)
        data.write_text(json.dumps({"data": [{name: _tensor(each, rows) for name, each in inputs.items()}]}))
        command = [
            str(self._binary),
            "-m",
            model,
            "-i",
            "grpc",
            "-u",
            url,
            "--input-data",
            str(data),
            "-f",
            str(report),
        ]
        command += ["-s", _NO_STABILITY, "-r", str(WINDOWS), "--measurement-mode", "count_windows"]
        command += ["--measurement-request-count", str(requests_per_window), *(["-b", str(rows)] if rows else [])]
        if shared_memory:
            command += ["--shared-memory", "system", "--output-shared-memory-size", str(_OUTPUT_BYTES)]
        if rates:
            step = (rates[-1] - rates[0]) / (len(rates) - 1)
            command += ["--request-rate-range", f"{rates[0]}:{rates[-1] + step / 2}:{step}"]
        else:
            command += ["--concurrency-range", str(concurrency)]
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                check=False,
                timeout=_TIMEOUT_SECONDS,
                env={"LD_LIBRARY_PATH": str(self._folder)},
            )
        except subprocess.TimeoutExpired as error:
            raise PerfAnalyzerFailed(f"{model}: perf_analyzer has not ended after {_TIMEOUT_SECONDS} s") from error
        if done.returncode or not report.is_file():
            raise PerfAnalyzerFailed(f"{model}: {' '.join((done.stderr or done.stdout).split())[-300:]}")
        return read_report(report.read_text(encoding="utf-8"), done.stdout)


def read_report(report: str, printed: str) -> list[Load]:
    """The table of a report in CSV, with the counts of requests that are only printed."""
    counts = [int(count) for count in re.findall(r"^\s*Request count: (\d+)", printed, re.MULTILINE)]
    rows = sorted(csv.DictReader(report.split("\n\n")[0].splitlines()), key=_load)
    return [
        Load(
            load=_load(row),
            requests=count,
            per_second=float(row["Inferences/Second"]),
            p50_ms=_ms(row, "p50 latency"),
            p95_ms=_ms(row, "p95 latency"),
            p99_ms=_ms(row, "p99 latency"),
            queue_ms=_ms(row, "Server Queue"),
            compute_ms=_ms(row, "Server Compute Input", "Server Compute Infer", "Server Compute Output"),
        )
        for row, count in zip(rows, counts, strict=False)
    ]


def _load(row: Mapping[str, str]) -> float:
    return float(row.get("Concurrency") or row["Request Rate"])


def _ms(row: Mapping[str, str], *columns: str) -> float:
    return round(sum(float(row[column]) for column in columns) / 1000, 3)


def _tensor(array: np.ndarray, rows: int) -> dict[str, object]:
    """A tensor as perf_analyzer reads it, without the batch dimension where there is one."""
    shape = list(array.shape[1:] if rows else array.shape)
    one = array[0] if rows else array
    if array.dtype == np.object_:
        return {"content": [text.decode() for text in one.ravel()], "shape": shape}
    return {"content": {"b64": base64.b64encode(one.tobytes()).decode()}, "shape": shape}
