"""Captions: what is written is read back, within a millisecond; lines, lengths, escapes; what holds no transcript."""

from __future__ import annotations

import html
import io
import itertools
import json
import re

import av
import numpy as np
import pytest
import webvtt
from envelope import written
from speaking import heard
from typer.testing import CliRunner

from reelscope import cli, results
from reelscope.analyzers import speech_transcription
from reelscope.errors import ResultsError, UsageError
from reelscope.exports import FORMATS, Contents

TIME = r"(\d\d):(\d\d):(\d\d)[.,](\d\d\d)"


def transcript(words, seconds=None, utterances=None, **options):
    """Results that hold these words."""
    seconds = seconds or (words[-1][2] + 1 if words else 5.0)
    said = heard(words, seconds, utterances=utterances, **options)
    return written(speech_transcription.ANALYZER, speech_transcription.analyze(said, None), said, seconds)


def captions(values, to):
    """The file's text, and how many cues it is said to have."""
    form = next(form for form in FORMATS if form.name == to)
    document = form.documents(Contents(values))[f"captions.{to}"]
    return document.text, document.count


def parse(text, to):
    """Cues of a file: start, end, lines. Strict: whatever is not in the form of the format is an error."""
    if to == "vtt":
        assert text.startswith("WEBVTT\n")
        text = text.removeprefix("WEBVTT\n").removeprefix("\n")
    found = []
    for number, block in enumerate(filter(None, text.split("\n\n")), 1):
        lines = block.rstrip("\n").split("\n")
        if to == "srt":
            assert lines.pop(0) == str(number)
        mark = "," if to == "srt" else r"\."
        times = re.fullmatch(rf"{TIME} --> {TIME}".replace("[.,]", mark), lines.pop(0))
        assert times, block
        hours, minutes, seconds, milliseconds = (np.array(times.groups()[k::4], float) for k in range(4))
        start, end = 3600 * hours + 60 * minutes + seconds + milliseconds / 1000
        assert lines
        assert not any("-->" in line for line in lines)
        found.append((start, end, [html.unescape(line) if to == "vtt" else line for line in lines]))
    return found


def converted(values, to="vtt"):
    text, count = captions(values, to)
    cues = parse(text, to)
    assert len(cues) == count
    return cues


