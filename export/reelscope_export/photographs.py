"""Photographs to compare graphs with their libraries on: the two that ultralytics brings."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import numpy as np

from reelscope_export import paths
from reelscope_export.verify import Array


def read() -> dict[str, Array]:
    """The pictures by file name, uint8 [H,W,3] RGB: bus.jpg 1080x810 (portrait), zidane.jpg 720x1280."""
    paths.isolate_libraries()
    import cv2
    from ultralytics.utils import ASSETS

    imread = cast(Callable[[str], Array], cv2.imread)
    return {name: np.ascontiguousarray(imread(str(ASSETS / name))[..., ::-1]) for name in ("bus.jpg", "zidane.jpg")}
