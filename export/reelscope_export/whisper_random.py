"""Random weights for Whisper that make it talk: segments of a few words, with times, which end.

Drawn plainly, the network would repeat one token: its output is measured against the embeddings of its input. So what
the layers add is made larger than what goes in, attention looks at single places, and the embeddings of time stamps and
of the end share a direction with the last norm's bias, which sets how often they come.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import torch
from torch import nn

_DIMS = {
    "tiny": (80, 1500, 384, 6, 4, 51865, 448, 384, 6, 4),
    "large-v3-turbo": (128, 1500, 1280, 20, 32, 51866, 448, 1280, 20, 4),
}
"""`ModelDimensions` of the variants, as upstream's checkpoints hold them."""

# Standard deviations: of logits, of what a layer adds, of queries and keys, of what a position adds.
_LOGIT_SPREAD, _BRANCH_GAIN, _FOCUS, _POSITION_SPREAD = 3.0, 4.0, 3.0, 1.0
# The encoder's queries and keys: 32 layers that look as closely would make much of what FP16 rounds off.
_ENCODER_FOCUS = 1.5
# Mean logits: of the first time stamp, of each later one less, and of the end.
_STAMP_LOGIT, _STAMP_DECAY, _END_LOGIT = 3.5, 0.006, 7.0


def write(variant: str, file: Path) -> None:
    """Write a seeded checkpoint in the library's own format, FP16 as upstream's are."""
    from whisper.model import ModelDimensions, Whisper

    from reelscope_export import whisper_network

    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        dims = ModelDimensions(*_DIMS[variant])
        model = Whisper(dims)
        for name, part in model.named_modules():
            if isinstance(part, nn.Linear):
                focus = _FOCUS if name.startswith("decoder") else _ENCODER_FOCUS
                looks = name.endswith((".query", ".key"))
                gain = focus if looks else _BRANCH_GAIN if name.endswith((".out", "mlp.2")) else 1.0
                nn.init.normal_(part.weight, std=gain * part.in_features**-0.5)
                if part.bias is not None:
                    nn.init.zeros_(part.bias)
        decoder, width = model.decoder, dims.n_text_state
        nn.init.normal_(decoder.positional_embedding, std=_POSITION_SPREAD)
        embeddings = decoder.token_embedding.weight
        nn.init.normal_(embeddings, std=_LOGIT_SPREAD * width**-0.5)
        direction = torch.full((width,), width**-0.5)
        nn.init.constant_(decoder.ln.bias, 1.0)
        embeddings -= torch.outer(embeddings @ direction, direction)
        tokens = whisper_network.tokenizer(model)
        first = tokens.timestamp_begin
        stamps = _STAMP_LOGIT - _STAMP_DECAY * torch.arange(dims.n_vocab - first)
        embeddings[first:] += torch.outer(stamps * width**-0.5, direction)
        embeddings[tokens.eot] += _END_LOGIT * width**-0.5 * direction
    state = {name: weight.half() for name, weight in model.state_dict().items()}
    torch.save({"dims": asdict(dims), "model_state_dict": state}, file)
