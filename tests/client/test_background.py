"""Background segmentation on injected label maps: areas, masks, changes, clutter and bokeh."""

from __future__ import annotations

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
from envelope import violations, written
from feeding import PROVENANCE
from label_maps import GRASS, LABELS, PERSON, SKY, TREE, WALL, WHOLE, areas, park, room
from skeletons import tracks

from masks import decoded, iou
from reelscope import schema
from reelscope.analyzers import background_segmentation
from reelscope.analyzers.background_segmentation import BackgroundSummary
from reelscope.analyzers.coco_masks import CocoMask, encoded
from reelscope.signals import SceneLabels
from reelscope.sources.scene_labels import run_lengths


def scene(label_maps, rate=2.5, *, times=None, duration=None, energies=None, trained=True, picture=(WHOLE, WHOLE)):
    """Signal of label maps [128, 128]."""
    times = np.arange(len(label_maps)) / rate if times is None else np.array(times)
    return SceneLabels(
        sampling="F2.5",
        sampling_fps=rate,
        sample_count=len(label_maps),
        models=(replace(PROVENANCE, name="segmentation_segformer", ensemble="scene_labels", trained=trained),),
        times_seconds=times,
        labels=LABELS,
        areas=np.array([areas(label_map[picture]) for label_map in label_maps], np.float32).reshape(-1, 150),
        map_height=128,
        map_width=128,
        picture_rows=picture[0],
        picture_columns=picture[1],
        runs=tuple(run_lengths(label_map) for label_map in label_maps),
        laplacian_energy=np.full((len(label_maps), 2), np.nan) if energies is None else np.array(energies, float),
        duration_seconds=len(label_maps) / rate if duration is None else duration,
    )


def test_masks_are_cocos():
    """Texts that COCO's own tools write for these run lengths."""
    for lengths, size, text in (
        ([6, 1, 40, 4, 5, 4, 5, 4, 21], (9, 10), "61X13mN000`0"),
        ([245, 5, 35, 5, 35, 5, 35, 5, 35, 5, 1190], (40, 40), "e75S10000000ST1"),
        ([5, 2, 2, 2, 5], (4, 4), "52203"),
    ):
        mask = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths).reshape(size[::-1]).T
        assert encoded(mask) == CocoMask(size=size, counts=text)


@pytest.mark.parametrize("seed", range(5))
def test_masks_survive(seed):
    random = np.random.default_rng(seed)
    for share in (0.0, 0.02, 0.5, 1.0):
        mask = cv2.blur(random.random((128, 96)), (1 + 4 * seed, 3)) < share
        assert (decoded(encoded(mask)) == mask).all()


def masks(finding):
    return [decoded(mask) for segment in finding.segments for mask in segment.data.foreground.rle]


def test_areas_sum_to_one():
    random = np.random.default_rng(3)
    maps = [random.integers(0, 150, (128, 128)).astype(np.uint8) for _ in range(7)]
    for signal in (scene(maps), scene([room(0.3), park(0.1)] * 5), scene([room()])):
        finding = background_segmentation.analyze(signal, None)
        for segment in finding.segments:
            assert sum(segment.data.class_areas.values()) == pytest.approx(1, abs=0.001)


def test_a_room_with_a_person():
    finding = background_segmentation.analyze(scene([room(0.5)] * 10), None)
    (segment,) = finding.segments
    assert (segment.start_seconds, segment.end_seconds, segment.kind) == (0, 4.0, "span")
    assert segment.data.class_areas == pytest.approx({"wall": 0.5, "floor": 0.25, "person": 0.25}, abs=1e-4)
    assert segment.data.background_label == segment.label == "wall"
    assert segment.score == pytest.approx(0.5 / 0.75)
    assert segment.data.foreground_ratio == pytest.approx(0.25)
    assert segment.data.change_score is None
    shares = np.array([0.5, 0.25]) / 0.75
    assert segment.data.clutter == pytest.approx(-(shares * np.log(shares)).sum() / np.log(149))
    assert finding.summary == BackgroundSummary(
        dominant_background="wall",
        foreground_ratio=pytest.approx(0.25),
        background_change_count=0,
        clutter=segment.data.clutter,
        bokeh=None,
    )


