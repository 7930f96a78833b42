"""A results file for reports: all 24 analyzers, as small as the schema allows, with findings where the page shows them.

What is not written here is the least that the schema takes: null where it may be, else zero, the first value, nothing.
"""

from __future__ import annotations

import copy
import functools
import itertools
from typing import Any

from skeletons import skeleton

from places import DEMO
from reelscope.analyzers import ANALYZERS
from reelscope.decode import sha256
from reelscope.schema import json_schema

SECONDS = 10.0
SCRIPT = "</script><script>window.hacked = 1</script>"
MARKUP = "<img src=x onerror='window.hacked = 2'> & \"quoted\" {{ 7 * 7 }} <!--"
SHOTS = (0.0, 1.5, 3.0, 4.5, 5.5, 6.5, 7.5, 8.0, 8.5, SECONDS)
PAN = {"pan_pct_w_s": 30.0, "tilt_pct_h_s": 0.0, "zoom_per_s": 1.0, "roll_deg_s": 0.0, "pan_deg_s": 20.0}
PAN |= {"shake_rms_pct_w": 0.1, "inliers": 0.9}
TIMES = [round(0.2 * k, 3) for k in range(50)]


def results(**changes: Any) -> Any:
    """Results of the demo clip; `changes` are laid over analyzers, by name."""
    values = copy.deepcopy(_results())
    for name, change in changes.items():
        values["analyzers"][name] |= change
    return values


def skipped(reason: str = "no_audio_stream", message: str = "the clip has no sound") -> Any:
    """What an analyzer that looked at nothing says."""
    return {
        "status": "skipped",
        "reason": reason,
        "message": message,
        "summary": None,
        "segments": [],
        "coverage": None,
    }


def untrained(*names: str) -> Any:
    """Models of random weights."""
    models = [model(name, trained=False) for name in names]
    return {"models": models, "warnings": [f"untrained_model:{name}" for name in names]}


def model(name: str, *, trained: bool = True) -> Any:
    """Provenance of a model."""
    return {
        "name": name,
        "version": "1",
        "ensemble": name.partition("_")[0],
        "source": "package" if trained else "random, seed 0",
        "revision": "3.1",
        "sha256": "ab" * 32,
        "licence": "Apache-2.0" if trained else "none",
        "precision": "fp32",
        "trained": trained,
    }


def segment(
    name: str, number: int, start: float, end: float, label: str, *, kind="span", score=None, track=None, **data
):
    """A segment whose data is the least of its type but for `data`."""
    schema = _schema()
    part = schema["$defs"][f"{name}.segment"]["properties"]["data"]
    fitting = [each for each in map(_least, _options(part)) if isinstance(each, dict) and data.keys() <= each.keys()]
    return {
        "kind": kind,
        "start": start,
        "end": end,
        "label": label,
        "score": score,
        "track_id": track,
        "data": {**fitting[0], **data},
        "id": f"{name}:{number}",
    }


def spans(name: str, *rows: tuple[float, float, str, dict[str, Any]], **common: Any) -> list[Any]:
    """Segments in order."""
    return [
        segment(name, k, start, end, label, **common, **data) for k, (start, end, label, data) in enumerate(rows, 1)
    ]


def shots(name: str, label: str, *data: dict[str, Any]) -> list[Any]:
    """A segment per shot; the data go round."""
    pairs = itertools.pairwise(SHOTS)
    return spans(name, *((a, b, label, each) for (a, b), each in zip(pairs, itertools.cycle(data), strict=False)))


@functools.cache
def _schema() -> Any:
    return json_schema(ANALYZERS)


def _options(field: Any) -> list[Any]:
    return [option for option in field.get("anyOf", [field]) if option.get("type") != "null"]


def _least(field: Any) -> Any:
    """The smallest value that a schema takes."""
    if "$ref" in field:
        return _least(_schema()["$defs"][field["$ref"].rpartition("/")[2]])
    if "anyOf" in field:
        return None if {"type": "null"} in field["anyOf"] else _least(field["anyOf"][0])
    for key in ("const", "default"):
        if key in field:
            return field[key]
    if "enum" in field:
        return field["enum"][0]
    if field["type"] == "object":
        return {name: _least(each) for name, each in field.get("properties", {}).items()}
    if field["type"] == "array":
        return [_least(each) for each in field.get("prefixItems", ())]
    return {"string": "", "boolean": False, "null": None}.get(field["type"], field.get("minimum", 0))


def _summary(name: str, **found: Any) -> Any:
    part = _schema()["$defs"][name]["properties"]["summary"]
    return {**_least(_options(part)[0]), **found}


