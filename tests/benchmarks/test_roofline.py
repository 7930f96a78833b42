"""Operations and bytes, counted on graphs whose work is known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from benchmarks import counting, roofline
from benchmarks.counting import Counted


def profiled(
    folder: Path, nodes: list[onnx.NodeProto], weights: dict[str, np.ndarray], shape: tuple[int, ...]
) -> Counted:
    graph = helper.make_graph(
        nodes,
        "known",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    options = counting.profiling_options(str(folder / "known"))
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    session.run(None, {"x": np.zeros(shape, np.float32)})
    return counting.count_events(json.loads(Path(session.end_profiling()).read_text()))


def test_a_convolution(tmp_path: Path) -> None:
    weights = {"w": np.zeros((8, 3, 3, 3), np.float32)}
    found = profiled(tmp_path, [helper.make_node("Conv", ["x", "w"], ["y"])], weights, (2, 3, 10, 12))
    assert found.flop == 2 * (2 * 8 * 8 * 10) * (3 * 3 * 3)
    assert found.bytes == 4 * (2 * 3 * 10 * 12 + 8 * 3 * 3 * 3 + 2 * 8 * 8 * 10)


@pytest.mark.parametrize(("transposed", "shape"), [(0, (16, 32)), (1, (32, 16))])
def test_a_gemm_either_way_round(tmp_path: Path, transposed: int, shape: tuple[int, int]) -> None:
    node = helper.make_node("Gemm", ["x", "w"], ["y"], transB=transposed)
    found = profiled(tmp_path, [node], {"w": np.zeros(shape, np.float32)}, (5, 16))
    assert found.flop == pytest.approx(2 * 5 * 16 * 32)


def test_products_inside_a_loop_count_every_round(tmp_path: Path) -> None:
    body = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "w"], ["product"]),
            helper.make_node("Identity", ["go"], ["go_on"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("round", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
        ],
        [
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("product", TensorProto.FLOAT, None),
        ],
    )
    weights = {"w": np.zeros((6, 7), np.float32), "rounds": np.array(3, np.int64)}
    found = profiled(tmp_path, [helper.make_node("Loop", ["rounds", ""], ["y"], body=body)], weights, (4, 6))
    assert found.flop == 3 * 2 * 4 * 6 * 7
    assert found.runs == 3


def test_qwen_reads_its_weights_for_every_step() -> None:
    config = {
        "is_half": True,
        "vision_config": {"depth": 2, "embed_dim": 32},
        "text_config": {"num_hidden_layers": 2, "hidden_size": 64},
    }
    inputs = {"frames": np.zeros((2, 8, 392, 504, 3), np.uint8)}
    few, many = (
        counting.qwen_work(config, {"vision": 10**6, "text": 10**7}, inputs, np.array([[1100, n], [1100, n]], np.int32))
        for n in (1, 129)
    )
    assert many.bytes - few.bytes == 128 * 2 * 10**7
    assert many.flop - few.flop == pytest.approx(2 * 10**7 * 2 * 128, rel=0.05)


def test_the_floor_is_the_longer_of_operations_and_bytes() -> None:
    limits = {"fp32_flops": 100.0, "fp16_flops": 1000.0, "bytes_per_second": 10.0}
    counted = {"a": Counted(flop=1000.0, bytes=1.0), "b": Counted(flop=1000.0, bytes=50.0)}
    assert roofline.floor_seconds(counted, {"a": "fp32", "b": "fp16"}, limits) == 10.0 + 5.0


def test_a_projection_stretches_what_the_gpu_does_and_nothing_else() -> None:
    measured = {"system": {"median_wall_seconds": 2.0, "gpu": {"busy_percent": 25.0}}}
    assert roofline.projection(measured, here=0.1, there=0.5)["wall_seconds"] == pytest.approx(2.0 * (0.75 + 0.25 * 5))


def test_gap_and_projection_of_a_measured_clip() -> None:
    on_gpu = {"system": {"median_wall_seconds": 2.0, "gpu": {"busy_percent": 50.0}}}
    found = roofline.against(on_gpu, here=0.1, there=0.5)
    assert found["gap"] == pytest.approx(20)
    assert found["projection"]["wall_seconds"] == pytest.approx(2.0 * (0.5 + 0.5 * 5))
    on_cpu = {"system": {"median_wall_seconds": 2.0, "gpu": None}}
    assert roofline.against(on_cpu, here=0.1, there=0.5) == {"gap": pytest.approx(20)}
