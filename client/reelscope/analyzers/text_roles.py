"""What a line of text is there for.

The first that fits, in this order:

- watermark: in a corner, it or lines that read alike for at least 80 % of the clip: some marks jump between corners;
- scene_text: was filmed, because it moves with the camera;
- cta: calls to action, alone or together with the line that it continues;
- caption: is being said, at least 0.6 of its words, while it is there or a second before or after (ANALYZERS.md);
- title: stands out. It opens the clip (within 0.5 s of the first text, in the 3 s of the hook), or its letters are
  clearly taller than those of most lines; and no line of its size soon takes its place, as captions do.

Without a transcript no line is called a caption, and what may be one has no role.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal

import numpy as np

from reelscope.analyzers.calls_to_action import is_call_to_action, words
from reelscope.analyzers.edit_distance import are_alike
from reelscope.analyzers.picture_motion import PictureMotion
from reelscope.analyzers.text_lines import MIN_EDIT_RATIO, Line, covered_seconds
from reelscope.signals import Parameter, SpokenWords, TextRegions

Role = Literal["title", "cta", "watermark", "scene_text", "caption"]

WATERMARK_MIN_RATIO = 0.8
WATERMARK_MIN_SECONDS = 3.0
"""In shorter clips most lines are there all the time."""
CORNER_RATIO = 1 / 3
"""A corner reaches so far from either edge; the centre of the line counts."""
MIN_TRAVEL_RATIO = 0.02
"""Way, in widths of the frame, from which on a line can be said to move: boxes tremble by less."""
MAX_MISFIT_RATIO = 0.5
"""A line moves with the camera when what the camera leaves unexplained is less than this share of its way."""
HOOK_SECONDS = 3.0
TITLE_DELAY_SECONDS = 0.5
TALL_RATIO = 1.15
"""Letters so much taller than the median line's are a headline's; boxes of equal letters differ by up to 8 %."""
SAME_HEIGHT_RATIO = 0.8
CAPTION_SAID_RATIO = 0.6
CAPTION_SAID_SECONDS = 1.0
"""Captions come a little before what is said, and stay a little longer."""
CAPTION_OVERLAP_SECONDS = 0.5
"""Times are good to half a step: the next caption may seem to come before the last one goes."""
CAPTION_GAP_SECONDS = 2.0
"""Longest pause of a speaker between two captions."""

PARAMETERS: dict[str, Parameter] = {
    "watermark_min_ratio": WATERMARK_MIN_RATIO,
    "watermark_min_seconds": WATERMARK_MIN_SECONDS,
    "corner_ratio": round(CORNER_RATIO, 4),
    "scene_text_min_travel_ratio": MIN_TRAVEL_RATIO,
    "scene_text_max_misfit_ratio": MAX_MISFIT_RATIO,
    "title_hook_seconds": HOOK_SECONDS,
    "title_delay_seconds": TITLE_DELAY_SECONDS,
    "title_tall_ratio": TALL_RATIO,
    "caption_said_ratio": CAPTION_SAID_RATIO,
    "caption_said_seconds": CAPTION_SAID_SECONDS,
}


def roles_of(
    lines: Sequence[Line], regions: TextRegions, motion: PictureMotion | None, spoken: SpokenWords | None
) -> list[Role | None]:
    """The role of every line; None for one that has none, or may be a caption and nothing tells what is said."""
    roles: list[Role | None] = [
        "watermark"
        if _is_watermark(line, lines, regions.duration_seconds)
        else "scene_text"
        if motion and _moves_with_camera(line, regions, motion)
        else None
        for line in lines
    ]
    overlays = [line for line, role in zip(lines, roles, strict=True) if role is None]
    calls, titles = _calls(overlays), _titles(overlays)
    return [
        role
        or (
            "cta"
            if line in calls
            else "caption"
            if spoken and _is_said(line, spoken)
            else "title"
            if line in titles
            else None
        )
        for line, role in zip(lines, roles, strict=True)
    ]


def _is_watermark(line: Line, lines: Sequence[Line], duration_seconds: float) -> bool:
    if duration_seconds < WATERMARK_MIN_SECONDS or not _is_in_corner(line):
        return False
    marks = [
        (other.start_seconds, other.end_seconds)
        for other in lines
        if _is_in_corner(other) and are_alike(line.text, other.text, MIN_EDIT_RATIO)
    ]
    return covered_seconds(marks) >= WATERMARK_MIN_RATIO * duration_seconds


def _is_in_corner(line: Line) -> bool:
    return bool((np.abs(line.center - 0.5) >= 0.5 - CORNER_RATIO).all())


def _moves_with_camera(line: Line, regions: TextRegions, motion: PictureMotion) -> bool:
    shape = np.array([1.0, regions.height_over_width])
    centers = regions.quads[line.rows].mean(axis=1)
    steps = np.linalg.norm(np.diff(centers, axis=0) * shape, axis=1)
    if steps.sum() < MIN_TRAVEL_RATIO:
        return False
    times = regions.times_seconds[regions.frame[line.rows]].tolist()
    way = misfit = 0.0
    for k, step in enumerate(steps.tolist()):
        carried = motion.carried(centers[k], times[k], times[k + 1])
        if carried is not None:
            way += step
            misfit += float(np.linalg.norm((centers[k + 1] - carried) * shape))
    return way >= MIN_TRAVEL_RATIO and misfit < MAX_MISFIT_RATIO * way


def _is_said(line: Line, spoken: SpokenWords) -> bool:
    written = Counter(words(line.text))
    near = spoken.between(line.start_seconds - CAPTION_SAID_SECONDS, line.end_seconds + CAPTION_SAID_SECONDS)
    said = Counter(part for word in near for part in words(word.text))
    return written.total() > 0 and (written & said).total() >= CAPTION_SAID_RATIO * written.total()


def _calls(lines: Sequence[Line]) -> set[Line]:
    """Lines that call to action, by themselves or read on into the line below."""
    calls = {line for line in lines if is_call_to_action(line.text)}
    for line in lines:
        for below in lines:
            is_one = not {line, below} & calls and _continues(line, below)
            if is_one and is_call_to_action(f"{line.text} {below.text}"):
                calls |= {line, below}
    return calls


def _continues(line: Line, below: Line) -> bool:
    """Whether the one is the next row of the same text."""
    if line is below or line.overlap_seconds(below) < min(line.seconds, below.seconds) / 2:
        return False
    gap = below.quad[:, 1].min() - line.quad[:, 1].max()
    is_next = -line.height_ratio / 2 <= gap <= line.height_ratio and below.center[1] > line.center[1]
    is_under = below.quad[:, 0].min() < line.quad[:, 0].max() and line.quad[:, 0].min() < below.quad[:, 0].max()
    return bool(is_next and is_under)


def _titles(lines: Sequence[Line]) -> set[Line]:
    if not lines:
        return set()
    opening = min(HOOK_SECONDS, min(line.start_seconds for line in lines) + TITLE_DELAY_SECONDS)
    tall = TALL_RATIO * float(np.median([line.height_ratio for line in lines]))
    return {
        line
        for line in lines
        if (line.start_seconds <= opening or line.height_ratio >= tall)
        and not any(_replaces(later, line) for later in lines)
    }


def _replaces(later: Line, line: Line) -> bool:
    """Whether a line of the same size comes where another one was: running captions."""
    gap_seconds = later.start_seconds - line.end_seconds
    if later.start_seconds <= line.start_seconds or not -CAPTION_OVERLAP_SECONDS <= gap_seconds <= CAPTION_GAP_SECONDS:
        return False
    shorter, taller = sorted((later.height_ratio, line.height_ratio))
    return shorter >= SAME_HEIGHT_RATIO * taller and abs(float(later.center[1] - line.center[1])) < taller / 2
