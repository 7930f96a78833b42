"""Frames per second, for formats that count in frames."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

STANDARD_RATES = tuple(
    float(rate)
    for rate in (Fraction(24000, 1001), 24, 25, Fraction(30000, 1001), 30, 48, 50, Fraction(60000, 1001), 60, 100, 120)
)
"""Those that editing programs know."""
TOLERANCE = 5e-4
"""Half of what lies between 29.97 and 30, relative."""
STILL_RATE = 30.0
"""Of a clip of one frame, which has no rate."""


def frame_rate(media: Mapping[str, Any]) -> float:
    """Frames per second of a clip: the standard rate that it has but for rounding, else its own.

    A clip of variable frame rate has none. It gets the lowest standard rate that reaches its average, as editing
    programs conform it.
    """
    average, count = media["fps_avg"], media["n_frames"]
    if average is None:
        return STILL_RATE
    if media["vfr"]:
        return next((rate for rate in STANDARD_RATES if rate >= average * (1 - TOLERANCE)), float(average))
    nearest = min(STANDARD_RATES, key=lambda rate: abs(rate - average))
    # The last frame's length is a guess: the average may be wrong by one frame in all.
    return nearest if abs(nearest - average) <= average * max(TOLERANCE, 1 / count) else float(average)
