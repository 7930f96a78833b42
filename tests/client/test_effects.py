"""Visual effects: flashes and their rate, fades, split screens, bars, overlays; and what is no effect."""

from __future__ import annotations

import time
from dataclasses import fields
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data
from feeding import cut, header, measure

import clips
from places import DEMO
from reelscope import pipeline, settings
from reelscope.analyzers import visual_effects
from reelscope.decode import Decoder
from reelscope.results import to_json
from reelscope.signals import BRIGHTNESS_CELLS, EDGE_CELLS, SEAMS_PER_AXIS, FrameEffects
from reelscope.sources.effects import EffectSource
from reelscope.sources.shots import ShotSource
from reelscope.types import FrameChunk

WHITE, BLACK = (np.full((320, 180, 3), level, np.uint8) for level in (255, 0))
FRAME = 1 / 30


def find(frames, times=None):
    return visual_effects.analyze(
        measure(EffectSource(), frames, times=times), measure(ShotSource(), frames, times=times)
    )


def decoded(path: Path):
    """Finding of a file."""
    with Decoder(path, Fraction(5), None) as decoder:
        sources = [EffectSource(), ShotSource()]
        for source in sources:
            source.start(decoder.header)
        for part in decoder:
            if isinstance(part, FrameChunk):
                for source in sources:
                    source.push(part)
        return visual_effects.analyze(*(source.finish(decoder.facts().duration_seconds) for source in sources))


def of_type(finding, *names):
    return [segment for segment in finding.segments if segment.data.effect_type in names]


def strobe(rate_hz, seconds=2, rate=30):
    """Black and white in turn, black first."""
    return [WHITE if int(2 * rate_hz * k / rate) % 2 else BLACK + 10 for k in range(int(seconds * rate))]


def lit(levels, times=None, cells=slice(None)):
    """A signal of nothing but luminance, one level per frame, in some cells of the picture; dark grey elsewhere."""
    count = len(levels)
    luminance = np.full((count, BRIGHTNESS_CELLS * BRIGHTNESS_CELLS), 0.2)
    luminance[:, cells] = np.asarray(levels)[:, None]
    times = np.arange(count) / 30 if times is None else np.asarray(times)
    return FrameEffects(
        sampling="FULL",
        sample_count=count,
        times_seconds=times,
        duration_seconds=float(times[-1]) + FRAME,
        luminance=luminance.reshape(count, BRIGHTNESS_CELLS, BRIGHTNESS_CELLS).astype(np.float16),
        luma_mean=np.full(count, 100, np.float32),
        luma_deviation=np.full(count, 30, np.float32),
        change=np.full(count, 5, np.float32),
        peak_change=np.full(count, 9, np.float32),
        seams=np.zeros((count, 2, SEAMS_PER_AXIS, 3), np.float32),
        bars=np.zeros((count, 4), np.float32),
        abrupt_frames=np.empty(0, np.int64),
        kept_edges=np.empty((0, EDGE_CELLS, EDGE_CELLS), np.uint8),
        kept_edge_ratio=np.empty(0, np.float32),
    )


def judge(levels, **options):
    return visual_effects.analyze(lit(levels, **options), cut(0.0, len(levels) / 30))


def test_one_flash():
    film = clips.pan(1, 90)
    finding = find([*film[:40], WHITE, WHITE, *film[42:]])
    (flash,) = finding.segments
    assert (flash.label, flash.kind) == ("flash", "event")
    assert flash.start_seconds == pytest.approx(40 * FRAME)
    assert flash.end_seconds == pytest.approx(42 * FRAME)
    assert flash.data.parameters.flash_count == 1
    assert flash.data.parameters.flashes_per_second is None
    assert flash.data.parameters.area_ratio > 0.9
    assert finding.summary.counts == {"flash": 1}
    assert (finding.summary.flash_count, finding.summary.max_flashes_per_second) == (1, 1)
    assert finding.summary.photosensitive_risk is False


