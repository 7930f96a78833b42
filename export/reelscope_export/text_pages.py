"""Pictures of text, drawn: what detectors of text are settled on and compared on.

The texts are ASCII and the font is the one inside Pillow, so that every machine draws the same.
"""

from __future__ import annotations

import functools

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from reelscope_export.verify import Array

_TEXTS = ("Follow for more", "50% OFF today only", "wait for it... the end", "SALE now", "www.example.com/sale?id=7")
_DARK, _LIGHT = (20, 20, 60), (225, 225, 225)


def page(height: int, width: int, *, size_px: int = 20, light_on_dark: bool = False, slant_degrees: float = 0) -> Array:
    """A page of lines in growing sizes, uint8 [height,width,3] RGB.

    Args:
        height: in pixels.
        width: in pixels; what does not fit is cut off.
        size_px: of the first line's font; every line is a fifth larger, and then it begins anew.
        light_on_dark: light letters on a dark page.
        slant_degrees: all lines rise by this.
    """
    ink, paper = (_LIGHT, _DARK) if light_on_dark else (_DARK, _LIGHT)
    picture = Image.new("RGB", (width, height), paper)
    draw = ImageDraw.Draw(picture)
    top_px, number = size_px // 2, 0
    while top_px < height:
        font_px = size_px * (5 + number % len(_TEXTS)) // 5
        draw.text((8 + 7 * (number % 3), top_px), _TEXTS[number % len(_TEXTS)], fill=ink, font=_font(font_px))
        top_px, number = top_px + font_px * 9 // 5, number + 1
    if slant_degrees:
        picture = picture.rotate(slant_degrees, resample=Image.Resampling.BICUBIC, fillcolor=paper)
    return np.asarray(picture).copy()


def full_page(height: int, width: int, character_count: int) -> Array:
    """A page set tightly in one size until so many characters are on it, uint8 [height,width,3] RGB.

    Raises:
        ValueError: the page is too small for them.
    """
    picture = Image.new("RGB", (width, height), _LIGHT)
    draw, font = ImageDraw.Draw(picture), _font(11)
    line = " ".join(_TEXTS * 10)
    fitting = next(count for count in range(len(line), 0, -1) if font.getlength(line[:count]) < width - 8)
    left, top_px = character_count, 3
    while left > 0:
        if top_px + 14 > height:
            raise ValueError(f"{height} x {width} px hold {character_count - left} characters, not {character_count}")
        draw.text((4, top_px), line[: min(fitting, left)], fill=_DARK, font=font)
        left, top_px = left - fitting, top_px + 16
    return np.asarray(picture).copy()


def lines() -> list[Array]:
    """Pictures of one line each, 64 px high and of several widths, uint8 [64,w] grey; every third light on dark."""
    drawn = []
    for number, text in enumerate(_TEXTS):
        ink, paper = (225, 40) if number % 3 == 1 else (30, 215)
        font = _font(44)
        picture = Image.new("L", (int(font.getlength(text)) + 16, 64), paper)
        ImageDraw.Draw(picture).text((8, 6), text, fill=ink, font=font)
        drawn.append(np.asarray(picture).copy())
    return drawn


@functools.cache
def _font(size_px: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size_px)
    assert isinstance(font, ImageFont.FreeTypeFont), "Pillow's wheels bring FreeType"
    return font
