"""The rules of `fixes`: what is looked for, the bound, and where the bound comes from.

Sources: WCAG 2.2 (flashes 2.3.1, contrast of large text 1.4.3), ITU-R BT.1702 (flashes), EBU R 128 (true peak), the
Timed Text Style Guides of streaming services (20 characters a second for adults), ANSI S12.60 (reverberation of rooms
in which people listen). A bound without a source is an editor's rule of thumb, and its comment says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from reelscope.report.evidence import Evidence, of
from reelscope.report.fields import number
from reelscope.report.fixes import Fix, Found, NotMeasured, Rule
from reelscope.report.safe_zone import is_covered, reach

MIN_TEXT_CONTRAST = 3.0
"""WCAG 2.2, 1.4.3, for large text; captions are."""
MAX_CHARS_PER_SECOND = 20.0
MAX_TRUE_PEAK_DBTP = -1.0
"""EBU R 128: lossy codecs overshoot beyond it."""
MAX_ABOVE_PLATFORM_LU, MAX_BELOW_PLATFORM_LU = 3.0, 6.0
"""Rule of thumb: what platforms turn down is lost headroom; 6 LU are heard as clearly quieter than the next clip."""
MIN_SNR_DB = 10.0
"""Rule of thumb for speech over its background; WCAG 2.2, 1.4.7 (AAA), asks for 20."""
MAX_RT60_SECONDS = 0.6
"""ANSI S12.60 for small classrooms."""
MIN_STABILITY = 0.5
"""camera_analysis: a shaky hand."""
MAX_TILT_RATIO = 0.25
MIN_HOOK_SCORE, MIN_HOOK_WEIGHT_RATIO = 50.0, 0.5
"""Half of what openings are commonly made of; judged where at least half of it was measured."""
MIN_PACING_SLOPE = -0.2
"""Doublings of the cutting rate per second: it halves every 5 s. Rule of thumb."""
MAX_HOLD_SECONDS = 2.0
MAX_PAUSE_SECONDS = 3.0
MAX_FILLERS_PER_MINUTE = 6.0
"""Rules of thumb: beyond, they are noticed."""
MAX_REPEATED_RATIO = 0.2
LAID_OVER = ("title", "cta", "caption", "text")
"""Roles of text that the editor placed; scene text is filmed, watermarks are the platform's."""
ISSUES = {
    "blurry": ("Sharpen or reshoot the blurry shots", "lap_var", "sharpness (variance of the Laplacian)", ""),
    "noisy": ("Denoise the noisy shots, or light them better", "noise_sigma", "noise", "grey levels"),
    "blocky": ("Export with a higher bit rate: coding blocks show", "blockiness", "blockiness", ""),
    "overexposed": ("Bring back the highlights", "clip_hi_pct", "burnt-out picture area", "%"),
    "underexposed": ("Lift the shadows", "clip_lo_pct", "black picture area", "%"),
    "low_contrast": ("Raise the contrast of flat shots", "rms_contrast", "RMS contrast", ""),
}
"""Title, field, and its words, of every issue of content_quality."""


def _flashes(found: Found) -> Iterator[Fix]:
    if found.summary("visual_effects", "risk"):
        rate = found.summary("visual_effects", "max_flashes_per_s")
        yield Fix(
            title="Remove or soften the flashes: they can trigger seizures",
            finding=f"{rate} flashes within a second; more than 3 are a risk (WCAG 2.3.1, ITU-R BT.1702)",
            impact=3,
            extent=min(1.0, rate / 10),
            evidence=of("visual_effects", found.segments("visual_effects", "flash")),
        )


def _damage(found: Found) -> Iterator[Fix]:
    media = found.contents.media
    for what, coverage in (("picture", media["coverage"]), ("sound", media["audio"]["coverage"])):
        if coverage is not None and coverage < 1:
            yield Fix(
                title=f"Export again: part of the {what} is damaged or missing",
                finding=f"{coverage:.1%} of it could be decoded",
                impact=3,
                extent=1 - coverage,
                evidence=(),
            )


