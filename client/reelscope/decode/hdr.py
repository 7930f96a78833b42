"""HDR to BT.709, so that an HDR clip and its SDR twin look alike to everything behind the decoder.

Display-referred, as FFmpeg's `zscale=t=linear:npl=203,zscale=p=bt709,tonemap=clip,t=bt709`: to light on the reference
display, in which reference white is 203 cd/m2 (ITU-R BT.2408-7, table 1) and becomes SDR's white; BT.2020's primaries
to BT.709's; what is brighter or more saturated than SDR shows is clipped; back through the inverse of BT.1886, whose
gamma of 2.4 is what SDR's coded values are shown with.

Curves: ITU-R BT.2100-2, tables 4 (PQ) and 5 (HLG, system gamma 1.2 at its nominal peak of 1000 cd/m2). HLG's system
gamma acts on luminance, as the standard has it; zscale takes it per channel, which moves saturated colours by a
CIEDE2000 of up to 5.
"""

from __future__ import annotations

import functools
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

Curve = Literal["pq", "hlg"]

WHITE_NITS = 203.0
"""Luminance of HDR reference white, cd/m2."""
DISPLAY_GAMMA = 2.4
"""BT.1886."""
HLG_PEAK_NITS = 1000.0
HLG_SYSTEM_GAMMA = 1.2
LUMA_2020 = (0.2627, 0.6780, 0.0593)
"""Share of each primary in luminance, BT.2020."""
TO_709 = np.array([[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], np.float32)
"""Linear light of BT.2020 primaries to BT.709 primaries (ITU-R BT.2407-0, equation 2)."""

_STEPS = 65536
_CODED_WHITE = 65283
"""What swscale makes of the highest code of limited range in 16 bits."""


def to_sdr(coded: NDArray[np.uint16], curve: Curve, *, is_wide: bool) -> NDArray[np.uint8]:
    """BT.709 R'G'B' as SDR clips are coded, uint8 [height, width, 3].

    Args:
        coded: R'G'B' as swscale makes it, uint16 [height, width, 3].
        curve: transfer function of `coded`.
        is_wide: whether its primaries are BT.2020's; else they are BT.709's already.
    """
    light: NDArray[Any] = cv2.LUT(coded, _light_table(curve))
    if curve == "hlg":
        light = light * _system_gain(light)[..., None]
    if is_wide:
        light = cv2.transform(light, TO_709)
    steps = np.clip(light * np.float32(_STEPS - 1) + np.float32(0.5), 0, _STEPS - 1).astype(np.uint16)
    return np.asarray(cv2.LUT(steps, _display_table()), np.uint8)


def _system_gain(scene: NDArray[Any]) -> NDArray[Any]:
    """BT.2100's OOTF: gain of every pixel, [height, width]; the system gamma acts on luminance alone."""
    luminance = cv2.transform(scene, np.array([LUMA_2020], np.float32)).reshape(scene.shape[:2])
    steps = np.clip(luminance * np.float32(_STEPS - 1), 0, _STEPS - 1).astype(np.uint16)
    return np.asarray(cv2.LUT(steps, _gain_table()), np.float32)


@functools.cache
def _light_table(curve: Curve) -> NDArray[np.float32]:
    """Coded value to light: PQ in units of reference white, HLG scene light 0-1."""
    coded = np.minimum(np.arange(_STEPS) / _CODED_WHITE, 1.0)
    if curve == "pq":
        root = coded ** (1 / 78.84375)
        nits = 10000 * (np.maximum(root - 0.8359375, 0) / (18.8515625 - 18.6875 * root)) ** (1 / 0.1593017578125)
        return (nits / WHITE_NITS).astype(np.float32)
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return np.where(coded <= 0.5, coded**2 / 3, (np.exp((coded - c) / a) + b) / 12).astype(np.float32)


@functools.cache
def _gain_table() -> NDArray[np.float32]:
    """Scene luminance, 0-1, to the OOTF's gain in units of reference white."""
    luminance = np.arange(_STEPS) / (_STEPS - 1)
    return (HLG_PEAK_NITS / WHITE_NITS * luminance ** (HLG_SYSTEM_GAMMA - 1)).astype(np.float32)


@functools.cache
def _display_table() -> NDArray[np.uint8]:
    """Light in units of white, clipped to 0-1, to the coded value that BT.1886 shows it with."""
    light = np.arange(_STEPS) / (_STEPS - 1)
    return np.rint(255 * light ** (1 / DISPLAY_GAMMA)).astype(np.uint8)
