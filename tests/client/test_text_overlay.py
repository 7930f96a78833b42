"""Text overlay: lines linked, voted, timed and told apart, on injected readings."""

from __future__ import annotations

import dataclasses
import random
import time
from itertools import pairwise

import numpy as np
import pytest
from feeding import cut, measure, said
from hypothesis import given
from hypothesis import strategies as st
from reading import PORTRAIT, Seen, read, shown, together

import clips
from reelscope.analyzers import safe_zones, text_overlay
from reelscope.analyzers.calls_to_action import PHRASES, is_call_to_action
from reelscope.analyzers.edit_distance import edit_distance, edit_ratio
from reelscope.analyzers.picture_motion import PictureMotion
from reelscope.analyzers.text_lines import voted
from reelscope.results import wire_name
from reelscope.signals import POINT_STEPS_PER_PX, PointFlow
from reelscope.sources.flow import FlowSource

MIDDLE = (0.2, 0.45, 0.8, 0.5)
TOP = (0.2, 0.12, 0.8, 0.17)
LOW = (0.2, 0.7, 0.8, 0.75)
CORNER = (0.04, 0.03, 0.24, 0.06)


def find(seen_at, duration=6.0, *, shots=None, flow=None, spoken=None, **options):
    return text_overlay.analyze(read(seen_at, duration, **options), shots, flow, spoken)


def roles(finding):
    return {segment.data.text: segment.data.role for segment in finding.segments}


@pytest.mark.parametrize("fps", [2.5, 5.0])
@pytest.mark.parametrize("start", [1.0, 1.1, 1.19, 1.21, 1.3, 1.39])
def test_on_and_off_within_a_quarter_of_a_second(fps, start):
    finding = find(shown("SPRING SALE", MIDDLE, start, start + 2), fps=fps)
    (line,) = finding.segments
    assert line.start_seconds == pytest.approx(start, abs=0.25)
    assert line.end_seconds == pytest.approx(start + 2, abs=0.25)
    assert line.data.text == "SPRING SALE"
    assert np.allclose(np.reshape(line.data.quad, (4, 2))[[0, 2]].ravel(), MIDDLE)
    assert line.score == line.data.reading_confidence == pytest.approx(0.95)
    assert line.data.height_percent == pytest.approx(5)
    assert line.data.contrast_ratio == 7
    assert line.data.lang is None
    assert line.data.chars_per_second == pytest.approx(11 / (line.end_seconds - line.start_seconds))
    assert finding.summary.first_text_seconds == line.start_seconds
    assert finding.summary.text_coverage_percent == pytest.approx(100 * 2 / 6, abs=8)
    assert finding.summary.text_area_percent == pytest.approx(100 * 0.6 * 0.05)
    assert (finding.summary.line_count, finding.summary.full_text) == (1, "SPRING SALE")


def test_from_the_first_frame_to_the_last():
    (line,) = find(shown("ALWAYS", MIDDLE, 0, 9), 5.9).segments
    assert (line.start_seconds, line.end_seconds) == (0, pytest.approx(5.9))


def test_an_extra_sample_at_a_cut_sharpens_the_time():
    (line,) = find(shown("CUT", MIDDLE, 1.5, 3), extra_seconds=[1.5]).segments
    assert line.start_seconds == pytest.approx(1.35), "half-way between 1.2 and 1.5"


@pytest.mark.parametrize("seed", range(5))
def test_misread_letters_are_outvoted(seed):
    """One letter in sixteen is wrong; most readings have an error or more."""
    truth = "THREE THINGS I LOVE ABOUT COFFEE"
    rng = random.Random(seed)

    def noisy(text):
        return "".join(rng.choice("01ABXZ#") if rng.random() < 1 / 16 else letter for letter in text)

    (line,) = find(lambda time: [Seen(noisy(truth), MIDDLE, rng.uniform(0.6, 0.9))]).segments
    assert edit_distance(line.data.text, truth) / len(truth) <= 0.05


