"""What analyzers say of one speech agrees: the same words, within the same mask (I9), whoever counts them."""

from __future__ import annotations

import copy

import pytest
from envelope import written
from speaking import acoustics, activity, heard, joined, say

from reelscope import check
from reelscope.analyzers import speech_flow, speech_rate, speech_transcription

ANALYZERS = (speech_transcription.ANALYZER, speech_flow.ANALYZER, speech_rate.ANALYZER)
SPOKEN = ("Look at this little cat", "Coffee makes mornings better", "Tap the link in bio")


@pytest.fixture(scope="module")
def results():
    """Three sentences, as all of them would be told in one file."""
    spoken = joined([say(text) for text in SPOKEN], [0.6, 1.5])
    mask, sound = activity(spoken.spans, spoken.seconds, pad_seconds=0.1), acoustics(spoken.waveform)
    numbers = [number for number, text in enumerate(SPOKEN) for _ in text.split()]
    words = heard(spoken.words, spoken.seconds, utterances=numbers)
    findings = (
        speech_transcription.analyze(words, mask),
        speech_flow.analyze(mask, sound, words),
        speech_rate.analyze(mask, sound, words),
    )
    files = [written(*pair, words, spoken.seconds) for pair in zip(ANALYZERS, findings, strict=True)]
    return files[0] | {"analyzers": {name: found for file in files for name, found in file["analyzers"].items()}}


@pytest.fixture
def values(results, monkeypatch):
    monkeypatch.setattr(check, "ANALYZERS", ANALYZERS)
    return copy.deepcopy(results)


def test_one_word_list_and_one_mask(values):
    assert check.check(values) == []
    count = len(" ".join(SPOKEN).split())
    counts = {found["summary"]["n_words"] for found in values["analyzers"].values()}
    assert counts == {count}
    assert values["analyzers"]["speech_flow"]["summary"]["pause_count"] == 2
    assert len(values["analyzers"]["speech_transcription"]["segments"]) == 3


def broken(values):
    return {violation.where for violation in check.check(values) if violation.invariant == "I9"}


@pytest.mark.parametrize("name", ["speech_flow", "speech_rate", "speech_transcription"])
def test_another_count_is_found(values, name):
    values["analyzers"][name]["summary"]["n_words"] += 1
    assert f"{name}.n_words" in broken(values)


def test_a_count_that_is_not_known_is_no_contradiction(values):
    values["analyzers"]["speech_flow"]["summary"]["n_words"] = None
    assert check.check(values) == []


@pytest.mark.parametrize(("shift", "is_found"), [(-0.25, False), (-0.35, True)])
def test_a_word_outside_speech_is_found(values, shift, is_found):
    """The mask begins 0.1 s before the first word; 0.2 s more are allowed."""
    segment = values["analyzers"]["speech_transcription"]["segments"][0]
    segment["start"] += shift
    segment["data"]["words"][0]["start"] += shift
    assert broken(values) == ({"speech_transcription.segments[0].words[0]"} if is_found else set())


def test_a_word_that_bridges_a_long_pause_is_found(values):
    first, second = values["analyzers"]["speech_transcription"]["segments"][1:]
    first["end"] = first["data"]["words"][-1]["end"] = second["start"] + 0.1
    assert broken(values) == {f"speech_transcription.segments[1].words[{len(first['data']['words']) - 1}]"}


def test_a_word_outside_its_utterance_is_found(values):
    values["analyzers"]["speech_transcription"]["segments"][2]["data"]["words"][0]["start"] -= 0.1
    assert broken(values) == {"speech_transcription.segments[2].words[0]"}


def test_words_of_random_weights_may_be_anywhere(values):
    found = values["analyzers"]["speech_transcription"]
    found["models"][0]["trained"] = False
    found["warnings"] = [f"untrained_model:{found['models'][0]['name']}"]
    found["summary"] |= {"text": None, "language": None, "n_words": None, "asr_conf": None}
    found["segments"][0]["start"] = found["segments"][0]["data"]["words"][0]["start"] = 0.0
    assert check.check(values) == []
    found["summary"]["text"] = "Look"
    assert {violation.invariant for violation in check.check(values)} == {"I4"}
