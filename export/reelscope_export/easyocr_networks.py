"""EasyOCR's networks and EasyOCR itself: built, loaded from its checkpoints, and asked as the oracle."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor, nn

from reelscope_export.errors import WeightsUnreadable
from reelscope_export.verify import Array

_PREFIX = "module."
"""EasyOCR's checkpoints were saved by torch's DataParallel, which puts this before every name."""

_CRNN_SIZES = {"input_channel": 1, "output_channel": 256, "hidden_size": 256}
"""Of all networks of EasyOCR's second generation."""


def craft() -> Any:
    """CRAFT, not trained."""
    from easyocr.craft import CRAFT

    return CRAFT()


def crnn(variant: str) -> Any:
    """The recognition network of one variant, not trained."""
    from easyocr.model.vgg_model import Model

    return Model(num_class=len(characters(variant)) + 1, **_CRNN_SIZES)


def characters(variant: str) -> str:
    """What a variant (english_g2, latin_g2) can read, by index less one."""
    from easyocr.config import recognition_models

    known: str = recognition_models["gen2"][variant]["characters"]
    return known


def languages(variant: str) -> list[str]:
    """The languages that a variant is asked for: all that EasyOCR reads with its network."""
    from easyocr.config import latin_lang_list

    return ["en"] if variant == "english_g2" else list(latin_lang_list)


def load(network: Any, weights: Path) -> Any:
    """Fill a network with a checkpoint of EasyOCR's, without executing what may be pickled in it.

    Raises:
        WeightsUnreadable: the file is no checkpoint, or another network's.
    """
    try:
        state = torch.load(weights, map_location="cpu", weights_only=True)
        network.load_state_dict({name.removeprefix(_PREFIX): tensor for name, tensor in state.items()})
    except Exception as exc:  # pickle's, zipfile's and torch's own, which share no base
        raise WeightsUnreadable(f"{weights}: {exc}") from exc
    return network.eval()


def save(network: nn.Module, file: Path) -> None:
    """Write a checkpoint as EasyOCR's are."""
    state = {f"{_PREFIX}{name}": tensor for name, tensor in network.state_dict().items()}
    with file.open("wb") as stream:  # given a path, torch would write its name into the file
        torch.save(state, stream)


def settle(network: nn.Module, *inputs: Any) -> None:
    """Let batch normalisation see typical inputs once, and put the network into evaluation mode."""
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = None
            layer.reset_running_stats()
    network.train()
    network(*inputs)
    network.eval()


def craft_pixels(frames: Array) -> Tensor:
    """What CRAFT sees of frames that are scaled and padded already: [N,h,w,3] to float32 [N,3,h,w]."""
    from easyocr.imgproc import normalizeMeanVariance

    return torch.from_numpy(np.stack([normalizeMeanVariance(frame) for frame in frames])).permute(0, 3, 1, 2)


def crnn_pixels(line: Array) -> Tensor:
    """What the recognition sees of a line that is scaled and padded already: uint8 [64,w] to float32 [1,64,w]."""
    return ((torch.from_numpy(line).float() / 255) - 0.5)[None] / 0.5


@contextmanager
def reader(folder: Path, variant: str, **options: Any) -> Iterator[Any]:
    """EasyOCR over the checkpoints in a folder, on the CPU, in full precision.

    EasyOCR refuses other weights than its own, by MD5: random ones are passed off as those.

    Args:
        folder: holds the checkpoints under EasyOCR's names.
        variant: of the recognition.
        options: `easyocr.Reader`'s own, such as recognizer=False.
    """
    import easyocr
    from easyocr import config

    known = (config.detection_models["craft"], config.recognition_models["gen2"][variant])
    with mock.patch.dict(known[0], _md5(folder, known[0])), mock.patch.dict(known[1], _md5(folder, known[1])):
        yield easyocr.Reader(
            languages(variant),
            gpu=False,
            quantize=False,
            download_enabled=False,
            verbose=False,
            model_storage_directory=str(folder),
            user_network_directory=str(folder),
            **options,
        )


def _md5(folder: Path, model: dict[str, str]) -> dict[str, str]:
    file = folder / model["filename"]
    return {"md5sum": hashlib.md5(file.read_bytes()).hexdigest()} if file.is_file() else {}
