"""examples/, run as their first lines say, against the shared server."""

from __future__ import annotations

import ast
import json
import re
import runpy
import subprocess
import sys
import wave
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

import speech
import text_pages
from places import CHECKOUT, DEMO
from reelscope import settings
from reelscope.embedded import EmbeddedServer

EXAMPLES = CHECKOUT / "examples"
OF_SOUND = ("speech", "speech_activity", "speech_emotions", "sounds")
SENTENCE = "coffee makes mornings better"


@pytest.fixture(scope="module")
def picture(tmp_path_factory) -> Path:
    """A page that says Hello world, and more."""
    file = tmp_path_factory.mktemp("picture") / "page.png"
    cv2.imwrite(str(file), text_pages.pages()["latin"][:, :, ::-1])
    return file


@pytest.fixture(scope="module")
def sound(tmp_path_factory) -> Path:
    """A second of silence, a spoken sentence, a second of silence."""
    waveform = speech.joined([speech.say(SENTENCE)], [], around_seconds=1.0).waveform
    file = tmp_path_factory.mktemp("sound") / "speech.wav"
    with wave.open(str(file), "wb") as stream:
        stream.setparams((1, 2, speech.RATE, 0, "NONE", ""))
        stream.writeframes((waveform * 32767).astype("<i2").tobytes())
    return file


@pytest.fixture
def example(server, monkeypatch, capsys) -> Callable[..., str]:
    """Run an example in this process, as `python examples/NAME.py FILE URL` does; returns what it prints."""

    def run(name: str, file: Path) -> str:
        script = EXAMPLES / f"{name}.py"
        monkeypatch.setattr(sys, "argv", [str(script), str(file), server.grpc_url])
        runpy.run_path(str(script), run_name="__main__")
        return capsys.readouterr().out

    return run


def asked(client, ensemble: str, picture: Path, *outputs: str) -> list[np.ndarray]:
    """What our own client is told about the same picture."""
    frames = np.ascontiguousarray(cv2.imread(str(picture))[None, :, :, ::-1])
    answer = client.ask(ensemble, {"frames": frames}, outputs, 60).result()
    return [answer[name] for name in outputs]


def test_every_ensemble_has_an_example():
    ensembles = {folder.parent.name for folder in (CHECKOUT / "ensembles").glob("*/config.pbtxt")}
    assert {file.stem for file in EXAMPLES.glob("*.py")} == {*ensembles, "raw_grpc"}
    page = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert all(f"({file.name})" in page for suffix in ("py", "sh") for file in EXAMPLES.glob(f"*.{suffix}"))


@pytest.mark.parametrize("file", sorted(EXAMPLES.glob("*.py")), ids=lambda file: file.stem)
def test_they_need_no_reelscope(file):
    """Tritonclient alone, and what reads pictures; short enough to be copied."""
    text = file.read_text(encoding="utf-8")
    names = {
        name
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names])
    }
    roots = {name.split(".")[0] for name in names} - sys.stdlib_module_names
    assert roots <= {"cv2", "grpc", "numpy", "tritonclient"}
    assert len(text.splitlines()) <= 31


def test_detections(example, client, picture):
    count, scores = asked(client, "detections", picture, "count", "scores")
    *found, last = example("detections", picture).splitlines()
    assert [float(re.search(r" (\d\.\d\d) at ", line)[1]) for line in found] == [
        float(f"{score:.2f}") for score in scores[0, : count[0, 0]]
    ]
    assert json.loads(last.split("found by ")[1])["name"] == "yolov8n"


def test_raw_grpc(example, client, picture):
    count, class_ids = asked(client, "detections", picture, "count", "class_ids")
    *found, last = example("raw_grpc", picture).splitlines()
    assert [int(line.split()[1]) for line in found] == class_ids[0, : count[0, 0]].tolist()
    assert last == f"{count[0, 0]} objects"


@pytest.mark.parametrize(("name", "noun"), [("poses", "people"), ("face_boxes", "faces")])
def test_people(example, client, picture, name, noun):
    (count,) = asked(client, name, picture, "count")
    lines = example(name, picture).splitlines()
    assert lines[-1] == f"{count[0, 0]} {noun}"
    assert len(lines) == count[0, 0] + 1


