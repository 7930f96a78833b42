"""Temporal flow: phases, pace, climax, hook and call to action, from findings made by hand and frames in memory."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import envelope
import numpy as np
import pytest
import speaking
from feeding import cut, measure

import clips
from reelscope import pipeline, results, settings
from reelscope.analyzers import audio_analysis, cut_analysis, temporal_flow, visual_effects
from reelscope.analyzers.base import Finding, Segment, Series, numbered
from reelscope.analyzers.flow_phases import change_points, climax, phases
from reelscope.check import check
from reelscope.sources.effects import EffectSource
from reelscope.sources.shots import ShotSource

SECONDS = 10.0


@pytest.fixture(scope="module")
def flashing():
    """A steady pan of ten seconds with a white flash at 7 s, and its shots."""
    frames = clips.pan(1, 300, px_per_frame=1, height=96, width=54)
    for frame in (210, 211):
        frames[frame] = np.full_like(frames[0], 255)
    return measure(ShotSource(), frames), measure(EffectSource(), frames)


def effects(seconds=SECONDS, picture=None):
    """Frames of which nothing changes, but for the last one's picture."""
    frames = [np.full((48, 27, 3), 90, np.uint8)] * round(30 * seconds)
    if picture is not None:
        frames = [*frames[:-1], picture]
    return measure(EffectSource(), frames)


def loudness(level=-30.0, burst=None):
    """Finding of audio_analysis: one loudness with a tone's ripple, null at the ends, and a burst with its onset."""
    values = level + 0.01 * np.sin(np.arange(100))
    segments = []
    if burst is not None:
        values[round(10 * burst) : round(10 * burst) + 4] = -10.0
        segments = [span(burst, burst + 0.01, "onset"), span(1.0, 1.01, "beat")]
    return Finding(
        segments=numbered("audio_analysis", segments),
        series=Series(hop_seconds=0.1, columns={"lufs_m": (None, None, *values[2:-1].tolist(), None)}),
        summary=None,
    )


def span(start, end, label, **data):
    return Segment(
        kind="span", start_seconds=start, end_seconds=end, label=label, score=None, data=SimpleNamespace(**data)
    )


def text(*lines):
    """Finding of text_overlay: start, end, label and text of lines, each below the one before."""
    segments = [
        span(start, end, label, text=words, quad=(0.1, row / 10, 0.9, row / 10, 0.9, row / 10, 0.1, row / 10))
        for row, (start, end, label, words) in enumerate(lines, 1)
    ]
    first = min((start for start, *_ in lines), default=None)
    return Finding(segments=numbered("text_overlay", segments), summary=SimpleNamespace(first_text_seconds=first))


def shots_of(shots):
    return Finding(
        segments=numbered("cut_analysis", [span(s.start_seconds, s.end_seconds, "shot") for s in shots.shots]),
        summary=None,
    )


def told(shots, frames=None, activity=None, acoustics=None, faces=None, **findings):
    return temporal_flow.analyze(shots, frames or effects(), activity, acoustics, faces, findings)


@pytest.mark.parametrize(
    ("lengths", "sign"),
    [
        ((2, 2, 1, 1, 0.5, 0.5, 0.25, 0.25), 1),
        ((0.25, 0.25, 0.5, 0.5, 1, 1, 2, 2), -1),
        ((1, 1, 1, 1, 1, 1), 0),
    ],
)
def test_pacing_slope(lengths, sign):
    slope = told(cut(0.0, *np.cumsum(lengths).tolist())).summary.pacing_slope
    assert np.sign(round(slope, 6)) == sign
    if sign == 1:
        assert 0.3 < slope < 0.6  # three doublings in seven and a half seconds


def test_two_shots_have_no_slope():
    assert told(cut(0.0, 2.0, 10.0)).summary.pacing_slope is None


