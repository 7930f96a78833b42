"""Composition: subjects from injected boxes, layouts, shot sizes, head and look room, safe zone; whole clips."""

from __future__ import annotations

from dataclasses import replace

import cv2
import heads
import numpy as np
import pytest
from envelope import violations, written
from feeding import PROVENANCE, cut, measure

import clips
from reelscope.analyzers import composition_analysis
from reelscope.signals import FrameComposition, ObjectTracks
from reelscope.sources.composition import CompositionSource
from reelscope.sources.shots import ShotSource

PORTRAIT = 1280 / 720
LABELS = ("person", "cup", "dining table")
NOWHERE = (np.nan, np.nan)


def composed(times=(0.0,), *, on_grid=True, hw=PORTRAIT, picture=(0, 0, 1, 1), saliency=NOWHERE, **measures):
    """Samples of a picture; one value or one per sample."""
    count = len(times)
    values = {"symmetry": 0.1, "negative_space": 0.4, "horizon_degrees": np.nan} | measures
    return FrameComposition(
        sampling="F5",
        sampling_fps=5.0,
        sample_count=count,
        times_seconds=np.asarray(times, float),
        is_on_grid=np.broadcast_to(on_grid, count).copy(),
        height_over_width=hw,
        pictures_xyxy=np.broadcast_to(np.asarray(picture, float), (count, 4)),
        saliency_xy=np.broadcast_to(np.asarray(saliency, float), (count, 2)),
        **{name: np.broadcast_to(np.asarray(value, float), count) for name, value in values.items()},
    )


def things(*rows, frames=1, fps=10.0):
    """Objects (frame, label, box) in 0-1, each a track of its own; a fourth item is another track number."""
    return ObjectTracks(
        sampling="F10",
        sampling_fps=fps,
        sample_count=frames,
        models=(replace(PROVENANCE, name="object_yolov8"),),
        times_seconds=np.arange(frames) / fps,
        height_over_width=PORTRAIT,
        frame=np.array([row[0] for row in rows], np.int64),
        boxes_xyxy=np.array([row[2] for row in rows], float).reshape(-1, 4),
        scores=np.full(len(rows), 0.8),
        class_ids=np.array([LABELS.index(row[1]) for row in rows], np.int64),
        track_ids=np.array([row[3] if len(row) > 3 else k for k, row in enumerate(rows)], np.int64),
        labels=LABELS,
        duration_seconds=frames / fps,
    )


def face(*box, frames=(0,), **options):
    """A face with this box, 0-1."""
    boxes = [np.array(box) * (heads.WIDTH, heads.HEIGHT, heads.WIDTH, heads.HEIGHT)] * len(frames)
    return heads.faces(frames, boxes_px=boxes, **options)


def high(face_ratio):
    """A face of this height in the middle."""
    return face(0.3, 0.5 - face_ratio / 2, 0.7, 0.5 + face_ratio / 2)


def judge(composition, shots=None, faces=None, objects=None):
    end = float(composition.times_seconds[-1]) + 0.2
    return composition_analysis.analyze(composition, shots or cut(0, end), faces, objects)


def only(finding):
    assert len(finding.segments) == 1
    return finding.segments[0].data


# Subject


def test_subject_is_the_middle_of_its_box():
    data = only(judge(composed(saliency=(0.9, 0.9)), faces=face(0.2, 0.3, 0.36, 0.42)))
    assert data.subject_source == "face"
    assert data.subject_xy == pytest.approx((0.28, 0.36), abs=1e-6)
    assert data.thirds_distance == pytest.approx(np.hypot(1 / 3 - 0.28, 0.36 - 1 / 3))
    assert data.center_distance == pytest.approx(np.hypot(0.22, 0.14))


CUP = (0, "cup", (0.1, 0.7, 0.2, 0.8))
PERSON = (0, "person", (0.6, 0.2, 0.9, 0.9))
TABLE = (0, "dining table", (0, 0.5, 1, 1))


