"""Temporal flow: phases, pace, climax, hook and call to action, from findings made by hand and frames in memory."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import envelope
import numpy as np
import pytest
import speaking
from feeding import cut, measure

import clips
from reelscope.analyzers import temporal_flow
from reelscope.analyzers.base import Finding, Segment, Series, numbered
from reelscope.analyzers.flow_phases import change_points, phases
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
    """Finding of audio_analysis: one loudness throughout, and a burst with its onset."""
    values = np.full(100, level)
    segments = []
    if burst is not None:
        values[round(10 * burst) : round(10 * burst) + 4] = -10.0
        segments = [span(burst, burst + 0.01, "onset"), span(1.0, 1.01, "beat")]
    return Finding(
        segments=numbered("audio_analysis", segments),
        series=Series(hop_seconds=0.1, columns={"lufs_m": tuple(values.tolist())}),
        summary=None,
    )


def span(start, end, label, **data):
    return Segment(
        kind="span", start_seconds=start, end_seconds=end, label=label, score=None, data=SimpleNamespace(**data)
    )


def text(*lines):
    """Finding of text_overlay: start, end, label and text of lines."""
    segments = [span(start, end, label, text=words) for start, end, label, words in lines]
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
    assert found.summary.climax_seconds == pytest.approx(7.0, abs=1.0)
    assert found.summary.climax_evidence_ids == (("audio_analysis:2",) if is_heard else ())
    (climax,) = [segment for segment in found.segments if segment.label == "climax"]
    assert climax.start_seconds <= 7.0 < climax.end_seconds
    assert climax.data.intensity > max(s.data.intensity for s in found.segments if s.label != "climax")
    assert ("audio_analysis:2" in climax.data.evidence_ids) == is_heard
    assert "audio_analysis:1" not in {i for s in found.segments for i in s.data.evidence_ids}, "a beat is no evidence"


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