def _text_under_controls(found: Found) -> Iterator[Fix]:
    lines = _texts(found, "safe_zone_ok")
    parameters = found.result("text_overlay")["params"]
    covered = [line for line in lines if is_covered(line, parameters)]
    if covered:
        most = max(reach(line, parameters) for line in covered)
        what = "call to action" if any(line["label"] == "cta" for line in covered) else "text"
        yield Fix(
            title=f"Move the {what} out from under the player's buttons",
            finding=f"{len(covered)} of {len(lines)} lines reach up to {most:.0%} of the frame beyond a 9:16 safe zone",
            impact=2,
            extent=found.share(covered),
            evidence=of("text_overlay", covered),
        )


def _text_contrast(found: Found) -> Iterator[Fix]:
    lines = _texts(found, "contrast_ratio")
    faint = [line for line in lines if line["data"]["contrast_ratio"] < MIN_TEXT_CONTRAST]
    if faint:
        least = min(line["data"]["contrast_ratio"] for line in faint)
        yield Fix(
            title="Give faint text an outline or a plate",
            finding=f"contrast {number(least)}:1, where large text needs {MIN_TEXT_CONTRAST:g}:1 (WCAG 1.4.3)",
            impact=2,
            extent=found.share(faint),
            evidence=of("text_overlay", faint),
        )


def _text_pace(found: Found) -> Iterator[Fix]:
    lines = _texts(found, "chars_per_s")
    quick = [line for line in lines if line["data"]["chars_per_s"] > MAX_CHARS_PER_SECOND]
    if quick:
        most = max(line["data"]["chars_per_s"] for line in quick)
        yield Fix(
            title="Leave text on screen for longer",
            finding=f"up to {number(most)} characters a second; {MAX_CHARS_PER_SECOND:g} can be read",
            impact=2,
            extent=found.share(quick),
            evidence=of("text_overlay", quick),
        )


def _texts(found: Found, field: str) -> list[Mapping[str, Any]]:
    """Lines that were laid over the picture and have this field."""
    lines = [line for line in found.segments("text_overlay", *LAID_OVER) if line["data"][field] is not None]
    if not lines:
        raise NotMeasured("no laid-over text with this measure")
    return lines


def _subject_under_controls(found: Found) -> Iterator[Fix]:
    if found.summary("composition_analysis", "safe_zone_violations"):
        shots = [each for each in _with_data(found, "composition_analysis") if each["data"]["safe_zone_ok"] is False]
        is_person = any(each["data"]["subject_source"] in ("face", "person") for each in shots)
        whose = "a face or person" if is_person else "what stands out most"
        yield Fix(
            title="Reframe: the player's buttons cover the subject",
            finding=f"{whose} lies beyond the safe zone in {len(shots)} of {len(found.contents.values['shots'])} shots",
            impact=2 if is_person else 1,
            extent=found.share(shots),
            evidence=_shots("composition_analysis", shots),
        )


def _picture(found: Found) -> Iterator[Fix]:
    shots = _with_data(found, "content_quality")
    bounds = found.result("content_quality")["params"]
    for issue, (title, field, name, measure) in ISSUES.items():
        bad = [each for each in shots if issue in each["data"]["issues"]]
        values = [each["data"][field] for each in bad]
        if bad:
            is_low = f"{issue}_below" in bounds
            worst = min(values) if is_low else max(values)
            bound = bounds.get(f"{issue}_below", bounds.get(f"{issue}_above"))
            beyond = (
                f"; {'below' if is_low else 'above'} {number(bound, measure)} it shows" if bound is not None else ""
            )
            yield Fix(
                title=title,
                finding=f"{name} {number(worst, measure)} at worst{beyond}",
                impact=2,
                extent=found.share(bad),
                evidence=_shots("content_quality", bad),
            )


