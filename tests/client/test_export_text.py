"""Chapters, metadata and tables are read back by webvtt-py and polars, and hold what the results hold."""

from __future__ import annotations

import io
import json

import numpy as np
import polars
import pytest
import webvtt
from envelope import written
from exporting import NASTY, NINE_HOURS, SKIPPED, export, file, nasty, result, segment
from feeding import cut, embedded

from reelscope.analyzers import scene_segmentation, temporal_flow
from reelscope.errors import ResultsError, UsageError
from reelscope.exports.chapters import PHASES


def cues(document):
    """Start, end and text of every cue, as webvtt-py reads them."""
    read = list(webvtt.from_string(document.text, strict=True))
    assert len(read) == document.count
    seconds = [(cue.start_time.in_milliseconds() / 1000, cue.end_time.in_milliseconds() / 1000) for cue in read]
    return [(*times, cue.raw_text) for times, cue in zip(seconds, read, strict=True)]


def phases(**options):
    labels = ("hook", "build", "climax", "resolution", "cta")
    edges = [0.0, 3.0, 5.5, 7.25, 9.0, 10.0]
    names = ("a cake <b>\nrises</b>", None, "", None, None)
    found = [segment(k, *edges[k : k + 2], labels[k], data={"name": names[k]}) for k in range(5)]
    return result([*found, segment(9, 4.0, 4.1, "peak", kind="event")], **options)


def scenes(pattern="AAB", **options):
    places = {"A": [1.0, 0.0], "B": [0.0, 1.0]}
    edges = [float(k) for k in range(len(pattern) + 1)]
    labels = {
        "int_ext/interior": 0.9,
        "int_ext/exterior": 0.1,
        "day_night/day": 0.55,
        "day_night/night": 0.45,
        "setting/R&D lab": 0.9,
        "setting/beach": 0.1,
    }
    times = [edge + 0.5 for edge in edges[:-1]]
    signal = embedded(times, np.array([places[place] for place in pattern]), labels, **options)
    finding = scene_segmentation.analyze(cut(*edges), signal)
    return written(scene_segmentation.ANALYZER, finding, signal, edges[-1])["analyzers"]


def chapters(*parts, shots=(0.0, 4.0, 10.0)):
    values = file({name: found for part in parts for name, found in part.items()}, shots=shots)
    return cues(export(values, "chapters")["chapters.vtt"])


def test_chapters_are_phases_in_words():
    assert chapters({"temporal_flow": phases()}, scenes()) == [
        (0.0, 3.0, "Hook: a cake &lt;b&gt; rises&lt;/b&gt;"),
        (3.0, 5.5, "Build-up"),
        (5.5, 7.25, "Climax"),
        (7.25, 9.0, "Resolution"),
        (9.0, 10.0, "Call to action"),
    ]


def test_every_phase_has_a_title():
    declared = {name for labels in temporal_flow.ANALYZER.labels for name in labels.names}
    assert declared == set(PHASES)


@pytest.mark.parametrize("flow", [{}, {"temporal_flow": result()}, {"temporal_flow": phases(trained=False)}])
def test_without_phases_chapters_are_scenes(flow):
    assert chapters(flow, scenes("AABBA")) == [
        (0.0, 2.0, "Scene 1: R&amp;D lab, interior"),
        (2.0, 4.0, "Scene 2: R&amp;D lab, interior"),
        (4.0, 5.0, "Scene 3, back in scene 1: R&amp;D lab, interior"),
    ]


@pytest.mark.parametrize("found", [{}, {"scene_segmentation": SKIPPED}, scenes(trained=False)])
def test_without_scenes_chapters_are_shots(found):
    assert chapters(found) == [(0.0, 4.0, "Shot 1"), (4.0, 10.0, "Shot 2")]


def test_scenes_of_random_weights_are_no_chapters():
    found = scenes("AB")
    found["scene_segmentation"]["models"][0]["trained"] = False
    assert [title for _, _, title in chapters(found)] == ["Shot 1", "Shot 2"]


def test_the_comment_says_what_the_chapters_are():
    text = export(file({"temporal_flow": phases()}), "chapters")["chapters.vtt"].text
    assert "\n\nNOTE Chapters: phases (temporal_flow)\n\n" in text


def test_no_chapters():
    with pytest.raises(UsageError, match="neither phases nor scenes nor shots"):
        export(file(), "chapters")