def test_the_surer_reading_wins():
    assert voted(["L1NK", "LINK"], [0.5, 0.9]) == "LINK"
    assert voted(["LINK IN BIO", "LINKINBIO", "LINK IN BI0"], [0.8, 0.9, 0.7]) == "LINK IN BIO"
    assert voted(["A"], [0.0]) == "A"


def test_one_missed_sample_is_bridged_and_three_are_not():
    def without(*missed):
        return lambda time: [] if round(time / 0.4) in missed else [Seen("FLICKER", MIDDLE)]

    assert len(find(without(5)).segments) == 1
    assert len(find(without(3, 5, 7, 9)).segments) == 1
    assert len(find(without(5, 6, 7)).segments) == 2


def test_what_is_read_just_once_in_the_place_of_a_line_is_a_misreading_of_it():
    def at(time):
        return [Seen("FRESH COFFEE" if round(time / 0.4) != 5 else "PR3SN C0FFFB", MIDDLE)]

    assert [segment.data.text for segment in find(at).segments] == ["FRESH COFFEE"]


def test_what_is_read_once_must_be_sure():
    once = [find(shown("blip", MIDDLE, 2.0, 2.3, confidence=confidence)) for confidence in (0.7, 0.9)]
    assert [len(finding.segments) for finding in once] == [0, 1]
    assert once[1].segments[0].data.chars_per_second is None


def test_weak_readings_and_specks_are_no_text():
    specks = together(shown("lIl", TOP, 0, 9, confidence=0.3), shown("-.'", MIDDLE, 0, 9))
    finding = find(specks)
    assert finding.segments == ()
    assert finding.summary == text_overlay.TextSummary(
        text_coverage_percent=0,
        text_area_percent=None,
        line_count=0,
        first_text_seconds=None,
        full_text="",
        cta=(),
    )
    assert finding.warnings == ()


def test_a_single_letter_must_be_sure():
    found = [find(shown("O", MIDDLE, 1, 3, confidence=confidence)) for confidence in (0.6, 0.9)]
    assert [len(finding.segments) for finding in found] == [0, 1]


def test_what_the_edge_cuts_off_is_not_read_for_itself():
    """A line comes into view from the right; what is read of it on the way is none of its own."""

    def coming(time):
        x = max(0.3, 1.0 - 0.4 * time)
        shown_ratio = min(1.0, (1 - x) / 0.5)
        text = "CAFE CENTRAL"[: round(12 * shown_ratio)]
        return [Seen(text, (x, 0.4, min(1.0, x + 0.5), 0.45))] if text else []

    assert [segment.data.text for segment in find(coming).segments] == ["CAFE CENTRAL"]


def test_lines_side_by_side_stay_apart():
    """The same words twice at once, and a line below."""
    left, right = (0.05, 0.4, 0.4, 0.45), (0.6, 0.4, 0.95, 0.45)
    finding = find(together(shown("SALE", right, 0, 9), shown("SALE", left, 0, 9), shown("today", LOW, 0, 9)))
    assert [segment.data.quad[0] for segment in finding.segments] == [0.05, 0.6, 0.2]
    assert finding.summary.full_text == "SALE\nSALE\ntoday"
    assert finding.summary.line_count == 3


def test_another_text_in_the_same_place_is_another_line():
    finding = find(together(shown("look at this", LOW, 0, 2), shown("what a cat it is", LOW, 2, 4)))
    first, second = finding.segments
    assert (first.data.text, second.data.text) == ("look at this", "what a cat it is")
    assert first.end_seconds == pytest.approx(second.start_seconds)


def test_a_line_that_moves_by_itself_is_one():
    """It slides in ever faster, until one place does not overlap the next."""

    def sliding(time):
        x = 0.08 * time + 0.09 * time**2
        return [Seen("COMING UP", (x - 0.2, 0.4, x + 0.1, 0.45))]

    finding = find(sliding, 3.2)
    assert len(finding.segments) == 1
    quad = np.reshape(finding.segments[0].data.quad, (4, 2))
    assert 0.1 < quad[:, 0].mean() < 0.8, "near the middle of its way"


