"""What a clip needs at least: operations and bytes of every model, counted, over what this machine can do, measured.

Counted, not estimated: the demo clip is analysed, and the largest request to every ensemble runs through the graphs
without Triton (`bare`) under onnxruntime's profiler, unoptimised. Every convolution, matrix product and recurrent
layer that is executed is counted with the shapes that it really had, inside loops as well; what the clip's other
requests need follows from their rows. A multiplication and an addition are two operations. Bytes are what those layers
read and write, each tensor once: all that lies between them could be fused. Qwen2-VL is counted from its weights and
tokens: two operations per weight and token, and attention; its weights are read once for the prompt and once for each
step.

Ceilings: a matrix product of 4096 or 8192 squared in the precision of the model, and a copy of half a gigabyte. The
floor of a model is the longer of operations and bytes over these; the floor of a clip is their sum. The gap is what
`end_to_end` has measured over the floor. The projection for the RTX 8000 (130 TFLOP/s FP16 on its tensor cores, 16.3
TFLOP/s FP32, 672 GB/s: NVIDIA's data sheet) takes the measured time, and stretches the share of it in which the GPU was
busy by the ratio of the floors. It is a projection, not a measurement.

    python -m benchmarks.roofline                   the cpu profile, about three minutes
    python -m benchmarks.roofline --profile h200    after end_to_end

Writes benchmarks/results/roofline.json (of other profiles: roofline_PROFILE).
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from rich.console import Console
from rich.table import Table

from benchmarks import DEMO, RESULTS, named, record
from benchmarks.bare import Arrays, BareModels, Infer
from benchmarks.served_vs_raw import KeepingClient, Request
from reelscope import pipeline, settings
from reelscope.analyzers import ANALYZERS
from reelscope.embedded import EmbeddedServer
from reelscope.embedded.deployment import ServedModel
from reelscope_export import paths

BYTES = {"float": 4, "float16": 2, "double": 8, "int8": 1, "uint8": 1, "bool": 1, "int32": 4, "int64": 8, "string": 8}
QWEN = "video_understanding_qwen2vl"
RTX_8000 = {"fp16_flops": 130e12, "fp32_flops": 16.3e12, "bytes_per_second": 672e9}


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


def ceilings(device: str) -> dict[str, float]:
    """Operations and bytes a second that this machine reaches."""
    side = 4096 if device == "cpu" else 8192
    torch.backends.cuda.matmul.allow_tf32 = False  # as it is served

    def product(dtype: torch.dtype) -> float:
        one = torch.randn(side, side, device=device, dtype=dtype)
        return 2 * side**3 / _quickest(lambda: one @ one, device)

    half_gigabyte = torch.zeros(2**27, device=device)
    there = torch.empty_like(half_gigabyte)
    bandwidth = 2 * half_gigabyte.nbytes / _quickest(lambda: there.copy_(half_gigabyte), device)
    fp32 = product(torch.float32)
    return {
        "fp32_flops": fp32,
        "fp16_flops": fp32 if device == "cpu" else product(torch.float16),
        "bytes_per_second": bandwidth,
    }


def _quickest(call: Callable[[], object], device: str, repeats: int = 5) -> float:
    times = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        call()
        if device != "cpu":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - began)
    return min(times[1:])


def floor_seconds(counted: Mapping[str, Counted], precisions: Mapping[str, str], limits: Mapping[str, float]) -> float:
    """Sum over the models of the longer of operations and bytes over the ceilings."""
    return sum(
        max(each.flop / limits[f"{precisions[name]}_flops"], each.bytes / limits["bytes_per_second"])
        for name, each in counted.items()
    )


def projection(measured: Mapping[str, Any], here: float, there: float) -> dict[str, Any]:
    """The measured time with the GPU's share of it stretched by the ratio of the floors."""
    wall, busy = measured["system"]["median_wall_seconds"], measured["system"]["gpu"]["busy_percent"] / 100
    return {
        "wall_seconds": wall * (1 - busy + busy * there / here),
        "floor_seconds": there,
        "stretch": there / here,
        "gpu_busy_ratio": busy,
        "about": "a projection for the RTX 8000, not a measurement: the same share of its ceilings, the same CPU",
    }


def table(counted: Mapping[str, Counted], precisions: Mapping[str, str], limits: Mapping[str, float]) -> Table:
    """One row per model."""
    shown = Table("model", "", "GFLOP", "MB", "FLOP per byte", "floor ms", "by", title="what a clip needs at least")
    for name, each in sorted(counted.items(), key=lambda item: -item[1].flop):
        compute = each.flop / limits[f"{precisions[name]}_flops"]
        memory = each.bytes / limits["bytes_per_second"]
        shown.add_row(
            name,
            precisions[name],
            f"{each.flop / 1e9:.2f}",
            f"{each.bytes / 1e6:.0f}",
            f"{each.flop / each.bytes:.0f}" if each.bytes else "",
            f"{1000 * max(compute, memory):.2f}",
            "operations" if compute >= memory else "bytes",
        )
    return shown


def main(arguments: list[str] | None = None) -> int:
    """Count, measure the ceilings, print, write down."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.roofline", description="What a clip needs at least.")
    parser.add_argument("--profile", default="cpu", choices=settings.profile_names())
    parser.add_argument("--clip", type=Path, default=DEMO, help="another clip writes nothing")
    parser.add_argument("--commit", help="recorded where there is no git to ask")
    options = parser.parse_args(arguments)
    profile, console = settings.profile(options.profile), Console()
    counted = count_clip(options.clip, profile)
    profiles = paths.read_profiles()
    precisions = {name: paths.model_settings(profiles, profile.name, name).precision for name in counted}
    limits = ceilings("cuda:0" if profile.needs_gpu else "cpu")
    floor = floor_seconds(counted, precisions, limits)
    console.print(table(counted, precisions, limits))
    console.print("ceilings: " + ", ".join(f"{name} {value:.3g}" for name, value in limits.items()))
    console.print(f"the floor of a clip: {floor:.3f} s")
    figures: dict[str, Any] = {
        "profile": profile.name,
        "models": {
            name: {"flop": each.flop, "bytes": each.bytes, "precision": precisions[name]}
            for name, each in counted.items()
        },
        "tflop": sum(each.flop for each in counted.values()) / 1e12,
        "gigabytes": sum(each.bytes for each in counted.values()) / 1e9,
        "ceilings": limits,
        "floor_seconds": floor,
    }
    measured = RESULTS / f"{named('end_to_end', profile.name)}.json"
    if measured.is_file():
        end_to_end = json.loads(measured.read_text(encoding="utf-8"))
        figures["gap"] = end_to_end["system"]["median_wall_seconds"] / floor
        console.print(f"measured end to end: {figures['gap']:.1f} times the floor")
        if end_to_end["system"]["gpu"]:
            there = floor_seconds(counted, precisions, RTX_8000)
            figures["projection"] = projection(end_to_end, floor, there)
            console.print(f"projected for an RTX 8000: {figures['projection']['wall_seconds']:.1f} s")
    if options.clip != DEMO:
        console.print("not the clip that is compared: nothing is written")
        return 0
    figures |= {"commit": options.commit} if options.commit else {}
    console.print(f"written to {record(named('roofline', profile.name), figures)}", highlight=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
