"""Poses from windows: everybody, in time order, and nothing of the padding."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from feeding import PROVENANCE, Answer, Memory, header, windows

from reelscope.errors import ModelUnavailable
from reelscope.sources.poses import PoseSource
from reelscope.types import Deadline, ExtraWindow


class PoseNetwork:
    """Answers for the server: `people_at(sample)` people, whose numbers tell sample and place."""

    def __init__(self, people_at, fails=False):
        self.people_at, self.fails, self.asked, self.windows = people_at, fails, [], []

    def submit(self, model, buffer, rows, outputs, timeout_seconds, inputs):
        assert model == "poses"
        assert set(outputs) == {"boxes_xyxy", "scores", "keypoints", "count", "pose_yolov8_provenance"}
        window = next(window for window in self.windows if window.buffer is buffer)
        self.asked.append(window)
        if self.fails:
            return Answer(ModelUnavailable(f"{model}: gone"))
        answer = {
            "boxes_xyxy": np.zeros((rows, 300, 4), np.float32),
            "scores": np.zeros((rows, 300), np.float32),
            "keypoints": np.zeros((rows, 300, 17, 3), np.float32),
            "count": np.zeros((rows, 1), np.int32),
            "pose_yolov8_provenance": np.full((rows, 1), b"{}", object),
        }
        for row, sample in enumerate(window.samples[:rows]):
            count = answer["count"][row, 0] = self.people_at(sample)
            answer["scores"][row, :count] = sample + np.arange(count) / 10
            answer["boxes_xyxy"][row, :count] = sample
            answer["keypoints"][row, :count] = sample + np.arange(17)[:, None] / 100
        return Answer(answer)

    def provenance(self, text, model, ensemble):
        assert (model, ensemble) == ("pose_yolov8", "poses")
        return replace(PROVENANCE, name=model, ensemble=ensemble)


def collect(network, rate, duration_seconds):
    source = PoseSource(network, Deadline(60))
    source.start(header([np.zeros((1280, 720, 3), np.uint8)], base_frame_rate=rate))
    try:
        for window in network.windows:
            source.push(window)
            window.release()
        return source.finish(duration_seconds)
    finally:
        source.close()


@pytest.mark.parametrize(("rate", "count"), [(10, 47), (5, 20), (5, 1)])
def test_the_source_keeps_everybody_in_time_order(rate, count):
    network = PoseNetwork(lambda sample: sample % 4)
    extra = ExtraWindow(Memory(), (0.05, 0.15), half_rate_count=2)
    network.windows = [*windows(count, rate), extra]
    signal = collect(network, rate, count / rate)
    assert extra not in network.asked, "the base rate needs no extra frames"
    assert signal.times_seconds == pytest.approx(np.arange(count) / rate)
    assert (signal.sampling, signal.sampling_fps, signal.sample_count) == ("F10", rate, count)
    expected = [sample for sample in range(count) for _ in range(sample % 4)]
    assert signal.frame.tolist() == expected
    assert signal.boxes_xyxy[:, 0].tolist() == expected
    assert np.allclose(signal.scores % 1, [k / 10 for sample in range(count) for k in range(sample % 4)], atol=1e-5)
    assert np.allclose(signal.keypoints[:, 16, 2], np.array(expected) + 0.16, atol=1e-5)
    assert signal.keypoints.shape == (len(expected), 17, 3)
    assert signal.height_over_width == 1280 / 720
    assert [model.name for model in signal.models] == ["pose_yolov8"]
    assert all(window.buffer.is_closed for window in network.windows)


def test_the_source_without_a_window():
    signal = collect(PoseNetwork(lambda sample: 1), 10, 0.0)
    assert signal.keypoints.shape == (0, 17, 3)
    assert signal.sample_count == 0


def test_the_source_tells_of_a_failed_call():
    network = PoseNetwork(lambda sample: 1, fails=True)
    network.windows = windows(80, 10)
    with pytest.raises(ModelUnavailable):
        collect(network, 10, 8.0)
