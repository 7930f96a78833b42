"""Body pose on analytic skeletons: angles, posture, gestures, energy, dance; who is who; what is not claimed."""

from __future__ import annotations

import json

import numpy as np
import pytest
from envelope import violations, written
from feeding import cut
from skeletons import HEIGHT_OVER_WIDTH, TORSO, K, box, poses, skeleton, tracks

from reelscope import schema
from reelscope.analyzers import body_pose
from reelscope.analyzers.body_geometry import JOINTS
from reelscope.analyzers.body_pose import GestureData, PersonData
from reelscope.signals import KEYPOINTS

RATES = (10, 5)


def seen(frames, rate=10, objects=None, shots=None, **options):
    return body_pose.analyze(poses(frames, rate, **options), objects, shots)


def persons(finding):
    return [segment for segment in finding.segments if isinstance(segment.data, PersonData)]


def gestures(finding):
    return [segment for segment in finding.segments if isinstance(segment.data, GestureData)]


def person(finding) -> PersonData:
    (only,) = persons(finding)
    return only.data


def made(finding):
    return [(segment.data.gesture, segment.data.side) for segment in gestures(finding)]


def hide(keypoints, *names):
    hidden = keypoints.copy()
    hidden[[K[name] for name in names], 2] = 0.1
    return hidden


def flipped(keypoints):
    """What a mirror shows: left and right change places."""
    mirrored = keypoints.copy()
    mirrored[:, 0] = 1 - mirrored[:, 0]
    partner = {"left": "right", "right": "left"}
    order = [K[f"{partner[name.split('_')[0]]}_{name.split('_')[1]}"] if "_" in name else K[name] for name in KEYPOINTS]
    return mirrored[order]


def between(first, second):
    """Degrees between two directions, 0-180."""
    return abs((first - second + 180) % 360 - 180)


@pytest.mark.parametrize(
    "limbs",
    [
        {"torso": 180, "upper_arm": 0, "forearm": 0, "thigh": 0, "shin": 0},
        {"torso": 180, "upper_arm": 30, "forearm": 90, "thigh": 80, "shin": 0},
        {"torso": 165, "upper_arm": 120, "forearm": 45, "thigh": -45, "shin": 20},
        {"torso": 200, "upper_arm": 90, "forearm": -30, "thigh": 110, "shin": -10},
        {"torso": 91, "upper_arm": 178, "forearm": 175, "thigh": -89, "shin": -91},
    ],
)
def test_joint_angles(limbs):
    angles = person(seen([[skeleton(**limbs)]] * 3)).angles_degrees
    expected = {
        "elbow": 180 - between(limbs["forearm"], limbs["upper_arm"]),
        "shoulder": between(limbs["upper_arm"], limbs["torso"] + 180),
        "hip": between(limbs["thigh"], limbs["torso"]),
        "knee": 180 - between(limbs["shin"], limbs["thigh"]),
    }
    assert set(angles) == set(JOINTS)
    for name, values in angles.items():
        assert values == pytest.approx([expected[name.split("_")[1]]] * 3, abs=0.5), name


def test_an_angle_needs_its_three_keypoints():
    angles = person(seen([[hide(skeleton(), "left_wrist", "right_knee")]])).angles_degrees
    unknown = {name for name, values in angles.items() if values == (None,)}
    assert unknown == {"left_elbow", "right_knee", "right_hip"}


@pytest.mark.parametrize(
    ("limbs", "posture"),
    [
        ({}, "standing"),
        ({"torso": 160}, "standing"),
        ({"left_thigh": 30, "left_shin": -60}, "standing"),  # walking: one leg carries
        ({"thigh": 85, "shin": 0}, "sitting"),
        ({"thigh": -100, "shin": -20}, "sitting"),
        ({"torso": 100}, "bending"),
        ({"torso": 90, "thigh": -90, "shin": -90}, "lying"),
        ({"torso": -100, "thigh": 70, "shin": 10}, "lying"),
        ({"torso": 0, "thigh": 180, "shin": 180}, "unknown"),  # a handstand
    ],
)
def test_posture(limbs, posture):
    data = person(seen([[skeleton(**limbs)]] * 5))
    assert data.posture == posture
    assert data.posture_seconds == pytest.approx({posture: 0.5})


def test_sitting_in_front_of_the_camera():
    """The thighs point at the camera: the knees are hardly below the hips."""
    keypoints = skeleton()
    for part in ("knee", "ankle"):
        for side in ("left", "right"):
            keypoints[K[f"{side}_{part}"], 1] -= 0.6 * TORSO / HEIGHT_OVER_WIDTH
    assert person(seen([[keypoints]])).posture == "sitting"


