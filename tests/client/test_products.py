"""Products and brands: categories by CLIP and by the detector, brands by text, totals; on injected signals."""

from __future__ import annotations

import dataclasses
import random
from dataclasses import replace

import numpy as np
import pytest
from feeding import PROVENANCE, said
from reading import PORTRAIT, Seen, read, shown, together

from reelscope.analyzers import product_detection
from reelscope.analyzers.brands import BRANDS, brand_in
from reelscope.analyzers.product_categories import COCO_PRODUCTS
from reelscope.results import wire_name
from reelscope.settings import labels
from reelscope.signals import CropEmbeddings, ObjectTracks

CLASSES = labels("object_yolov8")
FPS, DURATION = 5.0, 6.0
CUP_BOX = (0.3, 0.4, 0.7, 0.8)
NAMES = ("cup or mug", "perfume bottle", "handbag", "not: a person", "not: a plain texture")


def find(objects, crops=None, regions=None, spoken=None):
    return product_detection.analyze(objects, crops, regions, spoken)


def tracks(*objects, trained=True, duration=DURATION):
    """Objects (class name, box, start, end) that stand still; the k-th is track k."""
    times = np.arange(0, duration - 1e-9, 1 / FPS).round(3)
    rows = [
        (frame, k, label, box)
        for frame, time in enumerate(times)
        for k, (label, box, start, end) in enumerate(objects)
        if start <= time < end
    ]
    return ObjectTracks(
        sampling="F10",
        sampling_fps=FPS,
        sample_count=len(times),
        models=(replace(PROVENANCE, name="object_yolov8", trained=trained),),
        times_seconds=times,
        height_over_width=PORTRAIT,
        frame=np.array([row[0] for row in rows], np.int64),
        boxes_xyxy=np.array([row[3] for row in rows], float).reshape(-1, 4),
        scores=np.full(len(rows), 0.8),
        class_ids=np.array([CLASSES.index(row[2]) for row in rows], np.int64),
        track_ids=np.array([row[1] for row in rows], np.int64),
        labels=CLASSES,
        duration_seconds=duration,
    )


def looks(*crops):
    """Crops (track id, probability of every label of NAMES); another group of labels comes first."""
    return CropEmbeddings(
        sampling="F10",
        sampling_fps=FPS,
        sample_count=len(crops),
        models=(PROVENANCE,),
        times_seconds=np.zeros(len(crops)),
        track_ids=np.array([track for track, _ in crops], np.int64),
        boxes_xyxy=np.zeros((len(crops), 4)),
        embeddings=np.zeros((len(crops), 512), np.float32),
        label_probabilities=np.array([(0.9, 0.1, *given) for _, given in crops], np.float32).reshape(-1, 7),
        labels=("quality/good", "quality/bad", *(f"product/{name}" for name in NAMES)),
    )


def read_at(seen_at, **options):
    return read(seen_at, DURATION, **options)


def test_a_cup_by_its_looks():
    objects = tracks(("cup", CUP_BOX, 1, 4))
    finding = find(objects, looks((0, (0.7, 0.1, 0.1, 0.05, 0.05))), None)
    (cup,) = finding.segments
    assert (cup.label, cup.score, cup.track_id) == ("cup or mug", pytest.approx(0.7), "object-1")
    assert (cup.start_seconds, cup.end_seconds) == (1, 4)
    assert (cup.data.category.label, cup.data.category.source) == ("cup or mug", "clip")
    assert "cup or mug" in [candidate.label for candidate in cup.data.candidates]
    assert [candidate.probability for candidate in cup.data.candidates] == pytest.approx([0.7, 0.1, 0.1])
    assert cup.data.area_percent == pytest.approx(16)
    assert (cup.data.brand, cup.data.printed_text, cup.data.co_mention) == (None, None, None)
    (product,) = finding.summary.products
    assert (product.category, product.brand) == ("cup or mug", None)
    assert (product.first_seen_seconds, product.in_first_3s) == (1, True)
    assert product.screen_time_seconds == finding.summary.screen_time_seconds == pytest.approx(3)
    assert product.share_of_screen == finding.summary.share_of_screen == pytest.approx(0.16 * 3 / DURATION)


