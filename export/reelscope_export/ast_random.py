"""Seeded random AST weights that tell sounds apart, as a folder in transformers' own format.

A freshly initialised AST gives one answer to all sounds, and a comparison of those proves nothing. So weights are drawn
wider than for training, and the classifier is scaled and shifted by what a few sounds make of the network: every label
is then about as likely to hold as not. What such a network says about any sound means nothing.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import ASTConfig, ASTForAudioClassification
from transformers.utils import logging

from reelscope_export import paths, sound_filter_bank

SEED = 0

_WEIGHT_STD = 0.06
"""Three times the library's: what trained weights have, and enough for sounds to leave their traces."""

_LOGIT_STD = 0.6
"""Spread of a label's logits over sounds. Single precision's own error grows with it: at 1, torch's probabilities are
7e-6 off those of double precision."""


def write_checkpoint(file: Path) -> None:
    """Write the weights to `file`, and configuration and extractor beside it; equal calls, equal bytes.

    Half precision: the loader widens it, and the file is half as large.
    """
    names = (paths.deployment_root() / "model_repository" / "sound_events_ast" / "labels.txt").read_text().splitlines()
    config = ASTConfig(
        id2label=dict(enumerate(names)),
        label2id={name: index for index, name in enumerate(names)},
        initializer_range=_WEIGHT_STD,
    )
    logging.disable_progress_bar()
    extractor = sound_filter_bank.extractor()
    features = sound_filter_bank.FilterBank(extractor)(_sounds())
    threads = torch.get_num_threads()
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(SEED)
        torch.set_num_threads(1)  # sums depend on how they are split
        network = ASTForAudioClassification(config).eval()
        logits = network(features).logits
        torch.set_num_threads(threads)
        gain = _LOGIT_STD / logits.std(0).mean()
        network.classifier.dense.bias.copy_(-logits.mean(0) * gain)
        network.classifier.dense.weight.mul_(gain)
    network.save_pretrained(file.parent)  # under the names that published weights have
    extractor.save_pretrained(file.parent)
    saved = file.parent / "model.safetensors"
    halves = {name: values.half() for name, values in load_file(saved).items()}
    saved.unlink()
    save_file(halves, file, {"format": "pt"})


def _sounds() -> Tensor:
    """A sweep and noise, float32 [2,16000]. No speech: espeak-ng says nothing twice in the same way."""
    times = np.arange(sound_filter_bank.SAMPLE_RATE_HZ) / sound_filter_bank.SAMPLE_RATE_HZ
    sweep = 0.5 * np.sin(2 * np.pi * (100 + 1000 * times) * times)
    noise = np.random.default_rng(SEED).normal(0, 0.1, len(times))
    return torch.from_numpy(np.stack((sweep, noise)).astype(np.float32))
