"""Hold results of the demo clip against its truth: `python tests/demo/compare.py RESULTS`.

Exits with 1 when model-free truth is missed: every shot boundary to the frame, the flash as no cut, the palette card to
dE00 <= 2 and shares +-0.02, the camera of every shot (pan and tilt +-5 % or +-0.5 % of the side per second, zoom
+-0.01, roll +-0.5 degrees per second), overlaid text, and the call to action among it, to the letter and +-0.25 s, the
music's tempo +-1 BPM, its beats (F >= 0.9 at +-70 ms) and key, the share of cuts on beats, every sentence +-0.1 s,
every pause +-0.15 s. What needs trained weights is shown, and judged only when the results had them.

What temporal_flow tells of pace and moments is held to the same truth: the pace +-0.01 doublings per second, moments as
above.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from difflib import SequenceMatcher
from math import log2
from pathlib import Path
from statistics import linear_regression
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table
from skimage.color import deltaE_ciede2000, rgb2lab

from reelscope.settings import labels

MAX_DELTA_E = 2.0
MAX_SHARE_ERROR = 0.02
MAX_TIME_ERROR_SECONDS = 1 / 30
MAX_TEXT_TIME_ERROR_SECONDS = 0.25
MAX_ZOOM_ERROR = 0.01
MAX_ROLL_ERROR_DEGREES = 0.5
MAX_TEMPO_ERROR_BPM = 1.0
MAX_BEAT_ERROR_SECONDS = 0.07
MIN_BEAT_F = 0.9
MAX_SPEECH_ERROR_SECONDS = 0.1
MAX_PAUSE_ERROR_SECONDS = 0.15
MAX_PACE_ERROR = 0.01


class Row(NamedTuple):
    what: str
    true: str
    found: str
    is_right: bool | None
    """None: shown, not judged."""


def compare(results: dict[str, Any], truth: dict[str, Any]) -> list[Row]:
    """One row per fact that today's analyzers speak of; one wrong row where one of them has no findings."""
    rows: list[Row] = []
    for facts, names in FACTS.items():
        found = {name: results["analyzers"].get(name, {"status": "absent", "summary": None}) for name in names}
        mute = [f"{name}: {each['status']}" for name, each in found.items() if each["summary"] is None]
        rows += [Row(facts.__name__.strip("_"), "found", ", ".join(mute), False)] if mute else facts(results, truth)
    return rows


def _shots(results: dict[str, Any], truth: dict[str, Any]) -> Iterator[Row]:
    found = {shot["frame_in"]: (shot["transition_in"] or {}).get("kind") for shot in results["shots"]}
    true = {shot["frame_in"]: shot["transition_in"] for shot in truth["shots"]}
    for frame in sorted({**found, **true}):
        expected = f"{true[frame] or 'start'} at frame {frame}" if frame in true else "no boundary"
        actual = f"{found[frame] or 'start'} at frame {frame}" if frame in found else "no boundary"
        yield Row("shot boundary", expected, actual, expected == actual)


def _flashes(results: dict[str, Any], truth: dict[str, Any]) -> Iterator[Row]:
    segments = results["analyzers"]["cut_analysis"]["segments"]
    found = [segment["start"] for segment in segments if segment["label"] == "flash"]
    for flash in truth["flashes"]:
        nearest = min(found, key=lambda start: abs(start - flash["start_seconds"]), default=None)
        is_right = nearest is not None and abs(nearest - flash["start_seconds"]) <= MAX_TIME_ERROR_SECONDS
        actual = "none" if nearest is None else f"{nearest:.3f} s"
        yield Row("flash, no cut", f"{flash['start_seconds']:.3f} s", actual, is_right and len(found) == 1)


def _palettes(results: dict[str, Any], truth: dict[str, Any]) -> Iterator[Row]:
    segments = results["analyzers"]["color_analysis"]["segments"]
    for card in truth["palettes"]:
        start = truth["shots"][card["shot"]]["start_seconds"]
        shots = (s for s in segments if s["label"] == "shot_colors" and abs(s["start"] - start) < 0.01)
        palette = next((shot["data"]["palette"] for shot in shots), ())
        for color in card["colors"]:
            expected = f"{color['hex']} {color['share']:.3f}"
            nearest = min(palette, key=lambda candidate: _delta_e(color["hex"], candidate["lab"]), default=None)
            if nearest is None:
                yield Row("palette colour", expected, "no such shot", False)
                continue
            difference = _delta_e(color["hex"], nearest["lab"])
            is_right = difference <= MAX_DELTA_E and abs(nearest["share"] - color["share"]) <= MAX_SHARE_ERROR
            actual = f"{nearest['hex']} {nearest['share']:.3f}  (dE00 {difference:.2f})"
            yield Row("palette colour", expected, actual, is_right)


