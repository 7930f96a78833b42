"""Served faces against InsightFace's own pipeline and HSEmotion, on the same weights and frames."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from rich.table import Table

from reelscope import settings
from reelscope.embedded import deployment
from reelscope.errors import InferenceError
from reelscope.signals.people import EXPRESSIONS
from reelscope_export import face_expression, paths, photographs, weights
from reelscope_export.face_attributes import ages_differing

NETWORKS = ("face_detection_scrfd", "face_attributes", "face_landmarks", "face_expression")
ROWS = ("frame_index", "face_boxes", "face_scores", "face_keypoints")
DETAILS = ("age_years", "is_male", "landmarks", "expression", "valence", "arousal")
PROVENANCE = tuple(f"{network}_provenance" for network in NETWORKS)
CROPS = ("crops_96", "crops_192", "crops_224", "crop_transforms")

MAX_BOX_ERROR_PX = 0.01
MAX_LANDMARK_ERROR_PX = 0.05
MIN_CROP_SHARE = 0.98
"""Of pixels within one grey level."""
MAX_PROBABILITY_ERROR = 1e-4
MIN_FACES = 20
MAX_AGE_ERROR_YEARS = 0.02
"""Beyond InsightFace's rounding: one grey level in a crop takes an age near a half to its other side."""
HSEMOTION_ORDER = ("anger", "contempt", "disgust", "fear", "happy", "neutral", "sad", "surprise")
"""HSEmotion's order of EXPRESSIONS: alphabetical by its own names."""


@pytest.fixture(scope="module")
def ask(client):
    def answer(frames, outputs=(*ROWS, *DETAILS, *PROVENANCE), model="faces"):
        return client.ask(model, {"frames": np.ascontiguousarray(frames)}, outputs, 120).result()

    return answer


@pytest.fixture(scope="module")
def pack(ask, tmp_path_factory) -> Path:
    """A folder with the networks that answer, under InsightFace's own names; found by the hashes they report."""
    answer = ask(np.zeros((1, 64, 64, 3), np.uint8), PROVENANCE)
    folder = tmp_path_factory.mktemp("pack")
    for output in PROVENANCE:
        said = json.loads(answer[output].flat[0])
        assert said["trained"] is False
        candidates = paths.weights_folder().rglob(f"{said['name']}.onnx")
        file = next(each for each in candidates if weights.file_sha256(each) == said["sha256"])
        (folder / file.name).symlink_to(file)
    (folder / "enet_b0_8_va_mtl.onnx").rename(folder.with_name("enet_b0_8_va_mtl.onnx"))
    return folder


@pytest.fixture(scope="module")
def analysis(pack):
    from insightface.app import FaceAnalysis

    app = FaceAnalysis(str(pack), providers=["CPUExecutionProvider"])
    app.prepare(ctx_id=-1, det_size=(640, 640))
    return app


@pytest.fixture(scope="module")
def frames():
    """Of one size: a photograph, the same upside down, nothing at all, and the photograph again."""
    frame = photographs.read()["zidane.jpg"]
    return np.stack([frame, frame[::-1], np.zeros_like(frame), frame])


