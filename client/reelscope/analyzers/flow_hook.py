"""The hook: what the first seconds offer, and how soon.

The score is descriptive, not predictive: it says how much of what openings are commonly made of is there, by weights
that are published here and were fitted to nothing. Windows of 3 s and of 6 s: TikTok calls the first six seconds the
hook.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from reelscope.analyzers.base import Findings
from reelscope.analyzers.flow_curves import Curves
from reelscope.analyzers.text_lines import covered_seconds
from reelscope.analyzers.timeline import CELL_SECONDS
from reelscope.signals import Faces, Shots, SpeechActivity

HOOK_WINDOWS_SECONDS = (3.0, 6.0)
PROMPT_SECONDS, LATE_SECONDS = 1.0, 3.0
"""What comes by the first counts in full, what comes after the second does not count; in between in proportion."""
CUTS_IN_FULL = 2
"""Cuts in the first 3 s that count in full."""
WEIGHTS = {"text": 0.2, "speech": 0.2, "face": 0.2, "product": 0.1, "cuts": 0.15, "intensity": 0.15}
"""Of each component; those that could not be measured are left out, and the others weigh more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstTimes:
    """When something is first there, seconds; null where it never is, or could not be looked for."""

    text: float | None
    speech: float | None
    face: float | None
    product: float | None
    measured: frozenset[str]
    """What could be looked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HookComponents:
    """Parts of the hook score, each 0-1; null where the input is missing."""

    text: float | None
    """Text soon, 0-1: 1 within the first second, 0 after the third."""
    speech: float | None
    """Speech soon, 0-1."""
    face: float | None
    """A face soon, 0-1."""
    product: float | None
    """A product soon, 0-1."""
    cuts: float | None
    """Cuts in the first 3 s, 0-1: 1 from two on."""
    intensity: float | None
    """Share of the clip that is less intense than its first 3 s, 0-1; null where the intensity never changes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HookWindow:
    """The clip's first seconds."""

    end_seconds: float
    """Length of the window: 3 or 6, or the clip's duration where that is shorter."""
    cut_count: int
    """Cuts in it."""
    intensity: float | None
    """Mean intensity, robust z; null where nothing was measured."""
    speech_ratio: float | None
    """Share of it in which somebody speaks, 0-1; null without sound."""
    text_ratio: float | None
    """Share of it in which text can be read, 0-1; null without a reader."""


def first_times(activity: SpeechActivity | None, faces: Faces | None, findings: Findings) -> FirstTimes:
    """Look for the first text, speech, face and product."""
    text, product = (findings[name].summary if name in findings else None for name in _FINDERS)
    return FirstTimes(
        text=text.first_text_seconds if text else None,
        speech=float(activity.spans_seconds[0, 0]) if activity and len(activity.spans_seconds) else None,
        face=float(faces.times_seconds[faces.frame].min()) if faces and len(faces.frame) else None,
        product=product.first_seen_seconds if product else None,
        measured=frozenset(
            name
            for name, source in (("text", text), ("speech", activity), ("face", faces), ("product", product))
            if source is not None
        ),
    )


_FINDERS = ("text_overlay", "product_detection")


def components(first: FirstTimes, shots: Shots, curves: Curves, duration_seconds: float) -> HookComponents:
    """Rate the opening; a clip that is not longer than the first window has no opening, and nothing is rated."""
    if duration_seconds <= HOOK_WINDOWS_SECONDS[0]:
        return HookComponents(text=None, speech=None, face=None, product=None, cuts=None, intensity=None)
    soon = {
        name: _soon(getattr(first, name)) if name in first.measured else None
        for name in ("text", "speech", "face", "product")
    }
    opening = curves.mean(0.0, HOOK_WINDOWS_SECONDS[0])
    rest = curves.intensity[round(HOOK_WINDOWS_SECONDS[0] / CELL_SECONDS) :]
    return HookComponents(
        **soon,
        cuts=min(1.0, _cut_count(shots, HOOK_WINDOWS_SECONDS[0]) / CUTS_IN_FULL),
        intensity=None if opening is None or curves.is_flat else float((rest < opening).mean()),
    )


def score(rated: HookComponents) -> tuple[float | None, float]:
    """The hook score 0-100, None where nothing was rated; and the share of the weights that could be measured, 0-1."""
    values = {name: getattr(rated, name) for name in WEIGHTS}
    known = {name: value for name, value in values.items() if value is not None}
    weight = sum(WEIGHTS[name] for name in known)
    if not known:
        return None, 0.0
    return 100 * sum(WEIGHTS[name] * value for name, value in known.items()) / weight, weight


def windows(
    shots: Shots, activity: SpeechActivity | None, findings: Findings, curves: Curves, duration_seconds: float
) -> tuple[HookWindow, ...]:
    """The first 3 s and the first 6 s; one window where the clip is shorter than the first."""
    ends = sorted({min(seconds, duration_seconds) for seconds in HOOK_WINDOWS_SECONDS})
    lines = (
        [(line.start_seconds, line.end_seconds) for line in findings["text_overlay"].segments]
        if ("text_overlay" in findings)
        else None
    )
    spoken = [(start, end) for start, end in activity.spans_seconds.tolist()] if activity else None
    return tuple(
        HookWindow(
            end_seconds=end,
            cut_count=_cut_count(shots, end),
            intensity=curves.mean(0.0, end),
            speech_ratio=None if spoken is None else _covered(spoken, end),
            text_ratio=None if lines is None else _covered(lines, end),
        )
        for end in ends
    )


def _soon(seconds: float | None) -> float:
    if seconds is None:
        return 0.0
    return min(1.0, max(0.0, (LATE_SECONDS - seconds) / (LATE_SECONDS - PROMPT_SECONDS)))


def _cut_count(shots: Shots, until_seconds: float) -> int:
    return sum(0 < shot.start_seconds < until_seconds for shot in shots.shots)


def _covered(spans: Sequence[tuple[float, float]], until_seconds: float) -> float:
    """Share of [0, until) that the union of the spans covers."""
    return covered_seconds((start, min(end, until_seconds)) for start, end in spans) / until_seconds
