"""Greedy decoding: by transformers' `generate` with a cache that grows, or step by step with a static one.

The static one is for GPUs. `generate` can have a static cache as well, and compiles its step, but host and GPU wait for
each other at every token. Here the next step begins as soon as its tokens are chosen, and what may follow them is found
out meanwhile.
"""

import sys

import torch
from rows import End, Restriction
from step import Memory, Step, join
from tasks import TASKS
from transformers import DynamicCache, GenerationConfig, LogitsProcessorList, StoppingCriteriaList

SHORT_SLOTS = 2048
"""Tokens of a row, prompt and answer: a window of 8 frames has 1008, its instruction 100, its longest answer 380."""
SLOTS_STEP = 64
ROWS_SHARES = (8, 2, 1)
"""A step takes an eighth of the rows, half of them, or all: it reads every slot of every row, whoever is in it."""
PROMPT_ROWS = 8
"""Prompts that are read together, and long rows that are decoded together: more take memory."""


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

    def rows_at_most(self, tokens):
        """Rows of so many tokens that can be decoded together: any number."""
        return sys.maxsize

    def run(self, batch, rows, new_tokens):
        """Decode until every row is done.

        Args:
            batch: what the processor made, on the network's device.
            rows: `Rows`, which hold the answers afterwards.
            new_tokens: of the longest answer.
        """
        with torch.inference_mode():
            self._network.generate(
                **batch,
                generation_config=GenerationConfig(max_new_tokens=new_tokens, **self._settings),
                logits_processor=LogitsProcessorList([Restriction(rows)]),
                stopping_criteria=StoppingCriteriaList([End(rows)]),
            )
        rows.settle()


class StaticDecoding:
    """The prompt as transformers reads it, then one `Step` per token: the same tokens as `EagerDecoding`."""

    @torch.inference_mode()
    def __init__(self, network, *, max_rows, max_prompt_tokens):
        """Decode up to `max_rows` short rows with `network`, or fewer long ones; on a GPU this compiles all of it."""
        longest = max_prompt_tokens + max(task.new_tokens for task in TASKS.values())
        longest = max(SHORT_SLOTS, -(-longest // SLOTS_STEP) * SLOTS_STEP)
        long_rows = min(max_rows, PROMPT_ROWS)
        memory = Memory(network, max(max_rows * SHORT_SLOTS, long_rows * longest))
        shapes = [(max(1, max_rows // share), SHORT_SLOTS) for share in ROWS_SHARES]
        shapes.append((long_rows, longest))
        self._network, joined = network, join(network)
        self._steps = [Step(network, joined, memory, rows, slots) for rows, slots in dict.fromkeys(shapes)]

    def rows_at_most(self, tokens):
        """Rows of so many tokens, prompt and answer, that can be decoded together."""
        return max(each.rows for each in self._steps if each.slots >= tokens)

    @torch.inference_mode()
    def run(self, batch, rows, new_tokens):
        """Decode until every row is done; arguments as of `EagerDecoding.run`."""
        count, length = batch["input_ids"].shape
        step = next(each for each in self._steps if each.rows >= count and each.slots >= length + new_tokens)
        step.begin(length)
        scores = torch.cat([self._read(part, step, first) for first, part in parts(batch, PROMPT_ROWS)])
        chosen = Chosen(count, self._network.device)
        while True:
            tokens = rows.restrict(scores).argmax(1)
            chosen.send(tokens)
            scores = step(tokens)[:count]
            if not rows.advance(chosen.read()):
                break
        rows.settle()

    def _read(self, part, step, first):
        """Read the prompts of the rows from `first` on; returns their scores [n, vocabulary]."""
        cache = DynamicCache(config=self._network.config.get_text_config())
        scores = self._network(**part, past_key_values=cache, logits_to_keep=1).logits[:, -1].float()
        lengths = part["attention_mask"].sum(1)
        step.take(first, cache, lengths, lengths + self._network.model.rope_deltas[:, 0])
        return scores


def parts(batch, most):
    """A batch of prompts with one video each, `most` of them at a time: the first's number, and their tensors."""
    count = len(batch["input_ids"])
    patches = [0, *batch["video_grid_thw"].prod(1).cumsum(0).tolist()]
    for first in range(0, count, most):
        end = min(count, first + most)
        pictures = slice(patches[first], patches[end])
        yield (
            first,
            {
                name: tensor[pictures if name == "pixel_values_videos" else slice(first, end)]
                for name, tensor in batch.items()
            },
        )


class Chosen:
    """Tokens on their way from the GPU, past what is being computed there."""

    def __init__(self, count, device):
        """Expect `count` tokens a step."""
        on_gpu = device.type == "cuda"
        self._tokens = torch.zeros(count, dtype=torch.long, pin_memory=on_gpu)
        self._sent = torch.cuda.Event() if on_gpu else None

    def send(self, tokens):
        """Begin to copy."""
        self._tokens.copy_(tokens, non_blocking=True)
        if self._sent:
            self._sent.record()

    def read(self):
        """Wait for what was sent; a list."""
        if self._sent:
            self._sent.synchronize()
        return self._tokens.tolist()
