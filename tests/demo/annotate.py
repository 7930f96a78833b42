"""Write the demo clip's annotation for `reelscope evaluate`: `python tests/demo/annotate.py`.

`clip.truth.json` is what of `truth.json` an annotation can tell. What it cannot (colours, moving boxes, speeds of the
camera) is compare.py's.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
FRAME_TOLERANCE_SECONDS = 0.034
BEAT_TOLERANCE_SECONDS = 0.07


def annotation(truth: dict[str, Any]) -> dict[str, Any]:
    """Values of the annotation file."""
    flashes = [_event(flash["start_seconds"], "flash") for flash in truth["flashes"]]
    shots, music, speech = truth["shots"], truth["music"], truth["speech"]
    flat = {card["shot"] for card in truth["palettes"]}
    sentences = " ".join(sentence["text"] for sentence in speech["sentences"])
    analyzers = {
        "text_overlay": {
            "complete": ["*"],
            "spans": [_span(line, "*") | {"text": line["text"]} for line in truth["text"]],
            "text": "\n".join(line["text"] for line in truth["text"]),
            "values": {"n_lines": {"value": len(truth["text"]), "unit": "lines"}},
        },
        "camera_analysis": {
            "complete": ["pan", "tilt", "roll", "zoom_or_dolly"],
            # A card of flat bands has nothing that could be followed.
            "spans": [_span(shot, _movement(shot)) for number, shot in enumerate(shots) if number not in flat],
        },
        "cut_analysis": {
            "complete": ["cut", "flash"],
            "events": [*(_event(shot["start_seconds"], "cut") for shot in shots[1:]), *flashes],
            "values": {"n_cuts": {"value": len(shots) - 1, "unit": "cuts"}},
            "tolerance_s": FRAME_TOLERANCE_SECONDS,
        },
        "audio_analysis": {
            "complete": ["beat"],
            "events": [_event(time, "beat") for time in music["beats_seconds"]],
            "values": {"tempo_bpm": {"value": music["tempo_bpm"], "unit": "BPM"}, "key": {"value": music["key"]}},
            "tolerance_s": BEAT_TOLERANCE_SECONDS,
        },
        "speech_flow": {
            "complete": ["pause"],
            "spans": [_span(pause, "pause") for pause in speech["pauses"]],
            "values": {"pause_count": {"value": len(speech["pauses"]), "unit": "pauses"}},
        },
        "speech_transcription": {
            "text": sentences,
            "values": {"language": {"value": speech["language"]}, "n_words": {"value": len(speech["words"])}},
        },
        "visual_effects": {
            "complete": ["fade", "flash", "freeze"],
            "events": flashes,
            "spans": [span for fade in truth["fades"] for span in _halves(fade)],
            "tolerance_s": FRAME_TOLERANCE_SECONDS,
        },
    }
    notes = "Written by annotate.py from truth.json."
    return {
        "schema": "reelscope-truth/1",
        "sha256": truth["clip"]["sha256"],
        "notes": notes,
        "analyzers": analyzers,
    }


def _movement(shot: dict[str, Any]) -> str:
    """The camera's movement, as the analyzer calls it: it does not tell zoom from dolly."""
    label: str = shot["camera"]["label"]
    return {"zoom": "zoom_or_dolly"}.get(label, label)


def _halves(fade: dict[str, Any]) -> list[dict[str, Any]]:
    """A fade through black is two effects: out, and in again."""
    out = {"start_seconds": fade["fade_out_start_seconds"], "end_seconds": fade["black_start_seconds"]}
    back = {"start_seconds": fade["black_end_seconds"], "end_seconds": fade["fade_in_end_seconds"]}
    return [_span(out, "fade"), _span(back, "fade")]


def _event(time: float, label: str) -> dict[str, Any]:
    return {"t": round(time, 3), "label": label}


def _span(values: dict[str, Any], label: str) -> dict[str, Any]:
    return {"start": round(values["start_seconds"], 3), "end": round(values["end_seconds"], 3), "label": label}


if __name__ == "__main__":
    TRUTH = json.loads((FOLDER / "truth.json").read_text(encoding="utf-8"))
    text = json.dumps(annotation(TRUTH), ensure_ascii=False, indent=1) + "\n"
    (FOLDER / "clip.truth.json").write_text(text, encoding="utf-8")
