"""What is published of the results: current, complete, and binding."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import jsonschema
import pytest
from declared import undeclared

from places import CHECKOUT
from reelscope import reference
from reelscope.analyzers import ANALYZERS, cut_analysis
from reelscope.analyzers.base import Finding, Segment, Series
from reelscope.schema import json_schema, stated_range

SCHEMA = json_schema(ANALYZERS)
DEFINITIONS = SCHEMA["$defs"]

SPECIFIED = {
    "qwen2_vl_temporal": (
        "caption subjects action setting shot_size mood evidence_frames",
        "synopsis genre topics hook_type cta claims language",
    ),
    "object_detection": (
        "class conf_mean boxes area_pct screen_time_s speed_pct_w_s",
        "unique_per_class max_concurrent prominence",
    ),
    "text_overlay": (
        "text lang quad conf height_pct contrast_ratio chars_per_s safe_zone_ok role",
        "text_coverage_pct n_lines first_text_s full_text cta",
    ),
    "background_segmentation": (
        "class_areas bg_label foreground.rle change_score",
        "dominant_bg fg_ratio n_bg_changes clutter",
    ),
    "body_pose": (
        "keypoints angles_deg posture gesture energy",
        "persons_max energy_mean dance_hz gesture_counts framing",
    ),
    "age_estimation": (
        "age_years p10 p90 gender_presented.label gender_presented.score n_obs",
        "persons age_groups sensitive opt_out",
    ),
    "content_quality": (
        "clip_iqa lap_var noise_sigma blockiness clip_hi_pct clip_lo_pct",
        "overall issues worst_segment",
    ),
    "color_analysis": (
        "palette[].hex palette[].lab palette[].share colorfulness warmth L_mean saturation",
        "palette key consistency",
    ),
    "camera_analysis": (
        "pan_pct_w_s tilt_pct_h_s zoom_per_s roll_deg_s shake_rms_pct_w inliers",
        "static_ratio dominant stability",
    ),
    "cut_analysis": (
        "frame_in frame_out transition_in.kind transition_in.dur_s",
        "n_cuts cuts_per_min asl_mean_s asl_median_s p10_s p90_s shortest_s",
    ),
    "scene_segmentation": ("shot_ids setting int_ext day_night boundary_score", "n_scenes mean_scene_s revisits"),
    "temporal_flow": (
        "intensity evidence_ids",
        "hook_score hook_components time_to_first_face_s time_to_first_text_s time_to_first_speech_s"
        " time_to_first_product_s pacing_slope climax_s cta.start cta.text loopability",
    ),
    "eye_tracking": (
        "yaw_deg pitch_deg ear contact head_ypr",
        "eye_contact_ratio contact_first3s blinks_per_min gaze_directions",
    ),
    "audio_analysis": (
        "",
        "lufs_i lra_lu true_peak_dbtp tempo_bpm tempo_conf tempo_alt_bpm key f0_median_hz dynamic_range is_silent",
    ),
    "audio_environment": ("tag mid group", "top_tags speech_ratio music_ratio snr_db rt60_s noise_floor_dbfs"),
    "speech_emotion": (
        "arousal valence dominance probs snr_db",
        "arousal.mean arousal.low arousal.high arousal_slope peak_s",
    ),
    "speech_flow": (
        "dur_s source",
        "pauses_per_min pause_ratio longest_pause_s fillers_per_min filler_count phonation_ratio mlr_syll first_word_s",
    ),
    "speech_transcription": (
        "text words[].w words[].start words[].end words[].p lang speaker",
        "text language.code language.p n_words speech_s asr_conf",
    ),
    "speech_rate": (
        "wpm syll_s",
        "wpm speech_rate_syll_s articulation_rate_syll_s variability_cv nuclei_agreement",
    ),
    "face_emotion": (
        "probs dominant intensity valence arousal face_area_pct",
        "time_share smile_ratio transitions peak.label peak.t face_screen_time_s",
    ),
    "visual_effects": ("type params confidence", "counts effects_per_min max_flashes_per_s risk"),
    "product_detection": (
        "category brand.name brand.source area_pct co_mention",
        "products screen_time_s first_seen_s in_first_3s share_of_screen",
    ),
    "composition_analysis": (
        "subject_xy thirds_dist symmetry negative_space horizon_deg headroom_pct shot_size",
        "dominant_layout tilt_ratio safe_zone_violations",
    ),
}
"""Fields of segments' data and of summaries that ANALYZERS.md, section 3, names."""


def test_what_is_published_is_current():
    assert reference.stale() == [], "run: make schema"


