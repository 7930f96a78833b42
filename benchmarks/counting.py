"""Operations and bytes of every model on a clip, counted by running it: see `benchmarks.roofline`."""

from __future__ import annotations

import json
import math
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from benchmarks.bare import Arrays, BareModels, Infer
from benchmarks.served_vs_raw import KeepingClient, Request
from reelscope import pipeline, settings
from reelscope.analyzers import ANALYZERS
from reelscope.embedded import EmbeddedServer
from reelscope.embedded.deployment import ServedModel

BYTES = {"float": 4, "float16": 2, "double": 8, "int8": 1, "uint8": 1, "bool": 1, "int32": 4, "int64": 8, "string": 8}
QWEN = "video_understanding_qwen2vl"


@dataclass(slots=True)
class Counted:
    """Work of one model."""

    flop: float = 0.0
    bytes: float = 0.0
    runs: float = 0.0
    """Layers that were counted."""

    def add(self, flop: float, size: float, times: float = 1.0) -> None:
        """Count a layer, so many times."""
        self.flop, self.bytes, self.runs = self.flop + times * flop, self.bytes + times * size, self.runs + times


def layer_flop(operator: str, inputs: Sequence[Sequence[int]], outputs: Sequence[Sequence[int]]) -> float | None:
    """Operations of one executed layer by its shapes, as ONNX defines it; None for what is not counted."""
    if operator in ("Conv", "FusedConv", "ConvInteger"):
        return 2 * math.prod(outputs[0]) * math.prod(inputs[1][1:])
    if operator == "ConvTranspose":
        return 2 * math.prod(inputs[0]) * math.prod(inputs[1][1:])
    if operator in ("MatMul", "FusedMatMul", "MatMulInteger"):
        return 2 * math.prod(outputs[0]) * inputs[0][-1]
    if operator in ("Gemm", "FusedGemm"):  # either may be transposed: its other sides are the output's
        return 2 * math.sqrt(math.prod(inputs[0]) * math.prod(inputs[1]) * math.prod(outputs[0]))
    if operator in ("LSTM", "GRU", "RNN"):  # X [steps,rows,in], W [directions,gates*hidden,in], R [.., hidden]
        return 2 * math.prod(inputs[0][:2]) * (math.prod(inputs[1]) + math.prod(inputs[2]))
    return None


def count_events(events: Iterable[Mapping[str, Any]]) -> Counted:
    """Sum over a profile of onnxruntime's: every layer that was executed."""
    found = Counted()
    for event in events:
        told = event.get("args", {})
        if event.get("cat") != "Node" or "op_name" not in told or not event["name"].endswith("_kernel_time"):
            continue
        inputs, outputs = (_tensors(told[f"{side}_type_shape"]) for side in ("input", "output"))
        shapes = [shape for _, shape in inputs]
        flop = layer_flop(told["op_name"], shapes, [shape for _, shape in outputs]) if outputs else None
        if flop is not None:
            found.add(flop, sum(size * math.prod(shape) for size, shape in (*inputs, *outputs)))
    return found


def _tensors(told: Sequence[Mapping[str, Sequence[int]]]) -> list[tuple[int, list[int]]]:
    """Bytes of an element, and shape, of every tensor."""
    return [(BYTES.get(kind, 4), list(shape)) for each in told for kind, shape in each.items()]


def profiling_options(prefix: str) -> onnxruntime.SessionOptions:
    """Options of a session that writes what every layer did to a file of this prefix."""
    options = onnxruntime.SessionOptions()
    options.enable_profiling, options.profile_file_prefix = True, prefix
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.enable_mem_pattern = False
    options.add_session_config_entry("session.disable_prepacking", "1")  # the profile knows no packed weights
    return options


class CountedModels(BareModels):
    """Bare models whose graphs are profiled.

    Attributes:
        answers: of the last question to each Python model.
    """

    def __init__(self, models: Iterable[ServedModel], folder: Path) -> None:
        """Write profiles into a folder."""
        super().__init__(models)
        self.answers: dict[str, tuple[Arrays, dict[str, np.ndarray]]] = {}
        self._folder, self._sessions = folder, dict[str, Any]()

    def _open(self, model: ServedModel) -> Infer:
        if model.steps:
            return super()._open(model)
        if model.config["backend"] == "python":
            return self._noting(model.name, super()._open(model))
        options = profiling_options(str(self._folder / model.name))
        available = [name for name in onnxruntime.get_available_providers() if name.startswith(("CUDA", "CPU"))]
        file = model.folder / model.versions[-1] / model.file_name
        self._sessions[model.name] = session = onnxruntime.InferenceSession(str(file), options, providers=available)

        def run(inputs: Arrays, outputs: Iterable[str]) -> dict[str, np.ndarray]:
            names = list(outputs)
            return dict(zip(names, session.run(names, dict(inputs)), strict=True))

        return run

    def _noting(self, name: str, infer: Infer) -> Infer:
        def run(inputs: Arrays, outputs: Iterable[str]) -> dict[str, np.ndarray]:
            wanted = [*outputs, "token_counts"] if name == QWEN else list(outputs)
            answer = infer(inputs, wanted)
            self.answers[name] = inputs, answer
            return answer

        return run

    def counted(self) -> dict[str, Counted]:
        """What every graph did so far; closes them."""
        return {
            name: count_events(json.loads(Path(session.end_profiling()).read_text(encoding="utf-8")))
            for name, session in self._sessions.items()
        }


