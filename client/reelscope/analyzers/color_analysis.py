"""Colour analysis: palette, colourfulness, warmth and light, per shot and for the clip.

Goal: palette, mood, brand fit. Conventions: sRGB in, CIELAB and XYZ under D65; shares are of the frame's area, 0-1.

Sources: colour difference CIEDE2000; palette by k-means in CIELAB, started by PCA-Part (Su & Dy 2007); colourfulness M
of Hasler & Suesstrunk (2003): 0 for gray, about 15 slightly, 33 moderately, 59 quite, 82 highly, 109 extremely
colourful; correlated colour temperature by McCamy (1992), distance to the Planckian locus by Krystek (1985).
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, fields
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.vq import kmeans2
from skimage.color import deltaE_ciede2000, lab2rgb

from reelscope.analyzers.base import Analyzer, Finding, Labels, Segment, SegmentKind, Series
from reelscope.signals import FrameColors, Parameter, Shot, Shots

PALETTE_SIZE = 5
MERGE_DELTA_E = 5.0
"""Palette colours closer than this are one colour."""
GRADE_DELTA_E = 10.0
"""A mean colour that moves further than this from shot to shot is another grade."""
HIGH_KEY_LIGHTNESS, LOW_KEY_LIGHTNESS = 65.0, 35.0
HUE_CHROMA = 10.0
"""Colours weaker than this have no hue worth naming."""
PARAMETERS: dict[str, Parameter] = {
    "palette_size": PALETTE_SIZE,
    "merge_delta_e": MERGE_DELTA_E,
    "grade_delta_e": GRADE_DELTA_E,
    "high_key_lightness": HIGH_KEY_LIGHTNESS,
    "low_key_lightness": LOW_KEY_LIGHTNESS,
    "hue_chroma": HUE_CHROMA,
}

_POINTS = 8192
"""Points that stand for the bins in k-means."""

Harmony = Literal["achromatic", "monochromatic", "analogous", "complementary", "triadic", "mixed"]
Key = Literal["high", "middle", "low"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PaletteColor:
    """One colour of a palette."""

    hex: str
    """sRGB, #rrggbb."""
    lab: tuple[float, float, float]
    """CIELAB (D65): L* 0-100, a*, b*."""
    share: float
    """Share of the area, 0-1; a palette's shares sum to 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Colors:
    """Colours of a stretch of time."""

    palette: tuple[PaletteColor, ...]
    """At most 5 colours, largest share first."""
    colorfulness: float
    """Mean Hasler-Suesstrunk M, >= 0."""
    warmth: float
    """Mean b* / 60, clipped, -1 (cold) to 1 (warm)."""
    lightness_mean: float
    """Mean L*, 0-100."""
    saturation: float
    """Mean HSV saturation, 0-1."""
    color_temperature_kelvin: float | None
    """Correlated colour temperature of the mean colour, kelvin; null far from the Planckian locus."""
    harmony: Harmony
    """Relation of the palette's hues."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GradeChange:
    """A shot that is graded unlike the one before it."""

    delta_e: float
    """CIEDE2000 between the mean colours of the two shots, >= 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ColorSummary(Colors):
    """Colours of the whole clip."""

    key: Key
    """high for a mean L* >= 65, low for <= 35."""
    consistency: float
    """1 minus the mean CIEDE2000 of the shots' mean colours to the clip's, over 50; 0-1."""
    grade_change_count: int
    """Shots whose mean colour differs from the shot before by CIEDE2000 > 10."""


ColorData = Colors | GradeChange | None
"""Of a shot (null when no sample fell into it), or of a grade change."""


def analyze(colors: FrameColors, shots: Shots) -> Finding[ColorData, ColorSummary]:
    """Describe the colours of every shot and of the clip."""
    segments: list[Segment[ColorData]] = []
    means: list[NDArray[np.float64]] = []
    for shot in shots.shots:
        rows = _samples_of(shot, colors)
        segments.append(_segment(shot, "span", "shot_colors", _describe(rows, colors) if rows.size else None))
        if rows.size:
            mean = colors.mean_lab[rows].mean(0)
            if means and (difference := _delta_e(means[-1], mean)) > GRADE_DELTA_E:
                segments.append(_segment(shot, "event", "grade_change", GradeChange(delta_e=difference)))
            means.append(mean)
    grid = np.flatnonzero(colors.is_on_grid)
    whole = _describe(grid, colors)
    clip_mean = colors.mean_lab[grid].mean(0)
    return Finding(
        segments=tuple(segments),
        series=_series(colors),
        summary=ColorSummary(
            **{field.name: getattr(whole, field.name) for field in fields(whole)},
            key=_key(whole.lightness_mean),
            consistency=max(0.0, 1 - float(np.mean([_delta_e(mean, clip_mean) for mean in means])) / 50),
            grade_change_count=sum(isinstance(segment.data, GradeChange) for segment in segments),
        ),
    )


def _samples_of(shot: Shot, colors: FrameColors) -> NDArray[np.int64]:
    """Regular samples within a shot; the extra ones at its start where it is too short to hold one."""
    inside = (colors.times_seconds >= shot.start_seconds) & (colors.times_seconds < shot.end_seconds)
    regular = np.flatnonzero(inside & colors.is_on_grid)
    return regular if regular.size else np.flatnonzero(inside)


def _describe(rows: NDArray[np.int64], colors: FrameColors) -> Colors:
    bins = np.isin(colors.bin_sample, rows)
    palette = _palette(colors.bin_lab[bins], colors.bin_share[bins] / len(rows))
    lightness, _, b = colors.mean_lab[rows].mean(0)
    return Colors(
        palette=palette,
        colorfulness=float(colors.colorfulness[rows].mean()),
        warmth=float(np.clip(b / 60, -1, 1)),
        lightness_mean=float(lightness),
        saturation=float(colors.saturation[rows].mean()),
        color_temperature_kelvin=_color_temperature(colors.mean_xyz[rows].mean(0)),
        harmony=_harmony(palette),
    )


def _palette(lab: NDArray[np.float64], share: NDArray[np.float64]) -> tuple[PaletteColor, ...]:
    """Dominant colours: k-means (k = 5) in CIELAB, near-equal ones merged."""
    lab, member = np.unique(lab.round(3), axis=0, return_inverse=True)
    share = np.asarray(np.bincount(member, weights=share), np.float64)
    centers = _k_means(lab, share) if len(lab) > PALETTE_SIZE else lab
    distances = ((lab[:, None] - centers[None]) ** 2).sum(-1)
    clusters = [
        (lab[member].T @ share[member] / share[member].sum(), float(share[member].sum()))
        for member in (distances.argmin(1) == k for k in range(len(centers)))
        if member.any()
    ]
    clusters = _merged(clusters)
    total = sum(weight for _, weight in clusters)
    return tuple(
        PaletteColor(hex=_hex(center), lab=(float(center[0]), float(center[1]), float(center[2])), share=weight / total)
        for center, weight in sorted(clusters, key=lambda cluster: -cluster[1])
    )


def _k_means(lab: NDArray[np.float64], share: NDArray[np.float64]) -> NDArray[np.float64]:
    """Centres of the clusters, [5, 3]."""
    # Systematic resampling: every bin by its share, also where there are more bins than points.
    points = lab[np.searchsorted(np.cumsum(share) / share.sum(), (np.arange(_POINTS) + 0.5) / _POINTS)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # an emptied cluster keeps its centre and wins no bin later
        centers, _ = kmeans2(points, _split_means(points), iter=30, minit="matrix")
    return np.asarray(centers, np.float64)


def _split_means(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """First centres without chance, so that like pictures get like palettes: PCA-Part.

    The cluster with the largest squared error is split at its mean, across its principal axis, until there are five.
    """
    clusters = [points]
    while len(clusters) < PALETTE_SIZE:
        errors = [float(((cluster - cluster.mean(0)) ** 2).sum()) for cluster in clusters]
        if max(errors) < 1e-6:  # fewer colours than clusters
            break
        widest = clusters.pop(int(np.argmax(errors)))
        centered = widest - widest.mean(0)
        is_beyond = centered @ np.linalg.eigh(centered.T @ centered)[1][:, -1] > 0
        clusters += [widest[~is_beyond], widest[is_beyond]]
    return np.array([cluster.mean(0) for cluster in clusters])


def _merged(clusters: list[tuple[NDArray[np.float64], float]]) -> list[tuple[NDArray[np.float64], float]]:
    """Join the closest two colours for as long as they are nearer than MERGE_DELTA_E."""
    while len(clusters) > 1:
        pairs = [(_delta_e(clusters[i][0], clusters[j][0]), i, j) for j in range(len(clusters)) for i in range(j)]
        nearest, i, j = min(pairs)
        if nearest >= MERGE_DELTA_E:
            break
        (first, first_weight), (second, second_weight) = clusters[i], clusters[j]
        weight = first_weight + second_weight
        joined = ((first * first_weight + second * second_weight) / weight, weight)
        clusters = [cluster for k, cluster in enumerate(clusters) if k not in (i, j)] + [joined]
    return clusters


def _delta_e(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    return float(deltaE_ciede2000(first, second))  # type: ignore[no-untyped-call]


def _hex(lab: NDArray[np.float64]) -> str:
    return "#" + "".join(f"{round(255 * channel):02x}" for channel in np.clip(lab2rgb(lab[None])[0], 0, 1))


def _color_temperature(xyz: NDArray[np.float64]) -> float | None:
    total = xyz.sum()
    if total < 1e-3:
        return None
    x, y = xyz[:2] / total
    n = (x - 0.3320) / (0.1858 - y)
    kelvin = float(449 * n**3 + 3525 * n**2 + 6823.3 * n + 5520.33)
    if not 2000 <= kelvin <= 15000:  # Krystek's fit ends there
        return None
    scale = -2 * x + 12 * y + 3
    locus_u = (0.860117757 + 1.54118254e-4 * kelvin + 1.28641212e-7 * kelvin**2) / (
        1 + 8.42420235e-4 * kelvin + 7.08145163e-7 * kelvin**2
    )
    locus_v = (0.317398726 + 4.22806245e-5 * kelvin + 4.20481691e-8 * kelvin**2) / (
        1 - 2.89741816e-5 * kelvin + 1.61456053e-7 * kelvin**2
    )
    # 0.05 in CIE 1960 u, v: beyond it a correlated temperature is not defined (CIE 15:2004).
    return kelvin if np.hypot(4 * x / scale - locus_u, 6 * y / scale - locus_v) <= 0.05 else None


def _harmony(palette: tuple[PaletteColor, ...]) -> Harmony:
    chromatic = [color.lab for color in palette if np.hypot(color.lab[1], color.lab[2]) >= HUE_CHROMA]
    if not chromatic:
        return "achromatic"
    hues = np.sort(np.degrees([np.arctan2(b, a) for _, a, b in chromatic]) % 360)
    gaps = np.diff(np.append(hues, hues[0] + 360))
    spread = 360 - gaps.max()
    if spread <= 30:
        return "monochromatic"
    if spread <= 90:
        return "analogous"
    if _repeats_every(180, hues):
        return "complementary"
    return "triadic" if _repeats_every(120, hues) else "mixed"


def _repeats_every(degrees: float, hues: NDArray[np.float64]) -> bool:
    offsets = (hues - hues[0]) % degrees
    return bool(np.minimum(offsets, degrees - offsets).max() <= 30)


def _key(lightness: float) -> Key:
    return "high" if lightness >= HIGH_KEY_LIGHTNESS else "low" if lightness <= LOW_KEY_LIGHTNESS else "middle"


def _segment(shot: Shot, kind: SegmentKind, label: str, data: ColorData) -> Segment[ColorData]:
    """A span over the shot, or an event on its first frame."""
    frame_seconds = (shot.end_seconds - shot.start_seconds) / (shot.frame_out - shot.frame_in)
    return Segment(
        kind=kind,
        start_seconds=shot.start_seconds,
        end_seconds=shot.end_seconds if kind == "span" else shot.start_seconds + frame_seconds,
        label=label,
        score=None,
        data=data,
    )


def _series(colors: FrameColors) -> Series:
    grid = colors.is_on_grid
    columns = {
        "t": colors.times_seconds,
        "colorfulness": colors.colorfulness,
        "warmth": np.clip(colors.mean_lab[:, 2] / 60, -1, 1),
        "L_mean": colors.mean_lab[:, 0],
        "saturation": colors.saturation,
    }
    return Series(columns={name: tuple(values[grid].tolist()) for name, values in columns.items()})


def headline(summary: ColorSummary) -> str:
    """Say it in a few words."""
    return f"{' '.join(color.hex for color in summary.palette)}, {summary.key} key, {summary.harmony}"


ANALYZER = Analyzer(
    name="color_analysis",
    version="1",
    title="palette, colourfulness, warmth and light",
    requires=(FrameColors, Shots),
    data=ColorData,
    summary=ColorSummary,
    labels=(
        Labels(names=("shot_colors",), meaning="a shot; without data where no sample fell into it"),
        Labels(names=("grade_change",), kind="event", meaning="a shot begins that is graded unlike the one before"),
    ),
    columns={
        "colorfulness": "Hasler-Suesstrunk M, >= 0",
        "warmth": "from cold to warm: b* / 60, -1 to 1",
        "L_mean": "mean L*, 0-100",
        "saturation": "mean HSV saturation, 0-1",
    },
    headline=headline,
    analyze=analyze,
    parameters=PARAMETERS,
)