def test_metadata_is_read_back():
    values = file({"first_one": nasty(), "empty": result(), "not_here": SKIPPED}, NINE_HOURS + 60)
    documents = export(values, "metadata")
    assert set(documents) == {"first_one.meta.vtt", "empty.meta.vtt"}
    assert cues(documents["empty.meta.vtt"]) == []
    found = cues(documents["first_one.meta.vtt"])
    assert [json.loads(text) for _, _, text in found] == values["analyzers"]["first_one"]["segments"]
    for start, end, text in found:
        assert (start, end) == (json.loads(text)["start"], json.loads(text)["end"])
        assert "\n" not in text


def test_metadata_says_what_must_be_known():
    found = {"guess": nasty(trained=False), "face_emotion": result(summary={"sensitive": True}), "plain": result()}
    documents = export(file(found), "metadata")
    notes = {name: document.text.split("-->")[0] for name, document in documents.items()}
    assert "NOTE random weights (some_model): this means nothing" in notes["guess.meta.vtt"]
    assert "NOTE sensitive" in notes["face_emotion.meta.vtt"]
    assert "random" not in notes["plain.meta.vtt"]
    assert "sensitive" not in notes["plain.meta.vtt"]
    assert len(cues(documents["guess.meta.vtt"])) == len(NASTY)


def table(document):
    """As polars reads it, every cell a text; null where it is empty."""
    # A quoted empty text would be one, not null: the csv module writes both as nothing.
    read = polars.read_csv(io.BytesIO(document.text.encode()), infer_schema=False)
    assert len(read) == document.count
    return read


def test_segments_are_read_back():
    values = file({"first_one": nasty(), "second": result([segment(1, 0.0, 0.001)]), "not_here": SKIPPED})
    rows = table(export(values, "csv")["segments.csv"])
    assert ",".join(rows.columns) == "analyzer,id,kind,start,end,label,score,track_id,data_json"
    expected = [(name, each) for name, found in values["analyzers"].items() for each in found["segments"]]
    for row, (name, each) in zip(rows.iter_rows(named=True), expected, strict=True):
        assert (row["analyzer"], row["id"], row["kind"]) == (name, each["id"], each["kind"])
        assert (float(row["start"]), float(row["end"])) == (each["start"], each["end"])
        assert row["label"] == (each["label"] or None)
        assert row["score"] == (None if each["score"] is None else str(each["score"]))
        assert row["track_id"] is None
        assert json.loads(row["data_json"]) == each["data"]
        assert "\n" not in row["data_json"]


def test_tables_are_rfc_4180():
    text = export(file({"a": result([segment(1, 0.0, 1.0, 'say "x", y')])}), "csv")["segments.csv"].text
    assert text == (
        "analyzer,id,kind,start,end,label,score,track_id,data_json\r\n"
        'a,analyzer:1,span,0.0,1.0,"say ""x"", y",0.5,,{}\r\n'
    )


def test_series_are_read_back():
    regular = {"t0": 0.5, "hop_s": 0.1, "cols": {"a": [1.0, None, -3.25], "b": [0.0, 1e-05, 2.0]}}
    own = {"t0": 0.0, "hop_s": None, "cols": {"t": [0.0, NINE_HOURS + 0.033], "c": [None, 7.0]}}
    values = file({"regular": result(series=regular), "own": result(series=own), "none": result(), "skipped": SKIPPED})
    documents = export(values, "csv")
    assert set(documents) == {"segments.csv", "analyzers.csv", "series/regular.csv", "series/own.csv"}
    found = table(documents["series/regular.csv"]).cast(polars.Float64).to_dict(as_series=False)
    assert found == {"t": [0.5, 0.6, 0.7], **regular["cols"]}
    assert table(documents["series/own.csv"]).cast(polars.Float64).to_dict(as_series=False) == own["cols"]


def test_analyzers_csv_says_what_must_be_known():
    values = file({"guess": nasty(trained=False), "eyes": result(summary={"sensitive": True}), "not_here": SKIPPED})
    rows = table(export(values, "csv")["analyzers.csv"]).rows_by_key("analyzer", named=True, unique=True)
    assert rows["guess"]["untrained_models"] == "some_model"
    assert rows["guess"]["n_segments"] == str(len(NASTY))
    assert (rows["eyes"]["untrained_models"], rows["eyes"]["sensitive"]) == (None, "true")
    assert (rows["not_here"]["status"], rows["not_here"]["reason"]) == ("skipped", "no_audio_stream")
    assert (rows["not_here"]["coverage"], rows["not_here"]["sensitive"]) == (None, "false")


@pytest.mark.parametrize("to", ["metadata", "csv"])
def test_no_analyzer_names_a_file_elsewhere(to):
    series = {"t0": 0.0, "hop_s": 0.1, "cols": {"a": [1.0]}}
    with pytest.raises(ResultsError, match=r"\.\./evil"):
        export(file({"../evil": result(series=series)}), to)
