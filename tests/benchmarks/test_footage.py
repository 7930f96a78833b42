"""The clips that benchmarks measure on: lengths and cuts as asked for, repeated without a seam."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import scenedetect

from benchmarks import footage, upstream
from reelscope.decode import Decoder
from reelscope.types import AudioChunk, FrameChunk, MediaFacts

WIDTH, HEIGHT, RATE = 160, 96, 25


def decoded(clip: Path) -> tuple[np.ndarray, np.ndarray, float, MediaFacts]:
    """Frames, their times, seconds of sound, and facts."""
    with Decoder(clip, Fraction(5), None) as decoder:
        parts = list(decoder)
        chunks = [part for part in parts if isinstance(part, FrameChunk)]
        sound = sum(part.samples.shape[1] / part.sample_rate_hz for part in parts if isinstance(part, AudioChunk))
        times = np.concatenate([chunk.times_seconds for chunk in chunks])
        return np.concatenate([chunk.frames for chunk in chunks]), times, sound, decoder.facts()


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("footage") / "once.mp4"
    return footage.write_clip(file, width=WIDTH, height=HEIGHT, rate=RATE, seconds=2.0)


def test_the_clip_is_what_was_asked_for(clip: Path) -> None:
    frames, times, sound, facts = decoded(clip)
    assert frames.shape == (50, HEIGHT, WIDTH, 3)
    assert times == pytest.approx(np.arange(50) / RATE)
    assert (facts.duration_seconds, facts.coverage) == (2.0, 1.0)
    assert sound == pytest.approx(2.0, abs=0.05)


def test_shots_are_cut_hard_and_move(clip: Path) -> None:
    cuts = [start.seconds for start, _ in scenedetect.detect(str(clip), scenedetect.AdaptiveDetector())][1:]
    assert cuts == pytest.approx([round(footage.SHOT_SECONDS * RATE) / RATE], abs=0.001)
    frames = decoded(clip)[0].astype(int)
    panned_px = round(WIDTH * footage.PAN_WIDTHS_PER_SECOND)
    followed = np.abs(frames[RATE][:, :-panned_px] - frames[0][:, panned_px:]).mean()
    assert followed < np.abs(frames[RATE] - frames[0]).mean() / 2


def test_pictures_repeat_and_time_goes_on(clip: Path, tmp_path: Path) -> None:
    once = decoded(clip)[0]
    frames, times, sound, facts = decoded(footage.write_repeated(tmp_path / "more.mp4", clip, 5.0))
    assert times == pytest.approx(np.arange(125) / RATE)
    assert (frames == np.concatenate([once, once, once[:25]])).all()
    assert (facts.duration_seconds, facts.coverage, facts.is_variable_frame_rate) == (5.0, 1.0, False)
    assert sound == pytest.approx(5.0, abs=0.05)


def test_a_clip_may_end_within_its_first_repetition(clip: Path, tmp_path: Path) -> None:
    times = decoded(footage.write_repeated(tmp_path / "less.mp4", clip, 0.4))[1]
    assert times == pytest.approx(np.arange(10) / RATE)


@pytest.mark.parametrize(("rate", "step"), [(Fraction(5), 5), (Fraction(5, 2), 10), (Fraction(1000), 1)])
def test_the_plain_script_reads_the_frames_that_the_sources_read(clip: Path, rate: Fraction, step: int) -> None:
    gray = decoded(clip)[0].mean(3)
    nearest = [np.abs(gray - frame.mean(2)).mean((1, 2)).argmin() for frame in upstream.shown(clip, rate)]
    assert len(nearest) == 50 // step
    assert nearest == pytest.approx(np.arange(0, 50, step), abs=1)  # neighbours may be all but equal
