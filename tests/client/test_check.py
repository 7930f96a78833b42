"""The invariants of a results file, by checks that can fail."""

from __future__ import annotations

import copy

import pytest

import clips
from reelscope import check, pipeline, settings
from reelscope.results import to_json

SELECTED = pipeline.select(["color_analysis", "cut_analysis"])
CUTS = ("analyzers", "cut_analysis")
COLORS = ("analyzers", "color_analysis")
OBJECTS = ("analyzers", "object_detection")


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    path = clips.write(tmp_path_factory.mktemp("clips") / "a.mp4", clips.shots((30, 45), 75))
    found = pipeline.analyze(path, analyzers=SELECTED, profile=settings.profile("cpu"), client=None)
    return to_json(found, SELECTED)


@pytest.fixture
def values(results):
    return copy.deepcopy(results)


@pytest.fixture
def detected(values):
    """The same, as if a trained detector had seen two people."""
    model = {"name": "object_yolov8", "version": "1", "ensemble": "detections", "source": "", "revision": ""}
    model |= {"sha256": None, "licence": "AGPL-3.0", "precision": "fp32", "trained": True}
    boxes = {"object-1": [0.1, 0.2, 0.3, 0.8], "object-2": [0.5, 0.1, 0.9, 0.9]}
    values["tracks"]["person"] = [
        {"id": track_id, "label": "person", "start": 0.0, "end": 0.3, "trained": True} for track_id in boxes
    ]
    cuts = values["analyzers"]["cut_analysis"]
    values["analyzers"]["object_detection"] = copy.deepcopy(cuts) | {
        "models": [model],
        "warnings": [],
        "series": {"t0": 0.0, "hop_s": None, "cols": {}},
        "summary": {"unique_per_class": {"person": 2}, "max_concurrent": 2, "prominence": {"person": 0.2}},
        "segments": [
            {
                "kind": "span",
                "start": 0.0,
                "end": 0.3,
                "label": "person",
                "score": 0.9,
                "track_id": track_id,
                "data": {
                    "class": "person",
                    "conf_mean": 0.9,
                    "area_pct": 12.0,
                    "screen_time_s": 0.3,
                    "speed_pct_w_s": 0.0,
                    "boxes": {"t": [0.0, 0.1, 0.2], "xyxy": [list(box) for _ in range(3)]},
                },
                "id": f"object_detection:{number}",
            }
            for number, (track_id, box) in enumerate(boxes.items(), 1)
        ],
    }
    return values


def _break(values, path, value):
    *parents, last = path
    for key in parents:
        values = values[key]
    values[last] = value


def _broken(values):
    return {violation.invariant for violation in check.check(values)}


def test_results_are_valid(values, detected):
    assert check.check(values) == []
    assert check.check(detected) == []


@pytest.mark.parametrize(
    ("invariant", "path", "value"),
    [
        ("I1", ("media", "width"), "wide"),
        ("I1", ("media", "width"), float("inf")),
        ("I1", ("surprise",), 1),
        ("I1", ("analyzers",), {}),
        ("I1", (*CUTS, "summary", "n_cuts"), 2.5),
        ("I2", (*CUTS, "segments", 0, "end"), 99.0),
        ("I2", (*CUTS, "segments", 0, "start"), -1.0),
        ("I2", (*CUTS, "segments", 0, "start"), 1.2),
        ("I2", (*OBJECTS, "segments", 0, "data", "boxes", "t"), [0.0, 0.1]),
        ("I2", (*OBJECTS, "segments", 0, "data", "boxes", "t", 2), 0.4),
        ("I1", (*CUTS, "segments", 0, "label"), "stunt"),
        ("I1", (*CUTS, "series", "cols", "jerk"), []),
        ("I1", (*CUTS, "warnings"), ["bad_hair"]),
        ("I3", (*COLORS, "summary", "warmth"), 1.1),
        ("I3", (*COLORS, "series", "cols", "warmth", 0), -1.1),
        ("I3", (*OBJECTS, "segments", 0, "data", "speed_pct_w_s"), -1.0),
        ("I3", (*CUTS, "segments", 1, "score"), 1.5),
        ("I3", ("shots", 1, "score"), 1.5),
        ("I3", ("shots", 1, "score"), -0.5),
        ("I3", (*COLORS, "summary", "palette", 0, "share"), 0.0),
        ("I3", (*COLORS, "summary", "palette", 0, "hex"), "red"),
        ("I3", (*COLORS, "segments", 0, "data", "palette", 0, "share"), 1.5),
        ("I3", (*COLORS, "segments", 0, "data", "palette", 0, "hex"), "#12345"),
        ("I3", (*OBJECTS, "segments", 0, "data", "boxes", "xyxy", 1), [0.3, 0.2, 0.1, 0.8]),
        ("I3", (*OBJECTS, "segments", 0, "data", "boxes", "xyxy", 1), [0.1, 0.8, 0.3, 0.2]),
        ("I3", (*OBJECTS, "segments", 0, "data", "boxes", "xyxy", 1), [0.1, 0.2, 1.1, 0.8]),
        ("I4", (*CUTS, "status"), "failed"),
        ("I4", (*CUTS, "summary"), None),
        ("I4", (*CUTS, "reason"), "because"),
        ("I4", (*CUTS, "coverage"), 0.5),
        ("I4", (*COLORS, "series", "cols", "warmth"), [0.0]),
        ("I5", ("shots", 1, "start"), 1.1),
        ("I5", ("shots",), []),
        ("I5", ("media", "duration_s"), 9.0),
        ("I5", (*CUTS, "summary", "n_cuts"), 7),
        ("I6", (*CUTS, "segments", 1, "id"), "cut_analysis:1"),
        ("I6", (*CUTS, "segments", 1, "track_id"), "object-9"),
        ("I9", (*CUTS, "segments", 0, "label"), "flash"),
    ],
)
def test_every_check_can_fail(detected, invariant, path, value):
    _break(detected, path, value)
    assert invariant in _broken(detected)