@pytest.mark.parametrize(("rate_hz", "is_risky"), [(2, False), (3, False), (5, True), (10, True)])
def test_strobes(rate_hz, is_risky, tmp_path):
    film = clips.pan(1, 80)
    summary = decoded(clips.write(tmp_path / "s.mp4", [*film[:40], *strobe(rate_hz), *film[40:]])).summary
    assert summary.counts.get("flash") == 1, "a strobe is one effect"
    assert summary.max_flashes_per_second == pytest.approx(rate_hz, abs=1)
    assert summary.flash_count == pytest.approx(2 * rate_hz, abs=1)
    assert summary.photosensitive_risk is is_risky


def test_a_strobe_has_a_rate():
    (flash,) = of_type(find([*clips.pan(1, 40), *strobe(5), *clips.pan(1, 40)]), "flash")
    assert flash.data.parameters.flashes_per_second == pytest.approx(5, abs=0.1)


@pytest.mark.parametrize("rate", [24, 25, 50, 60])
def test_a_strobe_at_other_frame_rates(rate):
    frames = [WHITE if int(10 * k / rate) % 2 else BLACK + 10 for k in range(2 * rate)]
    assert find(frames, np.arange(len(frames)) / rate).summary.max_flashes_per_second == pytest.approx(5, abs=1)


def test_a_strobe_at_a_variable_frame_rate():
    times = np.cumsum(np.random.default_rng(0).choice([1 / 60, 1 / 30, 1 / 20], 90))
    times -= times[0]
    frames = [WHITE if int(10 * t) % 2 else BLACK + 10 for t in times]
    assert find(frames, times).summary.max_flashes_per_second == pytest.approx(5, abs=1)


@pytest.mark.parametrize(
    ("low", "high", "count"),
    [(0.3, 0.41, 1), (0.3, 0.39, 0), (0.79, 0.95, 1), (0.81, 0.95, 0), (0.0, 0.1, 1)],
)
def test_how_much_light_makes_a_flash(low, high, count):
    assert judge([low] * 30 + [high] * 3 + [low] * 30).summary.flash_count == count


@pytest.mark.parametrize(("share", "count"), [(0.24, 0), (0.26, 1)])
def test_how_much_of_the_picture_makes_a_flash(share, count):
    cells = slice(0, round(share * BRIGHTNESS_CELLS**2))
    assert judge([0.2] * 30 + [0.9] * 3 + [0.2] * 30, cells=cells).summary.flash_count == count


def test_a_dark_flash_is_one():
    assert judge([0.6] * 30 + [0.1] * 3 + [0.6] * 30).summary.flash_count == 1


def test_a_flash_that_decays_is_one():
    levels = [0.1] * 30 + [0.9] + [0.9 * 0.7**k + 0.1 for k in range(1, 15)] + [0.1] * 30
    assert judge(levels).summary.flash_count == 1


def test_what_changes_slowly_is_no_flash():
    swell = 0.4 + 0.3 * np.sin(2 * np.pi * np.arange(120) / 60)
    assert judge(swell).summary.flash_count == 0, "a period of two seconds"
    assert judge([0.2] * 30 + [0.9] * 30 + [0.2] * 30).summary.flash_count == 0, "a second of light"