@pytest.fixture(scope="module")
def pan():
    """Points that are followed while the camera pans right at 67 % of the width per second, for two seconds."""
    return measure(FlowSource(), clips.pan(1, 60))


SPEED = 4 * 30 / 180


def filmed(time):
    x = 1.0 - SPEED * time
    return [Seen("CAFE CENTRAL", (x, 0.4, x + 0.3, 0.45))]


def test_scene_text_moves_with_the_camera(pan):
    finding = find(together(filmed, shown("MY CITY", TOP, 0, 2)), 2.0, flow=pan, shots=cut(0, 2))
    assert len(finding.segments) == 2, "linked although no place of it overlaps the next"
    assert roles(finding) == {"CAFE CENTRAL": "scene_text", "MY CITY": "title"}


def test_a_line_that_moves_against_the_camera_is_no_scene_text(pan):
    def drifting(time):
        return [Seen("DRIFTING", (0.1 + 0.2 * time, 0.4, 0.5 + 0.2 * time, 0.45))]

    (line,) = find(drifting, 2.0, flow=pan, shots=cut(0, 2)).segments
    assert line.data.role != "scene_text"


def test_without_the_camera_no_scene_text_is_claimed():
    def slowly(time):
        return [Seen("CAFE", (0.5 - 0.1 * time, 0.4, 0.8 - 0.1 * time, 0.45))]

    (line,) = find(slowly, 2.0).segments
    assert line.data.role == "title", "the spoken word and the camera are missing, the rest is judged"


def test_the_camera_is_not_followed_across_a_cut(pan):
    points = np.full((1, 2), 0.5)
    motion = PictureMotion(pan, cut(0, 1, 2))
    assert motion.carried(points, 0.8, 1.2) is None
    assert motion.carried(points, 0.2, 0.6) == pytest.approx(np.array([[0.5 - 0.4 * SPEED, 0.5]]), abs=0.01)
    assert PictureMotion(pan, None).carried(points, 1.9, 2.9) is None, "it is not known for most of the time"
    one_frame = measure(FlowSource(), clips.pan(1, 1))
    assert PictureMotion(one_frame, cut(0, 1 / 30)).carried(points, 0.0, 0.4) is None


def test_zoom_and_roll_carry_points_about_the_centre():
    """The picture grows by a tenth and turns by five degrees over ten pairs of frames."""
    height, width = 320, 180
    step_scale, step_turn = 1.1 ** (1 / 10), np.radians(0.5)
    center = np.array([width, height]) / 2
    turn = np.array([[np.cos(step_turn), -np.sin(step_turn)], [np.sin(step_turn), np.cos(step_turn)]])
    grid = np.array([(x, y) for x in range(20, 170, 25) for y in range(20, 310, 30)], float)
    pairs = np.concatenate((grid, (grid - center) @ turn.T * step_scale + center), axis=1)
    flow = PointFlow(
        sampling="FULL",
        sample_count=11,
        width_px=width,
        height_px=height,
        start_seconds=np.arange(10) / 30,
        end_seconds=np.arange(1, 11) / 30,
        offsets=np.arange(11) * len(grid),
        points=np.tile((pairs * POINT_STEPS_PER_PX).round().astype(np.int16), (10, 1)),
    )
    place = np.array([0.8, 0.3])
    expected = place * (width, height)
    for _ in range(10):
        expected = turn @ (expected - center) * step_scale + center
    carried = PictureMotion(flow, None).carried(place, 0.0, 10 / 30)
    assert carried == pytest.approx(expected / (width, height), abs=0.003)


