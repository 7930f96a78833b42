"""Seeded random SegFormer weights that tell things apart, as a folder in transformers' own format.

A freshly initialised SegFormer gives one label to whole frames, and a comparison of those proves nothing. So the layers
keep their random filters, drawn wider than for training, and two things are computed from ultralytics' two photographs:
the decoder's BatchNorm statistics, and a bias of the last layer by which each of the 150 classes is as likely as the
others. What such a network says about any picture means nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import SegformerConfig, SegformerForSemanticSegmentation, SegformerImageProcessor

from reelscope_export import paths, photographs

SEED = 0

_SHAPES = {
    "segformer-b0-finetuned-ade-512-512": {},
    "segformer-b2-finetuned-ade-512-512": {
        "depths": [3, 4, 6, 3],
        "hidden_sizes": [64, 128, 320, 512],
        "decoder_hidden_size": 768,
    },
}
"""Table 6 of the paper; B0 is the library's default."""

_LOGIT_STD = 3.0
"""Spread of the logits over places: trained ones are about as far apart, and so are errors."""


def write_checkpoint(variant: str, file: Path) -> None:
    """Write the weights of `variant` to `file`, and configuration and processor beside it; equal calls, equal bytes."""
    folder = file.parent
    names = (paths.deployment_root() / "model_repository" / "segmentation_segformer" / "labels.txt").read_text()
    labels = dict(enumerate(names.splitlines()))
    config = SegformerConfig(
        id2label=labels, label2id={label: index for index, label in labels.items()}, **_SHAPES[variant]
    )
    processor = SegformerImageProcessor()
    pixels = processor(images=list(photographs.read().values()), input_data_format="channels_last", return_tensors="pt")
    threads = torch.get_num_threads()
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(SEED)
        torch.set_num_threads(1)  # sums depend on how they are split
        network = SegformerForSemanticSegmentation(config).eval()
        _calibrate_head(network, pixels["pixel_values"])
        torch.set_num_threads(threads)
    network.save_pretrained(folder)  # under the names that published weights have, not those of the library's modules
    processor.save_pretrained(folder)
    saved = folder / "model.safetensors"
    if file != saved:
        torch.save(load_file(saved), file)
        saved.unlink()


def _calibrate_head(network: Any, pixels: Tensor) -> None:
    """Statistics of the decoder's BatchNorm, and scale and bias of the last layer by each class."""
    head = network.decode_head
    norm, classifier = head.batch_norm, head.classifier
    norm.momentum = 1.0
    norm.train()
    network(pixel_values=pixels)
    norm.eval()
    norm.momentum = 0.1
    norm.num_batches_tracked.zero_()
    logits = network(pixel_values=pixels).logits
    gain = _LOGIT_STD / logits.std((0, 2, 3))
    classifier.bias.copy_((classifier.bias - logits.mean((0, 2, 3))) * gain)
    classifier.weight.mul_(gain[:, None, None, None])
