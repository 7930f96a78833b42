"""What is worth fixing: every rule finds what it is there for, nothing else, and never in what is untrained."""

from __future__ import annotations

import made
import pytest

from reelscope.exports import Contents
from reelscope.report import fixes
from reelscope.report.fixes import Fix, Rule, review
from reelscope.report.rules import RULES

LINE = {"quad": [0.1] * 8, "conf": 0.9, "contrast_ratio": 10.0, "chars_per_s": 8.0, "safe_zone_ok": True, "role": None}

BELOW = {"safe_zone_ok": False, "quad": [0.1, 0.7, 0.8, 0.7, 0.8, 0.9, 0.1, 0.9]}


def found(**changes):
    return review(Contents(made.results(**changes)), RULES)


def calm(**changes):
    """The clip of the tests without the one thing that is wrong with it."""
    return found(**{"text_overlay": lines({}), **changes})


def lines(*data, label="text"):
    rows = ((float(k), k + 1.0, label, {"text": f"line {k}", **LINE, **each}) for k, each in enumerate(data))
    return {"segments": made.spans("text_overlay", *rows)}


def summary(name, **fields):
    return {"summary": made.results()["analyzers"][name]["summary"] | fields}


def pictures(name, label, **data):
    return {"segments": made.shots(name, label, data, {})}


def effect(label, start, end, **params):
    return {"segments": made.spans("visual_effects", (start, end, label, {"type": label, "params": params}))}


PAUSE = {"segments": made.spans("speech_flow", (2.0, 6.0, "pause", {"dur_s": 4.0}))}
CONFLICT = {
    "segments": made.spans(
        "cross_analyzer_intelligence",
        (8.0, 9.0, "conflict", {"rule": "call_to_action", "strength": 0.7, "text": "two calls", "evidence": []}),
    )
}
BARS = effect("letterbox", 0.0, 10.0, before_ratio=0.1, after_ratio=0.1)
SHAKY = summary("camera_analysis", stability=0.3, static_ratio=0.0, dominant="handheld")
FLAWS = {
    "Remove or soften the flashes": {"visual_effects": summary("visual_effects", risk=True, max_flashes_per_s=5)},
    "Move the call to action": {"text_overlay": lines({}, BELOW, label="cta")},
    "Move the text": {"text_overlay": lines({}, BELOW)},
    "Give faint text": {"text_overlay": lines({"contrast_ratio": 2.9})},
    "Leave text on screen for longer": {"text_overlay": lines({"chars_per_s": 20.1})},
    "Reframe": {
        "composition_analysis": pictures("composition_analysis", "shot_composition", safe_zone_ok=False)
        | summary("composition_analysis", safe_zone_violations=5)
    },
    "Sharpen or reshoot": {
        "content_quality": pictures("content_quality", "shot_quality", issues=["blurry"], lap_var=9.0)
    },
    "Denoise": {"content_quality": pictures("content_quality", "shot_quality", issues=["noisy"], noise_sigma=12.0)},
    "Export with a higher bit rate": {
        "content_quality": pictures("content_quality", "shot_quality", issues=["blocky"], blockiness=2.0)
    },
    "Bring back the highlights": {
        "content_quality": pictures("content_quality", "shot_quality", issues=["overexposed"], clip_hi_pct=30.0)
    },
    "Lift the shadows": {
        "content_quality": pictures("content_quality", "shot_quality", issues=["underexposed"], clip_lo_pct=30.0)
    },
    "Raise the contrast": {
        "content_quality": pictures("content_quality", "shot_quality", issues=["low_contrast"], rms_contrast=0.01)
    },
    "Stabilise the camera": {"camera_analysis": SHAKY},
    "Level the horizon": {"composition_analysis": summary("composition_analysis", tilt_ratio=0.6)},
    "Put sound into the clip": {"audio_analysis": summary("audio_analysis", is_silent=True)},
    "Turn the recording down": {"audio_analysis": summary("audio_analysis", n_clipped=500)},
    "Leave headroom": {"audio_analysis": summary("audio_analysis", true_peak_dbtp=-0.2)},
    "Turn the mix up": {"audio_analysis": summary("audio_analysis", lufs_i=-21.0, above_platform_lu=-7.0)},
    "Turn the mix down": {"audio_analysis": summary("audio_analysis", lufs_i=-10.0, above_platform_lu=4.0)},
    "Lower what plays under": {"audio_environment": summary("audio_environment", snr_db=4.0)},
    "Record closer": {"audio_environment": summary("audio_environment", rt60_s=0.9)},
    "Open stronger": {"temporal_flow": summary("temporal_flow", hook_score=20.0)},
    "Tell viewers what to do next": {"temporal_flow": summary("temporal_flow", cta=None)},
    "Keep the pace": {"temporal_flow": summary("temporal_flow", pacing_slope=-0.4)},
    "Give still stretches": {"visual_effects": effect("static_hold", 2.0, 5.0, motion_before=None, motion_after=None)},
    "Fill the frame": {"visual_effects": BARS},
    "Export at the rate": {"visual_effects": summary("visual_effects", repeated_frame_ratio=0.5)},
    "Speak more slowly": {"speech_rate": summary("speech_rate", wpm=230.0, pace="very_fast")},
    "Speak faster": {"speech_rate": summary("speech_rate", wpm=90.0, pace="slow")},
    "Fill or cut the gaps": {"speech_flow": PAUSE},
    "Cut the ums": {"speech_flow": summary("speech_flow", fillers_per_min=12.0)},
    "Say and write the same": {"cross_analyzer_intelligence": CONFLICT},
}