@pytest.mark.parametrize(
    ("faces", "objects", "source", "xy"),
    [
        (face(0.1, 0.1, 0.2, 0.2), things(CUP, PERSON), "face", (0.15, 0.15)),
        (None, things(CUP, PERSON, TABLE), "person", (0.75, 0.55)),
        (None, things(CUP, TABLE), "object", (0.15, 0.75)),
        (None, things(TABLE), "object", (0.5, 0.75)),
        (heads.faces([], frame_count=1), things(), "saliency", (0.4, 0.6)),
        (None, None, "saliency", (0.4, 0.6)),
    ],
)
def test_face_before_person_before_object_before_saliency(faces, objects, source, xy):
    data = only(judge(composed(saliency=(0.4, 0.6)), faces=faces, objects=objects))
    assert (data.subject_source, data.subject_xy) == (source, pytest.approx(xy, abs=1e-6))


def test_of_several_the_largest():
    boxes = [np.array(box) * (720, 1280, 720, 1280) for box in ((0.1, 0.1, 0.2, 0.2), (0.5, 0.5, 0.9, 0.8))]
    data = only(judge(composed(), faces=heads.faces([0, 0], [0, 1], boxes_px=boxes)))
    assert data.subject_xy == pytest.approx((0.7, 0.65), abs=1e-6)
    two = things((0, "person", (0.0, 0.2, 0.1, 0.4)), (0, "person", (0.4, 0.2, 0.8, 0.8)))
    assert only(judge(composed(), objects=two)).subject_xy == pytest.approx((0.6, 0.5))


def test_what_joined_no_track_is_no_subject():
    data = only(
        judge(
            composed(saliency=(0.4, 0.6)),
            faces=face(0.1, 0.1, 0.2, 0.2, track_ids=[-1]),
            objects=things((0, "person", (0.1, 0.1, 0.2, 0.9), -1)),
        )
    )
    assert data.subject_source == "saliency"


def test_only_what_is_in_the_picture_counts_for_the_middle():
    assert only(judge(composed(), faces=face(-0.2, 0.4, 0.2, 0.6))).subject_xy == pytest.approx((0.1, 0.5))


def test_instants_are_matched():
    """F5 samples see the faces of their own instant in F10, not those between."""
    boxes = [np.array((0.1 * k, 0.4, 0.1 * k + 0.1, 0.5)) * (720, 1280, 720, 1280) for k in range(8)]
    finding = judge(composed(np.arange(4) / 5), faces=heads.faces(range(8), boxes_px=boxes))
    assert finding.series.columns["subject_x"] == pytest.approx([0.05, 0.25, 0.45, 0.65])


def test_an_extra_sample_takes_the_subject_of_its_own_shot():
    """A shot begins at 0.25 s: what the detector saw at 0.2 s is of the one before."""
    composition = composed([0, 0.2, 0.25, 0.4], on_grid=[True, True, False, True])
    people = [(frame, "person", (0.0 if frame < 3 else 0.6, 0.2, 0.2 if frame < 3 else 0.8, 0.6)) for frame in range(6)]
    finding = judge(composition, cut(0, 0.25, 0.6), objects=things(*people, frames=6))
    assert [segment.data.subject_xy[0] for segment in finding.segments] == pytest.approx([0.1, 0.7])


def test_a_shot_that_no_detector_saw_falls_back_on_what_stands_out():
    composition = composed([0, 0.24, 0.4], on_grid=[True, False, True], saliency=(0.3, 0.3))
    people = [(frame, "person", (0.6, 0.2, 0.8, 0.6)) for frame in range(6)]
    finding = judge(composition, cut(0, 0.22, 0.28, 0.6), objects=things(*people, frames=6))
    assert [segment.data.subject_source for segment in finding.segments] == ["person", "saliency", "person"]


def test_a_shot_has_the_most_frequent_subject_and_medians_of_it_alone():
    boxes = [np.array((x, 0.4, x + 0.1, 0.5)) * (720, 1280, 720, 1280) for x in (0.2, 0.22, 0.3)]
    faces = heads.faces([0, 2, 4], boxes_px=boxes, frame_count=10)
    data = only(judge(composed(np.arange(5) / 5, saliency=(0.9, 0.9)), faces=faces))
    assert data.subject_source == "face"
    assert data.subject_xy == pytest.approx((0.27, 0.45))
    assert only(judge(composed(np.arange(6) / 5), faces=faces)).subject_source == "face"