def upstream_crops(frame, face) -> dict[str, np.ndarray]:
    """Insightface's own crops of its own face, from a BGR frame; RGB."""
    from insightface.utils import face_align

    left, top, right, bottom = face.bbox
    found = {}
    for side in (96, 192):
        scale = side / (max(right - left, bottom - top) * 1.5)
        found[f"crops_{side}"] = face_align.transform(frame, ((left + right) / 2, (top + bottom) / 2), side, scale, 0)[
            0
        ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        found["crops_224"] = face_align.norm_crop(frame, face.kps, 224)
    return {name: crop[..., ::-1] for name, crop in found.items()}


def test_faces_equal_insightface(ask, analysis, capsys):
    columns = ("photograph", "faces", "box px", "keypoint px", "ages differing", "genders differing", "landmark px")
    table = Table(*columns, title="served by Triton vs insightface.app.FaceAnalysis")
    measured = []
    for name, frame in photographs.read().items():
        height, width = frame.shape[:2]
        expected = analysis.get(np.ascontiguousarray(frame[..., ::-1]))
        answer = ask(frame[None])
        assert len(expected) == len(answer["face_scores"])
        size = np.array((width, height))
        boxes = np.abs(answer["face_boxes"] * [*size, *size] - [face.bbox for face in expected]).max()
        keypoints = np.abs(answer["face_keypoints"] * size - [face.kps for face in expected]).max()
        ages = ages_differing(answer["age_years"], np.array([face.age for face in expected]), MAX_AGE_ERROR_YEARS)
        genders = answer["is_male"] != [face.gender for face in expected]
        landmarks = np.abs(answer["landmarks"] * size - [face.landmark_2d_106 for face in expected]).max()
        np.testing.assert_allclose(answer["face_scores"], [face.det_score for face in expected], atol=1e-4)
        table.add_row(
            name,
            str(len(expected)),
            f"{boxes:.5f}",
            f"{keypoints:.5f}",
            str(ages),
            str(int(genders.sum())),
            f"{landmarks:.4f}",
        )
        measured.append((len(expected), boxes, keypoints, ages, genders.sum(), landmarks))
    with capsys.disabled():
        Console(width=120).print("\n", table)
    for count, boxes, keypoints, ages, genders, landmarks in measured:
        assert count >= MIN_FACES
        assert boxes <= MAX_BOX_ERROR_PX
        assert keypoints <= MAX_BOX_ERROR_PX
        assert ages == genders == 0
        assert landmarks <= MAX_LANDMARK_ERROR_PX


def test_crops_and_expressions_equal_their_libraries(client, ask, analysis, pack, capsys):
    """Faces at the border are among them: their crops reach beyond the frame."""
    frame = photographs.read()["zidane.jpg"]
    recognizer = face_expression.load(pack.with_name("enet_b0_8_va_mtl.onnx"))
    answer = ask(frame[None])
    found = ask(frame[None], ("boxes_xyxy", "keypoints", "scores", "count"), "face_boxes")
    crops = client.ask("face_crops", {"frames": frame[None], **found}, CROPS, 60).result()
    worst_share, worst_probability, worst_feeling, border_count = 1.0, 0.0, 0.0, 0
    for row, face in enumerate(analysis.get(np.ascontiguousarray(frame[..., ::-1]))):
        expected = upstream_crops(np.ascontiguousarray(frame[..., ::-1]), face)
        for name, crop in expected.items():
            share = (np.abs(crops[name][row].astype(int) - crop.astype(int)) <= 1).mean()
            worst_share = min(worst_share, float(share))
        is_black = (expected["crops_192"] == 0).all(axis=2)
        border_count += bool(is_black[[0, -1]].all(axis=1).any() or is_black[:, [0, -1]].all(axis=0).any())
        _, said = recognizer.predict_emotions(crops["crops_224"][row], logits=False)
        probabilities = said[[HSEMOTION_ORDER.index(name) for name in EXPRESSIONS]]
        worst_probability = max(worst_probability, float(np.abs(answer["expression"][row] - probabilities).max()))
        felt = np.array([answer["valence"][row], answer["arousal"][row]])
        worst_feeling = max(worst_feeling, float(np.abs(felt - said[8:]).max()))
    table = Table(
        "crops, worst share within 1 level",
        "worst probability",
        "worst valence, arousal",
        title="served by Triton vs insightface's crops, vs hsemotion-onnx",
    )
    table.add_row(f"{worst_share:.4f}", f"{worst_probability:.1e}", f"{worst_feeling:.1e}")
    with capsys.disabled():
        Console(width=120).print("\n", table)
    assert border_count >= 3
    assert worst_share >= MIN_CROP_SHARE
    assert worst_probability <= MAX_PROBABILITY_ERROR
    assert worst_feeling <= MAX_PROBABILITY_ERROR


def test_frames_without_faces_have_no_rows(ask, frames):
    answer = ask(frames[2:3])
    assert {name: len(answer[name]) for name in (*ROWS, *DETAILS)} == dict.fromkeys((*ROWS, *DETAILS), 0)
    assert json.loads(answer["face_detection_scrfd_provenance"][0, 0])["name"] == "det_500m"


def test_frames_together_equal_frames_alone(ask, frames):
    together = ask(frames)
    alone = [ask(frame[None]) for frame in frames]
    counts = [len(answer["face_scores"]) for answer in alone]
    assert counts[0] == counts[3] >= MIN_FACES
    assert counts[2] == 0
    assert together["frame_index"].tolist() == np.repeat(np.arange(4), counts).tolist()
    for name in (*ROWS[1:], *DETAILS):
        np.testing.assert_allclose(
            together[name], np.concatenate([each[name] for each in alone]), atol=1e-4, err_msg=name
        )


def test_boxes_alone_are_those_of_faces(ask, frames):
    boxes = ask(frames, ("boxes_xyxy", "scores", "keypoints", "count", "face_detection_scrfd_provenance"), "face_boxes")
    faces = ask(frames)
    is_face = np.arange(128) < boxes["count"]
    np.testing.assert_array_equal(boxes["boxes_xyxy"][is_face], faces["face_boxes"])
    np.testing.assert_array_equal(boxes["scores"][is_face], faces["face_scores"])
    np.testing.assert_array_equal(boxes["keypoints"][is_face], faces["face_keypoints"])
    assert len(boxes["face_detection_scrfd_provenance"]) == 4


@pytest.mark.parametrize("count", [0, 1, 60, pytest.param(1200, marks=pytest.mark.slow)])
def test_any_number_of_faces_of_a_frame(client, ask, frames, count):
    """The detector's faces over and over, as many as are wanted, through the models that follow it."""
    found = ask(frames[:1], ("boxes_xyxy", "keypoints", "scores"), "face_boxes")
    many = int(ask(frames[:1], ("count",), "face_boxes")["count"][0, 0])
    rows = np.arange(count) % many
    repeats = -(-count // 100) or 1
    padded = {name: np.zeros((repeats, *array.shape[1:]), np.float32) for name, array in found.items()}
    counts = np.array([[len(part)] for part in np.array_split(rows, repeats)], np.int32)
    for repeat, part in enumerate(np.array_split(rows, repeats)):
        for name, array in found.items():
            padded[name][repeat, : len(part)] = array[0, part]
    inputs = {"frames": np.repeat(frames[:1], repeats, axis=0), "count": counts, **padded}
    crops = client.ask("face_crops", inputs, ("frame_index", *CROPS), 120).result()
    assert crops["frame_index"].tolist() == np.repeat(np.arange(repeats), counts[:, 0]).tolist()
    once = ask(frames[:1])
    expected = {"crops_96": "age_years", "crops_192": "landmarks"} | (
        {"crops_224": "expression"} if count < 100 else {}
    )
    asked = {"crops_96": ("face_attributes", "age_years"), "crops_192": ("face_landmarks", "points")}
    asked["crops_224"] = ("face_expression", "probabilities")
    for name, output in expected.items():
        model, own = asked[name]
        inputs = {name: crops[name]} | (
            {"crop_transforms": crops["crop_transforms"]} if model == "face_landmarks" else {}
        )
        answer = client.ask(model, inputs, (own,), 120).result()[own]
        np.testing.assert_allclose(answer, once[output][rows], atol=1e-3, err_msg=model)


def test_more_frames_than_a_window_holds_are_refused(ask):
    with pytest.raises(InferenceError):
        ask(np.zeros((33, 8, 8, 3), np.uint8))


def test_without_biometrics_no_face_is_cropped(environment):
    """The detector and its ensemble stay; the models that judge faces, and the one that cuts them out, do not."""
    profile = settings.profile("cpu", biometrics=False)
    names = {each.name for each in deployment.plan(profile, profile.models, deployment.default_repositories())}
    assert {"face_detection_scrfd", "face_boxes"} <= names
    assert names.isdisjoint({"faces", "face_crops", "face_attributes", "face_landmarks", "face_expression"})
