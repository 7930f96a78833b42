"""Faces: tracks and details of injected answers, from both ensembles, row by row and across windows."""

from __future__ import annotations

import json
from fractions import Fraction

import numpy as np
import pytest
from feeding import PROVENANCE, Memory, header

from reelscope.sources import CPU_SOURCES, ENSEMBLE_SOURCES
from reelscope.sources.face_details import FaceAttributeSource, FaceExpressionSource, FaceLandmarkSource
from reelscope.sources.faces import ATTRIBUTES, DETECTOR, EXPRESSION, LANDMARKS, FaceSource
from reelscope.types import Deadline, ExtraWindow, Window

WIDTH, HEIGHT = 360, 640
SIZE = (WIDTH, HEIGHT, WIDTH, HEIGHT)
DETAILS = (FaceAttributeSource, FaceLandmarkSource, FaceExpressionSource)


class Answer:
    def __init__(self, value):
        self.value = value

    def result(self):
        return dict(self.value)

    def cancel(self):
        pass


class Server:
    """Answers for both ensembles: `boxes_at(sample)` gives boxes in pixels.

    Whatever is said of a face tells which it is: its age is 100 times the sample plus its number within the frame.
    """

    def __init__(self, boxes_at, untrained=()):
        self.boxes_at, self.untrained = boxes_at, untrained
        self.asked = []

    def submit(self, model, buffer, rows, outputs, timeout_seconds, inputs):
        window = next(window for window in self.windows if window.buffer is buffer)
        self.asked.append((model, outputs, window))
        values = {"faces": self._faces, "face_boxes": self._boxes}[model](window.samples[:rows])
        assert set(outputs) == set(values)
        return Answer(values)

    def provenance(self, text, model, ensemble):
        known = {name: getattr(PROVENANCE, name) for name in PROVENANCE.__slots__}
        return type(PROVENANCE)(**known | {"name": model, "ensemble": ensemble} | json.loads(text))

    def _told(self, network, rows):
        text = json.dumps({"trained": network not in self.untrained}).encode()
        return np.full((rows, 1), text, object)

    def _faces(self, samples):
        found = [
            (row, 100 * sample + number, np.array(box) / SIZE)
            for row, sample in enumerate(samples)
            for number, box in enumerate(self.boxes_at(sample))
        ]
        marks = np.array([mark for _, mark, _ in found], np.float32)
        count = len(found)
        return {
            "frame_index": np.array([row for row, _, _ in found], np.int32),
            "face_boxes": np.array([box for _, _, box in found], np.float32).reshape(count, 4),
            "face_scores": np.full(count, 0.9, np.float32),
            "face_keypoints": np.broadcast_to(marks[:, None, None], (count, 5, 2)),
            "age_years": marks,
            "is_male": (marks % 2).astype(np.int32),
            "landmarks": np.broadcast_to(marks[:, None, None], (count, 106, 2)),
            "expression": np.broadcast_to(marks[:, None], (count, 8)),
            "valence": np.full(count, np.nan, np.float32),
            "arousal": -marks,
            f"{DETECTOR}_provenance": self._told(DETECTOR, len(samples)),
            **{f"{name}_provenance": self._told(name, 1) for name in (ATTRIBUTES, LANDMARKS, EXPRESSION)},
        }

    def _boxes(self, samples):
        rows = len(samples)
        boxes, keypoints = np.zeros((rows, 128, 4), np.float32), np.zeros((rows, 128, 5, 2), np.float32)
        scores, count = np.zeros((rows, 128), np.float32), np.zeros((rows, 1), np.int32)
        for row, sample in enumerate(samples):
            for number, box in enumerate(self.boxes_at(sample)):
                boxes[row, number], keypoints[row, number] = np.array(box) / SIZE, 100 * sample + number
                scores[row, number], count[row] = 0.9, number + 1
        values = {"boxes_xyxy": boxes, "scores": scores, "keypoints": keypoints, "count": count}
        return values | {f"{DETECTOR}_provenance": self._told(DETECTOR, rows)}


def follow(server, count, details=DETAILS, rate=10, extra=()):
    """Signals of a clip: faces, then those of the listeners."""
    source = FaceSource(server, Deadline(60))
    listeners = [kind() for kind in details]
    source.listeners += [listener.push for listener in listeners]
    clip = header([np.zeros((HEIGHT, WIDTH, 3), np.uint8)], base_frame_rate=rate)
    for each in (source, *listeners):
        each.start(clip)
    server.windows = [
        *(
            Window(Memory(HEIGHT, WIDTH), first, min(20, count - first), Fraction(rate))
            for first in range(0, count, 20)
        ),
        *extra,
    ]
    for window in server.windows:
        source.push(window)
        window.release()
    signals = [each.finish(count / rate) for each in (source, *listeners)]
    source.close()
    assert all(window.buffer.is_closed for window in server.windows)
    return signals


def some(sample):
    """No face, one, or two, by turns."""
    yield from [(40, 100, 120, 200), (200, 300, 300, 420)][: sample % 3]


