"""Cross-analyzer intelligence: what synthesised curves, cuts and findings have in common, and what they have not."""

from __future__ import annotations

import ast
import itertools
import re
from dataclasses import replace
from pathlib import Path

import envelope
import heads
import numpy as np
import pytest
from feeding import cut
from scipy.signal import lfilter
from scipy.stats import false_discovery_control
from speaking import activity

from reelscope import check, pipeline
from reelscope.analyzers import cross_analyzer_intelligence as cross
from reelscope.analyzers import cross_correlations, cut_analysis
from reelscope.analyzers.audio_segments import Beat, Onset
from reelscope.analyzers.base import Finding, Segment, Series, numbered
from reelscope.analyzers.cross_correlations import correlate
from reelscope.analyzers.cross_curves import CURVES, PAIRS
from reelscope.analyzers.effect_kinds import EffectData, FlashParameters
from reelscope.analyzers.face_emotion import ExpressionData
from reelscope.analyzers.speech_emotion import VoiceData
from reelscope.analyzers.speech_transcription import TranscribedWord, TranscriptionData
from reelscope.analyzers.text_overlay import TextData
from reelscope.results import require_finite

PULSE_CELLS = 1.5


def pulses(times_seconds, cells, sigma_cells=PULSE_CELLS):
    return np.exp(-0.5 * ((np.arange(cells)[:, None] - 10 * np.asarray(times_seconds)) / sigma_cells) ** 2).sum(1)


def autoregressive(phi, cells, rng):
    return lfilter([1], [1, -phi], rng.normal(size=cells + 500))[500:]


def compare(a, b):
    """The correlation of two curves, or why there is none."""
    tested, untested = correlate({"a": np.asarray(a, float), "b": np.asarray(b, float)}, [("a", "b")])
    return tested[0] if tested else untested[0].reason


# Findings made by hand.


def segment(label, start, end, data=None, *, score=None, kind="span"):
    return Segment(kind=kind, start_seconds=start, end_seconds=end, label=label, score=score, data=data)


def finding(name, *segments, series=None, summary=None):
    return {name: Finding(segments=numbered(name, segments), summary=summary, series=series or Series())}


def beats(*times):
    return [segment("beat", time, time + 0.01, Beat(beat_number=k), kind="event") for k, time in enumerate(times, 1)]


def onsets(*times):
    return [segment("onset", time, time + 0.01, Onset(strength_db=6.0), kind="event") for time in times]


def heard(*segments, level=None, cells=100):
    levels = np.full(cells, -40.0) if level is None else level
    return finding("audio_analysis", *segments, series=Series(hop_seconds=0.1, columns={"rms_dbfs": tuple(levels)}))


def line(text, start, end, role=None, *, y=0.5, height=5.0):
    data = TextData(
        text=text,
        lang=None,
        quad=(0.1, y, 0.9, y, 0.9, y, 0.1, y),
        reading_confidence=1.0,
        height_percent=height,
        contrast_ratio=None,
        chars_per_second=None,
        safe_zone_ok=None,
        role=role,
    )
    return segment(role or "text", start, end, data, score=1.0)


def utterance(text, start, end):
    spoken = text.split()
    edges = np.linspace(start, end, len(spoken) + 1).tolist()
    words = tuple(
        TranscribedWord(spoken_word=word, start_seconds=first, end_seconds=last, word_probability=0.9)
        for word, first, last in zip(spoken, edges, edges[1:], strict=False)
    )
    return segment("utterance", start, end, TranscriptionData(text=text, words=words, lang="en", speaker=None))


def expression(label, start, end, probability=0.9):
    data = ExpressionData(
        probabilities=(), dominant=label, intensity=1.0, valence=None, arousal=None, face_area_percent=9.0
    )
    return segment(label, start, end, data, score=probability)


def voice(valence, start, end):
    data = VoiceData(arousal=0.5, valence=valence, dominance=0.5, probabilities=None, snr_db=None)
    return segment("voice", start, end, data)