def _camera(results: dict[str, Any], truth: dict[str, Any]) -> Iterator[Row]:
    """The longest span of each shot; a card of flat bands has nothing that could be followed."""
    flat = {card["shot"] for card in truth["palettes"]}
    for number, shot in enumerate(truth["shots"]):
        spans = [
            span
            for span in results["analyzers"]["camera_analysis"]["segments"]
            if shot["start_seconds"] - 0.01 <= span["start"] < shot["end_seconds"] - 0.01
        ]
        found = max(spans, key=lambda span: span["end"] - span["start"], default=None)
        label = {"zoom": "zoom_or_dolly"}.get(shot["camera"]["label"], shot["camera"]["label"])
        if number in flat:
            seen = found["label"] if found else "no such shot"
            yield Row("camera", f"shot {number + 1}: {label}", seen, seen in ("static", "unknown"))
            continue
        expected = f"shot {number + 1}: {label} {_moves(*list(shot['camera'].values())[1:])}"
        if found is None or found["data"]["pan_pct_w_s"] is None:
            yield Row("camera", expected, found["label"] if found else "no such shot", False)
            continue
        pan, tilt, zoom, roll = (
            found["data"][name] for name in ("pan_pct_w_s", "tilt_pct_h_s", "zoom_per_s", "roll_deg_s")
        )
        true = shot["camera"]
        errors_over_bounds = (
            abs(pan - true["pan_percent_width_per_second"])
            / max(0.5, 0.05 * abs(true["pan_percent_width_per_second"])),
            abs(tilt - true["tilt_percent_height_per_second"])
            / max(0.5, 0.05 * abs(true["tilt_percent_height_per_second"])),
            abs(zoom - true["zoom_per_second"]) / MAX_ZOOM_ERROR,
            abs(roll - true["roll_degrees_per_second"]) / MAX_ROLL_ERROR_DEGREES,
        )
        yield Row(
            "camera",
            expected,
            f"{found['label']} {_moves(pan, tilt, zoom, roll)}",
            found["label"] == label and max(errors_over_bounds) <= 1,
        )


def _moves(pan: float, tilt: float, zoom: float, roll: float) -> str:
    return f"{pan:+.1f} %W/s {tilt:+.1f} %H/s x{zoom:.3f} {roll:+.1f} deg/s"


def _texts(results: dict[str, Any], truth: dict[str, Any]) -> Iterator[Row]:
    """Every overlaid line by the segment that reads most like it and comes when it does."""
    analyzer = results["analyzers"]["text_overlay"]
    trained = bool(analyzer["models"]) and all(model["trained"] for model in analyzer["models"])
    for line in truth["text"]:
        times = line["start_seconds"], line["end_seconds"]

        def distance(segment: dict[str, Any], line: dict[str, Any] = line) -> float:
            likeness = SequenceMatcher(None, segment["data"]["text"], line["text"], autojunk=False).ratio()
            return abs(segment["start"] - line["start_seconds"]) - 10 * likeness

        said = "{} {:.2f}-{:.2f} s"
        found = min(analyzer["segments"], key=distance, default=None)
        if found is None:
            yield Row("text", said.format(line["text"], *times), "nothing read", False if trained else None)
            continue
        late = max(abs(found["start"] - times[0]), abs(found["end"] - times[1]))
        is_right = found["data"]["text"] == line["text"] and late <= MAX_TEXT_TIME_ERROR_SECONDS
        actual = said.format(found["data"]["text"], found["start"], found["end"])
        yield Row("text", said.format(line["text"], *times), actual, is_right if trained else None)


