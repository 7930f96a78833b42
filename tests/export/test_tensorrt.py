"""Plans of TensorRT, as far as a machine without a GPU can tell: the graph that TensorRT is given, what it is told,
and what is served. Its API stands in here; that the real one has these calls was seen with the bindings of 11.4."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from google.protobuf import text_format
from onnx import TensorProto, helper, numpy_helper
from tritonclient.grpc import model_config_pb2
from typer.testing import CliRunner

from reelscope_export import configs, paths, tensorrt_plan, tensorrt_settings
from reelscope_export.cli import app
from reelscope_export.errors import GpuMissing, LibraryMissing, PlanRefused
from reelscope_export.graph import Provenance, attach_provenance
from reelscope_export.registry import ADAPTERS, MODELS, load_module
from reelscope_export.tensorrt_graph import prepare, require_candidate, without_strings_and_bytes
from reelscope_export.tensorrt_plan import PlanBuilder, plan_config

PROFILES = paths.read_profiles()
CANDIDATES = (
    "object_yolov8",
    "embedding_clip",
    "pose_yolov8",
    "segmentation_segformer",
    "text_detection_craft",
    "face_detection_scrfd",
    "speech_whisper_encoder",
    "sound_events_ast",
    "speech_emotion_wav2vec2",
)
PROVENANCE = Provenance("tiny", "here", "1", "0" * 64, "MIT", False, "fp16")


def brightest_channel(precision: type = np.float16) -> onnx.ModelProto:
    """uint8 frames [n,h,w,3] to the number of their brightest channel, uint8 [n,1]; a matrix in between."""
    weights = numpy_helper.from_array(np.eye(3, dtype=precision), "weights")
    half = TensorProto.FLOAT16 if precision is np.float16 else TensorProto.FLOAT
    body = helper.make_graph(
        [
            helper.make_node("Transpose", ["frames"], ["planes"], perm=[0, 3, 1, 2]),
            helper.make_node("Cast", ["planes"], ["floats"], to=TensorProto.FLOAT),
            helper.make_node("ReduceMean", ["floats", "axes"], ["means"], keepdims=0),
            helper.make_node("Cast", ["means"], ["halves"], to=half),
            helper.make_node("MatMul", ["halves", "weights"], ["mixed"]),
            helper.make_node("ArgMax", ["mixed"], ["index"], axis=1),
            helper.make_node("Cast", ["index"], ["channel"], to=TensorProto.UINT8),
        ],
        "brightest_channel",
        [helper.make_tensor_value_info("frames", TensorProto.UINT8, ["n", "h", "w", 3])],
        [helper.make_tensor_value_info("channel", TensorProto.UINT8, ["n", 1])],
        [weights, helper.make_tensor("axes", TensorProto.INT64, [2], [2, 3])],
    )
    model = helper.make_model(body, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    attach_provenance(model, PROVENANCE, batched=True)
    return model


def answers(model: onnx.ModelProto, **inputs: np.ndarray) -> dict[str, np.ndarray]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs), strict=True))


def assert_bytes_only_at_the_ends(model: onnx.ModelProto) -> None:
    inferred = onnx.shape_inference.infer_shapes(model).graph
    edge = {value.name for value in (*model.graph.input, *model.graph.output)}
    within = [value for value in inferred.value_info if value.name not in edge]
    assert within
    assert not [
        each.name for each in within if each.type.tensor_type.elem_type in (TensorProto.UINT8, TensorProto.STRING)
    ]
    names = {value.name for value in model.graph.input if value.type.tensor_type.elem_type == TensorProto.UINT8}
    assert {node.op_type for node in model.graph.node if names & set(node.input)} == {"Cast"}


def test_strings_and_bytes_go_and_the_answer_stays():
    model = brightest_channel()
    prepared = prepare(model)
    assert [output.name for output in prepared.graph.output] == ["channel"]
    assert_bytes_only_at_the_ends(prepared)
    frames = np.random.default_rng(0).integers(0, 256, (5, 8, 6, 3), dtype=np.uint8)
    assert (answers(prepared, frames=frames)["channel"] == answers(model, frames=frames)["channel"]).all()
    assert len(model.graph.output) == 2, "the graph in place is another"


def test_the_detector_answers_the_same(built):
    model = onnx.load(str(built.file))
    prepared = without_strings_and_bytes(model)
    assert_bytes_only_at_the_ends(prepared)
    frames = np.random.default_rng(0).integers(0, 256, (2, 90, 160, 3), dtype=np.uint8)
    before, after = answers(model, frames=frames), answers(prepared, frames=frames)
    assert before.keys() - after.keys() == {"provenance"}
    assert before["count"].any()
    for name, array in after.items():
        np.testing.assert_array_equal(array, before[name], err_msg=name)


def test_a_graph_of_fp32_is_refused():
    with pytest.raises(PlanRefused, match="none of its weights are FP16"):
        prepare(brightest_channel(np.float32))


def test_other_strings_are_refused():
    model = brightest_channel()
    model.graph.initializer.append(helper.make_tensor("text", TensorProto.STRING, [1], [b"labels"]))
    model.graph.node.append(helper.make_node("Identity", ["text"], ["labels"]))
    model.graph.output.append(helper.make_tensor_value_info("labels", TensorProto.STRING, [1]))
    with pytest.raises(PlanRefused, match="cannot hold strings, and the graph has text"):
        prepare(model)


@pytest.mark.parametrize("model", [*MODELS, *ADAPTERS])
def test_which_models_qualify(model):
    settings, contract = paths.model_settings(PROFILES, "rtx8000", model), load_module(model).CONTRACT
    shapes = tensorrt_settings.shapes(PROFILES, "rtx8000", model)
    if model not in CANDIDATES:
        with pytest.raises(PlanRefused, match=r"Python model|on the CPU|in fp32|cannot hold strings"):
            require_candidate(contract, settings, shapes)
        return
    require_candidate(contract, settings, shapes)
    assert list(shapes) == [tensor.name for tensor in contract.inputs]
    for tensor in contract.inputs:
        each = shapes[tensor.name]
        assert each.largest[0] == settings.max_batch_size
        for shape in (each.smallest, each.usual, each.largest):
            assert len(shape) == len(tensor.dims) + 1
            assert all(dim in (-1, size) for dim, size in zip(tensor.dims, shape[1:], strict=True))
        assert all(a <= b <= c for a, b, c in zip(each.smallest, each.usual, each.largest, strict=True))


class StandIn:
    """The calls that a build makes, noted; `errors` are what the parser says."""

    def __init__(self, errors: tuple[str, ...] = (), plan: bytes | None = b"plan") -> None:
        self.noted: dict[str, Any] = {"shapes": {}}
        self.NetworkDefinitionCreationFlag = SimpleNamespace(STRONGLY_TYPED=3)
        self.MemoryPoolType = SimpleNamespace(WORKSPACE="workspace")
        self.ILogger = type("ILogger", (), {"Severity": SimpleNamespace(ERROR=1, INTERNAL_ERROR=0)})
        noted = self.noted

        def parse(content: bytes) -> bool:
            noted["parsed"] = onnx.ModelProto.FromString(content)
            return not errors

        def build(network: object, config: object) -> bytes | None:
            if plan is None:
                noted["log"].log(1, "no tactic fits")
            return plan

        def set_shape(name: str, *shapes: tuple[int, ...]) -> None:
            noted["shapes"][name] = shapes

        config = SimpleNamespace(
            set_memory_pool_limit=lambda pool, size: noted.update(workspace=size),
            add_optimization_profile=lambda profile: noted.update(profile=profile),
            create_timing_cache=lambda content: noted.update(read=content),
            set_timing_cache=lambda cache, ignore_mismatch: noted.update(ignores=ignore_mismatch),
            get_timing_cache=lambda: SimpleNamespace(serialize=lambda: b"timings"),
        )
        self.Builder = lambda log: (
            noted.update(log=log)
            or SimpleNamespace(
                create_network=lambda flags: noted.update(flags=flags),
                create_builder_config=lambda: config,
                create_optimization_profile=lambda: SimpleNamespace(set_shape=set_shape),
                build_serialized_network=build,
            )
        )
        self.OnnxParser = lambda network, log: SimpleNamespace(
            parse=parse, num_errors=len(errors), get_error=lambda k: SimpleNamespace(desc=lambda: errors[k])
        )


def serialize(stand_in: StandIn, folder: Path) -> bytes:
    settings = paths.model_settings(PROFILES, "rtx8000", "object_yolov8")
    shapes = tensorrt_settings.shapes(PROFILES, "rtx8000", "object_yolov8")
    return PlanBuilder(stand_in, None, "7.5").serialize(brightest_channel(), settings, shapes, folder)


def test_what_tensorrt_is_told(tmp_path):
    stand_in = StandIn()
    assert serialize(stand_in, tmp_path) == b"plan"
    assert stand_in.noted["flags"] == 1 << 3, "strongly typed"
    assert stand_in.noted["shapes"] == {"frames": ((1, 64, 64, 3), (20, 1280, 720, 3), (32, 1280, 1280, 3))}
    assert [output.name for output in stand_in.noted["parsed"].graph.output] == ["channel"]
    assert stand_in.noted["read"] == b""
    assert (tmp_path / "tensorrt_sm75.timing").read_bytes() == b"timings"
    serialize(stand_in, tmp_path)
    assert stand_in.noted["read"] == b"timings", "the second build knows the first one's"
    assert stand_in.noted["ignores"] is False


def test_what_tensorrt_says_is_quoted(tmp_path):
    with pytest.raises(PlanRefused, match=r"object_yolov8.*Loop: not here; Resize: nor that"):
        serialize(StandIn(errors=("Loop: not here", "Resize: nor that")), tmp_path)
    with pytest.raises(PlanRefused, match="no tactic fits"):
        serialize(StandIn(plan=None), tmp_path)


def test_a_plan_is_served_with_its_provenance():
    contract = load_module("object_yolov8").CONTRACT
    settings = paths.model_settings(PROFILES, "rtx8000", "object_yolov8")
    plans = {"75": "gpu_fp16_sm75.plan", "90": "gpu_fp16_sm90.plan"}
    text = plan_config(contract, settings, plans, PROVENANCE.to_json())
    config = text_format.Parse(text, model_config_pb2.ModelConfig())
    assert (config.name, config.platform) == ("object_yolov8_trt", "tensorrt_plan")
    assert dict(config.cc_model_filenames) == {"7.5": "gpu_fp16_sm75.plan", "9.0": "gpu_fp16_sm90.plan"}
    assert [output.name for output in config.output] == [tensor.name for tensor in contract.outputs]
    assert json.loads(config.parameters["provenance"].string_value) == json.loads(PROVENANCE.to_json())
    assert config.max_batch_size == settings.max_batch_size


def test_the_accelerator_is_off_until_it_is_switched_on():
    profiles = copy.deepcopy(PROFILES)
    off = configs.generate(profiles)
    profiles["rtx8000"]["tensorrt_accelerator"]["enabled"] = True
    on = configs.generate(profiles)
    changed = {path.parts[1] for path, text in on.items() if text != off[path]}
    assert changed == set(CANDIDATES)
    text = on[Path("model_repository/object_yolov8/config.pbtxt")]
    config = text_format.Parse(text, model_config_pb2.ModelConfig())
    (accelerator,) = config.optimization.execution_accelerators.gpu_execution_accelerator
    assert accelerator.name == "tensorrt"
    assert accelerator.parameters["precision_mode"] == "FP16"
    assert accelerator.parameters["trt_engine_cache_path"].endswith("/object_yolov8")
    assert accelerator.parameters["trt_profile_opt_shapes"] == "frames:20x1280x720x3"


def test_without_tensorrt_nothing_is_built(monkeypatch):
    def missing() -> None:
        raise ImportError("libnvinfer.so.11: cannot open shared object file")

    monkeypatch.setattr(tensorrt_plan, "_import_tensorrt", missing)
    with pytest.raises(LibraryMissing, match=r"libnvinfer.*pip install"):
        PlanBuilder.open()
    arguments = ["object_yolov8", "--profile", "rtx8000", "--tensorrt"]
    done = CliRunner().invoke(app, arguments, env={"COLUMNS": "160", "TERM": "dumb"})
    assert done.exit_code == 1
    assert "library_missing" in done.output


def test_without_a_gpu_neither(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(GpuMissing, match="none here"):
        PlanBuilder.open(lambda: SimpleNamespace())


def test_a_model_that_cannot_is_told_so_first():
    arguments = ["face_landmarks", "--profile", "rtx8000", "--tensorrt"]
    done = CliRunner().invoke(app, arguments, env={"COLUMNS": "160", "TERM": "dumb"})
    assert done.exit_code == 1
    assert "plan_refused" in done.output
    assert "serves it in fp32" in done.output
