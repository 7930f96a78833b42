"""The vision-language model alone, without Triton and without a clip: what each part of an answer costs.

Windows of noise are asked about in one batch, with as many new tokens each, by the modules that Triton's process runs:

- vision: the tower alone; prefill: everything until the first token, the tower included;
- decoding eagerly (a cache that grows) and, on a GPU, by the static path that is served (compiled, captured), with the
  JSON schema and without it: tokens a second, the constraint's cost a step, and in how many tokens the paths agree;
- GPU memory: loaded, at most.

    python -m benchmarks.vlm                                   the cpu profile's stand-in, under a minute
    python -m benchmarks.vlm --profile h200 --device cuda:0    the real network; random weights cost the same
    python -m benchmarks.vlm --profile h200 --device cuda:0 --variant Qwen2-VL-7B-Instruct

Not yet run on a GPU. Builds the file that is measured if it is not there; writes benchmarks/results/vlm.json where the
device is a GPU.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from benchmarks import record
from reelscope_export import fingerprint, paths, qwen2vl_served, weights
from reelscope_export import video_understanding_qwen2vl as exported

WINDOWS, FRAMES, HEIGHT, WIDTH = 5, 8, 392, 504
NEW_TOKENS = 128
REPEATS = 3


class Bench:
    """One opened network and the windows that it is asked about."""

    def __init__(self, file: Path, device: str, new_tokens: int, repeats: int) -> None:
        """Open a built file."""
        self.served = qwen2vl_served.modules()
        self.device, self.new_tokens, self.repeats = torch.device(device), new_tokens, repeats
        began = time.perf_counter()
        self.checkpoint = self.served.checkpoint.read(file, device)
        self.load_seconds = time.perf_counter() - began
        network, tokenizer = self.checkpoint.network, self.checkpoint.processor.tokenizer
        began = time.perf_counter()
        self.grammars = self.served.constraint.Grammars(tokenizer, network.config.get_text_config().vocab_size)
        self.grammar_seconds = time.perf_counter() - began
        random = np.random.default_rng(0)
        videos = [random.integers(0, 256, (FRAMES, HEIGHT, WIDTH, 3), np.uint8) for _ in range(WINDOWS)]
        self.questions = [self.served.questions.Question(frames, "window", "") for frames in videos]
        prompt = self.served.tasks.TASKS["window"].prompt("")
        began = time.perf_counter()
        batch = self.served.pictures.prepare(self.checkpoint.processor, [prompt] * WINDOWS, videos)
        self.prepare_seconds = time.perf_counter() - began
        self.batch = {name: tensor.to(self.device) for name, tensor in batch.items()}

    def figures(self) -> dict[str, Any]:
        """Everything, in seconds unless the name says otherwise."""
        on_gpu = self.device.type == "cuda"
        eager, static = self.served.decoding.EagerDecoding, self.served.decoding.StaticDecoding
        found: dict[str, Any] = {
            "prompt_tokens": self.batch["input_ids"].shape[1],
            "load": self.load_seconds,
            "grammar": self.grammar_seconds,
            "prepare": self.prepare_seconds,
            "vision": self._median(self._vision),
            "memory_loaded_mib": torch.cuda.memory_allocated() / 2**20 if on_gpu else None,
        }
        said = {}
        for name, kind in (("eager", eager), ("static", static)):
            decoding = kind(self.checkpoint.network, self.checkpoint.processor.tokenizer)
            began = time.perf_counter()
            self._decode(decoding, constrained=False)
            found[f"{name}_first_call"] = time.perf_counter() - began
            said[name], free = self._measured(decoding, constrained=False)
            _, constrained = self._measured(decoding, constrained=True)
            steps = self.new_tokens - 1
            found[f"{name}_prefill"] = free[0]
            found[f"{name}_whole"] = free[1]
            found[f"{name}_tokens_per_second"] = WINDOWS * steps / (free[1] - free[0])
            found[f"{name}_step_ms"] = 1000 * (free[1] - free[0]) / steps
            found[f"{name}_constrained_step_ms"] = 1000 * constrained[2]
        pairs = [pair for rows in zip(said["eager"], said["static"], strict=True) for pair in zip(*rows, strict=False)]
        found["agreement_ratio"] = sum(one == other for one, other in pairs) / len(pairs)
        found["memory_most_mib"] = torch.cuda.max_memory_allocated() / 2**20 if on_gpu else None
        return found

    def _vision(self) -> None:
        with torch.inference_mode():
            self.checkpoint.network.model.visual(
                self.batch["pixel_values_videos"].to(self.checkpoint.network.dtype),
                grid_thw=self.batch["video_grid_thw"],
            )
        self._wait()

    def _measured(self, decoding: Any, *, constrained: bool) -> tuple[list[list[int]], tuple[float, float, float]]:
        """The tokens; first token, whole answer and a step, medians in seconds."""
        runs = [self._decode(decoding, constrained=constrained) for _ in range(self.repeats)]
        first, whole, step = (statistics.median(run[1][number] for run in runs) for number in range(3))
        return runs[-1][0], (first, whole, step)

    def _decode(self, decoding: Any, *, constrained: bool) -> tuple[list[list[int]], tuple[float, float, float]]:
        constraint = self.grammars.constraint(["window"] * WINDOWS) if constrained else None
        # No token ends a free answer: all are equally long.
        end = self.checkpoint.processor.tokenizer.eos_token_id if constrained else -1
        rows = self.served.rows.Rows(self.questions, constraint, end, [self.new_tokens] * WINDOWS)
        began = time.perf_counter()
        decoding.run(self.batch, rows, self.new_tokens)
        self._wait()
        ended = time.perf_counter()
        steps = max(max(map(len, rows.tokens)) - 1, 1)
        return rows.tokens, (rows.first_token_at - began, ended - began, (ended - rows.first_token_at) / steps)

    def _median(self, call: Callable[[], None]) -> float:
        call()
        times = []
        for _ in range(self.repeats):
            began = time.perf_counter()
            call()
            times.append(time.perf_counter() - began)
        return statistics.median(times)

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()


def built(profile: str, variant: str | None, folder: Path) -> Path:
    """The file that the profile serves, with random weights; it is not compared with anything here."""
    settings = paths.model_settings(paths.read_profiles(), profile, exported.CONTRACT.name)
    settings = replace(settings, variant=variant or settings.variant)
    cache = weights.Cache(paths.weights_folder(), weights.read_manifest())
    found = cache.resolve(
        settings.model,
        settings.variant,
        mode="random",
        policy="any",
        write_random=lambda file: exported.write_random(settings.variant, file),
        recipe=fingerprint.recipe(settings.model)[:12],
    )
    file = folder / settings.model_file
    exported.write(found.file, settings.precision, {fingerprint.PROVENANCE_KEY: '{"trained": false}'}, file)
    return file


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, and on a GPU write the figures down."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.vlm", description="The vision-language model alone.")
    parser.add_argument("--profile", default="cpu", choices=list(paths.read_profiles()))
    parser.add_argument("--variant", help="another than the profile's, e.g. Qwen2-VL-7B-Instruct")
    parser.add_argument("--device", default="cpu", help="cpu (default) or cuda:0")
    parser.add_argument("--new-tokens", type=int, default=NEW_TOKENS)
    parser.add_argument("--repeats", type=int, default=REPEATS)
    options = parser.parse_args(arguments)
    if options.device != "cpu" and not torch.cuda.is_available():
        parser.error(f"--device {options.device}: torch {torch.__version__} finds no GPU")
    paths.isolate_libraries()
    with tempfile.TemporaryDirectory() as scratch:
        file = built(options.profile, options.variant, Path(scratch))
        with qwen2vl_served.one_thread():
            figures = Bench(file, options.device, options.new_tokens, options.repeats).figures()
    shown = Table(
        "what", "", title=f"{WINDOWS} windows of {FRAMES} frames {WIDTH}x{HEIGHT}, {options.new_tokens} tokens"
    )
    for name, value in figures.items():
        shown.add_row(name, "-" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value))
    Console().print(shown)
    if options.device != "cpu":
        about = {"profile": options.profile, "variant": options.variant, "gpu": torch.cuda.get_device_name()}
        record("vlm", {**about, "new_tokens": options.new_tokens, **figures})
    return 0


if __name__ == "__main__":
    sys.exit(main())