def test_faces(example, client, picture):
    (ages,) = asked(client, "faces", picture, "age_years")
    *found, last = example("faces", picture).splitlines()
    assert [line.split(" of about ")[1].split(",")[0] for line in found] == [f"{age:.0f}" for age in ages]
    assert last == f"{len(ages)} faces"


def test_scene_labels(example, client, picture):
    (areas,) = asked(client, "scene_labels", picture, "areas")
    largest, *_, middle = example("scene_labels", picture).splitlines()
    assert largest == f"{settings.labels('segmentation_segformer')[areas[0].argmax()]} {areas[0].max():.1%}"
    assert middle.removeprefix("in the middle: ") in settings.labels("segmentation_segformer")


def test_embeddings(example, client, picture):
    (embedding,) = asked(client, "embeddings", picture, "embedding")
    *groups, last = example("embeddings", picture).splitlines()
    labels = settings.labels("embedding_clip")
    assert [line.split(":")[0] for line in groups] == list(dict.fromkeys(label.split("/")[0] for label in labels))
    assert last.startswith(f"embedding, unit length: {embedding[0, :4].round(3)}")


def test_crop_embeddings(example, picture):
    left, right, last = example("crop_embeddings", picture).splitlines()
    assert {left.split(": ")[1], right.split(": ")[1]} <= set(settings.labels("embedding_clip"))
    assert -1 <= float(last.split(": ")[1]) <= 1


def test_text_regions(example, picture):
    """PP-OCR is trained on every machine."""
    printed = example("text_regions", picture)
    assert "Hello world " in printed
    assert "over 13 lazy dogs " in printed
    assert printed.endswith("5 lines\n")


def test_speech_activity(example, sound):
    """So is Silero."""
    first, *_, last = example("speech_activity", sound).splitlines()
    assert float(first.split("-")[0]) == pytest.approx(1.0, abs=0.15)
    assert 0.3 < int(re.search(r"(\d+)%", last)[1]) / 100 < 0.8


def test_speech(example, sound):
    *words, last = example("speech", sound).splitlines()
    assert all(re.match(r"\d+\.\d\d-\d+\.\d\d s: \S", word) for word in words)
    assert re.fullmatch(rf"{len(words)} words, language [a-z]+", last)


def test_speech_emotions(example, sound):
    lines = example("speech_emotions", sound).splitlines()
    assert [line.split()[0] for line in lines] == ["arousal", "dominance", "valence"]
    assert all(0 <= float(line.split()[1]) <= 1 for line in lines)


def test_sounds(example, sound):
    lines = [line.rsplit(" ", 1) for line in example("sounds", sound).splitlines()]
    assert len(lines) == 5
    assert {name for name, _ in lines} <= set(settings.labels("sound_events_ast"))
    assert [float(number) for _, number in lines] == sorted((float(number) for _, number in lines), reverse=True)


@pytest.mark.parametrize("name", OF_SOUND)
def test_another_sample_rate_is_refused(example, tmp_path, name):
    file = tmp_path / "fast.wav"
    with wave.open(str(file), "wb") as stream:
        stream.setparams((1, 2, 44_100, 0, "NONE", ""))
        stream.writeframes(bytes(2))
    with pytest.raises(SystemExit, match="not 16 kHz"):
        example(name, file)


def test_understanding(example):
    assert isinstance(json.loads(example("understanding", DEMO)), dict)


def test_curl(environment, client, picture, tmp_path):
    """A second server, of one model: the shared one has HTTP off, as servers have."""
    profile = settings.profile("cpu")
    with EmbeddedServer(profile, models=["object_yolov8"], http=True) as with_http:
        done = subprocess.run(
            [EXAMPLES / "http.sh", picture, with_http.http_url],
            capture_output=True,
            text=True,
            check=False,
            env={"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"},
        )
    assert done.returncode == 0, done.stdout + done.stderr
    found = {output["name"]: output["data"] for output in json.loads(done.stdout)["outputs"]}
    count, class_ids = asked(client, "detections", picture, "count", "class_ids")
    assert found["count"] == [count[0, 0]]
    assert found["class_ids"] == class_ids[0].tolist()
