"""Invariants that every results file keeps, whatever the clip (ANALYZERS.md, section 1).

I1 strict JSON that fits the schema · I2 times in order and within the clip · I3 numbers within their ranges · I4 what
was not measured is null, and a reason is given · I5 shots partition the clip · I6 every id resolves · I7 a second run
is identical but for run and timings · I8 a flipped, rotated or frame-doubled twin tells the same · I9 analyzers agree
with each other.

I7 and I8 need a second results file; I1-I6 and I9 need only one.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import jsonschema
from skimage.color import deltaE_ciede2000

from reelscope.analyzers import ANALYZERS
from reelscope.analyzers.flow_phases import PHASES
from reelscope.schema import json_schema

Values = Mapping[str, Any]
INVARIANTS = ("I1", "I2", "I3", "I4", "I5", "I6", "I7", "I8", "I9")
ALONE = tuple(name for name in INVARIANTS if name not in ("I7", "I8"))
"""Those that one file tells of by itself."""
TIME_TOLERANCE_SECONDS = 0.001
BOX_TOLERANCE = 0.001
SHARE_TOLERANCE = 0.01
AREA_TOLERANCE = 0.001
TWIN_TOLERANCE_SECONDS = 1 / 30
TWIN_DELTA_E = 4.0
TWIN_IOU = 0.95
TWIN_SPEED_RATIO = 0.05
TWIN_SPEED = {"pan_pct_w_s": 0.5, "tilt_pct_h_s": 0.5, "zoom_per_s": 0.01, "roll_deg_s": 0.5}
"""Speeds of the camera may differ by this much, or by TWIN_SPEED_RATIO of themselves, on average over the clip."""
TWIN_GAZE = {"yaw_deg": 3.0, "pitch_deg": 3.0}
"""The same for the gaze of the largest face."""
MIRRORED = ("pan_pct_w_s", "roll_deg_s", "yaw_deg")
FACE_ANALYZERS = ("age_estimation", "eye_tracking", "face_emotion")
SILENT_WHEN_UNTRAINED = (
    *("object_detection", "scene_segmentation", "body_pose", "background_segmentation"),
    *("speech_transcription", "speech_emotion"),
)
"""Analyzers whose summary is null when the model of a signal that they require has random weights."""
SAID_ANYWAY = {
    **dict.fromkeys((*FACE_ANALYZERS, "speech_emotion"), ("sensitive", "opt_out", "source")),
    "speech_transcription": ("speech_s", "speech_spans_s"),
}
"""What a summary says all the same: of the analysis itself, not of the clip, or by another model, which is trained."""
WORD_TOLERANCE_SECONDS = 0.2
_RANGES = ("minimum", "maximum")
_HEX = re.compile(r"#[0-9a-f]{6}")
_COVERAGE_FITS: dict[str, Callable[[float | None], bool]] = {
    "ok": lambda coverage: coverage == 1,
    "partial": lambda coverage: coverage is not None and 0 <= coverage < 1,
    "skipped": lambda coverage: coverage is None,
    "failed": lambda coverage: coverage is None,
}


@dataclass(frozen=True, slots=True)
class Violation:
    """One broken invariant."""

    invariant: str
    """I1 ... I9."""
    where: str
    """Path of the value."""
    message: str


def misfits(results: Values, file: str = "") -> list[Violation]:
    """Check the schema: I1, and I3 for the ranges in it; `file` is named in front of every place."""
    found = []
    try:
        json.dumps(results, allow_nan=False)
    except ValueError as error:
        found.append(("I1", "$", str(error)))
    validator = jsonschema.Draft202012Validator(json_schema(ANALYZERS))
    for misfit in itertools.chain.from_iterable(map(_causes, validator.iter_errors(results))):
        found.append(("I3" if misfit.validator in _RANGES else "I1", misfit.json_path, misfit.message[:200]))
    if results.get("analyzers") == {}:
        found.append(("I1", "$.analyzers", "empty"))
    return [Violation(invariant, f"{file}: {where}" if file else where, message) for invariant, where, message in found]


def check(results: Values) -> list[Violation]:
    """Check I1-I6 and I9; an empty list is a pass. A file that breaks I1 is not checked for the others."""
    rules = (_times, _scores, _reasons, _shots, _ids, _coherence, _cross)
    found = misfits(results)
    if not any(violation.invariant == "I1" for violation in found):
        found += [violation for rule in rules for violation in rule(results)]
    return found


def check_rerun(results: Values, again: Values) -> list[Violation]:
    """Check I7: the results of a second run on the same clip; both fit the schema (`misfits`)."""
    differing = _differing(_comparable(results), _comparable(again))
    return [Violation("I7", where, "differs between two runs") for where in differing]


def check_twin(results: Values, twin: Values, *, is_flipped: bool) -> list[Violation]:
    """Check I8: the results of the same clip mirrored (`is_flipped`), pre-rotated, or with every frame doubled.

    Both fit the schema (`misfits`).
    """
    found = []
    shots, twin_shots = results["shots"], twin["shots"]
    if len(shots) != len(twin_shots):
        found.append(Violation("I8", "shots", f"{len(shots)} shots, the twin has {len(twin_shots)}"))
    else:
        for number, (shot, other) in enumerate(zip(shots, twin_shots, strict=True)):
            if abs(shot["start"] - other["start"]) > TWIN_TOLERANCE_SECONDS + TIME_TOLERANCE_SECONDS:
                found.append(Violation("I8", f"shots[{number}].start", f"{shot['start']} s, twin {other['start']} s"))
    found += _twin_palettes(results, twin)
    found += _twin_objects(results, twin, is_flipped)
    found += _twin_series(results, twin, "camera_analysis", TWIN_SPEED, is_flipped)
    found += _twin_series(results, twin, "eye_tracking", TWIN_GAZE, is_flipped)
    return found


def _causes(misfit: jsonschema.ValidationError) -> Iterator[jsonschema.ValidationError]:
    """What is wrong inside a value of several types, where it can only be meant as one of them; else that none fits."""
    branches: dict[int, list[jsonschema.ValidationError]] = {}
    for part in misfit.context:
        branches.setdefault(part.relative_schema_path[0], []).append(part)
    meant = [
        parts for parts in branches.values() if all(part.relative_path or part.validator in _RANGES for part in parts)
    ]
    if len(meant) != 1:
        yield misfit
        return
    for part in meant[0]:
        yield from _causes(part)


def _segments(results: Values) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, analyzer in results["analyzers"].items():
        for number, segment in enumerate(analyzer["segments"]):
            yield f"{name}.segments[{number}]", segment


def _box_series(segment: Values) -> Values:
    """Boxes over time, of any analyzer that tells them; empty when the segment has none."""
    boxes = segment["data"].get("boxes") if isinstance(segment["data"], dict) else None
    return boxes if isinstance(boxes, dict) and {"t", "xyxy"} <= boxes.keys() else {"t": (), "xyxy": ()}


def _references(results: Values) -> Iterator[tuple[str, str, str | None]]:
    """Where an id stands, and whether it is one of a track, a shot, a segment, or a segment of a certain analyzer."""
    for where, segment in _segments(results):
        data = segment["data"] if isinstance(segment["data"], dict) else {}
        yield where, "track", segment["track_id"]
        yield f"{where}.returns_to", "segment", data.get("returns_to")
        yield from ((f"{where}.shot_ids", "shot", shot) for shot in data.get("shot_ids", ()))
        yield from ((f"{where}.evidence_ids", "segment", segment) for segment in data.get("evidence_ids", ()))
        for each in data.get("evidence", ()):
            yield f"{where}.evidence", f"segment of {each['analyzer']}", each["id"]
    for name, analyzer in results["analyzers"].items():
        yield f"{name}.summary.worst_segment", "segment", (analyzer["summary"] or {}).get("worst_segment")
    flow = results["analyzers"].get("temporal_flow", {}).get("summary") or {"climax_evidence_ids": (), "cta": None}
    for part, ids in (("climax", flow["climax_evidence_ids"]), ("cta", (flow["cta"] or {}).get("evidence_ids", ()))):
        yield from ((f"temporal_flow.summary.{part}", "segment", identifier) for identifier in ids)


def _palettes(results: Values) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    places = [(where, segment["data"]) for where, segment in _segments(results)]
    places += [(f"{name}.summary", analyzer["summary"]) for name, analyzer in results["analyzers"].items()]
    yield from ((f"{where}.palette", data["palette"]) for where, data in places if data and "palette" in data)


def _times(results: Values) -> Iterator[Violation]:
    end = results["media"]["duration_s"] + TIME_TOLERANCE_SECONDS
    for where, segment in _segments(results):
        if not 0 <= segment["start"] < segment["end"] <= end:
            yield Violation("I2", where, f"[{segment['start']}, {segment['end']}) is not within [0, {end})")
        times, boxes = _box_series(segment)["t"], _box_series(segment)["xyxy"]
        if len(times) != len(boxes):
            yield Violation("I2", f"{where}.boxes", f"{len(times)} times, {len(boxes)} boxes")
        earliest, latest = segment["start"] - TIME_TOLERANCE_SECONDS, segment["end"] + TIME_TOLERANCE_SECONDS
        if outside := [time for time in times if not earliest <= time <= latest]:
            yield Violation("I2", f"{where}.boxes.t", f"{outside[0]} s is outside the segment")
    for name, analyzer in results["analyzers"].items():
        starts = [segment["start"] for segment in analyzer["segments"]]
        if starts != sorted(starts):
            yield Violation("I2", f"{name}.segments", "not sorted by start")
        times = analyzer["series"]["cols"].get("t", [])
        if any(later <= earlier for earlier, later in itertools.pairwise(times)):
            yield Violation("I2", f"{name}.series.cols.t", "not increasing")


def _scores(results: Values) -> Iterator[Violation]:
    for where, palette in _palettes(results):
        shares = [color["share"] for color in palette]
        if abs(sum(shares) - 1) > SHARE_TOLERANCE:
            yield Violation("I3", where, f"shares {shares} are not parts of 1")
        if unreadable := [color["hex"] for color in palette if not _HEX.fullmatch(color["hex"])]:
            yield Violation("I3", where, f"{unreadable[0]} is not #rrggbb")
    for where, segment in _segments(results):
        areas = (segment["data"] or {}).get("class_areas")
        if areas and abs(sum(areas.values()) - 1) > AREA_TOLERANCE:
            yield Violation("I3", f"{where}.class_areas", f"they sum to {sum(areas.values()):.4f}")
    low, high = -BOX_TOLERANCE, 1 + BOX_TOLERANCE
    for where, segment in _segments(results):
        for x1, y1, x2, y2 in _box_series(segment)["xyxy"]:
            if not (low <= x1 <= x2 <= high and low <= y1 <= y2 <= high):
                yield Violation("I3", f"{where}.boxes", f"no box within the frame: {[x1, y1, x2, y2]}")


def _reasons(results: Values) -> Iterator[Violation]:
    for name, analyzer in results["analyzers"].items():
        if analyzer["status"] in ("skipped", "failed"):
            if analyzer["segments"] or analyzer["summary"] is not None or analyzer["series"]["cols"]:
                yield Violation("I4", name, f"{analyzer['status']}, and yet it has findings")
        elif analyzer["summary"] is None:
            yield Violation("I4", name, f"{analyzer['status']} without a summary")
        if (analyzer["reason"] is None) != (analyzer["status"] == "ok"):
            yield Violation("I4", name, f"{analyzer['status']} with reason {analyzer['reason']}")
        if not _COVERAGE_FITS[analyzer["status"]](analyzer["coverage"]):
            yield Violation("I4", name, f"{analyzer['status']} with coverage {analyzer['coverage']}")
        lengths = {len(column) for column in analyzer["series"]["cols"].values()}
        if len(lengths) > 1:
            yield Violation("I4", f"{name}.series", f"columns of different lengths: {sorted(lengths)}")
        untrained = [model["name"] for model in analyzer["models"] if not model["trained"]]
        for model in untrained:
            if f"untrained_model:{model}" not in analyzer["warnings"]:
                yield Violation("I4", name, f"{model} is untrained, and no warning says so")
        summary = analyzer["summary"] if name in (*SILENT_WHEN_UNTRAINED, *FACE_ANALYZERS) and untrained else None
        said_anyway = SAID_ANYWAY.get(name, ())
        if claimed := [key for key, value in (summary or {}).items() if value is not None and key not in said_anyway]:
            yield Violation("I4", f"{name}.summary", f"an untrained model claims {', '.join(claimed)}")
        if name == "scene_segmentation" and untrained and analyzer["segments"]:
            yield Violation("I4", f"{name}.segments", "scenes of an untrained model")
    for number, segment in enumerate(results["analyzers"].get("camera_analysis", {}).get("segments", ())):
        is_null = {value is None for value in segment["data"].values()}
        if is_null != {segment["label"] == "unknown"}:
            yield Violation("I4", f"camera_analysis.segments[{number}]", "unknown, and only it, is null throughout")


def _shots(results: Values) -> Iterator[Violation]:
    shots, duration = results["shots"], results["media"]["duration_s"]
    cuts = results["analyzers"].get("cut_analysis", {}).get("summary")
    if not shots:
        if cuts:
            yield Violation("I5", "shots", "empty, and yet cut_analysis describes them")
        return
    edges = [0.0, *(shot["end"] for shot in shots)]
    for number, (shot, edge) in enumerate(zip(shots, edges, strict=False)):
        if shot["start"] != edge:
            yield Violation("I5", f"shots[{number}]", f"starts at {shot['start']} s, the one before ends at {edge} s")
    if abs(edges[-1] - duration) > TIME_TOLERANCE_SECONDS:
        yield Violation("I5", "shots", f"end at {edges[-1]} s, the clip at {duration} s")
    if cuts and cuts["n_cuts"] != len(shots) - 1:
        yield Violation("I5", "cut_analysis.summary.n_cuts", f"{cuts['n_cuts']} cuts, {len(shots)} shots")


def _ids(results: Values) -> Iterator[Violation]:
    known = {
        "track": [track["id"] for group in results["tracks"].values() for track in group],
        "segment": [segment["id"] for _, segment in _segments(results)],
        "shot": [shot["id"] for shot in results["shots"]],
    }
    for kind, ids in known.items():
        if len(ids) != len(set(ids)):
            yield Violation("I6", kind, "ids are not unique")
    for name, analyzer in results["analyzers"].items():
        known[f"segment of {name}"] = [segment["id"] for segment in analyzer["segments"]]
    for where, kind, identifier in _references(results):
        if identifier is not None and identifier not in known.get(kind, ()):
            yield Violation("I6", where, f"no {kind} {identifier}")


def _coherence(results: Values) -> Iterator[Violation]:
    shots = [(shot["start"], shot["end"]) for shot in results["shots"]]
    per_shot = (("cut_analysis", "shot"), ("color_analysis", "shot_colors"), ("content_quality", "shot_quality"))
    for name, label in per_shot:
        found = results["analyzers"].get(name)
        if found and found["status"] in ("ok", "partial"):
            spans = [(s["start"], s["end"]) for s in found["segments"] if s["label"] == label]
            if spans != shots:
                yield Violation("I9", name, f"{len(spans)} spans do not match the {len(shots)} shots")
    scenes = results["analyzers"].get("scene_segmentation", {}).get("segments")
    if scenes:
        times = {shot["id"]: (shot["start"], shot["end"]) for shot in results["shots"]}
        runs = [scene["data"]["shot_ids"] for scene in scenes]
        if [shot for run in runs for shot in run] != list(times) or not all(runs):
            yield Violation("I9", "scene_segmentation", "scenes do not partition the shots")
        elif any(
            (scene["start"], scene["end"]) != (times[run[0]][0], times[run[-1]][1])
            for scene, run in zip(scenes, runs, strict=True)
        ):
            yield Violation("I9", "scene_segmentation", "a scene's times are not those of its shots")
    camera = results["analyzers"].get("camera_analysis", {}).get("segments")
    if camera and shots:
        starts, ends = ([segment[edge] for segment in camera] for edge in ("start", "end"))
        if [*starts, shots[-1][1]] != [0.0, *ends] or not {start for start, _ in shots} <= set(starts):
            yield Violation("I9", "camera_analysis", "its spans do not partition the shots")
    yield from _phases(results)
    yield from _faces(results)
    yield from _speech(results)
    tracks = {track["id"]: track for group in results["tracks"].values() for track in group}
    for where, segment in _segments(results):
        track = tracks.get(segment["track_id"])
        if track and not track["start"] <= segment["start"] < segment["end"] <= track["end"]:
            yield Violation("I9", where, f"outside its track's time [{track['start']}, {track['end']})")


def _phases(results: Values) -> Iterator[Violation]:
    """The phases come in order; where the climax is known they partition the clip, and the one of its name holds it."""
    flow = results["analyzers"].get("temporal_flow", {})
    phases = flow.get("segments") or ()
    order = [PHASES.index(phase["label"]) for phase in phases]
    if order != sorted(set(order)):
        yield Violation("I9", "temporal_flow", "its phases are out of order")
    if phases and (climax := flow["summary"]["climax_s"]) is not None:
        edges = [0.0, *(phase["end"] for phase in phases)]
        starts = [*(phase["start"] for phase in phases), results["media"]["duration_s"]]
        if any(abs(start - edge) > TIME_TOLERANCE_SECONDS for start, edge in zip(starts, edges, strict=True)):
            yield Violation("I9", "temporal_flow", "its phases do not partition the clip")
        for phase in phases:
            if phase["label"] == "climax" and not phase["start"] <= climax <= phase["end"]:
                yield Violation("I9", "temporal_flow", f"its climax at {climax} s is outside the phase of that name")


def _faces(results: Values) -> Iterator[Violation]:
    """Whatever is said of a face is said of one that was followed, and only while it was there."""
    known = {track["id"] for track in results["tracks"]["face"]}
    for name in FACE_ANALYZERS:
        for number, segment in enumerate(results["analyzers"].get(name, {}).get("segments", ())):
            where = f"{name}.segments[{number}]"
            if segment["track_id"] not in known:
                yield Violation("I9", where, f"{segment['track_id']} is no face's track")
            times = (segment["data"] or {}).get("t", ())
            earliest, latest = segment["start"] - TIME_TOLERANCE_SECONDS, segment["end"] + TIME_TOLERANCE_SECONDS
            if outside := [time for time in times if not earliest <= time <= latest]:
                yield Violation("I9", f"{where}.t", f"{outside[0]} s is outside the segment")


def _speech(results: Values) -> Iterator[Violation]:
    """One word list and one mask: words lie in their utterance and in speech, and everybody counts the same words."""
    found = results["analyzers"].get("speech_transcription", {})
    said = found.get("summary") or {}
    counts = {
        name: (results["analyzers"].get(name, {}).get("summary") or {}).get("n_words")
        for name in ("speech_flow", "speech_rate")
    }
    listed = sum(len(segment["data"]["words"]) for segment in found.get("segments", ()))
    counts["speech_transcription"] = listed if said.get("n_words") is not None else None
    for name, count in counts.items():
        if None not in (count, said.get("n_words")) and count != said["n_words"]:
            yield Violation("I9", f"{name}.n_words", f"{count} words, {said['n_words']} are transcribed")
    for number, segment in enumerate(found.get("segments", ())):
        for place, word in enumerate(segment["data"]["words"]):
            where = f"speech_transcription.segments[{number}].words[{place}]"
            earliest, latest = segment["start"] - TIME_TOLERANCE_SECONDS, segment["end"] + TIME_TOLERANCE_SECONDS
            if not earliest <= word["start"] <= word["end"] <= latest:
                yield Violation("I9", where, f"[{word['start']}, {word['end']}) is outside its utterance")
            elif said.get("n_words") is not None and not _is_in_speech(word, said.get("speech_spans_s")):
                yield Violation("I9", where, f"[{word['start']}, {word['end']}) is not in speech")


def _is_in_speech(word: Values, spans: list[list[float]] | None) -> bool:
    """Whether spans of speech hold the word, each widened by the tolerance; spans that meet then are one."""
    if spans is None:
        return True
    merged: list[list[float]] = []
    for start, end in ((start - WORD_TOLERANCE_SECONDS, end + WORD_TOLERANCE_SECONDS) for start, end in spans):
        if merged and start <= merged[-1][1]:
            merged[-1][1] = end
        else:
            merged.append([start, end])
    return any(start <= word["start"] <= word["end"] <= end for start, end in merged)


def _cross(results: Values) -> Iterator[Violation]:
    """Control of false discoveries makes p no smaller; what was missing is told alike in both places."""
    name = "cross_analyzer_intelligence"
    found = results["analyzers"].get(name, {})
    summary = found.get("summary") or {}
    for number, pair in enumerate(summary.get("correlations") or ()):
        if pair["q"] < pair["p"]:
            yield Violation("I3", f"{name}.summary.correlations[{number}]", f"p {pair['p']}, q {pair['q']}")
    if summary and summary["missing_inputs"] != found["inputs"]["missing_inputs"]:
        yield Violation("I9", f"{name}.summary.missing_inputs", "not those of its inputs")


def _comparable(values: Values) -> dict[str, Any]:
    """Results without what may differ between two runs."""
    analyzers = {
        name: {key: value for key, value in analyzer.items() if key != "timings"}
        for name, analyzer in values["analyzers"].items()
    }
    return {**{key: value for key, value in values.items() if key != "run"}, "analyzers": analyzers}


def _differing(first: Values, second: Values) -> Iterator[str]:
    for key in {**first, **second}:
        if key == "analyzers":
            names = {**first[key], **second[key]}
            yield from (f"{key}.{name}" for name in names if first[key].get(name) != second[key].get(name))
        elif first.get(key) != second.get(key):
            yield key


def _twin_palettes(results: Values, twin: Values) -> Iterator[Violation]:
    """The palettes lie close, weighted by share: small clusters of continuous colour may wander."""
    mine, other = (
        (found.get("summary") or {"palette": []})["palette"]
        for found in (values["analyzers"].get("color_analysis") or {} for values in (results, twin))
    )
    if mine and other:
        difference = sum(color["share"] * min(_delta_e(color, candidate) for candidate in other) for color in mine)
        if difference > TWIN_DELTA_E:
            yield Violation("I8", "color_analysis.summary.palette", f"{difference:.1f} dE00 from the twin's")


def _delta_e(first: Values, second: Values) -> float:
    return float(deltaE_ciede2000(first["lab"], second["lab"]))  # type: ignore[no-untyped-call]


def _twin_objects(results: Values, twin: Values, is_flipped: bool) -> Iterator[Violation]:
    """Every box of a trained detector has its counterpart in the other file, whichever of the two it is in."""
    first, second = (values["analyzers"].get("object_detection") for values in (results, twin))
    if not first or not second or not all(model["trained"] for model in (*first["models"], *second["models"])):
        return
    if first["status"] != second["status"]:
        yield Violation("I8", "object_detection", f"{first['status']}, the twin is {second['status']}")
        return
    for mine, others, owner, missing_in in ((first, second, "", "the twin"), (second, first, "twin: ", "the original")):
        known = [(time, box) for segment in others["segments"] for time, box in _boxes(segment)]
        for number, segment in enumerate(mine["segments"]):
            for time, (x1, y1, x2, y2) in _boxes(segment):
                box = (1 - x2, y1, 1 - x1, y2) if is_flipped else (x1, y1, x2, y2)
                if max((_iou(box, other) for at, other in known if abs(at - time) < 0.01), default=0.0) < TWIN_IOU:
                    where = f"{owner}object_detection.segments[{number}]"
                    yield Violation("I8", where, f"its box at {time} s has no counterpart in {missing_in}")


def _twin_series(
    results: Values, twin: Values, analyzer: str, tolerances: Mapping[str, float], is_flipped: bool
) -> Iterator[Violation]:
    """The camera moves, and people look, alike wherever both files know it; in a mirror to the other side."""
    first, second = ((values["analyzers"].get(analyzer) or {}) for values in (results, twin))
    if first.get("status") != second.get("status"):
        if first and second:
            yield Violation("I8", analyzer, f"{first['status']}, the twin is {second['status']}")
        return
    if not all(model["trained"] for found in (first, second) for model in found.get("models", ())):
        return
    for name, tolerance in tolerances.items():
        sign = -1 if is_flipped and name in MIRRORED else 1
        columns = (found["series"]["cols"].get(name, ()) for found in (first, second) if found)
        pairs = [(mine, sign * other) for mine, other in zip(*columns, strict=False) if None not in (mine, other)]
        difference = sum(abs(mine - other) for mine, other in pairs)
        size = sum(abs(mine) for mine, _ in pairs)
        if difference > max(tolerance * len(pairs), TWIN_SPEED_RATIO * size):
            average = difference / len(pairs)
            yield Violation("I8", f"{analyzer}.series.{name}", f"{average:.3f} from the twin's on average")


def _boxes(segment: Values) -> Iterator[tuple[float, tuple[float, float, float, float]]]:
    # Lists of unequal length are I2's finding; here they must not break the comparison.
    return zip(_box_series(segment)["t"], _box_series(segment)["xyxy"], strict=False)


def _iou(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(0.0, width) * max(0.0, height)
    return shared / (_area(a) + _area(b) - shared) if shared else 0.0


def _area(box: tuple[float, ...]) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])
