"""Face emotion on injected expressions: shares, smoothing, transitions and peaks in closed form; nothing unclaimed."""

from __future__ import annotations

import itertools
from dataclasses import replace

import heads
import numpy as np
import pytest
from envelope import violations, written

from reelscope.analyzers import face_emotion
from reelscope.analyzers.face_emotion import SMOOTHING_SECONDS, smooth
from reelscope.signals import EXPRESSIONS

NEUTRAL, HAPPY, SAD = (np.eye(8)[EXPRESSIONS.index(name)] for name in ("neutral", "happy", "sad"))


def read(faces, probabilities, valence=None, trained=True):
    return face_emotion.analyze(faces, heads.expressions(np.array(probabilities).reshape(-1, 8), valence, trained))


def crossing(fps):
    """Samples until a new expression is dominant: the smoothed one passes 1/2 after ln 2 time constants."""
    return int(np.ceil(np.log(2) * SMOOTHING_SECONDS * fps)) - 1


def test_smoothing_is_a_mean_over_time_not_over_samples():
    """After a step, 63 % has arrived one time constant later, at any rate; the first value stands for itself."""
    for fps in (5, 10, 30):
        times = np.arange(3 * fps) / fps
        values = smooth(times, (times >= 1).astype(float)[:, None])[:, 0]
        assert values[0] == 0
        last_before = times[times < 1][-1]
        assert values[times >= 1] == pytest.approx(1 - np.exp(-(times[times >= 1] - last_before) / SMOOTHING_SECONDS))


@pytest.mark.parametrize("fps", [5, 10])
def test_shares_transitions_and_spans(fps):
    """2 s neutral, 3 s happy, 1 s sad: each arrives after a time constant times ln 2."""
    counts = (2 * fps, 3 * fps, fps)
    finding = read(heads.faces(range(6 * fps), fps=fps), np.repeat([NEUTRAL, HAPPY, SAD], counts, axis=0))
    late = crossing(fps)
    edges = np.array([0, 2 * fps + late, 5 * fps + late, 6 * fps]) / fps
    assert [segment.label for segment in finding.segments] == ["neutral", "happy", "sad"]
    assert [segment.start_seconds for segment in finding.segments] == pytest.approx(edges[:-1])
    assert [segment.end_seconds for segment in finding.segments] == pytest.approx(edges[1:])
    share = dict.fromkeys(EXPRESSIONS, 0.0) | dict(zip(("neutral", "happy", "sad"), np.diff(edges) / 6, strict=True))
    assert finding.summary.time_share == pytest.approx(share)
    assert sum(finding.summary.time_share.values()) == pytest.approx(1)
    assert finding.summary.smile_ratio == pytest.approx(share["happy"])
    assert finding.summary.transitions == 2
    assert finding.summary.face_screen_time_seconds == pytest.approx(6)


def test_the_peak_is_where_an_expression_is_strongest():
    mixed = 0.6 * HAPPY + 0.4 * NEUTRAL
    finding = read(heads.faces(range(60)), np.repeat([NEUTRAL, mixed, NEUTRAL], 20, axis=0))
    assert finding.summary.peak.label == "happy"
    assert finding.summary.peak.time_seconds == pytest.approx(3.9), "the last instant of the smile"
    smile = next(segment for segment in finding.segments if segment.label == "happy")
    assert smile.data.intensity == pytest.approx(1 - smile.data.probabilities[0])
    assert smile.score == pytest.approx(smile.data.probabilities[1])
    assert sum(smile.data.probabilities) == pytest.approx(1)


def test_a_neutral_face_has_no_peak():
    finding = read(heads.faces(range(20)), [0.8 * NEUTRAL + 0.2 * SAD] * 20)
    assert finding.summary.peak is None
    assert finding.summary.transitions == 0
    assert finding.summary.smile_ratio == 0
    (segment,) = finding.segments
    assert segment.data.intensity == pytest.approx(0.2)


