"""The results file: strict, and named as published."""

from __future__ import annotations

import copy
import dataclasses
import math

import pytest
from typer.testing import CliRunner

import clips
from reelscope import cli, pipeline, settings
from reelscope.errors import ResultsError, SchemaUnsupported
from reelscope.results import read, to_json, wire_name, write

SELECTED = pipeline.select(["color_analysis", "cut_analysis"])


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    path = clips.write(tmp_path_factory.mktemp("clips") / "a.mp4", clips.shots((30, 45), 75))
    return pipeline.analyze(path, analyzers=SELECTED, profile=settings.profile("cpu"), client=None)


@pytest.fixture
def values(results):
    return copy.deepcopy(to_json(results, SELECTED))


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
    assert set(cuts["timings"]) == {"queue_ms", "infer_ms", "cpu_ms", "wall_ms", "n_refused_calls"}
    assert {"sampling", "n", "depends_on"} <= set(cuts["inputs"])
    assert cuts["summary"]["n_cuts"] == 2
    assert {"asl_mean_s", "asl_median_s", "p10_s", "p90_s", "shortest_s", "cuts_per_min"} <= set(cuts["summary"])
    shot = values["analyzers"]["color_analysis"]["segments"][0]
    assert {"id", "kind", "start", "end", "label", "score", "track_id", "data"} == set(shot)
    assert {"palette", "colorfulness", "warmth", "L_mean", "saturation"} <= set(shot["data"])
    assert {"hex", "lab", "share"} == set(shot["data"]["palette"][0])
    assert values["analyzers"]["cut_analysis"]["params"]["min_shot_s"] == 0.1


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


@pytest.mark.parametrize("version", ["reelscope/2", "reelscope/0", None])
def test_a_file_of_another_schema_is_refused_by_name(values, version, tmp_path):
    """Both versions are named, and who wrote the file; every command that reads results says so."""
    values["schema"] = version
    file = tmp_path / "r.json"
    write(values, file)
    with pytest.raises(SchemaUnsupported, match=rf"{version!r}.*'reelscope/1'.*written by reelscope 0"):
        read(file)
    for command in (["check", file], ["check", file, "--rerun", file], ["convert", file, "--to", "srt"]):
        said = CliRunner().invoke(cli.app, list(map(str, command)))
        assert said.exit_code == 2
        assert "schema_unsupported" in said.stderr
        assert str(version) in said.stderr
        assert "reelscope/1" in said.stderr
