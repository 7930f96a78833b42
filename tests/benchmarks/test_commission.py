"""The commissioning: what passes, what fails, what cannot be done; steps that need a live server are stood in for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks import commission, gpu_check
from benchmarks.acceptance import Gate
from benchmarks.commission import Site
from benchmarks.gpu_check import Figures, Gpu, Together
from reelscope import settings
from reelscope.errors import UsageError
from reelscope_export.verify import Measure

CPU, RTX = settings.profile("cpu"), settings.profile("rtx8000")
CARD = Gpu("Quadro RTX 8000", "580.95.05", "7.5", 46080, 300)


def site(folder: Path, profile: settings.Profile = CPU, url: str | None = None) -> Site:
    return Site(profile, url, ("object_yolov8",), 3, folder)


@pytest.mark.parametrize(("used_mib", "holds"), [(41_900, True), (42_000, False)])
def test_memory_is_held_to_44_decimal_gigabytes(used_mib, holds):
    gate = commission.memory(RTX, CARD, Together(30_000, used_mib, {}, {}))
    assert gate.holds is holds
    assert gate.wanted == "at most 44 GB"


def test_memory_that_cannot_be_seen_fails_where_it_is_promised_only():
    assert commission.memory(RTX, None, Together(None, None, {}, {})).holds is False
    assert commission.memory(CPU, None, Together(None, None, {}, {})).holds is None


def test_a_broken_bound_an_error_and_an_empty_comparison_fail():
    good, bad = Measure("box", 0.01, 0.05, "px"), Measure("box", 0.06, 0.05, "px")
    verdicts = {
        name: commission._parity("object_yolov8", Figures("yolov8m", "fp16", parity=measures, error=error))
        for name, measures, error in (
            ("good", [good], None),
            ("bad", [good, bad], None),
            ("error", [good], "FileNotFoundError: no graph"),
            ("empty", [], None),
        )
    }
    assert {name: gate.holds for name, gate in verdicts.items()} == {
        "good": True,
        "bad": False,
        "error": False,
        "empty": False,
    }
    assert "0.06 px (<= 0.05) BROKEN" in verdicts["bad"].measured
    assert verdicts["error"].measured == "cannot be done: FileNotFoundError: no graph"


def test_a_step_that_cannot_be_done_fails_with_its_reason_and_the_next_is_done(tmp_path, monkeypatch, capsys):
    def broken(of: Site):
        yield Gate("a", "b", "c", True)
        raise UsageError("no candidate there")

    monkeypatch.setattr(commission, "STEPS", {"doctor": broken, "roll": lambda of: iter([Gate("x", "y", "z", True)])})
    assert commission.main(["--output", str(tmp_path), "--steps", "doctor,roll"]) == 1
    written = json.loads((tmp_path / "report.json").read_text())
    assert not written["passed"]
    assert [gate["holds"] for gate in written["steps"]["doctor"]["gates"]] == [True, False]
    assert written["steps"]["doctor"]["gates"][1]["measured"] == "cannot be done: no candidate there"
    assert written["steps"]["roll"]["passed"]
    assert "NOT fit for production" in (tmp_path / "report.txt").read_text()


def test_what_was_left_out_is_said_and_is_no_verdict_on_the_machine(tmp_path):
    done = [commission.Done("doctor", (Gate("a", "b", "c", True),), 1.0)]
    console = Console(record=True, width=200, file=(tmp_path / "shown").open("w"))
    assert commission.report(done, site(tmp_path), console)
    said = (tmp_path / "report.txt").read_text()
    assert "not done: models, together, roll, acceptance" in said
    assert "fit for production" not in said
    assert json.loads((tmp_path / "report.json").read_text())["complete"] is False


def acceptance_report(first: float, again: float, peak_mb: float | None, *, passed: bool = True) -> dict:
    memory = {} if peak_mb is None else {"gpu": {"peak_mb": peak_mb}}
    return {
        "passed": passed,
        "gates": [{"name": "analyzers", "measured": "24 of 24", "holds": passed}],
        "runs": [
            {"name": name, "wall_seconds": seconds, "memory": memory}
            for name, seconds in (("first", first), ("again", again), ("full", 500.0))
        ],
    }


@pytest.mark.parametrize(
    ("report", "failing"),
    [
        (acceptance_report(240, 100, 43_000), []),
        (acceptance_report(260, 120, 43_000), ["the demo clip, first", "the demo clip, again"]),
        (acceptance_report(240, 100, 45_000), ["GPU memory while it runs"]),
        (acceptance_report(240, 100, None), ["GPU memory while it runs"]),
        (acceptance_report(240, 100, 43_000, passed=False), ["24 analyzers"]),
    ],
)
def test_acceptance_is_judged_with_memory_and_the_predecessors_times(report, failing):
    assert [gate.name for gate in commission.accepted(RTX, report) if gate.holds is False] == failing
    assert [gate.name for gate in commission.accepted(CPU, report) if gate.holds is False] == (
        failing if failing == ["24 analyzers"] else []
    )


def test_a_candidate_is_a_copy_and_leaves_nothing(tmp_path):
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "cpu.onnx").write_bytes(b"graph")
    with commission._candidate(tmp_path):
        assert (tmp_path / "candidate" / "cpu.onnx").read_bytes() == b"graph"
        (tmp_path / "candidate").rename(tmp_path / "rolled-back-2")
    assert [path.name for path in tmp_path.iterdir()] == ["1"]


def test_somebody_elses_candidate_is_not_touched(tmp_path):
    for name in ("1", "candidate"):
        (tmp_path / name).mkdir()
    with pytest.raises(UsageError, match="there is one"), commission._candidate(tmp_path):
        pass
    assert (tmp_path / "candidate").is_dir()


def test_models_are_judged_one_by_one(tmp_path, monkeypatch):
    figures = Figures("yolov8n", "fp32", parity=[Measure("box", 0.01, 0.05, "px")])
    monkeypatch.setattr(gpu_check, "check", lambda *how: figures)
    found = list(commission.check_models(site(tmp_path)))
    assert [(gate.name, gate.holds) for gate in found] == [("object_yolov8", True), ("GPU memory of each model", None)]


def test_unknown_steps_and_models_are_named(capsys):
    assert commission.main(["--steps", "doctor,dance"]) == 2
    assert "no step dance; there are: doctor, models" in capsys.readouterr().err
