"""Sources that ask about sound, fed by hand: blocks, passages, windows, pieces; what lies behind the clip's end."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from feeding import PROVENANCE, Answer, header

from reelscope.errors import ModelUnavailable
from reelscope.sources import syllables
from reelscope.sources.sound_tags import SoundTagSource
from reelscope.sources.speech_activity import FRAME_SAMPLES, HOP_SECONDS, SpeechActivitySource
from reelscope.sources.speech_emotions import SpeechEmotionSource
from reelscope.sources.speech_spans import speech_spans, within
from reelscope.sources.words import WordSource
from reelscope.types import Deadline, MonoChunk, SpeechPassage

RATE = 16_000


class Server:
    """Answers calls by a function of their inputs, and keeps them."""

    def __init__(self, ensemble, answer):
        self.ensemble, self.answer, self.calls = ensemble, answer, []

    def ask(self, model, inputs, outputs, timeout_seconds):
        assert model == self.ensemble
        self.calls.append(inputs)
        found = self.answer(inputs)
        if isinstance(found, Exception):
            return Answer(found)
        networks = [name for name in outputs if name.endswith("_provenance")]
        assert set(found) == set(outputs) - set(networks)
        return Answer(found | {name: np.array([b"{}"], np.object_) for name in networks})

    def provenance(self, text, model, ensemble):
        return replace(PROVENANCE, name=model, ensemble=ensemble)


def started(kind, server, **options):
    source = kind(server, Deadline(60))
    source.start(replace(header([np.zeros((2, 2, 3), np.uint8)]), has_audio=True, **options))
    return source


def feed(source, samples, duration_seconds=None, chunk=RATE):
    for first in range(0, len(samples), chunk):
        source.push(MonoChunk(samples=samples[first : first + chunk], start_seconds=first / RATE))
    found = source.finish(len(samples) / RATE if duration_seconds is None else duration_seconds)
    source.close()
    return found


def heard(seconds, *speech):
    """Sound that is loud where somebody speaks; a network that is told so by `by_level`."""
    samples = np.zeros(round(seconds * RATE), np.float32)
    for start, end in speech:
        samples[round(start * RATE) : round(end * RATE)] = 0.5
    return samples


def by_level(inputs):
    (waveform,) = inputs["waveform"]
    frames = np.pad(waveform, (0, -len(waveform) % FRAME_SAMPLES)).reshape(-1, FRAME_SAMPLES)
    return {"speech_probabilities": (frames.mean(1) > 0.25).astype(np.float32)[None]}


def activity_server():
    return Server("speech_activity", by_level)


def test_spans_have_two_thresholds():
    level = np.array([0.4, 0.6, 0.4, 0.4, 0.6, 0.4, 0.3, 0.4], np.float32)
    # From the first to the last 0.6, a frame earlier: the network is late.
    assert speech_spans(level, 0.1).tolist() == [[pytest.approx(0.0), pytest.approx(0.4)]]
    assert speech_spans(np.empty(0, np.float32), 0.1).shape == (0, 2)
    assert speech_spans(np.full(9, 0.4, np.float32), 0.1).shape == (0, 2), "undecided is not speech"


def test_short_stops_are_no_pauses_and_clicks_no_speech():
    level = np.zeros(100, np.float32)
    level[10:20] = level[22:30] = level[40:50] = level[60:62] = 1  # gaps of 60 and 300 ms; 60 ms alone
    assert np.allclose(speech_spans(level, 0.03), [[0.27, 0.87], [1.17, 1.47]])


def test_within_cuts_off_at_the_end():
    spans = np.array([[0.0, 1.0], [2.0, 4.0], [5.0, 6.0]])
    assert within(spans, 3.0).tolist() == [[0, 1], [2, 3]]


def test_activity_of_a_clip():
    server = activity_server()
    found = feed(started(SpeechActivitySource, server), heard(10, (1.0, 2.5), (4.0, 6.0)))
    assert len(server.calls) == 1
    assert np.allclose(found.spans_seconds, [[1.0, 2.5], [4.0, 6.0]], atol=2 * HOP_SECONDS)
    assert found.speech_seconds == pytest.approx(3.5, abs=4 * HOP_SECONDS)
    assert len(found.probabilities) == -(-10 * RATE // FRAME_SAMPLES)
    assert found.models[0].name == "voice_activity_silero"
    assert found.holds(np.array([0.5, 1.5, 3.0, 5.0, 9.0])).tolist() == [False, True, False, True, False]


def test_activity_of_no_sound_and_of_silence():
    nothing = feed(started(SpeechActivitySource, activity_server()), heard(0))
    assert nothing.spans_seconds.shape == (0, 2)
    assert len(nothing.probabilities) == nothing.sample_count == 0
    assert not nothing.holds(np.array([0.0, 1.0])).any()
    silence = feed(started(SpeechActivitySource, activity_server()), heard(2))
    assert silence.spans_seconds.shape == (0, 2)
    assert silence.speech_seconds == 0


def test_sound_behind_the_last_frame_is_left_out():
    server = activity_server()
    source = started(SpeechActivitySource, server)
    passages = []
    source.listeners.append(passages.append)
    found = feed(source, heard(10, (1.0, 2.0), (4.0, 9.0)), duration_seconds=5.0)
    assert np.allclose(found.spans_seconds, [[1.0, 2.0], [4.0, 5.0]], atol=2 * HOP_SECONDS)
    assert server.calls[0]["waveform"].shape == (1, 5 * RATE)
    assert found.duration_seconds == 5.0
    assert [len(passage.samples) for passage in passages] == [5 * RATE]
    long = feed(started(SpeechActivitySource, activity_server()), heard(90, (4.0, 80.0)), duration_seconds=5.0)
    assert np.allclose(long.spans_seconds, [[4.0, 5.0]], atol=2 * HOP_SECONDS)


def test_blocks_leave_no_trace():
    """A long clip is asked about block by block, each with a lead-in whose answers are dropped."""
    speech = [(start, start + 2.0) for start in np.arange(1, 180, 3.7)]
    sound = heard(185, *speech)
    server = activity_server()
    source = started(SpeechActivitySource, server)
    passages = []
    source.listeners.append(passages.append)
    found = feed(source, sound, chunk=15_999)
    assert len(server.calls) == 7
    (whole,) = by_level({"waveform": sound[None]})["speech_probabilities"]
    assert len(found.probabilities) == len(whole)
    assert np.abs(found.probabilities - whole).sum() <= 0
    assert np.array_equal(np.concatenate([passage.samples for passage in passages]), sound)
    assert 3 <= len(passages) <= 6
    ends = 0.0
    for passage in passages:
        assert passage.start_seconds == pytest.approx(ends)
        ends = passage.start_seconds + len(passage.samples) / RATE
        assert ends - passage.start_seconds <= 60
        assert not found.holds(np.array([ends - 1e-6])).any(), "cut where nobody speaks"
    assert np.allclose(np.concatenate([passage.spans_seconds for passage in passages]), found.spans_seconds)


def test_speech_without_a_pause_is_cut_all_the_same():
    source = started(SpeechActivitySource, activity_server())
    passages = []
    source.listeners.append(passages.append)
    sound = heard(130, (0, 130))
    feed(source, sound)
    assert np.array_equal(np.concatenate([passage.samples for passage in passages]), sound)
    assert len(passages) > 2
    assert all(len(passage.spans_seconds) == 1 for passage in passages)


def test_a_server_that_is_gone(monkeypatch):
    source = started(SpeechActivitySource, Server("speech_activity", lambda inputs: ModelUnavailable("gone")))
    with pytest.raises(ModelUnavailable):
        feed(source, heard(2))


def transcript(words, utterances, language=b"en"):
    answer = {
        "word_texts": np.array([text for text, *_ in words], np.object_),
        "word_times_seconds": np.array([times for _, *times in words], np.float32).reshape(-1, 2),
        "word_probabilities": np.full(len(words), 0.9, np.float32),
        "word_utterances": np.zeros(len(words), np.int32),
        "utterance_texts": np.array([text for text, *_ in utterances], np.object_),
        "utterance_times_seconds": np.array([times for _, *times in utterances], np.float32).reshape(-1, 2),
        "utterance_scores": np.tile(np.array([[-0.3, 0.01, 1.1, 0.0]], np.float32), (len(utterances), 1)),
        "detected_language": np.array([language], np.object_),
        "language_probability": np.array([0.95], np.float32),
    }
    return {name: array[None] for name, array in answer.items()}


def passage(start, seconds, *spans):
    samples = np.zeros(round(seconds * RATE), np.float32)
    return SpeechPassage(samples=samples, start_seconds=start, spans_seconds=np.array(spans, float).reshape(-1, 2))


def test_words_are_placed_in_the_clip():
    said = iter(
        [
            transcript([(b" Banana", 0.5, 1.0), (b" bread.", 1.0, 1.5)], [(b" Banana bread.", 0.5, 1.5)]),
            transcript([(b" Hallo", 0.0, 0.5), (b" Welt", 0.5, 1.2)], [(b" Hallo Welt", 0.0, 1.2)], b"de"),
        ]
    )
    server = Server("speech", lambda inputs: next(said))
    source = started(WordSource, server)
    for part in (passage(0, 20, [0.4, 6]), passage(20, 5), passage(25, 20, [25, 26.3])):
        source.push(part)
    found = source.finish(26.0)
    assert len(server.calls) == 2, "a passage without speech is never decoded"
    assert [word.text for word in found.words] == ["Banana", "bread.", "Hallo", "Welt"]
    assert [(word.start_seconds, word.end_seconds) for word in found.words] == [
        pytest.approx(times, abs=1e-5) for times in ((0.5, 1.0), (1.0, 1.5), (25.0, 25.5), (25.5, 26.0))
    ]
    assert [word.utterance for word in found.words] == [0, 0, 1, 1]
    assert [word.syllable_count for word in found.words] == [3, 1, 2, 1]
    assert [each.text for each in found.utterances] == ["Banana bread.", "Hallo Welt"]
    assert (found.utterances[1].start_seconds, found.utterances[1].end_seconds) == (25.0, 26.0)
    assert found.language == "en", "of the passage with the most speech"
    assert found.language_probability == pytest.approx(0.95)
    assert found.models[0].name == "speech_whisper"


def test_words_do_not_reach_into_pauses():
    words = [(b"one", 0.5, 1.5), (b"two", 1.5, 4.9), (b"three", 3.0, 3.1), (b"four", 5.0, 6.0)]
    source = started(WordSource, Server("speech", lambda inputs: transcript(words, [])))
    source.push(passage(0, 10, [1, 2], [5, 6]))
    found = source.finish(10.0)
    assert [(word.start_seconds, word.end_seconds) for word in found.words] == [
        pytest.approx(times) for times in ((0.8, 1.5), (1.5, 2.2), (2.2, 2.2), (5.0, 6.0))
    ]


def test_words_behind_the_last_frame_are_left_out():
    answer = transcript([(b"one", 1, 2), (b"two", 3, 4)], [(b"one two", 1, 4)])
    source = started(WordSource, Server("speech", lambda inputs: answer))
    source.push(passage(0, 10, [1, 4]))
    found = source.finish(2.5)
    assert [word.text for word in found.words] == ["one"]
    assert found.utterances[0].end_seconds == 2.5


def test_no_speech_no_words():
    source = started(WordSource, Server("speech", lambda inputs: pytest.fail("asked about silence")))
    source.push(passage(0, 10))
    found = source.finish(10.0)
    assert found.words == found.utterances == ()
    assert found.language is found.language_probability is None
    assert syllables.count([], "en") == []


def tags(inputs):
    rows = np.zeros((len(inputs["waveform"]), 527), np.float32)
    rows[:, 0] = np.abs(inputs["waveform"]).max(1)
    return {"probabilities": rows}


def tag_windows(seconds, duration=None, short=True):
    server = Server("sounds", tags)
    found = feed(started(SoundTagSource, server, short_sound_windows=short), heard(seconds, (0, 1)), duration)
    return found, server


@pytest.mark.parametrize(
    ("seconds", "long"),
    [
        (3.0, [[0, 3]]),
        (10.0, [[0, 10]]),
        (10.5, [[0, 10.24]]),  # a rest of 0.26 s is too little for a window
        (12.0, [[0, 10.24], [5, 12]]),
        (16.0, [[0, 10.24], [5, 15.24], [10, 16]]),
    ],
)
def test_long_windows_cover_the_clip(seconds, long):
    found, server = tag_windows(seconds, short=False)
    assert np.allclose(found.windows_seconds, long)
    assert found.is_long.all()
    assert found.probabilities[0, 0] == 0.5
    assert sum(len(call["waveform"]) for call in server.calls) == len(long)


def test_short_windows_say_when():
    found, server = tag_windows(12.0)
    short = found.windows_seconds[~found.is_long]
    assert np.allclose(short[:, 0], np.arange(10))
    assert np.allclose(short[:, 1] - short[:, 0], 2.56)
    assert found.probabilities[~found.is_long, 0].tolist() == [0.5] + 9 * [0]
    assert max(len(call["waveform"]) for call in server.calls) == 8
    assert (np.diff(found.windows_seconds[:, 0]) >= 0).all()


def test_tags_of_a_clip_that_ends_before_its_sound():
    found, _ = tag_windows(30.0, duration=4.0)
    assert found.windows_seconds.max() == 4.0
    assert (found.windows_seconds[:, 0] < 4.0).all()


def test_tags_of_hardly_any_sound():
    for seconds in (0, 0.1):
        found, server = tag_windows(seconds)
        assert found.probabilities.shape == (0, 527)
        assert server.calls == []


def test_emotions_of_pieces():
    def judge(inputs):
        assert inputs["waveform"].shape[0] == 1
        level = np.array([[inputs["waveform"].shape[1] / RATE / 10]], np.float32)
        return {"arousal": level, "dominance": level + 0.1, "valence": level + 0.2}

    source = started(SpeechEmotionSource, Server("speech_emotions", judge))
    source.push(passage(0, 20, [1, 4], [5, 5.3], [6, 19]))
    source.push(passage(20, 10, [21, 27]))
    found = source.finish(26.0)
    edges = [6, 6 + 13 / 3, 6 + 26 / 3, 19]
    assert np.allclose(found.spans_seconds, [[1, 4], *pairwise(edges), [21, 26]], atol=1e-3)
    assert np.allclose(found.arousal, [0.3, 13 / 30, 13 / 30, 13 / 30, 0.6], atol=1e-3)
    assert np.allclose(found.valence - found.arousal, 0.2, atol=1e-6)
    assert found.class_probabilities.shape == (5, 0)


def test_no_speech_no_emotions():
    source = started(SpeechEmotionSource, Server("speech_emotions", lambda inputs: pytest.fail("asked about silence")))
    source.push(passage(0, 10))
    assert len(source.finish(10.0).arousal) == 0
