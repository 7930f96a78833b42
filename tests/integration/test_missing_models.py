"""Models that are not there: each names itself, the others go on."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def damaged(built_repository, tmp_path_factory) -> Path:
    """The built repository, with one graph gone and one cut in half."""
    copy = tmp_path_factory.mktemp("damaged") / "model_repository"
    shutil.copytree(built_repository, copy, copy_function=os.link)
    (copy / "pose_yolov8" / "1" / "cpu.onnx").unlink()
    graph = copy / "segmentation_segformer" / "1" / "cpu.onnx"
    half = graph.read_bytes()[: graph.stat().st_size // 2]
    graph.unlink()  # it is a link: writing would go through to the original
    graph.write_bytes(half)
    return copy


def test_each_names_itself_and_the_others_go_on(cli, environment, damaged, tmp_path):
    names = "body_pose,background_segmentation,object_detection,cut_analysis"
    done = cli("analyze", clip(tmp_path), "-o", tmp_path, "--only", names, REELSCOPE_REPOSITORY=str(damaged))
    assert done.returncode == 3, done.stdout + done.stderr
    said = " ".join(done.stderr.split())
    assert "pose_yolov8 is not served: pose_yolov8: 1/cpu.onnx is not built" in said
    assert "reelscope-export pose_yolov8 --profile cpu" in said
    assert "poses is not served: poses needs pose_yolov8" in said
    assert "segmentation_segformer: 1/cpu.onnx cannot be opened" in said
    assert "reelscope-export segmentation_segformer --profile" in said
    found = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))["analyzers"]
    for name, ensemble in (("body_pose", "poses"), ("background_segmentation", "scene_labels")):
        assert (found[name]["status"], found[name]["reason"]) == ("failed", "model_unavailable")
        assert ensemble in found[name]["message"]
    assert found["object_detection"]["status"] == found["cut_analysis"]["status"] == "ok"


def clip(folder: Path) -> Path:
    import clips

    return clips.write(folder / "clip.mp4", clips.pan(1, 30))


def test_the_doctor_names_them(cli, environment, damaged):
    done = cli("doctor", REELSCOPE_REPOSITORY=str(damaged))
    assert done.returncode == 1
    said = " ".join(done.stdout.split())
    assert "pose_yolov8" in said
    assert "1/cpu.onnx is not built" in said
    assert "damaged" in said