def test_posture_is_unknown_without_hips_and_changes_with_time():
    bust = hide(skeleton(), *(name for name in KEYPOINTS if name.split("_")[-1] in ("hip", "knee", "ankle")))
    assert person(seen([[bust]])).posture == "unknown"
    data = person(seen([[skeleton()]] * 20 + [[skeleton(thigh=85)]] * 40))
    assert data.posture == "sitting"
    assert data.posture_seconds["standing"] == pytest.approx(2.0, abs=0.2)
    assert data.posture_seconds["sitting"] == pytest.approx(4.0, abs=0.2)


@pytest.mark.parametrize(
    ("hidden", "framing"),
    [
        ((), "full"),
        (("ankle",), "half"),
        (("ankle", "knee", "hip"), "half"),
        (("ankle", "knee", "hip", "elbow"), "head"),
    ],
)
def test_framing(hidden, framing):
    keypoints = hide(skeleton(), *(f"{side}_{part}" for part in hidden for side in ("left", "right")))
    finding = seen([[keypoints]] * 4)
    assert person(finding).framing == framing
    assert finding.summary.framing == framing


def test_framing_is_that_of_the_largest_person():
    crowd = [skeleton((0.1, 0.9), size=0.05), skeleton((0.8, 0.9), size=0.05)]
    bust = hide(
        skeleton((0.5, 1.5), size=0.5), *(f"{side}_{part}" for side in ("left", "right") for part in ("ankle",))
    )
    assert seen([[*crowd, bust]]).summary.framing == "half"


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize(
    ("limbs", "expected"),
    [
        ({"left_upper_arm": 170, "left_forearm": 178}, [("hand_raised", "left")]),
        ({"upper_arm": 180, "forearm": 180}, [("hand_raised", "left"), ("hand_raised", "right")]),
        ({"right_upper_arm": -90, "right_forearm": -80}, [("pointing", "right")]),
        ({"left_upper_arm": 60, "left_forearm": 70}, [("pointing", "left")]),
        ({"left_upper_arm": 90, "left_forearm": 90, "right_upper_arm": -90, "right_forearm": -90}, []),
        ({"right_upper_arm": -30, "right_forearm": -30}, []),
        ({"left_upper_arm": 90, "left_forearm": 0}, []),
        ({}, []),
        ({"torso": 90, "thigh": -90, "shin": -90, "upper_arm": 170, "forearm": 175}, []),  # lying
    ],
)
def test_held_gestures(limbs, expected, rate):
    """A gesture of one second amid three of standing: found once, at its time."""
    frames = [[skeleton()]] * rate + [[skeleton(**limbs)]] * rate + [[skeleton()]] * rate
    finding = seen(frames, rate)
    assert made(finding) == expected
    for segment in gestures(finding):
        assert segment.kind == "span"
        assert segment.start_seconds == pytest.approx(1.0, abs=0.25)
        assert segment.end_seconds == pytest.approx(2.0, abs=0.25)
        assert segment.score == pytest.approx(0.9)
    counts = {"hand_raised": 0, "pointing": 0, "clap": 0}
    for name, _ in expected:
        counts[name] += 1
    assert finding.summary.gesture_counts == counts


def test_a_hand_that_passes_by_is_no_gesture():
    raised = skeleton(left_upper_arm=175, left_forearm=178)
    assert made(seen([[skeleton()]] * 10 + [[raised]] * 2 + [[skeleton()]] * 10)) == []


def test_a_raised_hand_that_is_hidden_for_a_moment_is_one():
    raised = skeleton(left_upper_arm=175, left_forearm=178)
    frames = [[raised]] * 6 + [[hide(raised, "left_wrist")]] * 3 + [[raised]] * 6
    assert made(seen(frames)) == [("hand_raised", "left")]


def hands(gap, height=0.1):
    """A person whose hands are `gap` torso lengths apart, `height` above the elbows."""
    keypoints = skeleton()
    for side, sign in (("left", 1), ("right", -1)):
        elbow = keypoints[K[f"{side}_elbow"], 1]
        keypoints[K[f"{side}_wrist"], :2] = 0.5 + sign * gap * TORSO / 2, elbow - height * TORSO / HEIGHT_OVER_WIDTH
    return keypoints


