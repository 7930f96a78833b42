"""The gates of the acceptance run, on hand-made results: what passes, what fails, what is not promised."""

from __future__ import annotations

import copy
import io
import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from benchmarks import acceptance, analysis
from benchmarks.acceptance import AGAIN, FIRST, FULL, MODEL_FREE, Gate, Run
from benchmarks.analysis import Memory
from reelscope import settings
from reelscope.analyzers import ANALYZERS
from tests.demo.compare import Row, compare, truth

CPU, GPU = settings.profile("cpu"), settings.profile("rtx8000")
TRAINED, RANDOM = ({"name": name, "trained": name == "known"} for name in ("known", "guessing"))


def analyzer(status: str = "ok", reason: str | None = None, models: tuple[dict, ...] = ()) -> dict[str, Any]:
    return {
        "status": status,
        "reason": reason,
        "models": list(models),
        "segments": [],
        "summary": {} if status == "ok" else None,
        "timings": {"wall_ms": 1500.0},
    }


def results(**changes: dict[str, Any] | None) -> dict[str, Any]:
    """All 24, or with some of them changed; None leaves one out."""
    named = dict.fromkeys(acceptance.ANALYZERS, analyzer()) | changes
    found = {name: each for name, each in named.items() if each is not None}
    return {"run": {"id": "x"}, "media": {"duration_s": 10.0}, "analyzers": copy.deepcopy(found)}


def runs(found: dict[str, Any] | None = None, again: dict[str, Any] | None = None, **changes: Any) -> list[Run]:
    """Three runs with the same results, or others the second time; `changes` are of the second."""
    first = found or results()
    plain = Run(FIRST, 0, 60.0, first, 4.4, 700.0, {"server": Memory(5000.0, 8100.0, 8000.0)}, 9.0)
    second = replace(plain, **{"name": AGAIN, "results": again or copy.deepcopy(first), "wall_seconds": 50.0} | changes)
    return [plain, second, replace(plain, name=FULL)]


def judged(made: list[Run], profile: settings.Profile = CPU) -> dict[str, Gate]:
    return {gate.name: gate for gate in acceptance.judge(made, profile)}


def failing(gates: dict[str, Gate]) -> list[str]:
    return [name for name, gate in gates.items() if gate.holds is False]


@pytest.fixture
def facts(monkeypatch: pytest.MonkeyPatch) -> list[Row]:
    """What the comparison with the truth says: everything right, unless a test changes it."""
    rows = [Row(kind, "true", "found", True) for kind in (*MODEL_FREE, "camera")]
    rows.append(Row("object", "cat in shot 2", "random weights", None))
    monkeypatch.setattr(acceptance, "compare", lambda found, truth: rows)
    monkeypatch.setattr(acceptance.check, "check", lambda found: [])
    return rows


def test_the_24_are_those_of_the_registry_or_still_to_come() -> None:
    assert len(set(acceptance.ANALYZERS)) == 24
    assert {each.name for each in ANALYZERS} <= set(acceptance.ANALYZERS)


@pytest.mark.usefixtures("facts")
def test_everything_kept_is_accepted() -> None:
    gates = judged(runs())
    assert failing(gates) == []
    assert gates["analyzers"].measured == "24 of 24"
    assert gates["camera"].measured == "2 of 2"
    assert gates["time, warm server"].measured == "50.0 s, 5.00 x"
    assert gates["vision-language model"].verdict == "not on this profile"


@pytest.mark.usefixtures("facts")
def test_a_missing_analyzer_is_named_though_the_registry_lacks_it() -> None:
    gates = judged(runs(results(temporal_flow=None)))
    assert failing(gates) == ["analyzers"]
    assert gates["analyzers"].measured == "23 of 24; missing: temporal_flow"


@pytest.mark.usefixtures("facts")
@pytest.mark.parametrize(
    ("status", "reason"),
    [("failed", "model_unavailable"), ("partial", "damaged_input"), ("skipped", "no_audio_stream")],
)
def test_an_analyzer_that_is_not_ok_is_named(status: str, reason: str) -> None:
    gates = judged(runs(results(body_pose=analyzer(status, reason))))
    assert failing(gates) == ["failed, partial or skipped"]
    assert gates["failed, partial or skipped"].measured == f"body_pose: {status} ({reason})"


@pytest.mark.usefixtures("facts")
def test_biometrics_may_be_left_out_by_the_profile_alone() -> None:
    made = runs(results(age_estimation=analyzer("skipped", "biometrics_off")))
    assert failing(judged(made)) == ["failed, partial or skipped"]
    assert failing(judged(made, settings.profile("cpu", biometrics=False))) == []


def test_facts_that_are_wrong_or_that_nobody_judged_fail(facts: list[Row]) -> None:
    facts[MODEL_FREE.index("camera")] = Row("camera", "pan", "tilt", False)
    facts[MODEL_FREE.index("text")] = Row("text", "ACME", "random weights", None)
    facts.append(Row("music", "found", "audio_analysis: failed", False))
    gates = judged(runs())
    assert failing(gates) == ["camera", "text", "music"]
    assert gates["camera"].measured == "1 of 2; tilt for pan"
    assert gates["text"].measured == "not judged"


@pytest.mark.usefixtures("facts")
def test_a_second_run_that_differs_is_no_identical_one() -> None:
    other = results(cut_analysis=analyzer() | {"segments": [{"start": 0.0}]})
    other["run"]["id"], other["analyzers"]["body_pose"]["timings"] = "y", {"wall_ms": 7.0}
    gates = judged(runs(again=other))
    assert failing(gates) == ["two runs (I7)"]
    assert gates["two runs (I7)"].measured == "differ: analyzers.cut_analysis"


