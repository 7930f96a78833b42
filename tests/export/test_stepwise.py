"""A step in a loop: as many rounds as asked for, fewer when there is nothing left to do, and nothing done twice."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import parser

from reelscope_export import paths, speech_whisper_decoder, speech_whisper_encoder, stepwise, verify
from reelscope_export.contract import Contract, Tensor
from reelscope_export.errors import WeightsUnreadable

# Adds twice `bonus` and the column's number to each row, until every row has reached 100.
STEP = """
<ir_version: 10, opset_import: ["" : 18]>
step (float[rows] total, float[rows] bonus, float[rows] extra)
    => (float[rows] next, float[rows] seen, bool going)
<float two = {2}, float enough = {100}>
{
    doubled = Mul(bonus, two)
    raised = Add(total, doubled)
    next = Add(raised, extra)
    seen = Identity(total)
    least = ReduceMin<keepdims = 0>(next)
    going = Less(least, enough)
}
"""
CONTRACT = Contract(
    name="counter",
    comment=(),
    inputs=tuple(Tensor(n, "TYPE_FP32", d) for n, d in (("total", (-1,)), ("bonus", (-1,)), ("extras", (-1, -1)))),
    outputs=tuple(
        Tensor(n, "TYPE_FP32", d) for n, d in (("history", (-1, -1)), ("next_total", (-1,)), ("seen", (-1,)))
    ),
    batched=False,
)
PLAN = stepwise.Plan(
    carried={"total": "next"}, stacked={"history": "next"}, final=("seen",), columns={"extra": "extras"}, going="going"
)


@pytest.fixture(scope="module")
def model() -> onnx.ModelProto:
    return stepwise.in_steps(parser.parse_model(STEP), PLAN, CONTRACT)


@pytest.fixture(scope="module")
def run(model: onnx.ModelProto, tmp_path_factory: pytest.TempPathFactory) -> verify.Run:
    file = tmp_path_factory.mktemp("graph") / "counter.onnx"
    onnx.save(model, str(file))
    return verify.open_graph(file)


def test_steps(run: verify.Run) -> None:
    extras = np.arange(6, dtype=np.float32).reshape(2, 3)
    found = run(np.array([1, 2], np.float32), np.array([10, 20], np.float32), extras)
    np.testing.assert_array_equal(found["history"], [[21, 42, 64], [45, 89, 134]])
    np.testing.assert_array_equal(found["next_total"], [64, 134])
    np.testing.assert_array_equal(found["seen"], [42, 89])


def test_ends_when_nothing_is_left_to_do(run: verify.Run) -> None:
    found = run(np.zeros(1, np.float32), np.full(1, 30, np.float32), np.zeros((1, 9), np.float32))
    np.testing.assert_array_equal(found["history"], [[60, 120]])


def test_what_never_changes_is_computed_once(model: onnx.ModelProto) -> None:
    (loop,) = (node for node in model.graph.node if node.op_type == "Loop")
    assert "Mul" in [node.op_type for node in model.graph.node]
    assert "Mul" not in [node.op_type for node in loop.attribute[0].g.node]


def test_half_precision_stays_inside(tmp_path: Path) -> None:
    half = """
    <ir_version: 10, opset_import: ["" : 18]>
    step (float16[rows] total, float16[rows] bonus, float[rows] extra)
        => (float16[rows] next, float[rows] seen, bool going)
    <float enough = {100}>
    {
        doubled = Add(bonus, bonus)
        raised = Add(total, doubled)
        small = Cast<to = 10>(extra)
        next = Add(raised, small)
        seen = Cast<to = 1>(total)
        wide = Cast<to = 1>(next)
        least = ReduceMin<keepdims = 0>(wide)
        going = Less(least, enough)
    }
    """
    plan = replace(PLAN, stacked={})
    contract = replace(CONTRACT, outputs=CONTRACT.outputs[1:])
    file = tmp_path / "half.onnx"
    onnx.save(stepwise.in_steps(parser.parse_model(half), plan, contract), str(file))
    found = verify.open_graph(file)(np.ones(1, np.float32), np.full(1, 0.1, np.float32), np.zeros((1, 2), np.float32))
    assert {array.dtype for array in found.values()} == {np.dtype(np.float32)}
    np.testing.assert_allclose(found["next_total"], [1.4], atol=2e-3)
    assert found["next_total"][0] != np.float32(1.4), "computed in half precision"


@pytest.mark.parametrize("module", [speech_whisper_encoder, speech_whisper_decoder])
def test_what_is_no_checkpoint_of_whisper_is_refused(module, tmp_path: Path) -> None:
    paths.isolate_libraries()
    for name in ("tiny.pt", "another.pt"):
        (tmp_path / name).write_bytes(b"no checkpoint")
        with pytest.raises(WeightsUnreadable, match=name):
            module.build(tmp_path / name, "fp32")
