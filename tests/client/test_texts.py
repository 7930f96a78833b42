"""The source of text: answers of any number of lines put in order, and contrast measured on the window's own pixels."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from feeding import PROVENANCE, Answer, Memory, header, windows
from PIL import Image, ImageDraw, ImageFont

from reelscope.errors import ModelUnavailable
from reelscope.sources.contrast import contrast_ratio
from reelscope.sources.texts import TextSource
from reelscope.types import Deadline, ExtraWindow

HEIGHT, WIDTH = 160, 90
FONT = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans-Bold.ttf"
MODELS = ("text_detection_ppocr", "text_recognition_ppocr")


class Reader:
    """Answers for the server: reads `lines_at(time)` (text, confidence), the last frame of a request first."""

    def __init__(self, lines_at, fails=False):
        self.lines_at, self.fails, self.asked, self.windows, self.under_way = lines_at, fails, [], [], []

    def submit(self, model, buffer, rows, outputs, timeout_seconds, inputs):
        assert model == "text_regions"
        assert set(outputs) == {"frame_index", "quads", "texts", "confidences", "text_reader_provenance"}
        assert not inputs
        window = next(window for window in self.windows if window.buffer is buffer)
        self.asked.append(rows)
        if self.fails:
            return Answer(ModelUnavailable(f"{model}: gone"))
        found = [
            (row, text, confidence)
            for row in reversed(range(rows))
            for text, confidence in self.lines_at(window.times_seconds[row])
        ]
        quads = np.zeros((len(found), 4, 2), np.float32)
        quads[:] = [(0.1, 0.4), (0.9, 0.4), (0.9, 0.5), (0.1, 0.5)]
        return Answer(
            {
                "frame_index": np.array([row for row, _, _ in found], np.int32),
                "quads": quads,
                "texts": np.array([text for _, text, _ in found], object),
                "confidences": np.array([confidence for _, _, confidence in found], np.float32),
                "text_reader_provenance": np.array(
                    [json.dumps({"model": model, "trained": True}).encode() for model in MODELS], object
                ),
            }
        )

    def provenance(self, text, model, ensemble):
        assert (model, ensemble) == ("text_reader", "text_regions")
        return replace(PROVENANCE, name=json.loads(text)["model"], ensemble=ensemble)


def collect(reader, rate, duration_seconds, read_windows=3):
    source = TextSource(reader, Deadline(60))
    about = header([np.zeros((HEIGHT, WIDTH, 3), np.uint8)], base_frame_rate=rate)
    source.start(replace(about, read_windows=read_windows))
    try:
        for window in reader.windows:
            source.push(window)
            window.release()
            reader.under_way.append(source.calls - source.answers)
        return source.finish(duration_seconds)
    finally:
        source.close()


def stamped(time):
    """One line that says its time, and a second in every whole second."""
    lines = [(f"{1000 * time:.0f} ms für".encode(), 0.75)]
    return [*lines, (b"whole", 0.5)] if time == int(time) else lines


@pytest.mark.parametrize(("rate", "count"), [(10, 47), (5, 33), (5, 1)])
def test_lines_come_in_time_order(rate, count):
    reader = Reader(stamped)
    reader.windows = windows(count, rate)
    signal = collect(reader, rate, count / rate)
    assert np.allclose(signal.times_seconds, np.arange(0, count, 2) / rate)
    assert (signal.sampling, signal.sampling_fps, signal.sample_count) == ("F5", rate / 2, len(signal.times_seconds))
    assert sum(reader.asked) == signal.sample_count, "nothing is asked that is not used"
    assert (np.diff(signal.frame) >= 0).all()
    times = signal.times_seconds[signal.frame]
    said = [text for text in signal.texts if text != "whole"]
    assert said == [f"{1000 * time:.0f} ms für" for time in signal.times_seconds], "every frame its own line"
    assert {float(time) for time, text in zip(times, signal.texts, strict=True) if text == "whole"} == {
        time for time in signal.times_seconds if time == int(time)
    }
    assert signal.height_over_width == HEIGHT / WIDTH
    assert signal.quads.shape == (len(signal.texts), 4, 2)
    assert set(signal.confidences) <= {0.5, 0.75}
    assert sorted(model.name for model in signal.models) == sorted(MODELS)


def test_windows_out_of_time_order_and_an_instant_twice():
    reader = Reader(stamped)
    reader.windows = [*windows(40, 10), ExtraWindow(Memory(), (1.0, 3.3, 0.7, 0.4), half_rate_count=3)]
    signal = collect(reader, 10, 4.0)
    assert np.allclose(signal.times_seconds, sorted([*np.arange(0, 40, 2) / 10, 3.3, 0.7]))
    assert [text for text in signal.texts if text != "whole"] == [
        f"{1000 * time:.0f} ms für" for time in signal.times_seconds
    ]
    assert signal.texts.count("whole") == 4


@pytest.mark.parametrize(("read_windows", "under_way"), [(3, 1), (4, 1), (6, 3)])
def test_more_windows_are_read_at_once_where_more_may_be_kept(read_windows, under_way):
    reader = Reader(stamped)
    reader.windows = windows(200, 10)
    signal = collect(reader, 10, 20.0, read_windows)
    assert max(reader.under_way) == under_way
    said = [text for text in signal.texts if text != "whole"]
    assert said == [f"{1000 * time:.0f} ms für" for time in signal.times_seconds]


@pytest.mark.parametrize("count", [0, 30])
def test_no_text(count):
    reader = Reader(lambda time: [])
    reader.windows = windows(count, 10)
    signal = collect(reader, 10, count / 10)
    assert signal.sample_count == count // 2
    assert (signal.texts, signal.frame.shape, signal.quads.shape) == ((), (0,), (0, 4, 2))
    assert signal.contrast_ratios.shape == signal.confidences.shape == (0,)


def test_strings_are_cleaned_and_blank_ones_dropped():
    written = ["u\u0308ber".encode(), b"  two \t words ", b"   ", b"", b"broken \xff", "日本".encode()]
    reader = Reader(lambda time: [(text, 1.0001) for text in written])
    reader.windows = windows(1, 10)
    signal = collect(reader, 10, 0.1)
    assert signal.texts == ("über", "two words", "broken \N{REPLACEMENT CHARACTER}", "日本")
    assert signal.confidences.max() == 1


def test_a_failed_call_is_told():
    reader = Reader(stamped, fails=True)
    reader.windows = windows(80, 10)
    with pytest.raises(ModelUnavailable):
        collect(reader, 10, 8.0)


def test_contrast_is_that_of_the_lines_own_frame():
    """White letters on a background that gets brighter from frame to frame."""
    memory = Memory(HEIGHT, WIDTH)
    window = windows(20, 10)[0]
    window.buffer = memory
    for row, sample in enumerate(window.samples):
        memory.array[row] = 10 * sample
        memory.array[row, 66:78, 15:75:8] = 255
        memory.array[row, 66:78, 16:75:8] = 255
        memory.array[row, 66:78, 17:75:8] = 255
    reader = Reader(lambda time: [(b"|||", 0.9)])
    reader.windows = [window]
    signal = collect(reader, 10, 2.0)
    expected = [ratio((255, 255, 255), (10 * sample,) * 3) for sample in range(0, 20, 2)]
    assert signal.contrast_ratios == pytest.approx(expected, rel=0.02)


def ratio(first, second):
    """WCAG 2, from the definition."""

    def luminance(color):
        steps = np.array(color) / 255
        return np.where(steps <= 0.04045, steps / 12.92, ((steps + 0.055) / 1.055) ** 2.4) @ (0.2126, 0.7152, 0.0722)

    darker, brighter = sorted((luminance(first), luminance(second)))
    return (brighter + 0.05) / (darker + 0.05)


def rendered(ink, paper, size_px, *, outline=None, turn_degrees=0, noise=0.0):
    """A frame with a line of text, and its quad."""
    image = Image.new("RGB", (900, 900), paper)
    draw, font = ImageDraw.Draw(image), ImageFont.truetype(str(FONT), size_px)
    options = {"stroke_width": 3, "stroke_fill": outline} if outline else {}
    draw.text((450, 450), "Nur heute -50 %", font=font, fill=ink, anchor="mm", **options)
    x1, y1, x2, y2 = draw.textbbox((450, 450), "Nur heute -50 %", font=font, anchor="mm", stroke_width=3)
    frame = np.array(image.rotate(turn_degrees, Image.Resampling.BICUBIC, fillcolor=paper), float)
    frame += np.random.default_rng(0).normal(0, noise, frame.shape) if noise else 0
    turn = np.radians(-turn_degrees)
    corners = np.array([(x1, y1), (x2, y1), (x2, y2), (x1, y2)]) - 450
    matrix = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    return frame.clip(0, 255).astype(np.uint8), (corners @ matrix + 450) / 900


@pytest.mark.parametrize("size_px", [14, 28, 60])
@pytest.mark.parametrize(
    ("ink", "paper"),
    [
        ((255, 255, 255), (0, 0, 0)),
        ((0, 0, 0), (255, 255, 255)),
        ((255, 255, 255), (120, 120, 120)),
        ((255, 220, 0), (255, 255, 255)),
        ((140, 140, 140), (120, 120, 120)),
        ((220, 30, 30), (20, 20, 60)),
    ],
)
def test_contrast_of_rendered_text(ink, paper, size_px):
    for options in ({}, {"turn_degrees": 30}, {"noise": 4.0}):
        frame, quad = rendered(ink, paper, size_px, **options)
        assert contrast_ratio(frame, quad) == pytest.approx(ratio(ink, paper), rel=0.1), options


def test_an_outline_counts_in_place_of_what_lies_beyond():
    frame, quad = rendered((255, 255, 255), (240, 240, 240), 60, outline=(0, 0, 0))
    assert contrast_ratio(frame, quad) > 15
    frame, quad = rendered((255, 255, 255), (240, 240, 240), 60)
    assert contrast_ratio(frame, quad) < 1.3


@pytest.mark.parametrize(
    "quad",
    [
        [(0.1, 0.1), (0.9, 0.1), (0.9, 0.105), (0.1, 0.105)],
        [(0.5, 0.5)] * 4,
        [(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)],
        [(1.2, 1.2), (1.5, 1.2), (1.5, 1.4), (1.2, 1.4)],
    ],
    ids=["low", "empty", "flat", "outside"],
)
def test_where_nothing_can_be_measured(quad):
    assert np.isnan(contrast_ratio(np.full((300, 300, 3), 90, np.uint8), np.array(quad)))
