"""The benchmarks of whole clips: their arithmetic, and every step on a clip of two seconds."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

import benchmarks
from benchmarks import end_to_end, footage, interleaved, memory
from reelscope_export import weights

RESULTS = Path(end_to_end.__file__).parent / "results"


def written() -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in RESULTS.iterdir()}


def test_calls_take_turns_and_the_first_turn_does_not_count() -> None:
    called: list[str] = []
    times = interleaved({name: lambda name=name: called.append(name) for name in ("a", "b")}, 3)
    assert called == ["a", "b"] * 4
    assert {name: len(each) for name, each in times.items()} == {"a": 3, "b": 3}


def test_the_ratio_compares_times_of_the_same_turn() -> None:
    """A machine that becomes three times slower changes no ratio."""
    parts = {"decode": [10.0, 30.0, 90.0], "model": [30.0, 90.0, 270.0]}
    assert end_to_end.ratio([50.0, 150.0, 450.0], parts) == pytest.approx(1.25)
    assert end_to_end.ratio([50.0, 150.0, 360.0], parts) == pytest.approx(1.25)


def test_the_table_sums_parts_and_plain_script_but_not_what_was_served_alone() -> None:
    times = {
        "whole": [111.0],
        "parts": {"one decode": [20.0], "shots": [34.0]},
        "served": {"object_tracks: served": [500.0]},
        "plain": {"shots: plain": [70.0], "object_tracks: plain": [23.0]},
    }
    console = Console(file=io.StringIO(), width=80)
    console.print(end_to_end.table(times, "title"))
    rows = [line.replace("│", " ").split() for line in console.file.getvalue().splitlines()]
    assert ["sum", "of", "the", "parts", "54", "54", "54"] in rows
    assert ["sum", "of", "the", "plain", "script", "93", "93", "93"] in rows
    assert sum(row[:1] == ["sum"] for row in rows) == 2


def test_weights_are_found_by_their_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REELSCOPE_WEIGHTS", str(tmp_path))
    file = tmp_path / "random" / "clip-1" / "model.bin"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"weights")
    assert benchmarks.checkpoint(weights.file_sha256(file)) == file
    with pytest.raises(FileNotFoundError, match="0123"):
        benchmarks.checkpoint("0123")


@pytest.fixture
def environment(built_repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REELSCOPE_REPOSITORY", str(built_repository))
    monkeypatch.setenv("REELSCOPE_STATE", str(tmp_path / "state"))


@pytest.mark.slow
@pytest.mark.usefixtures("environment")
def test_every_part_of_a_clip_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip = footage.write_clip(tmp_path / "clip.mp4", width=320, height=180, rate=25, seconds=2.0)
    times = end_to_end.measure(clip, 1)
    kinds = [kind.signal_name() for kind in end_to_end.SIGNALS]
    assert next(iter(times["parts"])) == end_to_end.DECODE
    assert sorted(name.partition(":")[0] for name in list(times["parts"])[1:]) == kinds
    assert sorted([name.partition(":")[0] for name in times["plain"]] + times["without_plain"]) == kinds
    assert times["server_mb"] > 500
    assert all(time > 0 for group in ("parts", "served", "plain") for each in times[group].values() for time in each)
    assert times["duration_seconds"] == 2.0


@pytest.mark.slow
@pytest.mark.usefixtures("environment")
def test_peak_memory_is_that_of_the_analysing_process(capsys: pytest.CaptureFixture[str]) -> None:
    before = written()
    ballast = bytearray(1_000_000_000)  # of this process: must not be counted
    memory.main(["--seconds", "1", "2"])
    assert len(ballast) == 1_000_000_000
    shown = capsys.readouterr().out
    peaks = [int(line.split("│")[2]) for line in shown.splitlines() if line.startswith("│")]
    assert len(peaks) == 2
    assert all(100 < peak < 900 for peak in peaks)
    assert "nothing is written" in shown
    assert written() == before