def test_one_stray_frame_changes_nothing():
    probabilities = np.array([NEUTRAL] * 30)
    probabilities[15] = HAPPY
    assert read(heads.faces(range(30)), probabilities).summary.transitions == 0


def test_a_face_that_was_away_begins_anew():
    """0.6 s out of sight: the track goes on, but no span reaches over the gap, and nothing of before is left."""
    frame = [*range(10), *range(16, 26)]
    finding = read(heads.faces(frame), [HAPPY] * 10 + [SAD] * 10)
    assert [(s.label, s.start_seconds, s.end_seconds) for s in finding.segments] == [
        ("happy", 0.0, pytest.approx(1.0)),
        ("sad", pytest.approx(1.6), pytest.approx(2.6)),
    ]
    assert finding.segments[1].data.probabilities == pytest.approx(SAD)
    assert finding.summary.face_screen_time_seconds == pytest.approx(2.0)
    assert finding.summary.transitions == 1


def test_two_faces_at_once():
    """Shares count both, screen time and smiles once."""
    frame, ids = np.repeat(np.arange(20), 2), np.tile([0, 1], 20)
    finding = read(heads.faces(frame, ids), np.tile([HAPPY, SAD], (20, 1)))
    assert finding.summary.time_share["happy"] == pytest.approx(0.5)
    assert finding.summary.smile_ratio == pytest.approx(1)
    assert finding.summary.face_screen_time_seconds == pytest.approx(2)
    assert {segment.track_id: segment.label for segment in finding.segments} == {"face-1": "happy", "face-2": "sad"}


def test_valence_and_arousal():
    valence = [0.2, 0.4, np.nan, 0.6]
    (segment,) = read(heads.faces(range(4)), [HAPPY] * 4, valence).segments
    assert segment.data.valence == pytest.approx(0.4)
    assert segment.data.arousal == pytest.approx(0.2)
    (segment,) = read(heads.faces(range(4)), [HAPPY] * 4).segments
    assert (segment.data.valence, segment.data.arousal) == (None, None)


def test_area_is_that_within_the_picture():
    boxes = [(-180, 0, 180, 640)] * 3
    (segment,) = read(heads.faces(range(3), boxes_px=boxes), [HAPPY] * 3).segments
    assert segment.data.face_area_percent == pytest.approx(12.5)


def test_small_faces_are_seen_but_not_judged():
    boxes = [(300, 500, 330, 545)] * 10
    finding = read(heads.faces(range(10), boxes_px=boxes), [HAPPY] * 10)
    assert finding.segments == ()
    assert finding.summary.time_share is None
    assert finding.summary.smile_ratio is None
    assert finding.summary.face_screen_time_seconds == pytest.approx(1)
    assert face_emotion.headline(finding.summary) == "no face to judge"


def test_a_face_without_numbers_is_not_judged_and_spoils_no_other():
    finding = read(heads.faces(range(7)), [HAPPY, HAPPY, HAPPY, np.full(8, np.nan), HAPPY, HAPPY, HAPPY])
    assert [(each.start_seconds, each.label, each.score) for each in finding.segments] == [
        (0.0, "happy", 1.0),
        (pytest.approx(0.4), "happy", 1.0),
    ]
    assert finding.summary.time_share["happy"] == 1
    assert finding.series.columns["happy"][3] is None
    assert read(heads.faces([0]), [np.full(8, np.nan)]).segments == ()


def test_curves_of_the_largest_face():
    frame, ids = [0, 0, 2], [0, 1, 0]
    boxes = [(0, 0, 100, 100), (200, 0, 400, 200), (0, 0, 100, 100)]
    series = read(heads.faces(frame, ids, boxes_px=boxes), [SAD, HAPPY, SAD], [-1, 1, -1]).series
    assert series.columns["t"] == pytest.approx((0, 0.1, 0.2))
    assert series.columns["happy"] == (1, None, 0)
    assert series.columns["valence"] == (1, None, -1)
    assert series.columns["intensity"] == (1, None, 1)


