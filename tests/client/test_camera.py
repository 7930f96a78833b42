"""The camera: speeds, shake, labels and spans of rendered movements, despite people, noise, coding, repeats, cuts."""

from __future__ import annotations

import copy
import functools
import itertools
from dataclasses import replace
from fractions import Fraction

import cv2
import numpy as np
import pytest
from feeding import PROVENANCE, cut, measure

import clips
from reelscope import check, pipeline, settings
from reelscope.analyzers import camera_analysis, camera_fit
from reelscope.decode import Decoder
from reelscope.results import to_json
from reelscope.signals import ObjectTracks
from reelscope.sources.flow import FlowSource
from reelscope.sources.shots import ShotSource
from reelscope.types import FrameChunk

WIDTH, HEIGHT, RATE = 360, 640, 30
MOVEMENTS = {
    "pan": {"pan": 25.0},
    "pan left": {"pan": -25.0},
    "slow pan": {"pan": 4.167},
    "tilt": {"tilt": 18.75},
    "zoom_or_dolly": {"zoom": 1.348},
    "roll": {"roll": 15.0},
    "static": {},
}
STILL = {"pan": 0.0, "tilt": 0.0, "zoom": 1.0, "roll": 0.0}


@functools.cache
def world(seed, side=1200):
    """A picture with detail of every size, full contrast, larger than the frame."""
    rng = np.random.default_rng(seed)
    image = np.zeros((side, side, 3), np.float32)
    for cell in (4, 8, 16, 32, 64):
        noise = rng.random((side // cell + 2, side // cell + 2, 3)).astype(np.float32)
        image += cv2.resize(noise, (side, side), interpolation=cv2.INTER_CUBIC) * cell**0.7
    return (255 * (image - image.min()) / (image.max() - image.min())).astype(np.uint8)


WORLD = world(1)


def path(times, pan=0.0, tilt=0.0, zoom=1.0, roll=0.0):
    """[n, 4] of the camera at `times`: pan in %W, tilt in %H, zoom, roll in degrees, at constant speeds."""
    times = np.asarray(times, float)
    return np.stack((pan * times, tilt * times, zoom**times, roll * times), axis=1)


def film(camera, image=WORLD, width=WIDTH, height=HEIGHT):
    """What the camera sees along its path, uint8 RGB: every step turns and grows the picture about its own centre."""
    view = np.eye(3)
    view[:2, 2] = (width - image.shape[1]) / 2, (height - image.shape[0]) / 2
    before, frames = (0.0, 0.0, 1.0, 0.0), []
    for pose in camera:
        # OpenCV turns the picture counterclockwise for positive angles: what it does when the camera turns clockwise.
        step = cv2.getRotationMatrix2D((width / 2, height / 2), pose[3] - before[3], pose[2] / before[2])
        step[:, 2] += (before[0] - pose[0]) / 100 * width, (pose[1] - before[1]) / 100 * height
        view, before = np.vstack((step, (0, 0, 1))) @ view, pose
        frames.append(cv2.warpAffine(image, view[:2], (width, height), flags=cv2.INTER_LINEAR))
    return frames


def small(frames):
    return [cv2.resize(f, (f.shape[1] // 2, f.shape[0] // 2), interpolation=cv2.INTER_AREA) for f in frames]


NOISE = np.random.default_rng(5).normal(0, 3, (HEIGHT + 200, WIDTH + 200, 3))
"""Noise of 6 grey levels of 720p; frames get different pieces of it."""


def spoil(frames):
    """Noise, and JPEG at quality 60."""
    spoilt = []
    for frame, (y, x) in zip(frames, np.random.default_rng(5).integers(0, 200, (len(frames), 2)), strict=True):
        noisy = np.clip(frame + NOISE[y : y + HEIGHT, x : x + WIDTH], 0, 255).astype(np.uint8)
        spoilt.append(cv2.imdecode(cv2.imencode(".jpg", noisy, [cv2.IMWRITE_JPEG_QUALITY, 60])[1], 1))
    return spoilt


def obstruct(frames, left=10, px_per_frame=4.5, size=(200, 300), top=150):
    """Something that moves across: by default 26 % of the frame, 37 % of the width per second."""
    thing = world(9, 600)[: size[1], : size[0]]
    shown = []
    for k, frame in enumerate(frames):
        x = left + round(k * px_per_frame)
        shown.append(frame.copy())
        shown[-1][top : top + size[1], x : x + size[0]] = thing[:, : max(0, WIDTH - x)]
    return shown


def analyze(frames, *, times=None, shots=None, people=None):
    """Finding of frames twice the size of the small track."""
    times = np.arange(len(frames)) / RATE if times is None else np.asarray(times)
    flow = measure(FlowSource(), small(frames), times=times)
    return camera_analysis.analyze(flow, shots or cut(0.0, float(times[-1]) + 1 / RATE), people)


def single(finding):
    """The one span there is."""
    assert len(finding.segments) == 1
    return finding.segments[0]


def speeds(segment):
    data = segment.data
    return {
        "pan": data.pan_percent_width_per_second,
        "tilt": data.tilt_percent_height_per_second,
        "zoom": data.zoom_per_second,
        "roll": data.roll_degrees_per_second,
    }


def assert_speeds(segment, **true):
    found, true = speeds(segment), STILL | true
    for name in ("pan", "tilt"):
        assert found[name] == pytest.approx(true[name], rel=0.05, abs=0.5), name
    assert found["zoom"] == pytest.approx(true["zoom"], abs=0.01)
    assert found["roll"] == pytest.approx(true["roll"], abs=0.5)


def assert_at_rest(segment, tolerance=0.05):
    assert segment.label == "static"
    found = speeds(segment)
    assert all(abs(found[name] - STILL[name]) < tolerance for name in STILL), found


def labels(finding):
    return [segment.label for segment in finding.segments]


@pytest.mark.parametrize("is_spoilt", [False, True], ids=["clean", "foreground, noise, JPEG"])
@pytest.mark.parametrize("name", [name for name in MOVEMENTS if name != "pan left"])
def test_speeds_and_labels(name, is_spoilt):
    frames = film(path(np.arange(31) / RATE, **MOVEMENTS[name]))
    segment = single(analyze(spoil(obstruct(frames)) if is_spoilt else frames))
    assert segment.label == name.removeprefix("slow ")
    assert (segment.start_seconds, segment.end_seconds) == (0, pytest.approx(31 / RATE))
    assert_speeds(segment, **MOVEMENTS[name])
    if name == "static":
        assert_at_rest(segment)
    assert segment.data.inlier_ratio > (0.5 if is_spoilt else 0.95)
    assert segment.data.shake_rms_percent_width < 0.05


def test_the_other_way_round():
    segment = single(analyze(film(path(np.arange(31) / RATE, pan=-25))))
    assert_speeds(segment, pan=-25.0)
    segment = single(analyze(film(path(np.arange(31) / RATE, zoom=1 / 1.348))))
    assert_speeds(segment, zoom=1 / 1.348)


def test_diagonal_is_mixed():
    segment = single(analyze(film(path(np.arange(31) / RATE, pan=20, tilt=10))))
    assert segment.label == "mixed"
    assert_speeds(segment, pan=20, tilt=10)


def test_degrees_rest_on_the_assumed_field_of_view():
    """At the centre of a picture W wide the focal length is W / (2 tan(hfov / 2))."""
    data = single(analyze(film(path(np.arange(31) / RATE, pan=25)))).data
    focal_widths = 1 / (2 * np.tan(np.radians(65 / 2)))
    true = np.degrees(data.pan_percent_width_per_second / 100 / focal_widths)
    assert data.pan_degrees_per_second == pytest.approx(true)
    assert camera_analysis.ANALYZER.parameters["assumed_hfov_degrees"] == 65


@pytest.mark.parametrize(("pan", "label"), [(0.0, "handheld"), (12.5, "pan")])
@pytest.mark.parametrize("rate", [30, 25])
def test_shake(pan, label, rate):
    """White jitter; its RMS counts both directions, in percent of the width."""
    times = np.arange(2 * rate) / rate
    camera = path(times, pan=pan)
    jitter = np.random.default_rng(7).normal(0, 0.55, (len(times), 2))
    camera[:, :2] += jitter * (1, WIDTH / HEIGHT)
    true = float(np.sqrt((jitter**2).sum(axis=1).mean()))
    finding = analyze(film(camera), times=times)
    segment = single(finding)
    assert segment.label == label
    assert segment.data.shake_rms_percent_width == pytest.approx(true, rel=0.2)
    assert_speeds(segment, pan=pan)
    assert finding.summary.stability == pytest.approx(1 / (1 + segment.data.shake_rms_percent_width / 0.5))


def test_sway_of_a_hand_is_no_series_of_pans():
    times = np.arange(90) / RATE
    camera = path(times)
    camera[:, 0] += 1.5 * np.sin(2 * np.pi * 1.2 * times)
    camera[:, 1] += 0.8 * np.sin(2 * np.pi * 1.7 * times + 1)
    finding = analyze(film(camera))
    assert labels(finding) == ["handheld"]
    assert finding.summary.dominant == "handheld"
    assert finding.summary.stability < 0.5


@pytest.mark.parametrize("crf", [23, 32])
def test_static_with_noise_through_x264(tmp_path, crf):
    frames = spoil(film(path(np.zeros(45))))
    segment = single(coded(tmp_path, frames, crf=crf))
    assert_at_rest(segment)
    assert segment.data.shake_rms_percent_width < 0.05


@pytest.mark.parametrize("name", ["pan left", "zoom_or_dolly"])
def test_movement_through_x264(tmp_path, name):
    segment = single(coded(tmp_path, spoil(film(path(np.arange(31) / RATE, **MOVEMENTS[name])))))
    assert segment.label == name.removesuffix(" left")
    assert_speeds(segment, **MOVEMENTS[name])


def test_low_rate_in_a_high_one_through_x264(tmp_path):
    """10 fps stored as 30: repeats differ by what coding left to be corrected."""
    frames = [frame for frame in film(path(np.arange(15) / 10, pan=25)) for _ in range(3)]
    segment = single(coded(tmp_path, frames))
    assert segment.label == "pan"
    assert_speeds(segment, pan=25)


def coded(folder, frames, **options):
    clip = clips.write(folder / "clip.mp4", frames, **options)
    sources = FlowSource(), ShotSource()
    with Decoder(clip, Fraction(10), None) as decoder:
        for source in sources:
            source.start(decoder.header)
        for part in decoder:
            if isinstance(part, FrameChunk):
                for source in sources:
                    source.push(part)
        flow, shots = (source.finish(decoder.facts().duration_seconds) for source in sources)
    assert len(shots.shots) == 1
    return camera_analysis.analyze(flow, shots, None)


PERSON = (0.05, 0.15, 0.9, 0.88)
"""A box of 62 % of the frame."""


def person(duration, box=PERSON, label="person", velocity=0.0, trained=True):
    """Tracks of one object with this box, sampled at 5 fps; it moves by `velocity` widths per second."""
    times = np.arange(0, duration, 0.2)
    boxes = np.array(box) + velocity * times[:, None] * (1, 0, 1, 0)
    count = len(times)
    return ObjectTracks(
        sampling="F10",
        sampling_fps=5.0,
        sample_count=count,
        models=(replace(PROVENANCE, name="object_yolov8", trained=trained),),
        times_seconds=times,
        height_over_width=HEIGHT / WIDTH,
        frame=np.arange(count),
        boxes_xyxy=boxes,
        scores=np.full(count, 0.9),
        class_ids=np.full(count, 1),
        track_ids=np.zeros(count, np.int64),
        labels=("cat", label),
        duration_seconds=duration,
    )


def crowd(camera, box=PERSON):
    """The camera's view, and in front of it a box whose content moves otherwise."""
    frames = film(camera)
    x1, y1, x2, y2 = np.round(np.array(box) * (WIDTH, HEIGHT, WIDTH, HEIGHT)).astype(int)
    within = film(path(np.arange(len(frames)) / RATE, pan=-20, tilt=-12), world(6))
    for frame, other in zip(frames, within, strict=True):
        frame[y1:y2, x1:x2] = other[y1:y2, x1:x2]
    return frames


def test_a_person_who_fills_the_frame_is_not_the_camera():
    frames = crowd(path(np.arange(31) / RATE, pan=25))
    seen = single(analyze(frames, people=person(31 / RATE)))
    assert seen.label == "pan"
    assert_speeds(seen, pan=25)
    unseen = single(analyze(frames))
    assert_speeds(unseen, pan=-20, tilt=-12)
    a_cat = single(analyze(frames, people=person(31 / RATE, label="dog")))
    assert speeds(a_cat) == speeds(unseen), "only people move by themselves"


def test_boxes_are_interpolated():
    """Points on a person who crosses the frame at one width per second are out, those beside are in."""
    flow = measure(FlowSource(), small(film(path(np.arange(25) / RATE))), times=np.arange(25) / RATE)
    people = person(25 / RATE, (0.0, 0.0, 0.2, 1.0), velocity=1.0)
    is_on = camera_fit._on_people(flow, people)
    pairs = np.repeat(flow.start_seconds, np.diff(flow.offsets))
    # At and after the last sample (0.8 s) it stays where it was seen last.
    left = np.minimum(pairs, people.times_seconds[-1])
    x = flow.points[:, 0] / 64 / flow.width_px
    assert np.array_equal(is_on, (x >= left) & (x <= left + 0.2))
    assert 0.1 < is_on.mean() < 0.3


def test_nobody_in_the_frame():
    nobody = person(1.0)
    empty = {name: getattr(nobody, name)[:0] for name in ("frame", "boxes_xyxy", "scores", "class_ids", "track_ids")}
    frames = film(path(np.arange(10) / RATE, pan=25))
    assert analyze(frames, people=replace(nobody, **empty)) == analyze(frames)


def test_a_person_all_over_the_frame_leaves_the_camera_unknown():
    finding = analyze(film(path(np.arange(31) / RATE, pan=25)), people=person(31 / RATE, (0.0, 0.0, 1.0, 1.0)))
    assert_unknown(finding)


def assert_unknown(finding):
    assert set(labels(finding)) == {"unknown"}
    for segment in finding.segments:
        assert all(getattr(segment.data, name) is None for name in segment.data.__slots__)
    assert finding.summary.dominant == "unknown"
    assert finding.summary.static_ratio is None
    assert finding.summary.stability is None
    assert all(value is None for column in finding.series.columns.values() for value in column)


@pytest.mark.parametrize("name", ["pan", "slow pan", "zoom_or_dolly", "static"])
def test_doubled_frames_and_low_rates_give_the_same_speeds(name):
    frames = film(path(np.arange(31) / RATE, **MOVEMENTS[name]))
    double = analyze([frame for frame in frames for _ in range(2)], times=np.arange(62) / 60)
    assert labels(double) == labels(analyze(frames))
    assert_speeds(single(double), **MOVEMENTS[name])
    every_third = film(path(np.arange(11) / 10, **MOVEMENTS[name]))
    low = single(analyze([frame for frame in every_third for _ in range(3)]))
    assert low.label == name.removeprefix("slow ")
    assert_speeds(low, **MOVEMENTS[name])
    # Steps of under a pixel are not told from coding noise: some pairs then end on a repetition.
    assert low.data.shake_rms_percent_width < (0.2 if name == "slow pan" else 0.05), "repetition is no shake"


@pytest.mark.parametrize("name", ["pan", "tilt", "roll"])
def test_sixty_frames_a_second_and_variable_rate(name):
    for times in (np.arange(61) / 60, np.cumsum(np.random.default_rng(2).uniform(0.015, 0.06, 31)) - 0.015):
        times = times - times[0]
        segment = single(analyze(film(path(times, **MOVEMENTS[name])), times=times))
        assert segment.label == name
        assert_speeds(segment, **MOVEMENTS[name])


def test_a_mirror_negates_pan_and_roll():
    true = {"pan": 10.0, "tilt": 6.0, "zoom": 1.1, "roll": 8.0}
    frames = film(path(np.arange(31) / RATE, **true))
    assert_speeds(single(analyze(frames)), **true)
    mirrored = single(analyze([np.ascontiguousarray(frame[:, ::-1]) for frame in frames]))
    assert_speeds(mirrored, **true | {"pan": -10.0, "roll": -8.0})


def test_a_quarter_turn_exchanges_pan_and_tilt():
    """Clockwise: what moved left moves up."""
    frames = film(path(np.arange(31) / RATE, pan=25, roll=5))
    turned = single(analyze([np.ascontiguousarray(np.rot90(frame, -1)) for frame in frames]))
    assert turned.label == "tilt"
    assert_speeds(turned, tilt=-25, roll=5)


@pytest.mark.parametrize("pan", [25.0, 6.0])
@pytest.mark.parametrize("is_spoilt", [False, True])
def test_a_shot_is_cut_where_the_movement_changes(pan, is_spoilt):
    times = np.arange(90) / RATE
    camera = path(times)
    camera[:, 0] = pan * np.interp(times, [0, 1, 2, 3], [0, 1, 1, 0])
    frames = film(camera)
    finding = analyze(spoil(frames) if is_spoilt else frames)
    assert labels(finding) == ["pan", "static", "pan"]
    assert [segment.start_seconds for segment in finding.segments] == pytest.approx([0, 1, 2], abs=0.2)
    assert finding.segments[-1].end_seconds == pytest.approx(3)
    for segment, speed in zip(finding.segments, (pan, 0.0, -pan), strict=True):
        assert_speeds(segment, pan=speed)
    assert finding.summary.static_ratio == pytest.approx(1 / 3, abs=0.1)
    assert finding.summary.dominant == "pan"
    assert finding.summary.stability > (0.8 if is_spoilt else 0.9)


def test_turning_back_is_a_second_pan():
    times = np.arange(60) / RATE
    camera = path(times)
    camera[:, 0] = np.interp(times, [0, 1, 2], [0, 20, 0])
    finding = analyze(film(camera))
    assert labels(finding) == ["pan", "pan"]
    assert finding.segments[1].start_seconds == pytest.approx(1, abs=0.2)
    assert [round(s.data.pan_percent_width_per_second, -1) for s in finding.segments] == [20, -20]


def test_a_pan_that_eases_in_and_out_is_one():
    times = np.arange(75) / RATE
    camera = path(times)
    camera[:, 0] = 40 * (1 - np.cos(np.pi * times / times[-1])) / 2
    finding = analyze(film(camera))
    assert labels(finding) == ["pan"]
    assert finding.segments[0].data.pan_percent_width_per_second == pytest.approx(40 / times[-1], rel=0.2)


def test_a_whip_pan_is_not_lost():
    times = np.arange(60) / RATE
    camera = path(times)
    camera[:, 0] = np.interp(times, [0, 0.9, 1.1, 2], [0, 0, 40, 40])
    finding = analyze(film(camera))
    assert labels(finding) == ["static", "pan", "static"]
    whip = finding.segments[1]
    assert whip.end_seconds - whip.start_seconds >= 0.3 - 1e-9
    assert whip.start_seconds <= 0.95
    assert whip.end_seconds >= 1.05
    assert finding.summary.stability > 0.9, "and it is no shake"


def test_a_cut_within_a_pan_disturbs_nothing():
    times = np.arange(30) / RATE
    frames = film(path(times, pan=25)) + film(path(times, pan=25), world(4))
    flow, shots = (measure(source(), small(frames)) for source in (FlowSource, ShotSource))
    assert len(shots.shots) == 2
    finding = camera_analysis.analyze(flow, shots, None)
    assert labels(finding) == ["pan", "pan"]
    assert [segment.start_seconds for segment in finding.segments] == [0, 1]
    for segment in finding.segments:
        assert_speeds(segment, pan=25)
        assert segment.data.shake_rms_percent_width < 0.05
    known = [value for value in finding.series.columns["pan_pct_w_s"] if value is not None]
    assert known == pytest.approx([25] * len(known), rel=0.05)


def test_a_jump_cut_is_no_movement():
    """The same view, 4 % of the width aside: points can be followed across the cut, and must not be."""
    camera = path(np.zeros(60))
    camera[30:, 0] = 4.0
    finding = analyze(film(camera), shots=cut(0.0, 1.0, 2.0))
    for segment in finding.segments:
        assert_at_rest(segment)
    assert len(finding.segments) == 2
    known = [value for value in finding.series.columns["pan_pct_w_s"] if value is not None]
    assert np.abs(known).max() < 0.05


def test_shots_of_three_frames():
    worlds = [world(seed, 700) for seed in (2, 4)]
    frames = [
        frame for k in range(10) for frame in film(path(np.arange(3) / RATE, pan=30 if k % 3 else 0), worlds[k % 2])
    ]
    edges = [k / 10 for k in range(11)]
    finding = analyze(frames, shots=cut(*edges))
    assert [segment.start_seconds for segment in finding.segments] == edges[:-1]
    assert labels(finding) == ["static" if k % 3 == 0 else "pan" for k in range(10)]
    for k, segment in enumerate(finding.segments):
        assert_speeds(segment, pan=30.0 if k % 3 else 0.0)


def test_a_flash_does_not_shake_the_camera():
    frames = film(path(np.arange(45) / RATE, tilt=10))
    for k in (20, 21):
        frames[k] = np.full_like(frames[k], 255)
    segment = single(analyze(frames))
    assert segment.label == "tilt"
    assert_speeds(segment, tilt=10)
    assert segment.data.shake_rms_percent_width < 0.05


def test_a_long_blank_is_an_unknown_span():
    frames = film(path(np.arange(60) / RATE, pan=25))
    frames[20:40] = [np.full_like(frame, 128) for frame in frames[20:40]]
    finding = analyze(frames)
    assert labels(finding) == ["pan", "unknown", "pan"]
    assert [segment.start_seconds for segment in finding.segments[1:]] == pytest.approx([20 / 30, 40 / 30], abs=0.05)
    assert all(one.end_seconds == two.start_seconds for one, two in itertools.pairwise(finding.segments))
    assert finding.summary.static_ratio == 0
    assert finding.series.columns["pan_pct_w_s"][10] is None


@pytest.mark.parametrize("is_noisy", [False, True])
def test_a_flat_picture_tells_nothing(is_noisy):
    flat = [np.full((HEIGHT, WIDTH, 3), 128, np.uint8)] * 30
    assert_unknown(analyze(spoil(flat) if is_noisy else flat))


@pytest.mark.parametrize("shape", [(2, 2), (4001, 15), (30, 640), (64, 64)])
@pytest.mark.parametrize("count", [1, 2, 12])
def test_any_size_and_length(shape, count):
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 256, (*shape, 3), dtype=np.uint8) for _ in range(count)]
    finding = analyze(frames)
    assert finding.segments[0].start_seconds == 0
    assert finding.segments[-1].end_seconds == pytest.approx(count / RATE)
    if count == 1:
        assert_unknown(finding)


def test_two_equal_frames_are_a_static_clip():
    assert_at_rest(single(analyze(film(path(np.zeros(2))))))


def test_series_has_at_most_3000_points():
    """Ten minutes at 15 pairs a second, each of which pans by 1 % of the width."""
    short = measure(FlowSource(), small(film(path([0, 1 / RATE], pan=30))))
    count = 9000
    flow = replace(
        short,
        start_seconds=np.arange(count) / 15,
        end_seconds=(np.arange(count) + 1) / 15,
        offsets=np.arange(count + 1) * 40,
        points=np.tile(short.points[:40], (count, 1)),
    )
    finding = camera_analysis.analyze(flow, cut(0.0, 600.1), None)
    columns = finding.series.columns
    assert all(len(column) <= 3000 for column in columns.values())
    assert finding.series.hop_seconds == pytest.approx(600.1 / 3000)
    assert columns["pan_pct_w_s"][:2999] == pytest.approx([15] * 2999, rel=0.05)
    assert labels(finding) == ["pan"]


def test_two_runs_agree():
    frames = spoil(obstruct(film(path(np.arange(20) / RATE, pan=25, roll=3))))
    assert analyze(frames) == analyze(frames)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Results of a clip of two shots, from the pipeline, without a server: the detector is left out."""
    folder, times = tmp_path_factory.mktemp("camera"), np.arange(30) / RATE
    frames = film(path(times, pan=20, roll=6)) + film(path(times), world(4))
    mirrored = [np.ascontiguousarray(frame[:, ::-1]) for frame in frames]
    doubled = [frame for frame in frames for _ in range(2)]
    # The pipeline passes None for a detector that is absent or untrained.
    alone = replace(
        camera_analysis.ANALYZER, uses=(), analyze=lambda flow, shots: camera_analysis.analyze(flow, shots, None)
    )

    def run(name, frames, rate=RATE):
        clip = clips.write(folder / f"{name}.mp4", frames, rate=rate)
        found = pipeline.analyze(clip, analyzers=(alone,), profile=settings.profile("cpu"), client=None)
        return to_json(found, (alone,))

    return {"plain": run("a", frames), "flipped": run("b", mirrored), "doubled": run("c", doubled, 60)}


def test_results_keep_the_invariants(results):
    for values in results.values():
        assert check.check(values) == []
    found = results["plain"]["analyzers"]["camera_analysis"]
    assert [(s["label"], s["start"], s["end"]) for s in found["segments"]] == [("pan", 0, 1), ("static", 1, 2)]
    data = found["segments"][0]["data"]
    assert set(data) == {
        *("pan_pct_w_s", "tilt_pct_h_s", "zoom_per_s", "roll_deg_s"),
        *("pan_deg_s", "shake_rms_pct_w", "inliers"),
    }
    assert data["pan_pct_w_s"] == pytest.approx(20, rel=0.05)
    assert data["roll_deg_s"] == pytest.approx(6, abs=0.5)
    assert set(found["summary"]) == {"static_ratio", "dominant", "stability"}
    assert found["summary"]["static_ratio"] == pytest.approx(0.5, abs=0.01)


def test_twins_tell_the_same(results):
    plain, flipped, doubled = results["plain"], results["flipped"], results["doubled"]
    assert check.check_twin(plain, flipped, is_flipped=True) == []
    assert check.check_twin(plain, doubled, is_flipped=False) == []
    found = {violation.where for violation in check.check_twin(plain, flipped, is_flipped=False)}
    assert found == {"camera_analysis.series.pan_pct_w_s", "camera_analysis.series.roll_deg_s"}
    faster = copy.deepcopy(doubled)
    columns = faster["analyzers"]["camera_analysis"]["series"]["cols"]
    columns["tilt_pct_h_s"] = [None if value is None else value + 0.6 for value in columns["tilt_pct_h_s"]]
    found = [violation.where for violation in check.check_twin(plain, faster, is_flipped=False)]
    assert found == ["camera_analysis.series.tilt_pct_h_s"]


@pytest.mark.parametrize(
    ("key", "value", "invariant"),
    [("end", 0.9, "I9"), ("start", 0.1, "I9"), ("label", "unknown", "I4"), ("data.pan_pct_w_s", None, "I4")],
)
def test_broken_spans_are_found(results, key, value, invariant):
    values = copy.deepcopy(results["plain"])
    place = values["analyzers"]["camera_analysis"]["segments"][0]
    *parents, last = key.split(".")
    for parent in parents:
        place = place[parent]
    place[last] = value
    assert invariant in {violation.invariant for violation in check.check(values)}
