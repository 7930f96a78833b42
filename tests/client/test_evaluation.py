"""Figures of findings held against annotations: results made by hand, whose figures are known."""

from __future__ import annotations

import json

import jsonschema
import pytest

from places import CHECKOUT
from reelscope.errors import TruthError
from reelscope.evaluation import figures, scores, truth
from reelscope.evaluation.judging import judge
from reelscope.evaluation.texts import text_errors

SHA256 = "0" * 64
TRAINED, UNTRAINED = {"name": "a", "trained": True}, {"name": "b", "trained": False}


def segment(start, end, label, score=None, **data):
    return {"start": start, "end": end, "label": label, "score": score, "data": data or None}


def result(*segments, summary=None, status="ok", reason=None, models=()):
    values = {"status": status, "reason": reason, "models": list(models), "segments": list(segments)}
    return values | {"summary": summary or {}}


def results(**analyzers):
    return {"media": {"duration_s": 10.0, "sha256": SHA256}, "analyzers": analyzers}


def annotated(tmp_path, name="a", sha256=None, **analyzers):
    path = tmp_path / f"{name}.truth.json"
    values = {"schema": truth.SCHEMA, "analyzers": analyzers} | ({"sha256": sha256} if sha256 else {})
    path.write_text(json.dumps(values), encoding="utf-8")
    return truth.read(path)


def evaluated(*pairs):
    """The evaluation of pairs of results and truth, as its JSON values."""
    found = scores.evaluate({f"clip{k}": judge(f"clip{k}", *pair) for k, pair in enumerate(pairs)})
    values = json.loads(json.dumps(figures.to_json(found), allow_nan=False))
    jsonschema.validate(values, figures.json_schema())
    return values


def of_label(values, analyzer, label):
    return values["analyzers"][analyzer]["labels"][label]


def counts(score):
    return tuple(score[name] for name in ("tp", "fp", "fn"))


def shares(score):
    return tuple(score[name] for name in ("precision", "recall", "f1"))


BEATS = [{"t": time, "label": "beat"} for time in (1.0, 2.0, 3.0, 4.0)]


@pytest.mark.parametrize(
    ("times", "counted", "shared"),
    [
        ((1.0, 2.0, 3.0, 4.0), (4, 0, 0), (1.0, 1.0, 1.0)),
        ((1.05, 2.05, 3.05, 4.05), (4, 0, 0), (1.0, 1.0, 1.0)),  # shifted within the tolerance
        ((1.2, 2.2, 3.2, 4.2), (0, 4, 4), (0.0, 0.0, 0.0)),  # and beyond it
        ((1.0, 3.0, 4.0), (3, 0, 1), (1.0, 0.75, 6 / 7)),
        ((1.0, 1.0, 2.0, 2.0, 3.0, 3.0, 4.0, 4.0), (4, 4, 0), (0.5, 1.0, 2 / 3)),  # each one twice
        ((), (0, 0, 4), (None, 0.0, 0.0)),
    ],
)
def test_events(tmp_path, times, counted, shared):
    found = results(audio_analysis=result(*(segment(time, time + 0.01, "beat") for time in times)))
    values = evaluated((found, annotated(tmp_path, audio_analysis={"complete": ["beat"], "events": BEATS})))
    score = of_label(values, "audio_analysis", "beat")
    assert counts(score) == counted
    assert shares(score) == pytest.approx(shared, abs=1e-5)
    assert values["clips"][0]["analyzers"]["audio_analysis"]["labels"]["beat"] == score, "one clip is all clips"


def test_time_errors_are_those_of_what_was_found(tmp_path):
    found = results(
        audio_analysis=result(*(segment(time, time + 0.01, "beat") for time in (0.98, 2.01, 3.05, 4.3))),
        speech_flow=result(segment(1.1, 2.0, "pause"), segment(5.0, 6.3, "pause")),
    )
    pauses = [{"start": 1.0, "end": 2.0, "label": "pause"}, {"start": 5.0, "end": 6.0, "label": "pause"}]
    values = evaluated((found, annotated(tmp_path, audio_analysis={"events": BEATS}, speech_flow={"spans": pauses})))
    beat, pause = of_label(values, "audio_analysis", "beat"), of_label(values, "speech_flow", "pause")
    assert (beat["start_error_median_s"], beat["start_error_max_s"]) == (0.02, 0.05)
    assert (beat["end_error_median_s"], beat["end_error_max_s"]) == (None, None)
    assert (pause["start_error_median_s"], pause["start_error_max_s"]) == (0.05, 0.1)
    assert (pause["end_error_median_s"], pause["end_error_max_s"]) == (0.15, 0.3)


