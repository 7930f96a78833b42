"""The real detector changes version under a client that never stops asking: nothing fails, results say who answered."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

import clips
from reelscope import settings
from reelscope.embedded import EmbeddedServer
from reelscope.errors import ReelscopeError
from reelscope.inference import RepositoryClient, sample_inputs

MODEL = "object_yolov8"
ENSEMBLES = settings.deployment_root() / "ensembles"


class Loop:
    """Asks the ensemble `detections` again and again, as clients do: who answered, and what failed."""

    def __init__(self, url: str) -> None:
        self.revisions: list[str] = []
        self.failures: list[ReelscopeError] = []
        self._url, self._ended = url, threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Loop:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        output = f"{MODEL}_provenance"
        with RepositoryClient(self._url) as client:
            inputs = sample_inputs(client.model_config("detections"), rows=1, frame_px=(160, 90))
            while not self._ended.is_set():
                try:
                    answer = client.ask("detections", inputs, ["boxes_xyxy", output], 60)
                    self.revisions.append(json.loads(answer.outputs[output].item())["revision"])
                except ReelscopeError as error:
                    self.failures.append(error)


@pytest.fixture
def repository(built_repository, tmp_path) -> Path:
    """A copy of the built detector, which may be changed."""
    shutil.copytree(built_repository / MODEL, tmp_path / "models" / MODEL)
    return tmp_path / "models"


@pytest.fixture
def server(environment, repository) -> Iterator[EmbeddedServer]:
    with serve(repository) as running:
        yield running


def serve(repository: Path) -> EmbeddedServer:
    return EmbeddedServer(settings.profile("cpu"), models=[MODEL], repositories=[repository, ENSEMBLES])


def graph(repository: Path) -> onnx.ModelProto:
    return onnx.load(repository / MODEL / "1" / "cpu.onnx")


def restamped(model: onnx.ModelProto, revision: str) -> bytes:
    """The same network under another provenance."""
    text = next(value for value in model.graph.initializer if value.name == "provenance_json")
    stated = json.loads(numpy_helper.to_array(text).item()) | {"revision": revision}
    text.CopyFrom(numpy_helper.from_array(np.array([[json.dumps(stated)]], dtype=object), text.name))
    return model.SerializeToString()


def reshaped(model: onnx.ModelProto) -> bytes:
    """The same network, one box fewer."""
    model.graph.node.append(helper.make_node("Slice", ["boxes_xyxy", "from", "to", "axis"], ["fewer"]))
    for name, value in (("from", 0), ("to", 299), ("axis", 1)):
        model.graph.initializer.append(helper.make_tensor(name, onnx.TensorProto.INT64, [1], [value]))
    boxes = next(output for output in model.graph.output if output.name == "boxes_xyxy")
    for node in model.graph.node:
        node.output[:] = ["all_boxes" if name == "boxes_xyxy" else name for name in node.output]
        node.input[:] = ["all_boxes" if name == "boxes_xyxy" else name for name in node.input]
        node.output[:] = ["boxes_xyxy" if name == "fewer" else name for name in node.output]
    boxes.type.tensor_type.shape.dim[1].dim_value = 299
    return model.SerializeToString()


def test_the_detector_is_rolled_and_rolled_back_under_a_live_loop(cli, server, repository, tmp_path):
    folder = repository / MODEL
    clip = clips.write(tmp_path / "clip.mp4", clips.shots((6,), 12))

    def models(*arguments: str, code: int = 0) -> str:
        done = cli("models", *arguments, "--url", server.grpc_url)
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout + done.stderr

    def answered() -> tuple[str, str]:
        """Version and revision that the next analysis reports."""
        done = cli("analyze", clip, "-o", tmp_path / "out", "--only", "object_detection", "--url", server.grpc_url)
        assert done.returncode == 0, done.stderr
        results = json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))
        (model,) = results["analyzers"]["object_detection"]["models"]
        return model["version"], model["revision"]

    def propose(content: bytes) -> None:
        (folder / "candidate").mkdir(exist_ok=True)
        (folder / "candidate" / "cpu.onnx").write_bytes(content)

    here = ("--repository", str(repository))
    first = answered()
    with Loop(server.grpc_url) as loop:
        propose(restamped(graph(repository), "second"))
        assert "version 2 serves, before it 1" in models("roll", MODEL, *here)
        assert answered() == ("2", "second")

        for content, says in (
            (restamped(graph(repository), "third")[:1_000_000], "Protobuf parsing failed"),
            (reshaped(graph(repository)), "output boxes_xyxy has shape"),
        ):
            propose(content)
            assert says in models("roll", MODEL, *here, code=1)
        config = folder / "configs" / "cpu.pbtxt"
        text = config.read_text(encoding="utf-8")
        for broken, says in (
            (text + "oops {", "configs/cpu.pbtxt: not a Triton model config"),
            (text.replace("[300, 4]", "[299, 4]"), "the config and cpu.onnx disagree"),
        ):
            config.write_text(broken, encoding="utf-8")
            assert says in models("roll", MODEL, *here, "--config", code=1)
        config.write_text(text, encoding="utf-8")
        assert "takes down detections" in models("unload", MODEL, code=1)
        assert answered() == ("2", "second")
        assert "version 2" in models("list")
        assert "second" in models("status", MODEL)

        assert "version 1 serves; version 2 is set aside" in models("rollback", MODEL, *here)
        assert answered() == first
        seen = len(loop.revisions)
    assert loop.failures == []
    assert seen > 50
    assert set(loop.revisions) == {first[1], "second"}
    changes = [pair for pair in zip(loop.revisions, loop.revisions[1:], strict=False) if pair[0] != pair[1]]
    assert changes == [(first[1], "second"), ("second", first[1])]
    server.stop()
    with serve(repository) as restarted, RepositoryClient(restarted.grpc_url) as client:
        assert [row.version for row in client.repository_index() if row.name == MODEL] == ["1"]