@pytest.mark.parametrize(
    ("status", "fitting", "unfitting"),
    [("ok", 1.0, (0.9, None)), ("partial", 0.9, (1.0, None)), ("failed", None, (0.0, 1.0)), ("skipped", None, (1.0,))],
)
def test_status_and_coverage_agree(values, status, fitting, unfitting):
    found = values["analyzers"]["cut_analysis"]
    found |= {"status": status, "reason": None if status == "ok" else "because"}
    if status in ("failed", "skipped"):
        found |= {"segments": [], "summary": None, "series": {"t0": 0.0, "hop_s": None, "cols": {}}}
    found["coverage"] = fitting
    assert check.check(values) == []
    for coverage in unfitting:
        found["coverage"] = coverage
        assert [violation.message for violation in check.check(values)] == [f"{status} with coverage {coverage}"]


def test_an_untrained_model_is_warned_of_and_claims_nothing(detected):
    found = detected["analyzers"]["object_detection"]
    found["models"][0]["trained"] = False
    assert {violation.where for violation in check.check(detected)} == {"object_detection", "object_detection.summary"}
    found["warnings"].append("untrained_model:object_yolov8")
    assert {violation.where for violation in check.check(detected)} == {"object_detection.summary"}
    found["summary"] = dict.fromkeys(found["summary"])
    assert check.check(detected) == []


def test_a_file_that_misfits_is_named(values):
    assert check.misfits(values, "second.json") == []
    found = check.misfits({"analyzers": {}}, "second.json")
    assert {violation.invariant for violation in found} == {"I1"}
    assert all(violation.where.startswith("second.json: $") for violation in found)
    assert check.misfits({"analyzers": None}) != []


def test_rerun_differs_in_run_and_timings_only(values):
    again = copy.deepcopy(values)
    again["run"]["id"] = "another"
    again["analyzers"]["cut_analysis"]["timings"]["wall_ms"] += 1
    assert check.check_rerun(values, again) == []
    again["analyzers"]["cut_analysis"]["summary"]["n_cuts"] += 1
    again["media"]["width"] += 1
    del again["analyzers"]["color_analysis"]
    assert [violation.where for violation in check.check_rerun(values, again)] == [
        "media",
        "analyzers.color_analysis",
        "analyzers.cut_analysis",
    ]


def test_twin_that_tells_otherwise(values):
    twin = copy.deepcopy(values)
    assert check.check_twin(values, twin, is_flipped=False) == []
    twin["shots"][1]["start"] += 0.1
    for color in twin["analyzers"]["color_analysis"]["summary"]["palette"]:
        color["lab"][1] += 30
    assert {violation.where for violation in check.check_twin(values, twin, is_flipped=False)} == {
        "shots[1].start",
        "color_analysis.summary.palette",
    }
    twin["shots"].pop()
    assert "shots" in {violation.where for violation in check.check_twin(values, twin, is_flipped=False)}


def _flipped(values):
    twin = copy.deepcopy(values)
    for segment in twin["analyzers"]["object_detection"]["segments"]:
        boxes = segment["data"]["boxes"]
        boxes["xyxy"] = [[1 - x2, y1, 1 - x1, y2] for x1, y1, x2, y2 in boxes["xyxy"]]
    return twin


def test_boxes_of_a_flipped_twin_match(detected):
    assert check.check_twin(detected, _flipped(detected), is_flipped=True) == []
    found = check.check_twin(detected, _flipped(detected), is_flipped=False)
    assert {violation.where for violation in found} == {
        f"{owner}object_detection.segments[{number}]" for owner in ("", "twin: ") for number in (0, 1)
    }


@pytest.mark.parametrize(("is_missing_in_twin", "where"), [(True, ""), (False, "twin: ")])
def test_a_box_that_only_one_of_the_twins_has_is_found(detected, is_missing_in_twin, where):
    twin = _flipped(detected)
    poorer = (twin if is_missing_in_twin else detected)["analyzers"]["object_detection"]["segments"][1]["data"]["boxes"]
    poorer["t"].pop(1)
    poorer["xyxy"].pop(1)
    found = check.check_twin(detected, twin, is_flipped=True)
    assert [(violation.invariant, violation.where) for violation in found] == [
        ("I8", f"{where}object_detection.segments[1]")
    ]
    assert "0.1 s" in found[0].message


def test_a_detector_that_failed_on_the_twin_is_found(detected):
    twin = _flipped(detected)
    twin["analyzers"]["object_detection"] |= {"status": "failed", "segments": [], "models": []}
    assert [violation.where for violation in check.check_twin(detected, twin, is_flipped=True)] == ["object_detection"]


def test_boxes_of_an_untrained_detector_are_not_compared(detected):
    twin = copy.deepcopy(detected)
    twin["analyzers"]["object_detection"]["models"][0]["trained"] = False
    assert check.check_twin(detected, twin, is_flipped=True) == []