def _calls_to_action(results: dict[str, Any], truth: dict[str, Any]) -> Iterator[Row]:
    """What the viewer is asked to do, as text_overlay's summary tells it: these lines, no others."""
    analyzer = results["analyzers"]["text_overlay"]
    trained = bool(analyzer["models"]) and all(model["trained"] for model in analyzer["models"])
    found = [(call["text"], call["start"]) for call in analyzer["summary"]["cta"] or ()]
    true = [(line["text"], line["start_seconds"]) for line in truth["text"] if line["role"] == "cta"]
    are_right = [text for text, _ in found] == [text for text, _ in true] and all(
        abs(start - expected) <= MAX_TEXT_TIME_ERROR_SECONDS
        for (_, start), (_, expected) in zip(found, true, strict=True)
    )
    said, expected = ("; ".join(f"{text} at {start:.2f} s" for text, start in calls) for calls in (found, true))
    yield Row("call to action", expected, said or "none", are_right if trained else None)


def _objects(results: dict[str, Any], truth: dict[str, Any]) -> Iterator[Row]:
    analyzer = results["analyzers"]["object_detection"]
    trained = bool(analyzer["models"]) and all(model["trained"] for model in analyzer["models"])
    for item in truth["objects"]:
        if item["label"] not in labels("object_yolov8"):
            continue
        shot = truth["shots"][item["shot"]]
        seen = any(
            segment["label"] == item["label"]
            and segment["start"] < shot["end_seconds"]
            and segment["end"] > shot["start_seconds"]
            for segment in analyzer["segments"]
        )
        actual = ("seen" if seen else "not seen") if trained else "random weights"
        yield Row("object", f"{item['label']} in shot {item['shot'] + 1}", actual, None)


def _music(results: dict[str, Any], truth: dict[str, Any]) -> Iterator[Row]:
    analyzer, true = results["analyzers"]["audio_analysis"], truth["music"]
    tempo, key = (analyzer["summary"][name] for name in ("tempo_bpm", "key"))
    is_right = tempo is not None and abs(tempo - true["tempo_bpm"]) <= MAX_TEMPO_ERROR_BPM
    yield Row("tempo", f"{true['tempo_bpm']} BPM", "none" if tempo is None else f"{tempo:.1f} BPM", is_right)
    yield Row("key", true["key"], str(key), key == true["key"])
    beats = [segment["start"] for segment in analyzer["segments"] if segment["label"] == "beat"]
    hits = sum(any(abs(beat - each) <= MAX_BEAT_ERROR_SECONDS for beat in beats) for each in true["beats_seconds"])
    f = 2 * hits / (len(beats) + len(true["beats_seconds"]))
    yield Row("beats", f"{len(true['beats_seconds'])} of them", f"{len(beats)}, F {f:.2f}", f >= MIN_BEAT_F)


def _rhythm(results: dict[str, Any], truth: dict[str, Any]) -> Iterator[Row]:
    """How many boundaries between shots lie on a beat."""
    cuts = [shot["start_seconds"] for shot in truth["shots"][1:]]
    beats = truth["music"]["beats_seconds"]
    true = sum(any(abs(cut - beat) <= MAX_BEAT_ERROR_SECONDS for beat in beats) for cut in cuts) / len(cuts)
    found = results["analyzers"]["cross_analyzer_intelligence"]["summary"]["cut_beat_sync"]
    is_right = found is not None and abs(found - true) <= 1e-5  # as results are rounded
    yield Row("cuts on beats", f"{true:.0%}", "none" if found is None else f"{found:.0%}", is_right)


def _speech(results: dict[str, Any], truth: dict[str, Any]) -> Iterator[Row]:
    """Sentences by the speech mask, pauses between them by speech_flow; the words need trained weights."""
    heard = results["analyzers"]["speech_transcription"]["summary"]["speech_spans_s"] or ()
    sentences = [(each["start_seconds"], each["end_seconds"], each["text"]) for each in truth["speech"]["sentences"]]
    yield from _spans("speech", sentences, heard, MAX_SPEECH_ERROR_SECONDS)
    segments = results["analyzers"]["speech_flow"]["segments"]
    found = [(segment["start"], segment["end"]) for segment in segments if segment["label"] == "pause"]
    pauses = [(each["start_seconds"], each["end_seconds"], "") for each in truth["speech"]["pauses"]]
    yield from _spans("pause", pauses, found, MAX_PAUSE_ERROR_SECONDS)
    transcription = results["analyzers"]["speech_transcription"]
    trained = bool(transcription["models"]) and all(model["trained"] for model in transcription["models"])
    true = " ".join(text for *_, text in sentences)
    said = transcription["summary"]["text"] if trained else "random weights"
    yield Row("words", true, str(said), None)


