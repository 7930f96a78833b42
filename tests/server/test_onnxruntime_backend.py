"""The onnxruntime backend on the real server: results, batching, failures that stay alone, refused configs."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tiny_models
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from conftest import a_profile
from reelscope.embedded import EmbeddedServer
from reelscope.errors import InferenceError
from reelscope.inference import RepositoryClient
from settled import settled

PROVENANCE = b'{"name": "frame_sum", "trained": false}'


def tensors(arrays):
    built = []
    for name, array in arrays.items():
        tensor = triton.InferInput(name, array.shape, np_to_triton_dtype(array.dtype))
        tensor.set_data_from_numpy(array)
        built.append(tensor)
    return built


def ask(client, model, arrays, outputs=None):
    wanted = None if outputs is None else [triton.InferRequestedOutput(name) for name in outputs]
    answer = client.infer(model, tensors(arrays), outputs=wanted, client_timeout=20)
    return {output.name: answer.as_numpy(output.name) for output in answer.get_response().outputs}


def ask_together(client, model, requests):
    """Send all requests at once; returns results and exceptions in their order."""

    def one(arrays):
        try:
            return client.infer(model, tensors(arrays), client_timeout=20)
        except InferenceServerException as error:
            return error

    with ThreadPoolExecutor(len(requests)) as pool:
        return list(pool.map(one, requests))


def counts(client, model):
    def read():
        statistics = client.get_inference_statistics(model).model_stats[0]
        return statistics.inference_count, statistics.execution_count

    return settled(read)


def frames(count, height=6, width=4, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def test_result_is_right(client):
    a = np.arange(8, dtype=np.float32).reshape(2, 4)
    np.testing.assert_array_equal(ask(client, "add", {"a": a, "b": a[::-1].copy()})["total"], a + a[::-1])


def test_frames_and_strings(client):
    pixels = frames(5, 160, 320)
    answer = ask(client, "frame_sum", {"frames": pixels})
    np.testing.assert_array_equal(answer["sums"], pixels.sum(axis=(1, 2), dtype=np.int64).astype(np.float32))
    assert answer["provenance"].ravel().tolist() == [PROVENANCE] * 5


def test_only_requested_outputs_return(client):
    assert set(ask(client, "frame_sum", {"frames": frames(1)}, outputs=["sums"])) == {"sums"}
    assert set(ask(client, "frame_sum", {"frames": frames(1)})) == {"sums", "provenance"}


@pytest.mark.parametrize("rows", [0, 1, 3])
def test_every_type_passes_unchanged(client, rows):
    rng = np.random.default_rng(1)
    arrays = {
        "in_BOOL": rng.integers(0, 2, (rows, 2)).astype(bool),
        "in_STRING": np.array([["", "ä€😀"], ["b" * 1000, " c "], ['{"d": 1}', "e\n"]], dtype=np.object_)[:rows],
    }
    for name, dtype in [("UINT8", "u1"), ("INT8", "i1"), ("INT32", "i4"), ("INT64", "i8")]:
        arrays[f"in_{name}"] = rng.integers(0, 127, (rows, 2)).astype(dtype)
    for name, dtype in [("FP16", "f2"), ("FP32", "f4"), ("FP64", "f8")]:
        arrays[f"in_{name}"] = rng.random((rows, 2)).astype(dtype)
    answer = ask(client, "identity", arrays)
    for name, sent in arrays.items():
        got = answer[name.replace("in_", "out_")]
        expected = np.array([text.encode() for text in sent.flat]).reshape(sent.shape) if sent.dtype == object else sent
        assert got.shape == sent.shape, name
        assert got.tolist() == expected.tolist(), name


def test_no_rows_in_a_batched_model_are_refused_clearly(client):
    with pytest.raises(InferenceServerException, match="byte size mismatch"):
        ask(client, "add", {"a": np.zeros((0, 4), np.float32), "b": np.zeros((0, 4), np.float32)})


def test_optional_and_scalar_inputs(client):
    values = np.array([1, 2, 3], np.float32)
    assert ask(client, "scale", {"values": values})["scaled"].tolist() == [2, 4, 6]
    answer = ask(client, "scale", {"values": values, "factor": np.array([5], np.float32)})
    assert answer["scaled"].tolist() == [5, 10, 15]
    assert answer["total"].tolist() == [30]


def test_batched_equals_single(client):
    requests = [{"frames": frames(1 + index % 2, seed=index)} for index in range(6)]
    single = [ask(client, "frame_sum", request)["sums"] for request in requests]
    before = counts(client, "frame_sum")
    together = ask_together(client, "frame_sum", requests)
    after = counts(client, "frame_sum")
    for alone, answer in zip(single, together, strict=True):
        np.testing.assert_array_equal(answer.as_numpy("sums"), alone)
        assert answer.as_numpy("provenance").ravel().tolist() == [PROVENANCE] * len(alone)
    rows, executions = (now - then for now, then in zip(after, before, strict=True))
    assert rows == 9
    assert executions < 6, "the requests were not batched, so this test showed nothing"


def test_requests_of_different_shapes_at_once(client):
    requests = [{"frames": frames(1, 4 + index % 3, 5, seed=index)} for index in range(6)]
    for request, answer in zip(requests, ask_together(client, "frame_sum", requests), strict=True):
        expected = request["frames"].sum(axis=(1, 2), dtype=np.int64)
        np.testing.assert_array_equal(answer.as_numpy("sums"), expected.astype(np.float32))


def test_a_bad_request_fails_alone(client):
    indices = [0, 1, 99, 2, 3]
    before = counts(client, "pick")
    answers = ask_together(client, "pick", [{"index": np.array([[index]])} for index in indices])
    assert isinstance(answers[2], InferenceServerException)
    assert "pick" in answers[2].message()
    assert "out of" in answers[2].message()
    assert [answer.as_numpy("value").item() for answer in answers[:2] + answers[3:]] == [10, 20, 30, 40]
    # One batch of five at most, and the good ones counted: the bad one was among the others.
    assert counts(client, "pick")[1] - before[1] < 5


def test_many_requests_leak_nothing(client):
    def stub_bytes():
        pages = 0
        for status in Path("/proc").glob("[0-9]*/statm"):
            arguments = (status.parent / "cmdline").read_bytes() if status.exists() else b""
            if b"python_backend_stub" in arguments and b"/identity/" in arguments:
                pages += int(status.read_text().split()[1])
        return pages * 4096

    # Inputs may differ in length: nothing is batched.
    arrays = {"in_STRING": np.full((400, 2), "text " * 50, dtype=np.object_)}
    for name, dtype in zip(tiny_models.IDENTITY_TYPES, ["?", "u1", "i1", "i4", "i8", "f2", "f4", "f8"], strict=False):
        arrays[f"in_{name}"] = np.zeros((2000, 2), dtype)
    for _ in range(30):
        ask(client, "identity", arrays)
    before = stub_bytes()
    for _ in range(150):
        ask(client, "identity", arrays)
    assert before > 0
    assert stub_bytes() - before < 8e6


def test_python_model_and_ensemble_return_strings(client):
    pixels = frames(3)
    answer = ask(client, "described", {"frames": pixels})
    sums = pixels.sum(axis=(1, 2), dtype=np.int64)
    assert answer["words"].ravel().tolist() == [" ".join(map(str, row)).encode() for row in sums]
    assert answer["frame_sum_provenance"].ravel().tolist() == [PROVENANCE] * 3


FRAMES_INPUT = 'input [{ name: "frames" data_type: TYPE_UINT8 dims: [-1, -1, 3] }]'
SUMS_OUTPUT = 'output [{ name: "sums" data_type: TYPE_FP32 dims: [3] }]'
HEAD = f"max_batch_size: 8 {tiny_models.CPU}"
REFUSED = {
    "wrong_type": (
        f'{HEAD} input [{{ name: "frames" data_type: TYPE_FP32 dims: [-1, -1, 3] }}] {SUMS_OUTPUT}',
        "input frames is TYPE_FP32 in the config and TYPE_UINT8 in model.onnx",
    ),
    "wrong_rank": (
        f'{HEAD} input [{{ name: "frames" data_type: TYPE_UINT8 dims: [-1, 3] }}] {SUMS_OUTPUT}',
        "input frames has shape [-1, -1, 3] in the config and [-1, -1, -1, 3] in model.onnx",
    ),
    "wrong_dim": (
        f'{HEAD} {FRAMES_INPUT} output [{{ name: "sums" data_type: TYPE_FP32 dims: [4] }}]',
        "output sums has shape [-1, 4] in the config and [-1, 3] in model.onnx",
    ),
    "wrong_output_name": (
        f'{HEAD} {FRAMES_INPUT} output [{{ name: "totals" data_type: TYPE_FP32 dims: [3] }}]',
        "output totals is not in model.onnx, which has provenance, sums",
    ),
    "wrong_input_name": (
        f'{HEAD} input [{{ name: "images" data_type: TYPE_UINT8 dims: [-1, -1, 3] }}] {SUMS_OUTPUT}',
        "input frames of model.onnx is not in the config; input images is not in model.onnx",
    ),
    "unnecessary_option": (
        f'{HEAD} input [{{ name: "frames" data_type: TYPE_UINT8 dims: [-1, -1, 3] optional: true }}] {SUMS_OUTPUT}',
        "input frames cannot be optional",
    ),
    "on_gpu": (
        f"max_batch_size: 8 instance_group [{{ kind: KIND_GPU count: 1 }}] {FRAMES_INPUT} {SUMS_OUTPUT}",
        "GPU",
    ),
    "with_sequences": (
        f"{HEAD} {FRAMES_INPUT} {SUMS_OUTPUT} sequence_batching {{ }}",
        "does not serve sequence_batching",
    ),
    "bad_parameter": (
        f'{HEAD} {FRAMES_INPUT} {SUMS_OUTPUT} parameters {{ key: "execution_mode" value {{ string_value: "fast" }} }}',
        "parameter execution_mode must be a number from 0 to 1, not 'fast'",
    ),
    "without_tensors": (HEAD, "input"),
    "without_file": (
        f'{HEAD} {FRAMES_INPUT} {SUMS_OUTPUT} default_model_filename: "gone.onnx"',
        "1/gone.onnx is missing; build it: reelscope-export without_file --profile NAME",
    ),
    "garbage": (f"{HEAD} {FRAMES_INPUT} {SUMS_OUTPUT}", "garbage: 1/model.onnx cannot be opened ("),
    "truncated": (
        f"{HEAD} {FRAMES_INPUT} {SUMS_OUTPUT}",
        "build it again: reelscope-export truncated --profile NAME --force",
    ),
}
TUNED = """parameters [
  { key: "intra_op_thread_count" value { string_value: "1" } },
  { key: "inter_op_thread_count" value { string_value: "1" } },
  { key: "execution_mode" value { string_value: "1" } },
  { key: "enable_mem_arena" value { string_value: "1" } },
  { key: "memory.enable_memory_arena_shrinkage" value { string_value: "cpu:0" } },
  { key: "enable_mem_pattern" value { string_value: "0" } },
  { key: "session.use_device_allocator_for_initializers" value { string_value: "1" } }
] optimization { graph { level: 1 } } default_model_filename: "cpu.onnx" """


@pytest.fixture(scope="module")
def refusing(tmp_path_factory):
    """A server beside whose one good model lie models that it must not load."""
    folder = tmp_path_factory.mktemp("refused")
    for name, (config, _) in REFUSED.items():
        whole = tiny_models.frame_sum()
        damaged = {"without_file": None, "garbage": b"no graph", "truncated": whole.SerializeToString()[:200]}
        model = damaged.get(name, whole)
        tiny_models.write_model(folder, name, model, config)
    config = f"{HEAD} {FRAMES_INPUT} {SUMS_OUTPUT} {TUNED}"
    tiny_models.write_model(folder, "tuned", tiny_models.frame_sum(), config, file="cpu.onnx")
    with EmbeddedServer(a_profile(), models=["tuned"], repositories=[folder]) as running:
        yield running


@pytest.mark.parametrize("name", REFUSED)
def test_config_is_refused_with_its_reason(refusing, name):
    with RepositoryClient(refusing.grpc_url) as repository:
        with pytest.raises(InferenceError) as refusal:
            repository.load_model(name, 30)
        assert REFUSED[name][1] in str(refusal.value)
        assert name in str(refusal.value)
        assert not repository.is_model_ready(name)


def test_native_parameters_are_understood(refusing):
    with triton.InferenceServerClient(refusing.grpc_url) as connection:
        pixels = frames(2)
        np.testing.assert_array_equal(
            ask(connection, "tuned", {"frames": pixels})["sums"], pixels.sum(axis=(1, 2), dtype=np.int64)
        )
