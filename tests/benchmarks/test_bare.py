"""Models without Triton answer as they do on the server: the same bits, for graphs, ensembles and Python models."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest

from benchmarks.asking import sample
from benchmarks.bare import BareModels
from reelscope import settings
from reelscope.embedded import EmbeddedServer
from reelscope.embedded.deployment import ServedModel
from reelscope.inference import InferenceClient, RepositoryClient
from reelscope_export.ensembles import ENSEMBLES

bare: BareModels
"""In a process of its own: the models' libraries leave threads and signal handlers behind."""


def open_bare(models):
    global bare
    bare = BareModels(models)


def ask_bare(name, inputs, outputs):
    return bare.infer(name, inputs, outputs)


@pytest.fixture(scope="module")
def served(built_repository, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REELSCOPE_REPOSITORY", str(built_repository))
        patch.setenv("REELSCOPE_STATE", str(tmp_path_factory.mktemp("state")))
        with EmbeddedServer(settings.profile("cpu")) as server, InferenceClient(server.grpc_url) as client:
            assert not server.failed
            spawn = multiprocessing.get_context("spawn")
            with ProcessPoolExecutor(1, spawn, open_bare, (server.models,)) as process:
                yield client, {model.name: model for model in server.models}, process


@pytest.mark.parametrize("ensemble", ENSEMBLES, ids=lambda each: each.name)
def test_an_ensemble_answers_as_on_the_server(served, ensemble):
    client, models, process = served
    inputs = {each.name: sample(each, 2, batched=ensemble.max_batch_size > 0) for each in ensemble.inputs}
    names = [output["name"] for output in models[ensemble.name].config["output"]]
    expected = client.ask(ensemble.name, inputs, names, 120).result()
    found = process.submit(ask_bare, ensemble.name, inputs, names).result()
    assert found.keys() == expected.keys() == set(names)
    for name in names:
        if expected[name].dtype == object or name == "seconds":
            continue  # strings are bytes on the wire, and text in onnxruntime; times are never the same
        assert np.array_equal(found[name], expected[name], equal_nan=True), name


TELLING_MODEL = """
import json
import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def initialize(self, args):
        self.said = json.loads(args["model_config"])["parameters"]["empty"]["string_value"]

    def execute(self, requests):
        length = np.array([len(self.said)], np.int32)
        return [pb_utils.InferenceResponse([pb_utils.Tensor("length", length)]) for _ in requests]
"""


def test_an_empty_parameter_reaches_a_python_model(tmp_path):
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "model.py").write_text(TELLING_MODEL)
    text = 'backend: "python" instance_group { kind: KIND_CPU } parameters { key: "empty" value { string_value: "" } }'
    telling = BareModels([ServedModel("telling", tmp_path, RepositoryClient.parse_config(text), ("1",))])
    assert telling.infer("telling", {}, ["length"])["length"].tolist() == [0]