def clapping(rate, height=0.1):
    """Four claps in 3 s, 0.6 s from one to the next, between 1.0 and 0.1 torso lengths."""
    times = np.arange(3 * rate) / rate
    gaps = [1.0 - 0.9 * max(np.cos(np.pi * min(abs(time - clap) for clap in CLAPS) / 0.5), 0) for time in times]
    return [[hands(gap, height)] for gap in gaps]


CLAPS = (0.4, 1.0, 1.6, 2.2)


@pytest.mark.parametrize("rate", RATES)
def test_claps(rate):
    finding = seen(clapping(rate), rate)
    assert made(finding) == [("clap", "both")] * 4
    assert [segment.start_seconds for segment in gestures(finding)] == pytest.approx(CLAPS, abs=0.11)
    assert {segment.kind for segment in gestures(finding)} == {"event"}
    assert finding.summary.gesture_counts["clap"] == 4


def test_folded_hands_and_swinging_arms_are_no_claps():
    folded = [[hands(1.0)]] * 5 + [[hands(0.1)]] * 20 + [[hands(1.0)]] * 5
    assert made(seen(folded)) == []
    assert made(seen(clapping(10, height=-0.4))) == []


@pytest.mark.parametrize("rate", RATES)
def test_energy_of_a_body_that_glides(rate):
    """Every keypoint moves at half a torso length per second: so does the mean."""
    frames = [[skeleton((0.2 + 0.5 * TORSO * k / rate, 0.9))] for k in range(6 * rate)]
    finding = seen(frames, rate)
    assert person(finding).energy_mean == pytest.approx(0.5, rel=0.05)
    assert person(finding).energy[0] is None
    assert person(finding).energy[-1] == pytest.approx(0.5, rel=0.01)
    assert finding.summary.energy_mean == person(finding).energy_mean
    assert finding.series.columns["energy"] == person(finding).energy


def test_energy_of_an_arm_that_turns():
    """Elbow and wrist of one arm go around the shoulder at 1 rad/s: 0.65 and 1.15 torso lengths away, of 13 points."""
    frames = [[skeleton(left_upper_arm=np.degrees(k / 10), left_forearm=np.degrees(k / 10))] for k in range(60)]
    assert person(seen(frames)).energy_mean == pytest.approx((0.65 + 1.15) / 13, rel=0.05)


def test_energy_is_told_in_the_bodys_own_size_and_that_of_rest_is_zero():
    energies = []
    for size in (0.05, 0.2):
        frames = [[skeleton((0.2 + size * 0.5 * k / 10, 0.9), size=size)] for k in range(20)]
        energies.append(person(seen(frames)).energy_mean)
    assert energies[0] == pytest.approx(energies[1])
    assert person(seen([[skeleton()]] * 20)).energy_mean == 0


def test_jitter_is_smoothed():
    random = np.random.default_rng(5)

    def jittered():
        keypoints = skeleton()
        keypoints[:, :2] += random.normal(0, 0.01 * TORSO, (17, 2)) / (1, HEIGHT_OVER_WIDTH)
        return keypoints

    frames = [[jittered()] for _ in range(100)]
    written = np.array(person(seen(frames)).keypoints)
    raw = np.array([frame[0] for frame in frames])
    assert written[10:, :, 0].std(0).mean() < 0.7 * raw[10:, :, 0].std(0).mean()
    assert written[:, :, 0].mean(0) == pytest.approx(raw[:, :, 0].mean(0), abs=0.001)


def waving(hz, rate, seconds, swing=0.8):
    """One forearm swings `hz` times a second."""
    return [
        [skeleton(left_upper_arm=150, left_forearm=180 + np.degrees(swing * np.sin(2 * np.pi * hz * k / rate)))]
        for k in range(round(seconds * rate))
    ]


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("seconds", [3, 10])
def test_a_wrist_at_one_and_a_half_hertz(rate, seconds):
    finding = seen(waving(1.5, rate, seconds), rate)
    assert person(finding).dance_hz == pytest.approx(1.5, abs=0.1)
    assert finding.summary.dance_hz == person(finding).dance_hz


@pytest.mark.parametrize(("hz", "rate"), [(0.7, 5), (1.0, 5), (2.0, 5), (0.7, 10), (2.2, 10), (3.5, 10)])
def test_other_tempi(hz, rate):
    assert person(seen(waving(hz, rate, 8), rate)).dance_hz == pytest.approx(hz, abs=0.1)


