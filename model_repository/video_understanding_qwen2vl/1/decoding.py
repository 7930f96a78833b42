"""Greedy decoding by transformers' `generate`: eager with a cache that grows, or with a static one.

The static one is for GPUs: its shapes are few, so that transformers' compiled decode step (CUDA graphs) is compiled for
each of them once, at load, and from a cache on disk at the next load. Rows and prompt lengths are padded up to these
shapes: rows with one token that nobody reads, prompts on the left with what attention does not see.
"""

import torch
from rows import End, Restriction
from tasks import TASKS
from transformers import CompileConfig, GenerationConfig, LogitsProcessorList, StoppingCriteriaList

ROW_BUCKETS = (1, 2, 4, 8)
PROMPT_BUCKET_TOKENS = 1280
"""Prompts are padded to a multiple: a window of 8 frames has 1008 tokens and fits with its instruction."""


class EagerDecoding:
    """As `generate` does it by itself."""

    def __init__(self, network, tokenizer):
        """Decode with `network`."""
        self._network = network
        self._settings = {
            "do_sample": False,
            "pad_token_id": tokenizer.pad_token_id,
            "eos_token_id": tokenizer.eos_token_id,
        }

    def run(self, batch, rows, new_tokens):
        """Decode until every row is done.

        Args:
            batch: what the processor made, on the network's device.
            rows: `Rows`, which hold the answers afterwards.
            new_tokens: of the longest answer.
        """
        with torch.inference_mode():
            self._network.generate(
                **self._shaped(batch),
                generation_config=GenerationConfig(max_new_tokens=self._room(new_tokens), **self._settings),
                logits_processor=LogitsProcessorList([Restriction(rows)]),
                stopping_criteria=StoppingCriteriaList([End(rows)]),
            )
        rows.settle()

    def _shaped(self, batch):
        return batch

    def _room(self, new_tokens):
        return new_tokens


class StaticDecoding(EagerDecoding):
    """With a static cache; compiled where the network is on a GPU."""

    def __init__(self, network, tokenizer):
        """Decode with `network`."""
        super().__init__(network, tokenizer)
        self._longest = max(task.new_tokens for task in TASKS.values())
        self._pad = tokenizer.pad_token_id
        self._settings["cache_implementation"] = "static"
        if network.device.type == "cuda":
            # Every shape its own kernels: dynamic ones cannot be captured. Eight are dynamo's default limit.
            torch._dynamo.config.recompile_limit = 64
            self._settings["compile_config"] = CompileConfig(dynamic=False, mode="reduce-overhead")

    def _room(self, new_tokens):
        """The cache has room for any task's answer: its length is part of the shape."""
        return max(new_tokens, self._longest)

    def _shaped(self, batch):
        ids = batch["input_ids"]
        count, length = ids.shape
        rows = next((size for size in ROW_BUCKETS if size >= count), count)
        padded = -(-length // PROMPT_BUCKET_TOKENS) * PROMPT_BUCKET_TOKENS
        fill = {"input_ids": self._pad, "attention_mask": 0, "mm_token_type_ids": 0}
        shaped = dict(batch)
        for name, value in fill.items():
            tensor = torch.full((rows, padded), value, dtype=batch[name].dtype, device=ids.device)
            tensor[:count, padded - length :] = batch[name]
            shaped[name] = tensor
        shaped["attention_mask"][count:, -1] = 1
        return shaped