def test_looks_are_averaged_over_the_crops_of_a_track():
    crops = looks((0, (0.9, 0, 0, 0.1, 0)), (0, (0.5, 0, 0, 0.5, 0)), (7, (0, 0, 0, 1, 0)))
    (cup,) = find(tracks(("vase", CUP_BOX, 0, 6)), crops, None).segments
    assert cup.score == pytest.approx(0.7)


@pytest.mark.parametrize(
    ("label", "given", "expected"),
    [
        ("cup", (0.45, 0.05, 0.0, 0.3, 0.2), ("cup", "detector")),  # CLIP cannot tell, the detector can
        ("dog", (0.45, 0.05, 0.0, 0.3, 0.2), None),  # neither
        ("cup", (0.1, 0.1, 0.0, 0.1, 0.7), None),  # a texture that the detector took for a cup
        ("bottle", (0.3, 0.29, 0.1, 0.31, 0.0), ("cup or mug", "clip")),  # two products share what is one object's
        ("vase", (0.1, 0.7, 0.1, 0.05, 0.05), ("perfume bottle", "clip")),
        ("person", (0.9, 0.0, 0.0, 0.1, 0.0), None),  # what a person wears is no track
    ],
)
def test_rejects_and_margin(label, given, expected):
    finding = find(tracks((label, CUP_BOX, 0, 6)), looks((0, given)), None)
    found = [(s.data.category.label, s.data.category.source) for s in finding.segments]
    assert found == ([expected] if expected else [])


def test_without_clip_the_detector_names_the_category():
    finding = find(tracks(("bottle", CUP_BOX, 0, 6), ("couch", CUP_BOX, 0, 6)), None, None)
    (bottle,) = finding.segments
    assert (bottle.data.category.label, bottle.data.category.source) == ("bottle", "detector")
    assert bottle.data.category.probability == pytest.approx(0.8)
    assert bottle.data.candidates is None
    assert set(CLASSES) >= COCO_PRODUCTS


def test_a_track_that_clip_did_not_see_and_labels_without_products():
    crops = looks((5, (0, 0, 0, 1, 0)))
    other = replace(crops, labels=tuple(f"setting/{k}" for k in range(7)), track_ids=np.zeros(1, np.int64))
    for each in (crops, other):
        (cup,) = find(tracks(("cup", CUP_BOX, 0, 6)), each, None).segments
        assert (cup.data.category.source, cup.data.candidates) == ("detector", None)


@pytest.mark.parametrize("start", [2.0, 2.1, 2.3])
def test_acme_is_read(start):
    finding = find(tracks(), None, read_at(shown("ACME", (0.2, 0.2, 0.7, 0.28), start, start + 2)))
    (acme,) = finding.segments
    assert (acme.data.brand.name, acme.data.brand.source) == ("Acme", "ocr")
    assert (acme.data.category, acme.track_id, acme.data.printed_text) == (None, None, None)
    assert acme.start_seconds == pytest.approx(start, abs=0.25)
    assert acme.end_seconds == pytest.approx(start + 2, abs=0.25)
    assert acme.data.area_percent == pytest.approx(4)
    (product,) = finding.summary.products
    assert (product.category, product.brand, product.in_first_3s) == (None, "Acme", True)
    assert finding.summary.share_of_screen == pytest.approx(0.04 * 2 / DURATION, rel=0.25)


