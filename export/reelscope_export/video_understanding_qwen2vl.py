"""Qwen2-VL: questions about a few frames, answered in JSON.

Wang et al. (2024), arXiv:2409.12191. The model is Python (model_repository/video_understanding_qwen2vl/1): torch's
exporter cannot follow its picture-dependent shapes. What is built is one file of safetensors, in the precision that is
served: the tensors of all files of the checkpoint, and in the metadata what transformers reads beside them (config,
tokenizer, processor), so that the unit of placement stays a file.

Oracle: transformers' `Qwen2VLProcessor` and `generate` (eager, growing cache) with xgrammar's own logits processor, on
the same weights.

Input   frames        uint8 [N,F,H,W,3] RGB, displayed orientation, F >= 1 frames in time order, any H and W.
        task          STRING [N,1]: window (also "") or synthesis (1/tasks.py).
        context       STRING [N,1]: what else is known, "" for nothing.
Output  answer        STRING [N,1]: JSON by the task's schema.
        frame_count   int32 [N,1]: frames that were looked at; fewer than F where those are too many.
        token_counts  int32 [N,2]: of the prompt with its frames, and of the answer.
        seconds       float32 [N,3], of the batch: prepared, first tokens, whole answers; all from its beginning.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from transformers import Qwen2VLForConditionalGeneration, Qwen2VLProcessor
from transformers.utils import logging

from reelscope_export import qwen2vl_random, qwen2vl_served
from reelscope_export.contract import Contract, Tensor
from reelscope_export.errors import VerificationFailed, WeightsUnreadable
from reelscope_export.verify import Array, Measure, Run

CONTRACT = Contract(
    name="video_understanding_qwen2vl",
    comment=(
        "Video understanding: JSON answers about a few RGB frames, any size and number. task: window or synthesis;",
        "context: what else is known, perhaps empty. answer: JSON by the schemas of 1/tasks.py. frame_count: frames",
        "looked at. token_counts: prompt with frames, answer. seconds, of the batch: prepared, first tokens, answers.",
    ),
    inputs=(
        Tensor("frames", "TYPE_UINT8", (-1, -1, -1, 3)),
        Tensor("task", "TYPE_STRING", (1,)),
        Tensor("context", "TYPE_STRING", (1,)),
    ),
    outputs=(
        Tensor("answer", "TYPE_STRING", (1,)),
        Tensor("frame_count", "TYPE_INT32", (1,)),
        Tensor("token_counts", "TYPE_INT32", (2,)),
        Tensor("seconds", "TYPE_FP32", (3,)),
    ),
    backend="python",
)

logging.disable_progress_bar()

STAND_IN = "two-layers"
"""Variant that is small enough to be compared with upstream answer by answer wherever it is built."""
FILE_KEY = "file:"
"""Begins the metadata keys of files, as 1/checkpoint.py reads them."""
LIMITS = {"max_frames": 16, "max_prompt_tokens": 5120, "max_rows": 16}
_BESIDE = ("*.json", "*.jinja", "merges.txt")
_DTYPES = {"fp32": torch.float32, "fp16": torch.float16}


def write_random(variant: str, file: Path) -> None:
    """Write a seeded random checkpoint: `file`, and beside it what transformers reads."""
    qwen2vl_random.write(variant, file)


def labels(weights: Path) -> tuple[str, ...]:
    """No classes."""
    return ()


def write(weights: Path, precision: str, metadata: dict[str, str], file: Path) -> None:
    """Write the file that is served.

    Args:
        weights: one of the checkpoint's files of weights; the others lie beside it.
        precision: fp32 or fp16.
        metadata: further entries of the file's metadata.
        file: path to write.

    Raises:
        WeightsUnreadable: it is no checkpoint.
        VerificationFailed: FP16 cannot hold the weights.
    """
    beside = [each for pattern in _BESIDE for each in sorted(weights.parent.glob(pattern))]
    texts = {
        FILE_KEY + each.name: each.read_text(encoding="utf-8") for each in beside if each.name != qwen2vl_random.INDEX
    }
    tensors = dict(_tensors(weights.parent, _DTYPES[precision]))
    if FILE_KEY + "config.json" not in texts or not tensors:
        raise WeightsUnreadable(
            f"{weights.parent} is no checkpoint of transformers: config.json or tensors are missing"
        )
    if broken := [name for name, tensor in tensors.items() if not torch.isfinite(tensor).all()]:
        raise VerificationFailed(f"{CONTRACT.name}: {precision} cannot hold {len(broken)} tensors: {broken[0]}, ...")
    save_file(tensors, file, {"format": "pt", **texts, **metadata})
    file.chmod(0o644)  # safetensors lets nobody else read it


def _tensors(folder: Path, dtype: torch.dtype) -> Iterable[tuple[str, torch.Tensor]]:
    for file in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(file, "pt") as opened:
                for name in opened.keys():  # noqa: SIM118 - no mapping
                    yield name, opened.get_tensor(name).to(dtype)
        except Exception as exc:
            raise WeightsUnreadable(f"{file}: {exc}") from exc


def open_built(file: Path) -> Run:
    """Answer by the modules that Triton's process runs, without Triton; loads at the first question."""
    answerer: list[Any] = []

    def run(*arrays: Array) -> dict[str, Array]:
        if not answerer:
            answerer.append(qwen2vl_served.load(file, **LIMITS))
        return qwen2vl_served.answer(answerer[0], *arrays)

    return run