def test_a_static_clip_has_a_static_mask():
    """A few cells at the outline flicker, as networks do."""
    random = np.random.default_rng(1)
    maps = []
    for _ in range(10):
        label_map = room(0.5)
        rows = random.integers(32, 96, 20)
        label_map[rows, 32] = WALL
        label_map[rows, 96] = PERSON
        maps.append(label_map)
    first, *others = masks(background_segmentation.analyze(scene(maps), None))
    assert min(iou(first, mask) for mask in others) >= 0.95
    assert iou(first, room(0.5) == PERSON) >= 0.95


def test_the_persons_area_grows_with_the_square_of_the_size():
    ratios = {
        scale: background_segmentation.analyze(scene([room(0.25 * scale)]), None).summary.foreground_ratio
        for scale in (0.5, 1.0, 1.5, 2.0, 3.0)
    }
    for scale, ratio in ratios.items():
        assert ratio == pytest.approx(ratios[1.0] * scale**2, rel=0.1)


@pytest.mark.parametrize("rate", [2.5, 1.25])
@pytest.mark.parametrize("swap_seconds", [2.0, 2.1, 3.0, 3.3, 4.79])
def test_a_swap_is_found_when_it_happens(rate, swap_seconds):
    times = np.arange(0, 9, 1 / rate)
    maps = [room(0.4) if time < swap_seconds else park(0.4) for time in times]
    finding = background_segmentation.analyze(scene(maps, rate, duration=9.0), None)
    first, second = finding.segments
    assert first.end_seconds == second.start_seconds == pytest.approx(swap_seconds, abs=0.5)
    assert (first.data.background_label, second.data.background_label) == ("wall", "tree")
    assert second.data.change_score == pytest.approx(1.0)
    assert (first.start_seconds, second.end_seconds) == (0, 9.0)
    assert finding.summary.background_change_count == 1
    assert finding.summary.dominant_background == ("wall" if swap_seconds > 4.5 else "tree")


def test_a_swap_at_a_sample_taken_for_it_is_exact():
    """A cut between the regular samples has an extra sample at its first frame."""
    maps = [room(), room(), park(), park(), park()]
    signal = scene(maps, 1.25, times=[0, 0.8, 1.133, 1.6, 2.4], duration=3.2)
    finding = background_segmentation.analyze(signal, None)
    assert finding.segments[1].start_seconds == 1.133
    # What a sample shows counts for as long as it is shown.
    assert finding.summary.dominant_background == "tree"


def test_there_and_back_again():
    maps = [room()] * 4 + [park()] * 4 + [room()] * 4
    finding = background_segmentation.analyze(scene(maps), None)
    assert [segment.label for segment in finding.segments] == ["wall", "tree", "wall"]
    assert finding.summary.background_change_count == 2


def test_what_is_no_change():
    """A person who comes close and hides most of the background, and then nearly all of it; a flickering class."""
    approaching = [room(0.1 * k) for k in range(10)] + [np.full((128, 128), PERSON, np.uint8)] * 2 + [room(0.1)] * 4
    flickering = [room(0.2) for _ in range(10)]
    flickering[4][96:] = GRASS
    for maps in (approaching, flickering):
        assert background_segmentation.analyze(scene(maps), None).summary.background_change_count == 0


def test_a_slow_pan_ends_where_less_than_half_is_left():
    width = np.arange(128)
    maps = [np.broadcast_to(np.where(width < 128 - 8 * k, WALL, TREE), (128, 128)).astype(np.uint8) for k in range(17)]
    finding = background_segmentation.analyze(scene(maps), None)
    assert [segment.label for segment in finding.segments] == ["wall", "tree"]