def talk(count, seed=0, start=0.3, utterance_words=25):
    """Words of many lengths, with pauses and sentences."""
    rng = np.random.default_rng(seed)
    words, at = [], start
    for _ in range(count):
        letters = "".join(rng.choice(list("abcdefghij"), rng.integers(1, 13)))
        seconds = 0.08 + 0.05 * len(letters)
        end = "." if rng.random() < 0.1 else ""
        words.append((letters + end, round(at, 3), round(at + seconds, 3)))
        at += seconds + (rng.exponential(0.8) if rng.random() < 0.1 else 0.0)
    return words, [number // utterance_words for number in range(count)]


@pytest.mark.parametrize("to", ["srt", "vtt"])
@pytest.mark.parametrize("seed", range(5))
def test_read_back(to, seed):
    words, utterances = talk(400, seed)
    cues = converted(transcript(words, utterances=utterances), to)
    assert " ".join(" ".join(lines) for _, _, lines in cues).split() == [word for word, _, _ in words]
    starts, ends = {word[1] for word in words}, {word[2] for word in words}
    for start, end, lines in cues:
        assert min(abs(start - time) for time in starts) <= 0.001
        assert 0 < end - start <= 7.001
        assert end - start <= 1.001 or min(abs(end - time) for time in (*starts, *ends)) <= 0.001
        assert 1 <= len(lines) <= 2
        assert all(0 < len(line) <= 42 for line in lines)
    for (_, end, _), (start, _, _) in itertools.pairwise(cues):
        assert end <= start + 1e-9


def test_both_formats_hold_the_same():
    words, utterances = talk(100)
    values = transcript(words, utterances=utterances)
    assert converted(values, "srt") == converted(values, "vtt")


def test_literal_files():
    values = transcript(
        [("Look", 0.5, 0.7), ("at", 0.7, 0.8), ("R&D", 0.8, 1.0), ("<b>", 1.0, 1.4), ("-->", 61.0, 63.6)]
    )
    assert captions(values, "vtt")[0] == (
        "WEBVTT\n\n00:00:00.500 --> 00:00:01.500\nLook at R&amp;D &lt;b&gt;\n\n00:01:01.000 --> 00:01:03.600\n--&gt;\n"
    )
    assert captions(values, "srt")[0] == (
        "1\n00:00:00,500 --> 00:00:01,500\nLook at R&D <b>\n\n2\n00:01:01,000 --> 00:01:03,600\n->\n"
    )


def test_no_arrow_is_left_to_be_taken_for_times():
    values = transcript([(word, k, k + 0.5) for k, word in enumerate(("-->", "--->", "<----->"))])
    for to in ("srt", "vtt"):
        text, count = captions(values, to)
        assert text.count("-->") == count == 1
    assert "-> -> <->" in captions(values, "srt")[0].replace("\n", " ")


def test_two_lines_are_about_even():
    text = "Today I will show you how to bake a simple cake"
    words = [(word, 0.2 * k, 0.2 * k + 0.2) for k, word in enumerate(text.split())]
    ((_, _, lines),) = converted(transcript(words))
    assert lines == ["Today I will show you", "how to bake a simple cake"]


def test_a_word_that_is_longer_than_a_line_is_cut():
    link = "https://example.org/" + "x" * 80
    cues = converted(transcript([("See", 0.0, 0.5), (link, 0.5, 3.5)]))
    assert "".join("".join(lines) for _, _, lines in cues) == "See" + link
    assert all(len(line) <= 42 for _, _, lines in cues for line in lines)


def test_a_word_that_is_held_too_long_is_shown_for_seven_seconds():
    ((start, end, _),) = converted(transcript([("Goal", 1.0, 20.0)]))
    assert (start, end) == (1.0, 8.0)


def test_a_short_word_stays_where_there_is_time():
    values = transcript([("Hi", 1.0, 1.2), ("there", 3.0, 3.2), ("you", 3.5, 3.6)], 3.8, utterances=[0, 1, 2])
    assert [(start, end) for start, end, _ in converted(values)] == [(1.0, 2.0), (3.0, 3.5), (3.5, 3.8)]


def test_words_without_a_length_and_at_once():
    values = transcript([("a", 1.0, 1.0), ("b", 1.0, 1.0), ("c", 1.0, 1.0)], 1.0005, utterances=[0, 1, 2])
    cues = converted(values)
    assert [lines for _, _, lines in cues] == [["a"], ["b"], ["c"]]
    assert all(end > start for start, end, _ in cues)


def test_short_sentences_share_a_cue():
    words = [("No.", 0.0, 0.3), ("No.", 0.4, 0.7), ("Never.", 0.8, 1.3), ("Well,", 1.4, 1.7), ("maybe.", 1.7, 2.2)]
    assert [lines for _, _, lines in converted(transcript(words))] == [["No. No. Never."], ["Well, maybe."]]


def test_languages_without_spaces():
    words = [(character, 0.2 * k, 0.2 * k + 0.2) for k, character in enumerate("今天我要教大家做一个简单的蛋糕")]
    ((_, _, lines),) = converted(transcript(words, language="zh"))
    assert lines == ["今天我要教大家做一个简单的蛋糕"]


def test_text_without_words_shares_its_time():
    values = transcript([("Hello", 1.0, 1.5), ("there", 1.5, 3.0)])
    values["analyzers"]["speech_transcription"]["segments"][0]["data"]["words"] = []
    assert converted(values) == [(1.0, 3.0, ["Hello there"])]


@pytest.mark.parametrize("to", ["srt", "vtt"])
def test_nothing_said_is_an_empty_file(to):
    assert converted(transcript([]), to) == []


def spoiled(values, change):
    change(values["analyzers"])
    return values


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda found: found.clear(), "not asked for speech_transcription"),
        (
            lambda found: found["speech_transcription"].update(
                status="skipped", reason="no_audio_stream", message="the clip has no sound", summary=None, segments=[]
            ),
            "skipped, the clip has no sound",
        ),
        (
            lambda found: found["speech_transcription"].update(
                status="failed", reason="model_unavailable", message=None, summary=None, segments=[]
            ),
            "failed, model_unavailable",
        ),
    ],
)
def test_what_holds_no_transcript(change, said):
    with pytest.raises(UsageError, match=said):
        captions(spoiled(transcript([("Hi", 1.0, 1.2)]), change), "srt")


