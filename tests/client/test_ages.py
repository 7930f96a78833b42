"""Age estimation on injected ages: percentiles, what counts as an observation, groups, what is not claimed."""

from __future__ import annotations

from dataclasses import replace

import heads
import numpy as np
import pytest
from envelope import violations, written
from heads import View

from reelscope.analyzers import age_estimation
from reelscope.analyzers.age_estimation import AGE_GROUPS, age_group

NULL = {"age_years": None, "p10": None, "p90": None, "gender_presented": None, "n_obs": 0}


def judge(faces, ages, is_male=None, trained=True):
    return age_estimation.analyze(faces, heads.attributes(ages, is_male, trained))


def only(finding):
    (segment,) = finding.segments
    return segment.data


def box(size_px, at=(300, 500)):
    """A box whose shorter side is this long."""
    return (*at, at[0] + size_px, at[1] + 1.3 * size_px)


def test_median_and_percentiles_of_a_track():
    ages = np.random.default_rng(1).normal(34, 6, 21)
    data = only(judge(heads.faces(range(21)), ages, np.arange(21) % 3 == 0))
    assert data.age_years == pytest.approx(np.sort(ages)[10])
    assert data.age_p10_years == pytest.approx(np.sort(ages)[2])
    assert data.age_p90_years == pytest.approx(np.sort(ages)[18])
    assert data.observation_count == 21
    assert data.gender_presented.label == "female"
    assert data.gender_presented.score == pytest.approx(2 / 3)


def test_one_wild_age_moves_nothing():
    ages = [30.0] * 20 + [80.0]
    assert only(judge(heads.faces(range(21)), ages)).age_years == 30


@pytest.mark.parametrize(("size_px", "seen"), [(20, 0), (31, 0), (63, 0), (65, 10), (300, 10)])
def test_small_faces_are_not_judged(size_px, seen):
    finding = judge(heads.faces(range(10), boxes_px=[box(size_px)] * 10), [25] * 10)
    data = only(finding)
    assert data.observation_count == seen
    assert data.age_years == (25 if seen else None)
    assert finding.summary.persons == (1 if seen else 0)


@pytest.mark.parametrize(("yaw", "seen"), [(0, True), (38, True), (-38, True), (55, False), (-55, False), (80, False)])
def test_faces_turned_away_are_not_judged(yaw, seen):
    keypoints = View(yaw=yaw).points()[1]
    assert only(judge(heads.faces(range(5), keypoints_px=keypoints), [25] * 5)).observation_count == 5 * seen


def test_doubtful_faces_are_not_judged():
    faces = heads.faces(range(4), scores=[0.55, 0.65, 0.59, 0.9])
    assert only(judge(faces, [10, 20, 30, 40])).observation_count == 2
    assert only(judge(faces, [10, 20, 30, 40])).age_years == 30


def test_an_age_that_is_no_number_is_no_observation():
    data = only(judge(heads.faces(range(4)), [30, np.nan, np.inf, 30]))
    assert (data.age_years, data.observation_count) == (30, 2)
    finding = judge(heads.faces([0]), [np.nan])
    assert (only(finding).age_years, only(finding).gender_presented, finding.summary.persons) == (None, None, 0)


def test_only_good_views_count_for_the_age():
    """A child who comes closer: the first small views are judged as an adult's, and do not matter."""
    boxes = [box(size) for size in np.linspace(20, 140, 13)]
    ages = [40.0 if size < 64 else 6.0 for size in np.linspace(20, 140, 13)]
    data = only(judge(heads.faces(range(13), boxes_px=boxes), ages))
    assert (data.age_years, data.age_p90_years, data.observation_count) == (6, 6, 8)


@pytest.mark.parametrize(
    ("age", "group"),
    [
        *((0, "0-12"), (12.9, "0-12"), (13, "13-17"), (17.9, "13-17"), (18, "18-24")),
        *((24.5, "18-24"), (64.9, "55-64"), (65, "65+"), (99, "65+")),
    ],
)
def test_age_groups(age, group):
    assert age_group(age) == group


