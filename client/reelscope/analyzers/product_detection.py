"""Product detection: which products and brands are shown, when, how large.

Conventions: one segment per tracked object that is a product, and one per line of text that names a brand. The score of
the first is that of its category, of the second the reader's confidence.

- Category: CLIP's for the object's crops, or the detector's; `source` says which (`product_categories`). People are no
  products.
- Brand: a name of `brands` in the text, misread letters allowed for. Text in an object's box without such a name is
  passed on as printed on it, and no brand is claimed. A brand that is spoken of while one single product is in view is
  that product's, where none is read on it. A further source waits: likeness to a picture of the product (exemplars
  cannot be given yet).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from reelscope.analyzers import text_lines
from reelscope.analyzers.base import Analyzer, Finding, Labels, Segment
from reelscope.analyzers.brands import MIN_EDIT_RATIO, brand_in
from reelscope.analyzers.calls_to_action import words
from reelscope.analyzers.product_categories import BEST, MARGIN, Candidate, Category, candidates_of, category_of
from reelscope.analyzers.text_lines import Line, covered_seconds
from reelscope.signals import CropEmbeddings, ObjectTracks, Parameter, SpokenWords, TextRegions, Track

FIRST_SECONDS = 3.0
ON_PRODUCT_RATIO = 0.5
"""A line is on an object when its centre is in the object's box in at least this share of the line's samples."""

PARAMETERS: dict[str, Parameter] = {
    **text_lines.PARAMETERS,
    "category_best": BEST,
    "category_margin": MARGIN,
    "brand_min_edit_ratio": MIN_EDIT_RATIO,
    "on_product_min_ratio": ON_PRODUCT_RATIO,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Brand:
    """Whose product it is."""

    name: str
    """As in the list of known brands."""
    source: Literal["ocr", "exemplar", "speech"]
    """ocr: read in the picture; speech: said while nothing else is in view. There are no exemplars yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProductData:
    """A product in view, or a brand in writing."""

    category: Category | None
    """What it is; null for a brand in writing."""
    candidates: tuple[Candidate, ...] | None
    """The three most probable zero-shot labels, rejects included; null where CLIP did not see it."""
    brand: Brand | None
    """Its brand; null where none was read on it, or said."""
    printed_text: tuple[str, ...] | None
    """Lines of text within its box, brands or not; null for a brand in writing, and where no reader read."""
    area_percent: float
    """Mean area of its box, or of the line, percent of the frame."""
    co_mention: bool | None
    """Whether text on screen, or speech, names the category while it is in view; null where no text does and nothing
    tells what is said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """Everything of one category and brand, together."""

    category: str | None
    """Label of the category; null for a brand in writing."""
    brand: str | None
    """Name of the brand; null where none was read."""
    first_seen_seconds: float
    """When it is first in view, seconds."""
    in_first_3s: bool
    """Whether that is within 3 seconds."""
    screen_time_seconds: float
    """Time in view, seconds."""
    share_of_screen: float
    """Its area over time: share of the clip's whole picture, 0-1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProductSummary:
    """Exposure of products and brands. Every field is null when the detector is untrained."""

    products: tuple[Product, ...] | None
    """What is shown, by first appearance."""
    screen_time_seconds: float | None
    """Time in which any of them is in view, seconds."""
    first_seen_seconds: float | None
    """When the first comes into view, seconds; null without any."""
    in_first_3s: bool | None
    """Whether that is within 3 seconds."""
    share_of_screen: float | None
    """Area over time of all of them: share of the clip's whole picture, 0-1."""


@dataclass(frozen=True, slots=True)
class _Shown:
    """A segment with what the totals need."""

    segment: Segment[ProductData]
    spans: tuple[tuple[float, float], ...]
    """When it is in view."""
    is_part: bool = False
    """Whether it lies on another product, whose exposure it shares."""


