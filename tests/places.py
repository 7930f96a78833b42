"""Paths that tests name."""

from pathlib import Path

from reelscope_export import paths

CHECKOUT = Path(__file__).resolve().parents[1]
DEMO = CHECKOUT / "tests" / "demo" / "clip.mp4"
USER_WEIGHTS = paths.weights_folder()
"""The user's own cache of weights: this module is imported before the tests get one of theirs."""
