"""Frames to the server: by shared memory against inside the request.

One window of 20 frames of 1136x640 (43.6 MB) to a model that only reduces them, so that the way there is what counts.
Both paths include filling the buffer. Exits with 1 when shared memory is less than 4 times faster.

    python -m benchmarks.transport
"""

from __future__ import annotations

import sys
import tempfile
from fractions import Fraction
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper
from rich.console import Console
from rich.table import Table

from benchmarks import milliseconds, record
from reelscope.embedded import EmbeddedServer
from reelscope.inference import InferenceClient
from reelscope.settings import Profile

FRAMES, HEIGHT, WIDTH = 20, 1136, 640
MIN_RATIO = 4.0
REPEATS = 30

CONFIG = """
name: "brightest"
backend: "onnxruntime"
max_batch_size: 32
input [{ name: "frames" data_type: TYPE_UINT8 dims: [-1, -1, 3] }]
output [{ name: "brightest" data_type: TYPE_UINT8 dims: [1] }]
instance_group [{ kind: KIND_CPU count: 1 }]
"""


def write_model(repository: Path) -> None:
    """A model whose only work is the maximum of every frame."""
    graph = helper.make_graph(
        [
            helper.make_node("ReduceMax", ["frames", "axes"], ["maximum"], keepdims=0),
            helper.make_node("Unsqueeze", ["maximum", "last"], ["brightest"]),
        ],
        "brightest",
        [helper.make_tensor_value_info("frames", TensorProto.UINT8, ["n", "h", "w", 3])],
        [helper.make_tensor_value_info("brightest", TensorProto.UINT8, ["n", 1])],
        [
            helper.make_tensor("axes", TensorProto.INT64, [3], [1, 2, 3]),
            helper.make_tensor("last", TensorProto.INT64, [1], [1]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    folder = repository / "brightest"
    (folder / "1").mkdir(parents=True)
    onnx.save(model, folder / "1" / "model.onnx")
    (folder / "config.pbtxt").write_text(CONFIG, encoding="utf-8")


def measure(repeats: int) -> dict[str, dict[str, float]]:
    """Times of both paths, one after the other through one server."""
    frames = np.random.default_rng(0).integers(0, 255, (FRAMES, HEIGHT, WIDTH, 3), dtype=np.uint8)
    profile = Profile(
        name="benchmark",
        config_name="",
        description="",
        base_frame_rate=Fraction(10),
        model_file="model.onnx",
        models=("brightest",),
    )
    figures = {}
    with tempfile.TemporaryDirectory() as folder:
        write_model(Path(folder))
        with EmbeddedServer(profile, repositories=[Path(folder)]) as server:
            for name, shared_memory in (("shared memory", True), ("inline", False)):
                with InferenceClient(server.grpc_url, shared_memory=shared_memory) as client:

                    def ask(client: InferenceClient = client) -> np.ndarray:
                        buffer = client.allocate(HEIGHT, WIDTH)
                        buffer.array[:] = frames
                        answer = client.submit("brightest", buffer, FRAMES, ["brightest"], 60).result()
                        buffer.close()
                        return answer["brightest"]

                    assert (ask()[:, 0] == frames.max(axis=(1, 2, 3))).all()
                    figures[name] = milliseconds(ask, repeats)
                    assert client.uses_shared_memory is shared_memory
    return figures


def main() -> int:
    """Measure both paths in one run, print them, write them down."""
    figures = measure(REPEATS)
    ratio = figures["inline"]["p50_ms"] / figures["shared memory"]["p50_ms"]
    table = Table("path", "p50 ms", "min", "max", title=f"{FRAMES} frames of {HEIGHT}x{WIDTH} to a reduce-only model")
    for name, figure in figures.items():
        table.add_row(name, *(f"{figure[key]:.1f}" for key in ("p50_ms", "min_ms", "max_ms")))
    console = Console()
    console.print(table)
    console.print(f"shared memory is {ratio:.1f} times faster (at least {MIN_RATIO:g} wanted)")
    console.print(f"written to {record('transport', {'figures': figures, 'ratio': ratio})}", highlight=False)
    return 0 if ratio >= MIN_RATIO else 1


if __name__ == "__main__":
    sys.exit(main())