def analyze(
    objects: ObjectTracks, crops: CropEmbeddings | None, regions: TextRegions | None, spoken: SpokenWords | None
) -> Finding[ProductData, ProductSummary]:
    """Find products among the tracks, and brands in text and speech; the tracks of random weights are none."""
    lines = text_lines.lines_of(regions, None) if regions else None
    shown: list[_Shown] = []
    carriers: dict[Line, str] = {}
    for track, rows in () if objects.untrained_models else objects.tracks():
        product = _product(track, rows, objects, crops, regions, lines, spoken)
        if product:
            shown.append(product)
            carriers |= dict.fromkeys(_lines_on(rows, objects, regions, lines or ()), track.id)
    if spoken:
        shown = [_with_spoken_brand(product, shown, spoken) for product in shown]
    for line in lines or ():
        if regions and (name := brand_in(line.text)):
            shown.append(_brand(line, name, carriers.get(line), regions))
    return Finding(segments=tuple(each.segment for each in shown), summary=_summary(shown, objects))


def _product(
    track: Track,
    rows: NDArray[np.intp],
    objects: ObjectTracks,
    crops: CropEmbeddings | None,
    regions: TextRegions | None,
    lines: Sequence[Line] | None,
    spoken: SpokenWords | None,
) -> _Shown | None:
    candidates = candidates_of(int(objects.track_ids[rows[0]]), crops) if crops else None
    category = category_of(track, float(objects.scores[rows].mean()), candidates)
    if track.label == "person" or category is None:
        return None
    boxes, times = objects.boxes_xyxy[rows], objects.times_seconds[objects.frame[rows]]
    printed = _lines_on(rows, objects, regions, lines or ())
    brand = next((name for line in printed if (name := brand_in(line.text))), None)
    ends = np.minimum(times + objects.step_seconds, objects.duration_seconds)
    segment = Segment(
        kind="span",
        start_seconds=track.start_seconds,
        end_seconds=track.end_seconds,
        label=category.label,
        score=category.probability,
        track_id=track.id,
        data=ProductData(
            category=category,
            candidates=candidates[:BEST] if candidates else None,
            brand=Brand(name=brand, source="ocr") if brand else None,
            printed_text=tuple(line.text for line in printed) if lines is not None else None,
            area_percent=100 * float((boxes[:, 2:] - boxes[:, :2]).prod(axis=1).mean()),
            co_mention=_is_mentioned(category.label, track, lines or (), spoken),
        ),
    )
    return _Shown(segment, tuple(zip(times.tolist(), ends.tolist(), strict=True)))


def _lines_on(
    rows: NDArray[np.intp], objects: ObjectTracks, regions: TextRegions | None, lines: Sequence[Line]
) -> list[Line]:
    """Lines of text within the boxes of a track."""
    if regions is None:
        return []
    times, boxes = objects.times_seconds[objects.frame[rows]], objects.boxes_xyxy[rows]
    found = []
    for line in lines:
        read = regions.times_seconds[regions.frame[line.rows]]
        nearest = np.abs(read[:, None] - times).argmin(axis=1)
        centers = regions.quads[line.rows].mean(axis=1)
        is_on = (centers >= boxes[nearest, :2]).all(axis=1) & (centers <= boxes[nearest, 2:]).all(axis=1)
        is_on &= np.abs(read - times[nearest]) <= objects.step_seconds
        if is_on.mean() >= ON_PRODUCT_RATIO:
            found.append(line)
    return found


def _is_mentioned(label: str, track: Track, lines: Sequence[Line], spoken: SpokenWords | None) -> bool | None:
    """Whether something that is written or said while the track is there names its category: one of "cup or mug"."""
    start, end = track.start_seconds, track.end_seconds
    said = [line.text for line in lines if min(line.end_seconds, end) > max(line.start_seconds, start)]
    if spoken:
        said.append(" ".join(word.text for word in spoken.between(start, end)))
    names = [" ".join(words(name)) for name in label.split(" or ")]
    texts = [f" {' '.join(words(text))} " for text in said]
    if any(f" {name}{ending} " in text for text in texts for name in names for ending in ("", "s")):
        return True
    return False if spoken else None