@pytest.mark.parametrize("is_heard", [True, False])
def test_climax_at_flash_and_burst(flashing, is_heard):
    shots, frames = flashing
    assert len(shots.shots) == 1
    findings = {"audio_analysis": loudness(burst=7.0)} if is_heard else {}
    found = told(shots, frames, **findings)
    assert found.summary.climax_seconds == pytest.approx(7.0, abs=0.2)
    assert found.summary.climax_evidence_ids == (("audio_analysis:2",) if is_heard else ())
    (climax,) = [segment for segment in found.segments if segment.label == "climax"]
    assert climax.start_seconds <= 7.0 < climax.end_seconds
    assert climax.data.intensity > max(s.data.intensity for s in found.segments if s.label != "climax")
    assert ("audio_analysis:2" in climax.data.evidence_ids) == is_heard
    assert "audio_analysis:1" not in {i for s in found.segments for i in s.data.evidence_ids}, "a beat is no evidence"


@pytest.mark.parametrize("seconds", [10.0, 600.0])
def test_the_greater_of_two_flashes_is_the_climax(seconds):
    """However long the clip is, and however much either stands out of its stillness."""
    frames = effects(1.0)
    count = round(30 * seconds)
    change = np.zeros(count, np.float32)
    for share, size in ((0.2, 40), (0.7, 150)):
        change[round(share * count) :][:2] = size
    frames = replace(frames, times_seconds=np.arange(count) / 30, duration_seconds=seconds, change=change)
    assert told(cut(0.0, seconds), frames).summary.climax_seconds == pytest.approx(0.7 * seconds, abs=0.2)


def test_a_climax_at_the_end_lies_within_the_clip():
    """Also where the last tenth of a second is not whole."""
    rising = np.arange(100.0)
    assert climax(rising, 10.0) == pytest.approx(9.95)
    assert climax(rising, 9.92) == pytest.approx(9.91)
    assert climax(-rising, 9.92) == pytest.approx(0.05)
    assert phases(9.92, (7.0,), (), climax(rising, 9.92), None)[-1].name == "climax"


def test_loudness_is_unknown_where_no_window_is_centred():
    """Next to the ends; in between nothing measured is silence. Where all is equal, the ends do not differ."""
    found = told(cut(0.0, 10.0), audio_analysis=loudness())
    column = found.series.columns["lufs_m"]
    assert [number for number, value in enumerate(column) if value is None] == [0, 1, 99]
    silent = Finding(segments=(), summary=None, series=Series(hop_seconds=0.1, columns={"lufs_m": (None,) * 100}))
    found = told(cut(0.0, 10.0), audio_analysis=silent)
    assert set(found.series.columns["lufs_m"][4:-4]) == {-70.0}
    assert found.summary.climax_seconds is None
    short = Finding(segments=(), summary=None, series=Series(hop_seconds=0.1, columns={"lufs_m": (None,) * 3}))
    # A long clip's curve has fewer points; its last ones may be unknown for longer.
    long = Series(hop_seconds=0.3, columns={"lufs_m": (None, *[-20.0] * 32, None)})
    found = told(cut(0.0, 10.0), audio_analysis=Finding(segments=(), summary=None, series=long))
    assert {value for value in found.series.columns["lufs_m"] if value is not None} == {-20.0}
    assert found.summary.climax_seconds is None
    assert "lufs_m" not in told(cut(0.0, 0.3), effects(0.3), audio_analysis=short).series.columns


def test_rows_of_one_call_are_told_together():
    rows = ((2.0, 4.0, "cta", "FOLLOW"), (8.6, 10.0, "cta", "LINK IN"), (8.4, 10.0, "cta", "BIO"))
    found = text(*rows)
    cta = told(cut(0.0, 10.0), text_overlay=found).summary.cta
    assert (cta.start_seconds, cta.text) == (8.4, "LINK IN BIO")
    said = {segment.id: segment.data.text for segment in found.segments}
    assert [said[identifier] for identifier in cta.evidence_ids] == ["LINK IN", "BIO"]


