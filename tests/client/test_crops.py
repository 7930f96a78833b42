"""The source of crops: which objects are looked at, what is sent of them, and that only boxes travel."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from feeding import PROVENANCE, Answer, Memory, header

from reelscope.errors import ModelUnavailable
from reelscope.settings import labels
from reelscope.signals import ObjectTracks
from reelscope.sources import crops
from reelscope.sources.crops import CropSource
from reelscope.types import Deadline, TrackedWindow, Window

LABELS = labels("embedding_clip")
HEIGHT, WIDTH = 640, 360


class Embedder:
    """Answers for the server: the embedding of a crop begins with its box and frame."""

    def __init__(self, fails=False):
        self.fails, self.asked = fails, []

    def submit(self, model, buffer, rows, outputs, timeout_seconds, inputs):
        assert (model, set(outputs)) == (
            "crop_embeddings",
            {"embedding", "label_probabilities", "embedding_clip_provenance"},
        )
        boxes, frames = inputs["boxes_xyxy"], inputs["frame_index"]
        assert set(inputs) == {"boxes_xyxy", "frame_index"}
        assert (boxes.dtype, frames.dtype) == (np.float32, np.int32)
        assert boxes.shape == (len(frames), 4)
        assert boxes.min() >= 0
        assert boxes.max() <= 1
        assert rows == frames.max() + 1, "no frame more than is needed"
        self.asked.append((rows, frames.tolist(), boxes))
        if self.fails:
            return Answer(ModelUnavailable(f"{model}: gone"))
        embedding = np.zeros((len(frames), 512), np.float32)
        embedding[:, :4], embedding[:, 4] = boxes, frames
        probabilities = np.zeros((len(frames), len(LABELS)), np.float32)
        provenance = np.full(1, b"{}", object)
        return Answer(
            {"embedding": embedding, "label_probabilities": probabilities, "embedding_clip_provenance": provenance}
        )

    def provenance(self, text, model, ensemble):
        assert (model, ensemble) == ("embedding_clip", "crop_embeddings")
        return replace(PROVENANCE, ensemble=ensemble)


def tracked(number: int, *objects: tuple[int, int, float, tuple[float, float, float, float]]) -> TrackedWindow:
    """Window `number` with objects (row, track id, score, box)."""
    window = Window(Memory(HEIGHT, WIDTH), 20 * number, 20, Fraction(10))
    return TrackedWindow(
        window=window,
        rows=np.array([row for row, *_ in objects], np.int64),
        boxes_xyxy=np.array([box for *_, box in objects], float).reshape(-1, 4),
        scores=np.array([score for _, _, score, _ in objects], float),
        track_ids=np.array([track for _, track, *_ in objects], np.int64),
    )


def square(area, x=0.0, y=0.0):
    """Box of this area in the frame's units."""
    side = area**0.5
    return (x, y, x + side, y + side)


def collect(parts, embedder=None):
    embedder = embedder or Embedder()
    source = CropSource(embedder, Deadline(60))
    source.start(header([np.zeros((HEIGHT, WIDTH, 3), np.uint8)], base_frame_rate=10))
    try:
        for part in parts:
            source.push(part)
            part.release()
        signal = source.finish(10.0)
    finally:
        source.close()
    assert all(part.window.buffer.is_closed for part in parts), "every window is given back"
    return signal, embedder


def test_needs_the_tracks():
    assert CropSource.needs == (ObjectTracks,)
    assert CropSource.consumes is TrackedWindow


def test_the_best_view_of_every_track():
    part = tracked(0, (7, 3, 0.5, square(0.1)), (12, 3, 0.9, square(0.1, 0.2)), (0, 5, 0.6, square(0.04)))
    signal, embedder = collect([part])
    assert signal.track_ids.tolist() == [5, 3]
    samples = [part.window.samples[0], part.window.samples[12]]
    assert signal.times_seconds == pytest.approx([sample / 10 for sample in samples])
    assert np.allclose(signal.boxes_xyxy, [square(0.04), square(0.1, 0.2)])
    assert np.allclose(signal.embeddings[:, :4], signal.boxes_xyxy), "every answer stays with its crop"
    assert signal.embeddings[:, 4].tolist() == [0, 12]
    assert embedder.asked[0][0] == 13
    assert (signal.sampling, signal.sampling_fps, signal.sample_count) == ("F10", 10, 2)
    assert signal.labels == LABELS
    assert [model.ensemble for model in signal.models] == ["crop_embeddings"]


