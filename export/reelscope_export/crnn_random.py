"""Seeded random weights of EasyOCR's recognition, in its own format, that read something in every line.

The layers are drawn wider than for a training, and what the last one says of everything is taken off it, so that lines
are read to different strings, some with confidence and some without, as EasyOCR's second look at a line needs. What
is read means nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from reelscope_export import easyocr_networks, text_pages

SEED = 0

_WIDTH_PX = 256
_SEEN_GAIN = 8.0
"""Of what enters the recurrent layers, against what they remember: steps of like pixels are read alike."""
_SUMMARY_GAIN = 4.0
_PREDICTION_GAIN = 45.0
_NONE_BIAS = 30.0
"""With it, many steps say nothing, as a trained network's do."""


def write_checkpoint(variant: str, file: Path) -> None:
    """Write the weights of `variant` to `file`; equal calls on one machine give equal bytes."""
    lines = [line[:, :_WIDTH_PX] for line in text_pages.lines() if line.shape[1] >= _WIDTH_PX]
    pixels = torch.stack([easyocr_networks.crnn_pixels(line) for line in lines])
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(SEED)
        network = easyocr_networks.crnn(variant)
        _widen(network)
        easyocr_networks.settle(network, pixels, None)
        network.Prediction.bias -= network(pixels, None).mean((0, 1))
        network.Prediction.bias[0] += _NONE_BIAS
    easyocr_networks.save(network, file)


def _widen(network: Any) -> None:
    for layer in network.SequenceModeling:
        for name, parameter in layer.rnn.named_parameters():
            if name.startswith("weight_ih"):
                parameter *= _SEEN_GAIN
        layer.linear.weight *= _SUMMARY_GAIN
    network.Prediction.weight *= _PREDICTION_GAIN