@pytest.mark.parametrize(
    ("text", "is_call"),
    [
        ("LINK IN BIO", True),
        ("Link in Bio!", True),
        ("L1NK IN BIO", True),
        ("Shop now — 20% off", True),
        ("👉 Follow for more 👈", True),
        ("Subscribe", True),
        ("Link in der Bio", True),
        ("JETZT BESTELLEN", True),
        ("Jetzt kostenlos testen", False),  # no phrase of the list: "jetzt testen" is not said in one
        ("Folgt uns für mehr", True),
        ("Hol dir deinen Rabattcode", True),
        ("Mehr erfahren", True),
        ("Abonniere meinen Kanal", True),
        ("3 THINGS I LOVE", False),
        ("our market share grows", False),
        ("Links in Biology", False),
        ("in den Folgen", False),
        ("", False),
        ("☀️", False),
    ],
)
def test_calls_to_action(text, is_call):
    assert is_call_to_action(text) == is_call


def test_every_phrase_calls_in_capitals_and_with_a_misread_letter():
    for phrase in PHRASES:
        assert is_call_to_action(f"  {phrase.upper()}!"), phrase
        if len(phrase) >= 10:
            assert is_call_to_action(phrase[:-1] + "#" if phrase[-1] != "#" else phrase), phrase


def test_calls_to_action_are_listed_with_their_time():
    finding = find(
        together(
            shown("MY MORNING", TOP, 0, 2),
            shown("TAP THE LINK", (0.2, 0.5, 0.8, 0.55), 4, 6),
            shown("JETZT", (0.3, 0.7, 0.7, 0.75), 2, 4),
            shown("KAUFEN", (0.3, 0.76, 0.7, 0.81), 2, 4),
        )
    )
    assert roles(finding) == {"MY MORNING": "title", "TAP THE LINK": "cta", "JETZT": "cta", "KAUFEN": "cta"}
    assert [(call.text, call.start_seconds) for call in finding.summary.cta] == [
        ("JETZT", pytest.approx(2, abs=0.25)),
        ("KAUFEN", pytest.approx(2, abs=0.25)),
        ("TAP THE LINK", pytest.approx(4, abs=0.25)),
    ]


def test_a_call_is_not_read_across_the_picture():
    apart = together(shown("JETZT", (0.3, 0.2, 0.7, 0.25), 0, 9), shown("KAUFEN", (0.3, 0.76, 0.7, 0.81), 0, 9))
    assert find(apart).summary.cta == ()


def test_watermarks():
    mark = shown("@maker", CORNER, 0, 9)
    middle = shown("@maker", MIDDLE, 0, 9)
    half = shown("@maker", CORNER, 0, 3)
    assert roles(find(mark))["@maker"] == "watermark"
    assert roles(find(middle))["@maker"] != "watermark"
    assert roles(find(half))["@maker"] != "watermark"
    assert roles(find(mark, 2.0))["@maker"] != "watermark", "in so short a clip most lines are there all the time"


def test_a_watermark_that_jumps_between_corners():
    other = (0.74, 0.9, 0.94, 0.93)
    jumping = together(shown("@maker", CORNER, 0, 3), shown("@maker", other, 3, 9))
    finding = find(jumping)
    assert [segment.data.role for segment in finding.segments] == ["watermark", "watermark"]


def test_titles_stand_out_and_captions_follow_each_other():
    said = ["first you grind it", "then boil the water", "pour it in slowly", "wait four minutes", "and enjoy"]
    captions = [shown(text, LOW, 0.4 + k, 1.4 + k) for k, text in enumerate(said)]
    finding = find(together(shown("MY MORNING", TOP, 0, 2), *captions))
    found = roles(finding)
    assert found.pop("MY MORNING") == "title"
    assert list(found.values()) == [None] * 5
    assert finding.warnings == (text_overlay.NO_TRANSCRIPT,)
    later = shown("in the same place", TOP, 4.5, 6)
    assert roles(find(together(shown("MY MORNING", TOP, 0, 2), later)))["MY MORNING"] == "title", "long after it"
    headline = shown("ACME", (0.2, 0.2, 0.7, 0.28), 4.5, 6)
    assert roles(find(together(*captions, headline)))["ACME"] == "title", "much taller than the others"


