"""Load, unload, roll and roll back on a running server: what is refused, what is undone, and that no request fails."""

from __future__ import annotations

import itertools
import json
import shutil
import threading

import numpy as np
import pytest
import tiny_models
from onnx import TensorProto, helper

from conftest import a_profile
from reelscope import embedded
from reelscope.embedded import EmbeddedServer
from reelscope.errors import ChangeRefused, ModelUnavailable, UsageError
from reelscope.inference import RepositoryClient
from reelscope.rollout import Rollout, overview

CONFIG = f"""max_batch_size: 8 {tiny_models.CPU}
input [{{ name: "values" data_type: TYPE_FP32 dims: [4] }}]
output [{{ name: "scaled" data_type: TYPE_FP32 dims: [4] }},
        {{ name: "provenance" data_type: TYPE_STRING dims: [1] }}]"""
ENSEMBLE = """name: "{model}_signal" platform: "ensemble" max_batch_size: 8
input [{{ name: "values" data_type: TYPE_FP32 dims: [4] }}]
output [{{ name: "scaled" data_type: TYPE_FP32 dims: [4] }},
        {{ name: "{model}_provenance" data_type: TYPE_STRING dims: [1] }}]
ensemble_scheduling {{ step [ {{ model_name: "{model}" model_version: -1
  input_map {{ key: "values" value: "values" }} output_map {{ key: "scaled" value: "scaled" }}
  output_map {{ key: "provenance" value: "{model}_provenance" }} }} ] }}"""
NUMBERS = itertools.count()


def stated(revision, trained=False):
    keys = ("source", "licence", "precision", "sha256")
    return json.dumps({**dict.fromkeys(keys, "x"), "revision": revision, "trained": trained})


def scaling(factor, provenance, columns=4, *, mixes_rows=False):
    """values [n, 4] -> scaled [n, columns] = values * factor, and provenance [n, 1]."""
    nodes = [
        helper.make_node("Slice", ["values", "zero", "columns", "one"], ["cut"]),
        helper.make_node("Mul", ["cut", "factor"], ["product"]),
        helper.make_node("ReduceMean" if mixes_rows else "Identity", ["product"], ["mean"]),
        helper.make_node("Add" if mixes_rows else "Identity", ["product", "mean"][: 1 + mixes_rows], ["scaled"]),
        helper.make_node("Shape", ["values"], ["rows"], start=0, end=1),
        helper.make_node("Concat", ["rows", "one"], ["size"], axis=0),
        helper.make_node("Expand", ["text", "size"], ["provenance"]),
    ]
    constants = [
        helper.make_tensor("factor", TensorProto.FLOAT, [], [factor]),
        *(helper.make_tensor(name, TensorProto.INT64, [1], [k]) for name, k in (("zero", 0), ("one", 1))),
        helper.make_tensor("columns", TensorProto.INT64, [1], [columns]),
        helper.make_tensor("text", TensorProto.STRING, [1, 1], [provenance.encode()]),
    ]
    outputs = [("scaled", TensorProto.FLOAT, ["n", columns]), ("provenance", TensorProto.STRING, ["n", 1])]
    return tiny_models.graph(nodes, [("values", TensorProto.FLOAT, ["n", 4])], outputs, constants).SerializeToString()


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return tiny_models.write_repositories(tmp_path_factory.mktemp("rollout"))


@pytest.fixture(scope="module")
def rollout(folders):
    with (
        EmbeddedServer(a_profile(), models=["add"], repositories=folders) as server,
        RepositoryClient(server.grpc_url) as client,
    ):
        yield Rollout(client, lambda: folders)


def write_and_load(folders, rollout):
    """A model of its own that triples, and an ensemble over it."""
    name = f"scaling{next(NUMBERS)}"
    tiny_models.write_model(folders[0], name, scaling(3, stated("one")), CONFIG)
    (folders[1] / f"{name}_signal" / "1").mkdir(parents=True)
    (folders[1] / f"{name}_signal" / "config.pbtxt").write_text(ENSEMBLE.format(model=name))
    assert rollout.load(name) == ("1",)
    assert rollout.load(f"{name}_signal") == ("1",)
    return name


@pytest.fixture
def model(folders, rollout):
    """For tests that change what serves."""
    return write_and_load(folders, rollout)


@pytest.fixture(scope="module")
def shared_model(folders, rollout):
    return write_and_load(folders, rollout)


