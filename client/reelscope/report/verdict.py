"""The verdict at the top: what the clip is in two sentences, and six figures that one asks for first.

Only what trained models and measurements tell: a figure that cannot be told says why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from reelscope.exports.contents import Contents
from reelscope.report.fields import NOTHING, number
from reelscope.report.fixes import Found, NotMeasured


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """One figure."""

    title: str
    value: str
    unit: str = ""
    note: str
    share: float | None = None
    """0-1 for a bar."""
    start_seconds: float | None = None
    """Where to look."""
    is_known: bool = True


def tiles(contents: Contents) -> list[Tile]:
    """The figures, in the order in which they are read."""
    makers: tuple[tuple[str, Callable[[Found], Tile]], ...] = (
        ("Hook", _hook),
        ("Pace", _pace),
        ("Call to action", _call_to_action),
        ("Picture quality", _quality),
        ("Loudness", _loudness),
        ("Speech", _speech),
    )
    made = []
    for title, maker in makers:
        try:
            made.append(maker(Found(contents)))
        except NotMeasured as reason:
            made.append(Tile(title=title, value=NOTHING, note=str(reason), is_known=False))
    return made


def sentences(contents: Contents) -> list[str]:
    """What the clip is: the words of the model that watched it where it is trained, then what was measured."""
    found = Found(contents)
    said = [_synopsis(found)]
    media = contents.media
    shape = media["width"] / media["height"]
    kind = "vertical" if shape < 0.9 else "square" if shape < 1.1 else "landscape"
    shots = len(contents.values["shots"])
    length = f"{media['duration_s']:.3g}".removesuffix(".0")
    opening = f"A {kind} clip of {length} s"
    said.append(f"{opening} in {shots} shot{'s' if shots != 1 else ''}." if shots else f"{opening}.")
    parts = list(_parts(found))
    if parts:
        text = "; ".join(parts)
        said.append(f"{text[0].upper()}{text[1:]}.")
    return [sentence for sentence in said if sentence]


def _synopsis(found: Found) -> str:
    try:
        return str(found.summary("qwen2_vl_temporal", "synopsis"))
    except NotMeasured:
        return ""


def _parts(found: Found) -> Iterator[str]:
    tellers: tuple[Callable[[Found], str], ...] = (
        lambda found: _camera(found.summary("camera_analysis", "dominant")),
        lambda found: f"somebody speaks for {found.summary('audio_environment', 'speech_ratio'):.0%} of it",
        lambda found: f"text can be read for {found.summary('text_overlay', 'text_coverage_pct'):.0f}%",
        lambda found: (
            f"music at {found.summary('audio_analysis', 'tempo_bpm'):.0f} BPM"
            + (f" in {key}" if (key := found.result("audio_analysis")["summary"]["key"]) else "")
        ),
    )
    for tell in tellers:
        try:
            yield tell(found)
        except NotMeasured:
            continue


def _camera(dominant: str) -> str:
    moves = {
        "static": "the camera mostly rests",
        "handheld": "it is mostly filmed by hand",
        "mixed": "the camera moves in several ways",
    }
    if dominant == "unknown":
        raise NotMeasured("nothing could be followed")
    return moves.get(dominant, f"the camera mostly moves by {dominant.replace('_', ' ')}")


def _hook(found: Found) -> Tile:
    score = found.summary("temporal_flow", "hook_score")
    summary = found.result("temporal_flow")["summary"]
    firsts = [
        f"{name} at {number(at)} s"
        for name in ("text", "speech", "face", "product")
        if (at := summary[f"time_to_first_{name}_s"]) is not None
    ]
    measured = summary["hook_weight_ratio"]
    partly = f"; from {measured:.0%} of its parts" if measured < 1 else ""
    note = (", ".join(firsts[:3]) or "nothing to read, hear or meet") + partly
    return Tile(title="Hook", value=f"{score:.0f}", unit="of 100", note=note, share=score / 100, start_seconds=0.0)


def _pace(found: Found) -> Tile:
    rate, mean = (found.summary("cut_analysis", field) for field in ("cuts_per_min", "asl_mean_s"))
    try:
        slope = found.summary("temporal_flow", "pacing_slope")
    except NotMeasured:
        slope = 0.0
    trend = "speeding up" if slope > 0.05 else "slowing down" if slope < -0.05 else "steady"
    return Tile(
        title="Pace", value=number(rate), unit="cuts a minute", note=f"shots of {number(mean)} s on average, {trend}"
    )


def _call_to_action(found: Found) -> Tile:
    call: Any = found.result("temporal_flow")["summary"]["cta"]
    if call is None:
        return Tile(title="Call to action", value="none", note="nothing asks viewers to act")
    at = call["start"]
    how = {"text": "written", "speech": "spoken", "understanding": "told by the model that watched"}[call["source"]]
    text = " ".join(str(call["text"]).split())
    return Tile(title="Call to action", value=text if len(text) <= 40 else f"{text[:39]}…", note=how, start_seconds=at)


def _quality(found: Found) -> Tile:
    overall = found.summary("content_quality", "overall")
    result = found.result("content_quality")
    issues = [str(issue).replace("_", " ") for issue in result["summary"]["issues"]]
    worst = next((each for each in result["segments"] if each["id"] == result["summary"]["worst_segment"]), None)
    note = ", ".join(issues) or "no technical fault on the whole"
    if worst is not None and not issues:
        note += "; weakest here:"
    return Tile(
        title="Picture quality",
        value=f"{overall:.0f}",
        unit="of 100",
        note=note,
        share=overall / 100,
        start_seconds=worst["start"] if worst else None,
    )


def _loudness(found: Found) -> Tile:
    loudness, above = (found.summary("audio_analysis", field) for field in ("lufs_i", "above_platform_lu"))
    side = "above" if above > 0 else "below"
    clipped = found.summary("audio_analysis", "n_clipped")
    note = f"{number(abs(above), 'LU')} {side} −14 LUFS; {'clipped' if clipped else 'nothing clipped'}"  # noqa: RUF001
    return Tile(title="Loudness", value=number(round(loudness, 1)), unit="LUFS", note=note)


def _speech(found: Found) -> Tile:
    summary = found.result("speech_rate")["summary"]
    if summary["wpm"] is not None:
        pace = (summary["pace"] or "").replace("_", " ")
        return Tile(title="Speech", value=f"{summary['wpm']:.0f}", unit="words/min", note=pace or "pace of talk")
    rate = found.summary("speech_rate", "speech_rate_syll_s")
    return Tile(title="Speech", value=number(rate), unit="syllables/s", note="counted in the sound, without words")