def test_a_flipped_twin_tells_the_same():
    def at(time):
        yield from filmed(time / 3)
        yield from shown("@maker", CORNER, 0, 9)(time)
        yield from shown("BUY NOW", LOW, 2, 4)(time)

    def flipped(time):
        for seen in at(time):
            x1, y1, x2, y2 = seen.box
            yield dataclasses.replace(seen, box=(1 - x2, y1, 1 - x1, y2))

    plain, twin = find(at), find(flipped)
    assert [(s.start_seconds, s.end_seconds, s.label) for s in plain.segments] == [
        (s.start_seconds, s.end_seconds, s.label) for s in twin.segments
    ]


def test_safe_zone():
    x1, y1, x2, y2 = safe_zones.SAFE_ZONE_XYXY
    under_buttons = (0.5, 0.5, 0.99, 0.55)
    found = find(together(shown("safe", (x1, y1, x2, y2), 0, 9), shown("hidden", under_buttons, 0, 9)))
    assert {segment.data.text: segment.data.safe_zone_ok for segment in found.segments} == {
        "safe": True,
        "hidden": False,
    }
    for shape in (9 / 16, 1.0, 4 / 3):
        (line,) = find(shown("safe", MIDDLE, 0, 9), height_over_width=shape).segments
        assert line.data.safe_zone_ok is None
    assert safe_zones.is_defined(1024 / 576)
    assert safe_zones.is_defined(960 / 544)


def test_contrast_is_the_median_of_what_could_be_measured():
    values = iter([np.nan, 3.0, 21.0, 4.0, np.nan, 3.5])
    (line,) = find(lambda time: [Seen("FADING", MIDDLE, contrast=next(values))], 2.4).segments
    assert line.data.contrast_ratio == 3.75
    (line,) = find(shown("tiny", MIDDLE, 0, 9, contrast=np.nan)).segments
    assert line.data.contrast_ratio is None


def test_height_is_measured_across_the_text():
    """Letters that climb at 90 degrees in a portrait frame: as high as the box is wide."""
    regions = read(shown("CLIMBING", (0.4, 0.2, 0.49, 0.6), 0, 9), 2.0)
    turned = dataclasses.replace(regions, quads=np.roll(regions.quads, 1, axis=1))
    (line,) = text_overlay.analyze(turned, None, None, None).segments
    assert line.data.height_percent == pytest.approx(100 * 0.09 / PORTRAIT)


def test_nothing_and_a_single_frame():
    assert find(lambda time: []).summary.line_count == 0
    assert find(lambda time: [], 0.0).summary.text_coverage_percent == 0, "nothing was decoded at all"
    finding = find(shown("ONE FRAME", MIDDLE, 0, 9, confidence=0.6), 1 / 30)
    (line,) = finding.segments
    assert (line.start_seconds, line.end_seconds) == (0, pytest.approx(1 / 30))
    assert line.data.chars_per_second is None
    assert finding.summary.text_coverage_percent == pytest.approx(100)


def test_a_line_without_area():
    assert find(shown("THIN LINE", (0.2, 0.5, 0.8, 0.5), 0, 2)).summary.text_area_percent == 0


def test_random_weights_claim_nothing():
    finding = find(together(shown("qX7", CORNER, 0, 9), shown("buy now", MIDDLE, 0, 9)), trained=False)
    assert len(finding.segments) == 2, "reported"
    assert {segment.label for segment in finding.segments} == {"text"}
    assert {segment.data.role for segment in finding.segments} == {None}
    assert set(dataclasses.asdict(finding.summary).values()) == {None}
    assert finding.warnings == ()
    assert "nothing is claimed" in text_overlay.headline(finding.summary)