def find(shots=None, *, speech=None, faces=None, **findings):
    found = cross.analyze(shots or cut(0, 10), speech, faces, findings)
    require_finite(found)
    return found


def labelled(found, label):
    return [each for each in found.segments if each.label == label]


def ids(found):
    return [each.id for each in found.data.evidence]


# Correlations.


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_clicks_after_pulses(seed):
    rng = np.random.default_rng(seed)
    times = rng.uniform(0, 10, 10)
    noise = 0.05 * rng.normal(size=(2, 100))
    found = compare(pulses(times, 100) + noise[0], pulses(times + 0.3, 100) + noise[1])
    assert found.lag_seconds == pytest.approx(0.3, abs=0.1)
    assert found.r > 0.8
    assert found.p < 0.001
    assert found.q == found.p
    mirrored = compare(pulses(times + 0.3, 100) + noise[1], -pulses(times, 100) + noise[0])
    assert mirrored.lag_seconds == pytest.approx(-0.3, abs=0.1)
    assert mirrored.r < -0.8


def test_flashes_and_clicks_of_a_clip():
    """Through the analyzer: the picture jumps, 0.3 s later the sound does; nothing else is there."""
    times = np.random.default_rng(3).uniform(0.2, 9.5, 10)
    shots = cut(0, 10)
    change = np.repeat(40 * pulses(times, 100), 3)
    level = tuple(None if power < 1e-9 else 10 * np.log10(power) for power in pulses(times + 0.3, 100) / 10)
    found = find(replace(shots, luma_change=change), **heard(level=level)).summary
    (pair,) = found.correlations
    assert (pair.a, pair.b) == ("motion", "loudness")
    assert pair.lag_seconds == pytest.approx(0.3, abs=0.1)
    assert pair.r > 0.8
    assert pair.q < 0.001
    assert {each.reason for each in found.untested_pairs} == {"missing_input", "constant"}
    assert len(found.untested_pairs) == len(PAIRS) - 1
    assert cross.headline(found).startswith("1 of 1 pairs correlate: motion~loudness")


def unrelated(rng, cells):
    """As many curves as there are, half of them slow or fast noise, half events."""
    return {
        name: autoregressive(rng.uniform(0.3, 0.95), cells, rng)
        if rng.random() < 0.5
        else pulses(rng.uniform(0, cells / 10, rng.integers(2, 15)), cells)
        for name in CURVES
    }


def test_chance_is_not_significant():
    """The light form of the next test."""
    rng = np.random.default_rng(5)
    ps, alarms = [], 0
    for _ in range(15):
        tested, _ = correlate(unrelated(rng, 100), PAIRS)
        alarms += any(pair.q <= 0.05 for pair in tested)
        ps += [pair.p for pair in tested]
        assert [pair.q for pair in tested] == pytest.approx(false_discovery_control([pair.p for pair in tested]))
    assert alarms <= 2
    assert len(ps) > 150
    assert 0.02 < np.mean(np.array(ps) <= 0.05) < 0.08
    assert 0.4 < np.mean(np.array(ps) <= 0.5) < 0.6


@pytest.mark.slow
@pytest.mark.parametrize("cells", [50, 100, 300])
def test_chance_is_not_significant_in_200_runs(cells):
    """Any of the pairs in at most 10 % of runs on unrelated curves."""
    rng = np.random.default_rng(cells)
    alarms = 0
    for _ in range(200):
        tested, _ = correlate({name: autoregressive(rng.uniform(0.3, 0.95), cells, rng) for name in CURVES}, PAIRS)
        alarms += any(pair.q <= 0.05 for pair in tested)
    assert alarms <= 20


def test_one_event_in_each_curve_is_no_correlation():
    assert compare(pulses([4.0], 100), pulses([4.3], 100)) == "too_few_events"