def qwen_work(
    config: Mapping[str, Any], weights: Mapping[str, int], inputs: Arrays, token_counts: np.ndarray
) -> Counted:
    """Work of Qwen2-VL on one request.

    Args:
        config: of transformers.
        weights: numbers of weights: `vision`, `text` (with the head, without the embedding that is only looked up).
        inputs: of the request.
        token_counts: int32 [N,2]: of the prompt, and of the answer.
    """
    found, size = Counted(), 2 if config.get("is_half") else 4
    text = config.get("text_config", config)
    prompt, answer = int(token_counts[:, 0].sum()), int(token_counts[:, 1].sum())
    steps = int(token_counts[:, 1].max())
    patches = 4 * sum(_video_tokens(inputs["frames"].shape) for _ in range(len(token_counts)))
    vision = config["vision_config"]
    attended = sum(int(p) ** 2 / 2 + int(a) * (int(p) + int(a) / 2) for p, a in token_counts)
    found.add(2 * weights["vision"] * patches, size * weights["vision"])
    frame_patches = patches / max(len(token_counts), 1)
    found.add(
        4 * vision["depth"] * vision["embed_dim"] * frame_patches * patches / max(inputs["frames"].shape[1] / 2, 1), 0
    )
    found.add(2 * weights["text"] * (prompt + answer), size * weights["text"] * (1 + steps))
    found.add(4 * text["num_hidden_layers"] * text["hidden_size"] * attended, 0)
    return found


def _video_tokens(shape: Sequence[int]) -> int:
    """Tokens of a video [N,F,H,W,3] of Qwen2-VL: 28 px squares, frames in pairs."""
    _, frames, height, width, _ = shape
    scale = min(1.0, math.sqrt(504 * 392 / (height * width)))
    return math.ceil(frames / 2) * round(height * scale / 28) * round(width * scale / 28)


def qwen_weights(file: Path) -> tuple[dict[str, Any], dict[str, int]]:
    """Configuration, and numbers of weights, of a built file."""
    from safetensors import safe_open

    with safe_open(file, "pt") as opened:
        metadata = opened.metadata()
        sizes = {name: math.prod(opened.get_slice(name).get_shape()) for name in opened.keys()}  # noqa: SIM118
    config = json.loads(metadata["file:config.json"])
    vision = sum(size for name, size in sizes.items() if "visual" in name)
    embedding = sum(size for name, size in sizes.items() if "embed_tokens" in name)
    tied = not any("lm_head" in name for name in sizes)  # then the embedding is the head as well
    text = sum(sizes.values()) - vision - (0 if tied else embedding)
    return config | {"is_half": "fp16" in file.name}, {"vision": vision, "text": text}


class CountingClient(KeepingClient):
    """Keeps the largest request to every ensemble, and counts the rows of all.

    Attributes:
        rows: ensemble to the rows of all its requests.
    """

    def __init__(self, url: str) -> None:
        """Nothing is counted yet."""
        super().__init__(url)
        self.rows: dict[str, int] = defaultdict(int)

    def _keep(self, model: str, inputs: Arrays, outputs: Sequence[str]) -> None:
        self.rows[model] += row_count(inputs)
        super()._keep(model, inputs, outputs)


def row_count(inputs: Arrays) -> int:
    """Rows of a request: crops where it has boxes, else those of its first input."""
    return len(inputs["boxes_xyxy"]) if "boxes_xyxy" in inputs else len(next(iter(inputs.values())))


def count_clip(clip: Path, profile: settings.Profile) -> dict[str, Counted]:
    """Work of every model on a whole clip."""
    with EmbeddedServer(profile) as server:
        models = server.models
        with CountingClient(server.grpc_url) as client:
            pipeline.analyze(clip, analyzers=ANALYZERS, profile=profile, client=client, budget_seconds=3600.0)
    found: dict[str, Counted] = defaultdict(Counted)
    for ensemble, request in client.kept.items():
        times = client.rows[ensemble] / row_count(request[0])
        for model, counted in count_request(models, ensemble, request).items():
            found[model].add(counted.flop, counted.bytes, times)
    return dict(found)


def count_request(models: Sequence[ServedModel], ensemble: str, request: Request) -> dict[str, Counted]:
    """Work of every model on one request to an ensemble."""
    with tempfile.TemporaryDirectory() as folder:
        opened = CountedModels(models, Path(folder))
        opened.infer(ensemble, *request)
        found = opened.counted()
    if QWEN in opened.answers:
        inputs, answer = opened.answers[QWEN]
        served = next(model for model in models if model.name == QWEN)
        config, weights = qwen_weights(served.folder / served.versions[-1] / served.file_name)
        found[QWEN] = qwen_work(config, weights, inputs, answer["token_counts"])
    return found
