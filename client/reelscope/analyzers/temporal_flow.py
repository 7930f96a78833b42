"""Temporal flow: how the clip is told - its hook, its pace, its climax and what it asks for at the end.

Goal: does the hook hold, where is the payoff. Conventions: segments are phases (`flow_phases`), labelled by their name;
the intensity (`flow_curves`) is relative to the clip's own median, in robust standard deviations. Whatever a phase
rests on is named by the ids of other analyzers' segments. All of it describes; none of it predicts what viewers do.
Loopability: structural similarity (Wang et al. 2004, doi:10.1109/TIP.2003.819861), over the whole picture at once, of
the first and the last frame's lightness in 12 by 12 cells.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from reelscope.analyzers import flow_curves, flow_hook, flow_phases
from reelscope.analyzers.base import Analyzer, Finding, Findings, Labels, Segment
from reelscope.analyzers.calls_to_action import is_call_to_action
from reelscope.analyzers.flow_curves import Curves
from reelscope.analyzers.flow_hook import HookComponents, HookWindow
from reelscope.analyzers.flow_phases import Phase
from reelscope.analyzers.timeline import series
from reelscope.signals import Faces, FrameEffects, Parameter, Shots, SpeechActivity, VoiceAcoustics

MIN_PACED_SHOTS = 3
"""Fewer shots have no slope."""
MAX_EVIDENCE, MAX_EVIDENCE_PER_ANALYZER = 6, 2
"""Segments that a phase names; the most intense moments first."""
SSIM_CONSTANTS = (0.01**2, 0.03**2)
"""Of Wang et al. (2004), for values of 0-1."""
SAME_CALL_SECONDS = 0.5
"""Rows of text that come together are one call to action; when each comes is known to 0.2 s."""
_CONSULTED = (
    "text_overlay",
    "visual_effects",
    "cut_analysis",
    "speech_transcription",
    "audio_analysis",
    "product_detection",
    "qwen2_vl_temporal",
)
"""In the order in which their segments are named as evidence of the same moment."""
_EVIDENCE_LABELS = {
    "audio_analysis": {"onset", "clipping"},
    "visual_effects": {"flash", "fade", "freeze", "slow_motion"},
}
"""Of these analyzers only such segments are evidence: a beat or a bar in the picture tells no moment from another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseData:
    """A phase of the clip."""

    intensity: float | None
    """Mean intensity, robust z: 0 is the clip's median."""
    name: str | None
    """What it shows, in the words of the model that watched; null without a trained one."""
    evidence_ids: tuple[str, ...]
    """Segments of other analyzers that begin in it, the most intense moments first; at most six."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallToActionMoment:
    """What the viewer is told to do; the last call of the clip."""

    start_seconds: float | None
    """When it comes; null where the source knows no time."""
    text: str
    """Its words; of several rows that come together all, from the top."""
    source: Literal["text", "speech", "understanding"]
    """Whether it is read, heard, or told by the model that watched."""
    evidence_ids: tuple[str, ...]
    """The segments that say it; empty where none does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowSummary:
    """How the clip is told."""

    hook_score: float | None
    """How much of what openings are commonly made of the first 3 s hold, 0-100: mean of the components by the published
    weights. Descriptive, not predictive. Null for clips of 3 s or less."""
    hook_components: HookComponents
    """What the score is made of."""
    hook_weight_ratio: float
    """Share of the weights whose components could be measured, 0-1."""
    hook_windows: tuple[HookWindow, ...]
    """The first 3 s and the first 6 s."""
    time_to_first_face_seconds: float | None
    """Null where no face is seen, or no trained model looked."""
    time_to_first_text_seconds: float | None
    """Null where nothing is read, or no trained model looked."""
    time_to_first_speech_seconds: float | None
    """Null where nobody speaks, or there is no sound."""
    time_to_first_product_seconds: float | None
    """Null where no product is seen, or no trained model looked."""
    pacing_slope: float | None
    """By how much cutting speeds up, doublings of its rate per second: slope of -log2 of the shots' lengths over their
    middles. Negative: it slows down. Null with fewer than three shots."""
    climax_seconds: float | None
    """When the intensity is greatest; null where it never changes."""
    climax_evidence_ids: tuple[str, ...]
    """Segments of other analyzers around it."""
    cta: CallToActionMoment | None
    """The last call to action; null without one."""
    loopability: float | None
    """Likeness of the last frame to the first, 0-1, by lightness alone; null for a single frame."""