def _spans(
    what: str, true: list[tuple[float, float, str]], found: list[Sequence[float]], bound_seconds: float
) -> Iterator[Row]:
    """Every true span by the one found that begins nearest to it."""
    for start, end, text in true:
        nearest = min(found, key=lambda span: abs(span[0] - start), default=None)
        expected = f"{start:.2f}-{end:.2f} s {text}".rstrip()
        if nearest is None:
            yield Row(what, expected, "none", False)
            continue
        error = max(abs(nearest[0] - start), abs(nearest[1] - end))
        is_right = error <= bound_seconds and len(found) == len(true)
        yield Row(what, expected, f"{nearest[0]:.2f}-{nearest[1]:.2f} s", is_right)


def _flow(results: dict[str, Any], truth: dict[str, Any]) -> Iterator[Row]:
    """How cutting speeds up, and when the clip first speaks, first shows text, and asks for something."""
    flow = results["analyzers"]["temporal_flow"]
    summary, reads = flow["summary"], "text_overlay" not in flow["inputs"]["missing_inputs"]
    spans = [(shot["start_seconds"], shot["end_seconds"]) for shot in truth["shots"]]
    middles, rates = zip(*(((start + end) / 2, -log2(end - start)) for start, end in spans), strict=True)
    pace, found = linear_regression(middles, rates).slope, summary["pacing_slope"]
    is_right = found is not None and abs(found - pace) <= MAX_PACE_ERROR
    yield Row("pace", f"{pace:+.3f} doublings/s", "none" if found is None else f"{found:+.3f} doublings/s", is_right)
    spoken = min(sentence["start_seconds"] for sentence in truth["speech"]["sentences"])
    yield _moment("first speech", spoken, summary["time_to_first_speech_s"], MAX_SPEECH_ERROR_SECONDS)
    shown = min(line["start_seconds"] for line in truth["text"])
    yield _moment("first text", shown, summary["time_to_first_text_s"], MAX_TEXT_TIME_ERROR_SECONDS, is_judged=reads)
    call = max((line for line in truth["text"] if line["role"] == "cta"), key=lambda line: float(line["start_seconds"]))
    cta = summary["cta"]
    asked = cta["start"] if cta and cta["text"] == call["text"] else None
    yield _moment("last call to action", call["start_seconds"], asked, MAX_TEXT_TIME_ERROR_SECONDS, is_judged=reads)


def _moment(what: str, true: float, found: float | None, bound_seconds: float, *, is_judged: bool = True) -> Row:
    is_right = found is not None and abs(found - true) <= bound_seconds
    return Row(what, f"{true:.2f} s", "none" if found is None else f"{found:.2f} s", is_right if is_judged else None)


def _delta_e(hex_color: str, lab: list[float]) -> float:
    rgb = [int(hex_color[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    return float(deltaE_ciede2000(rgb2lab([[rgb]])[0, 0], lab))


FACTS: dict[Callable[[dict[str, Any], dict[str, Any]], Iterable[Row]], tuple[str, ...]] = {
    _shots: ("cut_analysis",),
    _flashes: ("cut_analysis",),
    _palettes: ("color_analysis",),
    _camera: ("camera_analysis",),
    _texts: ("text_overlay",),
    _calls_to_action: ("text_overlay",),
    _objects: ("object_detection",),
    _music: ("audio_analysis",),
    _rhythm: ("cross_analyzer_intelligence",),
    _speech: ("speech_transcription", "speech_flow"),
    _flow: ("temporal_flow",),
}
"""What is compared, and the analyzers that tell it."""


def truth() -> dict[str, Any]:
    """What is true of the demo clip."""
    return dict(json.loads(Path(__file__).with_name("truth.json").read_text(encoding="utf-8")))


def main(path: Path) -> int:
    """Print the table; 1 when something is wrong."""
    rows = compare(json.loads(path.read_text(encoding="utf-8")), truth())
    table = Table("", "true", "found", "", title="the demo clip: what is true, what was found")
    for row in rows:
        mark = {True: "[green]right[/]", False: "[bold red]WRONG[/]", None: "[dim]not judged[/]"}[row.is_right]
        table.add_row(row.what, row.true, row.found, mark)
    console = Console()
    console.print(table)
    wrong = sum(row.is_right is False for row in rows)
    judged = sum(row.is_right is not None for row in rows)
    console.print(f"{judged - wrong} of {judged} right")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
