"""Pictures of text, drawn: what detectors of text are settled on and compared on.

The texts are ASCII and the font is the one inside Pillow, so that every machine draws the same.
"""

from __future__ import annotations

import functools

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from reelscope_export.verify import Array

_TEXTS = ("Follow for more", "50% OFF today only", "wait for it... the end", "SALE now", "www.example.com/sale?id=7")
_PAPERS = {"light": ((225, 225, 225), (20, 20, 60)), "dark": ((20, 20, 60), (225, 225, 225))}
_PAPERS |= {"white": ((255, 255, 255), (0, 0, 0)), "black": ((0, 0, 0), (255, 255, 255))}
"""Colour of the page and of the letters."""


def page(height: int, width: int, *, size_px: int = 20, paper: str = "light", slant_degrees: float = 0) -> Array:
    """A page of lines in growing sizes, uint8 [height,width,3] RGB.

    Args:
        height: in pixels.
        width: in pixels; what does not fit is cut off.
        size_px: of the first line's font; every line is a fifth larger, and then it begins anew.
        paper: light, dark, white or black; the letters are the opposite.
        slant_degrees: all lines rise by this.
    """
    ground, ink = _PAPERS[paper]
    picture = Image.new("RGB", (width, height), ground)
    draw = ImageDraw.Draw(picture)
    top_px, number = size_px // 2, 0
    while top_px < height:
        font_px = size_px * (5 + number % len(_TEXTS)) // 5
        draw.text((8 + 7 * (number % 3), top_px), _TEXTS[number % len(_TEXTS)], fill=ink, font=_font(font_px))
        top_px, number = top_px + font_px * 9 // 5, number + 1
    if slant_degrees:
        picture = picture.rotate(slant_degrees, resample=Image.Resampling.BICUBIC, fillcolor=ground)
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