def _shake(found: Found) -> Iterator[Fix]:
    stability = found.summary("camera_analysis", "stability")
    if stability < MIN_STABILITY:
        shaky = found.segments("camera_analysis", "handheld")
        yield Fix(
            title="Stabilise the camera",
            finding=f"stability {number(stability)} of 1; below {MIN_STABILITY:g} it is a shaky hand",
            impact=2,
            extent=1 - stability,
            evidence=of("camera_analysis", shaky),
        )


def _tilt(found: Found) -> Iterator[Fix]:
    ratio = found.summary("composition_analysis", "tilt_ratio")
    if ratio > MAX_TILT_RATIO:
        bound = found.result("composition_analysis")["params"].get("tilted_above_deg", 2)
        shots = [
            each for each in _with_data(found, "composition_analysis") if abs(each["data"]["horizon_deg"] or 0) > bound
        ]
        yield Fix(
            title="Level the horizon",
            finding=f"more than {bound:g}° off in {ratio:.0%} of the samples with a horizon",
            impact=1,
            extent=ratio,
            evidence=_shots("composition_analysis", shots),
        )


def _clipping(found: Found) -> Iterator[Fix]:
    count = found.summary("audio_analysis", "n_clipped")
    if count:
        spans = found.segments("audio_analysis", "clipping")
        yield Fix(
            title="Turn the recording down: the sound is cut off at full scale",
            finding=f"{number(count)} samples are clipped; they sound distorted",
            impact=2,
            extent=found.share(spans),
            evidence=of("audio_analysis", spans),
        )


def _peak(found: Found) -> Iterator[Fix]:
    peak = found.summary("audio_analysis", "true_peak_dbtp")
    if peak > MAX_TRUE_PEAK_DBTP:
        yield Fix(
            title="Leave headroom in the master",
            finding=f"true peak {number(peak, 'dBTP')}; at most {number(MAX_TRUE_PEAK_DBTP, 'dBTP')} (EBU R 128)",
            impact=1,
            extent=min(1.0, (peak - MAX_TRUE_PEAK_DBTP) / 4),
            evidence=(Evidence(analyzer="audio_analysis", text="true peak of the clip"),),
        )


def _loudness(found: Found) -> Iterator[Fix]:
    above, loudness = (found.summary("audio_analysis", field) for field in ("above_platform_lu", "lufs_i"))
    bound = MAX_ABOVE_PLATFORM_LU if above > 0 else MAX_BELOW_PLATFORM_LU
    if abs(above) > bound:
        target = number(loudness - above, "LUFS")
        yield Fix(
            title="Turn the mix down" if above > 0 else "Turn the mix up: it is quieter than other clips",
            finding=f"{number(loudness, 'LUFS')}, {number(abs(above), 'LU')} {'above' if above > 0 else 'below'} the "
            f"{target} that several platforms are said, unofficially, to play at",
            impact=1,
            extent=min(1.0, (abs(above) - bound) / 10),
            evidence=(Evidence(analyzer="audio_analysis", text="integrated loudness of the clip"),),
        )


def _silence(found: Found) -> Iterator[Fix]:
    if found.summary("audio_analysis", "is_silent"):
        yield Fix(
            title="Put sound into the clip: its sound track is silent",
            finding="no tenth of a second is louder than -70 dBFS",
            impact=2,
            extent=1.0,
            evidence=(Evidence(analyzer="audio_analysis", text="level of the clip"),),
        )


def _background(found: Found) -> Iterator[Fix]:
    ratio = found.summary("audio_environment", "snr_db")
    if ratio < MIN_SNR_DB:
        yield Fix(
            title="Lower what plays under the speech",
            finding=f"speech is {number(ratio, 'dB')} over its background; {MIN_SNR_DB:g} dB are needed to follow",
            impact=2,
            extent=min(1.0, (MIN_SNR_DB - ratio) / 20),
            evidence=(Evidence(analyzer="audio_environment", text="speech over background"),),
        )


