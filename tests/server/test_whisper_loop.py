"""What lies between Whisper's networks, held against openai-whisper's and Silero's own functions; no network runs."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from silero_vad.utils_vad import get_speech_timestamps_from_probs
from whisper import timing
from whisper.tokenizer import get_tokenizer

import whisper_loop
from reelscope_export import whisper_tokens

TEXTS = {
    "en": ' Look at this cat, isn\'t it "lovely"? 3.5 % off... (today) now!',
    "de": " Schöne Grüße aus Köln, wirklich?",
    "zh": "今天天气很好。我们去公园吧。",
    "ja": "これはテストです。",
    "ru": " Привет, мир! Ёлки 🎄🎉 да.",
}


@pytest.fixture(scope="module")
def loop() -> Iterator[SimpleNamespace]:
    with whisper_loop.modules() as found:
        yield found


def described(multilingual: bool = True, languages: int = 99) -> str:
    tokenizer = get_tokenizer(multilingual, num_languages=languages)
    dims = SimpleNamespace(n_text_ctx=448)
    return whisper_tokens.describe(SimpleNamespace(is_multilingual=multilingual, dims=dims), tokenizer)


@pytest.mark.parametrize(("multilingual", "languages"), [(True, 99), (True, 100), (False, 99)])
def test_tokens(loop, multilingual, languages):
    tokens = loop.tokens.Tokens(described(multilingual, languages))
    for language, text in TEXTS.items():
        tokenizer = get_tokenizer(multilingual, num_languages=languages, language=language, task="transcribe")
        ids = tokenizer.encode(text)
        assert tokens.text([*ids, tokens.end, tokens.first_timestamp]) == text
        assert tokens.text(ids[:-1]) == tokenizer.decode(ids[:-1]), "half a character at the end"
        words, parts = tokenizer.split_to_word_tokens([*ids, tokenizer.eot])
        expected = list(zip(words[:-1], parts[:-1], strict=True))
        assert tokens.words(ids, language if multilingual else "en") == expected
        if multilingual:
            assert tokens.prompt(language) == list(tokenizer.sot_sequence)
    if not multilingual:
        assert tokens.prompt("en") == list(get_tokenizer(False).sot_sequence)
    special = (tokens.no_timestamps, tokens.first_timestamp, tokens.no_speech, tokens.end)
    own = (tokenizer.no_timestamps, tokenizer.timestamp_begin, tokenizer.no_speech, tokenizer.eot)
    assert special == own
    assert len(tokens.languages) == (languages if multilingual else 0)


def result(loop, text="some words", log_probability=-0.5, no_speech=0.1):
    return loop.decoding.Result([], text, log_probability, no_speech, 0.0)


def test_when_another_try_is_made(loop):
    """`whisper.transcribe`'s decision: too repetitive or too improbable, unless it is silence."""
    assert not result(loop).is_doubtful
    assert not result(loop, log_probability=-1.0).is_doubtful
    assert result(loop, log_probability=-1.01).is_doubtful
    assert not result(loop, log_probability=-1.01, no_speech=0.61).is_doubtful
    assert result(loop, log_probability=-1.01, no_speech=0.6).is_doubtful
    repeated = result(loop, "again " * 40)
    assert repeated.compression_ratio > 2.4
    assert repeated.is_doubtful
    assert result(loop, "again " * 40, no_speech=0.9).is_doubtful, "repetition is judged first"
    assert result(loop, "").compression_ratio == 0


def test_what_is_silence(loop):
    assert result(loop, log_probability=-1.5, no_speech=0.7).is_silence
    assert not result(loop, log_probability=-0.9, no_speech=0.7).is_silence
    assert not result(loop, log_probability=-1.5, no_speech=0.6).is_silence


class Cross:
    def __init__(self, numbers):
        self.numbers, self.shape = list(numbers), (len(numbers), 8, 384, 1500)

    def rows(self, numbers):
        return Cross([self.numbers[number] for number in numbers])


