"""The results file: strict, named as published, and held to its invariants by checks that can fail."""

from __future__ import annotations

import copy
import dataclasses
import json
import math

import jsonschema
import pytest

import clips
from places import CHECKOUT
from reelscope import check, pipeline, settings
from reelscope.analyzers import ANALYZERS
from reelscope.errors import ResultsError
from reelscope.results import json_schema, read, to_json, wire_name, write

SELECTED = pipeline.select(["color_analysis", "cut_analysis"])


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    path = clips.write(tmp_path_factory.mktemp("clips") / "a.mp4", clips.shots((30, 45), 75))
    return pipeline.analyze(path, analyzers=SELECTED, profile=settings.profile("cpu"), client=None)


@pytest.fixture
def values(results):
    return copy.deepcopy(to_json(results, SELECTED))


def test_published_schema_is_current():
    committed = json.loads((CHECKOUT / "client" / "reelscope" / "results.schema.json").read_text(encoding="utf-8"))
    assert committed == json_schema(ANALYZERS), "run: make schema"


def test_schema_is_a_schema():
    jsonschema.Draft202012Validator.check_schema(json_schema(ANALYZERS))


def test_wire_names():
    assert wire_name("duration_seconds") == "duration_s"
    assert wire_name("start_seconds") == "start"
    assert wire_name("area_percent") == "area_pct"
    assert wire_name("label") == "label"


def test_envelope_is_named_as_specified(values):
    assert values["schema"] == "reelscope/1"
    assert list(values) == ["schema", "run", "media", "shots", "tracks", "analyzers"]
    assert {"sha256", "duration_s", "width", "height", "rotation", "fps_avg", "vfr", "hdr", "audio"} <= set(
        values["media"]
    )
    cuts = values["analyzers"]["cut_analysis"]
    assert {"version", "status", "reason", "models", "params", "inputs", "timings", "coverage"} <= set(cuts)
    assert {"segments", "series", "summary", "warnings"} <= set(cuts)
    assert set(cuts["timings"]) == {"queue_ms", "infer_ms", "cpu_ms", "wall_ms"}
    assert {"sampling", "n", "depends_on"} <= set(cuts["inputs"])
    assert cuts["summary"]["n_cuts"] == 2
    assert {"asl_mean_s", "asl_median_s", "p10_s", "p90_s", "shortest_s", "cuts_per_min"} <= set(cuts["summary"])
    shot = values["analyzers"]["color_analysis"]["segments"][0]
    assert {"id", "kind", "start", "end", "label", "score", "track_id", "data"} == set(shot)
    assert {"palette", "colorfulness", "warmth", "L_mean", "saturation"} <= set(shot["data"])
    assert {"hex", "lab", "share"} == set(shot["data"]["palette"][0])


def test_results_are_valid(values):
    assert check.check(values) == []


def test_written_and_read_back(values, tmp_path):
    write(values, tmp_path / "deep" / "results.json")
    assert read(tmp_path / "deep" / "results.json") == values
    assert [file.name for file in (tmp_path / "deep").iterdir()] == ["results.json"]


def test_a_number_that_json_cannot_hold_is_refused(results):
    cuts = results.analyzers["cut_analysis"]
    broken = dataclasses.replace(cuts, summary=dataclasses.replace(cuts.summary, cuts_per_minute=math.nan))
    with pytest.raises(ResultsError):
        to_json(dataclasses.replace(results, analyzers={"cut_analysis": broken}), SELECTED)


@pytest.mark.parametrize("text", ["", "[]", '{"analyzers": NaN}', "{}", "nonsense"])
def test_what_is_no_results_file(tmp_path, text):
    (tmp_path / "r.json").write_text(text, encoding="utf-8")
    with pytest.raises(ResultsError, match=r"r\.json"):
        read(tmp_path / "r.json")


def _break(values, path, value):
    *parents, last = path
    for key in parents:
        values = values[key]
    values[last] = value


CUTS = ("analyzers", "cut_analysis")


@pytest.mark.parametrize(
    ("invariant", "path", "value"),
    [
        ("I1", ("media", "width"), "wide"),
        ("I1", ("surprise",), 1),
        ("I1", (*CUTS, "summary", "n_cuts"), 2.5),
        ("I2", (*CUTS, "segments", 0, "end"), 99.0),
        ("I2", (*CUTS, "segments", 0, "start"), -1.0),
        ("I2", (*CUTS, "segments", 0, "start"), 1.2),
        ("I3", (*CUTS, "segments", 1, "score"), 1.5),
        ("I4", (*CUTS, "status"), "failed"),
        ("I4", (*CUTS, "summary"), None),
        ("I4", (*CUTS, "reason"), "because"),
        ("I4", ("analyzers", "color_analysis", "series", "cols", "warmth"), [0.0]),
        ("I5", ("shots", 1, "start"), 1.1),
        ("I5", ("media", "duration_s"), 9.0),
        ("I5", (*CUTS, "summary", "n_cuts"), 7),
        ("I6", (*CUTS, "segments", 1, "id"), "cut_analysis:1"),
        ("I6", (*CUTS, "segments", 1, "track_id"), "object-9"),
        ("I9", (*CUTS, "segments", 0, "label"), "flash"),
    ],
)
def test_every_check_can_fail(values, invariant, path, value):
    _break(values, path, value)
    assert invariant in {violation.invariant for violation in check.check(values)}


def test_rerun_differs_in_run_and_timings_only(values):
    again = copy.deepcopy(values)
    again["run"]["id"] = "another"
    again["analyzers"]["cut_analysis"]["timings"]["wall_ms"] += 1
    assert check.check_rerun(values, again) == []
    again["analyzers"]["cut_analysis"]["summary"]["n_cuts"] += 1
    assert [violation.where for violation in check.check_rerun(values, again)] == ["analyzers.cut_analysis"]


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