def _with_spoken_brand(product: _Shown, products: Sequence[_Shown], spoken: SpokenWords) -> _Shown:
    """The product with the brand that is named while it alone is in view, where none is read on it."""
    segment = product.segment
    others = [other.segment for other in products if other is not product]
    alone = " ".join(
        word.text
        for word in spoken.between(segment.start_seconds, segment.end_seconds)
        if not any(
            other.start_seconds < word.end_seconds and word.start_seconds < other.end_seconds for other in others
        )
    )
    if segment.data.brand or not (name := brand_in(alone)):
        return product
    data = replace(segment.data, brand=Brand(name=name, source="speech"))
    return replace(product, segment=replace(segment, data=data))


def _brand(line: Line, name: str, track_id: str | None, regions: TextRegions) -> _Shown:
    area = float(text_lines.areas(regions.quads[line.rows]).mean())
    segment = Segment(
        kind="span",
        start_seconds=line.start_seconds,
        end_seconds=line.end_seconds,
        label=name,
        score=line.confidence,
        track_id=track_id,
        data=ProductData(
            category=None,
            candidates=None,
            brand=Brand(name=name, source="ocr"),
            printed_text=None,
            area_percent=100 * area,
            co_mention=None,
        ),
    )
    return _Shown(segment, ((line.start_seconds, line.end_seconds),), is_part=track_id is not None)


def _summary(shown: Sequence[_Shown], objects: ObjectTracks) -> ProductSummary:
    if objects.untrained_models:
        return ProductSummary(
            products=None, screen_time_seconds=None, first_seen_seconds=None, in_first_3s=None, share_of_screen=None
        )
    groups: dict[tuple[str | None, str | None], list[_Shown]] = {}
    whole = sorted((each for each in shown if not each.is_part), key=lambda each: each.segment.start_seconds)
    for each in whole:
        data = each.segment.data
        key = data.category.label if data.category else None, data.brand.name if data.brand else None
        groups.setdefault(key, []).append(each)
    first = whole[0].segment.start_seconds if whole else None
    return ProductSummary(
        products=tuple(
            Product(
                category=category,
                brand=brand,
                first_seen_seconds=members[0].segment.start_seconds,
                in_first_3s=members[0].segment.start_seconds < FIRST_SECONDS,
                screen_time_seconds=_seconds(members),
                share_of_screen=_share(members, objects.duration_seconds),
            )
            for (category, brand), members in groups.items()
        ),
        screen_time_seconds=_seconds(whole),
        first_seen_seconds=first,
        in_first_3s=first is not None and first < FIRST_SECONDS,
        share_of_screen=_share(whole, objects.duration_seconds),
    )


def _seconds(shown: Sequence[_Shown]) -> float:
    return covered_seconds(span for each in shown for span in each.spans)


def _share(shown: Sequence[_Shown], duration_seconds: float) -> float:
    """Area over time; what overlaps counts each, up to the whole picture."""
    areas = sum(each.segment.data.area_percent / 100 * _seconds([each]) for each in shown)
    return min(1.0, areas / duration_seconds) if shown else 0.0


def headline(summary: ProductSummary) -> str:
    """Say it in a few words."""
    if summary.products is None or summary.share_of_screen is None:
        return "random weights: nothing is claimed"
    if not summary.products:
        return "no product"
    names = ", ".join(" ".join(filter(None, (product.brand, product.category))) for product in summary.products)
    return f"{names}; {summary.screen_time_seconds:.1f} s, {summary.share_of_screen:.1%} of the screen"


ANALYZER = Analyzer(
    name="product_detection",
    version="2",
    title="which products and brands are shown, when, how large",
    requires=(ObjectTracks,),
    uses=(CropEmbeddings, TextRegions, SpokenWords),
    data=ProductData,
    summary=ProductSummary,
    labels=(
        Labels(
            meaning="an object that is a product, labelled with its category, or a line of text with a brand's name",
            score="probability of the category; confidence of the reader",
        ),
    ),
    headline=headline,
    analyze=analyze,
    parameters=PARAMETERS,
)
