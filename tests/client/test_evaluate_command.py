"""`reelscope evaluate`, end to end: clips that are analysed on the CPU, results that are not analysed again."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from typer.testing import CliRunner

import clips
from reelscope import cli, pipeline

CUTS, FLASH, COUNT = (20, 45), 30, 70
"""Frames of the clip: where it is cut, where it is white for two frames, how many there are."""


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A clip with two cuts and a flash, another with one shot and nothing else, and their annotations."""
    folder = tmp_path_factory.mktemp("evaluate")
    frames = clips.shots(CUTS, COUNT)
    frames[FLASH : FLASH + 2] = [np.full_like(frames[0], 255)] * 2
    (folder / "clips").mkdir()
    clips.write(folder / "clips" / "cat.mp4", frames)
    clips.write(folder / "clips" / "dog.mp4", clips.pan(9, 40))
    annotate(folder / "truth" / "cat.truth.json", [frame / 30 for frame in CUTS], [FLASH / 30], 2)
    annotate(folder / "truth" / "dog.truth.json", [], [], 0)
    return folder


@pytest.fixture(autouse=True)
def surroundings(tmp_path, monkeypatch):
    monkeypatch.setenv("REELSCOPE_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture(scope="module")
def evaluated(folders):
    """What the command says of both clips, and the folder that it wrote to."""
    return run(folders / "clips", folders / "truth", "-o", folders / "out"), folders / "out"


@pytest.fixture
def unused_pipeline(monkeypatch):
    """An analysis that must never begin."""
    monkeypatch.setattr(pipeline, "analyze", lambda *_, **__: pytest.fail("the analysis began"))


def run(*arguments):
    return CliRunner().invoke(cli.app, ["evaluate", *map(str, arguments)])


def refused(*arguments, code=2):
    done = run(*arguments)
    assert done.exit_code == code, done.output
    return done.stderr


def annotate(path, cuts, flashes, cut_count):
    flash_events = [{"t": round(time, 3), "label": "flash"} for time in flashes]
    cut_events = [{"t": round(time, 3), "label": "cut"} for time in cuts]
    values = {
        "schema": "reelscope-truth/1",
        "analyzers": {
            "cut_analysis": {
                "complete": ["cut", "flash"],
                "events": cut_events + flash_events,
                "values": {"n_cuts": {"value": cut_count, "unit": "cuts"}},
                "tolerance_s": 0.034,
            },
            "visual_effects": {"complete": ["flash", "fade"], "events": flash_events, "tolerance_s": 0.034},
        },
    }
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(values), encoding="utf-8")
    return path


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


def test_what_is_in_generated_clips_is_found(evaluated):
    done, output = evaluated
    assert done.exit_code == 0, done.output
    values = read(output / "evaluation.json")
    cuts, effects = (values["analyzers"][name] for name in ("cut_analysis", "visual_effects"))
    assert list(values["analyzers"]) == ["cut_analysis", "visual_effects"], "what is not annotated is not run"
    for score, true in ((cuts["labels"]["cut"], 2), (cuts["labels"]["flash"], 1), (effects["labels"]["flash"], 1)):
        assert (score["tp"], score["fp"], score["fn"], score["f1"]) == (true, 0, 0, 1.0)
        assert score["start_error_max_s"] <= 0.001
        assert (score["n_clips"], score["n_complete_clips"]) == (2, 2)
    assert cuts["labels"]["cut"]["sweep"]["best_f1"] == 1.0
    assert effects["labels"]["fade"]["f1"] is None
    assert cuts["values"]["n_cuts"]["equal_count"] == 2
    assert [clip["clip"] for clip in values["clips"]] == ["cat", "dog"]
    assert [clip["mistakes"] for clip in values["clips"]] == [[], []]
    assert "cut_analysis" in done.stdout
    assert "lower ones are not judged" in done.stdout, "a sweep tells nothing of them"


def test_results_are_not_analysed_again(evaluated, folders, tmp_path, unused_pipeline):
    _, output = evaluated
    assert run(output, folders / "truth", "-o", tmp_path).exit_code == 0
    assert read(tmp_path / "evaluation.json") == read(output / "evaluation.json")
    one = run(output / "cat" / "results.json", folders / "truth" / "cat.truth.json")
    assert one.exit_code == 0, one.output
    assert "1.000" in one.stdout


