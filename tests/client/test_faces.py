"""Faces: tracks and details of injected answers, from both ensembles, row by row and across windows."""

from __future__ import annotations

import json
from fractions import Fraction

import numpy as np
import pytest
from feeding import PROVENANCE, Answer, Memory, header

import clips
from reelscope import check, pipeline, settings
from reelscope.analyzers import age_estimation, eye_tracking, face_emotion
from reelscope.analyzers.base import Analyzer, Finding
from reelscope.results import to_json
from reelscope.signals import Faces
from reelscope.sources import CPU_SOURCES, ENSEMBLE_SOURCES
from reelscope.sources.face_details import FaceAttributeSource, FaceExpressionSource, FaceLandmarkSource
from reelscope.sources.faces import ATTRIBUTES, DETECTOR, EXPRESSION, LANDMARKS, FaceSource
from reelscope.types import Deadline, ExtraWindow, Window, nested_order

WIDTH, HEIGHT = 360, 640
SIZE = (WIDTH, HEIGHT, WIDTH, HEIGHT)
DETAILS = (FaceAttributeSource, FaceLandmarkSource, FaceExpressionSource)


class Server:
    """Answers for both ensembles: `boxes_at(sample)` gives boxes in pixels.

    Whatever is said of a face tells which it is: its age is 100 times the sample plus its number within the frame.
    """

    def __init__(self, boxes_at, untrained=()):
        self.boxes_at, self.untrained = boxes_at, untrained
        self.asked: list[str] = []
        self._sample_count = 0

    def allocate(self, height, width, rows):
        return Memory(height, width, rows)

    def release_windows(self):
        pass

    def submit(self, model, buffer, rows, outputs, timeout_seconds, inputs):
        samples = [self._sample_count + number for number in nested_order(rows)]
        self._sample_count += rows
        self.asked.append(model)
        values = {"faces": self._faces, "face_boxes": self._boxes}[model](samples)
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
            "expression": np.eye(8, dtype=np.float32)[(marks % 8).astype(int)],
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
    given = [
        *(
            Window(Memory(HEIGHT, WIDTH), first, min(20, count - first), Fraction(rate))
            for first in range(0, count, 20)
        ),
        *extra,
    ]
    for window in given:
        source.push(window)
        window.release()
    signals = [each.finish(count / rate) for each in (source, *listeners)]
    source.close()
    assert all(window.buffer.is_closed for window in given)
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
    assert set(server.asked) == {"faces"}
    marks = np.array([mark for _, mark in expected(count)])
    assert faces.frame.tolist() == [sample for sample, _ in expected(count)]
    assert faces.times_seconds == pytest.approx(np.arange(count) / 10)
    assert np.array_equal(faces.keypoints[:, 4, 1], marks)
    assert np.array_equal(attributes.age_years, marks)
    assert np.array_equal(attributes.is_male, marks % 2 == 1)
    assert np.array_equal(landmarks.points[:, 105, 0], marks)
    assert np.array_equal(expressions.probabilities.argmax(axis=1), marks % 8)
    assert np.array_equal(expressions.arousal, -marks)
    assert np.isnan(expressions.valence).all()
    for signal in (faces, attributes, landmarks, expressions):
        assert (signal.sampling, signal.sampling_fps, signal.sample_count) == ("F10", 10, count)


def test_only_boxes_are_asked_for_when_nobody_listens():
    """Nothing is cropped on the server: as in a deployment without biometrics."""
    server = Server(some)
    (faces,) = follow(server, 47, details=())
    assert set(server.asked) == {"face_boxes"}
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
    assert server.asked == ["faces"]
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


def test_through_the_whole_pipeline(tmp_path, monkeypatch):
    """Three analyzers share what is asked once, and only one of them suffers from random weights."""
    clip = clips.write(tmp_path / "a.mp4", clips.pan(1, 75, height=HEIGHT, width=WIDTH))
    server = Server(lambda sample: [(40, 100, 140, 240), (200, 300, 330, 450)], untrained=(EXPRESSION,))
    judging = (age_estimation.ANALYZER, eye_tracking.ANALYZER, face_emotion.ANALYZER)
    profile = settings.profile("cpu")
    results = pipeline.analyze(clip, analyzers=judging, profile=profile, client=server)
    assert server.asked == ["faces"]
    assert {name: found.status for name, found in results.analyzers.items()} == dict.fromkeys(results.analyzers, "ok")
    assert [track.id for track in results.tracks.face] == ["face-1", "face-2"]
    warnings = {name: found.warnings for name, found in results.analyzers.items()}
    assert warnings == {
        "age_estimation": (),
        "eye_tracking": (),
        "face_emotion": ("untrained_model:face_expression",),
    }
    assert [model.name for model in results.analyzers["age_estimation"].models] == [DETECTOR, ATTRIBUTES]
    monkeypatch.setattr(check, "ANALYZERS", judging)
    assert check.check(to_json(results, judging)) == []


def test_a_pipeline_without_biometrics_asks_for_boxes(tmp_path):
    """What else reads faces, such as composition, gets them; the judging analyzers are skipped."""
    clip = clips.write(tmp_path / "a.mp4", clips.pan(1, 30, height=HEIGHT, width=WIDTH))
    counting = Analyzer(
        name="toy",
        version="1",
        title="counts faces",
        requires=(Faces,),
        data=type(None),
        summary=int,
        headline=str,
        analyze=lambda faces: Finding(segments=(), summary=len(faces.tracks())),
    )
    server = Server(lambda sample: [(40, 100, 140, 240)])
    profile = settings.profile("cpu", biometrics=False)
    analyzers = (counting, age_estimation.ANALYZER)
    results = pipeline.analyze(clip, analyzers=analyzers, profile=profile, client=server)
    assert set(server.asked) == {"face_boxes"}
    assert results.analyzers["toy"].summary == 1
    assert results.analyzers["age_estimation"].reason == "biometrics_off"