def test_a_mirror_changes_nothing():
    """Boxes move to the other side; what is said of the faces stays, but for rounding."""
    rng = np.random.default_rng(2)
    probabilities = rng.dirichlet(np.ones(8), 40)
    boxes = np.array([(100 + 5 * k, 300, 260 + 5 * k, 500) for k in range(40)])
    mirrored = np.column_stack([heads.WIDTH - boxes[:, 2], boxes[:, 1], heads.WIDTH - boxes[:, 0], boxes[:, 3]])
    first, second = (read(heads.faces(range(40), boxes_px=found), probabilities) for found in (boxes, mirrored))
    assert first.summary == second.summary
    for one, other in zip(first.segments, second.segments, strict=True):
        distance = np.abs(np.subtract(one.data.probabilities, other.data.probabilities)).sum()
        assert distance <= 0.2
        assert one.data.face_area_percent == pytest.approx(other.data.face_area_percent)


def test_nobody():
    finding = read(heads.faces([], frame_count=10), [])
    assert finding.segments == ()
    assert finding.summary.time_share is None
    assert finding.summary.peak is None
    assert finding.summary.face_screen_time_seconds == 0
    assert finding.summary.transitions == 0
    assert finding.series.columns["happy"] == (None,) * 10


def test_one_frame():
    finding = read(heads.faces([0]), [HAPPY])
    assert [(s.label, s.start_seconds, s.end_seconds) for s in finding.segments] == [("happy", 0.0, 0.1)]
    assert finding.summary.peak.time_seconds == 0


@pytest.mark.parametrize(("detector", "network"), [(False, True), (True, False)])
def test_random_weights_claim_nothing(detector, network):
    finding = read(heads.faces(range(5), trained=detector), [HAPPY] * 5, trained=network)
    assert len(finding.segments) == 1, "reported"
    summary = finding.summary
    assert (summary.time_share, summary.smile_ratio, summary.transitions, summary.peak) == (None,) * 4
    assert summary.face_screen_time_seconds is None
    assert summary.sensitive is True
    assert face_emotion.headline(summary) == "random weights: nothing is claimed"


def test_what_is_written(monkeypatch):
    faces = heads.faces([*range(20), *range(25, 40)])
    expressions = heads.expressions(np.repeat([NEUTRAL, HAPPY, SAD], (10, 10, 15), axis=0), [0.5] * 35)
    finding = face_emotion.analyze(faces, expressions)
    both = replace(expressions, models=faces.models + expressions.models)
    tracks = tuple(track for track, _ in faces.tracks())
    values = written(face_emotion.ANALYZER, finding, both, faces.duration_seconds, faces=tracks)
    found = values["analyzers"]["face_emotion"]
    assert set(found["segments"][0]["data"]) == {
        *("probs", "dominant", "intensity", "valence", "arousal", "face_area_pct"),
    }
    assert set(found["summary"]) == {
        *("time_share", "smile_ratio", "transitions", "peak", "face_screen_time_s", "sensitive", "opt_out"),
    }
    assert set(found["summary"]["peak"]) == {"label", "t"}
    assert found["summary"]["sensitive"] is True
    assert violations(values, face_emotion.ANALYZER, monkeypatch) == []
    spans = [(segment["start"], segment["end"]) for segment in found["segments"]]
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(spans))
    found["segments"][-1]["track_id"] = "face-7"
    assert "I9" in {violation.invariant for violation in violations(values, face_emotion.ANALYZER, monkeypatch)}
    found["segments"][-1] |= {"track_id": "face-1", "data": found["segments"][-1]["data"] | {"probs": [1.5] + [0] * 7}}
    assert "I3" in {violation.invariant for violation in violations(values, face_emotion.ANALYZER, monkeypatch)}
    assert face_emotion.ANALYZER.is_biometric
