"""The vision-language model: what each part of an answer costs, alone and through Triton.

Windows of noise are asked about in one batch. First by the modules that Triton's process runs, without Triton, every
answer as long as the others:

- vision: the tower alone; prefill: everything until the first token, the tower included;
- decoding by transformers' `generate` and by the static path that is served on a GPU (compiled, captured), with the
  JSON schema and without it: tokens a second, a step, and how often both choose the same token after the same ones;
- windows of another length: their first call, and their step against that of the first length.

Then through Triton, as clients ask, with the schema: how long until the model is ready, with an empty cache of compiled
kernels and with a full one; windows and synthesis; the GPU's memory before, while and after it works.

    python -m benchmarks.vlm                                   the cpu profile's stand-in, a minute
    python -m benchmarks.vlm --profile h200 --device cuda:0    the real network; random weights cost the same
    python -m benchmarks.vlm --profile h200 --device cuda:0 --variant Qwen2-VL-7B-Instruct --alone

Builds the file that is measured; writes benchmarks/results/vlm.json where the device is a GPU.
"""

from __future__ import annotations

import argparse
import os
import shutil
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
from benchmarks.asking import Asking
from benchmarks.gpu_check import read_gpu
from reelscope import settings
from reelscope.embedded import EmbeddedServer
from reelscope.inference import InferenceClient
from reelscope_export import fingerprint, paths, qwen2vl_served, weights
from reelscope_export import video_understanding_qwen2vl as exported

WINDOWS, FRAMES, HEIGHT, WIDTH = 5, 8, 392, 504
OTHER_FRAMES = 6
"""Of the windows of a clip of another length."""
AGREEMENT_PROMPTS = 20
NEW_TOKENS = 128
REPEATS = 3
MODEL = exported.CONTRACT.name