def analyze(
    shots: Shots,
    effects: FrameEffects,
    activity: SpeechActivity | None,
    acoustics: VoiceAcoustics | None,
    faces: Faces | None,
    findings: Findings,
) -> Finding[PhaseData, FlowSummary]:
    """Tell the clip's phases and rate its opening."""
    duration = effects.duration_seconds
    curves = flow_curves.curves(shots, effects, activity, acoustics, findings)
    climax = None if curves.is_flat else flow_phases.climax(curves.intensity, duration)
    cta = _call_to_action(findings)
    cuts = [shot.start_seconds for shot in shots.shots[1:]]
    phases = flow_phases.phases(
        duration, flow_phases.change_points(curves.intensity), cuts, climax, cta.start_seconds if cta else None
    )
    first = flow_hook.first_times(activity, faces, findings)
    rated = flow_hook.components(first, shots, curves, duration)
    hook_score, hook_weight = flow_hook.score(rated)
    standard, full = series({"intensity": curves.intensity, **curves.parts})
    return Finding(
        segments=tuple(_segment(phase, curves, findings) for phase in phases),
        summary=FlowSummary(
            hook_score=hook_score,
            hook_components=rated,
            hook_weight_ratio=hook_weight,
            hook_windows=flow_hook.windows(shots, activity, findings, curves, duration),
            time_to_first_face_seconds=first.face,
            time_to_first_text_seconds=first.text,
            time_to_first_speech_seconds=first.speech,
            time_to_first_product_seconds=first.product,
            pacing_slope=_pacing_slope(shots),
            climax_seconds=climax,
            climax_evidence_ids=() if climax is None else _evidence(curves, findings, climax - 0.5, climax + 0.5),
            cta=cta,
            loopability=_loopability(effects),
        ),
        series=standard,
        full_series=full,
    )


def _segment(phase: Phase, curves: Curves, findings: Findings) -> Segment[PhaseData]:
    return Segment(
        kind="span",
        start_seconds=phase.start_seconds,
        end_seconds=phase.end_seconds,
        label=phase.name,
        score=None,
        data=PhaseData(
            intensity=curves.mean(phase.start_seconds, phase.end_seconds),
            name=_name(phase, findings),
            evidence_ids=_evidence(curves, findings, phase.start_seconds, phase.end_seconds),
        ),
    )


def _name(phase: Phase, findings: Findings) -> str | None:
    """Caption of the window that shares most time with the phase."""
    windows = findings["qwen2_vl_temporal"].segments if "qwen2_vl_temporal" in findings else ()

    def shared(window: Segment[Any]) -> float:
        return min(window.end_seconds, phase.end_seconds) - max(window.start_seconds, phase.start_seconds)

    best = max(windows, key=shared, default=None)
    return str(best.data.caption) if best and shared(best) > 0 else None


def _evidence(curves: Curves, findings: Findings, start_seconds: float, end_seconds: float) -> tuple[str, ...]:
    """Segments that begin in a span, the most intense moments first, a few of each analyzer."""
    inside = [
        (-curves.at(segment.start_seconds), order, segment.id)
        for order, segment in _candidates(findings)
        if start_seconds <= segment.start_seconds < end_seconds
    ]
    chosen: list[str] = []
    named: dict[int, int] = {}
    for _, order, identifier in sorted(inside):
        if named.get(order, 0) < MAX_EVIDENCE_PER_ANALYZER and len(chosen) < MAX_EVIDENCE:
            named[order] = named.get(order, 0) + 1
            chosen.append(identifier)
    return tuple(chosen)


def _candidates(findings: Findings) -> Iterator[tuple[int, Segment[Any]]]:
    for order, name in enumerate(_CONSULTED):
        labels = _EVIDENCE_LABELS.get(name)
        for segment in findings[name].segments if name in findings else ():
            if labels is None or segment.label in labels:
                yield order, segment


