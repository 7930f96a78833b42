"""Eye tracking on heads in space: blinks, contact, directions; what is not seen is null; nothing unclaimed."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import get_args

import heads
import numpy as np
import pytest
from envelope import violations, written
from heads import View

from reelscope import check
from reelscope.analyzers import eye_tracking, eyes

BLINKS = (0.73, 3.31, 5.02, 8.48, 11.27, 14.96, 17.55)
"""Middles of seven blinks within 20 s, at no instant that is sampled."""
BLINK_WIDTH_SECONDS = 0.15


@functools.cache
def points(view):
    return view.points()


def follow(faces, views, trained=True):
    return eye_tracking.analyze(faces, heads.landmarks([points(view)[0] for view in views], trained))


def only(finding):
    (segment,) = finding.segments
    return segment.data


def openness(times, width_seconds=BLINK_WIDTH_SECONDS, middles=BLINKS):
    """Eyes that close to a tenth and open again; `width_seconds` is that of the dip at half its depth."""
    dips = [np.exp(-4 * np.log(2) * ((times - middle) / width_seconds) ** 2) for middle in middles]
    return (1 - 0.9 * np.max(dips, axis=0)).round(3)


def blinking(fps, seconds=20, **options):
    times = np.arange(round(seconds * fps)) / fps
    return heads.faces(range(len(times)), fps=fps), [View(openness=value) for value in openness(times, **options)]


@pytest.mark.parametrize("fps", [10, 15, 30])
@pytest.mark.parametrize("shift_seconds", [0.0, 0.013, 0.029, 0.048, 0.071])
def test_seven_blinks(fps, shift_seconds):
    middles = np.add(BLINKS, shift_seconds)
    finding = follow(*blinking(fps, middles=middles))
    assert only(finding).blink_times_seconds == pytest.approx(middles, abs=0.5 * BLINK_WIDTH_SECONDS + 1 / fps)
    assert finding.summary.blinks_per_minute == pytest.approx(21)


def test_too_few_frames_to_see_blinks():
    finding = follow(*blinking(5))
    assert only(finding).blink_times_seconds is None
    assert finding.summary.blinks_per_minute is None
    assert finding.summary.eye_contact_ratio is not None


def test_too_short_for_a_rate_of_blinks():
    finding = follow(*blinking(10, seconds=4.9))
    assert len(only(finding).blink_times_seconds) == 2
    assert finding.summary.blinks_per_minute is None


@pytest.mark.parametrize(("fps", "closed", "counted"), [(10, 1, True), (10, 4, True), (10, 5, False), (30, 12, True)])
def test_what_is_a_blink(fps, closed, counted):
    ratios = np.full(10 * fps, 0.3)
    ratios[fps : fps + closed] = 0.1
    found = eyes.blinks(np.arange(10 * fps) / fps, ratios, 1 / fps)
    assert found == ((1.0,) if counted else ())


def test_a_flicker_is_no_blink():
    """33 ms are shorter than any blink."""
    ratios = np.full(300, 0.3)
    ratios[100] = 0.1
    assert eyes.blinks(np.arange(300) / 30, ratios, 1 / 30) == ()


def test_half_seen_blinks_do_not_count():
    """At the ends of a track, or around a gap, nobody knows how long the eyes were closed."""
    times = np.array([*range(20), *range(23, 40)]) / 10
    ratios = np.full(37, 0.3)
    ratios[[0, 18, 19, 36]] = 0.1
    assert eyes.blinks(times, ratios, 0.1) == ()
    ratios[10] = 0.1
    assert eyes.blinks(times, ratios, 0.1) == (1.0,)
    ratios[11] = np.nan
    assert eyes.blinks(times, ratios, 0.1) == ()


def test_no_openness_at_all():
    assert eyes.blinks(np.arange(5) / 10, np.full(5, np.nan), 0.1) == ()


@pytest.mark.parametrize(
    ("gaze", "direction"),
    [
        ((0, 0), "camera"),
        ((8, 5), "camera"),
        ((-20, 3), "left"),
        ((20, 3), "right"),
        ((2, 18), "up"),
        ((2, -18), "down"),
    ],
)
@pytest.mark.parametrize("head", [(0, 0, 0), (20, 5, 10), (-20, -5, -10)])
def test_where_somebody_looks(gaze, direction, head):
    """Whichever way the head is turned."""
    yaw, pitch, roll = head
    finding = follow(heads.faces(range(5)), [View(yaw=yaw, pitch=pitch, roll=roll, gaze=gaze)] * 5)
    data = only(finding)
    assert data.yaw_degrees == pytest.approx([gaze[0]] * 5, abs=3)
    assert data.pitch_degrees == pytest.approx([gaze[1]] * 5, abs=3)
    assert data.head_yaw_pitch_roll_degrees[0] == pytest.approx(head, abs=3)
    assert set(data.is_contact) == {direction == "camera"}
    assert finding.summary.gaze_directions == dict.fromkeys(get_args(eye_tracking.Direction), 0) | {direction: 1}
    assert data.source == finding.summary.source == "landmarks_and_head_pose"


def test_contact_over_time():
    """6 s: at the viewer, 2 s aside, and back."""
    aside, at_viewer = View(gaze=(25, 0)), View()
    views = [at_viewer] * 20 + [aside] * 20 + [at_viewer] * 20
    finding = follow(heads.faces(range(60)), views)
    assert finding.summary.eye_contact_ratio == pytest.approx(2 / 3)
    assert finding.summary.contact_first_3_seconds_ratio == pytest.approx(2 / 3)
    assert only(finding).eye_contact_ratio == pytest.approx(2 / 3)
    assert finding.summary.gaze_directions["right"] == pytest.approx(1 / 3)
    assert finding.series.columns["contact"][::20] == (1, 0, 1)
    assert eye_tracking.headline(finding.summary) == "looks at the viewer 67% of the time, 0 blinks a minute"


def test_somebody_who_comes_late():
    finding = follow(heads.faces(range(40, 60)), [View()] * 20)
    assert finding.summary.contact_first_3_seconds_ratio is None
    assert finding.summary.eye_contact_ratio == 1


def test_closed_eyes_look_nowhere():
    views = [View()] * 8 + [View(openness=0.2)] * 2
    data = only(follow(heads.faces(range(10)), views))
    assert data.yaw_degrees[8:] == data.pitch_degrees[8:] == data.is_contact[8:] == (None, None)
    assert None not in data.eye_aspect_ratio
    assert data.eye_contact_ratio == 1


def test_boxes_end_at_the_frame():
    faces = heads.faces(range(5))
    beyond = replace(faces, boxes_xyxy=faces.boxes_xyxy - (0.9, 0, 0.3, 0))
    data = only(follow(beyond, [View()] * 5))
    assert data.boxes_xyxy == pytest.approx(beyond.boxes_xyxy.clip(0, 1), abs=1e-4)
    assert {box[0] for box in data.boxes_xyxy} == {0.0}
    assert len(data.boxes_xyxy) == len(data.times_seconds) == 5


@pytest.mark.parametrize("yaw", [60, -60, 80])
def test_profiles_are_null(yaw):
    finding = follow(heads.faces(range(5)), [View(yaw=yaw, gaze=(yaw, 0))] * 5)
    data = only(finding)
    nothing = (None,) * 5
    assert data.yaw_degrees == data.pitch_degrees == data.eye_aspect_ratio == data.is_contact == nothing
    assert data.eye_contact_ratio is None
    summary = finding.summary
    assert (summary.eye_contact_ratio, summary.contact_first_3_seconds_ratio) == (None, None)
    assert (summary.blinks_per_minute, summary.gaze_directions) == (None, None)
    assert finding.series.columns["yaw_deg"] == nothing
    assert eye_tracking.headline(summary) == "no gaze to judge"


def test_small_faces_are_null():
    finding = follow(heads.faces(range(5), boxes_px=[(300, 500, 360, 590)] * 5), [View()] * 5)
    assert only(finding).yaw_degrees == (None,) * 5
    assert finding.summary.eye_contact_ratio is None


def test_a_mirror_negates_yaw_and_swaps_left_and_right():
    rng = np.random.default_rng(4)
    views = [
        View(yaw=yaw, pitch=pitch, gaze=(yaw + 10 * rng.normal(), pitch), person=3)
        for yaw, pitch in zip(rng.uniform(-35, 35, 40), rng.uniform(-10, 10, 40), strict=True)
    ]
    landmarks = [points(view)[0] for view in views]
    faces = heads.faces(range(40))
    first, second = (
        eye_tracking.analyze(faces, heads.landmarks(found))
        for found in (landmarks, [heads.mirrored(found) for found in landmarks])
    )
    one, other = only(first), only(second)
    known = [k for k, yaw in enumerate(one.yaw_degrees) if yaw is not None]
    assert len(known) > 30
    assert [other.yaw_degrees[k] for k in known] == pytest.approx([-one.yaw_degrees[k] for k in known], abs=3)
    assert [other.pitch_degrees[k] for k in known] == pytest.approx([one.pitch_degrees[k] for k in known], abs=3)
    assert one.is_contact == other.is_contact
    shares, mirrored = first.summary.gaze_directions, second.summary.gaze_directions
    assert shares["left"] > 0
    assert shares["right"] > 0
    assert mirrored == pytest.approx(shares | {"left": shares["right"], "right": shares["left"]})


def test_two_people():
    """The nearer one looks at the viewer, the other aside; the curves are those of the nearer one."""
    frame, ids = np.repeat(np.arange(60), 2), np.tile([0, 1], 60)
    boxes = np.tile([(0, 0, 150, 200), (300, 0, 500, 260)], (60, 1))
    finding = follow(heads.faces(frame, ids, boxes_px=boxes), [View(gaze=(-25, 0)), View()] * 60)
    ratios = {segment.track_id: segment.data.eye_contact_ratio for segment in finding.segments}
    assert ratios == {"face-1": 0, "face-2": 1}
    assert finding.summary.eye_contact_ratio == pytest.approx(0.5)
    assert finding.summary.blinks_per_minute == 0
    assert set(finding.series.columns["contact"]) == {1}


def test_long_clips_list_every_second_face():
    finding = follow(heads.faces(range(3500)), [View()] * 3500)
    data = only(finding)
    assert len(data.times_seconds) == len(data.yaw_degrees) == len(data.head_yaw_pitch_roll_degrees) == 1750
    assert finding.summary.eye_contact_ratio == 1


def test_nobody():
    finding = follow(heads.faces([], frame_count=10), [])
    assert finding.segments == ()
    assert (finding.summary.eye_contact_ratio, finding.summary.gaze_directions) == (None, None)
    assert finding.summary.blinks_per_minute is None


def test_one_frame():
    finding = follow(heads.faces([0]), [View()])
    assert only(finding).is_contact == (True,)
    assert finding.summary.contact_first_3_seconds_ratio == 1
    assert finding.summary.blinks_per_minute is None


@pytest.mark.parametrize(("detector", "network"), [(False, True), (True, False)])
def test_random_weights_claim_nothing(detector, network):
    """Landmarks anywhere at all: reported, and nothing made of them."""
    faces = heads.faces(range(60), trained=detector)
    anywhere = np.random.default_rng(5).uniform(0, 700, (60, 106, 2))
    finding = eye_tracking.analyze(faces, heads.landmarks(anywhere, network))
    assert len(finding.segments) == 1, "reported"
    summary = finding.summary
    assert (summary.eye_contact_ratio, summary.contact_first_3_seconds_ratio) == (None, None)
    assert (summary.blinks_per_minute, summary.gaze_directions) == (None, None)
    assert summary.sensitive is True


@pytest.fixture
def values():
    faces = heads.faces(range(60))
    landmarks = heads.landmarks([points(View(gaze=(20, 0)))[0]] * 50 + [points(View(yaw=70))[0]] * 10)
    finding = eye_tracking.analyze(faces, landmarks)
    both = replace(landmarks, models=faces.models + landmarks.models)
    tracks = tuple(track for track, _ in faces.tracks())
    return written(eye_tracking.ANALYZER, finding, both, faces.duration_seconds, faces=tracks)


def test_what_is_written(values, monkeypatch):
    found = values["analyzers"]["eye_tracking"]
    data = found["segments"][0]["data"]
    assert {"yaw_deg", "pitch_deg", "ear", "contact", "head_ypr", "t", "source"} <= set(data)
    assert data["contact"][0] is False
    assert data["contact"][-1] is None
    assert set(found["summary"]) == {
        *("eye_contact_ratio", "contact_first3s", "blinks_per_min", "gaze_directions"),
        *("source", "sensitive", "opt_out"),
    }
    assert found["summary"]["sensitive"] is True
    assert found["summary"]["source"] == "landmarks_and_head_pose"
    assert violations(values, eye_tracking.ANALYZER, monkeypatch) == []
    data["t"][-1] = 7.5
    assert "I9" in {violation.invariant for violation in violations(values, eye_tracking.ANALYZER, monkeypatch)}
    assert eye_tracking.ANALYZER.is_biometric


def test_a_summary_of_random_weights_that_claims_is_found(values, monkeypatch):
    found = values["analyzers"]["eye_tracking"]
    found["models"][1]["trained"] = False
    found["warnings"] = ["untrained_model:face_landmarks"]
    (violation,) = violations(values, eye_tracking.ANALYZER, monkeypatch)
    assert violation.invariant == "I4"
    assert "eye_contact_ratio" in violation.message
    assert "sensitive" not in violation.message


def test_gaze_of_a_flipped_twin(values):
    twin = {**values, "analyzers": {"eye_tracking": {**values["analyzers"]["eye_tracking"]}}}
    assert check.check_twin(values, twin, is_flipped=False) == []
    assert [violation.where for violation in check.check_twin(values, twin, is_flipped=True)] == [
        "eye_tracking.series.yaw_deg"
    ]
    columns = values["analyzers"]["eye_tracking"]["series"]["cols"]
    negated = [None if yaw is None else -yaw for yaw in columns["yaw_deg"]]
    twin["analyzers"]["eye_tracking"]["series"] = {"cols": columns | {"yaw_deg": negated}}
    assert check.check_twin(values, twin, is_flipped=True) == []