def test_two_poor_matches_are_better_than_a_perfect_one(tmp_path):
    """1.00 is found exactly, but then nothing is left for 1.09."""
    found = results(audio_analysis=result(segment(0.92, 1, "beat"), segment(1.0, 2, "beat")))
    events = [{"t": 1.0, "label": "beat"}, {"t": 1.09, "label": "beat"}]
    values = evaluated((found, annotated(tmp_path, audio_analysis={"complete": ["beat"], "events": events})))
    assert counts(of_label(values, "audio_analysis", "beat")) == (2, 0, 0)


def test_the_tolerance_is_the_annotation_s(tmp_path):
    found = results(audio_analysis=result(segment(1.2, 1.3, "beat")))
    for tolerance, hits in ((0.2, 1), (0.199, 0)):
        one = annotated(tmp_path, audio_analysis={"events": BEATS[:1], "tolerance_s": tolerance})
        assert of_label(evaluated((found, one)), "audio_analysis", "beat")["tp"] == hits


@pytest.mark.parametrize(("end", "hits"), [(2.0, 1), (1.5, 1), (1.49, 0), (3.0, 1), (3.02, 0)])
def test_spans_are_found_by_half_their_overlap(tmp_path, end, hits):
    found = results(speech_flow=result(segment(1.0, end, "pause")))
    spans = [{"start": 1.0, "end": 2.0, "label": "pause"}]
    values = evaluated((found, annotated(tmp_path, speech_flow={"complete": ["pause"], "spans": spans})))
    assert counts(of_label(values, "speech_flow", "pause")) == (hits, 1 - hits, 1 - hits)


def test_a_wrong_label_is_missed_and_false(tmp_path):
    found = results(camera_analysis=result(segment(0, 2, "tilt"), segment(2, 4, "static")))
    spans = [{"start": 0, "end": 2, "label": "pan"}]
    values = evaluated((found, annotated(tmp_path, camera_analysis={"complete": ["pan", "tilt"], "spans": spans})))
    assert counts(of_label(values, "camera_analysis", "pan")) == (0, 0, 1)
    assert counts(of_label(values, "camera_analysis", "tilt")) == (0, 1, 0)
    assert shares(of_label(values, "camera_analysis", "tilt")) == (0.0, None, 0.0)
    assert counts(values["analyzers"]["camera_analysis"]["total"]) == (0, 1, 1)
    assert values["analyzers"]["camera_analysis"]["unjudged"] == {"static": 1}
    assert values["clips"][0]["mistakes"] == [
        {"analyzer": "camera_analysis", "label": "pan", "kind": "missed", "start": 0.0, "end": 2.0, "score": None},
        {"analyzer": "camera_analysis", "label": "tilt", "kind": "spurious", "start": 0.0, "end": 2.0, "score": None},
    ]


def test_nothing_there_and_nothing_found_is_undefined(tmp_path):
    values = evaluated((results(visual_effects=result()), annotated(tmp_path, visual_effects={"complete": ["flash"]})))
    score = of_label(values, "visual_effects", "flash")
    assert counts(score) == (0, 0, 0)
    assert shares(score) == (None, None, None)
    assert score["sweep"] is None


def test_what_is_not_complete_has_no_false_findings(tmp_path):
    found = results(audio_analysis=result(*(segment(time, time + 0.01, "beat") for time in (1.0, 5.0, 6.0))))
    values = evaluated((found, annotated(tmp_path, audio_analysis={"events": BEATS})))
    score = of_label(values, "audio_analysis", "beat")
    assert counts(score) == (1, None, 3)
    assert shares(score) == (None, 0.25, None)
    assert [mistake["kind"] for mistake in values["clips"][0]["mistakes"]] == ["missed"] * 3


