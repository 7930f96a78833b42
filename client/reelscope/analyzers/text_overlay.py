"""Text overlay: what can be read, when, where, how well, and what it is there for.

Conventions: one segment per line of text (`text_lines`), labelled with its role (`text_roles`), or "text" where it has
none; its score is the reader's mean confidence. Quads are eight numbers 0-1 of the frame: x and y of the text's own top
left, top right, bottom right and bottom left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from reelscope.analyzers import safe_zones, text_lines, text_roles
from reelscope.analyzers.base import Analyzer, Finding, Labels, Segment
from reelscope.analyzers.measured import median
from reelscope.analyzers.picture_motion import PictureMotion
from reelscope.analyzers.text_lines import Line
from reelscope.analyzers.text_roles import Role
from reelscope.signals import PointFlow, Shots, SpokenWords, TextRegions

Quad = tuple[float, float, float, float, float, float, float, float]

NO_TRANSCRIPT = "caption_role_undecided:no_transcript"
"""Warning: lines without a role may be captions, which only a transcript could tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextData:
    """One line of text."""

    text: str
    """As most readings of it agree."""
    lang: str | None
    """Language; null: the reader knows letters, not languages."""
    quad: Quad
    """x, y of its four corners, 0-1 of the frame; for a line that moves where it was near the middle of its way."""
    reading_confidence: float
    """Mean confidence of its readings as the engine states it, 0-1."""
    height_percent: float
    """Height of the line with ascenders and descenders, percent of the frame's height."""
    contrast_ratio: float | None
    """Contrast of the letters to what surrounds them, 1-21 (WCAG 2), median; null where they are too small to tell."""
    chars_per_second: float | None
    """Characters, spaces included, over its time on screen: the pace of reading; null when seen in one sample only,
    whose length is not known."""
    safe_zone_ok: bool | None
    """Whether the player's controls leave all of it free; null unless the frame is 9:16."""
    role: Role | None
    """title, cta, caption, watermark or scene_text; null for another line. Captions are told by what is said: without a
    transcript such a line has no role."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallToAction:
    """A line that tells the viewer to do something."""

    start_seconds: float
    """When it comes, seconds."""
    text: str
    """What it says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextSummary:
    """What the clip says in writing. Every field is null when the reader is untrained."""

    text_coverage_percent: float | None
    """Share of the clip's time in which text can be read, percent."""
    text_area_percent: float | None
    """Share of the frame that text takes while there is some, mean, percent; null without text."""
    line_count: int | None
    """Lines; one that comes back after a while counts again."""
    first_text_seconds: float | None
    """When the first line comes, seconds; null without text."""
    full_text: str | None
    """All lines in reading order, one a row; empty without text."""
    cta: tuple[CallToAction, ...] | None
    """Calls to action, in order."""


def analyze(
    regions: TextRegions, shots: Shots | None, flow: PointFlow | None, spoken: SpokenWords | None
) -> Finding[TextData, TextSummary]:
    """Link the lines and describe each.

    Lines are recognised as filmed only where the camera's motion is known, as captions only where the words are.
    """
    motion = PictureMotion(flow, shots) if flow else None
    lines = text_lines.lines_of(regions, motion)
    if regions.untrained_models:
        nothing = TextSummary(
            text_coverage_percent=None,
            text_area_percent=None,
            line_count=None,
            first_text_seconds=None,
            full_text=None,
            cta=None,
        )
        return Finding(segments=tuple(_segment(line, None, regions) for line in lines), summary=nothing)
    roles = text_roles.roles_of(lines, regions, motion, spoken)
    return Finding(
        segments=tuple(_segment(line, role, regions) for line, role in zip(lines, roles, strict=True)),
        summary=_summary(lines, roles, regions),
        warnings=(NO_TRANSCRIPT,) if spoken is None and None in roles else (),
    )


def _segment(line: Line, role: Role | None, regions: TextRegions) -> Segment[TextData]:
    return Segment(
        kind="span",
        start_seconds=line.start_seconds,
        end_seconds=line.end_seconds,
        label=role or "text",
        score=line.confidence,
        data=TextData(
            text=line.text,
            lang=None,
            quad=_flat(line.quad),
            reading_confidence=line.confidence,
            height_percent=100 * line.height_ratio,
            contrast_ratio=median(regions.contrast_ratios[line.rows]),
            chars_per_second=len(line.text) / line.seconds if len(line.rows) > 1 else None,
            safe_zone_ok=_is_safe(line, regions),
            role=role,
        ),
    )


def _flat(quad: NDArray[np.float64]) -> Quad:
    x1, y1, x2, y2, x3, y3, x4, y4 = quad.ravel().tolist()
    return x1, y1, x2, y2, x3, y3, x4, y4


def _is_safe(line: Line, regions: TextRegions) -> bool | None:
    """By the place of every corner over time, median: a single bad box decides nothing."""
    corners = np.median(regions.quads[line.rows], axis=0)
    return safe_zones.holds(corners, regions.height_over_width)


def _summary(lines: Sequence[Line], roles: Sequence[Role | None], regions: TextRegions) -> TextSummary:
    seconds = text_lines.covered_seconds((line.start_seconds, line.end_seconds) for line in lines)
    rows = np.concatenate([np.empty(0, np.intp), *(line.rows for line in lines)])
    shares = np.bincount(regions.frame[rows], text_lines.areas(regions.quads[rows]))
    read = np.unique(regions.frame[rows])
    return TextSummary(
        text_coverage_percent=100 * min(1.0, seconds / regions.duration_seconds) if lines else 0.0,
        text_area_percent=100 * min(1.0, float(shares[read].mean())) if rows.size else None,
        line_count=len(lines),
        first_text_seconds=lines[0].start_seconds if lines else None,
        full_text="\n".join(line.text for line in lines),
        cta=tuple(
            CallToAction(start_seconds=line.start_seconds, text=line.text)
            for line, role in zip(lines, roles, strict=True)
            if role == "cta"
        ),
    )


def headline(summary: TextSummary) -> str:
    """Say it in a few words."""
    if summary.full_text is None or summary.line_count is None:
        return "random weights: nothing is claimed"
    if not summary.line_count:
        return "no text"
    lines = "1 line" if summary.line_count == 1 else f"{summary.line_count} lines"
    first = summary.full_text.partition("\n")[0]
    calls = ", calls to action: " + " / ".join(call.text for call in summary.cta) if summary.cta else ""
    return f'{lines}, the first from {summary.first_text_seconds:.1f} s: "{first}"{calls}'


ANALYZER = Analyzer(
    name="text_overlay",
    version="2",
    title="what can be read, when, where, how well",
    requires=(TextRegions,),
    uses=(Shots, PointFlow, SpokenWords),
    data=TextData,
    summary=TextSummary,
    labels=(
        Labels(
            names=(*get_args(Role), "text"),
            meaning="a line of text; the label is its role, text where it has none",
            score="mean confidence of the reader",
        ),
    ),
    warnings={"caption_role_undecided": "lines without a role may be captions; the reason, no_transcript, follows"},
    headline=headline,
    analyze=analyze,
    parameters={**text_lines.PARAMETERS, **text_roles.PARAMETERS, **safe_zones.PARAMETERS},
)
