"""Scenes: patterns of shots with injected embeddings, where like shots are about 0.9 alike and others 0.5."""

from __future__ import annotations

import copy
import time
from dataclasses import replace

import numpy as np
import pytest
from feeding import PROVENANCE, Memory, cut, embedded

import clips
from reelscope import check, pipeline, settings
from reelscope.analyzers import scene_segmentation
from reelscope.analyzers.scene_segmentation import SAME_SIMILARITY, WINDOW_SHOTS, boundary_scores
from reelscope.results import to_json
from reelscope.settings import labels

SIZE = 512
LABELS = {
    "int_ext/interior": 0.9,
    "int_ext/exterior": 0.1,
    "day_night/day": 0.55,
    "day_night/night": 0.45,
    "setting/kitchen": 0.7,
    "setting/street": 0.2,
    "setting/beach": 0.1,
}


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def picture(place, take):
    """A view of a place: about 0.5 alike to any other place, about 0.9 to another take of the same."""
    common = unit(np.random.default_rng(0).normal(size=SIZE))
    own = unit(np.random.default_rng(1 + ord(place)).normal(size=SIZE))
    chance = unit(np.random.default_rng([ord(place), take]).normal(size=SIZE))
    return unit(common + own + 0.45 * chance)


def shots_of(pattern, samples=2):
    """One second per letter, with this many samples: the shots, and the embeddings of each."""
    times = [k + sample / samples for k in range(len(pattern)) for sample in range(samples)]
    pictures = np.stack(
        [picture(place, 10 * k + sample) for k, place in enumerate(pattern) for sample in range(samples)]
    )
    return cut(*map(float, range(len(pattern) + 1))), times, pictures


def find(pattern, probabilities=None, **options):
    shots, times, pictures = shots_of(pattern)
    return scene_segmentation.analyze(shots, embedded(times, pictures, probabilities or LABELS, **options))


def runs(finding, pattern):
    """The pattern, cut into its scenes."""
    numbers = [[int(shot.removeprefix("shot-")) for shot in scene.data.shot_ids] for scene in finding.segments]
    assert [number for run in numbers for number in run] == list(range(1, len(pattern) + 1)), "a partition"
    return ["".join(pattern[number - 1] for number in run) for run in numbers]


def test_the_pictures_are_as_alike_as_those_of_the_model():
    same = [picture("A", 1) @ picture("A", 2), picture("B", 1) @ picture("B", 2)]
    other = [picture("A", 1) @ picture("B", 1), picture("C", 1) @ picture("D", 2)]
    assert same == pytest.approx([0.9, 0.9], abs=0.04)
    assert other == pytest.approx([0.45, 0.45], abs=0.1)


@pytest.mark.parametrize(
    ("pattern", "scenes"),
    [
        ("A", ["A"]),
        ("AA", ["AA"]),
        ("AB", ["A", "B"]),
        ("AABBA", ["AA", "BB", "A"]),
        ("ABABAB", ["ABABAB"]),
        ("AABBCC", ["AA", "BB", "CC"]),
        ("ABC", ["A", "B", "C"]),
        # What is cut in between two shots of one place belongs to it, be it of one place or of several.
        ("ABA", ["ABA"]),
        ("ABCA", ["ABCA"]),
        ("AABAA", ["AABAA"]),
        # An anchor: what nothing returns from begins another scene.
        ("ABACAD", ["ABACA", "D"]),
        # Three in turn; a reverse shot that was cut in two; parallel action.
        ("ABCABC", ["ABCABC"]),
        ("ABAAB", ["ABAAB"]),
        ("AABBAB", ["AABBAB"]),
        ("ABABCDCD", ["ABAB", "CDCD"]),
        # A scene of its own separates, however short the return; far away, it is not even linked.
        ("AABBAACC", ["AA", "BB", "AA", "CC"]),
        ("AAABBBBAAA", ["AAA", "BBBB", "AAA"]),
        ("ABCDEA", ["A", "B", "C", "D", "E", "A"]),
    ],
)
def test_patterns(pattern, scenes):
    finding = find(pattern)
    assert runs(finding, pattern) == scenes
    assert finding.summary.scene_count == len(scenes)
    assert finding.summary.scene_length_mean_seconds == pytest.approx(len(pattern) / len(scenes))


def test_spans_are_those_of_the_shots():
    finding = find("AABBA")
    assert [(scene.start_seconds, scene.end_seconds) for scene in finding.segments] == [(0, 2), (2, 4), (4, 5)]
    assert finding.segments[1].data.shot_ids == ("shot-3", "shot-4")
    assert [scene.id for scene in finding.segments] == [f"scene_segmentation:{k}" for k in (1, 2, 3)]


def test_boundary_scores():
    first, second, third = find("AABBA").segments
    assert first.data.boundary_score is None
    for scene in (second, third):
        assert scene.data.boundary_score == pytest.approx(0.5, abs=0.1)


