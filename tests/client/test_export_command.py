"""The command writes every format beside the results or where it is wanted, completely or not at all."""

from __future__ import annotations

import json

import pytest
from exporting import detected, file, nasty, result
from typer.testing import CliRunner

from places import CHECKOUT
from reelscope import cli, results
from reelscope.exports import FORMATS


def run(*arguments):
    return CliRunner().invoke(cli.app, ["convert", *map(str, arguments)])


@pytest.fixture
def place(tmp_path):
    """A results file that every format can be made of."""
    said = result(summary={"text": ""})
    found = {**detected(), "text_overlay": nasty(), "color_analysis": result(), "speech_transcription": said}
    values = file(found, shots=[0.0, 10.0])
    path = tmp_path / "results.json"
    results.write(values, path)
    return path


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
def test_files_lie_beside_the_results_or_where_they_are_wanted(place, tmp_path, form):
    done = run(place, "--to", form.name)
    assert done.exit_code == 0, done.output
    found = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.*")} - {"results.json"}
    for pattern in form.files.split(", "):
        assert any(name.endswith(pattern.removeprefix("ANALYZER")) for name in found) or "series" in pattern
    wanted = tmp_path / "new" / ("folder" if form.is_folder else "one.file")
    assert run(place, "--to", form.name, "-o", wanted).exit_code == 0
    if form.is_folder:
        assert {str(path.relative_to(wanted)) for path in wanted.rglob("*.*")} == found
    else:
        assert wanted.read_bytes() == (tmp_path / form.files).read_bytes()
    assert not list(tmp_path.rglob("*.tmp"))


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
def test_damaged_results_are_named_and_leave_nothing_behind(place, tmp_path, form):
    values = json.loads(place.read_text("utf-8"))
    values["media"] = values["shots"] = 5
    values["analyzers"] = [5]
    place.write_text(json.dumps(values), "utf-8")
    done = run(place, "--to", form.name)
    assert done.exit_code == 2
    assert f"(results_invalid): these results cannot be written as {form.name}" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]


def test_what_the_command_refuses(place, tmp_path):
    assert "--to is one of srt, vtt, chapters, metadata, csv, otio, coco" in run(place, "--to", "edl").stderr
    (tmp_path / "a file").write_text("")
    for arguments in (("--to", "csv", "-o", tmp_path / "a file"), ("--to", "otio", "-o", tmp_path)):
        done = run(place, *arguments)
        assert (done.exit_code, "cannot be written" in done.stderr) == (2, True)
    done = run(place, "--to", "coco", "--clip", "clip.mp4")
    assert (done.exit_code, "--clip is for otio" in done.stderr) == (2, True)


def test_the_readme_and_the_help_name_every_format():
    readme = (CHECKOUT / "README.md").read_text("utf-8")
    told = " ".join(run("--help").stdout.split())
    for form in FORMATS:
        assert f"| {form.name} | {form.title} | {form.files} |" in readme
        assert f"{form.name}: " in told
    assert f"--to {'|'.join(form.name for form in FORMATS)}" in readme