def _echo(found: Found) -> Iterator[Fix]:
    echo = found.summary("audio_environment", "rt60_s")
    if echo > MAX_RT60_SECONDS:
        yield Fix(
            title="Record closer to the microphone: the room echoes",
            finding=f"reverberation {number(echo, 's')}; above {MAX_RT60_SECONDS:g} s speech blurs (ANSI S12.60)",
            impact=1,
            extent=min(1.0, echo - MAX_RT60_SECONDS),
            evidence=(Evidence(analyzer="audio_environment", text="reverberation after speech"),),
        )


def _hook(found: Found) -> Iterator[Fix]:
    score, weight = (found.summary("temporal_flow", field) for field in ("hook_score", "hook_weight_ratio"))
    if weight < MIN_HOOK_WEIGHT_RATIO:
        raise NotMeasured(f"only {weight:.0%} of what openings are made of could be measured")
    if score < MIN_HOOK_SCORE:
        parts = found.summary("temporal_flow", "hook_components")
        lacking = ", ".join(name for name, part in parts.items() if part is not None and part < 0.25)
        yield Fix(
            title="Open stronger",
            finding=f"hook {score:.0f} of 100" + (f"; little of: {lacking}" if lacking else ""),
            impact=2,
            extent=1 - score / 100,
            evidence=of("temporal_flow", found.segments("temporal_flow", "hook")),
        )


def _call_to_action(found: Found) -> Iterator[Fix]:
    result = found.result("temporal_flow")
    sources = {"text_overlay": "in writing", "speech_transcription": "in speech"}
    missing = {*result["inputs"]["missing_inputs"]}
    looked = [words for name, words in sources.items() if name not in missing]
    if not looked:
        raise NotMeasured("neither text nor speech could be read")
    if result["summary"]["cta"] is None:
        yield Fix(
            title="Tell viewers what to do next",
            finding=f"no call to action {' or '.join(looked)}",
            impact=2,
            extent=0.5,
            evidence=of("temporal_flow", found.segments("temporal_flow")[-1:]),
        )


def _pacing(found: Found) -> Iterator[Fix]:
    slope = found.summary("temporal_flow", "pacing_slope")
    if slope < MIN_PACING_SLOPE:
        yield Fix(
            title="Keep the pace: cutting slows down towards the end",
            finding=f"its rate halves every {number(-1 / slope, 's')}",
            impact=1,
            extent=min(1.0, -slope),
            evidence=of("cut_analysis", found.segments("cut_analysis", "shot")[-1:]),
        )


def _holds(found: Found) -> Iterator[Fix]:
    holds = found.segments("visual_effects", "static_hold", "freeze")
    long = [each for each in holds if each["end"] - each["start"] > MAX_HOLD_SECONDS]
    if long:
        longest = max(each["end"] - each["start"] for each in long)
        yield Fix(
            title="Give still stretches some movement, or cut them",
            finding=f"nothing moves for up to {number(longest, 's')}",
            impact=1,
            extent=found.share(long),
            evidence=of("visual_effects", long),
        )


def _bars(found: Found) -> Iterator[Fix]:
    bars = found.segments("visual_effects", "letterbox", "pillarbox")
    if bars:
        parts = [each["data"]["params"] for each in bars]
        most = max(part["before_ratio"] + part["after_ratio"] for part in parts)
        yield Fix(
            title="Fill the frame: black bars take up part of it",
            finding=f"up to {most:.0%} of the picture's height or width",
            impact=1,
            extent=min(1.0, most * found.share(bars)),
            evidence=of("visual_effects", bars),
        )


def _stutter(found: Found) -> Iterator[Fix]:
    ratio = found.summary("visual_effects", "repeated_frame_ratio")
    if ratio > MAX_REPEATED_RATIO:
        yield Fix(
            title="Export at the rate of the footage: motion stutters",
            finding=f"{ratio:.0%} of the frames repeat the one before while the picture moves",
            impact=1,
            extent=ratio,
            evidence=(Evidence(analyzer="visual_effects", text="repeated frames of the clip"),),
        )


