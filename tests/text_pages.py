"""Rendered text: pages to read whole, and captions as they stand in short videos."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

FONTS = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
WIDTH, HEIGHT = 720, 1280
WORDS = ("alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel", "india", "juliett")

CAPTIONS = (
    (("POV: you finally", "found the one"), 60, "DejaVuSans-Bold"),
    (("wait for it...",), 90, "DejaVuSans-Bold"),
    (("3 things I wish", "I knew at 20"), 72, "DejaVuSans-Bold"),
    (("50% OFF today only!", "Link in bio"), 56, "DejaVuSans-Bold"),
    (("Day 12 of 100", "no sugar challenge"), 52, "DejaVuSerif-Bold"),
    (("Schöne Grüße", "aus München"), 70, "DejaVuSans-Bold"),
    (("THIS CHANGED", "EVERYTHING"), 84, "DejaVuSans-Bold"),
    (("part 2? comment", "below @creator.name"), 48, "DejaVuSans-BoldOblique"),
    (("Save this for later", "#cooking #easyrecipe"), 40, "DejaVuSans-Bold"),
)
"""Lines, size in pixels (40-90) and font."""


def page(
    lines: Sequence[str],
    size_px: int = 40,
    *,
    size: tuple[int, int] = (WIDTH, HEIGHT),
    paper: str = "white",
    ink: str = "black",
    font: str = "DejaVuSans",
) -> Image.Image:
    """Lines one below the other; `size` is width and height."""
    image = Image.new("RGB", size, paper)
    draw = ImageDraw.Draw(image)
    for number, line in enumerate(lines):
        place = (size_px // 2, size_px // 2 + number * round(1.45 * size_px))
        draw.text(place, line, ink, ImageFont.truetype(str(FONTS / f"{font}.ttf"), size_px))
    return image


def pages() -> dict[str, np.ndarray]:
    """Pages by name, uint8 [h, w, 3] RGB: scripts, sizes, angles and amounts of text."""
    latin = page(["Hello world", "The quick brown fox", "jumps over 13 lazy dogs", "SUBSCRIBE NOW!", "50% OFF @shop"])
    numbers = page(["0123456789", "+49 (0) 170 1234567", "12:45 - 13:30", "1.234,56 $", "2026-11-25"], 60)
    dark = page(["light on dark", "GOOD NIGHT", "see you soon"], 70, paper="#14141e", ink="#f0f0c8")
    drawn = {
        "latin": latin,
        "umlauts": page(["Schöne Grüße aus Köln", "Äpfel & Öl für 3,99 €", "Straße übermäßig heiß", "Größe: 42"]),
        "serifs": page(["The quick brown fox", "jumps over the lazy dog"], 48, font="DejaVuSerif-Italic"),
        "numbers": numbers,
        "slanted": latin.rotate(8, expand=True, fillcolor="white"),
        "upside down": latin.rotate(180),
        "upside down, slanted": numbers.rotate(187, expand=True, fillcolor="white"),
        "sideways": page(["Hello sideways world", "another line"], size=(640, 360)).rotate(90, expand=True),
        "light on dark": dark,
        "tiny": page(["tiny text that is hard to read", "second tiny line 123"], 9, size=(320, 568)),
        "45 lines": page([f"line number {k} with some words {37 * k}" for k in range(45)], 18),
        "flat": page(["one flat strip of text only 123"], 36, size=(1200, 60)),
        "3000 px": page(["A big picture", "of 3000 px"], 160, size=(3000, 1700)),
        "small": page(["OK 24"], 16, size=(90, 26)),
        "blank": page([]),
    }
    return {name: np.asarray(image) for name, image in drawn.items()}


def long_page() -> tuple[np.ndarray, list[str]]:
    """A page of more than 5000 characters, and its lines."""
    random = np.random.default_rng(1)
    lines = [" ".join(random.choice(WORDS, 13)) for _ in range(70)]
    assert sum(map(len, lines)) > 5000
    return np.asarray(page(lines, 12, size=(1280, 1280))), lines


def caption(photograph: np.ndarray, lines: Sequence[str], size_px: int, font: str) -> np.ndarray:
    """White text with a black outline in the middle of a portrait frame; `photograph` uint8 RGB of any size."""
    image = Image.fromarray(photograph).resize((WIDTH, HEIGHT))
    face = ImageFont.truetype(str(FONTS / f"{font}.ttf"), size_px)
    outline = {"fill": "white", "stroke_width": max(3, size_px // 12), "stroke_fill": "black"}
    for number, line in enumerate(lines):
        place = (WIDTH // 2, HEIGHT // 2 + number * round(1.3 * size_px))
        ImageDraw.Draw(image).text(place, line, font=face, anchor="mm", **outline)
    return np.asarray(image)