def boxed(box, label, count=10):
    return tracks([{1: np.array(box)}] * (4 * count), labels={1: label})


def test_tracked_objects_are_foreground():
    signal = scene([room(0.25)] * 10)
    finding = background_segmentation.analyze(signal, boxed([0.0, 0.75, 0.25, 1.0], "dog"))
    expected = room(0.25) == PERSON
    expected[96:, :32] = True
    assert all((mask == expected).all() for mask in masks(finding))
    assert finding.summary.foreground_ratio == pytest.approx(expected.mean())
    assert finding.segments[0].data.class_areas["floor"] == pytest.approx(0.25), "what the network saw"


def test_furnishings_and_untracked_boxes_are_background():
    signal = scene([room(0.25)] * 10)
    for objects in (
        boxed([0, 0.5, 1, 1], "couch"),
        tracks([{-1: np.array([0, 0.5, 1, 1])}] * 40, labels={-1: "dog"}),
        None,
    ):
        finding = background_segmentation.analyze(signal, objects)
        assert finding.summary.foreground_ratio == pytest.approx(1 / 16)


def test_a_persons_box_counts_where_the_network_sees_nobody():
    beside, around = [0.0, 0.0, 0.25, 0.5], [0.3, 0.3, 0.7, 0.7]
    signal = scene([room(0.25)] * 10)
    assert background_segmentation.analyze(signal, boxed(around, "person")).summary.foreground_ratio == 1 / 16
    assert background_segmentation.analyze(signal, boxed(beside, "person")).summary.foreground_ratio == 1 / 16 + 1 / 8


def test_boxes_are_those_of_the_sampled_instant():
    """Half the clip a dog; an extra sample shows what the next regular frame shows."""
    objects = tracks([{} if k < 20 else {1: np.array([0, 0, 0.5, 0.5])} for k in range(40)], labels={1: "dog"})
    signal = scene([room()] * 11, times=[*np.arange(0, 2, 0.4), 1.95, *np.arange(2, 4, 0.4)], duration=4.0)
    ratios = background_segmentation.analyze(signal, objects).series.columns["fg_ratio"]
    assert ratios == pytest.approx([0] * 5 + [0.25] * 6)


def test_clutter_grows_with_the_number_of_classes():
    clutter = []
    for count in (1, 2, 8, 150):
        maps = [(np.arange(128 * 128) % count).astype(np.uint8).reshape(128, 128)]
        clutter.append(background_segmentation.analyze(scene(maps), None).summary.clutter)
    assert clutter[:3] == pytest.approx([0, np.log(2) / np.log(149), np.log(7) / np.log(149)], abs=1e-3), "6 is person"
    assert clutter[3] == pytest.approx(1, abs=1e-3)


def test_bokeh_is_the_ratio_of_detail():
    energies = [(80, 20), (100, 20), (90, 30), (np.nan, 10), (50, 0), (70, np.nan)]
    finding = background_segmentation.analyze(scene([room(0.3)] * 6, energies=energies), None)
    assert finding.summary.bokeh == finding.segments[0].data.bokeh == pytest.approx(4)
    assert finding.series.columns["bokeh"] == (4.0, 5.0, 3.0, None, None, None)


def test_black_bars_are_no_background():
    label_map = np.full((128, 128), SKY, np.uint8)
    label_map[32:96] = room(0.25)[32:96]
    signal = scene([label_map] * 4, picture=(slice(32, 96), WHOLE))
    finding = background_segmentation.analyze(signal, None)
    assert finding.segments[0].data.class_areas == pytest.approx({"wall": 0.875, "person": 0.125}, abs=1e-4)
    assert finding.summary.dominant_background == "wall"
    assert finding.summary.foreground_ratio == pytest.approx(0.125)
    assert finding.summary.clutter == 0