def _speech_pace(found: Found) -> Iterator[Fix]:
    if found.summary("speech_rate", "pace") in ("slow", "very_fast"):
        pace, rate = (found.summary("speech_rate", field) for field in ("pace", "wpm"))
        spans = found.segments("speech_rate", pace)
        yield Fix(
            title="Speak more slowly" if pace == "very_fast" else "Speak faster, or cut the pauses",
            finding=f"{number(rate, 'words a minute')}: {pace.replace('_', ' ')}",
            impact=1,
            extent=found.share(spans),
            evidence=of("speech_rate", spans),
        )


def _pauses(found: Found) -> Iterator[Fix]:
    pauses = [
        each for each in found.segments("speech_flow", "pause") if each["end"] - each["start"] > MAX_PAUSE_SECONDS
    ]
    if pauses:
        longest = max(each["end"] - each["start"] for each in pauses)
        yield Fix(
            title="Fill or cut the gaps in the speech",
            finding=f"nobody speaks for up to {number(longest, 's')}, within speech",
            impact=1,
            extent=found.share(pauses),
            evidence=of("speech_flow", pauses),
        )


def _fillers(found: Found) -> Iterator[Fix]:
    rate = found.summary("speech_flow", "fillers_per_min")
    if rate > MAX_FILLERS_PER_MINUTE:
        spans = found.segments("speech_flow", "filler")
        yield Fix(
            title="Cut the ums and ers",
            finding=f"at least {number(rate)} a minute",
            impact=1,
            extent=min(1.0, rate / 30),
            evidence=of("speech_flow", spans),
        )


def _contradictions(found: Found) -> Iterator[Fix]:
    titles = {
        "call_to_action": "Say and write the same call to action",
        "caption_and_speech": "Correct the captions: they are not what is said",
    }
    for rule, title in titles.items():
        conflicts = [
            each for each in found.segments("cross_analyzer_intelligence", "conflict") if each["data"]["rule"] == rule
        ]
        if conflicts:
            yield Fix(
                title=title,
                finding="; ".join(dict.fromkeys(each["data"]["text"] for each in conflicts)),
                impact=2,
                extent=min(1.0, max(each["data"]["strength"] for each in conflicts)),
                evidence=of("cross_analyzer_intelligence", conflicts),
            )


def _with_data(found: Found, name: str) -> list[Mapping[str, Any]]:
    return [each for each in found.segments(name) if each["data"] is not None]


def _shots(analyzer: str, segments: list[Mapping[str, Any]]) -> tuple[Evidence, ...]:
    return tuple(replace(each, text="shot") for each in of(analyzer, segments))


RULES = (
    Rule("dangerous flashes", _flashes),
    Rule("damage", _damage),
    Rule("text under the player's buttons", _text_under_controls),
    Rule("contrast of text", _text_contrast),
    Rule("time to read text", _text_pace),
    Rule("subject under the player's buttons", _subject_under_controls),
    Rule("picture quality", _picture),
    Rule("camera shake", _shake),
    Rule("level horizon", _tilt),
    Rule("silent sound track", _silence),
    Rule("clipped sound", _clipping),
    Rule("headroom", _peak),
    Rule("loudness", _loudness),
    Rule("speech over its background", _background),
    Rule("echo", _echo),
    Rule("opening", _hook),
    Rule("call to action", _call_to_action),
    Rule("pace of cutting", _pacing),
    Rule("still stretches", _holds),
    Rule("black bars", _bars),
    Rule("stutter", _stutter),
    Rule("pace of speech", _speech_pace),
    Rule("gaps in the speech", _pauses),
    Rule("fillers", _fillers),
    Rule("contradictions", _contradictions),
)