def test_call_to_action():
    findings = {
        "text_overlay": text((0.2, 3.0, "title", "3 THINGS"), (8.5, 10.0, "cta", "LINK IN BIO")),
        "speech_transcription": Finding(segments=(span(5.0, 6.0, "utterance", text="Tap the link."),), summary=None),
    }
    found = told(cut(0.0, 4.0, 10.0), **findings)
    cta = found.summary.cta
    assert (cta.start_seconds, cta.text, cta.source, cta.evidence_ids) == (
        8.5,
        "LINK IN BIO",
        "text",
        ("text_overlay:2",),
    )
    assert found.segments[-1].label == "cta"
    assert (found.segments[-1].start_seconds, found.segments[-1].end_seconds) == (8.5, 10.0)

    spoken = told(cut(0.0, 10.0), speech_transcription=findings["speech_transcription"]).summary.cta
    assert (spoken.start_seconds, spoken.source) == (5.0, "speech")
    seen = Finding(segments=(), summary=SimpleNamespace(cta="Follow the account"))
    shown = told(cut(0.0, 10.0), qwen2_vl_temporal=seen).summary.cta
    assert (shown.start_seconds, shown.text, shown.source) == (None, "Follow the account", "understanding")
    assert told(cut(0.0, 10.0), text_overlay=text((0.0, 1.0, "title", "Hello"))).summary.cta is None


@pytest.mark.parametrize("climax", [None, 1.0, 5.0, 7.9, 9.0])
@pytest.mark.parametrize("cta", [None, 1.0, 8.0])
@pytest.mark.parametrize("changes", [(), (3.5,), (2.0, 4.0, 6.0, 7.5)])
def test_phases_are_in_order_and_partition_the_clip(climax, cta, changes):
    found = phases(10.0, changes, (2.5, 9.5), climax, cta)
    order = ["hook", "build", "climax", "resolution", "cta"]
    names = [phase.name for phase in found]
    assert names == sorted(set(names), key=order.index)
    assert found[0].name == "hook"
    assert 1.5 <= found[0].end_seconds <= 10 / 3
    assert ("cta" in names) == (cta == 8.0)
    assert all(phase.start_seconds < phase.end_seconds for phase in found)
    if climax is not None:
        assert [phase.start_seconds for phase in found] == [0.0, *(phase.end_seconds for phase in found[:-1])]
        assert found[-1].end_seconds == 10.0
        (holding,) = [phase.name for phase in found if phase.start_seconds <= climax < phase.end_seconds]
        assert holding == ("hook" if climax == 1.0 else "cta" if climax == 9.0 and cta == 8.0 else "climax")


def test_phases_begin_where_shots_do_and_are_no_leftovers():
    def edges(changes, cuts, climax, cta=None):
        return [(phase.name, phase.start_seconds) for phase in phases(12.0, changes, cuts, climax, cta)]

    assert edges((6.0, 8.0), (5.8, 8.3), 7.0) == [("hook", 0.0), ("build", 3.0), ("climax", 5.8), ("resolution", 8.0)]
    # A change right behind the hook's end, one right before the call to action.
    assert edges((3.5, 6.0, 8.0), (3.4,), 4.0, 8.3) == [
        *(("hook", 0.0), ("climax", 3.4)),
        *(("resolution", 6.0), ("cta", 8.3)),
    ]
    assert edges((3.5, 8.0), (3.4,), 4.0, 8.3) == [("hook", 0.0), ("climax", 3.4), ("cta", 8.3)]


def test_change_points_are_where_the_level_changes():
    noise = np.random.default_rng(0).normal(0, 0.1, 100)
    level = np.repeat([0.0, 2.0, -1.0], [30, 30, 40])
    assert change_points(level + noise) == pytest.approx([3.0, 6.0])
    assert change_points(np.zeros(5)) == []


