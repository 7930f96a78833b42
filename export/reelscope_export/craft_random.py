"""Seeded random CRAFT weights, in EasyOCR's own format, that find text: only the last layer is not random.

The layers are drawn, batch normalisation is settled on drawn pages, and the last layer, 16 numbers to 2 scores, is
fitted there to where ink is (least squares), so that other pages give boxes around their lines as well, and plain ones
none. What stands in the boxes, and how well they fit, means nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from reelscope_export import easyocr_networks, paths, text_pages
from reelscope_export.verify import Array

SEED = 0

_PAGE_PX = (256, 320)
_PAGES = (("light", 20), ("dark", 20), ("white", 10), ("black", 10), ("white", 30), ("black", 30))
"""Paper and size of the letters in pixels: of low and high contrast, near and far."""
_GAIN = 1.25
"""Least squares underestimates the peaks; with this, lines pass the threshold of 0.7 nearly everywhere."""


def write_checkpoint(file: Path) -> None:
    """Write the network's weights to `file`; equal calls on one machine give equal bytes."""
    pages = [text_pages.page(*_PAGE_PX, paper=paper, size_px=size_px) for paper, size_px in _PAGES]
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(SEED)
        network = easyocr_networks.craft()
        # Without a response to plain colour, a page is as good as another of a different colour.
        first = network.basenet.slice1[0].weight
        first -= first.mean((1, 2, 3), keepdim=True)
        easyocr_networks.settle(network, easyocr_networks.craft_pixels(np.stack(pages)))
        _fit_last_layer(network, pages)
    easyocr_networks.save(network, file)


def _fit_last_layer(network: Any, pages: list[Array]) -> None:
    last = network.conv_cls[-1]
    seen: list[Tensor] = []
    hook = last.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    network(easyocr_networks.craft_pixels(np.stack(pages)))
    hook.remove()
    features = seen[0].permute(0, 2, 3, 1).reshape(-1, last.in_channels).double().numpy()
    wanted = np.stack([_ink(page) for page in pages]).reshape(-1, 2)
    solution = np.linalg.lstsq(np.hstack([features, np.ones((len(features), 1))]), wanted, rcond=None)[0] * _GAIN
    last.weight.copy_(torch.from_numpy(solution[:-1].T[..., None, None]))
    last.bias.copy_(torch.from_numpy(solution[-1]))


def _ink(page: Array) -> Array:
    """What the scores ought to be, float64 [rows,columns,2]: ink, and ink smeared along the line."""
    paths.isolate_libraries()
    import cv2

    grey = page.mean(2)
    ink = np.abs(grey - grey[0, 0]) / np.abs(grey - grey[0, 0]).max()
    cells = cv2.resize(ink, (page.shape[1] // 2, page.shape[0] // 2), interpolation=cv2.INTER_AREA)
    region = cv2.GaussianBlur(cells, (0, 0), 1.5)
    affinity = cv2.GaussianBlur(cells, (0, 0), sigmaX=4, sigmaY=1.5)
    wanted: Array = np.minimum(np.stack((2.2 * region, 2 * affinity), 2), 1)
    return wanted
