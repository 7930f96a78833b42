"""The predecessor's way: who is part of it, what is left out and why, and that both sides do as much."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from benchmarks import footage, predecessor, predecessor_steps, upstream
from benchmarks.predecessor import Predecessor, Work
from benchmarks.predecessor_steps import STEPS, Step
from benchmarks.upstream import Absent, Libraries, Weights
from reelscope.analyzers import ANALYZERS

NOTHING = Weights(files={}, absent={}, trained=())
READ_ONLY = {"temporal_flow", "cross_analyzer_intelligence"}
"""They read what others found; the predecessor pays nothing for them."""


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return footage.write_clip(tmp_path_factory.mktemp("clip") / "c.mp4", width=96, height=160, rate=30, seconds=1.0)


def test_every_analyzer_is_there_in_four_stages() -> None:
    assert {step.analyzer for step in STEPS} | READ_ONLY == {analyzer.name for analyzer in ANALYZERS}
    assert [step.stage for step in STEPS] == sorted(step.stage for step in STEPS)
    assert {step.stage for step in STEPS} == {1, 2, 3, 4}
    assert all(
        isinstance(getattr(Libraries, name), property | upstream.cached_property)
        for step in STEPS
        for name in step.libraries
    )


def test_a_library_that_is_not_installed_is_named_and_the_others_run(
    clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    libraries = Libraries(NOTHING, "cpu")

    def load(names: tuple[str, ...]) -> None:
        if "reader" in names:
            raise Absent("the library easyocr is not installed")

    monkeypatch.setattr(libraries, "load", load)
    ran: list[str] = []
    steps = (
        Step("text_overlay", 2, ("reader",), lambda self: ran.append("text_overlay")),
        Step("cut_analysis", 4, (), lambda self: ran.append("cut_analysis")),
    )
    monkeypatch.setattr(predecessor, "STEPS", steps)
    working = Predecessor(Work(clip=str(clip), weights=NOTHING), libraries)
    working.load()
    assert working.missing == {"text_overlay": "the library easyocr is not installed"}
    assert [step["analyzer"] for step in working.run()] == ran == ["cut_analysis"]


def test_a_model_that_is_not_built_is_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REELSCOPE_REPOSITORY", str(tmp_path))
    libraries = Libraries(Weights.of("cpu"), "cpu")
    with pytest.raises(Absent, match="pose_yolov8 is not built for profile cpu"):
        libraries.load(("pose",))


def test_what_was_asked_before_is_timed_apart(clip: Path) -> None:
    working = Predecessor(Work(clip=str(clip), weights=NOTHING), Libraries(NOTHING, "cpu"))
    with working.again():
        sum(range(200_000))
    once = working.repeated_seconds
    assert once > 0
    with working.again():
        sum(range(200_000))
    assert working.repeated_seconds > once


@pytest.mark.parametrize(("total", "count"), [(7, 3), (0, 5), (50, 50), (3, 10)])
def test_faces_are_spread_over_all_frames(total: int, count: int) -> None:
    shares = predecessor_steps._shares(total, count)
    assert (len(shares), sum(shares)) == (count, total)
    assert max(shares) - min(shares) <= 1


def test_sound_and_frames_are_read_anew_by_everybody(clip: Path) -> None:
    sound = upstream.heard(clip, upstream.HEARING_HZ)
    assert len(sound) == pytest.approx(16_000, rel=0.05)
    assert np.abs(sound).max() > 0.05
    assert len(list(upstream.shown(clip, Fraction(5)))) == 5