def test_a_pattern_that_inverts_flashes():
    """As much of it brightens as darkens, as in a fast pan; but it comes back."""
    board = (np.indices((320, 180)) // 60).sum(axis=0) % 2
    frames = [np.repeat(((board ^ (k // 3 % 2)) * 255).astype(np.uint8)[..., None], 3, 2) for k in range(60)]
    assert find(frames).summary.max_flashes_per_second == pytest.approx(5, abs=1)


def test_a_short_shot_counts_for_the_risk_but_is_no_effect():
    """A dark shot of a tenth of a second between two bright ones: by the rule a flash, and yet an edit."""
    bright, other = clips.texture(1, 320, 180) // 2 + 100, clips.texture(6, 320, 180) // 2 + 100
    other[:160], bright[160:] = other[:160] // 2 + 20, bright[160:] // 2 + 20
    finding = find([bright] * 30 + [clips.texture(3, 320, 180) // 8] * 4 + [other] * 30)
    assert of_type(finding, "flash") == []
    assert finding.summary.flash_count == 0
    assert finding.summary.max_flashes_per_second == 1


def faded(seconds_out=0.5, seconds_black=0.2, seconds_in=0.5, *, rate=30, shape=1.0, repeat=1):
    """Two shots with a fade through black between them, and its first, black, bright and last instant."""
    edges = np.cumsum([1.5, seconds_out, seconds_black, seconds_in])
    total = round((edges[-1] + 1.5) * rate)
    frames = []
    for k in range(total):
        now = k / rate
        image = clips.texture(5 if now < edges[1] else 9, 320, 700)
        x = round(90 * (now % 3))
        gain = np.interp(now, [*edges], [1, 0, 0, 1])
        frames += [(image[:, x : x + 180] * gain**shape).astype(np.uint8)] * repeat
    return frames, edges


@pytest.mark.parametrize(("seconds", "frames_off"), [(0.2, 1), (0.5, 1), (1.0, 2)])
def test_fades(seconds, frames_off, tmp_path):
    frames, edges = faded(seconds, 0.2, seconds)
    out, back = sorted(of_type(decoded(clips.write(tmp_path / "f.mp4", frames)), "fade"), key=lambda s: s.start_seconds)
    assert (out.data.parameters.direction, back.data.parameters.direction) == ("to_black", "from_black")
    found = [out.start_seconds, out.end_seconds, back.start_seconds, back.end_seconds]
    assert found == pytest.approx(list(edges), abs=frames_off * FRAME + 0.001)
    assert min(out.score, back.score) > 0.95


@pytest.mark.parametrize("shape", [1 / 2.2, 2.2])
def test_fades_of_other_shapes(shape):
    frames, edges = faded(shape=shape)
    out, back = sorted(of_type(find(frames), "fade"), key=lambda s: s.start_seconds)
    assert [out.start_seconds, back.end_seconds] == pytest.approx(edges[[0, 3]], abs=3 * FRAME)


@pytest.mark.parametrize(("rate", "repeat"), [(60, 1), (30, 2), (15, 2)])
def test_fades_at_other_frame_rates(rate, repeat):
    frames, edges = faded(rate=rate, repeat=repeat)
    fades = sorted(
        of_type(find(frames, np.arange(len(frames)) / (rate * repeat)), "fade"), key=lambda s: s.start_seconds
    )
    found = [edge for fade in fades for edge in (fade.start_seconds, fade.end_seconds)]
    assert found == pytest.approx(list(edges), abs=max(FRAME, 1 / rate) + 0.001)


def test_fades_at_both_ends():
    film = clips.pan(3, 90)
    gains = np.clip(np.minimum(np.arange(90), np.arange(90)[::-1]) / 15, 0, 1)
    finding = find([(frame * gain).astype(np.uint8) for frame, gain in zip(film, gains, strict=True)])
    first, last = sorted(of_type(finding, "fade"), key=lambda segment: segment.start_seconds)
    assert first.data.parameters.direction == "from_black"
    assert last.data.parameters.direction == "to_black"
    assert first.end_seconds == pytest.approx(15 * FRAME, abs=FRAME + 0.001)
    assert last.start_seconds == pytest.approx(75 * FRAME, abs=FRAME + 0.001)


def test_a_fade_is_no_flash_but_counts_as_the_rule_has_it():
    frames, _ = faded(0.1, 0.1, 0.1)
    finding = find(frames)
    assert of_type(finding, "flash") == []
    assert finding.summary.max_flashes_per_second == 1


def test_what_comes_out_of_black_otherwise_is_no_fade():
    cut_in = [BLACK] * 30 + clips.pan(1, 30)
    slid_in = [BLACK.copy() for _ in range(60)]
    for k in range(20, 60):
        slid_in[k][120:200, : min(160, 8 * (k - 20))] = 230
    for frames in (cut_in, slid_in, [BLACK] * 60):
        assert of_type(find(frames), "fade") == []


@pytest.mark.parametrize("place", [60, 90, 120])
def test_a_split_screen(place, tmp_path):
    frames = [np.hstack([a[:, :place], b[:, place:]]) for a, b in zip(clips.pan(8, 60), clips.pan(9, 60), strict=True)]
    (split,) = decoded(clips.write(tmp_path / "s.mp4", frames)).segments
    assert split.data.effect_type == "split_screen"
    assert split.data.parameters.seam == "vertical"
    assert split.data.parameters.position_ratio == pytest.approx(place / 180, abs=0.01)
    assert (split.start_seconds, split.end_seconds) == (0.0, pytest.approx(2.0))
    assert split.score >= 0.8


def test_a_split_screen_above_and_below_for_a_while():
    above, below = clips.pan(8, 90), clips.pan(9, 90, px_per_frame=2)
    frames = [np.vstack([a[:140], b[140:]]) for a, b in zip(above, below, strict=True)]
    (split,) = of_type(find([*above[:30], *frames[30:60], *above[60:]]), "split_screen")
    assert split.data.parameters.seam == "horizontal"
    assert split.data.parameters.position_ratio == pytest.approx(140 / 320, abs=0.01)
    assert (split.start_seconds, split.end_seconds) == pytest.approx((1.0, 2.0), abs=2 * FRAME)


def test_four_pictures():
    a, b = clips.pan(8, 60), clips.pan(9, 60, px_per_frame=2)
    frames = [
        np.vstack([np.hstack([x[:160, :90], y[:160, 90:]]), np.hstack([y[160:, :90], x[160:, 90:]])])
        for x, y in zip(a, b, strict=True)
    ]
    assert {split.data.parameters.seam for split in of_type(find(frames), "split_screen")} == {"vertical", "horizontal"}


def test_edges_of_the_scene_are_no_seams():
    film, still = clips.pan(8, 60), clips.texture(9, 320, 180)
    along = [np.vstack([frame[:150], frame[150:] // 3]) for frame in film]
    beside = [np.hstack([frame[:, :90], still[:, 90:]]) for frame in film]
    band = [np.vstack([np.full_like(frame[:100], 200), frame[100:]]) for frame in film]
    door = [np.hstack([still[:, :90], still[:, 90:] // 3])] * 60
    for frames in (along, beside, band, door):
        assert of_type(find(frames), "split_screen") == []


@pytest.mark.parametrize(("top", "bottom"), [(40, 40), (20, 28), (80, 80)])
def test_letterbox(top, bottom, tmp_path):
    frames = [
        cv2.copyMakeBorder(f[top : 320 - bottom], top, bottom, 0, 0, cv2.BORDER_CONSTANT) for f in clips.pan(8, 60)
    ]
    (bars,) = decoded(clips.write(tmp_path / "b.mp4", frames)).segments
    assert bars.data.effect_type == "letterbox"
    found = bars.data.parameters.before_ratio, bars.data.parameters.after_ratio
    assert found == pytest.approx((top / 320, bottom / 320), abs=0.01)
    assert (bars.start_seconds, bars.end_seconds) == (0.0, pytest.approx(2.0))


def test_pillarbox_through_cuts_and_a_fade():
    frames, _ = faded()
    for frame in frames:
        frame[:, :20] = frame[:, 160:] = 0
    finding = find(frames)
    (bars,) = of_type(finding, "pillarbox", "letterbox")
    assert bars.data.effect_type == "pillarbox"
    assert bars.data.parameters.before_ratio == pytest.approx(20 / 180, abs=0.01)
    assert bars.end_seconds == pytest.approx(len(frames) / 30)


def test_bars_of_one_shot():
    frames = clips.shots((30, 60), 90)
    for k in range(30, 60):
        frames[k] = cv2.copyMakeBorder(frames[k][40:280], 40, 40, 0, 0, cv2.BORDER_CONSTANT)
    (bars,) = of_type(find(frames), "letterbox")
    assert (bars.start_seconds, bars.end_seconds) == pytest.approx((1.0, 2.0))


def test_a_dark_background_is_no_bar():
    frames = []
    for k in range(60):
        frame = BLACK.copy()
        cv2.circle(frame, (90, 160 + k % 3), 70, (200, 180, 160), -1)
        frames.append(frame)
    assert of_type(find(frames), "letterbox", "pillarbox") == []


def photographs(count=20):
    """Three photographs under a panning camera, with hard cuts between them."""
    images = (skimage.data.astronaut(), skimage.data.coffee(), skimage.data.chelsea())
    wide = [cv2.resize(image, (360, 320), interpolation=cv2.INTER_AREA) for image in images]
    return [np.ascontiguousarray(image[:, 4 * k : 4 * k + 180]) for image in wide for k in range(count)]


def test_an_overlay_outlives_cuts():
    frames = photographs()
    for frame in frames:
        cv2.rectangle(frame, (25, 225), (155, 255), (20, 20, 20), -1)
        cv2.putText(frame, "HELLO", (35, 250), cv2.FONT_HERSHEY_SIMPLEX, 1, (255, 255, 255), 3)
    (overlay,) = of_type(find(frames), "overlay")
    assert overlay.data.parameters.cut_count == 2
    assert overlay.data.parameters.box_xyxy == pytest.approx((25 / 180, 225 / 320, 155 / 180, 255 / 320), abs=1 / 16)
    assert (overlay.start_seconds, overlay.end_seconds) == pytest.approx((0.0, 2.0))


def test_cuts_without_an_overlay():
    assert of_type(find(photographs()), "overlay") == []


def test_a_jump_cut_leaves_the_scene_and_no_overlay():
    """The same room, another moment: nearly all edges stay."""
    image = cv2.resize(skimage.data.coffee(), (180, 320), interpolation=cv2.INTER_AREA)
    other = image.copy()
    other[100:260, 30:120] = cv2.resize(skimage.data.astronaut(), (90, 160), interpolation=cv2.INTER_AREA)
    assert of_type(find([image] * 30 + [other] * 30), "overlay") == []


def moved(kind, count=60):
    image = cv2.resize(skimage.data.coffee(), (900, 900), interpolation=cv2.INTER_CUBIC)
    middle = (450, 450)
    for k in range(count):
        matrix = {
            "pan": np.float32([[1, 0, -5 * k], [0, 1, -200]]),
            "tilt": np.float32([[1, 0, -200], [0, 1, -5 * k]]),
            "zoom": cv2.getRotationMatrix2D(middle, 0, 1 + k / 60),
            "roll": cv2.getRotationMatrix2D(middle, k, 1.3),
        }[kind]
        yield cv2.warpAffine(image, matrix, (900, 900), borderMode=cv2.BORDER_REFLECT)[200:520, 300:480]


@pytest.mark.parametrize("kind", ["pan", "tilt", "zoom", "roll"])
def test_camera_motion_is_no_effect(kind):
    assert find(list(moved(kind))).segments == ()


@pytest.mark.parametrize("px_per_frame", [2, 20, 50])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_pans_and_whip_pans_are_no_effect(px_per_frame, seed):
    """50 px per frame are 833 % of the width per second."""
    finding = find(clips.pan(seed, 60, px_per_frame=px_per_frame))
    assert finding.segments == ()
    assert finding.summary.max_flashes_per_second == 0


def test_cuts_are_no_effect():
    finding = find(clips.shots((20, 27, 60, 66, 100, 140, 143, 200, 260), 300))
    assert finding.segments == ()
    assert finding.summary.effects_per_minute == 0


def test_dissolves_and_wipes_are_never_claimed():
    a, b = clips.pan(50, 60), clips.pan(51, 60)
    mixed = [cv2.addWeighted(x, 1 - k / 15, y, k / 15, 0) for k, (x, y) in enumerate(zip(a[45:], b[:15], strict=True))]
    finding = find([*a[:45], *mixed, *b[15:]])
    assert finding.segments == ()
    assert "gradual_transitions_not_detected" in finding.warnings


def test_one_frame():
    finding = find(clips.pan(1, 1))
    assert finding.segments == ()
    assert finding.summary.effects_per_minute is None
    assert finding.summary.max_flashes_per_second is None
    assert finding.summary.photosensitive_risk is None
    assert finding.summary.repeated_frame_ratio is None


@pytest.mark.parametrize("size", [(1, 1), (9, 16), (320, 40)])
def test_tiny_frames(size):
    frames = [np.full((*size, 3), 40 * (k % 2), np.uint8) for k in range(6)]
    assert find(frames).summary.counts.keys() <= {"flash"}


def test_a_black_clip():
    finding = find([BLACK] * 60)
    assert [segment.label for segment in finding.segments] == ["static_hold"]
    assert finding.summary.counts == {}
    assert finding.summary.photosensitive_risk is False


def test_mirrored_clips_tell_the_same():
    a, b = clips.pan(8, 60), clips.pan(9, 60)
    frames = [np.hstack([x[:, :60], y[:, 60:]]) for x, y in zip(a, b, strict=True)]
    frames[20:22] = [WHITE, WHITE]
    plain, mirrored = find(frames), find([np.ascontiguousarray(frame[:, ::-1]) for frame in frames])
    assert plain.summary == mirrored.summary
    (split,), (twin,) = of_type(plain, "split_screen"), of_type(mirrored, "split_screen")
    assert split.data.parameters.position_ratio == pytest.approx(1 - twin.data.parameters.position_ratio, abs=0.01)


def test_doubled_frames_leave_seconds_unchanged():
    frames, _ = faded()
    frames[20:22] = [WHITE, WHITE]
    doubled = [frame for frame in frames for _ in range(2)]
    plain, twin = find(frames), find(doubled, np.arange(len(doubled)) / 60)
    assert plain.summary.counts == twin.summary.counts == {"fade": 2, "flash": 1}
    for segment, other in zip(plain.segments, twin.segments, strict=True):
        assert other.label == segment.label
        assert (other.start_seconds, other.end_seconds) == pytest.approx(
            (segment.start_seconds, segment.end_seconds), abs=FRAME + 0.001
        )


def test_chunks_do_not_matter():
    frames = np.stack([*clips.shots((10, 25), 30), WHITE, *clips.pan(3, 9)])
    is_abrupt = np.zeros(len(frames), bool)
    is_abrupt[[10, 25, 30, 31]] = True
    signals = []
    for size in (1, 7, 40):
        source = EffectSource()
        source.start(header(frames))
        for first in range(0, len(frames), size):
            part = slice(first, first + size)
            chunk = FrameChunk(
                frames=frames[part],
                times_seconds=np.arange(len(frames))[part] / 30,
                first_index=first,
                is_abrupt=is_abrupt[part],
            )
            source.push(chunk)
        signals.append(source.finish(len(frames) / 30))
    for field in fields(FrameEffects):
        for other in signals[1:]:
            np.testing.assert_array_equal(getattr(other, field.name), getattr(signals[0], field.name), field.name)


def test_a_frame_leaves_a_few_hundred_bytes_and_costs_little():
    frames = clips.pan(1, 120)
    source = EffectSource()
    source.start(header(frames))
    chunk = FrameChunk(
        frames=np.stack(frames),
        times_seconds=np.arange(120) / 30,
        first_index=0,
        is_abrupt=np.zeros(120, bool),
    )
    began = time.thread_time()
    source.push(chunk)
    assert (time.thread_time() - began) / 120 < 0.004, "seconds of CPU per frame; 0.0007 when nothing else runs"
    signal = source.finish(4.0)
    arrays = [value for field in fields(signal) if isinstance(value := getattr(signal, field.name), np.ndarray)]
    assert sum(array.nbytes for array in arrays) / 120 < 500


def test_ten_minutes_of_strobe_at_60_fps():
    levels = np.tile([0.1] * 6 + [0.9] * 6, 3000)
    times = np.arange(len(levels)) / 60
    began = time.thread_time()
    finding = visual_effects.analyze(lit(levels, times=times), cut(0.0, 600.0))
    assert time.thread_time() - began < 20
    assert len(finding.segments) == 1
    assert finding.summary.max_flashes_per_second == 5
    assert finding.summary.flash_count == 2999, "the last has no end"


def test_the_demo_clip():
    """A flash at frames 174 and 175, black from 193 to 196 with fades around it, a card that stands still."""
    (analyzer,) = pipeline.select(["visual_effects"])
    results = pipeline.analyze(DEMO, analyzers=[analyzer], profile=settings.profile("cpu"), client=None)
    found = to_json(results, [analyzer])["analyzers"]["visual_effects"]
    assert found["status"] == "ok", found["message"]
    spans = [(segment["label"], segment["start"], segment["end"]) for segment in found["segments"]]
    assert spans == [
        ("static_hold", 4.5, 5.5),
        ("flash", 5.8, 5.867),
        ("fade", 6.267, 6.433),
        ("fade", 6.567, 6.733),
    ]
    assert {"type", "params", "confidence"} == set(found["segments"][0]["data"])
    assert {"counts", "effects_per_min", "n_flashes", "max_flashes_per_s", "risk"} <= set(found["summary"])
    assert found["summary"]["counts"] == {"fade": 2, "flash": 1}
    assert found["summary"]["effects_per_min"] == 18