def test_a_brand_on_a_product_is_its_brand():
    on_cup = shown("Nespresso", (0.4, 0.55, 0.6, 0.6), 2, 4)
    elsewhere = shown("since 1990", (0.4, 0.9, 0.6, 0.95), 2, 4)
    plain = shown("best coffee", (0.4, 0.65, 0.6, 0.7), 2, 4)
    finding = find(tracks(("cup", CUP_BOX, 0, 6)), None, read_at(together(on_cup, elsewhere, plain)))
    cup, written = finding.segments
    assert (cup.data.brand.name, cup.data.brand.source) == ("Nespresso", "ocr")
    assert cup.data.printed_text == ("Nespresso", "best coffee"), "what is on it and no brand is passed on"
    assert (written.label, written.track_id) == ("Nespresso", "object-1")
    assert written.start_seconds == pytest.approx(2, abs=0.25)
    (product,) = finding.summary.products
    assert (product.category, product.brand) == ("cup", "Nespresso")
    assert finding.summary.share_of_screen == pytest.approx(0.16), "the writing on it does not count twice"


def test_text_beside_a_product_is_not_on_it():
    gone = shown("NIKE", (0.4, 0.55, 0.6, 0.6), 4, 6)
    finding = find(tracks(("cup", CUP_BOX, 0, 2)), None, read_at(gone))
    cup, nike = finding.segments
    assert (cup.data.brand, cup.data.printed_text) == (None, ())
    assert (nike.data.brand.name, nike.track_id) == ("Nike", None)


def test_co_mention_is_true_or_unknown():
    def with_text(text, start=1, end=3):
        regions = read_at(shown(text, (0.1, 0.1, 0.9, 0.15), start, end))
        return find(tracks(("cup", CUP_BOX, 0, 3)), None, regions).segments[0].data.co_mention

    assert with_text("my favourite CUP!") is True
    assert with_text("two cups a day") is True
    assert with_text("my favourite mug") is None
    assert with_text("cupboard") is None
    assert with_text("my favourite cup", 4, 6) is None, "not at the same time"


def test_what_is_said_mentions_too():
    def mention(text, start=1.0, end=2.0):
        spoken = said(text, start, end)
        return find(tracks(("cup", CUP_BOX, 0, 3)), None, None, spoken).segments[0].data.co_mention

    assert mention("This cup, I love it.") is True
    assert mention("Look at this cat.") is False, "a transcript tells that it is not"
    assert mention("This cup, I love it.", 5, 6) is False


def test_a_brand_that_is_spoken_of_is_that_of_the_only_product_in_view():
    objects = tracks(("cup", CUP_BOX, 0, 3), ("bottle", CUP_BOX, 2, 6))
    spoken = said("I only drink Nespresso, you know.", 0.0, 1.8)
    cup, bottle = find(objects, None, None, spoken).segments
    assert (cup.data.brand.name, cup.data.brand.source) == ("Nespresso", "speech")
    assert bottle.data.brand is None
    both = find(objects, None, None, said("Nespresso", 2.2, 2.8)).segments
    assert [segment.data.brand for segment in both] == [None, None], "two are in view"
    on_it = read_at(shown("NIKE", (0.4, 0.55, 0.6, 0.6), 0, 2))
    cup = find(tracks(("cup", CUP_BOX, 0, 3)), None, on_it, said("Nespresso", 1, 2)).segments[0]
    assert cup.data.brand.source == "ocr"


@pytest.mark.parametrize(
    ("text", "brand"),
    [
        ("ACME", "Acme"),
        ("new @nike drop", "Nike"),
        ("L'OREAL PARIS", "L'Oréal"),
        ("McDonald\N{RIGHT SINGLE QUOTATION MARK}s menu", "McDonald's"),
        ("coca cola", "Coca-Cola"),
        ("COCACOLA", "Coca-Cola"),
        ("H&M haul", "H&M"),
        ("SAMSUNC Galaxy", "Samsung"),
        ("Starbuks", "Starbucks"),
        ("my channel", None),
        ("a red ball", None),
        ("ACNE", None),
        ("Nikes", None),
        ("apple pie", None),
        ("3 THINGS I LOVE", None),
        ("", None),
        ("☕", None),
    ],
)
def test_brands_in_text(text, brand):
    assert brand_in(text) == brand