def test_boundary_scores_are_one_minus_the_largest_cosine_within_reach():
    pictures = np.stack([picture(place, k) for k, place in enumerate("ABCA")])
    scores = boundary_scores(pictures)
    assert scores == pytest.approx([1 - pictures[0] @ pictures[3]] * 3)
    apart = np.stack([picture(place, k) for k, place in enumerate("A" + "BCDEFG"[:WINDOW_SHOTS] + "A")])
    assert (boundary_scores(apart) > 1 - SAME_SIMILARITY).all()
    opposed = np.stack([np.eye(SIZE)[0], -np.eye(SIZE)[0]])
    assert boundary_scores(opposed).tolist() == [1.0]


@pytest.mark.parametrize(
    ("pattern", "returns"),
    [
        ("AABBA", [None, None, 1]),
        ("AABBAACCBB", [None, None, 1, None, 2]),
        ("AABBCC", [None, None, None]),
        ("ABABAB", [None]),
    ],
)
def test_revisits(pattern, returns):
    finding = find(pattern)
    expected = [number and f"scene_segmentation:{number}" for number in returns]
    assert [scene.data.returns_to for scene in finding.segments] == expected
    assert finding.summary.revisit_count == sum(number is not None for number in returns)


def test_labels_of_a_scene():
    (scene,) = find("A").segments
    assert (scene.data.setting.label, scene.data.int_ext.label) == ("kitchen", "interior")
    assert scene.data.setting.probability == pytest.approx(0.7)
    assert scene.data.day_night is None, "not clear"


def test_labels_are_means_over_the_scene():
    kitchen = np.array([1.0, 1.0, 0.6, 0.2, 0.1, 0.1])
    probabilities = {**LABELS, "setting/kitchen": kitchen, "setting/street": 1 - kitchen, "setting/beach": 0.0}
    first, second = find("AAB", probabilities).segments
    assert first.data.setting.label == "kitchen"
    assert first.data.setting.probability == pytest.approx((1.0 + 1.0 + 0.6 + 0.2) / 4)
    assert second.data.setting.label == "street"
    assert second.data.setting.probability == pytest.approx(0.9)


@pytest.mark.parametrize(
    ("seen", "scenes"),
    [("A.AB", ["A.A", "B"]), ("AAB.", ["AA", "B."]), ("..AB", ["..A", "B"]), ("AB.BA", ["A", "B.B", "A"])],
)
def test_a_shot_without_a_sample_joins_the_scene_before(seen, scenes):
    shots, times, pictures = shots_of(seen)
    rows = [row for row, moment in enumerate(times) if seen[int(moment)] != "."]
    sparse = embedded(np.array(times)[rows], pictures[rows], LABELS)
    assert runs(scene_segmentation.analyze(shots, sparse), seen) == scenes


def test_random_weights_claim_nothing():
    finding = find("AABBA", trained=False)
    assert finding.segments == ()
    assert finding.summary.scene_count is None
    assert finding.summary.scene_length_mean_seconds is None
    assert finding.summary.revisit_count is None
    assert scene_segmentation.headline(finding.summary) == "random weights: nothing is claimed"


def test_no_sample_at_all():
    finding = scene_segmentation.analyze(cut(0.0, 1.0), embedded([], np.empty((0, SIZE)), LABELS))
    assert finding.segments == ()
    assert finding.summary.scene_count is None


def test_one_frame():
    finding = scene_segmentation.analyze(cut(0.0, 1 / 30), embedded([0.0], picture("A", 0)[None], LABELS))
    assert [scene.data.shot_ids for scene in finding.segments] == [("shot-1",)]
    assert finding.summary.revisit_count == 0


