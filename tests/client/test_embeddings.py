"""Embeddings: collected over windows in any order, each instant once, with the model's labels and provenance."""

from __future__ import annotations

import numpy as np
import pytest
from feeding import PROVENANCE, Answer, Memory, header, windows

from reelscope.errors import ModelUnavailable
from reelscope.settings import labels
from reelscope.sources.embeddings import EmbeddingSource
from reelscope.types import Deadline, ExtraWindow

LABELS = labels("embedding_clip")


class Embedder:
    """Answers for the server: the embedding of an instant holds its time in milliseconds."""

    def __init__(self, fails=False):
        self.fails, self.asked, self.windows = fails, [], []

    def submit(self, model, buffer, rows, outputs, timeout_seconds, inputs):
        assert (model, set(outputs)) == (
            "embeddings",
            {"embedding", "label_probabilities", "embedding_clip_provenance"},
        )
        window = next(window for window in self.windows if window.buffer is buffer)
        self.asked.append(rows)
        if self.fails:
            return Answer(ModelUnavailable(f"{model}: gone"))
        times = np.array(window.times_seconds[:rows], np.float32)
        embedding = np.zeros((rows, 512), np.float32)
        embedding[:, 0] = 1000 * times
        probabilities = np.zeros((rows, len(LABELS)), np.float32)
        probabilities[:, -1] = times
        provenance = np.full((rows, 1), b"{}", object)
        return Answer(
            {"embedding": embedding, "label_probabilities": probabilities, "embedding_clip_provenance": provenance}
        )

    def provenance(self, text, model, ensemble):
        assert (model, ensemble) == ("embedding_clip", "embeddings")
        return PROVENANCE


def collect(embedder, rate, duration_seconds):
    source = EmbeddingSource(embedder, Deadline(60))
    source.start(header([np.zeros((2, 2, 3), np.uint8)], base_frame_rate=rate))
    try:
        for window in embedder.windows:
            source.push(window)
            window.release()
        return source.finish(duration_seconds)
    finally:
        source.close()


@pytest.mark.parametrize(("rate", "count"), [(10, 47), (5, 20), (5, 1)])
def test_every_fourth_frame(rate, count):
    embedder = Embedder()
    embedder.windows = windows(count, rate)
    signal = collect(embedder, rate, count / rate)
    assert np.allclose(signal.times_seconds, np.arange(0, count, 4) / rate)
    assert np.allclose(signal.embeddings[:, 0], 1000 * signal.times_seconds)
    assert np.allclose(signal.probability(LABELS[-1]), signal.times_seconds)
    assert (signal.sampling, signal.sampling_fps, signal.sample_count) == ("F2.5", rate / 4, len(signal.times_seconds))
    assert signal.models == (PROVENANCE,)
    assert signal.labels == LABELS
    assert sum(embedder.asked) == signal.sample_count, "nothing is asked that is not used"


def test_windows_out_of_time_order_and_an_instant_twice():
    embedder = Embedder()
    embedder.windows = [*windows(40, 10), ExtraWindow(Memory(), (0.5, 3.3, 0.8), half_rate_count=1)]
    signal = collect(embedder, 10, 4.0)
    assert np.allclose(signal.times_seconds, sorted([*np.arange(0, 40, 4) / 10, 0.5, 3.3]))
    assert np.allclose(signal.embeddings[:, 0], 1000 * signal.times_seconds)
    assert np.allclose(signal.label_probabilities[:, -1], signal.times_seconds)


def test_no_window_at_all():
    signal = collect(Embedder(), 10, 0.0)
    assert signal.embeddings.shape == (0, 512)
    assert signal.label_probabilities.shape == (0, len(LABELS))
    assert signal.sample_count == 0


def test_a_failed_call_is_told():
    embedder = Embedder(fails=True)
    embedder.windows = windows(80, 10)
    with pytest.raises(ModelUnavailable):
        collect(embedder, 10, 8.0)


def test_groups_of_labels():
    embedder = Embedder()
    embedder.windows = windows(20, 10)
    signal = collect(embedder, 10, 2.0)
    names, probabilities = signal.group("quality")
    assert names == ("good", "bad")
    assert probabilities.shape == (signal.sample_count, 2)
    with pytest.raises(ValueError, match="not in tuple"):
        signal.probability("nonsense/label")