def test_precision_comes_from_complete_clips_and_recall_from_all(tmp_path):
    found = results(audio_analysis=result(*(segment(time, time + 0.01, "beat") for time in (1.0, 2.0, 7.0))))
    complete = annotated(tmp_path, "a", audio_analysis={"complete": ["beat"], "events": BEATS})
    incomplete = annotated(tmp_path, "b", audio_analysis={"events": BEATS[:1]})
    values = evaluated((found, complete), (found, incomplete))
    score = of_label(values, "audio_analysis", "beat")
    assert (score["n_clips"], score["n_complete_clips"]) == (2, 1)
    assert counts(score) == (3, 1, 2)
    assert shares(score) == pytest.approx((2 / 3, 3 / 5, 4 / 7), abs=1e-5)
    assert [clip["analyzers"]["audio_analysis"]["total"]["recall"] for clip in values["clips"]] == [0.5, 1.0]


def test_a_cut_is_where_a_shot_begins_but_the_first(tmp_path):
    hard = {"kind": "hard"}
    shots = [
        segment(0, 1, "shot", transition_in=None),
        segment(1, 4, "shot", 0.9, transition_in=hard),
        segment(4, 10, "shot", 0.3, transition_in=hard),
    ]
    one = annotated(tmp_path, cut_analysis={"complete": ["cut"], "events": [{"t": 1.0, "label": "cut"}]})
    score = of_label(evaluated((results(cut_analysis=result(*shots)), one)), "cut_analysis", "cut")
    assert counts(score) == (1, 1, 0)
    assert score["sweep"]["best_threshold"] == 0.9


def test_any_label_does(tmp_path):
    found = results(text_overlay=result(segment(0, 2, "title", text="A"), segment(5, 6, "cta", text="B")))
    one = annotated(tmp_path, text_overlay={"complete": ["*"], "spans": [{"start": 0, "end": 2, "label": "*"}]})
    values = evaluated((found, one))
    assert counts(of_label(values, "text_overlay", "*")) == (1, 1, 0)
    assert values["analyzers"]["text_overlay"]["unjudged"] == {}
    nothing = annotated(tmp_path, text_overlay={"complete": ["*"]})
    assert counts(of_label(evaluated((found, nothing)), "text_overlay", "*")) == (0, 2, 0)


def test_lines_of_one_time_are_told_apart_by_what_they_say(tmp_path):
    lines = [segment(0, 2, "title", text="SECOND LINE"), segment(0, 2, "title", text="F1RST LINE")]
    spans = [{"start": 0, "end": 2, "label": "*", "text": text} for text in ("First line", "Second line")]
    values = evaluated((results(text_overlay=result(*lines)), annotated(tmp_path, text_overlay={"spans": spans})))
    text = of_label(values, "text_overlay", "*")["text"]
    assert (text["n_chars"], text["n_words"]) == (21, 4)
    assert (text["cer"], text["wer"]) == pytest.approx((1 / 21, 1 / 4), abs=1e-5)


@pytest.mark.parametrize(
    ("true", "found", "word_edits", "words", "character_edits", "characters"),
    [
        ("Look at this cat.", "look at THIS cat", 0, 4, 0, 16),
        ("Don\u2019t stop \u2014 ever", "dont stop ever", 0, 3, 0, 14),
        ("look at this cat", "look at the cat", 1, 4, 2, 16),
        ("a b c", "a c", 1, 3, 2, 5),
        ("a", "a b c", 2, 1, 4, 1),
        ("", "a b", 2, 0, 3, 0),
        ("a b", "", 2, 2, 3, 3),
        ("", "", 0, 0, 0, 0),
        ("\uff21\uff22", "ab", 0, 1, 0, 2),  # full width
    ],
)
def test_text_errors(true, found, word_edits, words, character_edits, characters):
    errors = text_errors(true, found)
    assert (errors.word_edits, errors.words) == (word_edits, words)
    assert (errors.character_edits, errors.characters) == (character_edits, characters)


def test_error_rates_pool_clips(tmp_path):
    said = [results(speech_transcription=result(summary={"text": text})) for text in ("a b c d", None)]
    true = [
        annotated(tmp_path, name, speech_transcription={"text": text}) for name, text in (("a", "a b c x"), ("b", ""))
    ]
    values = evaluated(*zip(said, true, strict=True))
    text = values["analyzers"]["speech_transcription"]["text"]
    assert (text["n_clips"], text["n_words"], text["wer"]) == (2, 4, 0.25)
    assert values["clips"][1]["analyzers"]["speech_transcription"]["text"]["wer"] is None, "no word is true"


