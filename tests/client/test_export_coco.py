"""COCO JSON is read back by COCO's own tools: boxes, keypoints and masks, each at its frame."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from envelope import written
from exporting import SECONDS, SKIPPED, detected, export, file
from feeding import PROVENANCE
from label_maps import LABELS, WHOLE, areas, room
from pycocotools import mask as coco
from pycocotools.coco import COCO
from skeletons import poses, skeleton, tracks

from reelscope.analyzers import background_segmentation, body_pose, object_detection
from reelscope.analyzers.coco_masks import CocoMask, decoded
from reelscope.errors import UsageError
from reelscope.signals import KEYPOINTS, SceneLabels
from reelscope.sources.scene_labels import run_lengths


def read_coco(values, tmp_path):
    document = export(values, "coco")["coco.json"]
    path = tmp_path / "coco.json"
    path.write_text(document.text, "utf-8")
    read = COCO(str(path))
    assert len(read.anns) == document.count
    for annotation in read.anns.values():
        x, y, width, height = annotation["bbox"]
        image = read.imgs[annotation["image_id"]]
        assert min(x, y, width, height) >= 0
        assert x + width <= image["width"] + 0.01
        assert y + height <= image["height"] + 0.01
        assert annotation["category_id"] in read.cats
    return read


def posed():
    person = skeleton(hips=(0.5, 0.9))
    person[0, 2] = 0.3
    unseen = np.array([*person[:, :2].T, np.full(17, 0.1)]).T
    signal = poses([[person], [], [person], [unseen]])
    return written(body_pose.ANALYZER, body_pose.analyze(signal, None, None), signal, SECONDS)["analyzers"], person


def masked(label_maps):
    signal = SceneLabels(
        sampling="F2.5",
        sampling_fps=2.5,
        sample_count=len(label_maps),
        models=(replace(PROVENANCE, name="segmentation_segformer", ensemble="scene_labels"),),
        times_seconds=np.arange(len(label_maps)) / 2.5,
        labels=LABELS,
        areas=np.array([areas(label_map) for label_map in label_maps], np.float32),
        map_height=128,
        map_width=128,
        picture_rows=WHOLE,
        picture_columns=WHOLE,
        runs=tuple(map(run_lengths, label_maps)),
        laplacian_energy=np.full((len(label_maps), 2), np.nan),
        duration_seconds=len(label_maps) / 2.5,
    )
    finding = background_segmentation.analyze(signal, None)
    return written(background_segmentation.ANALYZER, finding, signal, SECONDS)["analyzers"]


def test_boxes_are_read_back(tmp_path):
    read = read_coco(file(detected()), tmp_path)
    assert {category["name"] for category in read.cats.values()} == {"person", "cup"}
    assert [(image["time_s"], image["frame_number"]) for image in read.imgs.values()] == [(0.0, 0), (0.2, 6), (0.3, 9)]
    cups = read.getCatIds(catNms=["cup"])
    found = read.loadAnns(read.getAnnIds(catIds=cups))
    assert [annotation["bbox"] for annotation in found] == [[0, 640, 720, 640], [180, 640, 180, 640]]
    assert [read.imgs[annotation["image_id"]]["time_s"] for annotation in found] == [0.2, 0.3]
    for annotation in read.anns.values():
        assert annotation["attributes"]["track_id"] in ("object-1", "object-4")
        assert annotation["attributes"]["trained"] is True
        assert annotation["score"] == pytest.approx(0.9)


def test_keypoints_are_read_back(tmp_path):
    found, person = posed()
    read = read_coco(file(found), tmp_path)
    (category,) = read.cats.values()
    assert category["name"] == "person"
    assert tuple(category["keypoints"]) == KEYPOINTS
    assert len(category["skeleton"]) == 19
    assert {joint for limb in category["skeleton"] for joint in limb} == set(range(1, 18))
    assert [read.imgs[annotation["image_id"]]["time_s"] for annotation in read.anns.values()] == [0.0, 0.2, 0.3]
    for annotation in read.anns.values():
        keypoints = np.array(annotation["keypoints"]).reshape(17, 3)
        assert annotation["num_keypoints"] == (keypoints[:, 2] == 2).sum()
        assert not keypoints[keypoints[:, 2] == 0].any()
    first = np.array(read.anns[1]["keypoints"]).reshape(17, 3)
    assert first[0].tolist() == [0, 0, 0], "the nose is not seen"
    assert first[1:, :2] == pytest.approx(person[1:, :2] * (720, 1280), abs=0.2)
    assert read.anns[3]["num_keypoints"] == 0


def test_masks_are_read_back(tmp_path):
    people = [room(0.0), room(0.25), room(0.5, center=(70, 40))]
    read = read_coco(file(masked(people)), tmp_path)
    assert [read.imgs[annotation["image_id"]]["time_s"] for annotation in read.anns.values()] == [0.4, 0.8]
    rows, columns = np.arange(1280) * 128 // 1280, np.arange(720) * 128 // 720
    for annotation, label_map in zip(read.anns.values(), people[1:], strict=True):
        truth = (label_map == LABELS.index("person"))[np.ix_(rows, columns)]
        mask = read.annToMask(annotation).astype(bool)
        assert (mask == truth).all()
        assert annotation["area"] == truth.sum()
        y, x = np.nonzero(truth)
        assert annotation["bbox"] == [x.min(), y.min(), x.max() + 1 - x.min(), y.max() + 1 - y.min()]
        assert "score" not in annotation, "the label's share of the background says nothing of the mask"


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (33, 64)])
@pytest.mark.parametrize("share", [0.0, 0.03, 0.5, 1.0])
def test_masks_are_decoded_as_coco_decodes_them(size, share):
    truth = np.random.default_rng(1).random(size) < share
    text = coco.encode(np.asfortranarray(truth.astype(np.uint8)))["counts"].decode()
    assert (decoded(CocoMask(size=size, counts=text)) == truth).all()


def test_random_weights_say_so_in_coco(tmp_path):
    read = read_coco(file(detected(trained=False)), tmp_path)
    assert read.dataset["info"]["reelscope"]["object_detection"]["untrained_models"] == ["object_yolov8"]
    assert not any(annotation["attributes"]["trained"] for annotation in read.anns.values())


def test_a_variable_rate_does_not_tell_the_frame(tmp_path):
    read = read_coco(file(detected(), vfr=True), tmp_path)
    assert {image["frame_number"] for image in read.imgs.values()} == {None}


def test_ntsc_frames_are_those_that_were_sampled(tmp_path):
    values = file(detected(), fps_avg=29.97003)
    for each in values["analyzers"]["object_detection"]["segments"]:
        each["data"]["boxes"] = {"t": [round(25 * 1001 / 30000, 3)], "xyxy": [[0.0, 0.0, 0.5, 0.5]]}
    assert [image["frame_number"] for image in read_coco(values, tmp_path).imgs.values()] == [25]


def test_nothing_found_is_an_empty_data_set(tmp_path):
    signal = tracks([{}, {}])
    values = written(object_detection.ANALYZER, object_detection.analyze(signal), signal, SECONDS)
    read = read_coco(values, tmp_path)
    assert (len(read.imgs), len(read.cats), len(read.anns)) == (0, 0, 0)


def test_what_was_not_asked_for_is_no_empty_data_set():
    with pytest.raises(UsageError, match=r"not asked for object_detection.*body_pose skipped, the clip has no sound"):
        export(file({"body_pose": SKIPPED}), "coco")