def test_a_common_trend_is_no_correlation():
    rng = np.random.default_rng(1)
    found = compare(np.arange(100) + rng.normal(size=100), np.arange(100) + rng.normal(size=100))
    assert abs(found.r) < 0.5
    assert found.p > 0.05
    assert compare(np.arange(100.0), rng.normal(size=100)) == "constant"
    assert compare(np.full(100, 7.0), rng.normal(size=100)) == "constant"


def test_only_what_both_know_is_compared():
    rng = np.random.default_rng(2)
    curve = rng.normal(size=200)
    gaps = curve.copy()
    gaps[[0, 49, 110]] = np.nan
    found = compare(curve, gaps)
    assert (found.r, found.lag_seconds) == (pytest.approx(1), 0)
    assert 60 < found.independent_count <= 89
    gaps[[60, 155]] = np.nan
    assert compare(curve, gaps) == "too_short"
    assert compare(curve, np.full(200, np.nan)) == "too_short"
    assert correlate({"a": curve}, [("a", "b")])[1][0].reason == "missing_input"


def test_smooth_curves_have_fewer_independent_values():
    rng = np.random.default_rng(4)
    counts = [
        cross_correlations.independent_count(*(autoregressive(phi, 1000, rng) for _ in range(2)))
        for phi in (0.0, 0.5, 0.9)
    ]
    # (1 - phi^2) / (1 + phi^2) of them: Bartlett.
    assert counts == pytest.approx([1000, 600, 105], rel=0.3)


def test_ten_minutes_are_compared_in_coarser_cells():
    rng = np.random.default_rng(6)
    slow = lfilter(np.ones(10) / 10, 1, rng.normal(size=6000))
    found = compare(slow, np.roll(slow, 5) + 0.1 * rng.normal(size=6000))
    assert found.lag_seconds == 0.5
    assert found.p < 0.001
    assert found.independent_count <= cross_correlations.MAX_CELLS


def test_a_pair_is_tested_as_it_would_be_alone():
    """Surrogates are shared only by pairs whose second curve is the same, coarseness included."""
    rng = np.random.default_rng(1)
    whole, partly, second = rng.normal(size=(3, 2700))
    partly[1800:] = np.nan  # 900 cells of 0.2 s, where the whole has 900 of 0.3 s
    curves = {"whole": whole, "partly": partly, "second": second}
    pairs = [("whole", "second"), ("partly", "second")]
    together = correlate(curves, pairs)[0]
    assert [each.p for each in together] == [correlate(curves, [pair])[0][0].p for pair in pairs]


# Cuts and beats.


def cuts(*times, seconds=10.0):
    found = cut_analysis.analyze(cut(0, *times, seconds))
    return {"cut_analysis": replace(found, segments=numbered("cut_analysis", found.segments))}


HALF_SECONDS = np.arange(0, 10, 0.5) + 0.01


def test_cuts_on_beats():
    found = find(cut(0, 1.5, 3.0, 4.5, 5.5, 8.0, 10), **heard(*beats(*HALF_SECONDS)), **cuts(1.5, 3.0, 4.5, 5.5, 8.0))
    summary = found.summary
    assert summary.cut_beat_sync == 1
    assert summary.cut_beat_chance == pytest.approx(0.28, abs=0.01)
    assert summary.cut_beat_p == pytest.approx(summary.cut_beat_chance**5)
    syncs = labelled(found, "sync")
    assert [each.start_seconds for each in syncs] == [1.5, 3.0, 4.5, 5.5, 8.0]
    assert ids(syncs[0]) == ["cut_analysis:2", "audio_analysis:4"]
    assert syncs[0].data.text == "a cut 10 ms before a beat"
    assert syncs[0].data.strength == pytest.approx(1 - 10 / 70)


def test_shuffled_cuts_are_on_beats_by_chance():
    rng = np.random.default_rng(8)
    found = [
        find(cut(0, *np.sort(rng.uniform(0.1, 9.9, 8)).round(3), 10), **heard(*beats(*HALF_SECONDS))).summary
        for _ in range(20)
    ]
    assert np.mean([each.cut_beat_sync for each in found]) == pytest.approx(0.28, abs=0.08)
    assert np.mean([each.cut_beat_p <= 0.05 for each in found]) <= 0.15


