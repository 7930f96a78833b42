"""Whisper's decoder, as a graph or as a server answers, against openai-whisper's on the same sound and weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from reelscope_export import spoken, whisper_network
from reelscope_export.verify import Array, Measure, Run
from reelscope_export.whisper_rules import NONE

TOKEN_COUNT = 48
"""Tokens that are compared, unless the text ends before."""
_STEPS_PER_CALL = 8


def verify(run: Run, weights: Path, *, variant: str, precision: str, trained: bool) -> tuple[Measure, ...]:
    """Compare greedy tokens, logits, probabilities of given tokens and attention scores; a batch with its rows."""
    model = whisper_network.load(weights)
    heard = _heard(
        model, ("Look at this cat. Coffee makes the mornings better.", "Nobody told me. Tap the link in bio!")
    )
    cross = np.stack([whisper_network.cross(model, each) for each in heard])
    tokenizer = whisper_network.tokenizer(model)
    prompt, end = list(tokenizer.sot_sequence), int(tokenizer.eot)
    alone = [decoded(run, prompt, end, row[None]) for row in cross]
    together = decoded(run, prompt, end, cross)
    texts = [_library_text(model, each) for each in heard]
    scores, probabilities, logits = zip(
        *(_given(run, model, *pair) for pair in zip(heard, cross, strict=True)), strict=True
    )
    exact = precision == "fp32"
    measures = [
        Measure("logits to spread", max(logits), 1e-3 if exact else 5e-2),
        Measure("token probability difference", max(probabilities), 1e-4 if exact else 5e-2),
        Measure("alignment scores to spread", max(scores), 1e-3 if exact else 5e-2),
    ]
    if exact:
        measures += [
            Measure("tokens that differ", sum(map(_unequal, texts, (tokens for (tokens,), _ in alone))), 0),
            Measure("tokens", sum(map(len, texts)), 40, at_least=True),
            Measure("batch to singles, tokens", float(_unequal([*together[0]], [each[0][0] for each in alone])), 0),
        ]
    return tuple(measures)


def decoded(run: Run, prompt: list[int], end: int, cross: Array) -> tuple[list[list[int]], Array]:
    """Greedy tokens of each row before its end, and the sum of their log-probabilities with the end's."""
    count = len(cross)
    tokens, history = np.tile(np.array(prompt, np.int32), (count, 1)), np.full((count, 3), NONE, np.int32)
    cache = np.zeros((count, cross.shape[1], 0, cross.shape[2]), np.float32)
    sampled, sums = np.zeros((count, 0), np.int32), np.zeros(count)
    while sampled.shape[1] < TOKEN_COUNT:
        uniforms = np.zeros((count, min(_STEPS_PER_CALL, TOKEN_COUNT - sampled.shape[1])), np.float32)
        found = run(tokens, history, cache, cross, np.zeros(count, np.float32), uniforms)
        sampled = np.concatenate((sampled, found["sampled"]), 1)
        sums += found["sampled_log_probabilities"].sum(1)
        tokens, history, cache = sampled[:, -1:], found["next_history"], found["next_cache"]
        if found["sampled"].shape[1] < uniforms.shape[1]:
            break
    return [[int(token) for token in row if token != end] for row in sampled], sums


def _unequal(first: list[Any], second: list[Any]) -> int:
    """Positions at which two lists differ."""
    return sum(bool(a != b) for a, b in zip(first, second, strict=False)) + abs(len(first) - len(second))


def _heard(model: Any, texts: tuple[str, ...]) -> list[Any]:
    """The library's encoding of spoken texts, [1500,d] each."""
    import torch
    from whisper.audio import log_mel_spectrogram, pad_or_trim

    mels = [
        log_mel_spectrogram(pad_or_trim(spoken.say(text), whisper_network.WINDOW_SAMPLES), model.dims.n_mels)
        for text in texts
    ]
    with torch.no_grad():
        return list(model.encoder(torch.stack(mels)))


def _library_text(model: Any, heard: Any) -> list[int]:
    import whisper

    options = whisper.DecodingOptions(language="en", fp16=False, sample_len=TOKEN_COUNT)
    return list(whisper.decode(model, heard, options).tokens)


def _given(run: Run, model: Any, heard: Any, cross: Array) -> tuple[float, float, float]:
    """Differences of attention scores (to their spread), probabilities and logits (to theirs) over a given text."""
    import torch
    from whisper.model import disable_sdpa

    tokenizer = whisper_network.tokenizer(model)
    text = [*tokenizer.encode(" Look at this cat. Coffee makes the mornings better."), tokenizer.eot]
    tokens = [*tokenizer.sot_sequence, tokenizer.no_timestamps, *text]
    kept: list[Any] = [None] * len(model.decoder.blocks)
    hooks = [
        block.cross_attn.register_forward_hook(
            lambda _, __, outputs, number=number: kept.__setitem__(number, outputs[1])
        )
        for number, block in enumerate(model.decoder.blocks)
    ]
    with torch.no_grad(), disable_sdpa():
        logits = model.decoder(torch.tensor([tokens]), heard[None])[0]
    for hook in hooks:
        hook.remove()
    scores = torch.stack([kept[layer][0, head] for layer, head in model.alignment_heads.indices().T]).numpy()
    chances = logits[:-1, : tokenizer.eot].softmax(1).numpy()
    empty = np.zeros((1, cross.shape[0], 0, cross.shape[1]), np.float32)
    zero = np.zeros(1, np.float32)
    found = run(np.array([tokens], np.int32), np.full((1, 3), NONE, np.int32), empty, cross[None], zero, zero[None])
    places = [place for place, token in enumerate(tokens) if place and token < tokenizer.eot]
    expected = np.array([chances[place - 1, tokens[place]] for place in places])
    last = logits[-1].numpy()
    return (
        float(np.abs(found["alignment_scores"][0] - scores).max() / scores.std()),
        float(np.abs(found["token_probabilities"][0, places] - expected).max()),
        float(np.abs(found["logits"][0] - last).max() / last.std()),
    )
