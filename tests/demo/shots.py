"""Pictures of the demo clip: the table of shots, and what draws their frames.

RGB uint8 [HEIGHT, WIDTH, 3]. Boxes and sizes are in pixels with the origin at the top left; frame ranges are
half-open. Every cut lies on a beat of the soundtrack (15 frames).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import cv2
import matplotlib
import numpy as np
import skimage.data
from PIL import Image, ImageDraw, ImageFont

WIDTH, HEIGHT, FRAME_RATE, FRAME_COUNT = 720, 1280, 30, 300
FONT = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans-Bold.ttf"

PALETTE = (("#1d3557", 384), ("#2a9d8f", 320), ("#e9c46a", 256), ("#e76f51", 192), ("#fefae0", 128))
"""The palette card from top to bottom: colour, height in pixels (shares 30, 25, 20, 15 and 10 %)."""
FLASH_FRAMES = (174, 176)
FADE_FRAMES = {"out": 188, "black": 193, "boundary": 195, "in": 197, "end": 202}
PANEL_TOP = 320
TILE_SIZE, TILE_X, TILE_Y, TILE_STEP = 340, 10, 450, 8
TILE_CROP = (85, 0, 485, 400)

BOXES = {
    "astronaut": {"person": (18, 15, 366, 512), "face": (180, 70, 275, 187)},
    "chelsea": {"cat": (0, 0, 400, 300)},
    "coffee": {"cup": (173, 18, 410, 308)},
    "rocket": {},
}
"""What the photographs show, in pixels of the original (left, top, right, bottom), drawn by hand."""


@dataclass(frozen=True, slots=True)
class Camera:
    label: str = "static"
    pan_px: int = 0
    """Pixels per frame, positive when the camera turns right (the picture moves left)."""
    tilt_px: int = 0
    """Pixels per frame, positive when the camera turns up (the picture moves down)."""
    zoom_per_second: float = 1.0
    roll_deg_per_second: float = 0.0

    def truth(self) -> dict:
        """The camera in the units of the truth file."""
        return {
            "label": self.label,
            "pan_percent_width_per_second": round(100 * self.pan_px * FRAME_RATE / WIDTH, 3),
            "tilt_percent_height_per_second": round(100 * self.tilt_px * FRAME_RATE / HEIGHT, 3),
            "zoom_per_second": self.zoom_per_second,
            "roll_degrees_per_second": self.roll_deg_per_second,
        }


@dataclass(frozen=True, slots=True)
class Text:
    text: str
    role: str
    top: int
    """Top of the ink, in pixels."""
    first: int
    end: int
    colour: str = "#ffffff"
    plate: str | None = "#111111"
    size: int = 88


@dataclass(frozen=True, slots=True)
class Shot:
    content: str
    first: int
    end: int
    draw: Callable[["Shot", int], np.ndarray]
    """Draws the frame at an index counted from the start of the shot."""
    photo: str | None = None
    scale: float = 1.0
    centre: tuple[float, float] = (0, 0)
    """The point of the photograph, in its own pixels, at the middle of the view when the shot starts."""
    middle: tuple[float, float] = (WIDTH / 2, HEIGHT / 2)
    camera: Camera = Camera()
    transition_in: str | None = "hard"
    texts: tuple[Text, ...] = field(default=())


@cache
def photograph(name: str, scale: float) -> np.ndarray:
    """A scikit-image photograph, enlarged and sharpened."""
    image = getattr(skimage.data, name)()
    image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_LANCZOS4)
    return cv2.addWeighted(image, 1.7, cv2.GaussianBlur(image, (0, 0), 0.6 * scale), -0.7, 0)


def view(shot: Shot, index: int) -> np.ndarray:
    """The 2x3 matrix from pixels of the photograph to pixels of the frame."""
    camera, seconds = shot.camera, index / FRAME_RATE
    scale = shot.scale * camera.zoom_per_second**seconds
    # The roll passes through upright in the middle of the shot.
    angle = np.deg2rad(camera.roll_deg_per_second * (seconds - (shot.end - shot.first - 1) / 2 / FRAME_RATE))
    linear = scale * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    middle = np.add(shot.middle, (-camera.pan_px * index, camera.tilt_px * index))
    return np.column_stack([linear, middle - linear @ shot.centre])


def draw_photograph(shot: Shot, index: int) -> np.ndarray:
    """The photograph under the moving camera, filling the frame."""
    matrix = view(shot, index)
    matrix[:, :2] /= shot.scale
    return cv2.warpAffine(
        photograph(shot.photo, shot.scale), matrix, (WIDTH, HEIGHT), flags=cv2.INTER_LANCZOS4,
        borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip


def draw_panel(shot: Shot, index: int) -> np.ndarray:
    """A photograph under a plain band that leaves room for a caption."""
    frame = draw_photograph(shot, index)
    frame[:PANEL_TOP] = (233, 196, 106)
    return frame


def draw_rocket(shot: Shot, index: int) -> np.ndarray:
    """A photograph interrupted by a white flash."""
    if FLASH_FRAMES[0] <= shot.first + index < FLASH_FRAMES[1]:
        return np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
    return draw_photograph(shot, index)


def draw_palette(shot: Shot, index: int) -> np.ndarray:
    """Flat bands of known colour and height, standing still."""
    rows = [np.full((height, WIDTH, 3), rgb(colour), np.uint8) for colour, height in PALETTE]
    return np.concatenate(rows)


def draw_call_to_action(shot: Shot, index: int) -> np.ndarray:
    """A dotted card over which a picture of the product slides to the right."""
    frame = np.full((HEIGHT, WIDTH, 3), rgb("#0b4f6c"), np.uint8)
    for y in (*range(40, 240, 80), *range(440, HEIGHT, 80)):
        for x in range(40 + (y // 80 % 2) * 40, WIDTH, 80):
            cv2.circle(frame, (x, y), 7, rgb("#3f88a5"), -1, cv2.LINE_AA)
    left, top, right, bottom = TILE_CROP
    tile = skimage.data.coffee()[top:bottom, left:right]
    tile = cv2.resize(tile, (TILE_SIZE, TILE_SIZE), interpolation=cv2.INTER_LANCZOS4)
    x = TILE_X + TILE_STEP * index
    cv2.rectangle(frame, (x - 8, TILE_Y - 8), (x + TILE_SIZE + 7, TILE_Y + TILE_SIZE + 7), (255, 255, 255), -1)
    frame[TILE_Y : TILE_Y + TILE_SIZE, x : x + TILE_SIZE] = tile
    return frame


SHOTS = (
    Shot("astronaut smiling at the camera", 0, 45, draw_photograph, "astronaut", 2.5, (166, 256),
         camera=Camera("pan", pan_px=8), transition_in=None,
         texts=(Text("3 THINGS", "title", 690, 9, 45), Text("I LOVE", "title", 800, 9, 45))),
    Shot("cat in a panel under a caption", 45, 90, draw_panel, "chelsea", 3.2, (332, 150),
         (WIDTH / 2, (PANEL_TOP + HEIGHT) / 2), Camera("pan", pan_px=-9),
         texts=(Text("LOOK AT", "caption", 122, 48, 84, "#1d3557", None),
                Text("THIS CAT", "caption", 214, 48, 84, "#1d3557", None))),
    Shot("coffee cup on a wooden table", 90, 135, draw_photograph, "coffee", 3.25, (292, 200),
         camera=Camera("zoom", zoom_per_second=1.15)),
    Shot("palette card", 135, 165, draw_palette),
    Shot("rocket at dusk with a white flash", 165, 195, draw_rocket, "rocket", 3.4, (312, 232),
         camera=Camera("tilt", tilt_px=4)),
    Shot("astronaut again, tilted", 195, 225, draw_photograph, "astronaut", 3.0, (235, 232),
         camera=Camera("roll", roll_deg_per_second=12.0), transition_in="fade"),
    Shot("eye of the cat", 225, 240, draw_photograph, "chelsea", 4.6, (172, 145), camera=Camera("pan", pan_px=8)),
    Shot("spoon beside the cup", 240, 255, draw_photograph, "coffee", 5.0, (330, 240),
         camera=Camera("tilt", tilt_px=-6)),
    Shot("call to action with the product", 255, 300, draw_call_to_action,
         texts=(Text("ACME", "title", 265, 255, 300, plate=None, size=112),
                Text("LINK IN BIO", "cta", 888, 255, 300, "#111111", "#ffd23f"))),
)  # fmt: skip


def rgb(colour: str) -> tuple[int, int, int]:
    """`#rrggbb` as three numbers."""
    return tuple(bytes.fromhex(colour[1:]))


def ink(text: Text) -> tuple[int, int, int, int]:
    """The box around the ink of a line, in pixels; lines are centred in the zone that no app covers."""
    left, top, right, bottom = ImageFont.truetype(FONT, text.size).getbbox(text.text)
    x = round(0.4725 * WIDTH - (right - left) / 2)
    return x, text.top, x + right - left, text.top + bottom - top


@cache
def overlay(text: Text) -> tuple[np.ndarray, np.ndarray]:
    """Colour and opacity of one line on its plate, both [height, width, 3 or 1]."""
    image = Image.new("RGBA", (WIDTH, HEIGHT), (*rgb(text.plate or text.colour), 0))
    draw = ImageDraw.Draw(image)
    left, top, right, bottom = ink(text)
    if text.plate:
        draw.rounded_rectangle((left - 22, top - 20, right + 21, bottom + 19), 20, (*rgb(text.plate), 255))
    font = ImageFont.truetype(FONT, text.size)
    offset_x, offset_y, *_ = font.getbbox(text.text)
    draw.text((left - offset_x, top - offset_y), text.text, rgb(text.colour), font)
    pixels = np.asarray(image, np.float32)
    return pixels[..., :3], pixels[..., 3:] / 255


def brightness(frame: int) -> float:
    """Gain of the fade through black: linear down, four black frames, linear up."""
    steps = FADE_FRAMES["black"] - FADE_FRAMES["out"] + 1
    distance = abs(frame + 0.5 - FADE_FRAMES["boundary"])
    return float(np.clip((distance - 1.5) / steps, 0, 1))


def draw_frames() -> Iterator[np.ndarray]:
    """All frames of the clip in order, RGB."""
    for shot in SHOTS:
        for number in range(shot.first, shot.end):
            frame = shot.draw(shot, number - shot.first)
            for text in shot.texts:
                if text.first <= number < text.end:
                    colour, opacity = overlay(text)
                    frame = frame + (colour - frame) * opacity
            yield np.rint(frame * brightness(number)).astype(np.uint8)
