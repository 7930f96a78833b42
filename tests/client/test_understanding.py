"""Video understanding: windows and their frames, what is kept of a long clip, what is asked and what is reported."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from feeding import PROVENANCE, Answer, Memory, cut, header, said

from reelscope.analyzers import qwen2_vl_temporal
from reelscope.errors import ModelUnavailable
from reelscope.signals import SpokenWords, Synopsis, TextRegions, Understanding, UnderstoodWindow
from reelscope.sources.kept_frames import KeptFrames
from reelscope.sources.understanding import LARGEST_PX, UnderstandingSource
from reelscope.sources.understanding_windows import plan
from reelscope.types import Deadline, Window

WINDOW = {"caption": " A cup. ", "subjects": ["cup"], "action": "", "setting": "a desk", "shot_size": "CU", "mood": ""}
WHOLE = {
    "synopsis": ["A cup stands there.", "Nobody drinks."],
    "genre": "still life",
    "topics": ["cups"],
    "hook_type": "other",
    "cta": "",
    "claims": [],
    "language": "de",
}


class Model:
    """Answers for the server, and keeps the questions."""

    def __init__(self, fails=False):
        self.fails, self.asked = fails, []

    def ask(self, model, inputs, outputs, timeout_seconds):
        assert model == "understanding"
        assert set(outputs) == {"answer", "video_understanding_qwen2vl_provenance"}
        self.asked.append(inputs)
        if self.fails:
            return Answer(ModelUnavailable("gone"))
        answers = [
            {"window": WINDOW | {"mood": str(frames.mean())}, "synthesis": WHOLE}[task.decode()]
            for frames, task in zip(inputs["frames"], inputs["task"][:, 0], strict=True)
        ]
        texts = np.array([[json.dumps(answer).encode()] for answer in answers], np.object_)
        return Answer({"answer": texts, "video_understanding_qwen2vl_provenance": np.full_like(texts, b"{}")})

    def provenance(self, text, model, ensemble):
        return replace(PROVENANCE, name=model, ensemble=ensemble)


def clip_windows(seconds, rate=10, height=2, width=4):
    """Windows of a clip whose frames show their tenth of a second."""
    count = round(seconds * rate)
    for first in range(0, count, 20):
        memory = Memory(height, width)
        window = Window(memory, first, min(20, count - first), Fraction(rate))
        for row, time in enumerate(window.times_seconds):
            memory.array[row] = round(10 * time) % 256
        yield window


def understand(model, seconds, *edges_seconds, known=(), **size):
    source = UnderstandingSource(model, Deadline(60))
    source.start(header([np.zeros((2, 2, 3), np.uint8)]))
    try:
        for window in clip_windows(seconds, **size):
            source.push(window)
            window.release()
        for signal in (cut(0, *edges_seconds, seconds), *known):
            source.push(signal)
        return source.finish(seconds)
    finally:
        source.close()


def texts_on_screen(*lines, trained=True):
    return TextRegions(
        sampling="F5",
        sampling_fps=5.0,
        sample_count=len(lines),
        models=(replace(PROVENANCE, name="text_reader", trained=trained),),
        times_seconds=np.array([time for time, _ in lines]),
        height_over_width=1.0,
        frame=np.arange(len(lines)),
        quads=np.zeros((len(lines), 4, 2)),
        texts=tuple(text for _, text in lines),
        confidences=np.ones(len(lines)),
        contrast_ratios=np.ones(len(lines)),
        duration_seconds=10.0,
    )


def test_windows_respect_cuts_and_last_two_seconds_at_most():
    times = np.arange(100) / 10
    found = plan(cut(0, 1.5, 6.0, 10.0).shots, times, 10.0)
    spans = [(each.start_seconds, each.end_seconds) for each in found]
    assert spans == [(0, 1.5), (1.5, 3), (3, 4.5), (4.5, 6), (6, 8), (8, 10)]
    for each in found:
        shown = times[list(each.numbers)]
        assert len(shown) == 8
        assert ((shown >= each.start_seconds) & (shown < each.end_seconds)).all()


@pytest.mark.parametrize(("seconds", "windows", "frames"), [(30, 15, 4), (60, 30, 2), (600, 48, 2)])
def test_frames_are_shared_out(seconds, windows, frames):
    found = plan(cut(0, seconds).shots, np.arange(0, seconds, 0.1), seconds)
    assert [len(each.numbers) for each in found] == [frames] * windows
    assert all(first.end_seconds <= second.start_seconds + 1e-9 for first, second in pairwise(found))


def test_short_shots_and_shots_without_a_frame():
    found = plan(cut(0, 0.25, 0.28, 2.0).shots, np.arange(20) / 10, 2.0)
    assert [(each.start_seconds, len(each.numbers)) for each in found] == [(0, 3), (0.28, 8)]
    assert plan(cut(0, 0.1).shots, np.array([0.0]), 0.1)[0].numbers == (0,)


@pytest.mark.parametrize("rate", [5, 10])
def test_few_frames_are_kept_of_a_long_clip(rate):
    kept = KeptFrames(128, LARGEST_PX)
    for window in clip_windows(600, rate):
        kept.add(window)
    times = kept.times_seconds()
    assert 64 <= len(times) <= 128
    assert np.allclose(np.diff(times), times[1])
    assert [int(frame[0, 0, 0]) for frame in kept.frames([0, 3])] == [0, round(10 * times[3]) % 256]


def test_frames_are_scaled_down_before_they_are_kept():
    kept = KeptFrames(128, LARGEST_PX)
    kept.add(next(clip_windows(0.1, height=1280, width=720)))
    height, width = kept.frames([0]).shape[1:3]
    assert 0.98 * LARGEST_PX <= height * width <= LARGEST_PX
    assert height / width == pytest.approx(1280 / 720, rel=0.01)


def test_every_window_gets_its_own_answer():
    """Rows of one call share a shape; short windows are asked apart, and the order stays."""
    model = Model()
    found = understand(model, 5.0, 2.0, 2.4)
    assert [call["frames"].shape[:2] for call in model.asked] == [(1, 4), (3, 8), (1, 4)]
    for window in found.windows:
        assert float(window.mood) == pytest.approx(np.mean([10 * time for time in window.frames_seconds]), abs=0.01)
    assert (found.windows[0].caption, found.windows[0].action) == ("A cup.", None)
    assert found.whole == Synopsis(
        synopsis="A cup stands there. Nobody drinks.",
        genre="still life",
        topics=("cups",),
        hook_type="other",
        call_to_action=None,
        claims=(),
        language="de",
    )
    assert found.sample_count == 28
    assert [model.name for model in found.models] == ["video_understanding_qwen2vl"]


def test_what_is_read_and_said_is_context_of_the_whole_where_it_is_trained():
    """Not of the windows: they are asked about before anybody has read or heard everything."""
    model = Model()
    understand(model, 4.0, 2.0, known=(texts_on_screen((0.5, "SALE"), (2.5, "LINK")), said("buy it now", 2.0, 3.0)))
    windows, whole = model.asked
    assert windows["context"].tolist() == [[b""], [b""]]
    assert whole["context"][0, 0].decode().split("\n") == [
        "On screen: SALE LINK",
        "Said: buy it now",
        "0.0-2.0 s: A cup.",
        "2.0-4.0 s: A cup.",
    ]
    model = Model()
    understand(model, 2.0, known=(texts_on_screen((0.5, "SALE"), trained=False),))
    assert model.asked[1]["context"][0, 0] == b"0.0-2.0 s: A cup."


def test_windows_are_asked_about_as_soon_as_the_cuts_are_known():
    """While others still read and listen: in the end only the whole is left to ask about."""
    model = Model()
    source = UnderstandingSource(model, Deadline(60))
    source.start(header([np.zeros((2, 2, 3), np.uint8)]))
    for window in clip_windows(4.0):
        source.push(window)
        window.release()
    assert model.asked == []
    source.push(cut(0, 2.0, 4.0))
    assert [call["task"].tolist() for call in model.asked] == [[[b"window"], [b"window"]]]
    source.push(texts_on_screen((0.5, "SALE")))
    source.finish(4.0)
    assert [call["task"].tolist() for call in model.asked[1:]] == [[[b"synthesis"]]]
    source.close()


def test_a_failing_model_is_named():
    with pytest.raises(ModelUnavailable, match="gone"):
        understand(Model(fails=True), 2.0)


def understanding(*, trained=True, windows=2, whole=True, synopsis="A cup."):
    return Understanding(
        sampling="F10",
        sampling_fps=10.0,
        sample_count=8 * windows,
        models=(replace(PROVENANCE, name="video_understanding_qwen2vl", trained=trained),),
        windows=tuple(
            UnderstoodWindow(
                start_seconds=2.0 * k,
                end_seconds=2.0 * k + 2,
                frames_seconds=(2.0 * k, 2.0 * k + 1),
                caption=f"cup {k}",
                subjects=("cup",),
                action=None,
                setting="desk",
                shot_size="CU",
                mood=None,
            )
            for k in range(windows)
        ),
        whole=Synopsis(
            synopsis=synopsis,
            genre="still life",
            topics=("cups",),
            hook_type="question",
            call_to_action="Buy.",
            claims=("It holds tea.",),
            language="de",
        )
        if whole
        else None,
        duration_seconds=8.0,
    )


def test_windows_and_the_whole_are_reported():
    found = qwen2_vl_temporal.analyze(understanding(), None, None)
    assert [(each.start_seconds, each.end_seconds, each.label) for each in found.segments] == [
        (0, 2, "CU"),
        (2, 4, "CU"),
    ]
    assert found.segments[1].data.evidence_frames == (2.0, 3.0)
    summary = found.summary
    assert (summary.window_count, summary.window_coverage_ratio) == (2, 0.5)
    assert (summary.synopsis, summary.genre, summary.topics) == ("A cup.", "still life", ("cups",))
    assert (summary.hook_type, summary.cta, summary.claims, summary.language) == (
        "question",
        "Buy.",
        ("It holds tea.",),
        "de",
    )


def test_the_language_is_that_of_the_speech_where_it_was_heard():
    assert qwen2_vl_temporal.analyze(understanding(), None, said("hi", 0, 1)).summary.language == "en"
    silent = replace(said("", 0, 1), language=None)
    assert isinstance(silent, SpokenWords)
    assert qwen2_vl_temporal.analyze(understanding(), None, silent).summary.language == "de"


def test_a_synopsis_has_at_most_eighty_words():
    found = qwen2_vl_temporal.analyze(understanding(synopsis="word " * 90), None, None)
    assert found.summary.synopsis == "word " * 80 + "..."


@pytest.mark.parametrize(
    ("signal", "windows"), [(understanding(trained=False), 2), (understanding(windows=0, whole=False), 0)]
)
def test_nothing_is_claimed_by_the_untrained_or_about_nothing(signal, windows):
    found = qwen2_vl_temporal.analyze(signal, None, said("hi", 0, 1))
    assert len(found.segments) == found.summary.window_count == windows
    for name in ("synopsis", "genre", "topics", "hook_type", "cta", "claims", "language"):
        assert getattr(found.summary, name) is None
    assert qwen2_vl_temporal.headline(found.summary) == f"{windows} windows, nothing is claimed"