def expected(count):
    return [(sample, 100 * sample + number) for sample in range(count) for number in range(sample % 3)]


@pytest.mark.parametrize("count", [1, 3, 20, 47])
def test_details_are_those_of_the_face_in_the_same_row(count):
    server = Server(some)
    faces, attributes, landmarks, expressions = follow(server, count)
    assert {model for model, _, _ in server.asked} == {"faces"}
    marks = np.array([mark for _, mark in expected(count)])
    assert faces.frame.tolist() == [sample for sample, _ in expected(count)]
    assert faces.times_seconds == pytest.approx(np.arange(count) / 10)
    assert np.array_equal(faces.keypoints[:, 4, 1], marks)
    assert np.array_equal(attributes.age_years, marks)
    assert np.array_equal(attributes.is_male, marks % 2 == 1)
    assert np.array_equal(landmarks.points[:, 105, 0], marks)
    assert np.array_equal(expressions.probabilities[:, 7], marks)
    assert np.array_equal(expressions.arousal, -marks)
    assert np.isnan(expressions.valence).all()
    for signal in (faces, attributes, landmarks, expressions):
        assert (signal.sampling, signal.sampling_fps, signal.sample_count) == ("F10", 10, count)


def test_only_boxes_are_asked_for_when_nobody_listens():
    """Nothing is cropped on the server: as in a deployment without biometrics."""
    server = Server(some)
    (faces,) = follow(server, 47, details=())
    assert {model for model, _, _ in server.asked} == {"face_boxes"}
    whole = follow(Server(some), 47)[0]
    for name in ("frame", "boxes_xyxy", "scores", "keypoints", "track_ids", "times_seconds"):
        assert np.array_equal(getattr(faces, name), getattr(whole, name)), name
    assert [model.ensemble for model in faces.models] == ["face_boxes"]


def test_the_registered_source_names_the_whole_ensemble():
    assert FaceSource.ensemble == "faces"
    assert FaceSource in ENSEMBLE_SOURCES.values()
    assert set(DETAILS) <= set(CPU_SOURCES.values())


@pytest.mark.parametrize("details", [DETAILS, ()])
def test_no_faces(details):
    faces, *found = follow(Server(lambda sample: ()), 25, details=details)
    assert faces.sample_count == 25
    assert faces.tracks() == ()
    assert faces.boxes_xyxy.shape == (0, 4)
    assert faces.keypoints.shape == (0, 5, 2)
    assert faces.track_ids.shape == (0,)
    if found:
        attributes, landmarks, expressions = found
        assert attributes.age_years.shape == (0,)
        assert landmarks.points.shape == (0, 106, 2)
        assert expressions.probabilities.shape == (0, 8)
        assert [model.name for model in expressions.models] == [EXPRESSION]


def test_each_signal_carries_its_own_network_only():
    faces, attributes, landmarks, expressions = follow(Server(some, untrained=(EXPRESSION,)), 20)
    names = [[model.name for model in signal.models] for signal in (faces, attributes, landmarks, expressions)]
    assert names == [[DETECTOR], [ATTRIBUTES], [LANDMARKS], [EXPRESSION]]
    assert expressions.untrained_models == (EXPRESSION,)
    assert not any(signal.untrained_models for signal in (faces, attributes, landmarks))


def test_extra_frames_are_not_looked_at():
    """They come out of time order, and the base rate needs none."""
    extra = ExtraWindow(Memory(HEIGHT, WIDTH), (0.5, 0.7), half_rate_count=2)
    server = Server(some)
    faces, attributes, *_ = follow(server, 20, extra=[extra])
    assert extra not in [window for _, _, window in server.asked]
    assert faces.sample_count == attributes.sample_count == 20


@pytest.mark.parametrize("rate", [5, 10])
@pytest.mark.parametrize("details", [DETAILS, ()])
def test_two_people_who_cross_keep_their_ids(rate, details):
    """They pass in front of each other, one a little nearer to the camera."""

    def boxes_at(sample):
        time = sample / rate
        left, right = 20 + 50 * time, 260 - 50 * time
        yield (left, 100, left + 60, 180)
        yield (right, 110, right + 80, 210)

    faces = follow(Server(boxes_at), round(4.6 * rate), details=details)[0]
    tracks = faces.tracks()
    assert len(tracks) == 2
    widths = [(faces.boxes_xyxy[rows, 2] - faces.boxes_xyxy[rows, 0]) * WIDTH for _, rows in tracks]
    assert sorted(float(width.mean()) for width in widths) == pytest.approx([60, 80], abs=0.1)
    assert all(np.ptp(width) < 0.1 for width in widths), "no id switches"
    assert [track.id for track, _ in tracks] == ["face-1", "face-2"]


def test_sizes_are_those_of_the_uploaded_frame():
    faces = follow(Server(some), 3)[0]
    assert (faces.width_px, faces.height_px) == (WIDTH, HEIGHT)
    assert faces.sizes_px == pytest.approx([80, 80, 100], abs=0.01)
