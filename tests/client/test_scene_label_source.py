"""Scene labels from windows: label maps in time order, detail on people and off them, black bars left out."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from feeding import PROVENANCE, Answer, header
from label_maps import LABELS, PERSON, SKY, WALL, WHOLE, areas, room

from reelscope.errors import ModelUnavailable
from reelscope.sources import scene_labels
from reelscope.sources.scene_labels import SceneLabelSource
from reelscope.types import WINDOW_FRAMES, Deadline, ExtraWindow, Window


class Pictures:
    """Memory of a window whose rows the test fills."""

    def __init__(self, height, width):
        self.array = np.zeros((WINDOW_FRAMES, height, width, 3), np.uint8)
        self.is_closed = False

    def close(self):
        self.array = None
        self.is_closed = True


class Segmenter:
    """Answers for the server: `map_at(time)` is the label map of an instant, `picture_at(time)` its frame."""

    def __init__(self, map_at, picture_at=None, size=(320, 180), fails=False):
        self.map_at, self.picture_at, self.size, self.fails = map_at, picture_at, size, fails
        self.asked, self.windows = [], []

    def fill(self, count, rate, extra=()):
        firsts = range(0, count, WINDOW_FRAMES)
        self.windows = [
            Window(Pictures(*self.size), first, min(WINDOW_FRAMES, count - first), rate) for first in firsts
        ]
        if extra:
            self.windows.append(ExtraWindow(Pictures(*self.size), extra, half_rate_count=1))
        for window in self.windows:
            for row, time in enumerate(window.times_seconds):
                if self.picture_at:
                    window.buffer.array[row] = self.picture_at(time)

    def submit(self, model, buffer, rows, outputs, timeout_seconds, inputs):
        assert model == "scene_labels"
        assert set(outputs) == {"label_map", "areas", "segmentation_segformer_provenance"}
        window = next(window for window in self.windows if window.buffer is buffer)
        self.asked.append(rows)
        if self.fails:
            return Answer(ModelUnavailable(f"{model}: gone"))
        maps = np.array([self.map_at(time) for time in window.times_seconds[:rows]])
        answer = {"label_map": maps, "areas": np.array([areas(label_map) for label_map in maps], np.float32)}
        return Answer(answer | {"segmentation_segformer_provenance": np.full((rows, 1), b"{}", object)})

    def provenance(self, text, model, ensemble):
        assert (model, ensemble) == ("segmentation_segformer", "scene_labels")
        return replace(PROVENANCE, name=model, ensemble=ensemble)


@pytest.fixture
def collect(monkeypatch):
    monkeypatch.setattr(scene_labels, "labels", lambda model: LABELS)

    def run(segmenter, rate, duration_seconds):
        source = SceneLabelSource(segmenter, Deadline(60))
        source.start(header([np.zeros((*segmenter.size, 3), np.uint8)], base_frame_rate=rate))
        try:
            for window in segmenter.windows:
                source.push(window)
                window.release()
            return source.finish(duration_seconds)
        finally:
            source.close()

    return run


def marked(time):
    """A label map that tells its time."""
    label_map = room(0.3)
    label_map[0, 0] = round(10 * time)
    label_map[5:9, 7] = 100
    return label_map


@pytest.mark.parametrize(("rate", "count"), [(10, 47), (5, 20), (5, 1)])
def test_every_fourth_frame(collect, rate, count):
    segmenter = Segmenter(marked)
    segmenter.fill(count, rate)
    signal = collect(segmenter, rate, count / rate)
    assert np.allclose(signal.times_seconds, np.arange(0, count, 4) / rate)
    assert (signal.sampling, signal.sampling_fps, signal.sample_count) == ("F2.5", rate / 4, len(signal.times_seconds))
    for row, time in enumerate(signal.times_seconds):
        assert (signal.label_map(row) == marked(time)).all()
    assert np.allclose(signal.areas.sum(1), 1)
    assert [model.name for model in signal.models] == ["segmentation_segformer"]
    assert signal.labels == LABELS
    assert sum(segmenter.asked) == signal.sample_count, "nothing is asked that is not used"
    assert all(window.buffer.is_closed for window in segmenter.windows)


def test_windows_out_of_time_order_and_an_instant_twice(collect):
    segmenter = Segmenter(marked, lambda time: np.uint8(10 * time))
    segmenter.fill(40, 10, extra=(0.5, 3.3, 0.8))
    signal = collect(segmenter, 10, 4.0)
    assert np.allclose(signal.times_seconds, sorted([*np.arange(0, 40, 4) / 10, 0.5, 3.3]))
    for row, time in enumerate(signal.times_seconds):
        assert (signal.label_map(row) == marked(time)).all()
    assert signal.laplacian_energy.shape == (12, 2)
    assert len(signal.runs) == len(signal.areas) == 12


def test_no_window_at_all(collect):
    signal = collect(Segmenter(marked), 10, 0.0)
    assert signal.areas.shape == (0, 150)
    assert signal.laplacian_energy.shape == (0, 2)
    assert signal.sample_count == 0


def test_a_failed_call_is_told(collect):
    segmenter = Segmenter(marked, fails=True)
    segmenter.fill(80, 10)
    with pytest.raises(ModelUnavailable):
        collect(segmenter, 10, 8.0)


def blurred_around(label_map, sigma, size=(320, 180)):
    """Noise that is sharp on people and blurred off them, with the outline between the two as hard as it can be."""
    noise = np.random.default_rng(2).normal(128, 30, size).astype(np.float32)
    off = cv2.GaussianBlur(noise, (0, 0), sigma) if sigma else noise
    is_person = cv2.resize((label_map == PERSON).astype(np.uint8), size[::-1], interpolation=cv2.INTER_NEAREST) > 0
    luma = np.where(is_person, noise, off - 100 if sigma else noise).clip(0, 255)
    return np.repeat(luma[..., None], 3, axis=2).astype(np.uint8)


def test_detail_on_people_and_off_them(collect):
    ratios = {}
    for sigma in (0, 1, 2):
        segmenter = Segmenter(lambda time: room(0.5), lambda time, s=sigma: blurred_around(room(0.5), s))
        segmenter.fill(4, 10)
        on, off = collect(segmenter, 10, 0.4).laplacian_energy[0]
        ratios[sigma] = on / off
    assert ratios[0] == pytest.approx(1, rel=0.1)
    assert ratios[2] > ratios[1] > 5


def test_detail_needs_both_parts(collect):
    for label_map, known in (
        (room(), [False, True]),
        (np.full((128, 128), PERSON, np.uint8), [True, False]),
        (room(0.03), [False, True]),
    ):
        segmenter = Segmenter(lambda time, shown=label_map: shown, lambda time: blurred_around(room(), 0))
        segmenter.fill(1, 10)
        assert np.isfinite(collect(segmenter, 10, 0.1).laplacian_energy[0]).tolist() == known


def test_bars_are_left_out(collect):
    """Landscape within a portrait frame: neither the bars nor their edges count."""
    size = (320, 180)
    label_map = np.full((128, 128), SKY, np.uint8)
    label_map[44:84] = WALL

    def picture(time):
        frame = np.zeros((*size, 3), np.uint8)
        frame[110:210] = 128 + 20 * (np.indices((100, 180)).sum(0) % 2)[..., None]
        return frame

    segmenter = Segmenter(lambda time: label_map, picture)
    segmenter.fill(12, 10)
    signal = collect(segmenter, 10, 1.2)
    assert signal.picture_columns == WHOLE
    assert (signal.picture_rows.start, signal.picture_rows.stop) == pytest.approx((44, 84), abs=2)
    assert np.allclose(signal.areas[:, WALL], 1)
    assert (signal.label_map(0) == label_map).all()
    flat = Segmenter(lambda time: label_map, lambda time: np.where(picture(time) > 0, 128, 0))
    flat.fill(4, 10)
    assert collect(flat, 10, 0.4).laplacian_energy[0, 1] == 0