class Networks:
    """A decoder whose rows say one word at a log-probability of their own, better with every temperature."""

    def __init__(self, loop, log_probabilities):
        self.tokens = loop.tokens.Tokens(described())
        self.log_probabilities, self.asked = log_probabilities, []

    def decode(self, cross, inputs, outputs):
        temperature = float(inputs["temperatures"][0])
        self.asked.append((round(temperature, 1), cross.numbers, inputs["uniforms"].shape))
        count, steps = inputs["uniforms"].shape
        sampled = np.full((count, min(steps, 4)), self.tokens.end, np.int32)
        sampled[:, :3] = [self.tokens.first_timestamp, 1002, self.tokens.first_timestamp + 50]
        sums = np.zeros(sampled.shape, np.float32)
        sums[:, 1] = [4 * (self.log_probabilities[number] + temperature) for number in cross.numbers]
        return {
            "sampled": sampled,
            "sampled_log_probabilities": sums,
            "next_history": np.zeros((count, 3), np.int32),
            "next_cache": np.zeros((count, 8, 6, 384), np.float32),
        }


def decode(loop, networks, rows, no_speech, settings):
    prompts = [[1, 2, 3]] * len(rows)
    return loop.decoding.decode(networks, Cross(rows), prompts, networks.tokens, no_speech, settings, lambda row: True)


def test_only_doubtful_windows_are_decoded_again(loop):
    networks = Networks(loop, [-0.5, -1.3, -1.7, -9.0])
    settings = loop.decoding.Settings((0.0, 0.2, 0.4, 0.6, 0.8, 1.0), 8, 1, 8)
    no_speech = np.array([0.1, 0.1, 0.1, 0.9])
    found = decode(loop, networks, range(4), no_speech, settings)
    assert [each.temperature for each in found] == [0.0, 0.4, 0.8, 0.0], "the last one is silence"
    assert [(heat, rows) for heat, rows, _ in networks.asked] == [
        (0.0, [0, 1, 2, 3]),
        (0.2, [1, 2]),
        (0.4, [1, 2]),
        (0.6, [2]),
        (0.8, [2]),
    ]
    assert found[1].mean_log_probability == pytest.approx(-0.9)
    hopeless = decode(loop, Networks(loop, [-9.0]), [0], [0.1], settings)
    assert hopeless[0].temperature == 1.0, "the last try stands"


class Speakers:
    """Networks that hear in window k the word 1000 + k, in the language k; `broken` are words that cannot be placed."""

    def __init__(self, loop, broken=()):
        self.tokens, self.broken = loop.tokens.Tokens(described()), broken
        self.calls, self.languages = [], []

    def encode(self, waveform, counts, seeks):
        numbers = [int(row[0]) for row in waveform]
        if 99 in numbers:
            raise RuntimeError("too loud")
        return Cross(numbers)

    def decode(self, cross, inputs, outputs):
        count, tokens, past = len(cross.numbers), inputs["tokens"], inputs["cache"].shape[2]
        assert len({len(array) for array in inputs.values()}) == 1
        if "logits" in outputs:
            logits = np.zeros((count, 51_865), np.float32)
            logits[range(count), self.tokens.first_language + np.array(cross.numbers)] = 5
            return {"logits": logits, "tokenizer": np.array([described()], object)}
        if "alignment_scores" in outputs:
            if cross.numbers[0] in self.broken:
                raise ValueError("it cannot be placed")
            scores = np.zeros((1, 6, tokens.shape[1], 1500), np.float32)
            for place in range(tokens.shape[1]):
                scores[:, :, place, 5 * place : 5 * place + 5] = 5  # one word after the other, 0.1 s each
            return {"token_probabilities": np.full(tokens.shape, 0.5), "alignment_scores": scores}
        if not past:
            self.languages += [int(row[1]) - self.tokens.first_language for row in tokens]
        self.calls.append(cross.numbers)
        first, end, taken = self.tokens.first_timestamp, self.tokens.end, past - 2 if past else 0
        said = np.array([[first, 1000 + number, first + 50, end] for number in cross.numbers])
        sampled = said[:, taken : taken + inputs["uniforms"].shape[1]]
        return {
            "sampled": sampled,
            "sampled_log_probabilities": np.full(sampled.shape, -0.1, np.float32),
            "next_history": inputs["history"],
            "next_cache": np.zeros((count, 8, past + tokens.shape[1] + sampled.shape[1] - 1, 384), np.float32),
        }


def clip(loop, *numbers, language="", is_cancelled=lambda: False):
    """A request of windows of one second."""
    samples = [np.full(16_000, number, np.float32) for number in numbers]
    windows = [loop.windows.Window(each, [(0, 16_000)]) for each in samples]
    return loop.transcript.Clip(windows, language, is_cancelled)