def test_values(tmp_path):
    summaries = [
        {"tempo_bpm": 120.0, "key": "C major", "n_beats": 7},
        {"tempo_bpm": 63.0, "key": "A minor", "n_beats": None},
        {"tempo_bpm": 90.0, "key": "A minor", "n_beats": 3},
    ]
    true = [("C major", 100, 7), ("C major", 60, 2), ("A minor", None, 3)]
    pairs = [
        (
            results(audio_analysis=result(summary=summary)),
            annotated(
                tmp_path,
                audio_analysis={
                    "values": {
                        "key": {"value": key},
                        "tempo_bpm": {"value": tempo, "unit": "BPM"},
                        "n_beats": {"value": beats},
                    }
                },
            ),
        )
        for summary, (key, tempo, beats) in zip(summaries, true, strict=True)
    ]
    found = evaluated(*pairs)["analyzers"]["audio_analysis"]["values"]
    assert (found["key"]["equal_count"], found["key"]["absolute_error_max"]) == (2, None)
    tempo = found["tempo_bpm"]
    assert (tempo["unit"], tempo["n_clips"], tempo["unexpected_count"], tempo["missed_count"]) == ("BPM", 3, 1, 0)
    assert (tempo["absolute_error_median"], tempo["absolute_error_max"]) == (11.5, 20.0)
    assert (tempo["relative_error_median"], tempo["relative_error_max"]) == (0.125, 0.2)
    assert (found["n_beats"]["equal_count"], found["n_beats"]["missed_count"]) == (2, 1)


def test_values_deep_in_the_summary(tmp_path):
    summary = {"counts": {"fade": 2}, "palette": [{"share": 0.3}]}
    found = results(visual_effects=result(summary=summary), color_analysis=result(summary=summary))
    one = annotated(
        tmp_path,
        visual_effects={"values": {"counts.fade": {"value": 2}, "counts.flash": {"value": None}}},
        color_analysis={"values": {"palette.0.share": {"value": 0.25}, "palette.1.share": {"value": 0.25}}},
    )
    values = evaluated((found, one))["analyzers"]
    assert [each["equal_count"] for each in values["visual_effects"]["values"].values()] == [1, 1]
    assert values["color_analysis"]["values"]["palette.0.share"]["absolute_error_max"] == pytest.approx(0.05)
    assert values["color_analysis"]["values"]["palette.1.share"]["missed_count"] == 1


def test_the_sweep_finds_the_threshold(tmp_path):
    """True ones score 0.6 and more but for one, false ones 0.5 and less: 0.6 separates them best."""
    times_and_scores = [(1.0, 0.9), (2.0, 0.6), (3.0, 0.8), (4.0, 0.2), (5.0, 0.5), (6.0, 0.3), (7.0, 0.4)]
    found = results(audio_analysis=result(*(segment(time, 9, "beat", score) for time, score in times_and_scores)))
    values = evaluated((found, annotated(tmp_path, audio_analysis={"complete": ["beat"], "events": BEATS})))
    sweep = of_label(values, "audio_analysis", "beat")["sweep"]
    assert [point["threshold"] for point in sweep["points"]] == [0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 0.9]
    assert [counts(point) for point in sweep["points"]] == [
        *((4, 3, 0), (3, 3, 1), (3, 2, 1), (3, 1, 1), (3, 0, 1), (2, 0, 2), (1, 0, 3))
    ]
    assert (sweep["lowest_score"], sweep["best_threshold"]) == (0.2, 0.6)
    assert sweep["best_f1"] == pytest.approx(6 / 7, abs=1e-5)
    assert values["clips"][0]["analyzers"]["audio_analysis"]["total"]["sweep"] is None


def test_the_sweep_pools_clips_and_keeps_what_has_no_score(tmp_path):
    first = results(audio_analysis=result(segment(1.0, 9, "beat", 0.4), segment(2.0, 9, "beat")))
    second = results(audio_analysis=result(segment(5.0, 9, "beat", 0.3)))
    one = annotated(tmp_path, "a", audio_analysis={"complete": ["beat"], "events": BEATS[:2]})
    nothing = annotated(tmp_path, "b", audio_analysis={"complete": ["beat"]})
    sweep = of_label(evaluated((first, one), (second, nothing)), "audio_analysis", "beat")["sweep"]
    assert [(point["threshold"], *counts(point)) for point in sweep["points"]] == [(0.3, 2, 1, 0), (0.4, 2, 0, 0)]
    assert sweep["best_threshold"] == 0.4


