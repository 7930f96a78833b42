"""What happens in the clip, to whom, and why one would watch it: a vision-language model's view, window by window.

Conventions: one segment per window of at most 2 s, which never holds a cut; its times are the window's, never the
model's, which places moments in videos badly (mIoU 0.3 on QVHighlights). Its label is the shot size; nothing is scored.
What the words on screen and the speech say reaches the model when it is asked about the whole. The language of the
speech, where it is known, is taken from those who heard it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

from reelscope.analyzers.base import Analyzer, Finding, Labels, Segment
from reelscope.signals import Hook, ShotSize, SpokenWords, Synopsis, TextRegions, Understanding, UnderstoodWindow

SYNOPSIS_WORDS = 80

PARAMETERS: dict[str, float | int | str] = {"synopsis_words": SYNOPSIS_WORDS}


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowData:
    """What is seen in one window, in English."""

    caption: str
    """One sentence."""
    subjects: tuple[str, ...]
    """Who or what is seen; may be empty."""
    action: str | None
    """What they do; null where nothing is done."""
    setting: str | None
    """Where; null where it cannot be told."""
    shot_size: ShotSize
    """ECU (extreme close-up), CU, MCU, MS (medium shot), MLS, LS (long shot) or EWS (extreme wide shot)."""
    mood: str | None
    """Mood; null where there is none."""
    evidence_frames: tuple[float, ...]
    """Times of the frames that this is said of, seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnderstandingSummary:
    """The clip as a whole. Every field but those about windows is null when the model is untrained."""

    window_count: int
    """Windows that were looked at."""
    window_coverage_ratio: float
    """Share of the clip that they cover, 0-1; below 1 for long clips."""
    synopsis: str | None
    """What happens, at most 80 words of English."""
    genre: str | None
    """Kind of video; null where the model names none."""
    topics: tuple[str, ...] | None
    """What it is about; may be empty."""
    hook_type: Hook | None
    """What the first seconds hook viewers with."""
    cta: str | None
    """What the viewer is told to do; null where nothing is asked."""
    claims: tuple[str, ...] | None
    """What the clip claims; may be empty."""
    language: str | None
    """ISO 639-1 code: of the speech where it was recognised, else as the model sees it; null where neither knows."""


def analyze(
    understanding: Understanding, regions: TextRegions | None, spoken: SpokenWords | None
) -> Finding[WindowData, UnderstandingSummary]:
    """Report the windows, and the whole where the model is trained; the texts on screen were its context."""
    known = understanding.whole if not understanding.untrained_models else None
    return Finding(
        segments=tuple(_segment(window) for window in understanding.windows),
        summary=_summary(understanding, known, spoken),
    )


def _segment(window: UnderstoodWindow) -> Segment[WindowData]:
    return Segment(
        kind="span",
        start_seconds=window.start_seconds,
        end_seconds=window.end_seconds,
        label=window.shot_size,
        score=None,
        data=WindowData(
            caption=window.caption,
            subjects=window.subjects,
            action=window.action,
            setting=window.setting,
            shot_size=window.shot_size,
            mood=window.mood,
            evidence_frames=window.frames_seconds,
        ),
    )


def _summary(understanding: Understanding, known: Synopsis | None, spoken: SpokenWords | None) -> UnderstandingSummary:
    covered = sum(window.end_seconds - window.start_seconds for window in understanding.windows)
    heard = spoken.language if spoken else None
    return UnderstandingSummary(
        window_count=len(understanding.windows),
        window_coverage_ratio=min(1.0, covered / understanding.duration_seconds),
        synopsis=_shortened(known.synopsis) if known else None,
        genre=known.genre if known else None,
        topics=known.topics if known else None,
        hook_type=known.hook_type if known else None,
        cta=known.call_to_action if known else None,
        claims=known.claims if known else None,
        language=(heard or known.language) if known else None,
    )


def _shortened(text: str) -> str:
    words = text.split()
    return " ".join(words) if len(words) <= SYNOPSIS_WORDS else " ".join(words[:SYNOPSIS_WORDS]) + " ..."


def headline(summary: UnderstandingSummary) -> str:
    """Say it in a few words."""
    return summary.synopsis or f"{summary.window_count} windows, nothing is claimed"


ANALYZER = Analyzer(
    name="qwen2_vl_temporal",
    version="2",
    title="what happens, to whom, in which mood, and why one would watch",
    requires=(Understanding,),
    uses=(TextRegions, SpokenWords),
    data=WindowData,
    summary=UnderstandingSummary,
    labels=(
        Labels(names=get_args(ShotSize), meaning="a window of at most 2 s without a cut; the label is its shot size"),
    ),
    headline=headline,
    parameters=PARAMETERS,
    analyze=analyze,
)
