"""What stays where it is: seams of split screens, black bars, overlays.

- Split screen: a straight line right across the frame at which the picture jumps, at one place for a while, with motion
  on both of its sides. An edge of the scene moves with the camera, or nothing next to it moves; a border, or a panel of
  one colour, has one still side. Halves that stand still at the seam are therefore missed.
- Bars: their width is the same in most frames of a shot; a dark edge of the picture varies.
- Overlay: edges that a cut to another picture leaves where they are. Between its first and its last cut it is taken to
  be seen throughout the shots that these join; a clip without cuts tells of none.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from reelscope.analyzers.base import Segment
from reelscope.analyzers.effect_kinds import BarParameters, EffectData, OverlayParameters, SplitScreenParameters, effect
from reelscope.signals import EDGE_CELLS, FrameEffects, Parameter, Shot, Shots

MIN_SEAM_RATIO = 0.8
"""Share of its length at which the picture jumps at a seam."""
SEAM_TOLERANCE_RATIO = 0.01
SEAM_SECONDS = 0.5
SEAM_GAP_SECONDS = 0.2
MIN_SIDE_MOTION = 0.5
"""Change beside a seam on its quieter side, grey levels per 1/30 s, in half of the pictures or more."""
MAX_SEAMS = 4
"""Per direction; more are a pattern."""
MIN_BAR_RATIO = 0.02
MIN_BAR_SUPPORT = 0.5
"""Share of a shot's frames that show the same bars."""
BAR_TOLERANCE_RATIO = 0.006
MAX_BAR_IMBALANCE = 2.0
"""The wider bar over the narrower one."""
MIN_KEPT_RATIO = 0.3
"""Share of a cell's edges that a cut leaves where there is an overlay."""
MIN_OVERLAY_CELLS = 2
"""Connected ones; single cells are chance."""
MAX_KEPT_RATIO = 0.5
MIN_CUT_SCORE = 0.1
"""Where a cut leaves more of all edges, or changes less, it is a jump within one scene: the scene stays."""

PARAMETERS: dict[str, Parameter] = {
    "seam_min_ratio": MIN_SEAM_RATIO,
    "seam_min_seconds": SEAM_SECONDS,
    "seam_min_side_motion": MIN_SIDE_MOTION,
    "bar_min_ratio": MIN_BAR_RATIO,
    "bar_min_support": MIN_BAR_SUPPORT,
    "overlay_min_kept_ratio": MIN_KEPT_RATIO,
    "overlay_max_kept_ratio": MAX_KEPT_RATIO,
    "overlay_min_cut_score": MIN_CUT_SCORE,
}


def find(effects: FrameEffects, shots: Shots, is_repeat: NDArray[np.bool_]) -> list[Segment[EffectData]]:
    """Every split screen, pair of bars and overlay, in any order; `is_repeat` [n] is of the frames."""
    return [*_split_screens(effects, is_repeat), *_bars(effects, shots), *_overlays(effects, shots)]


def _split_screens(effects: FrameEffects, is_repeat: NDArray[np.bool_]) -> Iterator[Segment[EffectData]]:
    frame_times = np.append(effects.times_seconds, effects.duration_seconds)
    pictures = np.flatnonzero(~is_repeat)
    times = frame_times[pictures]
    steps = np.diff(times, prepend=-np.inf)
    directions: tuple[Literal["vertical", "horizontal"], ...] = ("vertical", "horizontal")
    for axis, direction in enumerate(directions):
        places, shares, changes = np.moveaxis(effects.seams[pictures, axis].astype(float), 2, 0)
        is_moving = changes / (30 * steps[:, None]) >= MIN_SIDE_MOTION
        for rows, columns in _lasting(places, shares >= MIN_SEAM_RATIO, times):
            start, end = float(times[rows[0]]), float(frame_times[pictures[rows[-1]] + 1])
            if end - start < SEAM_SECONDS or is_moving[rows, columns].mean() < 0.5:
                continue
            place = float(np.median(places[rows, columns]))
            yield effect(
                start,
                end,
                EffectData(
                    effect_type="split_screen",
                    parameters=SplitScreenParameters(seam=direction, position_ratio=place),
                    confidence=float(shares[rows, columns].mean()),
                ),
            )


