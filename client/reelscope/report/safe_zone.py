"""How far text reaches under the player's buttons: what merely touches the safe zone's edge is not worth moving."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

LEAST_REACH = 0.01
"""Of the frame's width or height: less is within what the box of a line is good to."""


def reach(line: Mapping[str, Any], parameters: Mapping[str, Any]) -> float:
    """How far a line of text_overlay lies outside of its safe zone, 0-1 of the frame's width or height; 0 within."""
    names = [f"safe_zone_{side}" for side in ("x1", "y1", "x2", "y2")]
    if not parameters.keys() >= set(names):
        return 0.0
    left, top, right, bottom = (float(parameters[name]) for name in names)
    xs, ys = line["data"]["quad"][::2], line["data"]["quad"][1::2]
    return float(max(0.0, left - min(xs), top - min(ys), max(xs) - right, max(ys) - bottom))


def is_covered(line: Mapping[str, Any], parameters: Mapping[str, Any]) -> bool | None:
    """Whether the player's buttons cover part of a line; None where the frame has no safe zone."""
    is_within: bool | None = line["data"]["safe_zone_ok"]
    return None if is_within is None else not is_within and reach(line, parameters) >= LEAST_REACH