def test_an_opening_that_has_everything(flashing):
    shots, frames = flashing
    activity = speaking.activity([(0.5, 9.0)], SECONDS)
    product = Finding(segments=(), summary=SimpleNamespace(first_seen_seconds=0.4))
    faces = SimpleNamespace(times_seconds=np.arange(10.0), frame=np.array([0, 3]))
    full = told(
        cut(0.0, 1.0, 2.0, 10.0),
        frames,
        activity,
        faces=faces,
        text_overlay=text((0.2, 3.0, "title", "Look")),
        product_detection=product,
    ).summary
    rated = full.hook_components
    assert (rated.text, rated.speech, rated.face, rated.product, rated.cuts) == (1.0, 1.0, 1.0, 1.0, 1.0)
    assert full.hook_score > 85
    assert full.hook_weight_ratio == pytest.approx(1.0)
    assert full.time_to_first_text_seconds == 0.2
    assert full.time_to_first_speech_seconds == 0.5
    assert full.time_to_first_face_seconds == 0.0
    assert full.time_to_first_product_seconds == 0.4
    first, second = full.hook_windows
    assert (first.end_seconds, first.cut_count, second.end_seconds) == (3.0, 2, 6.0)
    assert first.speech_ratio == pytest.approx(2.5 / 3)
    assert first.text_ratio == pytest.approx(2.8 / 3)

    late = told(shots, frames, speaking.activity([(5.0, 6.0)], SECONDS), text_overlay=text()).summary
    assert (late.hook_components.text, late.hook_components.speech, late.hook_components.cuts) == (0.0, 0.0, 0.0)
    assert late.hook_components.face is None
    assert late.hook_score < 20
    assert late.hook_weight_ratio == pytest.approx(0.7)


def test_a_voice_that_moves_is_more_intense_than_one_that_does_not():
    waveform = np.zeros(160_000, np.float32)
    acoustics = speaking.acoustics(waveform)
    times = acoustics.middles_seconds
    moving = 150 * 2 ** (np.sin(2 * np.pi * 2 * times) / 4 * ((times >= 6) & (times < 8)))
    acoustics = replace(acoustics, pitch_hz=moving.astype(np.float32))
    found = told(cut(0.0, 10.0), activity=speaking.activity([(0.0, 9.0)], SECONDS), acoustics=acoustics)
    curve = found.series.columns["pitch_variability_st"]
    assert max(curve[:50]) < 0.01
    assert curve[70] == pytest.approx(3 / np.sqrt(2), rel=0.1)
    assert curve[97] is None, "nobody speaks"
    assert found.summary.climax_seconds == pytest.approx(7.0, abs=1.0)


def test_loopability():
    ramp = np.tile(np.linspace(0, 255, 27).astype(np.uint8)[None, :, None], (48, 1, 3))
    same = measure(EffectSource(), [ramp, *[ramp[:, ::-1]] * 28, ramp])
    other = measure(EffectSource(), [ramp, *[ramp] * 28, ramp[:, ::-1]])
    assert told(cut(0.0, 1.0), same).summary.loopability == pytest.approx(1.0)
    assert told(cut(0.0, 1.0), other).summary.loopability < 0.1


def test_one_frame():
    found = told(cut(0.0, 1 / 30), effects(1 / 30))
    summary = found.summary
    assert found.segments == ()
    assert (summary.hook_score, summary.climax_seconds, summary.pacing_slope, summary.loopability) == (None,) * 4
    assert summary.cta is None
    assert temporal_flow.headline(summary) == "nothing measured"


def test_nothing_happens():
    """A still clip has no climax: what lies between its hook and its end is no phase."""
    found = told(cut(0.0, 10.0), audio_analysis=loudness())
    assert found.summary.climax_seconds is None
    assert found.summary.hook_components.intensity is None
    assert [segment.label for segment in found.segments] == ["hook"]


def test_ten_minutes_keep_to_the_points_of_a_series():
    times = np.arange(0, 601.0)
    found = told(cut(*times.tolist()), replace(effects(1.0), duration_seconds=600.0))
    assert len(found.series.columns["intensity"]) == 3000
    assert found.series.hop_seconds == 0.2
    assert len(found.full_series.columns["intensity"]) == 6000