def test_nothing_but_a_person():
    finding = background_segmentation.analyze(scene([np.full((128, 128), PERSON, np.uint8)] * 3), None)
    assert finding.summary == BackgroundSummary(
        dominant_background=None, foreground_ratio=1, background_change_count=0, clutter=None, bokeh=None
    )
    assert finding.segments[0].data.background_label is None
    assert finding.segments[0].score is None


def test_one_frame():
    finding = background_segmentation.analyze(scene([room(0.5)], duration=0.04), None)
    assert finding.summary.background_change_count == 0
    assert finding.series.columns["change_score"] == (None,)
    assert [(segment.start_seconds, segment.end_seconds) for segment in finding.segments] == [(0, 0.04)]


def test_no_frame_at_all():
    finding = background_segmentation.analyze(scene([]), None)
    assert finding.segments == ()
    assert {getattr(finding.summary, name) for name in BackgroundSummary.__dataclass_fields__} == {None}


def test_random_weights_claim_nothing():
    finding = background_segmentation.analyze(scene([room(0.5)] * 3, trained=False), None)
    assert len(finding.segments) == 1, "reported"
    assert {getattr(finding.summary, name) for name in BackgroundSummary.__dataclass_fields__} == {None}
    assert background_segmentation.headline(finding.summary) == "random weights: nothing is claimed"


def test_a_mirror_changes_nothing_but_the_masks():
    maps = [room(0.3, center=(64, 90))] * 3 + [park()] * 3
    boxes = boxed([0.0, 0.75, 0.25, 1.0], "dog", 6), boxed([0.75, 0.75, 1.0, 1.0], "dog", 6)
    mine, mirrored = (
        background_segmentation.analyze(scene(shown), objects)
        for shown, objects in zip((maps, [label_map[:, ::-1] for label_map in maps]), boxes, strict=True)
    )
    assert mine.summary == mirrored.summary
    assert mine.series == mirrored.series
    assert all((a[:, ::-1] == b).all() for a, b in zip(masks(mine), masks(mirrored), strict=True))


def test_headline_says_what_is_found():
    finding = background_segmentation.analyze(scene([room(0.5)] * 3 + [park(0.5)] * 5), None)
    assert background_segmentation.headline(finding.summary) == "tree, 1 change, 25% people and objects, clutter 0.13"


@pytest.mark.parametrize("trained", [True, False])
def test_what_is_written_keeps_the_invariants(monkeypatch, trained):
    random = np.random.default_rng(3)
    noisy = [random.integers(0, 150, (128, 128)).astype(np.uint8) for _ in range(3)]
    signal = scene([room(0.3)] * 3 + noisy + [park(0.2)] * 3, energies=[(3.0, 1.0)] * 9, trained=trained)
    finding = background_segmentation.analyze(signal, boxed([0.0, 0.75, 0.25, 1.0], "dog"))
    values = written(background_segmentation.ANALYZER, finding, signal, signal.duration_seconds)
    assert violations(values, background_segmentation.ANALYZER, monkeypatch) == []
    result = values["analyzers"]["background_segmentation"]
    assert [segment["data"]["bg_label"] for segment in result["segments"]][::2] == ["wall", "tree"]
    assert (result["summary"]["n_bg_changes"] is None) == (not trained)
    result["segments"][0]["data"]["class_areas"]["wall"] += 0.002
    (violation,) = violations(values, background_segmentation.ANALYZER, monkeypatch)
    assert (violation.invariant, violation.where) == ("I3", "background_segmentation.segments[0].class_areas")


def test_wire_names():
    published = json.dumps(schema.json_schema([background_segmentation.ANALYZER]))
    for name in (
        *("class_areas", "bg_label", "rle", "size", "counts", "change_score"),
        *("dominant_bg", "fg_ratio", "n_bg_changes", "clutter", "bokeh"),
    ):
        assert f'"{name}"' in published, name
