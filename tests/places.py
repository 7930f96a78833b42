"""Paths that tests name."""

from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
DEMO = CHECKOUT / "tests" / "demo" / "clip.mp4"