def test_every_input_can_be_missing(flashing):
    """Whatever is left out, the rest is told; the same inputs give the same finding; the file keeps its invariants."""
    shots, frames = flashing
    findings = {
        "text_overlay": text((0.2, 3.0, "title", "Look"), (8.5, 10.0, "cta", "LINK IN BIO")),
        "audio_analysis": loudness(burst=7.0),
        "cut_analysis": shots_of(shots),
        "product_detection": Finding(segments=(), summary=SimpleNamespace(first_seen_seconds=None)),
        "qwen2_vl_temporal": Finding(
            segments=numbered("qwen2_vl_temporal", [span(6.0, 8.0, "CU", caption="A flash.")]),
            summary=SimpleNamespace(cta=None),
        ),
    }
    whole = told(shots, frames, **findings)
    assert told(shots, frames, **findings) == whole
    assert [s.data.name for s in whole.segments if s.label == "climax"] == ["A flash."]
    known = {segment.id for finding in findings.values() for segment in finding.segments}
    named = {identifier for segment in whole.segments for identifier in segment.data.evidence_ids}
    assert named
    assert named <= known
    for missing in findings:
        left = told(shots, frames, **{name: each for name, each in findings.items() if name != missing})
        assert left.summary.climax_seconds == pytest.approx(7.0, abs=1.0)
        assert not {i for s in left.segments for i in s.data.evidence_ids if i.startswith(missing)}
    alone = told(shots, frames)
    assert check(envelope.written(temporal_flow.ANALYZER, alone, shots, SECONDS)) == []
    dangling = envelope.written(temporal_flow.ANALYZER, whole, shots, SECONDS)
    assert {violation.invariant for violation in check(dangling)} == {"I6"}
    dangling["analyzers"]["temporal_flow"]["segments"].pop()
    assert {violation.invariant for violation in check(dangling)} == {"I6", "I9"}


def test_order_and_climax_of_the_phases_are_checked(flashing):
    shots, frames = flashing
    values = envelope.written(temporal_flow.ANALYZER, told(shots, frames), shots, SECONDS)
    flow = values["analyzers"]["temporal_flow"]
    assert check(values) == []
    labels = [segment["label"] for segment in flow["segments"]]
    assert labels == ["hook", "build", "climax", "resolution"]
    flow["segments"][0]["label"] = "resolution"
    assert [violation.message for violation in check(values)] == ["its phases are out of order"]
    flow["segments"][0]["label"] = "hook"
    flow["summary"]["climax_s"] = 1.0
    assert [violation.invariant for violation in check(values)] == ["I9"]
    flow["summary"]["climax_s"] = 7.0
    flow["summary"]["climax_evidence_ids"] = ["cut_analysis:1"]
    assert [violation.invariant for violation in check(values)] == ["I6"]


def test_a_pipeline_without_one_of_the_consulted_names_it(tmp_path):
    """Also without sound: what was skipped, and what was not asked for, is missing, and the rest is told."""
    clip = clips.write(tmp_path / "silent.mp4", clips.shots((60, 90), 120, height=96, width=54))

    def alone(shots, effects, findings):
        return temporal_flow.analyze(shots, effects, None, None, None, findings)

    flow = replace(temporal_flow.ANALYZER, uses=(), analyze=alone)
    consulted = {each.name: each for each in (visual_effects.ANALYZER, cut_analysis.ANALYZER, audio_analysis.ANALYZER)}
    never = {name for name in flow.consults if name not in ("visual_effects", "cut_analysis")}
    for left_out in (None, *consulted):
        analyzers = (flow, *(each for name, each in consulted.items() if name != left_out))
        found = pipeline.analyze(clip, analyzers=analyzers, profile=settings.profile("cpu"), client=None)
        told_of = found.analyzers["temporal_flow"]
        assert told_of.status == "ok"
        assert set(told_of.inputs.missing_inputs) == never | {left_out} - {None}
        values = json.loads(json.dumps(results.to_json(found, analyzers), allow_nan=False))
        assert check(values) == []
        named = {i.partition(":")[0] for s in told_of.segments for i in s.data.evidence_ids}
        assert named == ({"cut_analysis"} if left_out != "cut_analysis" else set())