def test_a_bouncing_body_and_one_that_walks_along():
    for speed in (0, 0.02):
        frames = [
            [skeleton((0.3 + speed * k / 10, 0.9 + 0.1 * TORSO * np.sin(2 * np.pi * 1.9 * k / 10)))] for k in range(80)
        ]
        assert person(seen(frames)).dance_hz == pytest.approx(1.9, abs=0.1)


def test_motion_that_does_not_repeat_has_no_tempo():
    for seed in range(20):
        steps = np.random.default_rng(seed).normal(0, 12, 80).cumsum()
        frames = [[skeleton(left_upper_arm=90, left_forearm=90 + step)] for step in steps]
        assert person(seen(frames)).dance_hz is None, seed
    for frames in (
        [[skeleton()]] * 80,
        waving(1.5, 10, 1.5),
        [[skeleton(left_upper_arm=90, left_forearm=k)] for k in range(80)],
    ):
        assert person(seen(frames)).dance_hz is None


def known(values):
    return np.array([np.nan if value is None else value for value in values])


def test_a_shifted_body_does_the_same_elsewhere():
    shift = (0.05, -0.1, 0)
    first = seen(waving(1.5, 10, 4))
    second = seen([[keypoints + shift] for (keypoints,) in waving(1.5, 10, 4)])
    mine, other = person(first), person(second)
    assert np.allclose(np.array(other.keypoints) - np.array(mine.keypoints), shift, atol=2e-4)
    assert np.allclose(known(mine.energy), known(other.energy), atol=2e-3, equal_nan=True)
    for name in JOINTS:
        assert np.allclose(known(mine.angles_degrees[name]), known(other.angles_degrees[name]), atol=0.11)
    assert made(first) == made(second)
    assert mine.dance_hz == pytest.approx(other.dance_hz)


def test_a_mirror_changes_left_and_right():
    frames = [
        *([[skeleton(left_upper_arm=170, left_forearm=175, thigh=20)]] * 10),
        *([[skeleton(right_upper_arm=-85, right_forearm=-80)]] * 10),
        *waving(1.5, 10, 3),
    ]
    mine, mirrored = seen(frames), seen([[flipped(keypoints)] for (keypoints,) in frames])
    sides = {"left": "right", "right": "left"}
    assert sorted((name, sides[side]) for name, side in made(mine)) == sorted(made(mirrored))
    for name, values in person(mine).angles_degrees.items():
        side, joint = name.split("_")
        assert known(values) == pytest.approx(known(person(mirrored).angles_degrees[f"{sides[side]}_{joint}"]))
    assert person(mine).posture_seconds == person(mirrored).posture_seconds
    assert person(mine).energy_mean == pytest.approx(person(mirrored).energy_mean)
    assert mine.summary.dance_hz == pytest.approx(mirrored.summary.dance_hz)


def crossing(count=40):
    """Two people who walk past each other; one waves the left hand, the other keeps still."""
    frames, boxes = [], []
    for k in range(count):
        wave = 180 + 45 * np.sin(2 * np.pi * 1.5 * k / 10)
        waver = skeleton((0.2 + 0.6 * k / count, 0.9), left_upper_arm=150, left_forearm=wave)
        walker = skeleton((0.8 - 0.6 * k / count, 0.9), size=0.85 * TORSO)
        order = [waver, walker] if k % 2 else [walker, waver]
        frames.append(order)
        boxes.append({7: box(waver), 3: box(walker)})
    return frames, boxes


def test_people_who_cross_keep_their_tracks():
    frames, boxes = crossing()
    finding = seen(frames, objects=tracks(boxes))
    found = {segment.track_id: segment.data for segment in persons(finding)}
    assert set(found) == {"object-8", "object-4"}
    assert found["object-8"].dance_hz == pytest.approx(1.5, abs=0.1)
    assert found["object-4"].dance_hz is None
    hips = {track: np.array(data.keypoints)[:, K["left_hip"], 0] for track, data in found.items()}
    assert (np.diff(hips["object-8"]) > 0).all()
    assert (np.diff(hips["object-4"]) < 0).all()
    assert {segment.track_id for segment in gestures(finding)} == {"object-8"}
    assert finding.summary.persons_max == 2
    assert finding.summary.dance_hz == pytest.approx(1.5, abs=0.1)