def question(size: tuple[int, int, int], task: str, context: str = "", seed: int = 0) -> tuple[Array, Array, Array]:
    """Inputs of one row: noise of [frames, height, width], a task and its context."""
    frames = np.random.default_rng(seed).integers(0, 256, (1, *size, 3), np.uint8)
    return frames, np.array([[task.encode()]], np.object_), np.array([[context.encode()]], np.object_)


def verify(run: Run, weights: Path, *, variant: str, precision: str, trained: bool) -> tuple[Measure, ...]:
    """Compare answers with transformers' own: those of the stand-in. A real size, which takes a CPU minutes for one,
    has to give one that keeps to the schema."""
    if variant != STAND_IN:
        found = json.loads(run(*question((2, 56, 56), "window"))["answer"][0, 0])
        expected = qwen2vl_served.modules().tasks.TASKS["window"].schema["required"]
        return (Measure("fields unlike the schema's", len(set(expected) ^ found.keys()), 0),)
    with qwen2vl_served.one_thread():
        return _compare(run, oracle(weights))


def _compare(run: Run, upstream: Callable[[Array, Array, Array], bytes]) -> tuple[Measure, ...]:
    wide = question((8, 112, 168), "window")
    asked = (wide, question((3, 160, 96), "window", "SALE 50 %", seed=1), question((1, 64, 64), "synthesis", "{}", 2))
    found = [run(*each)["answer"][0, 0] for each in asked]
    differing = sum(answer != upstream(*each) for answer, each in zip(found, asked, strict=True))
    other = question((8, 112, 168), "window", "a longer prompt", seed=3)
    pair = run(*(np.concatenate(rows) for rows in zip(wide, other, strict=True)))["answer"][:, 0]
    alone = [found[0], run(*other)["answer"][0, 0]]
    return (
        Measure("answers unlike upstream's", differing, 0),
        Measure("batch unlike singles", sum(one != two for one, two in zip(pair, alone, strict=True)), 0),
    )


def oracle(weights: Path) -> Callable[[Array, Array, Array], bytes]:
    """Upstream: one question at a time, by the library's own processor, generation and constraint."""
    import xgrammar
    from xgrammar.contrib.hf import LogitsProcessor

    network = Qwen2VLForConditionalGeneration.from_pretrained(weights.parent, dtype=torch.float32).eval()
    processor = Qwen2VLProcessor.from_pretrained(weights.parent)
    size = network.config.get_text_config().vocab_size
    compiler = xgrammar.GrammarCompiler(xgrammar.TokenizerInfo.from_huggingface(processor.tokenizer, vocab_size=size))
    tasks = qwen2vl_served.modules().tasks

    def answer(frames: Array, task: Array, context: Array) -> bytes:
        asked = tasks.TASKS[task[0, 0].decode()]
        said = [{"type": "video"}, {"type": "text", "text": asked.prompt(context[0, 0].decode())}]
        text = processor.apply_chat_template(
            [{"role": "user", "content": said}], tokenize=False, add_generation_prompt=True
        )
        pixels = qwen2vl_served.modules().pictures
        limits = {"shortest_edge": pixels.SMALLEST_PX, "longest_edge": pixels.LARGEST_PX}
        video = torch.from_numpy(frames[0]).permute(0, 3, 1, 2)
        batch = processor(text=[text], videos=[video], size=limits, cap_pixels_per_frame=False, return_tensors="pt")
        grammar = compiler.compile_json_schema(
            asked.grammar, any_whitespace=False, separators=(",", ":"), strict_mode=True
        )
        with torch.inference_mode():
            ids = network.generate(
                **batch,
                do_sample=False,
                max_new_tokens=asked.new_tokens,
                logits_processor=[LogitsProcessor(grammar)],
                eos_token_id=processor.tokenizer.eos_token_id,
            )
        new = ids[0, batch["input_ids"].shape[1] :]
        return str(processor.tokenizer.decode(new, skip_special_tokens=True)).encode()

    return answer
