"""Text through the whole pipeline: rendered captions are read, timed and told apart; where there is none, none is read.

The reader is PP-OCR, which is trained on every machine (it comes in a package). What is said of products here needs
text alone: the detector of the tests has random weights.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

import clips
from reelscope import pipeline, settings
from reelscope.analyzers.edit_distance import edit_distance
from reelscope.results import AnalyzerResult

HEIGHT, WIDTH, RATE = 640, 360, 30
OUTLINE_PX = 2
FONT = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans-Bold.ttf"

Caption = tuple[str, tuple[int, int], int, float, float]
"""Text, its middle in px, size in px, from, to."""
Analyze = Callable[[Path, str], AnalyzerResult[Any, Any]]


@pytest.fixture(scope="module")
def analyze(client) -> Analyze:
    def run(path: Path, analyzer: str) -> AnalyzerResult[Any, Any]:
        analyzers, profile = pipeline.select([analyzer]), settings.profile("cpu")
        return pipeline.analyze(path, analyzers=analyzers, profile=profile, client=client).analyzers[analyzer]

    return run


def box_px(caption: Caption) -> tuple[int, int, int, int]:
    """Ink of the text and its outline."""
    text, place, size, _, _ = caption
    draw = ImageDraw.Draw(Image.new("L", (1, 1)))
    font = ImageFont.truetype(str(FONT), size)
    left, top, right, bottom = draw.textbbox(place, text, font=font, anchor="mm", stroke_width=OUTLINE_PX)
    return int(left), int(top), int(right), int(bottom)


def overlaid(frames: Sequence[np.ndarray], captions: Sequence[Caption]) -> list[np.ndarray]:
    """White text with a dark outline."""
    drawn = []
    for number, frame in enumerate(frames):
        image = Image.fromarray(frame)
        for text, place, size, start, end in captions:
            if start <= number / RATE < end:
                font = ImageFont.truetype(str(FONT), size)
                options = {"anchor": "mm", "fill": "white", "stroke_width": OUTLINE_PX, "stroke_fill": "black"}
                ImageDraw.Draw(image).text(place, text, font=font, **options)
        drawn.append(np.asarray(image))
    return drawn


def pan(count: int, px_per_frame: int = 1) -> list[np.ndarray]:
    return clips.pan(3, count, px_per_frame=px_per_frame, height=HEIGHT, width=WIDTH)


def iou(quad: Sequence[float], box: tuple[int, int, int, int]) -> float:
    corners = np.reshape(quad, (4, 2)) * (WIDTH, HEIGHT)
    (x1, y1), (x2, y2) = corners.min(axis=0), corners.max(axis=0)
    left, top, right, bottom = box
    shared = max(0.0, min(x2, right) - max(x1, left)) * max(0.0, min(y2, bottom) - max(y1, top))
    return shared / ((x2 - x1) * (y2 - y1) + (right - left) * (bottom - top) - shared)


def test_rendered_captions(analyze, tmp_path):
    captions = [
        ("SALE: 50% OFF", (180, 150), 26, 1.0, 3.0),
        ("Free shipping today", (180, 330), 22, 0.0, 2.5),
        ("LINK IN BIO", (180, 450), 30, 3.3, 5.0),
    ]
    found = analyze(clips.write(tmp_path / "captions.mp4", overlaid(pan(150), captions)), "text_overlay")
    assert found.status == "ok"
    assert len(found.segments) == len(captions)
    for caption in captions:
        text, _, _, start, end = caption
        line = min(found.segments, key=lambda segment: edit_distance(segment.data.text, text))
        assert edit_distance(line.data.text, text) <= 0.05 * len(text), line.data.text
        assert line.start_seconds == pytest.approx(start, abs=0.25)
        assert line.end_seconds == pytest.approx(end, abs=0.25)
        assert iou(line.data.quad, box_px(caption)) >= 0.6
        assert line.data.contrast_ratio > 7, "white on black outlines"
        assert line.data.safe_zone_ok is True
    assert [call.text for call in found.summary.cta] == ["LINK IN BIO"]
    assert {model.name for model in found.models} >= {"text_detection_ppocr", "text_recognition_ppocr"}
    assert all(model.trained for model in found.models)
    assert found.inputs.sampling_fps == 2.5


def test_a_clip_without_text(analyze, tmp_path):
    frames = [frame for seed in (3, 4) for frame in clips.pan(seed, 60, height=HEIGHT, width=WIDTH, px_per_frame=2)]
    found = analyze(clips.write(tmp_path / "plain.mp4", frames), "text_overlay")
    assert (found.status, found.segments) == ("ok", ())
    assert (found.summary.line_count, found.summary.first_text_seconds) == (0, None)


def test_a_sign_that_the_camera_pans_across(analyze, tmp_path):
    """It moves 40 % of the width per second; the title over it stands still."""
    count, speed = 90, 5
    wall = Image.fromarray(clips.texture(3, HEIGHT, WIDTH + speed * count))
    font = ImageFont.truetype(str(FONT), 30)
    ImageDraw.Draw(wall).text((520, 400), "CAFE CENTRAL", font=font, anchor="mm", fill="white")
    picture = np.asarray(wall)
    frames = [picture[:, speed * k : speed * k + WIDTH] for k in range(count)]
    title = ("MY CITY", (180, 120), 40, 0.0, 3.0)
    found = analyze(clips.write(tmp_path / "sign.mp4", overlaid(frames, [title])), "text_overlay")
    roles = {segment.data.text: segment.data.role for segment in found.segments}
    assert roles == {"MY CITY": "title", "CAFE CENTRAL": "scene_text"}, "no part of the sign for itself"


def test_a_rendered_brand(analyze, tmp_path):
    path = clips.write(tmp_path / "acme.mp4", overlaid(pan(150), [("ACME", (180, 200), 48, 2.0, 4.0)]))
    found = analyze(path, "product_detection")
    (acme,) = found.segments
    assert (acme.data.brand.name, acme.data.brand.source) == ("Acme", "ocr")
    assert acme.start_seconds == pytest.approx(2.0, abs=0.25)
    assert acme.end_seconds == pytest.approx(4.0, abs=0.25)
    assert found.summary.products is None, "the detector has random weights"
