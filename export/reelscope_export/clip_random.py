"""Seeded random CLIP weights, as a folder in transformers' own format: what a download brings, but untrained.

The tokenizer knows single bytes only, under CLIP's own names and numbers, and has no merges: any text can be encoded,
into about as many tokens as it has letters. Different prompts and pictures get clearly different embeddings (cosines
of 0.4-0.98), so that a comparison with transformers means something; what they say means nothing.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import torch
from tokenizers.pre_tokenizers import ByteLevel
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel

SEED = 0

_TRAINED_LOGIT_SCALE = math.log(100.0)
"""Training ends here, where the scale is clipped: probabilities are as far apart as trained ones, and so are errors."""


def write_checkpoint(file: Path) -> None:
    """Write the network's weights to `file`, and the other files of CLIP ViT-B/32 beside it.

    Half precision: the loader widens it, and the file is half as large. Equal file names give equal bytes.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        network = CLIPModel(CLIPConfig(logit_scale_init_value=_TRAINED_LOGIT_SCALE)).half()
    torch.save(network.state_dict(), file)
    network.config.save_pretrained(file.parent)
    CLIPImageProcessor().save_pretrained(file.parent)
    _write_tokenizer(file.parent, network.config.text_config.bos_token_id)


def _write_tokenizer(folder: Path, first_special_id: int) -> None:
    """Tokens 0-511 of trained CLIP, the byte symbols alone and at a word's end, and its two special ones."""
    symbols = sorted(ByteLevel.alphabet())
    tokens = [*symbols, *(f"{symbol}</w>" for symbol in symbols)]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    vocabulary |= {"<|startoftext|>": first_special_id, "<|endoftext|>": first_special_id + 1}
    for name, content in (
        ("vocab.json", json.dumps(vocabulary, ensure_ascii=False)),
        ("merges.txt", "#version: 0.2\n"),
        ("tokenizer_config.json", json.dumps({"tokenizer_class": "CLIPTokenizer", "model_max_length": 77})),
    ):
        (folder / name).write_text(content, encoding="utf-8")
