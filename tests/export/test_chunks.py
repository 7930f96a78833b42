"""A graph in chunks answers any number of rows as it answers each alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import helper, numpy_helper
from torch import Tensor, nn

from reelscope_export import chunks, foreign_onnx, graph
from reelscope_export.verify import Array

CHUNK_ROWS = 4


class Weighted(nn.Module):
    """Two inputs, two outputs of different types."""

    def forward(self, pixels: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        values = pixels.to(torch.float32).mean(1)
        return values.unsqueeze(1) * weights, (values > 100).to(torch.int32)


@pytest.fixture(
    scope="module",
    params=[{}, {"weights_inside": False}, {"filled": True}, {"filled": True, "weights_inside": False}],
    ids=str,
)
def built(request: pytest.FixtureRequest) -> onnx.ModelProto:
    examples = {
        "pixels": graph.Example(torch.zeros(2, 5, dtype=torch.uint8), {0: "row"}),
        "weights": graph.Example(torch.zeros(2, 3), {0: "row"}),
    }
    whole = graph.to_onnx(Weighted(), examples, output_names=("products", "bright"))
    return chunks.in_chunks(whole, CHUNK_ROWS, **request.param)


@pytest.mark.parametrize("rows", [0, 1, CHUNK_ROWS - 1, CHUNK_ROWS, CHUNK_ROWS + 1, 5 * CHUNK_ROWS + 3])
def test_any_number_of_rows(built: onnx.ModelProto, rows: int) -> None:
    session = onnxruntime.InferenceSession(built.SerializeToString())
    draw = np.random.default_rng(rows)
    pixels = draw.integers(0, 256, (rows, 5), np.uint8)
    weights = draw.random((rows, 3), np.float32)
    products, bright = session.run(["products", "bright"], {"pixels": pixels, "weights": weights})
    values = pixels.astype(np.float32).mean(1)
    np.testing.assert_allclose(products, values[:, None] * weights, rtol=1e-6)
    assert products.dtype == np.float32
    assert bright.dtype == np.int32
    assert bright.tolist() == (values > 100).tolist()


def test_graph_is_valid_and_states_its_shapes(built: onnx.ModelProto) -> None:
    onnx.checker.check_model(built, full_check=True)
    dims = {
        value.name: [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (*built.graph.input, *built.graph.output)
    }
    assert dims == {"pixels": ["row", 5], "weights": ["row", 3], "products": ["row", 3], "bright": ["row"]}


def test_a_failing_row_fails_the_request(built: onnx.ModelProto) -> None:
    session = onnxruntime.InferenceSession(built.SerializeToString())
    with pytest.raises(Exception, match="ONNXRuntimeError"):
        session.run(None, {"pixels": np.zeros((3, 5), np.uint8), "weights": np.zeros((2, 3), np.float32)})


def network(*, frozen: bool, opset: int = 11, listed: bool = False) -> onnx.ModelProto:
    """A network as others distribute them: one row, an old opset; `listed` names its weights as inputs, too."""
    flat = numpy_helper.from_array(np.array([1 if frozen else -1, 6], np.int64), "flat_shape")
    weights = numpy_helper.from_array(np.arange(12, dtype=np.float32).reshape(6, 2), "weights")
    nodes = [
        helper.make_node("Reshape", ["data", "flat_shape"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["answer"]),
    ]
    inputs = [helper.make_tensor_value_info("data", onnx.TensorProto.FLOAT, [1, 2, 3])]
    if listed:
        inputs.append(helper.make_tensor_value_info("weights", onnx.TensorProto.FLOAT, [6, 2]))
    outputs = [helper.make_tensor_value_info("answer", onnx.TensorProto.FLOAT, [1, 2])]
    whole = helper.make_graph(nodes, "network", inputs, outputs, [flat, weights])
    return helper.make_model(whole, opset_imports=[helper.make_opsetid("", opset)], ir_version=6)


@pytest.mark.parametrize("listed", [False, True])
def test_foreign_network_gets_our_opset_and_free_rows(tmp_path: Path, listed: bool) -> None:
    file = tmp_path / "network.onnx"
    onnx.save(network(frozen=False, listed=listed), str(file))
    read = foreign_onnx.read(file)
    assert read.opset_import[0].version == graph.OPSET
    assert [value.name for value in read.graph.input] == ["data"]
    rows: Array = np.random.default_rng(0).random((3, 2, 3), np.float32)
    (answer,) = onnxruntime.InferenceSession(read.SerializeToString()).run(None, {"data": rows})
    np.testing.assert_allclose(answer, rows.reshape(3, 6) @ np.arange(12, dtype=np.float32).reshape(6, 2), rtol=1e-5)


@pytest.mark.parametrize("frozen", [False, True])
def test_frozen_batch_is_noticed(tmp_path: Path, frozen: bool) -> None:
    file = tmp_path / "network.onnx"
    onnx.save(network(frozen=frozen), str(file))
    assert foreign_onnx.takes_rows_together(foreign_onnx.read(file), (2, 3)) is not frozen