@pytest.fixture
def steady(shared_model, folders):
    """One model for all tests that must leave it serving version 1; its folder is put in order after each."""
    path = folders[0] / shared_model
    config = (path / "config.pbtxt").read_text()
    yield shared_model
    shutil.rmtree(path / "candidate", ignore_errors=True)
    (path / "config.pbtxt").write_text(config)
    assert sorted(each.name for each in path.iterdir()) == ["1", "config.pbtxt"]


@pytest.fixture
def path(folders, request):
    name = next(name for name in ("steady", "model") if name in request.fixturenames)
    return folders[0] / request.getfixturevalue(name)


def propose(path, content):
    (path / "candidate").mkdir()
    (path / "candidate" / "model.onnx").write_bytes(content)


def factor(client, name):
    """What a model multiplies by."""
    answer = client.ask(name, {"values": np.ones((1, 4), np.float32)}, ["scaled"], 10)
    return float(answer.outputs["scaled"][0, 0])


class Traffic:
    """Asks an ensemble again and again; `factors` is what it answered, `failures` what went wrong."""

    def __init__(self, client, ensemble):
        self.factors, self.failures = [], []
        self._client, self._ensemble, self._ended = client, ensemble, threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *error):
        self.await_more()
        self._ended.set()
        self._thread.join()

    def await_more(self, count=20):
        goal = len(self.factors) + count
        while len(self.factors) < goal and not self.failures:
            threading.Event().wait(0.01)

    def _run(self):
        while not self._ended.is_set():
            try:
                self.factors.append(factor(self._client, self._ensemble))
            except Exception as error:  # whatever it is, a caller would have seen it
                self.failures.append(error)


def test_roll_and_roll_back_under_traffic(rollout, model, path, folders):
    first = (path / "1" / "model.onnx").stat()
    propose(path, scaling(5, stated("two")))
    checked, ensemble = [], f"{model}_signal"
    with Traffic(rollout.client, ensemble) as traffic:
        assert rollout.roll(model, on_checked=checked.append).version == "2"
        assert factor(rollout.client, ensemble) == 5
        traffic.await_more()
        assert sorted(folder.name for folder in path.iterdir() if folder.is_dir()) == ["1", "2"]
        assert rollout.roll_back(model).version == "1"
        assert factor(rollout.client, ensemble) == 3
        assert not (path / "2").exists()
        assert rollout.roll(model, version=2).version == "2"
        assert factor(rollout.client, ensemble) == 5
        traffic.await_more()
        rollout.roll_back(model)
    assert traffic.failures == []
    assert set(traffic.factors) == {3.0, 5.0}
    assert (path / "1" / "model.onnx").stat().st_mtime_ns == first.st_mtime_ns
    (found,) = checked
    assert found.serving.provenance["provenance"]["revision"] == "one"
    assert found.candidate.provenance["provenance"]["revision"] == "two"
    assert (found.serving.batch_agreement_ratio, found.candidate.batch_agreement_ratio) == (1, 1)
    assert found.agreement_ratio == 0
    assert not any(folder.name.endswith(".candidate") for folder in folders[0].iterdir())


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (scaling(5, stated("two"))[:300], "Protobuf parsing failed"),
        (b"", "not fit"),
        (scaling(5, stated("two"), columns=3), "config and model.onnx disagree: output scaled has shape"),
        (scaling(float("nan"), stated("two")), "scaled holds 4 values that are no finite number"),
        (scaling(5, stated("two"), mixes_rows=True), "of a batch of two equals its rows"),
        (scaling(5, "{}"), "provenance: licence, precision, revision, sha256, source, trained missing"),
    ],
)
def test_a_candidate_that_is_not_fit_is_refused(rollout, steady, path, folders, content, says):
    propose(path, content)
    with (
        Traffic(rollout.client, f"{steady}_signal") as traffic,
        pytest.raises(ChangeRefused, match=says) as refusal,
    ):
        rollout.roll(steady)
    assert (traffic.failures, set(traffic.factors)) == ([], {3.0})
    assert "At:" not in str(refusal.value)
    assert (path / "candidate" / "model.onnx").read_bytes() == content
    assert not (path / "2").exists()
    rows = [row for row in rollout.client.repository_index() if row.name.startswith(steady)]
    assert [(row.name, row.state) for row in rows if row.state == "READY"] == [
        (steady, "READY"),
        (f"{steady}_signal", "READY"),
    ]
    assert not (folders[0] / f"{steady}.candidate").exists()