def test_only_people_are_people():
    """A dog's box around the person gives no identity, nor does a box that belongs to no track."""
    keypoints = skeleton()
    for objects in (
        tracks([{1: box(keypoints)}] * 10, labels={1: "dog"}),
        tracks([{-1: box(keypoints)}] * 10),
        tracks([{1: np.array([0.8, 0.1, 0.9, 0.3])}] * 10),
        tracks([{}] * 10),
        None,
    ):
        finding = seen([[keypoints]] * 10, objects=objects)
        assert [segment.track_id for segment in persons(finding)] == [None]
        assert len(person(finding).times_seconds) == 10


def test_nothing_is_lost_without_tracks():
    frames, _ = crossing()
    finding = seen(frames[:15])
    assert [len(segment.data.times_seconds) for segment in persons(finding)] == [15, 15]
    assert {segment.track_id for segment in persons(finding)} == {None}


def test_a_track_that_misses_boxes_keeps_its_person():
    """Object detection saw the person in two frames of three; the pose network in all."""
    keypoints = skeleton()
    boxes = [{2: box(keypoints)} if k % 3 != 1 else {} for k in range(12)]
    finding = seen([[keypoints]] * 12, objects=tracks(boxes))
    assert [segment.track_id for segment in persons(finding)] == ["object-3"]
    assert len(person(finding).times_seconds) == 12


def test_a_person_lies_within_the_track():
    """Poses before a track begins, and after it has ended, are somebody whom no track claims."""
    keypoints = skeleton()
    objects = tracks([{2: box(keypoints)} if 5 <= k < 10 else {} for k in range(15)])
    finding = seen([[keypoints]] * 15, objects=objects)
    track = objects.tracks()[0][0]
    spans = [(segment.track_id, segment.start_seconds, segment.end_seconds) for segment in persons(finding)]
    assert sorted(spans, key=lambda span: span[1]) == [
        (None, 0.0, pytest.approx(0.5)),
        ("object-3", track.start_seconds, pytest.approx(track.end_seconds)),
        (None, 1.0, pytest.approx(1.5)),
    ]


def test_one_who_leaves_is_another_when_nobody_tracks():
    frames = [[skeleton()]] * 5 + [[]] * 4 + [[skeleton()]] * 5 + [[]] * 10 + [[skeleton()]] * 5
    finding = seen(frames)
    assert [len(segment.data.times_seconds) for segment in persons(finding)] == [10, 5]
    assert finding.series.columns["persons"] == (*[1] * 5, *[0] * 4, *[1] * 5, *[0] * 10, *[1] * 5)


def test_a_cut_is_no_motion():
    """The same track on both sides of a cut, and a body that is elsewhere and larger."""
    first, second = skeleton((0.4, 0.9)), skeleton((0.55, 1.0), size=1.2 * TORSO, left_upper_arm=175, left_forearm=178)
    frames = [[first]] * 10 + [[second]] * 10
    objects = tracks([{0: box(keypoints)} for (keypoints,) in frames])
    joined, parted = seen(frames, objects=objects), seen(frames, objects=objects, shots=cut(0.0, 1.0, 2.0))
    assert joined.summary.energy_mean > 0.1
    assert parted.summary.energy_mean == 0
    assert person(parted).energy[10] is None
    assert [(segment.start_seconds, segment.end_seconds) for segment in gestures(parted)] == [(1.0, pytest.approx(2.0))]


def test_a_gesture_ends_with_its_shot():
    raised = skeleton(left_upper_arm=175, left_forearm=178)
    finding = seen([[raised]] * 20, rate=5, shots=cut(0.0, 1.9, 4.0))
    spans = sorted((segment.start_seconds, segment.end_seconds) for segment in gestures(finding))
    assert spans == [(0.0, pytest.approx(1.9)), (2.0, pytest.approx(4.0))]


def test_nobody():
    finding = seen([[]] * 20)
    assert finding.segments == ()
    assert finding.summary.persons_max == 0
    assert finding.summary.gesture_counts == {"hand_raised": 0, "pointing": 0, "clap": 0}
    assert finding.summary.energy_mean is None
    assert finding.summary.dance_hz is None
    assert finding.summary.framing is None
    assert finding.series.columns["energy"] == (None,) * 20


def test_no_frame_at_all():
    finding = seen([])
    assert finding.segments == ()
    assert finding.summary.persons_max == 0


def test_one_frame():
    finding = seen([[skeleton(), skeleton((0.1, 0.5), size=0.05)]], objects=tracks([{0: box(skeleton())}]))
    assert finding.summary.persons_max == 2
    assert {segment.data.energy for segment in persons(finding)} == {(None,)}
    assert {segment.data.posture for segment in persons(finding)} == {"standing"}
    assert finding.summary.energy_mean is None
    assert finding.summary.dance_hz is None
    assert gestures(finding) == []