def test_off_beat_cuts_are_on_none():
    found = find(cut(0, 1.26, 3.76, 10), **heard(*beats(*HALF_SECONDS)))
    assert (found.summary.cut_beat_sync, found.summary.cut_beat_p) == (0, 1)
    assert labelled(found, "sync") == []


@pytest.mark.parametrize(("edges", "times"), [((0, 10), HALF_SECONDS), ((0, 5, 10), ())])
def test_without_cuts_or_beats_nothing_is_in_time(edges, times):
    found = find(cut(*edges), **heard(*beats(*times))).summary
    assert (found.cut_beat_sync, found.cut_beat_chance, found.cut_beat_p) == (None, None, None)


# Contradictions.

SAID = utterance("we love this little orange cat", 2.0, 4.0)


@pytest.mark.parametrize(
    ("text", "strength"),
    [("We LOVE this little", None), ("love ths litle orange", None), ("we hate that huge dog", 0.6)],
)
def test_captions_and_speech(text, strength):
    found = find(**finding("text_overlay", line(text, 2.0, 3.5, "caption")), **finding("speech_transcription", SAID))
    conflicts = labelled(found, "conflict")
    assert len(conflicts) == (strength is not None)
    if strength is not None:
        (conflict,) = conflicts
        assert (conflict.data.rule, ids(conflict)) == (
            "caption_and_speech",
            ["text_overlay:1", "speech_transcription:1"],
        )
        assert conflict.data.strength == pytest.approx(strength, abs=0.15)


def test_a_line_in_the_captions_place_is_one():
    """What is not said has no role of its own; elsewhere in the picture it may say what it likes."""
    captions = line("we love this", 2.0, 2.8, "caption", y=0.8)
    for y, count in ((0.8, 1), (0.3, 0)):
        lines = finding("text_overlay", captions, line("buy a horse", 2.8, 3.6, y=y))
        assert len(labelled(find(**lines, **finding("speech_transcription", SAID)), "conflict")) == count


@pytest.mark.parametrize(
    ("label", "valence", "fires"),
    [("happy", 0.1, True), ("happy", 0.5, False), ("happy", 0.9, False), ("sad", 0.9, True), ("sad", 0.1, False)],
)
def test_faces_and_voices(label, valence, fires):
    faces, voices = finding("face_emotion", expression(label, 1, 3)), finding("speech_emotion", voice(valence, 2, 5))
    conflicts = labelled(find(**faces, **voices), "conflict")
    assert len(conflicts) == fires
    for conflict in conflicts:
        assert (conflict.start_seconds, conflict.end_seconds) == (2, 3)
        assert conflict.data.strength == pytest.approx(0.9 * 0.8)
        assert ids(conflict) == ["face_emotion:1", "speech_emotion:1"]


def test_faces_and_voices_that_hardly_meet_or_are_unsure():
    sad_voice = finding("speech_emotion", voice(0.1, 2.8, 5))
    assert labelled(find(**finding("face_emotion", expression("happy", 1, 3)), **sad_voice), "conflict") == []
    assert labelled(find(**finding("face_emotion", expression("happy", 1, 5, 0.4)), **sad_voice), "conflict") == []


def test_speech_without_a_face():
    speech = activity([(1.0, 2.9), (3.1, 7.0)], 10.0)
    seen = heads.faces(range(40), frame_count=100)
    found = find(speech=speech, faces=seen, **finding("speech_transcription", SAID))
    (conflict,) = labelled(found, "conflict")
    assert (conflict.start_seconds, conflict.end_seconds) == (pytest.approx(4.0), pytest.approx(7.0))
    assert conflict.data.strength == pytest.approx(0.5)
    assert conflict.data.rule == "speech_without_face"
    assert labelled(find(speech=speech, faces=heads.faces(range(65), frame_count=100)), "conflict") == []
    assert labelled(find(speech=speech), "conflict") == labelled(find(faces=seen), "conflict") == []