def test_a_load_that_fails_after_the_check_is_undone(rollout, model, path):
    """Checked and fit, and then not loaded all the same: here, because the config breaks in between."""
    propose(path, scaling(5, stated("two")))
    config = (path / "config.pbtxt").read_text()
    with Traffic(rollout.client, f"{model}_signal") as traffic:
        with pytest.raises(ChangeRefused, match=r"version 2 did not load.*undone; version 1 serves"):
            rollout.roll(model, on_checked=lambda found: (path / "config.pbtxt").write_text(f"{config} oops {{"))
        (path / "config.pbtxt").write_text(config)
        assert rollout.roll(model).version == "2"
    assert (traffic.failures, set(traffic.factors)) == ([], {3.0, 5.0})


def test_a_candidate_exchanged_after_the_check_is_undone(rollout, steady, path):
    propose(path, scaling(5, stated("two")))
    other = scaling(7, stated("unchecked"))
    with pytest.raises(ChangeRefused, match=r"version 2 is not what was checked.*undone; version 1 serves"):
        rollout.roll(steady, on_checked=lambda found: (path / "candidate" / "model.onnx").write_bytes(other))
    assert (path / "candidate").is_dir()
    assert factor(rollout.client, steady) == 3


def test_random_weights_replace_trained_ones_only_by_force(rollout, folders):
    name = f"scaling{next(NUMBERS)}"
    path = tiny_models.write_model(folders[0], name, scaling(3, stated("one", trained=True)), CONFIG)
    rollout.load(name)
    propose(path, scaling(5, stated("two")))
    with pytest.raises(ChangeRefused, match="its weights are random, the serving version's are trained; --force"):
        rollout.roll(name)
    assert factor(rollout.client, name) == 3
    assert rollout.roll(name, force=True).version == "2"
    assert factor(rollout.client, name) == 5


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("max_batch_size", "max_batch_size {", r"config.pbtxt: not a Triton model config: 1:"),
        ("TYPE_STRING", "TYPE_INT32", "provenance is TYPE_INT32 in the config"),
        # Triton itself would load this, and the ensemble would be gone.
        (
            ',\n        { name: "provenance" data_type: TYPE_STRING dims: [1] }',
            "",
            "output provenance TYPE_STRING .* is gone",
        ),
        ("max_batch_size: 8", "max_batch_size: 4", "takes batches of 4, the serving version of 8; --force"),
    ],
)
def test_a_config_that_is_not_fit_is_refused(rollout, steady, path, old, new, says):
    config = (path / "config.pbtxt").read_text()
    assert old in config
    (path / "config.pbtxt").write_text(config.replace(old, new))
    with (
        Traffic(rollout.client, f"{steady}_signal") as traffic,
        pytest.raises(ChangeRefused, match=f"{says}.*mend the config before.*; version 1 serves"),
    ):
        rollout.roll_config(steady)
    assert (traffic.failures, set(traffic.factors)) == ([], {3.0})


def test_a_changed_config_is_rolled_in(rollout, model, path):
    config = (path / "config.pbtxt").read_text()
    (path / "config.pbtxt").write_text(config.replace("count: 1", "count: 2"))
    with Traffic(rollout.client, f"{model}_signal") as traffic:
        assert rollout.roll_config(model).version == "1"
    assert traffic.failures == []
    (state,) = overview(rollout.client, model)
    assert state.instances == "2 cpu"


def test_a_changed_ensemble_is_checked_too(rollout, steady, folders):
    name = f"{steady}_signal"
    assert rollout.roll_config(name).version == "1"
    config = folders[1] / name / "config.pbtxt"
    config.write_text(config.read_text().replace('key: "scaled"', 'key: "absent"'))
    with pytest.raises(ChangeRefused, match="absent"):
        rollout.roll_config(name)
    assert factor(rollout.client, name) == 3


def test_unload_spares_ensembles(rollout, model):
    ensemble = f"{model}_signal"
    with pytest.raises(ChangeRefused, match=f"takes down {ensemble} at once; --force"):
        rollout.unload(model)
    assert factor(rollout.client, ensemble) == 3
    assert rollout.unload(model, force=True) == (ensemble,)
    with pytest.raises(ModelUnavailable):
        factor(rollout.client, ensemble)
    with pytest.raises(UsageError, match="is not loaded"):
        rollout.unload(model)
    assert rollout.load(model) == ("1",)
    assert factor(rollout.client, ensemble) == 3
    assert rollout.unload(ensemble) == ()
    assert rollout.unload(model) == ()