def _lasting(
    places: NDArray[np.float64], is_seam: NDArray[np.bool_], times: NDArray[np.float64]
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Rows and columns of the seams [n, k] that stay in one place without gaps; the commonest place first."""
    is_free = is_seam.copy()
    for _ in range(MAX_SEAMS):
        if not is_free.any():
            return
        bins = np.bincount(np.rint(places[is_free] / SEAM_TOLERANCE_RATIO).astype(int))
        is_near = is_free & (np.abs(places - bins.argmax() * SEAM_TOLERANCE_RATIO) <= 1.5 * SEAM_TOLERANCE_RATIO)
        is_free &= ~is_near
        rows, columns = np.nonzero(is_near)
        gaps = np.flatnonzero(np.diff(times[rows]) > SEAM_GAP_SECONDS) + 1
        yield from zip(np.split(rows, gaps), np.split(columns, gaps), strict=True)


def _bars(effects: FrameEffects, shots: Shots) -> Iterator[Segment[EffectData]]:
    kinds: tuple[Literal["letterbox", "pillarbox"], ...] = ("letterbox", "pillarbox")
    for kind, sides in zip(kinds, ((0, 1), (2, 3)), strict=True):
        spans: list[list[tuple[Shot, _Bars]]] = []
        for number, shot in enumerate(shots.shots):
            widths = effects.bars[shot.frame_in : shot.frame_out, sides].astype(float)
            bars = _same_bars(widths[(widths < 1).all(axis=1)])
            if bars is None:
                continue
            goes_on = spans and spans[-1][-1][0] is shots.shots[number - 1] and bars.are_like(spans[-1][-1][1])
            spans[-1].append((shot, bars)) if goes_on else spans.append([(shot, bars)])
        for span in spans:
            frames = [shot.frame_out - shot.frame_in for shot, _ in span]
            before, after, support = np.average([bars for _, bars in span], axis=0, weights=frames).tolist()
            parameters = BarParameters(before_ratio=before, after_ratio=after)
            yield effect(
                span[0][0].start_seconds,
                span[-1][0].end_seconds,
                EffectData(effect_type=kind, parameters=parameters, confidence=support),
            )


class _Bars(NamedTuple):
    before_ratio: float
    after_ratio: float
    support: float
    """Share of the frames, 0-1."""

    def are_like(self, other: _Bars) -> bool:
        """Whether they are the same bars."""
        differences = abs(self.before_ratio - other.before_ratio), abs(self.after_ratio - other.after_ratio)
        return max(differences) <= 2 * BAR_TOLERANCE_RATIO


def _same_bars(widths: NDArray[np.float64]) -> _Bars | None:
    """The bars that most frames share, of their widths [n, 2] on opposite sides; None where there are none."""
    if not len(widths):
        return None
    different, counts = np.unique(widths, axis=0, return_counts=True)
    common = different[counts.argmax()]
    share = float((np.abs(widths - common) <= BAR_TOLERANCE_RATIO).all(axis=1).mean())
    is_pair = common.min() >= MIN_BAR_RATIO and common.max() <= MAX_BAR_IMBALANCE * common.min()
    return _Bars(float(common[0]), float(common[1]), share) if is_pair and share >= MIN_BAR_SUPPORT else None


def _overlays(effects: FrameEffects, shots: Shots) -> Iterator[Segment[EffectData]]:
    """Connected cells whose edges outlive a cut, linked from cut to cut."""
    rows = {int(frame): row for row, frame in enumerate(effects.abrupt_frames)}
    open_overlays: list[_Overlay] = []
    for before, after in itertools.pairwise(shots.shots):
        row = rows.get(after.frame_in)
        if row is None or not effects.kept_edge_ratio[row] <= MAX_KEPT_RATIO or (after.score or 0.0) < MIN_CUT_SCORE:
            continue  # this cut tells nothing
        kept = effects.kept_edges[row] / 255
        areas, count = ndimage.label(kept >= MIN_KEPT_RATIO, structure=np.ones((3, 3)))
        found: list[_Overlay] = []
        for number in range(1, count + 1):
            area = areas == number
            if np.count_nonzero(area) < MIN_OVERLAY_CELLS:
                continue
            overlay = _Overlay(before.start_seconds, after.end_seconds, area, [float(kept[area].mean())])
            for other in [other for other in open_overlays if (other.cells & area).any()]:
                open_overlays.remove(other)
                overlay = overlay.joined(other)
            found.append(overlay)
        yield from (overlay.segment() for overlay in open_overlays)
        open_overlays = found
    yield from (overlay.segment() for overlay in open_overlays)


class _Overlay(NamedTuple):
    start_seconds: float
    end_seconds: float
    cells: NDArray[np.bool_]
    kept_ratios: list[float]
    """One per cut."""

    def joined(self, earlier: _Overlay) -> _Overlay:
        """The same overlay, with what earlier cuts left of it."""
        start = min(self.start_seconds, earlier.start_seconds)
        return _Overlay(start, self.end_seconds, self.cells | earlier.cells, self.kept_ratios + earlier.kept_ratios)

    def segment(self) -> Segment[EffectData]:
        down, across = (np.flatnonzero(self.cells.any(axis=axis)) for axis in (1, 0))
        box = (across[0], down[0], across[-1] + 1, down[-1] + 1)
        x1, y1, x2, y2 = (float(side) / EDGE_CELLS for side in box)
        parameters = OverlayParameters(box_xyxy=(x1, y1, x2, y2), cut_count=len(self.kept_ratios))
        return effect(
            self.start_seconds,
            self.end_seconds,
            EffectData(effect_type="overlay", parameters=parameters, confidence=float(np.mean(self.kept_ratios))),
        )
