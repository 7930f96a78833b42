"""Objects: tracks of injected detections, in order across windows; untrained models claim nothing."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest
from feeding import Answer, Memory, header, windows

from reelscope.analyzers import object_detection
from reelscope.errors import ModelUnavailable
from reelscope.settings import labels
from reelscope.sources.objects import ObjectSource
from reelscope.types import Deadline, ExtraWindow, ModelProvenance

WIDTH, HEIGHT = 720, 1280
CAT = labels("object_yolov8").index("cat")
CUP = labels("object_yolov8").index("cup")


class Detector:
    """Answers for the server: `boxes_at(sample)` gives (class_id, score, x1, y1, x2, y2) in pixels."""

    def __init__(self, boxes_at, rate, trained=True, fails_after=None):
        self.boxes_at, self.rate, self.trained, self.fails_after = boxes_at, rate, trained, fails_after
        self.asked = []

    def submit(self, model, buffer, rows, outputs, timeout_seconds, inputs):
        window = next(w for w in self.windows if w.buffer is buffer)
        self.asked.append(window)
        if self.fails_after is not None and len(self.asked) > self.fails_after:
            return Answer(ModelUnavailable(f"{model}: gone"))
        boxes = np.zeros((rows, 300, 4), np.float32)
        scores, class_ids = np.zeros((rows, 300), np.float32), np.full((rows, 300), -1, np.int32)
        count = np.zeros((rows, 1), np.int32)
        for row, sample in enumerate(window.samples[:rows]):
            for k, (class_id, score, *box) in enumerate(self.boxes_at(sample)):
                boxes[row, k] = np.array(box) / (WIDTH, HEIGHT, WIDTH, HEIGHT)
                scores[row, k], class_ids[row, k] = score, class_id
                count[row] = k + 1
        text = json.dumps({"trained": self.trained}).encode()
        values = {"boxes_xyxy": boxes, "scores": scores, "class_ids": class_ids, "count": count}
        return Answer(values | {"object_yolov8_provenance": np.full((rows, 1), text, object)})

    def provenance(self, text, model, ensemble):
        return ModelProvenance(
            name=model,
            version="1",
            ensemble=ensemble,
            source="test",
            revision="",
            sha256=None,
            licence="none",
            precision="fp32",
            trained=json.loads(text)["trained"],
        )


def track(detector, count, extra=()):
    source = ObjectSource(detector, Deadline(60))
    source.start(header([np.zeros((HEIGHT, WIDTH, 3), np.uint8)], base_frame_rate=detector.rate))
    detector.windows = [*windows(count, detector.rate), *extra]
    for window in detector.windows:
        source.push(window)
        window.release()
    signal = source.finish(count / detector.rate)
    source.close()
    return signal


def moving(rate, px_per_frame=4.0, size=200):
    """A cat that moves 4 px per frame of 30 fps to the right, and a cup that stands still."""

    def boxes_at(sample):
        x = 20 + px_per_frame * 30 / rate * sample
        jitter = np.random.default_rng(sample).normal(0, 1, 4)
        yield (CAT, 0.8, *(np.array([x, 400, x + size, 400 + size]) + jitter))
        yield (CUP, 0.6, 500, 900, 600, 1000)

    return boxes_at


def test_extra_frames_are_not_tracked():
    """They come out of time order, and the base rate needs none."""
    extra = ExtraWindow(Memory(), (0.5, 0.7), half_rate_count=2)
    detector = Detector(moving(5), 5)
    signal = track(detector, 20, extra=[extra])
    assert extra not in detector.asked
    assert extra.buffer.is_closed
    assert signal.times_seconds == pytest.approx(np.arange(20) / 5)


@pytest.mark.parametrize(("rate", "count"), [(5, 20), (10, 45)])
def test_speed_and_identity_across_windows(rate, count):
    finding = object_detection.analyze(track(Detector(moving(rate), rate), count))
    cats = [segment for segment in finding.segments if segment.label == "cat"]
    assert len(cats) == 1, "no id switches"
    data = cats[0].data
    assert data.speed_percent_width_per_second == pytest.approx(100 * 4 * 30 / WIDTH, rel=0.05)
    assert len(data.boxes.times_seconds) == count, "seen in every frame, the first one included"
    assert data.area_percent == pytest.approx(100 * 200 * 200 / WIDTH / HEIGHT, rel=0.02)
    assert data.screen_time_seconds == pytest.approx(count / rate)
    assert data.confidence_mean == pytest.approx(0.8)
    cups = [segment for segment in finding.segments if segment.label == "cup"]
    assert len(cups) == 1
    assert cups[0].data.speed_percent_width_per_second == pytest.approx(0, abs=1e-6)
    assert finding.summary.unique_per_class == {"cat": 1, "cup": 1}
    assert finding.summary.max_concurrent == 2
    assert finding.summary.prominence["cup"] == pytest.approx(100 * 100 / WIDTH / HEIGHT * count / rate)


def test_answers_are_used_in_time_order():
    signal = track(Detector(moving(10), 10), 47)
    assert np.allclose(signal.times_seconds, np.arange(47) / 10)
    assert Counter(signal.frame.tolist()) == dict.fromkeys(range(47), 2)


def test_short_gap_keeps_the_id_and_a_long_one_does_not():
    def with_gap(first, end):
        def boxes_at(sample):
            if not first <= sample < end:
                yield (CUP, 0.9, 100, 100, 300, 300)

        return boxes_at

    assert len(object_detection.analyze(track(Detector(with_gap(10, 16), 10), 40)).segments) == 1
    assert len(object_detection.analyze(track(Detector(with_gap(10, 30), 10), 40)).segments) == 2


def test_a_flickering_class_is_voted():
    def boxes_at(sample):
        yield (CUP if sample % 4 == 0 else CAT, 0.7, 100, 100, 300, 300)

    finding = object_detection.analyze(track(Detector(boxes_at, 10), 20))
    assert [segment.label for segment in finding.segments] == ["cat"]


def test_nothing_found():
    finding = object_detection.analyze(track(Detector(lambda sample: (), 10), 25))
    assert finding.segments == ()
    assert finding.summary.unique_per_class == {}
    assert finding.summary.max_concurrent == 0


@pytest.mark.parametrize(("score", "found"), [(0.8, 1), (0.3, 0)])
def test_seen_in_one_frame_only(score, found):
    """A confident box is something that was there; a weak one is more likely nothing."""

    def boxes_at(sample):
        if sample == 7:
            yield (CUP, score, 100, 100, 300, 300)

    finding = object_detection.analyze(track(Detector(boxes_at, 10), 20))
    assert len(finding.segments) == found
    assert finding.summary.unique_per_class == ({"cup": 1} if found else {})
    assert all(segment.data.speed_percent_width_per_second is None for segment in finding.segments)


def test_one_frame():
    finding = object_detection.analyze(track(Detector(moving(10), 10), 1))
    assert finding.summary.unique_per_class == {"cat": 1, "cup": 1}
    assert finding.summary.max_concurrent == 2


def test_screen_time_ends_with_the_clip():
    source = ObjectSource(Detector(moving(5), 5), Deadline(60))
    source.start(header([np.zeros((HEIGHT, WIDTH, 3), np.uint8)], base_frame_rate=5))
    source._client.windows = windows(2, 5)
    for window in source._client.windows:
        source.push(window)
    finding = object_detection.analyze(source.finish(0.25))
    assert all(segment.data.screen_time_seconds == pytest.approx(0.25) for segment in finding.segments)


def test_random_weights_claim_nothing():
    signal = track(Detector(moving(10), 10, trained=False), 20)
    assert signal.untrained_models == ("object_yolov8",)
    finding = object_detection.analyze(signal)
    assert len(finding.segments) == 2, "reported"
    assert finding.summary.unique_per_class is None
    assert finding.summary.prominence is None
    assert not any(track.trained for track, _ in signal.tracks())


def test_a_failed_call_gives_every_window_back():
    detector = Detector(moving(10), 10, fails_after=1)
    detector.windows = windows(80, 10)
    source = ObjectSource(detector, Deadline(60))
    source.start(header([np.zeros((HEIGHT, WIDTH, 3), np.uint8)], base_frame_rate=10))

    def push_all():
        for window in detector.windows:
            try:
                source.push(window)
            finally:
                window.release()
        source.finish(8.0)

    with pytest.raises(ModelUnavailable):
        push_all()
    source.close()
    assert all(window.buffer.is_closed for window in detector.asked)