# Shot size, headroom, look room


@pytest.mark.parametrize(
    ("face_ratio", "size"),
    [(0.9, "ECU"), (0.5, "CU"), (0.32, "MCU"), (0.21, "MS"), (0.13, "MLS"), (0.09, "LS"), (0.03, "LS"), (0.02, "EWS")],
)
def test_shot_size_by_the_face(face_ratio, size):
    assert only(judge(composed(), faces=high(face_ratio))).shot_size == size


@pytest.mark.parametrize(
    ("box", "size"),
    [
        ((0.4, 0.05, 0.6, 0.95), "LS"),
        ((0.4, 0.3, 0.5, 0.5), "EWS"),
        ((0.2, 0.3, 0.8, 1.0), None),  # cut off by the lower edge: who knows where
    ],
)
def test_shot_size_by_the_person(box, size):
    assert only(judge(composed(), objects=things((0, "person", box)))).shot_size == size


def test_objects_and_saliency_have_no_shot_size_or_headroom():
    for data in (only(judge(composed(), objects=things(CUP))), only(judge(composed(saliency=(0.5, 0.5))))):
        assert (data.shot_size, data.headroom_percent, data.look_room_percent) == (None, None, None)


def test_headroom():
    """From the crown, a third of the face above it; from the person's box where there is one."""
    head = face(0.4, 0.3, 0.6, 0.45)
    assert only(judge(composed(), faces=head)).headroom_percent == pytest.approx(25)
    person = things((0, "person", (0.3, 0.22, 0.7, 1.0)))
    assert only(judge(composed(), faces=head, objects=person)).headroom_percent == pytest.approx(22)
    assert only(judge(composed(), objects=person)).headroom_percent == pytest.approx(22)
    assert only(judge(composed(), faces=face(0.4, 0.01, 0.6, 0.3))).headroom_percent == 0


@pytest.mark.parametrize(("yaw", "percent"), [(40, 20), (-40, 60), (0, None), (5, None)])
def test_look_room(yaw, percent):
    """The picture ahead of a face from 0.6 to 0.8 across that looks to one side."""
    _, keypoints = heads.View(yaw=yaw).points()
    found = only(judge(composed(), faces=face(0.6, 0.3, 0.8, 0.5, keypoints_px=keypoints))).look_room_percent
    assert found == (None if percent is None else pytest.approx(percent))


# Layout


@pytest.mark.parametrize(
    ("x", "layout"),
    [
        (0.5, "centered"),
        (0.44, "centered"),
        (1 / 3, "thirds"),
        (0.7, "thirds"),
        (0.1, "off_center"),
        (0.9, "off_center"),
    ],
)
@pytest.mark.parametrize("y", [0.2, 0.35, 0.5])
def test_layout_by_where_the_subject_is_across(x, y, layout):
    finding = judge(composed(), faces=face(x - 0.05, y - 0.05, x + 0.05, y + 0.05))
    assert only(finding).layout == layout
    assert finding.summary.dominant_layout == layout


def test_symmetric_layout():
    assert only(judge(composed(symmetry=0.9, saliency=(0.2, 0.2)))).layout == "symmetric"
    assert only(judge(composed(symmetry=0.9))).layout == "symmetric"
    assert only(judge(composed(symmetry=0.9), faces=face(0.45, 0.3, 0.55, 0.4))).layout == "symmetric"
    assert only(judge(composed(symmetry=0.9), faces=face(0.28, 0.3, 0.38, 0.4))).layout == "thirds"
    assert only(judge(composed(symmetry=0.6))).layout is None


def test_dominant_layout_is_that_of_most_of_the_time():
    boxes = [np.array((x, 0.4, x + 0.1, 0.5)) * (720, 1280, 720, 1280) for x in (0.45, 0.28, 0.28, 0.28)]
    faces = heads.faces([0, 2, 4, 6], boxes_px=boxes, frame_count=8)
    finding = judge(composed(np.arange(4) / 5), cut(0, 0.2, 0.8), faces)
    assert [segment.data.layout for segment in finding.segments] == ["centered", "thirds"]
    assert finding.summary.dominant_layout == "thirds"