def test_a_long_sweep_is_thinned(tmp_path):
    many = [segment(k / 100, 9.9, "beat", round(k / 1000, 3)) for k in range(900)]
    one = annotated(tmp_path, audio_analysis={"complete": ["beat"], "events": BEATS})
    points = of_label(evaluated((results(audio_analysis=result(*many)), one)), "audio_analysis", "beat")["sweep"][
        "points"
    ]
    assert len(points) == scores.MAX_THRESHOLDS
    assert (points[0]["threshold"], points[-1]["threshold"]) == (0.0, 0.899)


def test_what_cannot_be_judged_is_named_and_not_counted(tmp_path):
    found = results(
        object_detection=result(segment(0, 9, "cup", 0.9), models=[TRAINED, UNTRAINED]),
        audio_analysis=result(status="skipped", reason="no_audio_stream"),
        speech_flow=result(status="failed", reason="model_unavailable"),
        visual_effects=result(status="partial", reason="damaged_input"),
    )
    cup = {"complete": ["cup"], "spans": [{"start": 0, "end": 9, "label": "cup"}]}
    beat, pause = {"complete": ["beat"]}, {"complete": ["pause"]}
    others = {"visual_effects": {"complete": ["flash"]}, "cut_analysis": {"complete": ["cut"]}}
    one = annotated(tmp_path, object_detection=cup, audio_analysis=beat, speech_flow=pause, **others)
    values = evaluated((found, one))
    assert values["analyzers"] == {}
    assert values["clips"][0]["not_judged"] == {
        "object_detection": "untrained: b",
        "audio_analysis": "skipped: no_audio_stream",
        "speech_flow": "failed: model_unavailable",
        "visual_effects": "partial: damaged_input",
        "cut_analysis": "not in the results",
    }
    trained = results(object_detection=result(segment(0, 9, "cup", 0.9), models=[TRAINED]))
    values = evaluated((trained, annotated(tmp_path, object_detection=cup)))
    assert counts(of_label(values, "object_detection", "cup")) == (1, 0, 0)


REFUSED = [
    ({"cut_analysys": {"complete": ["cut"]}}, r"analyzers\.cut_analysys: no such analyzer; there are: .*cut_analysis"),
    ({"cut_analysis": {}}, r"analyzers\.cut_analysis: annotates nothing"),
    ({"cut_analysis": {"evnts": []}}, r"analyzers\.cut_analysis\.evnts: no such member"),
    ({"cut_analysis": {"events": [{"t": 1, "label": 7}]}}, r"events\[0\]\.label: .*string"),
    ({"cut_analysis": {"events": [{"t": 1, "label": ""}]}}, r"events\[0\]\.label: .*1 character"),
    ({"cut_analysis": {"events": [{"t": -1, "label": "cut"}]}}, r"events\[0\]\.t: .*greater than or equal to 0"),
    ({"cut_analysis": {"events": [{"t": "1", "label": "cut"}]}}, r"events\[0\]\.t: .*number"),
    ({"cut_analysis": {"spans": [{"start": 2, "end": 2, "label": "shot"}]}}, r"spans\[0\]: ends at 2 s"),
    ({"cut_analysis": {"complete": "cut"}}, r"cut_analysis\.complete: .*array"),
    ({"cut_analysis": {"complete": ["*", "cut"]}}, r"cut_analysis: '\*' stands for every label.*'cut'"),
    (
        {"cut_analysis": {"events": [{"t": 1, "label": "shot"}], "spans": [{"start": 1, "end": 2, "label": "shot"}]}},
        r"cut_analysis\.events: 'shot' is annotated as a span, too",
    ),
    ({"cut_analysis": {"complete": ["cut", "cuts"]}}, r"complete\[1\]: it gives no label 'cuts'; .*cut, flash, shot"),
    ({"camera_analysis": {"events": [{"t": 1, "label": "cut"}]}}, r"events\[0\]: it gives no label 'cut'"),
    ({"cut_analysis": {"text": "a"}}, r"cut_analysis\.text: .*speech_transcription and text_overlay"),
    ({"cut_analysis": {"values": {"cuts": {"value": 1}}}}, r"values\.cuts: .*no such value; there are: .*n_cuts"),
    ({"cut_analysis": {"values": {"n_cuts": {"value": []}}}}, r"values\.n_cuts\.value: should be a number"),
    ({"cut_analysis": {"complete": ["cut"], "tolerance_s": 0}}, r"cut_analysis\.tolerance_s: .*greater than 0"),
    ({}, r"analyzers: .*at least 1 item"),
]