def test_a_file_that_is_not_current_is_named(monkeypatch):
    changed = (replace(ANALYZERS[0], title="something else"), *ANALYZERS[1:])
    monkeypatch.setattr(reference, "ANALYZERS", changed)
    assert reference.stale() == [reference.SCHEMA_FILE, reference.PAGE, reference.README]


def test_schema_is_a_schema():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_every_field_says_what_it_is():
    silent = [
        f"{name}.{field}"
        for name, definition in DEFINITIONS.items()
        for field, content in definition["properties"].items()
        if len(content["description"]) < 6
    ]
    assert silent == []


def test_every_number_has_a_unit_or_a_range():
    """By the end of its name, or in its description; `reference` has the words."""
    without = {
        field
        for definition in (*DEFINITIONS.values(), *_columns())
        for field, content in definition["properties"].items()
        if reference.numeric_types(content) and not reference.measure(field, content["description"])
    }
    assert without == {"params"}


@pytest.mark.parametrize("name", SPECIFIED)
def test_every_specified_field_is_there(name):
    data, summary = DEFINITIONS[f"{name}.segment"]["properties"]["data"], DEFINITIONS[name]["properties"]["summary"]
    for holder, specified in zip((data, summary), SPECIFIED[name], strict=True):
        known = {row[0] for row in reference.fields({"properties": {"x": holder}}, DEFINITIONS)}
        assert {f"x.{field}" for field in specified.split()} - known == set()


@pytest.mark.parametrize(
    ("said", "limits"),
    [
        ("Mean, 0-1.", (0, 1)),
        ("0-1: how much", (0, 1)),
        ("Share of it, 0.25-1; more", (0.25, 1)),
        ("Correlation, -1 to 1.", (-1, 1)),
        ("-1 (calm) to 1 (excited), not smoothed", (-1, 1)),
        ("Where it is, 0-1 of the frame", (0, 1)),
        ("Frames, >= 0.", (0, None)),
        ("Share with luma >= 253, percent", (None, None)),
        ("Pieces of 2 to 6 s", (None, None)),
        ("ISO 639-1 code", (None, None)),
        ("Words.", (None, None)),
    ],
)
def test_ranges_are_read_from_descriptions(said, limits):
    assert stated_range(said) == limits


def test_ranges_bind_numbers_alone_in_lists_and_by_name():
    emotion = DEFINITIONS["ExpressionData"]["properties"]
    assert emotion["probs"]["items"] == {"type": "number", "minimum": 0, "maximum": 1}
    assert emotion["valence"]["anyOf"][0] == {"type": "number", "minimum": -1, "maximum": 1}
    assert DEFINITIONS["BackgroundData"]["properties"]["class_areas"]["additionalProperties"]["maximum"] == 1
    clutter = DEFINITIONS["background_segmentation.series"]["properties"]["cols"]["properties"]["clutter"]
    assert clutter["items"]["anyOf"][0]["maximum"] == 1


def test_the_page_has_every_analyzer_under_its_own_name():
    text = (CHECKOUT / "docs" / "results.md").read_text(encoding="utf-8")
    for analyzer in ANALYZERS:
        assert f"\n## {analyzer.name}\n" in text
        assert f"](#{analyzer.name}) |" in text
    cells = [len(re.split(r"(?<!\\)\|", line)) for line in text.splitlines() if line.startswith("|")]
    assert set(cells) <= {5, 6}, "a table of three or four columns"


@dataclass(frozen=True)
class _Nothing:
    """No summary."""


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, []),
        ({"label": "stunt"}, ["span stunt"]),
        ({"kind": "event"}, ["event shot"]),
        ({"label": "flash", "kind": "event"}, ["score of flash"]),
    ],
)
def test_segments_that_are_not_declared_are_found(change, said):
    shot = {"kind": "span", "start_seconds": 0.0, "end_seconds": 1.0, "label": "shot", "score": 0.5, "data": None}
    finding = Finding(segments=(Segment(**shot | change),), summary=_Nothing())
    assert undeclared(cut_analysis.ANALYZER, finding) == said


def test_columns_and_warnings_that_are_not_declared_are_found():
    series = Series(columns={"t": (0.0,), "jerk": (1.0,)})
    finding = Finding(segments=(), summary=_Nothing(), full_series=series, warnings=("bad_hair:day",))
    assert undeclared(cut_analysis.ANALYZER, finding) == ["column jerk", "warning bad_hair"]


def _columns():
    return [DEFINITIONS[f"{analyzer.name}.series"]["properties"]["cols"] for analyzer in ANALYZERS]
