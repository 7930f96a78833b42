"""Whisper as openai-whisper loads it: the network, its tokenizer, and its parts in the precision that is served.

Source: Radford et al. (2022), Robust Speech Recognition via Large-Scale Weak Supervision, arXiv:2212.04356.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
import torch
from torch import nn

from reelscope_export.contract import Contract
from reelscope_export.errors import WeightsUnreadable
from reelscope_export.verify import Array

FRAME_SAMPLES = 160
"""Samples of one frame of the spectrogram; 10 ms."""
WINDOW_FRAMES = 3000
"""Frames of one window; 30 s."""
WINDOW_SAMPLES = WINDOW_FRAMES * FRAME_SAMPLES
AUDIO_POSITIONS = 1500
"""Positions of the encoder's output; 20 ms each."""


def load(weights: Path) -> Any:
    """Load a checkpoint by the library, with the alignment heads that it knows for the file's name.

    Raises:
        WeightsUnreadable: it is no checkpoint of Whisper's, or the library knows no such network.
    """
    import whisper

    heads = whisper._ALIGNMENT_HEADS.get(weights.stem)
    if heads is None:
        raise WeightsUnreadable(f"{weights}: openai-whisper knows no network {weights.stem!r}")
    try:
        model = whisper.load_model(str(weights), device="cpu")
        model.set_alignment_heads(heads)
    except Exception as exc:  # unpickling, missing keys and wrong shapes share no base
        raise WeightsUnreadable(f"{weights}: {exc}; delete the file to fetch it again") from exc
    return model.eval()


def tokenizer(model: Any, language: str | None = "en") -> Any:
    """The library's tokenizer for a network, which transcribes."""
    import whisper.tokenizer

    return whisper.tokenizer.get_tokenizer(
        model.is_multilingual, num_languages=model.num_languages, language=language, task="transcribe"
    )


def set_precision(module: nn.Module, precision: str) -> torch.dtype:
    """Give the weights of a network the precision that it computes in, and return that.

    Norms keep FP32, as the library computes them.
    """
    dtype = torch.float16 if precision == "fp16" else torch.float32
    for part in module.modules():
        if isinstance(part, (nn.Linear, nn.Conv1d, nn.Embedding)):
            part.to(dtype)
    return dtype


def cross(model: Any, heard: torch.Tensor) -> Array:
    """What speech_whisper_encoder gives, by the library's parts: [1500,d] of its encoder to [2L,d,1500]."""
    with torch.no_grad():
        parts = [
            part
            for block in model.decoder.blocks
            for part in (block.cross_attn.key(heard), block.cross_attn.value(heard) - block.cross_attn.value.bias)
        ]
    found: Array = torch.stack(parts).transpose(1, 2).numpy()
    return found


def open_sizes(model: onnx.ModelProto, contract: Contract) -> None:
    """Name the dimensions that the contract leaves open: they are those of a variant, or of a request."""
    rows = (-1,) if contract.batched else ()
    for tensors, values in ((contract.inputs, model.graph.input), (contract.outputs, model.graph.output)):
        for tensor, value in zip(tensors, values, strict=True):
            for number, (size, dim) in enumerate(
                zip((*rows, *tensor.dims), value.type.tensor_type.shape.dim, strict=True)
            ):
                if size < 0 and not dim.dim_param:
                    dim.dim_param = f"{tensor.name}_{number}"
