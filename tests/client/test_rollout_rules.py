"""Rolling versions, the parts that need no server: folders on disk, what counts as equal, made-up inputs, usage."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from reelscope import cli
from reelscope.errors import ChangeRefused, UsageError
from reelscope.inference import IndexRow, RepositoryClient, sample_inputs
from reelscope.rollout.comparison import agreement, read_provenance
from reelscope.rollout.folder import ModelFolder
from reelscope.rollout.overview import ModelState, ready_versions

CONFIG = 'name: "m" backend: "onnxruntime" max_batch_size: 4 instance_group [{ count: 2 kind: KIND_CPU }]'


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "models" / "m"
    (path / "configs").mkdir(parents=True)
    (path / "config.pbtxt").write_text(CONFIG)
    (path / "configs" / "cpu.pbtxt").write_text(CONFIG.replace("4", "2"))
    return ModelFolder.find("m", (tmp_path, tmp_path / "models"))


def make(folder, *names):
    for name in names:
        (folder.path / name).mkdir()
        (folder.path / name / "model.onnx").write_bytes(name.encode())


def test_versions_are_numbers_in_order(folder):
    make(folder, "10", "9", "2", "candidate", "rolled-back-11")
    (folder.path / "12").write_text("a file")
    assert folder.versions == (2, 9, 10)
    assert folder.rolled_back == (11,)


def test_a_number_is_never_given_twice(folder):
    make(folder, "candidate")
    candidate = folder.candidate(None)
    assert folder.next_version(candidate) == 1
    make(folder, "1", "2", "rolled-back-3")
    assert folder.next_version(candidate) == 4
    assert folder.next_version(folder.candidate(3)) == 3, "its own, as no other had it"
    make(folder, "4")
    assert folder.next_version(folder.candidate(3)) == 5, "below 4 it would not serve"


def test_candidates_that_are_none(folder):
    with pytest.raises(UsageError, match="there is no candidate"):
        folder.candidate(None)
    make(folder, "candidate", "rolled-back-2")
    with pytest.raises(UsageError, match="no version 3 is set aside; there are: 2"):
        folder.candidate(3)
    (folder.path / "candidate" / ".cpu.onnx.ab12.tmp").touch()
    with pytest.raises(UsageError, match="an export is writing there"):
        folder.candidate(None)


def test_alias_is_the_model_under_another_name_and_gone_afterwards(folder):
    make(folder, "candidate")
    with folder.alias(folder.candidate(None)) as name:
        alias = folder.path.parent / name
        assert name == "m.candidate"
        for config, size in (("config.pbtxt", 4), ("configs/cpu.pbtxt", 2)):
            parsed = RepositoryClient.parse_config((alias / config).read_text())
            expected = RepositoryClient.parse_config(CONFIG) | {"name": name, "max_batch_size": size}
            assert parsed == expected
        assert (alias / "1" / "model.onnx").read_bytes() == b"candidate"
        assert not (alias / "1").readlink().is_absolute()
    assert not alias.exists()
    assert (folder.path / "candidate" / "model.onnx").exists(), "the link was removed, not what it points to"


def test_alias_of_a_config_that_does_not_parse(folder):
    make(folder, "1")
    (folder.path / "configs" / "cpu.pbtxt").write_text("name: {")
    with pytest.raises(ChangeRefused, match=r"m/configs/cpu\.pbtxt: not a Triton model config: 1:"):
        folder.alias(folder.path / "1").__enter__()
    assert [each.name for each in folder.path.parent.iterdir()] == ["m"]


def test_one_command_at_a_time(folder):
    with folder.locked(), pytest.raises(ChangeRefused, match="another command is changing it"), folder.locked():
        pass
    with folder.locked():
        pass


def test_unknown_model_names_where_it_was_sought(tmp_path):
    with pytest.raises(UsageError, match=f"no model x in {tmp_path}; --repository"):
        ModelFolder.find("x", (tmp_path,))


def test_agreement_counts_equal_elements():
    one = {"numbers": np.array([1.0, 100.0, -1.0, 0.0], np.float32), "ids": np.array([1, 2, 3, 4])}
    assert agreement(one, one) == 1
    close = one | {"numbers": np.array([1.0009, 100.09, -1.0, 0.0009], np.float32)}
    assert agreement(one, close) == 1
    far = one | {"numbers": np.array([1.002, 100.2, np.nan, 0.0], np.float32)}
    assert agreement(one, far) == 5 / 8
    assert agreement(one, one | {"ids": np.array([1, 2, 3])}) == 4 / 8
    assert agreement({}, {}) == 1
    assert agreement({"none": np.zeros((0, 4))}, {"none": np.zeros((0, 4))}) == 1


def test_provenance_that_cannot_be_read():
    whole = dict.fromkeys(("source", "revision", "sha256", "licence", "precision", "trained"), "x")
    assert read_provenance(np.array([json.dumps(whole).encode()], object)) == whole
    del whole["sha256"]
    for text, says in ((json.dumps(whole), "sha256 missing"), ("[]", "no JSON object"), ("}", "Expecting value")):
        with pytest.raises(ValueError, match=says):
            read_provenance(np.array([[text.encode()]], object))
    with pytest.raises(ValueError, match="no JSON object"):
        read_provenance(np.zeros((0, 1), object))


def inputs(*items, rows=2, max_batch_size=8):
    listed = [dict(zip(("name", "data_type", "dims", "optional"), item, strict=False)) for item in items]
    return sample_inputs({"max_batch_size": max_batch_size, "input": listed}, rows)


def test_made_up_inputs_fit_the_config():
    arrays = inputs(
        ("frames", "TYPE_UINT8", ["-1", "-1", "3"]),
        ("waveform", "TYPE_FP32", ["-1"]),
        ("mel", "TYPE_FP16", ["80", "-1"]),
        ("ids", "TYPE_INT64", [7]),
        ("text", "TYPE_STRING", [1]),
        ("flag", "TYPE_BOOL", [1]),
        ("spare", "TYPE_FP32", [1], True),
    )
    found = {name: (array.shape, array.dtype.name) for name, array in arrays.items()}
    assert found == {
        "frames": ((2, 360, 640, 3), "uint8"),
        "waveform": ((2, 16000), "float32"),
        "mel": ((2, 80, 2), "float16"),
        "ids": ((2, 7), "int64"),
        "text": ((2, 1), "object"),
        "flag": ((2, 1), "bool"),
    }
    assert arrays["frames"].std() == pytest.approx(73.9, abs=0.5), "texture, not a flat picture"
    assert np.abs(arrays["waveform"]).max() < 1
    assert not (arrays["frames"][0] == arrays["frames"][1]).all()
    again = inputs(("frames", "TYPE_UINT8", ["-1", "-1", "3"]))
    assert (again["frames"] == arrays["frames"]).all()


def test_made_up_inputs_of_models_without_batches():
    arrays = inputs(("frames", "TYPE_UINT8", ["-1", "-1", "-1", "3"]), max_batch_size=0)
    assert arrays["frames"].shape == (2, 360, 640, 3)
    assert sample_inputs({}, rows=1) == {}


def state(*rows, config=None):
    versions = tuple(IndexRow("m", *row) for row in rows)
    return ModelState(name="m", versions=versions, config=config, provenance={}, used_by=())


def test_reason_is_given_only_for_what_does_not_serve():
    """Triton lists every version that it ever unloaded or failed to load."""
    failed = ("3", "UNAVAILABLE", "Internal: broken")
    serving = state(("1", "UNAVAILABLE", "unloaded"), ("2", "READY", ""), failed)
    assert (serving.serving, serving.reason) == (("2",), "")
    assert state(("1", "UNAVAILABLE", "unloaded"), failed).reason == "Internal: broken"
    assert state(("1", "LOADING", "")).reason == "loading"
    assert state(("", "", "")).reason == "never loaded"
    groups = {"instance_group": [{"count": 2, "kind": "KIND_GPU"}]}
    assert state(("1", "READY", ""), config=groups | {"platform": "ensemble"}).instances == "2 gpu"
    index = [IndexRow("m", "10", "READY", ""), IndexRow("m", "9", "READY", ""), IndexRow("n", "1", "READY", "")]
    assert ready_versions(index, "m") == ("9", "10")


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("list",), 5, "no local server is running; --url names another; run: reelscope server up"),
        (("roll", "m"), 5, "no local server is running"),
        (("list", "--url", "localhost"), 2, "--url is HOST:PORT"),
        (("list", "--url", "127.0.0.1:1"), 5, "no Triton server answers at 127.0.0.1:1"),
        (("roll", "m", "--repository", "/nonexistent"), 2, "--repository /nonexistent: no such folder"),
    ],
)
def test_commands_without_a_server(tmp_path, monkeypatch, arguments, code, says):
    monkeypatch.setenv("REELSCOPE_STATE", str(tmp_path))
    done = CliRunner().invoke(cli.app, ["models", *arguments])
    assert done.exit_code == code
    assert says in done.stderr
    assert "Traceback" not in done.output


def test_help_teaches(monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    shown = CliRunner().invoke(cli.app, ["models", "--help"])
    assert shown.exit_code == 0
    for words in ("reelscope-export MODEL --candidate", "models roll", "models rollback", "--config", "Exit codes"):
        assert words in shown.stdout
    for command in ("list", "status", "load", "unload", "roll", "rollback"):
        assert CliRunner().invoke(cli.app, ["models", command, "--help"]).exit_code == 0