@pytest.mark.parametrize(
    ("said", "shown", "start", "fires"),
    [
        ("just click the link in my bio", "LINK IN BIO", 8.0, False),
        ("swipe up to get it", "LINK IN BIO", 8.0, True),
        ("swipe up to get it", "LINK IN BIO", 3.0, False),
        ("this is a cat", "LINK IN BIO", 8.0, False),
    ],
)
def test_calls_to_action(said, shown, start, fires):
    texts, speech = line(shown, start, start + 1, "cta"), utterance(said, 7.5, 9.5)
    found = find(**finding("text_overlay", texts), **finding("speech_transcription", speech))
    conflicts = labelled(found, "conflict")
    assert [each.data.rule for each in conflicts] == ["call_to_action"] * fires


# Key moments.


def burst(seconds=10.0, at=5.8):
    """A clip in which one flash and one bang meet: shots, findings."""
    cells = round(10 * seconds)
    change = np.full(3 * cells, 2.0) + 0.2 * np.sin(np.arange(3 * cells))
    change[round(30 * at) : round(30 * at) + 4] = 90
    level = -40 + np.sin(np.arange(cells))
    level[round(10 * at) : round(10 * at) + 2] = -10
    effect = EffectData(
        effect_type="flash",
        parameters=FlashParameters(flash_count=1, flashes_per_second=None, area_ratio=1.0),
        confidence=1.0,
    )
    flash = segment("flash", at, at + 0.07, effect, score=1.0, kind="event")
    shots = replace(cut(0, 3.0, seconds), luma_change=change)
    sound = heard(*beats(0.5, at + 0.01), *onsets(1.0, at), level=level, cells=cells)
    return shots, sound | finding("visual_effects", flash) | cuts(3.0, seconds=seconds)


def test_a_flash_and_a_bang_are_a_key_moment():
    shots, findings = burst()
    found = find(shots, **findings)
    best = max(labelled(found, "key_moment"), key=lambda each: each.score)
    assert best.start_seconds <= 5.8 < best.end_seconds
    assert best.end_seconds - best.start_seconds < 1
    assert best.data.text == "motion, loudness and onsets of sound peak together"
    assert ids(best) == ["visual_effects:1", "audio_analysis:3"]
    assert 0 < best.data.strength == best.score <= 1
    assert found.summary.modality_agreement > 0.25


def test_key_moments_are_few_apart_and_at_the_edges_too():
    change = np.full(900, 2.0)
    for at in (0, 3, 6, 9, 12, 15, 18, 21, 29.9):
        change[round(30 * at) : round(30 * at) + 6] = 90
    moments = labelled(find(replace(cut(0, 30), luma_change=change), **cuts(seconds=30)), "key_moment")
    assert len(moments) == 5
    starts = [each.start_seconds for each in moments]
    assert min(np.diff(starts)) > 1
    assert all(ids(each) for each in moments)


def test_where_nothing_happens_there_is_no_key_moment():
    found = find(cut(0, 10), **heard())
    assert found.segments == ()
    assert found.summary.modality_agreement is None
    assert found.summary.correlations is None


def test_modalities_that_move_together_agree():
    rng = np.random.default_rng(9)
    curve = np.abs(autoregressive(0.7, 100, rng))
    for level, low, high in ((-50 + 10 * curve, 0.6, 1), (-20 - 10 * curve, 0, 0.05)):
        shots = replace(cut(0, 10), luma_change=np.repeat(curve, 3))
        assert low <= find(shots, **heard(level=level)).summary.modality_agreement <= high


