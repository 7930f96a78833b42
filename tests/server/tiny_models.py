"""Model repositories small enough to load in a blink, written into a temporary folder."""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import TensorProto, helper

CPU = "instance_group [{ kind: KIND_CPU count: 1 }]"
BATCHING = "dynamic_batching { max_queue_delay_microseconds: 200000 }"


def graph(nodes, inputs, outputs, initializers=()):
    values = [[helper.make_tensor_value_info(*spec) for spec in specs] for specs in (inputs, outputs)]
    body = helper.make_graph(nodes, "tiny", *values, initializer=list(initializers))
    return helper.make_model(body, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def write_model(repository: Path, name: str, model: onnx.ModelProto | bytes | None, config: str, file="model.onnx"):
    """Write `config` (the part after backend) and `1/<file>`; no file for None."""
    version = repository / name / "1"
    version.mkdir(parents=True)
    (repository / name / "config.pbtxt").write_text(f'name: "{name}" backend: "onnxruntime" {config}')
    if model is not None:
        (version / file).write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
    return repository / name


def add():
    spec = [(name, TensorProto.FLOAT, ["n", 4]) for name in ("a", "b", "total")]
    return graph([helper.make_node("Add", ["a", "b"], ["total"])], spec[:2], spec[2:])


ADD_CONFIG = f"""max_batch_size: 8 {CPU} {BATCHING}
input [{{ name: "a" data_type: TYPE_FP32 dims: [4] }}, {{ name: "b" data_type: TYPE_FP32 dims: [4] }}]
output [{{ name: "total" data_type: TYPE_FP32 dims: [4] }}]"""


def frame_sum():
    """uint8 frames [n, height, width, 3] -> their sum per channel, and one provenance string per frame."""
    strings = helper.make_tensor("text", TensorProto.STRING, [1], [b'{"name": "frame_sum", "trained": false}'])
    axes = helper.make_tensor("axes", TensorProto.INT64, [2], [1, 2])
    return graph(
        [
            helper.make_node("Cast", ["frames"], ["floats"], to=TensorProto.FLOAT),
            helper.make_node("ReduceSum", ["floats", "axes"], ["sums"], keepdims=0),
            helper.make_node("Shape", ["frames"], ["rows"], start=0, end=1),
            helper.make_node("Expand", ["text", "rows"], ["provenance"]),
        ],
        [("frames", TensorProto.UINT8, ["n", "height", "width", 3])],
        [("sums", TensorProto.FLOAT, ["n", 3]), ("provenance", TensorProto.STRING, ["n"])],
        [strings, axes],
    )


FRAME_SUM_CONFIG = f"""max_batch_size: 8 {CPU} {BATCHING}
input [{{ name: "frames" data_type: TYPE_UINT8 dims: [-1, -1, 3] }}]
output [
  {{ name: "sums" data_type: TYPE_FP32 dims: [3] }},
  {{ name: "provenance" data_type: TYPE_STRING dims: [1] reshape {{ shape: [] }} }}
]"""


def pick():
    """Row of a table of 4; fails while running when the index is out of range."""
    table = helper.make_tensor("table", TensorProto.FLOAT, [4], [10.0, 20.0, 30.0, 40.0])
    return graph(
        [helper.make_node("Gather", ["table", "index"], ["value"])],
        [("index", TensorProto.INT64, ["n", 1])],
        [("value", TensorProto.FLOAT, ["n", 1])],
        [table],
    )


PICK_CONFIG = f"""max_batch_size: 8 {CPU} {BATCHING}
input [{{ name: "index" data_type: TYPE_INT64 dims: [1] }}]
output [{{ name: "value" data_type: TYPE_FP32 dims: [1] }}]"""


IDENTITY_TYPES = {
    "BOOL": TensorProto.BOOL,
    "UINT8": TensorProto.UINT8,
    "INT8": TensorProto.INT8,
    "INT32": TensorProto.INT32,
    "INT64": TensorProto.INT64,
    "FP16": TensorProto.FLOAT16,
    "FP32": TensorProto.FLOAT,
    "FP64": TensorProto.DOUBLE,
    "STRING": TensorProto.STRING,
}


def identity():
    """One input and one output of every type, unbatched and of any length."""
    specs = [[(f"{way}_{name}", kind, ["n", 2]) for name, kind in IDENTITY_TYPES.items()] for way in ("in", "out")]
    nodes = [helper.make_node("Identity", [f"in_{name}"], [f"out_{name}"]) for name in IDENTITY_TYPES]
    return graph(nodes, *specs)


def _tensors(way: str) -> str:
    return ", ".join(f'{{ name: "{way}_{name}" data_type: TYPE_{name} dims: [-1, 2] }}' for name in IDENTITY_TYPES)


IDENTITY_CONFIG = f"max_batch_size: 0 {CPU} input [{_tensors('in')}] output [{_tensors('out')}]"


def scale():
    """values * factor; factor is a scalar that may be left out (default 2)."""
    default = helper.make_tensor("factor", TensorProto.FLOAT, [], [2.0])
    return graph(
        [
            helper.make_node("Mul", ["values", "factor"], ["scaled"]),
            helper.make_node("ReduceSum", ["scaled"], ["total"], keepdims=0),
        ],
        [("values", TensorProto.FLOAT, ["n"]), ("factor", TensorProto.FLOAT, [])],
        [("scaled", TensorProto.FLOAT, ["n"]), ("total", TensorProto.FLOAT, [])],
        [default],
    )


SCALE_CONFIG = f"""max_batch_size: 0 {CPU}
input [{{ name: "values" data_type: TYPE_FP32 dims: [-1] }},
       {{ name: "factor" data_type: TYPE_FP32 dims: [1] optional: true }}]
output [{{ name: "scaled" data_type: TYPE_FP32 dims: [-1] }}, {{ name: "total" data_type: TYPE_FP32 dims: [1] }}]"""

PYTHON_MODEL = """
import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        responses = []
        for request in requests:
            sums = pb_utils.get_input_tensor_by_name(request, "sums").as_numpy()
            words = [" ".join(f"{value:.0f}" for value in row).encode() for row in sums]
            words = np.array(words, dtype=np.object_).reshape(-1, 1)
            responses.append(pb_utils.InferenceResponse([pb_utils.Tensor("words", words)]))
        return responses
"""

PYTHON_CONFIG = f"""name: "describe" backend: "python" max_batch_size: 8 {CPU}
input [{{ name: "sums" data_type: TYPE_FP32 dims: [3] }}]
output [{{ name: "words" data_type: TYPE_STRING dims: [1] }}]"""

ENSEMBLE_CONFIG = """name: "described" platform: "ensemble" max_batch_size: 8
input [{ name: "frames" data_type: TYPE_UINT8 dims: [-1, -1, 3] }]
output [{ name: "words" data_type: TYPE_STRING dims: [1] },
        { name: "frame_sum_provenance" data_type: TYPE_STRING dims: [1] }]
ensemble_scheduling { step [
  { model_name: "frame_sum" model_version: -1 input_map { key: "frames" value: "frames" }
    output_map { key: "sums" value: "sums" } output_map { key: "provenance" value: "frame_sum_provenance" } },
  { model_name: "describe" model_version: -1 input_map { key: "sums" value: "sums" }
    output_map { key: "words" value: "words" } }
] }"""


def write_repositories(folder: Path) -> tuple[Path, Path]:
    """The working models, and an ensemble over two of them, as two Triton repositories."""
    models, ensembles = folder / "models", folder / "ensembles"
    write_model(models, "add", add(), ADD_CONFIG)
    write_model(models, "frame_sum", frame_sum(), FRAME_SUM_CONFIG)
    write_model(models, "pick", pick(), PICK_CONFIG)
    write_model(models, "identity", identity(), IDENTITY_CONFIG)
    write_model(models, "scale", scale(), SCALE_CONFIG)
    (models / "describe" / "1").mkdir(parents=True)
    (models / "describe" / "1" / "model.py").write_text(PYTHON_MODEL)
    (models / "describe" / "config.pbtxt").write_text(PYTHON_CONFIG)
    (ensembles / "described" / "1").mkdir(parents=True)
    (ensembles / "described" / "config.pbtxt").write_text(ENSEMBLE_CONFIG)
    return models, ensembles


HOLDING_MODEL = """
import time

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        responses = []
        for request in requests:
            began = time.monotonic()
            time.sleep(float(pb_utils.get_input_tensor_by_name(request, "seconds").as_numpy().flat[0]))
            span = np.array([began, time.monotonic()])
            responses.append(pb_utils.InferenceResponse([pb_utils.Tensor("span_seconds", span)]))
        return responses
"""


def write_holding(repository: Path, name: str, *, slot: str = "", priority: int = 1, queue: str = "") -> None:
    """A model that works as long as a request says, and answers when it began and ended, by the machine's own clock.

    `slot`, `priority`: of the rate limiter. `queue`: fields of its queue policy.
    """
    (repository / name / "1").mkdir(parents=True)
    (repository / name / "1" / "model.py").write_text(HOLDING_MODEL)
    limiter = (
        f'rate_limiter {{ resources [{{ name: "{slot}" global: true count: 1 }}] priority: {priority} }}'
        if slot
        else ""
    )
    policy = f"dynamic_batching {{ default_queue_policy {{ timeout_action: REJECT {queue} }} }}" if queue else ""
    (repository / name / "config.pbtxt").write_text(
        f"""name: "{name}" backend: "python" max_batch_size: 0 {policy}
        instance_group [{{ kind: KIND_CPU count: 1 {limiter} }}]
        input [{{ name: "seconds" data_type: TYPE_FP32 dims: [1] }}]
        output [{{ name: "span_seconds" data_type: TYPE_FP64 dims: [2] }}]"""
    )