def test_broken_invariants_are_named(facts: list[Row], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(acceptance, "compare", lambda found, truth: facts)
    gates = judged(runs())  # hand-made results do not fit the schema
    assert failing(gates) == ["I1-I6, I9"]
    assert gates["I1-I6, I9"].measured.startswith("I1 first: $")


@pytest.mark.usefixtures("facts")
def test_time_is_promised_on_the_cpu_alone() -> None:
    late = runs(wall_seconds=120.1)
    assert failing(judged(late)) == ["time, warm server"]
    assert judged(late, GPU)["time, warm server"].verdict == "not on this profile"
    assert failing(judged(runs(wall_seconds=119.9))) == []


@pytest.mark.usefixtures("facts")
@pytest.mark.parametrize(("seconds", "verdict"), [(29.9, "pass"), (30.0, "FAIL"), (None, "FAIL")])
def test_the_vision_language_model_is_judged_on_a_gpu(seconds: float | None, verdict: str) -> None:
    assert judged(runs(vlm_seconds=seconds), GPU)["vision-language model"].verdict == verdict


@pytest.mark.usefixtures("facts")
def test_a_run_without_results_fails_and_nothing_else_is_claimed(tmp_path: Path) -> None:
    made = runs(exit_code=5)
    made[1] = replace(made[1], results=None, client_peak_mb=None)
    gates = acceptance.judge(made, CPU)
    assert [(gate.name, gate.measured, gate.verdict) for gate in gates] == [
        ("results", "again: none, exit code 5", "FAIL")
    ]
    assert not acceptance.report(made, gates, {}, Console(file=io.StringIO(), record=True), tmp_path)


def test_weights_are_told_in_words() -> None:
    assert acceptance.weights(analyzer()) == "no model"
    assert acceptance.weights(analyzer(models=(TRAINED,))) == "trained"
    assert acceptance.weights(analyzer(models=(RANDOM,))) == "random weights"
    assert acceptance.weights(analyzer(models=(TRAINED, RANDOM))) == "1 of 2 random"
    assert acceptance.weights(analyzer("failed", "internal_error")) == "-"


@pytest.mark.usefixtures("facts")
def test_the_report_says_the_same_in_json_and_in_words(tmp_path: Path) -> None:
    made = runs(results(temporal_flow=None, body_pose=analyzer(models=(RANDOM,))))
    console = Console(file=io.StringIO(), record=True, width=140)
    assert not acceptance.report(made, acceptance.judge(made, CPU), {"profile": "cpu"}, console, tmp_path)
    written, said = json.loads((tmp_path / "report.json").read_text()), (tmp_path / "report.txt").read_text()
    assert written["passed"] is False
    assert written["analyzers"]["body_pose"] == {
        "status": "ok",
        "segments": 0,
        "weights": "random weights",
        "wall_seconds": 1.5,
    }
    assert written["analyzers"]["temporal_flow"] == {"status": "MISSING"}
    assert written["runs"][1]["memory"]["server"] == {"before_mb": 5000.0, "peak_mb": 8100.0, "after_mb": 8000.0}
    lines = [[cell.strip() for cell in line.split("│")] for line in said.splitlines()]
    assert ["analyzers", "24 of 24", "23 of 24; missing: temporal_flow", "FAIL"] in [line[1:-1] for line in lines]
    assert [AGAIN, "50.0", "4.40", "700", "5.0 / 8.1 / 8.0", "no GPU"] in [line[1:-1] for line in lines]
    assert ["temporal_flow", "MISSING", "", "", ""] in [line[1:-1] for line in lines]


def test_the_call_to_action_is_compared_by_words_and_time() -> None:
    def row(*calls: dict[str, Any]) -> Row:
        reader = analyzer(models=(TRAINED,)) | {"summary": {"cta": list(calls)}}
        made = results(text_overlay=reader)
        made["analyzers"] = {"text_overlay": made["analyzers"]["text_overlay"]}
        return next(row for row in compare(made, truth()) if row.what == "call to action")

    link = {"text": "LINK IN BIO", "start": 8.45}
    assert row(link) == Row("call to action", "LINK IN BIO at 8.50 s", "LINK IN BIO at 8.45 s", True)
    assert row(link | {"start": 8.2}).is_right is False
    assert row(link, link).is_right is False
    assert row().found == "none"


def test_facts_of_an_analyzer_without_findings_are_one_wrong_row() -> None:
    rows = compare({"analyzers": {"audio_analysis": analyzer("failed", "internal_error")}}, truth())
    assert Row("music", "found", "audio_analysis: failed", False) in rows
    assert Row("speech", "found", "speech_transcription: absent, speech_flow: absent", False) in rows
    assert not any(row.is_right for row in rows)


def test_memory_is_read_before_during_and_after(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(analysis, "SAMPLE_SECONDS", 0.001)
    readings: list[float] = []

    def read() -> float:
        readings.append([5.0, 9.0, 7.0][min(len(readings), 2)])
        return readings[-1]

    with analysis.MemoryWatch({"server": read}) as watch:
        while len(readings) < 3:
            time.sleep(0.001)
    assert watch.found == {"server": Memory(before_mb=5.0, peak_mb=9.0, after_mb=7.0)}


def test_memory_of_a_process_counts_its_children() -> None:
    script = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'b = bytearray(200_000_000); input()'])"
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE) as process:
        seen = 0.0
        while seen < 200 and process.poll() is None:
            seen = analysis.resident_mb(process.pid)
        process.communicate(b"\n")
    assert 200 < seen < 300
    assert analysis.resident_mb(process.pid) == 0.0
    assert analysis.resident_mb(os.getpid()) > 0