def test_nothing_is_wrong_with_a_clip_in_which_nothing_is():
    assert calm().fixes == ()


@pytest.mark.parametrize("title", FLAWS)
def test_each_flaw_is_found_alone_with_its_evidence(title):
    (fix,) = calm(**FLAWS[title]).fixes
    assert fix.title.startswith(title)
    assert 0 <= fix.extent <= 1
    segments = {each["id"] for name in FLAWS[title] for each in FLAWS[title][name].get("segments", ())}
    known = {each["id"] for result in made.results()["analyzers"].values() for each in result["segments"]}
    assert {each.id for each in fix.evidence if each.id} <= segments | known


def test_a_line_that_only_touches_the_edge_of_the_safe_zone_may_stay():
    touching = {"safe_zone_ok": False, "quad": [0.1, 0.7, 0.8999, 0.7, 0.8999, 0.8, 0.1, 0.8]}
    assert calm(text_overlay=lines(touching)).fixes == ()
    (fix,) = calm(text_overlay=lines({**touching, "quad": [0.1, 0.7, 0.91, 0.7, 0.91, 0.8, 0.1, 0.8]})).fixes
    assert "up to 2% of the frame" in fix.finding


def test_every_rule_has_a_flaw_that_tests_it():
    """Damage is of the file, not of an analyzer: it has a test of its own."""
    hit = set()
    for flaw in FLAWS.values():
        contents = Contents(made.results(**{"text_overlay": lines({}), **flaw}))
        hit |= {rule.name for rule in RULES if review(contents, [rule]).fixes}
    assert hit == {rule.name for rule in RULES} - {"damage"}


@pytest.mark.parametrize("title", FLAWS)
def test_untrained_analyzers_are_no_evidence(title):
    untrained = {name: change | made.untrained("some_model") for name, change in FLAWS[title].items()}
    result = calm(**untrained)
    assert result.fixes == ()
    assert any("random weights (some_model)" in reason for _, reason in result.unchecked)


def test_what_cannot_be_checked_is_said():
    result = calm(audio_analysis=made.skipped())
    unchecked = dict(result.unchecked)
    assert unchecked["loudness"] == "audio_analysis skipped, the clip has no sound"
    assert result.checked_count + len(unchecked) == len(RULES)


def test_no_call_to_action_is_only_missed_where_somebody_looked():
    result = made.results()["analyzers"]["temporal_flow"]
    change = summary("temporal_flow", cta=None)
    blind = {**result["inputs"], "missing_inputs": ["text_overlay", "speech_transcription"]}
    assert "call to action" in dict(calm(temporal_flow=change | {"inputs": blind}).unchecked)
    deaf = {**result["inputs"], "missing_inputs": ["speech_transcription"]}
    (fix,) = calm(temporal_flow=change | {"inputs": deaf}).fixes
    assert fix.finding == "no call to action in writing"


def test_a_damaged_file_comes_first():
    values = made.results()
    values["media"]["coverage"] = 0.8
    first, *others = review(Contents(values), RULES).fixes
    assert first.title.startswith("Export again: part of the picture")
    assert first.impact == 3
    assert others


def test_impact_then_extent_then_time():
    def rule(impact, extent, at):
        evidence = (fixes.Evidence(analyzer="a", text="", start_seconds=at),)
        return Rule(
            "",
            lambda _: [
                Fix(title=f"{impact} {extent} {at}", finding="", impact=impact, extent=extent, evidence=evidence)
            ],
        )

    rules = [rule(1, 1.0, 0.0), rule(2, 0.1, 5.0), rule(2, 0.1, 1.0), rule(2, 0.9, 9.0), rule(3, 0.0, 9.0)]
    titles = [fix.title for fix in review(Contents(made.results()), rules).fixes]
    assert titles == ["3 0.0 9.0", "2 0.9 9.0", "2 0.1 1.0", "2 0.1 5.0", "1 1.0 0.0"]


def test_time_that_overlaps_counts_once():
    segments = [{"start": 0.0, "end": 4.0}, {"start": 2.0, "end": 5.0}, {"start": 3.0, "end": 3.5}]
    assert fixes.Found(Contents(made.results())).share(segments) == 0.5