@pytest.mark.parametrize(("analyzers", "message"), REFUSED, ids=[str(case[0])[:40] for case in REFUSED])
def test_a_wrong_annotation_names_file_and_place(tmp_path, analyzers, message):
    with pytest.raises(TruthError, match=rf"a\.truth\.json: .*{message}"):
        annotated(tmp_path, **analyzers)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"schema": "reelscope-truth/1",\n "analyzers": {', r"JSON.* line 2 column 15"),
        ('{"schema": "reelscope-truth/2", "analyzers": {"cut_analysis": {"complete": ["cut"]}}}', "schema: "),
        ("[]", "object"),
        ("", "JSON"),
        ('{"schema": "reelscope-truth/1", "analyzers": {"cut_analysis": {"events": [{"t": NaN}]}}}', r"events\[0\]\.t"),
    ],
)
def test_what_is_no_annotation(tmp_path, text, message):
    (tmp_path / "a.truth.json").write_text(text, encoding="utf-8")
    with pytest.raises(TruthError, match=rf"a\.truth\.json: .*{message}"):
        truth.read(tmp_path / "a.truth.json")


@pytest.mark.parametrize(
    ("annotation", "place"),
    [
        ({"events": [{"t": 1.0, "label": "beat"}, {"t": 10.5, "label": "beat"}]}, r"events\[1\]: 10\.500 s"),
        ({"spans": [{"start": 9.0, "end": 11.0, "label": "section"}]}, r"spans\[0\]: 11\.000 s"),
    ],
)
def test_times_after_the_end_are_refused(tmp_path, annotation, place):
    one = annotated(tmp_path, audio_analysis=annotation)
    with pytest.raises(TruthError, match=rf"a\.truth\.json: analyzers\.audio_analysis\.{place} is outside the clip"):
        judge("a", results(audio_analysis=result()), one)


def test_an_annotation_of_another_file_is_refused(tmp_path):
    found = results(audio_analysis=result())
    judge("a", found, annotated(tmp_path, sha256=SHA256, audio_analysis={"complete": ["beat"]}))
    other = annotated(tmp_path, sha256="1" * 64, audio_analysis={"complete": ["beat"]})
    with pytest.raises(TruthError, match=r"a\.truth\.json: sha256: annotates another file"):
        judge("a", found, other)


def test_published_schema_of_annotations_is_current_and_fits_what_is_read(tmp_path):
    committed = json.loads((CHECKOUT / "docs" / "truth.schema.json").read_text(encoding="utf-8"))
    assert committed == truth.json_schema(), "run: make schema"
    demo = CHECKOUT / "tests" / "demo" / "clip.truth.json"
    jsonschema.validate(json.loads(demo.read_text(encoding="utf-8")), committed)
    with pytest.raises(jsonschema.ValidationError, match="cut_analysys"):
        jsonschema.validate({"schema": truth.SCHEMA, "analyzers": {"cut_analysys": {}}}, committed)


def test_the_documented_example_is_an_annotation(tmp_path):
    page = (CHECKOUT / "docs" / "truth-format.md").read_text(encoding="utf-8")
    example = tmp_path / "example.json"
    example.write_text(page.split("```json\n")[1].split("```")[0], encoding="utf-8")
    read = truth.read(example)
    assert set(read.analyzers) >= {"cut_analysis", "text_overlay", "audio_analysis"}
    truth.require_within(read, 12.0)


def test_the_demo_annotation_is_made_from_its_truth():
    from demo.annotate import annotation

    folder = CHECKOUT / "tests" / "demo"
    made = annotation(json.loads((folder / "truth.json").read_text(encoding="utf-8")))
    assert json.loads((folder / "clip.truth.json").read_text(encoding="utf-8")) == made, "run: annotate.py"
    truth.require_within(truth.read(folder / "clip.truth.json"), 10.0)