def test_people_in_aggregate():
    frame = [0, 0, 0, 1, 1, 2]
    faces = heads.faces(frame, [0, 1, 2, 0, 1, 0], boxes_px=[box(100), box(90), box(40), *[box(100)] * 3])
    finding = judge(faces, [20, 70, 30, 22, 72, 24], [True, False, True, True, False, True])
    assert [segment.track_id for segment in finding.segments] == ["face-1", "face-2", "face-3"]
    assert [segment.data.age_years for segment in finding.segments] == [22, 71, None]
    assert finding.summary.persons == 2
    assert finding.summary.age_groups == dict.fromkeys(AGE_GROUPS, 0) | {"18-24": 1, "65+": 1}
    assert finding.segments[0].data.gender_presented.label == "male"
    assert age_estimation.headline(finding.summary) == "1 of apparent age 18-24, 1 of apparent age 65+"


def test_a_mirror_changes_no_age():
    """The same ages of mirrored views: whatever is an observation stays one."""
    rng = np.random.default_rng(3)
    views = [View(yaw=yaw, pitch=5, roll=yaw / 4, person=7).points()[1] for yaw in np.linspace(-70, 70, 29)]
    ages = rng.normal(40, 1, 29)
    faces = heads.faces(range(29), keypoints_px=np.array(views))
    mirrored = heads.faces(range(29), keypoints_px=np.array([heads.mirrored_keypoints(view) for view in views]))
    first, second = only(judge(faces, ages)), only(judge(mirrored, ages))
    assert 0 < first.observation_count == second.observation_count < 29
    assert abs(first.age_years - second.age_years) <= 2


def test_nobody():
    finding = judge(heads.faces([], frame_count=10), [])
    assert finding.segments == ()
    assert finding.summary.persons == 0
    assert sum(finding.summary.age_groups.values()) == 0
    assert age_estimation.headline(finding.summary) == "no face to judge"


def test_one_frame():
    data = only(judge(heads.faces([0]), [33]))
    assert (data.age_p10_years, data.age_years, data.age_p90_years, data.observation_count) == (33, 33, 33, 1)


def test_faces_without_a_track_are_not_people():
    assert judge(heads.faces([0, 1], [-1, -1]), [30, 30]).segments == ()


@pytest.mark.parametrize(("detector", "network"), [(False, True), (True, False)])
def test_random_weights_claim_nothing(detector, network):
    finding = judge(heads.faces(range(5), trained=detector), [30] * 5, trained=network)
    assert len(finding.segments) == 1, "reported"
    assert (finding.summary.persons, finding.summary.age_groups) == (None, None)
    assert finding.summary.sensitive is True
    assert age_estimation.headline(finding.summary) == "random weights: nothing is claimed"


def test_what_is_written(monkeypatch):
    faces = heads.faces([0, 0, 1], [0, 1, 0], boxes_px=[box(100), box(20, at=(10, 10)), box(100)])
    attributes = heads.attributes([30, 50, 32])
    finding = age_estimation.analyze(faces, attributes)
    both = replace(attributes, models=faces.models + attributes.models)
    tracks = tuple(track for track, _ in faces.tracks())
    values = written(age_estimation.ANALYZER, finding, both, faces.duration_seconds, faces=tracks)
    found = values["analyzers"]["age_estimation"]
    data = [segment["data"] for segment in found["segments"]]
    gender = {"label": "female", "score": 1.0}
    assert {"age_years": 31.0, "p10": 30.2, "p90": 31.8, "gender_presented": gender, "n_obs": 2} in data
    assert NULL in data
    assert found["summary"]["sensitive"] is True
    assert "--no-biometrics" in found["summary"]["opt_out"]
    assert found["params"]["age_groups"] == "0-12 13-17 18-24 25-34 35-44 45-54 55-64 65+"
    assert violations(values, age_estimation.ANALYZER, monkeypatch) == []
    found["segments"][0]["track_id"] = None
    assert "I9" in {violation.invariant for violation in violations(values, age_estimation.ANALYZER, monkeypatch)}
    assert age_estimation.ANALYZER.is_biometric