def test_letterboxed():
    """Positions are of the frame; thirds, headroom and shot size are those of the picture within the bars."""
    composition = composed(picture=(0, 0.25, 1, 0.75))
    data = only(judge(composition, faces=face(0.2833, 0.3667, 0.3833, 0.4667)))
    assert data.subject_xy == pytest.approx((1 / 3, 0.4167), abs=1e-3)
    assert data.thirds_distance == pytest.approx(0, abs=1e-3)
    assert data.headroom_percent == pytest.approx(100 * (0.3667 - 0.1 / 3 - 0.25) / 0.5)
    assert data.shot_size == "MS"


# Summary


def test_tilt_ratio():
    slopes = [0, 1.9, -2.1, 8, np.nan]
    assert judge(composed(np.arange(5) / 5, horizon_degrees=slopes)).summary.tilt_ratio == 0.5
    assert judge(composed(np.arange(5) / 5)).summary.tilt_ratio is None


def test_shot_size_shares():
    boxes = [np.array((0.3, 0.3, 0.7, 0.3 + high_)) * (720, 1280, 720, 1280) for high_ in (0.5, 0.5, 0.5, 0.2)]
    faces = heads.faces([0, 2, 4, 6], boxes_px=boxes, frame_count=10)
    summary = judge(composed(np.arange(5) / 5), faces=faces).summary
    assert summary.shot_size_shares == {"CU": 0.75, "MS": 0.25}
    assert judge(composed()).summary.shot_size_shares is None


UNDER_CONTROLS, FREE = (0.9, 0.6, 0.98, 0.65), (0.4, 0.4, 0.5, 0.45)


def test_safe_zone_violations():
    boxes = [np.array(box) * (720, 1280, 720, 1280) for box in (UNDER_CONTROLS, UNDER_CONTROLS, FREE, FREE)]
    faces = heads.faces([0, 2, 4, 6], boxes_px=boxes, frame_count=8)
    finding = judge(composed(np.arange(4) / 5), cut(0, 0.4, 0.8), faces)
    assert [segment.data.safe_zone_ok for segment in finding.segments] == [False, True]
    assert finding.summary.safe_zone_violations == 1


@pytest.mark.parametrize("hw", [9 / 16, 1.0, 4 / 3])
def test_other_shapes_have_no_safe_zone(hw):
    finding = judge(composed(hw=hw), faces=face(*UNDER_CONTROLS))
    assert only(finding).safe_zone_ok is None
    assert finding.summary.safe_zone_violations is None


def test_nothing_to_see_is_null_throughout():
    finding = judge(composed(symmetry=np.nan, negative_space=1.0))
    data = only(finding)
    assert data.negative_space == 1
    fields = set(data.__dataclass_fields__) - {"negative_space"}
    assert {name for name in fields if getattr(data, name) is not None} == set()
    assert {name for name in finding.summary.__slots__ if getattr(finding.summary, name) is not None} == set()
    assert composition_analysis.headline(finding.summary) == "nothing stands out"


def test_no_sample_at_all():
    finding = composition_analysis.analyze(composed([]), cut(0, 1), face(*FREE), None)
    assert only(finding) is None
    assert set(finding.series.columns.values()) == {()}
    assert {name for name in finding.summary.__slots__ if getattr(finding.summary, name) is not None} == set()


def test_a_shot_without_a_sample_says_nothing():
    finding = judge(composed([0.0, 0.2]), cut(0, 0.25, 0.3), faces=face(*FREE))
    assert finding.segments[1].data is None


def test_score_is_the_detectors():
    assert judge(composed(), faces=face(*FREE, scores=0.7)).segments[0].score == pytest.approx(0.7)
    assert judge(composed(saliency=(0.5, 0.5))).segments[0].score is None