class Forced:
    """Stands in for `Rows`: follows given tokens, and notes what would have been chosen."""

    def __init__(self, tokens: list[list[int]]) -> None:
        """Follow these; all rows are equally long."""
        self._tokens = torch.tensor(tokens)
        self.chosen: list[torch.Tensor] = []

    def restrict(self, scores: torch.Tensor) -> torch.Tensor:
        """Note, and let nothing be chosen but what is given."""
        self.chosen.append(scores.argmax(1).cpu())
        forced = torch.zeros_like(scores)
        forced.scatter_(1, self._tokens[:, len(self.chosen) - 1, None].to(scores.device), 1)
        return forced

    def advance(self, newest: list[int]) -> bool:
        """Whether more is to follow."""
        return len(self.chosen) < self._tokens.shape[1]

    def settle(self) -> None:
        """Nothing was noted on the GPU."""

    @property
    def agreement(self) -> float:
        """Share of the given tokens that would have been chosen."""
        return float((torch.stack(self.chosen, 1) == self._tokens).float().mean())


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
        self.questions = self._asked(WINDOWS, FRAMES)
        self.batch = self._batch(self.questions)
        self.prepare_seconds = self._median(lambda: self._batch(self.questions))

    def _asked(self, count: int, frames: int, seed: int = 0) -> list[Any]:
        random = np.random.default_rng(seed)
        videos = [random.integers(0, 256, (frames, HEIGHT, WIDTH, 3), np.uint8) for _ in range(count)]
        return [self.served.questions.Question(video, "window", "") for video in videos]

    def _batch(self, questions: list[Any]) -> dict[str, Any]:
        prompts = [self.served.tasks.TASKS["window"].prompt("")] * len(questions)
        frames = [each.frames for each in questions]
        found: dict[str, Any] = self.served.pictures.prepare(self.checkpoint.processor, prompts, frames, self.device)
        return found

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
        found |= self._path("eager", eager(self.checkpoint.network, self.checkpoint.processor.tokenizer))
        began = time.perf_counter()
        decoding = static(
            self.checkpoint.network,
            max_rows=exported.LIMITS["max_rows"],
            max_prompt_tokens=exported.LIMITS["max_prompt_tokens"],
        )
        self._wait()
        found["static_compile"] = time.perf_counter() - began
        found |= self._path("static", decoding)
        found["eager_over_static"] = found["eager_whole"] / found["static_whole"]
        found |= self._another_length(decoding, found["static_step_ms"])
        found["agreement_ratio"] = self._agreement(
            eager(self.checkpoint.network, self.checkpoint.processor.tokenizer), decoding
        )
        found["memory_most_mib"] = torch.cuda.max_memory_allocated() / 2**20 if on_gpu else None
        return found

    def _path(self, name: str, decoding: Any) -> dict[str, float]:
        """Figures of one way to decode."""
        began = time.perf_counter()
        self._decode(decoding, constrained=False)
        first_call = time.perf_counter() - began
        free, constrained = (self._measured(decoding, constrained=constrained) for constrained in (False, True))
        steps = self.new_tokens - 1
        return {
            f"{name}_first_call": first_call,
            f"{name}_prefill": free[0],
            f"{name}_whole": free[1],
            f"{name}_tokens_per_second": WINDOWS * steps / (free[1] - free[0]),
            f"{name}_step_ms": 1000 * free[2],
            f"{name}_constrained_step_ms": 1000 * constrained[2],
        }

    def _another_length(self, decoding: Any, step_ms: float) -> dict[str, float]:
        """The first call with windows of another length, and the step of it against the first length's."""
        questions = self._asked(WINDOWS, OTHER_FRAMES, seed=1)
        batch = self._batch(questions)
        _, (_, first_call, step) = self._decode(decoding, constrained=False, questions=questions, batch=batch)
        return {"other_length_first_call": first_call, "other_length_step_ratio": 1000 * step / step_ms}

    def _agreement(self, eager: Any, static: Any) -> float:
        """How often the static path, having said what the eager one said, says the same next."""
        found = []
        for seed in range(AGREEMENT_PROMPTS // WINDOWS):
            questions = self._asked(WINDOWS, FRAMES, seed=2 + seed)
            batch = self._batch(questions)
            said, _ = self._decode(eager, constrained=False, questions=questions, batch=batch)
            forced = Forced(said)
            static.run(batch, forced, self.new_tokens)
            found.append(forced.agreement)
        return statistics.mean(found)

    def _vision(self) -> None:
        with torch.inference_mode():
            self.checkpoint.network.model.visual(
                self.batch["pixel_values_videos"].to(self.checkpoint.network.dtype),
                grid_thw=self.batch["video_grid_thw"],
            )
        self._wait()

    def _measured(self, decoding: Any, *, constrained: bool) -> tuple[float, float, float]:
        """First token, whole answer and a step, medians in seconds."""
        runs = [self._decode(decoding, constrained=constrained)[1] for _ in range(self.repeats)]
        first, whole, step = (statistics.median(run[number] for run in runs) for number in range(3))
        return first, whole, step

    def _decode(
        self,
        decoding: Any,
        *,
        constrained: bool,
        questions: list[Any] | None = None,
        batch: dict[str, Any] | None = None,
    ) -> tuple[list[list[int]], tuple[float, float, float]]:
        """Tokens of every row; first token, whole answer and a step in seconds."""
        questions, batch = questions or self.questions, batch or self.batch
        constraint = self.grammars.constraint(["window"] * len(questions)) if constrained else None
        # No token ends a free answer: all are equally long.
        end = self.checkpoint.processor.tokenizer.eos_token_id if constrained else -1
        rows = self.served.rows.Rows(questions, constraint, end, [self.new_tokens] * len(questions))
        self._wait()
        began = time.perf_counter()
        decoding.run(batch, rows, self.new_tokens)
        self._wait()
        ended = time.perf_counter()
        steps = max(max(map(len, rows.tokens)) - 1, 1)
        return rows.tokens, (rows.first_token_at - began, ended - began, (ended - rows.first_token_at) / steps)

    def _median(self, call: Callable[[], object]) -> float:
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


def through_triton(profile: settings.Profile, repeats: int) -> dict[str, Any]:
    """What clients wait for: the model to be ready, and its answers."""
    used_mib = (lambda: read_gpu().used_mib) if profile.needs_gpu else (lambda: None)
    found: dict[str, Any] = {"served_memory_before_mib": used_mib()}
    random = np.random.default_rng(0)
    windows = random.integers(0, 256, (WINDOWS, FRAMES, HEIGHT, WIDTH, 3), np.uint8)
    synthesis = windows[:1].repeat(2, axis=1)
    for cache in ("cold", "warm"):
        began = time.perf_counter()
        with EmbeddedServer(profile, models=[MODEL]) as server, InferenceClient(server.grpc_url) as client:
            found[f"served_ready_{cache}"] = time.perf_counter() - began
            found["served_memory_loaded_mib"] = used_mib()
            asking = Asking(client, "understanding", ("answer", "token_counts", "seconds"))
            found |= _asked_through(asking, "windows", [windows], "window", repeats)
            found |= _asked_through(asking, "requests", [each[None] for each in windows], "window", repeats)
            found |= _asked_through(asking, "synthesis", [synthesis], "synthesis", repeats)
            found["served_memory_after_mib"] = used_mib()
    return found


def _asked_through(
    asking: Asking, name: str, frames: list[np.ndarray], task: str, repeats: int
) -> dict[str, float | list[int]]:
    """Requests at once; wall seconds (median), and what the model says of the last run."""
    requests = [
        {
            "frames": each,
            "task": np.full((len(each), 1), task.encode(), object),
            "context": np.full((len(each), 1), b"", object),
        }
        for each in frames
    ]
    times = []
    for _ in range(repeats + 1):  # the first warms up
        began = time.perf_counter()
        pending = [asking.submit(each) for each in requests]
        answers = [each.result() for each in pending]
        times.append(time.perf_counter() - began)
    tokens = np.concatenate([each["token_counts"] for each in answers])
    prepared, first, whole = np.max([each["seconds"][0] for each in answers], axis=0).tolist()
    return {
        f"served_{name}_seconds": statistics.median(times[1:]),
        f"served_{name}_answer_tokens": tokens[:, 1].tolist(),
        f"served_{name}_prepared": prepared,
        f"served_{name}_first_tokens": first,
        f"served_{name}_in_model": whole,
    }


def built(profile: str, variant: str | None, repository: Path) -> Path:
    """The file that the profile serves, with random weights; it is not compared with anything here."""
    settings = paths.model_settings(paths.read_profiles(), profile, MODEL)
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
    file = repository / MODEL / "1" / settings.model_file
    file.parent.mkdir(parents=True)
    exported.write(found.file, settings.precision, {fingerprint.PROVENANCE_KEY: '{"trained": false}'}, file)
    return file


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, and on a GPU write the figures down."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.vlm", description="The vision-language model.")
    parser.add_argument("--profile", default="cpu", choices=list(paths.read_profiles()))
    parser.add_argument("--variant", help="another than the profile's, e.g. Qwen2-VL-7B-Instruct")
    parser.add_argument("--device", default="cpu", help="cpu (default) or cuda:0")
    parser.add_argument("--new-tokens", type=int, default=NEW_TOKENS)
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--alone", action="store_true", help="not through Triton; writes nothing")
    parser.add_argument("--commit", help="recorded where there is no git to ask")
    options = parser.parse_args(arguments)
    if options.device != "cpu" and not torch.cuda.is_available():
        parser.error(f"--device {options.device}: torch {torch.__version__} finds no GPU")
    paths.isolate_libraries()
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["REELSCOPE_REPOSITORY"] = scratch
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = f"{scratch}/kernels"
        file = built(options.profile, options.variant, Path(scratch))
        with qwen2vl_served.one_thread():
            bench = Bench(file, options.device, options.new_tokens, options.repeats)
            figures = bench.figures()
        show(figures, f"{WINDOWS} windows of {FRAMES} frames {WIDTH}x{HEIGHT}, {options.new_tokens} tokens")
        if not options.alone:
            del bench
            if options.device != "cpu":
                torch.cuda.empty_cache()
            shutil.rmtree(f"{scratch}/kernels", ignore_errors=True)
            served = through_triton(settings.profile(options.profile), options.repeats)
            show(served, "through Triton, schema included")
            figures |= served
    if options.device != "cpu" and not options.alone:
        variant = options.variant or paths.model_settings(paths.read_profiles(), options.profile, MODEL).variant
        about = {"profile": options.profile, "variant": variant, "gpu": torch.cuda.get_device_name()}
        commit = {"commit": options.commit} if options.commit else {}
        record("vlm", {**commit, **about, "new_tokens": options.new_tokens, **figures})
    return 0


def show(figures: dict[str, Any], title: str) -> None:
    """A table: seconds unless the name says otherwise."""
    shown = Table("what", "", title=title)
    for name, value in figures.items():
        shown.add_row(name, "-" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value))
    Console().print(shown)


if __name__ == "__main__":
    sys.exit(main())
