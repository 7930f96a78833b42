"""Checkpoints in transformers' format: what its loaders leave to the caller to check."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reelscope_export.errors import WeightsUnreadable


def require_all_weights(report: Mapping[str, Any], network: str, weights: Path) -> None:
    """Refuse a checkpoint that lacks weights: transformers draws those at random, with no more than a warning.

    Args:
        report: what `from_pretrained(..., output_loading_info=True)` tells.
        network: its name, for the message.
        weights: the file that was loaded, for the message.

    Raises:
        WeightsUnreadable: weights are missing, or have another shape.
    """
    if absent := sorted(report["missing_keys"]) + sorted(map(str, report["mismatched_keys"])):
        raise WeightsUnreadable(f"{weights}: {len(absent)} weights of {network} are missing, the first is {absent[0]}")