def test_flipped():
    """I8: a mirrored clip mirrors the subject and the look room, negates the horizon, and is the same otherwise."""
    _, keypoints = heads.View(yaw=40).points()
    straight = face(0.6, 0.3, 0.8, 0.5, keypoints_px=keypoints)
    flipped = face(0.2, 0.3, 0.4, 0.5, keypoints_px=heads.mirrored_keypoints(keypoints))
    one = only(judge(composed(horizon_degrees=-4), faces=straight))
    twin = only(judge(composed(horizon_degrees=4), faces=flipped))
    assert twin.subject_xy == pytest.approx((1 - one.subject_xy[0], one.subject_xy[1]))
    assert twin.horizon_degrees == -one.horizon_degrees
    assert one.look_room_percent is not None
    for name in ("look_room_percent", "thirds_distance", "center_distance", "headroom_percent"):
        assert getattr(twin, name) == pytest.approx(getattr(one, name)), name
    assert (twin.shot_size, twin.layout) == (one.shot_size, one.layout)


def test_results_hold_every_field_of_the_specification(monkeypatch):
    composition = composed(np.arange(5) / 5, horizon_degrees=-3.0)
    faces = face(0.6, 0.3, 0.8, 0.5, frames=range(10), keypoints_px=heads.View(yaw=40).points()[1])
    values = written(composition_analysis.ANALYZER, judge(composition, cut(0, 1), faces), composition, 1.0)
    assert violations(values, composition_analysis.ANALYZER, monkeypatch) == []
    result = values["analyzers"]["composition_analysis"]
    assert result["segments"][0]["data"] == {
        "subject_source": "face",
        "subject_xy": pytest.approx([0.7, 0.4]),
        "thirds_dist": pytest.approx(np.hypot(1 / 30, 1 / 15), abs=1e-5),
        "center_dist": pytest.approx(np.hypot(0.2, 0.1), abs=1e-5),
        "symmetry": 0.1,
        "negative_space": 0.4,
        "horizon_deg": -3.0,
        "headroom_pct": pytest.approx(100 * (0.3 - 0.2 / 3), abs=1e-3),
        "look_room_pct": pytest.approx(20),
        "shot_size": "MS",
        "layout": "thirds",
        "safe_zone_ok": True,
    }
    assert result["summary"] == {
        "dominant_layout": "thirds",
        "shot_size_shares": {"MS": 1.0},
        "tilt_ratio": 1.0,
        "safe_zone_violations": 0,
    }
    assert result["series"]["cols"]["headroom_pct"] == [pytest.approx(100 * (0.3 - 0.2 / 3), abs=1e-3)] * 5


# Whole clips


def find(frames, **options):
    shots = measure(ShotSource(), frames, **options)
    return composition_analysis.analyze(measure(CompositionSource(), frames, **options), shots, None, None)


def disk(x, y):
    image = np.full((320, 180, 3), (90, 120, 100), np.uint8)
    cv2.circle(image, (round(x * 180), round(y * 320)), 15, (230, 30, 20), -1)
    return image


def test_disks_in_two_shots():
    first, second = (segment.data for segment in find([disk(1 / 3, 1 / 3)] * 30 + [255 - disk(0.5, 0.5)] * 30).segments)
    assert first.subject_xy == pytest.approx((1 / 3, 1 / 3), abs=0.1)
    assert second.subject_xy == pytest.approx((0.5, 0.5), abs=0.1)
    assert (first.layout, second.layout) == ("thirds", "symmetric")
    assert first.subject_source == second.subject_source == "saliency"


def test_black_clip():
    finding = find([np.zeros((320, 180, 3), np.uint8)] * 30)
    assert only(finding).subject_xy is None
    assert finding.summary.dominant_layout is None


def test_one_frame():
    finding = find([disk(0.3, 0.6)])
    assert only(finding).subject_xy == pytest.approx((0.3, 0.6), abs=0.1)
    assert len(finding.series.columns["t"]) == 1


def test_held_frames_count_for_as_long_as_they_are_shown():
    frames = [disk(1 / 3, 1 / 3)] + [disk(0.5, 0.5)] * 15
    finding = find(frames, times=[0.0, *(3 + np.arange(15) / 30)])
    assert finding.summary.dominant_layout == "thirds"


def test_same_again():
    frames = clips.shots((20,), 40)
    assert find(frames) == find(frames)