def _call_to_action(findings: Findings) -> CallToActionMoment | None:
    """The last one that is written, else spoken, else told by the model that watched."""
    for name, source in (("text_overlay", "text"), ("speech_transcription", "speech")):
        segments = findings[name].segments if name in findings else ()
        calls = [each for each in segments if each.label == "cta" or (source == "speech" and _calls(each))]
        if calls:
            latest = max(call.start_seconds for call in calls)
            rows = [call for call in calls if latest - call.start_seconds <= SAME_CALL_SECONDS]
            if source == "text":
                rows.sort(key=lambda row: row.data.quad[1])
            return CallToActionMoment(
                start_seconds=min(row.start_seconds for row in rows),
                text=" ".join(row.data.text for row in rows),
                source="text" if source == "text" else "speech",
                evidence_ids=tuple(row.id for row in rows),
            )
    told = findings["qwen2_vl_temporal"].summary.cta if "qwen2_vl_temporal" in findings else None
    return CallToActionMoment(start_seconds=None, text=told, source="understanding", evidence_ids=()) if told else None


def _calls(utterance: Segment[Any]) -> bool:
    return is_call_to_action(utterance.data.text)


def _pacing_slope(shots: Shots) -> float | None:
    spans = np.array([(shot.start_seconds, shot.end_seconds) for shot in shots.shots])
    lengths = spans[:, 1] - spans[:, 0]
    if len(spans) < MIN_PACED_SHOTS or lengths.min() <= 0:
        return None
    return float(np.polyfit(spans.mean(axis=1), -np.log2(lengths), 1)[0])


def _loopability(effects: FrameEffects) -> float | None:
    if effects.sample_count < 2:
        return None
    # The cube root of luminance is what CIELAB calls lightness, but for the darkest tones.
    first, last = (np.cbrt(effects.luminance[frame].astype(np.float64)) for frame in (0, -1))
    of_means, of_deviations = SSIM_CONSTANTS
    covariance = float(((first - first.mean()) * (last - last.mean())).mean())
    means = (2 * first.mean() * last.mean() + of_means) / (first.mean() ** 2 + last.mean() ** 2 + of_means)
    shapes = (2 * covariance + of_deviations) / (first.var() + last.var() + of_deviations)
    return float(np.clip(means * shapes, 0.0, 1.0))


def headline(summary: FlowSummary) -> str:
    """Say it in a few words."""
    parts = [
        None if summary.hook_score is None else f"hook {summary.hook_score:.0f} of 100",
        None if summary.climax_seconds is None else f"climax at {summary.climax_seconds:.1f} s",
        None if summary.cta is None else f"asks: {summary.cta.text}",
    ]
    return ", ".join(part for part in parts if part) or "nothing measured"


PARAMETERS: Mapping[str, Parameter] = {
    "sigma_seconds": flow_curves.SIGMA_SECONDS,
    "pitch_window_seconds": flow_curves.PITCH_WINDOW_SECONDS,
    "linear_deviation": flow_curves.LINEAR_DEVIATION,
    **{f"least_{name}": deviation for name, deviation in flow_curves.LEAST_DEVIATIONS.items()},
    "change_point_penalty": flow_phases.PENALTY_FACTOR,
    "min_phase_seconds": flow_phases.MIN_PHASE_SECONDS,
    "same_call_seconds": SAME_CALL_SECONDS,
    **{f"hook_weight_{name}": weight for name, weight in flow_hook.WEIGHTS.items()},
}

ANALYZER = Analyzer(
    name="temporal_flow",
    version="3",
    title="hook, pace, climax and call to action: how the clip is told over time",
    requires=(Shots, FrameEffects),
    uses=(SpeechActivity, VoiceAcoustics, Faces),
    consults=_CONSULTED,
    data=PhaseData,
    summary=FlowSummary,
    labels=(
        Labels(names=("hook",), meaning="the opening: up to the change nearest to 3 s, or a third of the clip"),
        Labels(names=("build",), meaning="between the hook and the climax"),
        Labels(names=("climax",), meaning="the stretch between two changes that holds the greatest intensity"),
        Labels(names=("resolution",), meaning="after the climax"),
        Labels(names=("cta",), meaning="from a call to action in the clip's last half to the end"),
    ),
    columns={
        "intensity": "mean of the robust z-scores of the other columns, beyond 3 by their logarithm; 0 is a median "
        "moment of the clip",
        "cuts_per_s": "cuts per second around the moment, 1/s",
        "motion": "mean absolute change of the luma, grey levels per second; cuts left out",
        "lufs_m": "momentary loudness, LUFS; -70 below the gate of BS.1770; null next to the ends, unless known",
        "pitch_variability_st": "standard deviation of a voice's pitch within 1 s, semitones; null where nobody speaks",
        "texts_per_s": "lines of text that appear per second around the moment, 1/s",
    },
    headline=headline,
    analyze=analyze,
    parameters=PARAMETERS,
)