def test_what_makes_no_sense_is_refused(rollout, steady, path, folders, tmp_path):
    with pytest.raises(UsageError, match=r"has no model nothing; there are: .*add"):
        rollout.unload("nothing")
    with pytest.raises(ChangeRefused, match=r"version 1 serves already.*reelscope models roll"):
        rollout.load(steady)
    with pytest.raises(UsageError, match=f"there is no candidate .*run: reelscope-export {steady} --candidate"):
        rollout.roll(steady)
    with pytest.raises(UsageError, match="no version 7 is set aside; there are: none"):
        rollout.roll(steady, version=7)
    with pytest.raises(ChangeRefused, match="there is no version before 1"):
        rollout.roll_back(steady)
    with pytest.raises(UsageError, match="--repository names the folder"):
        rollout.roll("nothing")
    tiny_models.write_model(folders[0], "unloaded", scaling(3, stated("one")), CONFIG, file="other.onnx")
    with pytest.raises(ChangeRefused, match=r"unloaded did not load: .*1/model\.onnx is missing"):
        rollout.load("unloaded")
    with pytest.raises(ChangeRefused, match="no version serves; run: reelscope models load unloaded"):
        rollout.roll_back("unloaded")
    shutil.copytree(path, tmp_path / steady)
    propose(tmp_path / steady, scaling(5, stated("two")))
    elsewhere = Rollout(rollout.client, lambda: (tmp_path,))
    with pytest.raises(UsageError, match=f"the server does not serve {tmp_path}"):
        elsewhere.roll(steady)
    shutil.copytree(path, tmp_path / steady / "2", dirs_exist_ok=True)
    with pytest.raises(UsageError, match=r"the server's version is 1, the highest in .* is 2"):
        elsewhere.roll_back(steady)
    assert factor(rollout.client, steady) == 3


def test_rolling_back_in_a_copy_is_undone(rollout, model, path, tmp_path):
    """A copy of the repository looks right on disk; the server tells."""
    propose(path, scaling(5, stated("two")))
    rollout.roll(model)
    shutil.copytree(path, tmp_path / model)
    with pytest.raises(ChangeRefused, match=r"version 2 answers instead of 1: is .* what the server serves"):
        Rollout(rollout.client, lambda: (tmp_path,)).roll_back(model)
    assert (tmp_path / model / "2").is_dir()
    assert factor(rollout.client, model) == 5


def test_overview_says_why_and_by_whom(rollout, steady, folders):
    """A model that never loaded, one that failed, one that serves and is used."""
    tiny_models.write_model(folders[0], "broken", b"this is no ONNX", CONFIG)
    with pytest.raises(ChangeRefused, match="broken did not load"):
        rollout.load("broken")
    states = {state.name: state for state in overview(rollout.client)}
    assert states["pick"].reason == "never loaded"
    assert "Protobuf parsing failed" in states["broken"].reason
    assert (states["broken"].serving, states["broken"].kind) == ((), "")
    serving = states[steady]
    assert (serving.serving, serving.reason, serving.kind) == (("1",), "", "onnxruntime")
    assert serving.used_by == (f"{steady}_signal",)
    assert serving.provenance["provenance"]["revision"] == "one"
    assert states[f"{steady}_signal"].provenance == {}, "its models are asked"
    (ensemble,) = overview(rollout.client, f"{steady}_signal")
    assert ensemble.provenance[f"{steady}_provenance"]["revision"] == "one"
    assert states["add"].provenance == {}
    assert overview(rollout.client, "nothing") == ()


def test_the_local_server_follows_over_restarts(tmp_path, monkeypatch):
    """`server status` expects what was rolled in or back, and so does the next start."""
    monkeypatch.setenv("REELSCOPE_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("REELSCOPE_REPOSITORY", str(tmp_path / "models"))
    path = tiny_models.write_model(tmp_path / "models", "scaling", scaling(3, stated("one")), CONFIG)
    propose(path, scaling(5, stated("two")))
    profile = a_profile(models=("scaling",))

    def served(change=None):
        record = embedded.up(profile)
        with RepositoryClient(record.grpc_url) as client:
            if change:
                change(Rollout(client, lambda: record.repositories))
            status = embedded.status()
            assert status is not None
            assert status.models == {"scaling": True}
            return factor(client, "scaling")

    try:
        assert served() == 3
        assert served(lambda rollout: rollout.roll("scaling")) == 5
        assert embedded.down()
        assert served() == 5
        assert served(lambda rollout: rollout.roll_back("scaling")) == 3
        assert embedded.down()
        assert served() == 3
    finally:
        embedded.down()