def test_many_shots():
    places = "".join(chr(ord("A") + k // 3 % 20) for k in range(300))
    began = time.process_time()
    finding = find(places)
    assert time.process_time() - began < 5
    assert finding.summary.scene_count == 100
    assert finding.summary.revisit_count == 80


def test_the_served_model_has_the_labels():
    groups = {label.split("/")[0] for label in labels("embedding_clip")}
    assert {"setting", "int_ext", "day_night"} <= groups


TINTS = {"A": (1.0, 0.3, 0.3), "B": (0.3, 0.4, 1.0), "C": (0.3, 1.0, 0.4)}


class Model:
    """Answers for the server by the tint of the frames that it is sent."""

    def __init__(self, trained=True):
        self.trained, self.labels = trained, labels("embedding_clip")

    def allocate(self, height, width, rows):
        return Memory(height, width, rows)

    def release_windows(self):
        pass

    def submit(self, model, buffer, rows, outputs, timeout_seconds, inputs):
        means = unit(buffer.array[:rows].reshape(rows, -1, 3).mean(1))
        embedding = np.zeros((rows, SIZE), np.float32)
        embedding[np.arange(rows), (means @ unit(np.array(list(TINTS.values()))).T).argmax(1)] = 1
        probabilities = np.full((rows, len(self.labels)), 0.02, np.float32)
        for label in (*LABELS, "quality/good", "sharpness/sharp"):
            probabilities[:, self.labels.index(label)] = 0.9
        self.answer = {"embedding": embedding, "label_probabilities": probabilities}
        self.answer["embedding_clip_provenance"] = np.full((rows, 1), b"{}", object)
        return self

    def result(self):
        return dict(self.answer)

    def provenance(self, text, model, ensemble):
        return replace(PROVENANCE, trained=self.trained)


def analyzed(folder, pattern, trained=True):
    """Results of a clip with a shot of 0.8 s per letter."""
    frames = []
    for k, place in enumerate(pattern):
        shade = clips.texture(k, 320, 180)[..., :1].astype(float)
        frames += [np.clip(shade * (2 if k % 2 else 0.7) * TINTS[place], 0, 255).astype(np.uint8)] * 24
    path = clips.write(folder / "clip.mp4", frames)
    analyzers = pipeline.select(["content_quality", "cut_analysis", "scene_segmentation"])
    found = pipeline.analyze(path, analyzers=analyzers, profile=settings.profile("cpu"), client=Model(trained))
    return to_json(found, analyzers)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return analyzed(tmp_path_factory.mktemp("clips"), "AABBA")


@pytest.fixture
def values(results):
    return copy.deepcopy(results)


def test_from_the_file_to_the_results(results):
    scenes = results["analyzers"]["scene_segmentation"]
    assert (scenes["status"], scenes["inputs"]["sampling"]) == ("ok", "FULL")
    assert [scene["data"]["shot_ids"] for scene in scenes["segments"]] == [
        ["shot-1", "shot-2"],
        ["shot-3", "shot-4"],
        ["shot-5"],
    ]
    assert scenes["summary"] == {"n_scenes": 3, "mean_scene_s": 1.333, "revisits": 1}
    assert scenes["segments"][2]["data"]["returns_to"] == scenes["segments"][0]["id"]
    quality = results["analyzers"]["content_quality"]
    assert quality["status"] == "ok"
    assert quality["inputs"]["depends_on"] == ["frame_quality", "shots", "frame_embeddings"]
    assert quality["summary"]["clip_iqa"]["good"] == pytest.approx(0.9, abs=1e-5)
    assert {"lap_var", "noise_sigma", "blockiness", "clip_hi_pct", "clip_lo_pct", "rms_contrast"} <= set(
        quality["segments"][0]["data"]
    )
    assert quality["summary"]["worst_segment"] in [segment["id"] for segment in quality["segments"]]
    assert check.check(results) == []


def test_random_weights_claim_nothing_in_the_results(tmp_path):
    results = analyzed(tmp_path, "AB", trained=False)
    scenes, quality = (results["analyzers"][name] for name in ("scene_segmentation", "content_quality"))
    assert (scenes["status"], scenes["segments"]) == ("ok", [])
    assert scenes["summary"] == {"n_scenes": None, "mean_scene_s": None, "revisits": None}
    assert scenes["warnings"] == ["untrained_model:embedding_clip"]
    assert quality["summary"]["clip_iqa"] is None
    assert quality["inputs"]["missing_inputs"] == ["frame_embeddings"]
    assert check.check(results) == []
    scenes["summary"]["n_scenes"] = 1
    assert [violation.where for violation in check.check(results)] == ["scene_segmentation.summary"]


SCENES = ("analyzers", "scene_segmentation")
QUALITY = ("analyzers", "content_quality")


@pytest.mark.parametrize(
    ("invariant", "path", "value"),
    [
        ("I3", (*SCENES, "segments", 1, "data", "boundary_score"), 1.5),
        ("I3", (*SCENES, "segments", 0, "data", "setting"), {"label": "kitchen", "probability": -0.1}),
        ("I3", (*QUALITY, "segments", 0, "data", "clip_iqa", "sharp"), 2.0),
        ("I3", (*QUALITY, "summary", "overall"), 101.0),
        ("I6", (*SCENES, "segments", 2, "data", "returns_to"), "scene_segmentation:9"),
        ("I6", (*SCENES, "segments", 2, "data", "shot_ids"), ["shot-9"]),
        ("I6", (*QUALITY, "summary", "worst_segment"), "content_quality:9"),
        ("I9", (*SCENES, "segments", 0, "data", "shot_ids"), ["shot-1"]),
        ("I9", (*SCENES, "segments", 0, "data", "shot_ids"), []),
        ("I9", (*SCENES, "segments", 0, "end"), 1.5),
        ("I9", (*QUALITY, "segments", 0, "end"), 0.3),
    ],
)
def test_every_check_can_fail(values, invariant, path, value):
    *parents, last = path
    place = values
    for key in parents:
        place = place[key]
    place[last] = value
    assert invariant in {violation.invariant for violation in check.check(values)}


def test_scenes_of_an_untrained_model_are_found(values):
    values["analyzers"]["scene_segmentation"]["models"][0]["trained"] = False
    assert {violation.where for violation in check.check(values)} >= {"scene_segmentation.segments"}
