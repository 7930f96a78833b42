"""Whisper's rules and choice of the next token, against openai-whisper's own filters and decoder."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from whisper.decoding import ApplyTimestampRules, GreedyDecoder, SuppressBlank, SuppressTokens
from whisper.tokenizer import Tokenizer, get_tokenizer

from reelscope_export.whisper_rules import NONE, Choice, Rules, suppressed

VOCABULARIES = {"multilingual": (True, 99), "large-v3": (True, 100), "English": (False, 99)}


@pytest.fixture(scope="module", params=VOCABULARIES)
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    multilingual, languages = VOCABULARIES[request.param]
    return get_tokenizer(multilingual, num_languages=languages, language="en", task="transcribe")


def history(rules: Rules, said: list[int]) -> torch.Tensor:
    """As the graph builds it, token by token."""
    state = torch.full((1, 3), NONE, dtype=torch.int32)
    for token in said:
        state = rules.after(state, torch.tensor([token], dtype=torch.int32))
    return state


def filtered(tokenizer: Tokenizer, said: list[int], logits: torch.Tensor) -> torch.Tensor:
    """The library's filters, in its order."""
    prompt = list(tokenizer.sot_sequence)
    tokens, found = torch.tensor([prompt + said]), logits.clone()
    filters: list[Any] = [
        SuppressBlank(tokenizer, len(prompt)),
        SuppressTokens([token for token in suppressed(tokenizer) if token != tokenizer.no_timestamps]),
        ApplyTimestampRules(tokenizer, len(prompt), 50),
    ]
    for each in filters:
        each.apply(found, tokens)
    return found


def texts(tokenizer: Tokenizer) -> dict[str, list[int]]:
    """Beginnings of texts: every case of the rules."""
    first, word = tokenizer.timestamp_begin, tokenizer.encode(" word")[0]
    return {
        "nothing": [],
        "a time": [first + 10],
        "a time of 0": [first],
        "a time and a word": [first + 10, word],
        "words": [first + 10, word, word],
        "a closing time": [first + 10, word, first + 60],
        "a pair of times": [first + 10, word, first + 60, first + 60],
        "the next segment": [first + 10, word, first + 60, first + 60, word],
        "the last time there is": [first + 10, word, first + 1500],
        "a word first": [word],
        "the end": [first, word, tokenizer.eot],
    }


@pytest.mark.parametrize("name", texts(get_tokenizer(True)))
@pytest.mark.parametrize("stamped", [0.0, 6.0, -20.0])
def test_what_may_come_next(tokenizer: Tokenizer, name: str, stamped: float) -> None:
    """`stamped` makes time stamps likely or not, so that both outcomes of the rule of sums occur."""
    said, rules = texts(tokenizer)[name], Rules(tokenizer)
    logits = torch.randn(1, tokenizer.encoding.n_vocab, generator=torch.Generator().manual_seed(0)) * 3
    logits[:, tokenizer.timestamp_begin :] += stamped
    allowed, expected = rules(logits, history(rules, said)), filtered(tokenizer, said, logits)
    possible = torch.isfinite(expected)
    assert torch.equal(allowed > -1e30, possible)
    assert torch.equal(allowed[possible], logits[possible])


def test_greedy_choice(tokenizer: Tokenizer) -> None:
    """Tokens and log-probabilities of whole texts, step by step; a text that has ended stays so."""
    choice, random = Choice(Rules(tokenizer)), torch.Generator().manual_seed(1)
    decoder = GreedyDecoder(0.0, tokenizer.eot)
    prompt = list(tokenizer.sot_sequence)
    state = torch.full((2, 3), NONE, dtype=torch.int32)
    said, sums = torch.tensor([prompt, prompt]), torch.zeros(2)
    ours, total = said.clone(), torch.zeros(2)
    for step in range(12):
        logits = torch.randn(2, tokenizer.encoding.n_vocab, generator=random) * 3
        logits[0, tokenizer.eot] += 100.0 * (step == 6)
        token, log_probability, state = choice(logits, state, torch.zeros(2), torch.full((2,), 0.5))
        ours, total = torch.cat((ours, token[:, None].long()), 1), total + log_probability
        rows = [filtered(tokenizer, row[len(prompt) :].tolist(), logits[k : k + 1]) for k, row in enumerate(said)]
        said, _ = decoder.update(said, torch.cat(rows), sums)
    assert torch.equal(ours, said)
    assert (said[0, -5:] == tokenizer.eot).all()
    torch.testing.assert_close(total, sums, rtol=1e-5, atol=1e-4)


@pytest.mark.slow
def test_chance_follows_the_distribution() -> None:
    """Drawn shares are those of the softmax at the temperature; rows at temperature 0 stay greedy beside them."""
    tokenizer = get_tokenizer(True)
    rules = Rules(tokenizer)
    word, count = tokenizer.encode(" word")[0], 4000
    state = history(rules, [tokenizer.timestamp_begin, word]).expand(count, 3)
    logits = torch.full((tokenizer.encoding.n_vocab,), -1e4)
    logits[[100, 2000, 30000]] = torch.tensor([1.0, 2.0, 0.5])
    uniform = (torch.arange(count) + 0.5) / count
    heat = torch.full((count,), 0.8)
    token, log_probability, _ = Choice(rules)(logits.expand(count, -1), state, heat, uniform)
    expected = torch.softmax(torch.tensor([1.0, 2.0, 0.5]) / 0.8, 0)
    for number, share in zip((100, 2000, 30000), expected, strict=True):
        assert float((token == number).float().mean()) == pytest.approx(float(share), abs=1e-3)
    exact = torch.log_softmax(torch.tensor([1.0, 2.0, 0.5]), 0)
    assert float(log_probability[token == 2000][0]) == pytest.approx(float(exact[1]), abs=1e-5), "at temperature 1"
    mixed, _, _ = Choice(rules)(logits.expand(2, -1), state[:2], torch.tensor([0.0, 0.8]), torch.tensor([0.0, 0.0]))
    assert mixed.tolist() == [2000, 100]


@pytest.mark.parametrize("uniform", [0.0, 0.999_999_94])
def test_chance_at_its_edges_draws_nothing_forbidden(uniform: float) -> None:
    tokenizer = get_tokenizer(True)
    rules = Rules(tokenizer)
    logits = torch.zeros(1, tokenizer.encoding.n_vocab)
    token, log_probability, _ = Choice(rules)(logits, history(rules, []), torch.ones(1), torch.tensor([uniform]))
    first = tokenizer.timestamp_begin
    assert int(token) in (first, first + 50)
    assert torch.isfinite(log_probability).all()