def transcribe(loop, networks, clips, windows_per_call=4, steps_per_call=8):
    settings = loop.decoding.Settings((0.0,), 8, 1, steps_per_call)
    vocabulary = loop.transcript.Vocabulary()
    loop.transcript.Transcriber(networks, vocabulary, lambda: settings, windows_per_call).transcribe(clips)
    return [[utterance.text for utterance in each.utterances] for each in clips]


def texts(networks, *numbers):
    return [networks.tokens.text([1000 + number]).strip() for number in numbers]


def test_clips_are_decoded_together(loop):
    networks = Speakers(loop)
    clips = [clip(loop, 3, 4), clip(loop, 5, language="de"), clip(loop, 6), clip(loop)]
    found = transcribe(loop, networks, clips)
    assert found == [texts(networks, 3, 4), texts(networks, 5), texts(networks, 6), []]
    assert networks.calls == [[3, 4, 5, 6]]
    known = networks.tokens.languages
    assert [each.language for each in clips] == [known[3], "de", known[6], ""]
    assert networks.languages == [3, 3, known.index("de"), 6], "each in its own; a clip in that of its first window"
    assert [each.language_probability for each in clips[:3]] == pytest.approx([0.6, 0.004, 0.6], abs=0.01)
    assert clips[3].language_probability is None


def test_clips_do_not_fit_into_one_call(loop):
    networks = Speakers(loop)
    clips = [clip(loop, 3, 4, 5), clip(loop, 6, 7)]
    assert transcribe(loop, networks, clips, windows_per_call=2) == [texts(networks, 3, 4, 5), texts(networks, 6, 7)]
    assert networks.calls == [[3, 4], [5, 6], [7]]
    assert networks.languages == [3, 3, 3, 6, 6]


def test_what_one_clip_meets_is_no_other_s_business(loop):
    networks = Speakers(loop, broken=(4,))
    unknown, broken, loud = clip(loop, 3, language="xx"), clip(loop, 4, 5), clip(loop, 99)
    clips = [clip(loop, 6), unknown, broken, clip(loop, 7), loud]
    found = transcribe(loop, networks, clips)
    assert [found[0], found[3]] == [texts(networks, 6), texts(networks, 7)]
    assert [found[0], found[3]] == transcribe(loop, Speakers(loop), [clip(loop, 6), clip(loop, 7)])
    assert isinstance(unknown.error, loop.transcript.UnknownLanguage)
    assert str(broken.error) == "it cannot be placed"
    assert str(loud.error) == "too loud"
    assert [each.error for each in (clips[0], clips[3])] == [None, None]


def test_a_clip_that_nobody_waits_for_is_dropped_between_two_calls(loop):
    networks = Speakers(loop)
    given_up = clip(loop, 4, 5, is_cancelled=lambda: len(networks.calls) >= 2)
    clips = [clip(loop, 3), given_up, clip(loop, 6)]
    found = transcribe(loop, networks, clips, steps_per_call=1)
    assert networks.calls == [[3, 4, 5, 6]] * 2 + [[3, 6]] * 2
    assert isinstance(given_up.error, loop.transcript.Cancelled)
    assert found == [texts(networks, 3), [], texts(networks, 6)]
    never = clip(loop, 7, is_cancelled=lambda: True)
    transcribe(loop, networks, [never])
    assert isinstance(never.error, loop.transcript.Cancelled)
    assert [7] not in networks.calls


def test_one_pass_is_cut_as_the_library_cuts_it(loop):
    first, word = 50364, 1002
    pair = [first, word, first + 50, first + 50, word, first + 90]
    cases = (
        ([*pair, first + 95, word], [(2.0, 3.0), (3.0, 3.8)], 380),  # the last segment is unfinished: it is heard again
        (pair, [(2.0, 3.0), (3.0, 3.8)], 1200),
        ([first + 5, word, word, first + 90], [(2.0, 3.8)], 1200),
        ([first + 5, word, word], [(2.0, 2.1)], 1200),
        ([first, word], [(2.0, 12.0)], 1200),
        ([], [(2.0, 12.0)], 1200),
    )
    for tokens, expected, seek in cases:
        found = loop.segments.cut(tokens, first, 200, 1000)
        np.testing.assert_allclose([(segment.start, segment.end) for segment in found.segments], expected)
        assert found.seek == seek
        assert found.is_complete == (tokens[-1:] == [first + 90])


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (9, 9), (12, 300), (40, 60)])
def test_warping(loop, shape):
    costs = np.random.default_rng(sum(shape)).normal(size=shape)
    np.testing.assert_array_equal(loop.alignment.warp(costs), timing.dtw_cpu(costs))


