"""Random Qwen2-VL checkpoints in transformers' own format: network, byte-level tokenizer and processor.

`two-layers` stands in for the network on machines without a GPU; the others have the real sizes (Wang et al. 2024,
arXiv:2409.12191, and the configurations that Qwen publishes with them), so that they cost what trained ones cost.
"""

from __future__ import annotations

import itertools
import json
import string
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from tokenizers import pre_tokenizers
from transformers import (
    Qwen2Tokenizer,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
    Qwen2VLImageProcessor,
    Qwen2VLProcessor,
    Qwen2VLVideoProcessor,
)

INDEX = "model.safetensors.index.json"
"""Names the file that holds each tensor, where it is not model.safetensors."""

_SPECIAL = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    *(f"<|{name}|>" for name in ("object_ref_start", "object_ref_end", "box_start", "box_end", "quad_start")),
    "<|quad_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
"""In the order of Qwen's ids."""
_CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'video' %}<|vision_start|><|video_pad|><|vision_end|>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_TALKATIVE = 8.0
"""Factor on the last layer's norm: differences between tokens that survive rounding, and no token that always wins."""
_TERSE = 2.5
"""Factor on the score of the quotation mark, which ends texts: random answers are short, and differ."""

SIZES: dict[str, dict[str, Any]] = {
    "two-layers": {
        "words": 256,
        "vocab_size": 320,
        "text": {
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "mrope_section": [2, 3, 3],
        },
        "vision": {"depth": 2, "embed_dim": 32, "hidden_size": 64, "num_heads": 2},
        "tied": False,
    },
    "Qwen2-VL-2B-Instruct": {
        "words": 151643,
        "vocab_size": 151936,
        "text": {
            "hidden_size": 1536,
            "intermediate_size": 8960,
            "num_hidden_layers": 28,
            "num_attention_heads": 12,
            "num_key_value_heads": 2,
            "mrope_section": [16, 24, 24],
        },
        "vision": {"depth": 32, "embed_dim": 1280, "hidden_size": 1536, "num_heads": 16},
        "tied": True,
    },
    "Qwen2-VL-7B-Instruct": {
        "words": 151643,
        "vocab_size": 152064,
        "text": {
            "hidden_size": 3584,
            "intermediate_size": 18944,
            "num_hidden_layers": 28,
            "num_attention_heads": 28,
            "num_key_value_heads": 4,
            "mrope_section": [16, 24, 24],
        },
        "vision": {"depth": 32, "embed_dim": 1280, "hidden_size": 3584, "num_heads": 16},
        "tied": False,
    },
}
"""By variant; `words` are the tokens that are no special ones."""


def write(variant: str, file: Path) -> None:
    """Write a checkpoint folder: `file` holds the network, the other files lie beside it."""
    size = SIZES[variant]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = Qwen2VLForConditionalGeneration(config(size)).eval()
        with torch.no_grad():
            network.model.language_model.norm.weight.mul_(_TALKATIVE)
            if not size["tied"]:
                quote = next(number for number, word in enumerate(_words(size)) if word == '"')
                network.lm_head.weight[quote] *= _TERSE
    precision = torch.float32 if variant == "two-layers" else torch.bfloat16
    network.to(precision).save_pretrained(file.parent, max_shard_size="100GB")
    (file.parent / "model.safetensors").rename(file)
    if file.name != "model.safetensors":
        with safe_open(file, "pt") as opened:
            names = opened.keys()
        (file.parent / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": dict.fromkeys(names, file.name)}))
    processor(size).save_pretrained(file.parent)


def config(size: dict[str, Any]) -> Qwen2VLConfig:
    """Configuration of one size."""
    first = size["words"]
    ids = {name: first + number for number, name in enumerate(_SPECIAL)}
    sections = size["text"]["mrope_section"]
    text = {name: value for name, value in size["text"].items() if name != "mrope_section"}
    rope = {"rope_type": "default", "type": "mrope", "rope_theta": 1e6, "mrope_section": sections}
    return Qwen2VLConfig(
        text_config={
            **text,
            "vocab_size": size["vocab_size"],
            "max_position_embeddings": 32768,
            "rope_parameters": rope,
            "bos_token_id": ids["<|endoftext|>"],
            "eos_token_id": ids["<|im_end|>"],
            "pad_token_id": ids["<|endoftext|>"],
            "tie_word_embeddings": size["tied"],
        },
        vision_config=size["vision"],
        tie_word_embeddings=size["tied"],
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
    )


def processor(size: dict[str, Any]) -> Qwen2VLProcessor:
    """A processor that spells every text in bytes; what the vocabulary holds beyond them is only ever generated."""
    vocabulary = {word: number for number, word in enumerate((*_words(size), *_SPECIAL))}
    tokenizer = Qwen2Tokenizer(
        vocab=vocabulary,
        merges=[],
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        extra_special_tokens=list(_SPECIAL[1:]),
    )
    return Qwen2VLProcessor(Qwen2VLImageProcessor(), tokenizer, Qwen2VLVideoProcessor(), chat_template=_CHAT_TEMPLATE)


def _words(size: dict[str, Any]) -> list[str]:
    """Every byte, and as many longer words as the real vocabulary has."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    longer = ("".join(each) for length in (3, 4) for each in itertools.product(string.ascii_lowercase, repeat=length))
    return [*letters, *itertools.islice(longer, size["words"] - len(letters))]
