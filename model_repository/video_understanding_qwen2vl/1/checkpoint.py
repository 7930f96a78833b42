"""A built file opened: network, processor, and what they are.

The file is safetensors; its metadata hold the files that transformers reads beside it, and the provenance.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from transformers import Qwen2VLForConditionalGeneration, Qwen2VLProcessor
from transformers.utils import logging

logging.disable_progress_bar()

FILE_KEY = "file:"
"""Begins the keys of files; the rest of the key is their name."""
PROVENANCE_KEY = "reelscope.provenance"


@dataclass(frozen=True)
class Checkpoint:
    """A network that is ready to run."""

    network: Qwen2VLForConditionalGeneration
    processor: Qwen2VLProcessor
    provenance: str
    """JSON."""


def read(file, device):
    """Load a built file by the library's own path.

    Args:
        file: path of the built file.
        device: cpu or cuda; on a GPU the network stays in the precision of the file, on a CPU it is float32.
    """
    with safe_open(file, "pt") as opened:
        metadata = opened.metadata()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for key, text in metadata.items():
            if key.startswith(FILE_KEY):
                (folder / key.removeprefix(FILE_KEY)).write_text(text, encoding="utf-8")
        (folder / "model.safetensors").symlink_to(Path(file).resolve())
        network = Qwen2VLForConditionalGeneration.from_pretrained(
            folder,
            dtype=torch.float32 if device == "cpu" else torch.float16,
            attn_implementation="sdpa",  # Turing has no FlashAttention-2
            local_files_only=True,
        )
        processor = Qwen2VLProcessor.from_pretrained(folder, local_files_only=True)
    processor.tokenizer.padding_side = "left"
    return Checkpoint(network.to(device).eval(), processor, metadata[PROVENANCE_KEY])