def test_every_brand_is_found_as_it_is_written():
    for brand in BRANDS:
        assert brand_in(f"the {brand.upper()} one") == brand


def test_misread_letters_of_a_brand_are_outvoted():
    rng = random.Random(1)
    regions = read_at(lambda time: [Seen(rng.choice(["ACME", "ACME", "4CME"]), (0.2, 0.2, 0.7, 0.28), 0.8)])
    (acme,) = find(tracks(), None, regions).segments
    assert acme.label == "Acme"


def test_two_of_a_kind_count_together():
    objects = tracks(("cup", CUP_BOX, 0, 2), ("cup", (0, 0, 0.5, 0.5), 1, 4), ("book", CUP_BOX, 4, 6))
    summary = find(objects, None, None).summary
    assert [(product.category, product.in_first_3s) for product in summary.products] == [("cup", True), ("book", False)]
    cups, books = summary.products
    assert cups.screen_time_seconds == pytest.approx(4)
    assert cups.share_of_screen == pytest.approx((0.16 * 2 + 0.25 * 3) / DURATION)
    assert books.screen_time_seconds == pytest.approx(2)
    assert summary.screen_time_seconds == pytest.approx(6)
    assert (summary.first_seen_seconds, summary.in_first_3s) == (0, True)
    assert product_detection.headline(summary).startswith("cup, book; 6.0 s")


def test_a_flipped_twin_tells_the_same():
    objects = tracks(("cup", (0.1, 0.2, 0.4, 0.6), 0, 3))
    mirrored = replace(objects, boxes_xyxy=(objects.boxes_xyxy * (-1, 1, -1, 1) + (1, 0, 1, 0))[:, [2, 1, 0, 3]])
    plain, twin = (find(each, None, None) for each in (objects, mirrored))
    assert plain.segments[0].data.area_percent == pytest.approx(twin.segments[0].data.area_percent)
    assert plain.summary.screen_time_seconds == twin.summary.screen_time_seconds


def test_nothing_and_a_single_frame():
    finding = find(tracks(), looks(), read_at(lambda time: []))
    assert finding.segments == ()
    assert finding.summary == product_detection.ProductSummary(
        products=(), screen_time_seconds=0, first_seen_seconds=None, in_first_3s=False, share_of_screen=0
    )
    assert product_detection.headline(finding.summary) == "no product"
    nothing_decoded = tracks(duration=0.0)
    assert find(nothing_decoded, None, None).summary.share_of_screen == 0
    one = find(tracks(("cup", CUP_BOX, 0, 1), duration=1 / 30), None, None)
    assert one.summary.screen_time_seconds == pytest.approx(1 / 30)
    assert one.summary.share_of_screen == pytest.approx(0.16)


def test_a_random_detector_claims_nothing():
    objects = tracks(("cup", CUP_BOX, 0, 6), trained=False)
    finding = find(objects, None, read_at(shown("ACME", (0.2, 0.2, 0.7, 0.28), 2, 4)))
    assert [segment.label for segment in finding.segments] == ["Acme"], "what is read is evidence of its own"
    assert set(dataclasses.asdict(finding.summary).values()) == {None}
    assert "nothing is claimed" in product_detection.headline(finding.summary)


def test_fields_are_named_as_specified():
    data = {wire_name(field.name) for field in dataclasses.fields(product_detection.ProductData)}
    assert {"category", "brand", "area_pct", "co_mention"} <= data
    assert {field.name for field in dataclasses.fields(product_detection.Brand)} == {"name", "source"}
    summary = {wire_name(field.name) for field in dataclasses.fields(product_detection.ProductSummary)}
    assert summary == {"products", "screen_time_s", "first_seen_s", "in_first_3s", "share_of_screen"}