def test_again_only_when_clearly_larger_and_three_times_at_most():
    areas = [0.02, 0.025, 0.031, 0.04, 0.05, 0.2, 0.9]
    signal, embedder = collect([tracked(k, (0, 1, 0.8, square(area))) for k, area in enumerate(areas)])
    assert signal.boxes_xyxy[:, 2] ** 2 == pytest.approx([0.02, 0.031, 0.05])
    assert len(embedder.asked) == 3, "windows without news cost no request"


def test_surer_counts_as_larger():
    signal, _ = collect([tracked(0, (0, 1, 0.5, square(0.1))), tracked(1, (0, 1, 0.8, square(0.1)))])
    assert len(signal.track_ids) == 2


def test_eight_per_window_and_the_rest_in_the_next():
    objects = [(k, k, 0.9, square(0.02 + 0.005 * k)) for k in range(12)]
    signal, embedder = collect([tracked(0, *objects), tracked(1, *objects)])
    assert [len(frames) for _, frames, _ in embedder.asked] == [crops.CROPS_PER_WINDOW, 4]
    first = signal.track_ids[signal.times_seconds < 2]
    assert sorted(first.tolist()) == list(range(4, 12)), "the largest first"
    assert sorted(signal.track_ids.tolist()) == list(range(12))


def test_what_joined_no_track_and_what_is_tiny_is_left_out():
    small = (0.5, 0.5, 0.5 + 31 / WIDTH, 0.9)
    enough = (0.5, 0.5, 0.5 + 33 / WIDTH, 0.5 + 33 / HEIGHT)
    at_the_edge = (-0.2, 0.5, 20 / WIDTH, 0.9)
    part = tracked(0, (0, -1, 0.9, square(0.5)), (1, 1, 0.9, small), (2, 2, 0.9, enough), (3, 3, 0.9, at_the_edge))
    signal, _ = collect([part])
    assert signal.track_ids.tolist() == [2]


def test_no_object_at_all():
    signal, embedder = collect([tracked(0), tracked(1, (0, -1, 0.9, square(0.5)))])
    assert embedder.asked == []
    assert signal.embeddings.shape == (0, 512)
    assert signal.label_probabilities.shape == (0, len(LABELS))
    assert signal.times_seconds.shape == (0,)
    assert signal.boxes_xyxy.shape == (0, 4)


def test_many_windows_in_order():
    parts = [tracked(k, (19 - k % 20, k, 0.9, square(0.1)), (0, 100 + k, 0.9, square(0.1))) for k in range(9)]
    signal, _ = collect(parts)
    assert (np.diff(signal.times_seconds) >= 0).all()
    assert signal.sample_count == 18


def test_a_failed_call_is_told_and_gives_the_window_back():
    part = tracked(0, (0, 0, 0.9, square(0.1)))
    source = CropSource(Embedder(fails=True), Deadline(60))
    source.start(header([np.zeros((HEIGHT, WIDTH, 3), np.uint8)], base_frame_rate=10))

    with pytest.raises(ModelUnavailable):
        source.push(part)
    part.release()
    source.close()
    assert part.window.buffer.is_closed


def test_no_window_is_kept_until_the_next_object_worth_a_look():
    part = tracked(0, (0, 0, 0.9, square(0.1)))
    source = CropSource(Embedder(), Deadline(60))
    source.start(header([np.zeros((HEIGHT, WIDTH, 3), np.uint8)], base_frame_rate=10))
    source.push(part)
    part.release()
    assert part.window.buffer.is_closed