@functools.cache
def _results() -> Any:
    values = {name: _least(field) for name, field in _schema()["properties"].items()}
    values["run"] |= {
        "id": "run-1",
        "tool": "reelscope 0.1.0",
        "created": "2026-11-26T10:00:00+00:00",
        "biometrics": True,
    }
    values["run"] |= {"profile": "cpu", "detail": "standard", "config_sha256": "c0" * 32}
    values["media"] |= {"sha256": sha256(DEMO), "duration_s": SECONDS, "width": 720, "height": 1280, "n_frames": 300}
    values["media"] |= {"fps_avg": 30.0, "coverage": 1.0, "hdr": None}
    values["media"]["audio"] |= {"present": True, "sr": 48000, "channels": 2, "offset_s": 0.0, "coverage": 1.0}
    values["schema"] = "reelscope/1"
    values["tracks"]["face"] = [
        {"id": "face-1", "label": "face", "start": 0.0, "end": SECONDS, "trained": True},
    ]
    values["shots"] = [_shot(k, start, end) for k, (start, end) in enumerate(itertools.pairwise(SHOTS), 1)]
    values["analyzers"] = {each.name: _analyzer(each.name) for each in ANALYZERS}
    for name, found in _found().items():
        values["analyzers"][name] |= found
    return values


def _shot(number: int, start: float, end: float) -> Any:
    begins = {"kind": "hard", "dur_s": 0.0} if number > 1 else None
    frames = {"frame_in": round(30 * start), "frame_out": round(30 * end)}
    score = 0.8 if begins else None
    return {"id": f"shot-{number}", "start": start, "end": end, **frames, "transition_in": begins, "score": score}


def _analyzer(name: str) -> Any:
    found = {**_least({"$ref": f"#/$defs/{name}"}), "version": "1", "status": "ok", "coverage": 1.0}
    timings = {"queue_ms": 0.0, "infer_ms": 1.0, "cpu_ms": 1.0, "wall_ms": 2.0}
    inputs = {"sampling": "F10", "fps": 5.0, "n": 50, "depends_on": [], "missing_inputs": []}
    return found | {"summary": _summary(name), "timings": timings, "inputs": inputs, "params": {}, "segments": []}


def _series(hop: float | None = 0.1, **columns: list[float | None]) -> Any:
    return {"t0": 0.0, "hop_s": hop, "cols": columns}