def test_a_picture_that_moves_every_other_cell_never_changes():
    """As five frames per second do: nothing in it stands out, and it agrees with nothing."""
    shots = replace(cut(0, 10), luma_change=np.repeat(np.tile([0.0, 40.0], 50), 3))
    level = np.full(100, -40.0)
    level[50:52] = -10
    found = find(shots, **heard(level=level))
    assert found.summary.modality_agreement is None
    (moment,) = labelled(found, "key_moment")
    assert moment.data.text == "a peak of loudness"


# The whole.


def everything():
    """A clip of which every analyzer that a rule reads has told something."""
    shots, findings = burst()
    rng = np.random.default_rng(10)
    times = tuple((np.arange(100) / 10).tolist())

    def curves(*names):
        return Series(columns={"t": times} | {name: tuple(rng.normal(size=100).tolist()) for name in names})

    findings |= finding(
        "text_overlay", line("we hate that huge dog", 2.0, 3.5, "caption"), line("LINK IN BIO", 8, 9, "cta")
    )
    findings |= finding("speech_transcription", SAID, utterance("swipe up to get it", 7.5, 9.5))
    findings |= finding("face_emotion", expression("happy", 1, 3), series=curves("happy", "arousal"))
    findings |= finding("speech_emotion", voice(0.1, 2, 9))
    findings |= finding("body_pose", series=curves("energy")) | finding("eye_tracking", series=curves("contact"))
    findings |= finding("color_analysis", series=curves("L_mean"))
    findings |= finding("camera_analysis", series=curves("pan_pct_w_s", "tilt_pct_h_s"))
    findings |= {name: Finding(segments=(), summary=None) for name in cross.CONSULTED if name not in findings}
    return shots, activity([(2.0, 4.5), (7.5, 9.5)], 10.0), heads.faces(range(30), frame_count=100), findings


@pytest.fixture(scope="module")
def observed():
    return everything()


def test_all_rules_fire_together(observed):
    shots, speech, faces, findings = observed
    found = find(shots, speech=speech, faces=faces, **findings)
    assert found.summary.missing_inputs == ()
    assert {each.data.rule for each in labelled(found, "conflict")} == {
        "caption_and_speech",
        "face_and_voice",
        "speech_without_face",
        "call_to_action",
    }
    known = {each.id for other in findings.values() for each in other.segments}
    told = [reference for each in found.segments for reference in each.data.evidence]
    assert {reference.id for reference in told} <= known
    assert all(reference.id.startswith(f"{reference.analyzer}:") for reference in told)
    assert find(shots, speech=speech, faces=faces, **findings) == found


@pytest.mark.parametrize("name", [*cross.CONSULTED, "speech_activity", "faces"])
def test_whatever_is_missing_is_named(observed, name):
    shots, speech, faces, findings = observed
    found = find(
        shots,
        speech=None if name == "speech_activity" else speech,
        faces=None if name == "faces" else faces,
        **{other: found for other, found in findings.items() if other != name},
    )
    assert found.summary.missing_inputs == (name,)
    references = {reference.analyzer for each in found.segments for reference in each.data.evidence}
    assert name not in references
    assert len(found.summary.correlations or ()) + len(found.summary.untested_pairs) == len(PAIRS)


def test_nothing_at_all():
    for seconds in (1 / 30, 4.9, 10):
        found = find(cut(0, seconds))
        assert found.segments == ()
        assert len(found.summary.missing_inputs) == len(cross.CONSULTED) + 2
        assert cross.headline(found.summary) == "too little to compare"


def test_under_five_seconds_nothing_is_correlated():
    shots, findings = burst(4.9, at=3.5)
    found = find(shots, **findings)
    assert found.summary.correlations is None
    assert found.summary.modality_agreement is None
    assert {each.reason for each in found.summary.untested_pairs} == {"missing_input", "too_short"}
    assert labelled(found, "key_moment")


def test_silence():
    level = (None,) * 100
    found = find(cut(0, 5, 10), **heard(level=level), **cuts(5))
    assert "constant" in {each.reason for each in found.summary.untested_pairs if each.b == "loudness"}
    assert found.summary.cut_beat_sync is None