def test_an_analyzer_that_the_results_lack_is_a_gap(evaluated, tmp_path, unused_pipeline):
    _, output = evaluated
    (tmp_path / "t.json").write_text(
        '{"schema": "reelscope-truth/1", "analyzers": {"speech_flow": {"complete": ["pause"]}}}', encoding="utf-8"
    )
    done = run(output / "cat" / "results.json", tmp_path / "t.json")
    assert done.exit_code == 3, done.output
    assert "nothing could be judged" in done.stdout
    assert "speech_flow: not judged in 1 clip, not in the results (cat)" in done.stdout


def test_files_are_paired_by_name(folders, tmp_path, unused_pipeline):
    shutil.copy(folders / "truth" / "cat.truth.json", tmp_path / "cow.truth.json")
    message = refused(folders / "clips", tmp_path)
    assert f"{folders / 'clips'}: no clip or results for cow; {tmp_path}: no annotation for cat, dog" in message
    (tmp_path / "empty").mkdir()
    assert "no clip" in refused(tmp_path / "empty", tmp_path / "empty")


def test_a_name_may_mean_one_file_only(evaluated, folders, tmp_path, unused_pipeline):
    _, output = evaluated
    shutil.copytree(output, tmp_path / "both")
    shutil.copy(folders / "clips" / "cat.mp4", tmp_path / "both")
    message = refused(tmp_path / "both", folders / "truth")
    assert "cat.mp4 and cat/results.json have one name" in message


def test_one_clip_takes_its_own_annotation_from_a_folder(evaluated, folders, unused_pipeline):
    _, output = evaluated
    done = run(output / "dog" / "results.json", folders / "truth")
    assert done.exit_code == 0, done.output
    assert run(output, folders / "truth" / "dog.truth.json").exit_code == 0


def test_bad_input_is_refused_before_anything_is_analysed(folders, tmp_path, unused_pipeline):
    cat, truth = folders / "clips" / "cat.mp4", folders / "truth" / "cat.truth.json"
    assert "nothing.mp4" in refused(tmp_path / "nothing.mp4", truth, code=4)
    assert "nothing.json" in refused(cat, tmp_path / "nothing.json")
    (tmp_path / "damaged.truth.json").write_text(truth.read_text(encoding="utf-8")[:-5], encoding="utf-8")
    assert "damaged.truth.json: Invalid JSON" in refused(cat, tmp_path / "damaged.truth.json")
    (tmp_path / "damaged.mp4").write_bytes(b"no clip")
    assert "damaged.mp4" in refused(tmp_path / "damaged.mp4", truth, code=4)
    assert "--url" in refused(cat, truth, "--url", "nonsense")


def test_times_after_the_end_name_file_and_place(evaluated, tmp_path, unused_pipeline):
    _, output = evaluated
    late = annotate(tmp_path / "late.truth.json", [7.0], [], 1)
    message = refused(output / "cat" / "results.json", late)
    assert (
        "late.truth.json: analyzers.cut_analysis.events[0]: 7.000 s is outside the clip, which has 2.333 s" in message
    )


def test_damaged_results_are_refused(evaluated, folders, tmp_path, unused_pipeline):
    _, output = evaluated
    values = read(output / "cat" / "results.json")
    del values["analyzers"]["cut_analysis"]["segments"][0]["start"]
    (tmp_path / "results.json").write_text(json.dumps(values), encoding="utf-8")
    message = refused(tmp_path / "results.json", folders / "truth" / "cat.truth.json")
    assert "results.json: not a results file of this version (analyzers.cut_analysis.segments.0" in message


@pytest.mark.parametrize("of", ["results", "truth", "evaluation"])
def test_every_file_has_a_schema(of):
    done = CliRunner().invoke(cli.app, ["schema", of])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["properties"]["schema"]["pattern"].startswith("^reelscope")


def test_there_is_no_other_schema():
    done = CliRunner().invoke(cli.app, ["schema", "nonsense"])
    assert (done.exit_code, "results, truth, evaluation" in done.stderr) == (2, True)