@pytest.mark.parametrize("frames", [6, 400, 2999])
def test_times_of_tokens(loop, frames):
    scores = np.random.default_rng(0).normal(0, 2, (6, 20, 1500)).astype(np.float32)
    weights = torch.from_numpy(scores)[:, :, : frames // 2].softmax(-1)
    std, mean = torch.std_mean(weights, dim=-2, keepdim=True, unbiased=False)
    matrix = timing.median_filter((weights - mean) / std, 7).mean(0)[3:-1]
    path, places = timing.dtw_cpu(-matrix.double().numpy())
    expected = places[np.pad(np.diff(path), (1, 0), constant_values=1).astype(bool)] / 50
    np.testing.assert_allclose(loop.alignment.times(scores, frames, 3), expected, atol=0.02)
    constant = loop.alignment.times(np.zeros((6, 20, 1500), np.float32), frames, 3)
    assert np.isfinite(constant).all()


def test_punctuation(loop):
    texts = [' "', "Hello", ",", " world", "!", " (", "yes", ")", " 5", " %", "?"]
    ours = [loop.alignment.Word(text, [number], 0.0, 1.0, 1.0) for number, text in enumerate(texts)]
    theirs = [timing.WordTiming(text, [number], 0.0, 1.0, 1.0) for number, text in enumerate(texts)]
    loop.alignment.merge_punctuation(ours)
    timing.merge_punctuations(theirs, "\"'“¿([{-", "\"'.。,，!！?？:：”)]}、")  # noqa: RUF001
    assert [(word.text, word.tokens) for word in ours] == [(word.word, word.tokens) for word in theirs]


def speaking(*spans: tuple[float, float], seconds: float) -> np.ndarray:
    times = np.arange(int(seconds * 16_000) // 512 + 1) * 512 / 16_000
    return np.sum([(times >= start) & (times < end) for start, end in spans], axis=0).astype(np.float32)


@pytest.mark.parametrize("seed", range(20))
def test_spans_are_silero_s(loop, seed):
    random = np.random.default_rng(seed)
    smooth = np.convolve(random.uniform(-0.3, 1.3, 700), np.ones(4) / 4, "same").clip(0, 1)
    samples = len(smooth) * 512 - 100
    upstream = get_speech_timestamps_from_probs(smooth, speech_pad_ms=0, audio_length_samples=samples)
    assert loop.windows.spans(smooth, samples) == [(each["start"], each["end"]) for each in upstream]


def test_windows_hold_speech_and_nothing_twice(loop):
    """Speech of 100 s without a pause, then some with long pauses: every sample at most once, in order."""
    probabilities = speaking((1, 101), (110, 112), (130, 140), seconds=150)
    probabilities[int(20 / 0.032)] = 0.4  # somebody takes a breath
    waveform = np.arange(150 * 16_000, dtype=np.float32)
    found = loop.windows.windows(waveform, probabilities)
    assert all(len(window.samples) <= 30 * 16_000 for window in found)
    pieces = [piece for window in found for piece in window.pieces]
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(pieces))
    assert pieces[0][1] == int(20 / 0.032) * 512 + 256, "cut where speech is least probable"
    covered = sum(end - start for start, end in pieces) / 16_000
    assert covered == pytest.approx(100 + 2 + 10 + 3 * 0.4, abs=0.2)
    np.testing.assert_array_equal(np.concatenate([window.samples for window in found]) % 1, 0)
    for window in found:
        assert len(window.samples) == sum(end - start for start, end in window.pieces)
    assert loop.windows.windows(waveform, 0 * probabilities) == []
    assert loop.windows.windows(waveform[:0], probabilities[:0]) == []


def test_times_are_moved_to_their_piece(loop):
    window = loop.windows.Window(np.zeros(3 * 16_000, np.float32), [(16_000, 32_000), (160_000, 192_000)])
    assert window.moved(0.0, 0.5) == pytest.approx((1.0, 1.5))
    assert window.moved(1.5, 2.0) == pytest.approx((10.5, 11.0))
    assert window.moved(0.2, 1.4) == pytest.approx((1.2, 2.0)), "its middle is in the first piece"
    assert window.moved(0.9, 2.0) == pytest.approx((10.0, 11.0))
    assert window.moved(2.9, 30.0) == pytest.approx((11.9, 12.0)), "nothing lies beyond"