def test_a_head_alone_has_no_energy():
    """No torso, no unit: what cannot be measured is null."""
    body = [name for name in KEYPOINTS if not name.endswith(("nose", "eye", "ear"))]
    finding = seen([[hide(skeleton((0.3 + 0.01 * k, 0.9)), *body)] for k in range(20)])
    assert person(finding).energy_mean is None
    assert set(person(finding).energy) == {None}
    assert person(finding).framing == "head"


def test_a_body_without_hips_is_measured_by_its_shoulders():
    body = [f"{side}_{part}" for side in ("left", "right") for part in ("hip", "knee", "ankle")]
    frames = [[hide(skeleton((0.2 + TORSO * 0.5 * k / 10, 0.9)), *body)] for k in range(40)]
    shoulders_in_torsos = 0.6 * 0.288 / 0.259
    assert person(seen(frames)).energy_mean == pytest.approx(0.5 / shoulders_in_torsos, rel=0.05)


def test_random_weights_claim_nothing():
    finding = seen([[skeleton(left_upper_arm=170, left_forearm=178)]] * 20, trained=False)
    assert len(persons(finding)) == 1, "reported"
    assert set(vars_of(finding.summary).values()) == {None}
    assert body_pose.headline(finding.summary) == "random weights: nothing is claimed"


def vars_of(summary):
    return {field: getattr(summary, field) for field in type(summary).__dataclass_fields__}


def test_unseen_keypoints_are_written_as_they_came():
    keypoints = hide(skeleton(), "left_wrist")
    keypoints[K["left_wrist"], :2] = 1.2, -0.3
    written = person(seen([[keypoints]] * 3)).keypoints
    assert written[2][K["left_wrist"]] == (1.2, -0.3, 0.1)
    assert len(written[0]) == 17


def test_of_a_crowd_those_are_described_who_stay():
    crowd = [skeleton((0.02 + 0.06 * (k % 16), 0.2 + 0.15 * (k // 16)), size=0.02) for k in range(120)]
    finding = seen([crowd[:40], crowd, crowd[:40]])
    assert len(persons(finding)) == 100
    assert sorted(len(segment.data.times_seconds) for segment in persons(finding)) == [1] * 60 + [3] * 40
    assert finding.summary.persons_max == 120
    assert finding.warnings == ("people_left_out:20",)
    assert seen([crowd[:40]]).warnings == ()


def test_a_long_clip_lists_every_second_pose():
    finding = seen([[skeleton()]] * 4000)
    data = person(finding)
    assert len(data.times_seconds) == len(data.keypoints) == len(data.energy) == 2000
    assert {len(values) for values in data.angles_degrees.values()} == {2000}
    assert len(finding.series.columns["t"]) == 4000


def test_headline_says_what_is_done():
    frames, boxes = crossing()
    said = body_pose.headline(seen(frames, objects=tracks(boxes)).summary)
    assert said.startswith("up to 2 people, energy ")
    assert "moving at 1.5 Hz" in said
    assert "1 x hand_raised" in said
    assert body_pose.headline(seen([[]]).summary) == "nobody"


@pytest.mark.parametrize("trained", [True, False])
def test_what_is_written_keeps_the_invariants(monkeypatch, trained):
    frames, boxes = crossing()
    objects = tracks(boxes)
    signal = poses([*frames, *clapping(10), []], trained=trained)
    finding = body_pose.analyze(signal, objects, cut(0.0, 1.5, signal.duration_seconds))
    people = tuple(track for track, _ in objects.tracks())
    values = written(body_pose.ANALYZER, finding, signal, signal.duration_seconds, people)
    assert violations(values, body_pose.ANALYZER, monkeypatch) == []
    labels = [segment["label"] for segment in values["analyzers"]["body_pose"]["segments"]]
    assert {"person", "hand_raised", "clap"} <= set(labels)
    assert (values["analyzers"]["body_pose"]["summary"]["persons_max"] is None) == (not trained)


def test_wire_names():
    published = json.dumps(schema.json_schema([body_pose.ANALYZER]))
    for name in (
        *("keypoints", "angles_deg", "posture", "gesture", "energy", "t"),
        *("persons_max", "energy_mean", "dance_hz", "gesture_counts", "framing"),
    ):
        assert f'"{name}"' in published, name