# Around it.


def test_the_registry_knows_whom_it_consults():
    names = [analyzer.name for analyzer in pipeline.select(None)]
    assert set(names) - {cross.ANALYZER.name} == set(cross.CONSULTED)
    assert pipeline.select([cross.ANALYZER.name]) == pipeline.select(None)
    assert len(PAIRS) <= 15
    assert set(itertools.chain.from_iterable(PAIRS)) == CURVES.keys()


CAUSAL = re.compile(
    r"\b(because|causes?|caus(ed|ing)|leads? to|led to|due to|driv(es|en|ing)|makes?|thanks to|results? (in|from)|"
    r"triggers?|therefore|hence|so that|explains?|why|effect of|owing|influences?|boosts?)\b",
    re.IGNORECASE,
)


def test_no_text_claims_a_cause():
    """No string that could get into a text, title or headline; docstrings may say that none does."""
    folder = Path(cross.__file__).parent
    checked = 0
    for path in (*folder.glob("cross_*.py"), folder / "cross_analyzer_intelligence.py"):
        tree = ast.parse(path.read_text("utf-8"))
        documentation = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in documentation:
                checked += 1
                assert not CAUSAL.search(node.value), f"{path.name}:{node.lineno}: {node.value}"
    assert checked > 100
    assert CAUSAL.search("viewers leave because the sound drives them away")


@pytest.fixture
def values(monkeypatch):
    """A results file of this analyzer and of the one whose segments it refers to."""
    shots, findings = burst()
    findings = {"cut_analysis": findings["cut_analysis"]}
    texts = envelope.written(cut_analysis.ANALYZER, findings["cut_analysis"], shots, 10.0)
    written = envelope.written(cross.ANALYZER, find(shots, **findings), shots, 10.0)
    written["analyzers"] |= texts["analyzers"]
    found = written["analyzers"][cross.ANALYZER.name]
    found["inputs"]["missing_inputs"] = found["summary"]["missing_inputs"]
    pair = {"a": "motion", "b": "loudness", "r": 0.5, "lag_s": -0.3, "p": 0.01, "q": 0.02, "n": 40}
    found["summary"]["correlations"] = [pair]
    monkeypatch.setattr(check, "ANALYZERS", (cross.ANALYZER, cut_analysis.ANALYZER))
    return written


def test_results_keep_the_invariants(values):
    moments = values["analyzers"][cross.ANALYZER.name]["segments"]
    assert [each["label"] for each in moments] == ["key_moment"] * 2
    assert moments[0]["data"]["evidence"] == [{"analyzer": "cut_analysis", "id": "cut_analysis:2"}]
    # The envelope holds no shots, whose partition cut_analysis is held to.
    assert [each for each in check.check(values) if each.invariant not in ("I5", "I9")] == []


@pytest.mark.parametrize(
    ("invariant", "path", "value"),
    [
        ("I6", ("segments", 0, "data", "evidence", 0, "id"), "cut_analysis:9"),
        ("I6", ("segments", 0, "data", "evidence", 0, "analyzer"), "audio_analysis"),
        ("I3", ("segments", 0, "data", "strength"), 1.5),
        ("I3", ("summary", "correlations", 0, "p"), 0.03),
        ("I3", ("summary", "correlations", 0, "q"), 1.01),
        ("I3", ("summary", "correlations", 0, "r"), -1.2),
        ("I3", ("summary", "correlations", 0, "lag_s"), 1.1),
        ("I3", ("summary", "cut_beat_sync"), 1.1),
        ("I9", ("summary", "missing_inputs"), []),
    ],
)
def test_what_breaks_an_invariant_is_found(values, invariant, path, value):
    place = values["analyzers"][cross.ANALYZER.name]
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    name = cross.ANALYZER.name
    assert any(each.invariant == invariant and name in each.where for each in check.check(values))
