"""A picture of one analysis as SVG: a lane for everything that was at work, one below the other over the same time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from benchmarks.observed import Span

COLORS = {"decode": "#7a5195", "cpu": "#2a9d8f", "server": "#e76f51", "analyzer": "#264653", "predecessor": "#8d99ae"}
MEANINGS = {
    "decode": "decoding",
    "cpu": "client, CPU",
    "server": "under way at the server",
    "analyzer": "analyzers",
    "predecessor": "predecessor",
}
WIDTH, LEFT, RIGHT, LANE, TOP = 1000, 190, 20, 16, 56
JOIN_SECONDS = 0.02
"""Spans of one lane that are nearer than this become one: nobody sees the gap, and the file stays small."""


def timeline(spans: Sequence[Span], title: str) -> str:
    """Draw spans as SVG; lanes in the order in which they begin."""
    lanes = list(dict.fromkeys(span.lane for span in sorted(spans, key=lambda span: span.start_seconds)))
    end = max((span.end_seconds for span in spans), default=1.0)
    scale = (WIDTH - LEFT - RIGHT) / end
    height = TOP + LANE * len(lanes) + 24
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}"',
        ' font-family="sans-serif" font-size="11">',
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
        f'<text x="8" y="18" font-size="14">{escape(title)}</text>',
    ]
    kinds = list(dict.fromkeys(span.kind for span in spans))
    for number, kind in enumerate(kinds):
        left = LEFT + 170 * number
        lines.append(f'<rect x="{left}" y="28" width="10" height="10" fill="{COLORS[kind]}"/>')
        lines.append(f'<text x="{left + 15}" y="37">{MEANINGS[kind]}</text>')
    for tick in _ticks(end):
        x = LEFT + tick * scale
        lines.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 8}" y2="{height - 20}" stroke="#ddd"/>')
        lines.append(f'<text x="{x:.1f}" y="{height - 8}" text-anchor="middle">{tick:g} s</text>')
    for number, lane in enumerate(lanes):
        y = TOP + LANE * number
        lines.append(f'<text x="{LEFT - 8}" y="{y + 10}" text-anchor="end">{escape(lane)}</text>')
        for start, stop, kind in _joined(span for span in spans if span.lane == lane):
            width = max((stop - start) * scale, 0.5)
            box = f'x="{LEFT + start * scale:.1f}" y="{y}" width="{width:.1f}" height="{LANE - 4}"'
            lines.append(f'<rect {box} fill="{COLORS[kind]}"/>')
    return "\n".join([*lines, "</svg>", ""])


def _joined(spans: Iterable[Span]) -> list[tuple[float, float, str]]:
    found: list[tuple[float, float, str]] = []
    for span in sorted(spans, key=lambda span: span.start_seconds):
        if found and span.start_seconds - found[-1][1] < JOIN_SECONDS:
            found[-1] = found[-1][0], max(found[-1][1], span.end_seconds), span.kind
        else:
            found.append((span.start_seconds, span.end_seconds, span.kind))
    return found


def _ticks(end: float) -> list[float]:
    step = next(step for step in (0.1, 0.25, 0.5, 1, 2, 5, 10, 25, 60, 300, 3600) if end / step <= 12)
    return [step * k for k in range(int(end / step) + 1)]
