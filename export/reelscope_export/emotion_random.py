"""Seeded random weights of audEERING's network that tell voices apart, as a folder in transformers' own format.

A freshly initialised network gives one answer to all voices, and a comparison of those proves nothing. So the head is
scaled and shifted by what a few sounds make of the random network. What it says about any voice means nothing.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor
from transformers.utils import logging

from reelscope_export import spoken
from reelscope_export.emotion_network import EmotionNetwork
from reelscope_export.verify import Array

SEED = 0

_NUMBER_STD = 0.15
"""Spread of the answers over sounds; their mean is 0.5."""

_PUBLISHED_NAMES = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}
"""Parts of the convolution's weight, as torch calls them now and as it did when the network was published."""


def write_checkpoint(file: Path) -> None:
    """Write the weights to `file`, and configuration and extractor beside it; equal calls, equal bytes.

    Half precision: the loader widens it, and the file is half as large.
    """
    logging.disable_progress_bar()
    extractor = Wav2Vec2FeatureExtractor(return_attention_mask=True)
    threads = torch.get_num_threads()
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(SEED)
        torch.set_num_threads(1)  # sums depend on how they are split
        network = EmotionNetwork(_config()).eval()
        inputs = extractor(_sounds(), sampling_rate=spoken.SAMPLE_RATE_HZ, return_tensors="pt")
        numbers = network(inputs["input_values"])
        torch.set_num_threads(threads)
        head = network.classifier.out_proj
        gain = _NUMBER_STD / numbers.std(0)
        head.bias.copy_(0.5 + (head.bias - numbers.mean(0)) * gain)
        head.weight.mul_(gain[:, None])
    network.save_pretrained(file.parent)
    extractor.save_pretrained(file.parent)
    saved = file.parent / "model.safetensors"
    weights = {name: values.half() for name, values in load_file(saved).items()}
    saved.unlink()
    for name in [name for name in weights if "parametrizations" in name]:
        layer, _, part = name.partition("parametrizations")
        weights[layer + _PUBLISHED_NAMES[f"parametrizations{part}"]] = weights.pop(name)
    save_file(weights, file, {"format": "pt"})


def _config() -> Wav2Vec2Config:
    """The published configuration: wav2vec2-large-robust, 12 layers."""
    names = ("arousal", "dominance", "valence")
    return Wav2Vec2Config(
        hidden_size=1024,
        intermediate_size=4096,
        num_hidden_layers=12,
        num_attention_heads=16,
        do_stable_layer_norm=True,
        feat_extract_norm="layer",
        conv_bias=True,
        id2label=dict(enumerate(names)),
        label2id={name: index for index, name in enumerate(names)},
        problem_type="regression",
    )


def _sounds() -> list[Array]:
    """A low buzz in slow syllables, a high one in quick ones, a tone and noise, one second each.

    No speech: espeak-ng says nothing twice in the same way.
    """
    times = np.arange(spoken.SAMPLE_RATE_HZ) / spoken.SAMPLE_RATE_HZ
    buzzes = [
        (pitch_hz * (1 + 0.1 * np.sin(2 * np.pi * times)) * times % 1 - 0.5) * np.sin(np.pi * syllables_hz * times) ** 2
        for pitch_hz, syllables_hz in ((100, 3), (260, 7))
    ]
    tone = np.sin(2 * np.pi * 220 * times)
    noise = np.random.default_rng(SEED).normal(0, 0.1, len(times))
    return [sound.astype(np.float32) for sound in (*buzzes, tone, noise)]