@pytest.mark.parametrize("line_count", [1, 100])
def test_five_thousand_characters(line_count):
    """A page of text on screen for ten seconds, every reading a little different."""
    rng = random.Random(0)
    words = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(2, 9))) for _ in range(900)]
    page = " ".join(words)[:5000]
    size = 5000 // line_count
    height = 0.9 / line_count

    def at(time):
        for k in range(line_count):
            text = page[k * size : (k + 1) * size].strip()
            place = rng.randrange(len(text))
            text = f"{text[:place]}x{text[place + 1 :]}" if text[place] != " " else text
            yield Seen(text, (0.05, 0.05 + k * height, 0.95, 0.05 + (k + 0.9) * height))

    regions = read(at, 10.0)
    began = time.process_time()
    finding = text_overlay.analyze(regions, None, None, None)
    assert time.process_time() - began < 1
    assert finding.summary.line_count == line_count
    assert edit_ratio(finding.summary.full_text.replace("\n", " "), page) > 0.98


def test_the_headline_says_what_there_is():
    finding = find(together(shown("MY MORNING", TOP, 0, 2), shown("SHOP NOW", LOW, 4, 6)))
    assert (
        text_overlay.headline(finding.summary)
        == '2 lines, the first from 0.0 s: "MY MORNING", calls to action: SHOP NOW'
    )
    assert text_overlay.headline(find(lambda time: []).summary) == "no text"


def test_fields_are_named_as_specified():
    data = {wire_name(field.name) for field in dataclasses.fields(text_overlay.TextData)}
    assert data == {
        *("text", "lang", "quad", "conf", "height_pct", "contrast_ratio", "chars_per_s", "safe_zone_ok", "role"),
    }
    summary = {wire_name(field.name) for field in dataclasses.fields(text_overlay.TextSummary)}
    assert {"text_coverage_pct", "n_lines", "first_text_s", "full_text", "cta"} <= summary


def _by_the_table(first: str, second: str) -> int:
    """Wagner & Fischer (1974)."""
    row = list(range(len(second) + 1))
    for number, letter in enumerate(first, 1):
        above, row = row, [number]
        for (corner, top), other in zip(pairwise(above), second, strict=True):
            row.append(min(top + 1, row[-1] + 1, corner + (letter != other)))
    return row[-1]


@given(st.text("abß ", max_size=80), st.text("abß ", max_size=80))
def test_edit_distance(first, second):
    assert edit_distance(first, second) == _by_the_table(first, second)
    assert 0 <= edit_ratio(first, second) <= 1


def test_captions_are_what_is_said():
    spoken = said("Look at this cat, it makes my mornings better.", 1.0, 4.0)
    lines = together(
        shown("LOOK AT", MIDDLE, 0.8, 2.0),
        shown("THlS CAT", LOW, 0.8, 2.0),
        shown("SAVE 20%", TOP, 0.8, 2.0),
    )
    found = find(lines, spoken=spoken)
    assert roles(found)["LOOK AT"] == "caption", "even where it opens the clip, as a title would"
    assert roles(found)["SAVE 20%"] == "title"
    assert text_overlay.NO_TRANSCRIPT not in found.warnings
    late = find(together(shown("LOOK AT", MIDDLE, 4.5, 5.5), shown("HELLO", TOP, 0, 1)), spoken=spoken)
    assert roles(late)["LOOK AT"] != "caption", "not at that time"
    assert roles(find(shown("TAP THE LINK", MIDDLE, 2, 4), spoken=said("Tap the link!", 2, 3)))["TAP THE LINK"] == "cta"


def test_six_words_in_ten_make_a_caption():
    spoken = said("one two three four five six seven", 1.0, 4.0)
    others = shown("HELLO", TOP, 0, 1)
    for text, role in (("one two three x y", "caption"), ("one two x y z", None)):
        found = find(together(others, shown("first", LOW, 0, 0.8), shown(text, LOW, 1.0, 4.0)), spoken=spoken)
        assert roles(found)[text] == role