def test_random_words_are_no_captions():
    with pytest.raises(UsageError, match="random weights"):
        captions(transcript([("Hi", 1.0, 1.2)], trained=False), "vtt")


def test_results_of_another_form_are_named():
    values = transcript([("Hi", 1.0, 1.2)])
    del values["analyzers"]["speech_transcription"]["segments"][0]["data"]["words"]
    with pytest.raises(ResultsError, match="words"):
        captions(values, "vtt")


def run(*arguments):
    return CliRunner().invoke(cli.app, ["convert", *map(str, arguments)])


@pytest.mark.parametrize("to", ["srt", "vtt"])
def test_others_read_the_same(to):
    """webvtt-py, which also reads SubRip, and FFmpeg, as players have it."""
    nasty = ["Ça", "va?", "<i>R&D</i>", "😀", '"שלום"', "=1+1", "{x}"]
    words = [(word, 1 + 0.7 * k, 1.5 + 0.7 * k) for k, word in enumerate(nasty)]
    late = [(word, 9 * 3600 + k, 9 * 3600 + k + 0.25) for k, word in enumerate(("late", "-->", "1"))]
    values = transcript(words + late, utterances=[0] * len(words) + [1] * len(late))
    text, count = captions(values, to)
    cues = parse(text, to)
    assert count == len(cues) > 2
    read = webvtt.from_string(text, strict=True) if to == "vtt" else webvtt.from_buffer(io.StringIO(text), format="srt")
    with av.open(io.BytesIO(text.encode()), format="webvtt" if to == "vtt" else "srt") as container:
        packets = [packet for packet in container.demux() if packet.size]
    for (start, end, lines), caption, packet in zip(cues, read, packets, strict=True):
        times = [time.in_milliseconds() / 1000 for time in (caption.start_time, caption.end_time)]
        assert times == pytest.approx([start, end], abs=0.001)
        begin = float(packet.pts * packet.time_base)
        assert (begin, begin + float(packet.duration * packet.time_base)) == pytest.approx((start, end), abs=0.001)
        written_lines = [html.escape(line, quote=False) for line in lines] if to == "vtt" else lines
        assert bytes(packet).decode().split("\n") == written_lines
        assert caption.lines == written_lines


def test_the_command(tmp_path):
    file = tmp_path / "results.json"
    results.write(transcript([("Grüße", 1.0, 1.2), ("euch", 1.2, 1.5)], language="de"), file)
    done = run(file, "--to", "vtt")
    assert done.exit_code == 0, done.output
    assert "1 cue" in done.stdout
    assert parse((tmp_path / "captions.vtt").read_text("utf-8"), "vtt") == [(1.0, 2.0, ["Grüße euch"])]
    assert run(file, "--to", "srt", "-o", tmp_path / "new" / "a.srt").exit_code == 0
    assert len(parse((tmp_path / "new" / "a.srt").read_text("utf-8"), "srt")) == 1


def test_what_the_command_refuses(tmp_path):
    file = tmp_path / "results.json"
    assert run(file, "--to", "srt").exit_code == 2, "missing"
    results.write(transcript([("Hi", 1.0, 1.2)]), file)
    done = run(file, "--to", "doc")
    assert (done.exit_code, "--to is one of srt, vtt" in done.stderr) == (2, True)
    assert run(file, "--to", "srt", "-o", tmp_path).exit_code == 2, "a folder"
    values = json.loads(file.read_text("utf-8"))
    values["analyzers"] = {}
    file.write_text(json.dumps(values), "utf-8")
    done = run(file, "--to", "srt")
    assert (done.exit_code, "no transcript" in done.stderr) == (2, True)
    assert not (tmp_path / "captions.srt").exists()