def _found() -> dict[str, Any]:
    """What the page shows."""
    words = ["This", "is", "the", "cat", "that", "I", "love", "most"]
    timed = [{"w": word, "start": 1.6 + 0.4 * k, "end": 1.9 + 0.4 * k, "p": 0.9} for k, word in enumerate(words)]
    timed[-1]["w"] = SCRIPT
    quads = {"safe_zone_ok": True, "contrast_ratio": 12.0, "chars_per_s": 7.0, "conf": 0.99, "lang": None}
    title, call = [0.1, 0.5, 0.8, 0.5, 0.8, 0.6, 0.1, 0.6], [0.1, 0.85, 0.9, 0.85, 0.9, 0.92, 0.1, 0.92]
    places = [(0.2 + 0.006 * k, 0.3, 0.5 + 0.006 * k, 0.9) for k in range(50)]
    faces = [[x1 + 0.08, 0.32, x2 - 0.08, 0.45] for x1, _, x2, _ in places]
    standing = [skeleton(hips=(0.35 + 0.006 * k, 1.1)).round(4).tolist() for k in range(50)]
    zone = {f"safe_zone_{side}": value for side, value in zip(("x1", "y1", "x2", "y2"), (0.04, 0.08, 0.89, 0.82))}  # noqa: B905
    colours = [{"hex": f"#{k}{k}4488", "lab": [50.0, 0.0, 0.0], "share": share} for k, share in ((1, 0.7), (9, 0.3))]
    wave = [round(abs((k % 40) - 20) / 10, 3) for k in range(100)]
    moment = {"evidence": [{"analyzer": "text_overlay", "id": "text_overlay:2"}], "strength": 0.6, "text": MARKUP}
    pair = {"a": "motion", "b": "loudness", "r": -0.4, "lag_s": 0.2, "p": 0.2, "q": 0.3, "n": 20}
    return {
        "text_overlay": {
            "models": [model("text_recognition_ppocr")],
            "params": zone,
            "segments": spans(
                "text_overlay",
                (0.2, 1.4, "title", {"text": MARKUP, "role": "title", "quad": title, **quads}),
                (
                    8.45,
                    10.0,
                    "cta",
                    {"text": "LINK IN BIO", "role": "cta", "quad": call, **quads, "safe_zone_ok": False},
                ),
                (8.45, 10.0, "text", {"text": SCRIPT, "role": None, "quad": title, **quads}),
            ),
            "summary": _summary("text_overlay", text_coverage_pct=27.0, n_lines=3, first_text_s=0.2, full_text=SCRIPT),
        },
        "speech_transcription": {
            "models": [model("speech_whisper_encoder")],
            "segments": spans(
                "speech_transcription",
                (1.6, 4.8, "utterance", {"text": "This is the cat", "words": timed, "lang": "en"}),
            ),
            "summary": _summary("speech_transcription", text="This is the cat", n_words=8, speech_spans_s=[[1.6, 4.8]]),
        },
        "object_detection": {
            "models": [model("object_yolov8")],
            "segments": spans(
                "object_detection",
                (0.0, 10.0, "person", {"class": "person", "boxes": {"t": TIMES, "xyxy": list(map(list, places))}}),
                score=0.9,
            ),
        },
        "body_pose": {
            "models": [model("pose_yolov8")],
            "segments": [segment("body_pose", 1, 0.0, 10.0, "person", t=TIMES, keypoints=standing)],
        },
        "eye_tracking": {
            "models": [model("face_landmarks")],
            "segments": [
                segment("eye_tracking", 1, 0.0, 10.0, "gaze", track="face-1", t=TIMES, xyxy=faces, contact=[True] * 50)
            ],
        },
        "face_emotion": {
            "models": [model("face_expression")],
            "segments": [
                segment("face_emotion", 1, 0.0, 6.0, "happy", track="face-1"),
                segment("face_emotion", 2, 6.0, 10.0, "neutral", track="face-1"),
            ],
        },
        "camera_analysis": {
            "segments": shots("camera_analysis", "pan", PAN),
            "summary": _summary("camera_analysis", static_ratio=0.2, dominant="pan", stability=0.9),
        },
        "cut_analysis": {
            "segments": shots("cut_analysis", "shot", {}),
            "summary": _summary("cut_analysis", n_cuts=8, cuts_per_min=48.0, asl_mean_s=1.11, asl_median_s=1.0),
        },
        "color_analysis": {
            "segments": shots("color_analysis", "shot_colors", {"palette": colours}),
            "summary": _summary("color_analysis", palette=colours),
        },
        "content_quality": {
            "segments": shots("content_quality", "shot_quality", {"overall": 97.0, "issues": []}),
            "summary": _summary("content_quality", overall=97.0, worst_segment="content_quality:5"),
        },
        "visual_effects": {
            "segments": [segment("visual_effects", 1, 5.8, 5.9, "flash", kind="event", score=1.0)],
            "summary": _summary("visual_effects", risk=False, max_flashes_per_s=1, repeated_frame_ratio=0.0),
        },
        "composition_analysis": {
            "segments": shots("composition_analysis", "shot_composition", {"layout": "thirds", "safe_zone_ok": True}),
            "summary": _summary("composition_analysis", safe_zone_violations=0, tilt_ratio=0.0),
        },
        "audio_analysis": {
            "segments": [
                segment("audio_analysis", k, k / 2, k / 2 + 0.01, "beat", kind="event", score=0.5) for k in range(1, 20)
            ],
            "summary": _summary(
                "audio_analysis",
                lufs_i=-15.0,
                above_platform_lu=-1.0,
                true_peak_dbtp=-2.0,
                tempo_bpm=120.0,
                key="C major",
            ),
        },
        "audio_environment": {"summary": _summary("audio_environment", speech_ratio=0.32, snr_db=18.0)},
        "speech_rate": {"summary": _summary("speech_rate", wpm=150.0, pace="normal", n_words=8)},
        "temporal_flow": {
            "segments": spans(
                "temporal_flow", (0.0, 3.0, "hook", {}), (3.0, 8.45, "build", {}), (8.45, 10.0, "cta", {})
            ),
            "series": _series(intensity=wave, motion=wave, lufs_m=[None, *wave[1:]]),
            "summary": _summary(
                "temporal_flow",
                hook_score=76.9,
                hook_weight_ratio=0.9,
                time_to_first_text_s=0.2,
                pacing_slope=0.1,
                climax_s=8.2,
                cta={"start": 8.45, "text": "LINK IN BIO", "source": "text", "evidence_ids": ["text_overlay:2"]},
            ),
        },
        "cross_analyzer_intelligence": {
            "segments": [segment("cross_analyzer_intelligence", 1, 8.1, 9.0, "key_moment", score=0.6, **moment)],
            "summary": _summary(
                "cross_analyzer_intelligence",
                correlations=[pair, {**pair, "b": "speech", "r": 0.8, "p": 0.001, "q": 0.01}],
                untested_pairs=[{"a": "smile", "b": "loudness", "reason": "missing_input"}],
            ),
        },
    }
