"""Windows to tokens: language, greedy decoding, and another try at a higher temperature where a result looks wrong.

The rules of what may come next are in the decoder's graph; when to try again is `whisper.transcribe`'s rule. Windows
are decoded together, at the same position; one that has ended waits for the others.
"""

import zlib
from dataclasses import dataclass

import numpy as np

MAX_COMPRESSION_RATIO = 2.4
"""Text that zlib makes smaller than this repeats itself."""
MIN_LOG_PROBABILITY = -1.0
MAX_NO_SPEECH = 0.6
"""Above it, and below MIN_LOG_PROBABILITY, there is no speech: the text is dropped, and no other try is made."""


@dataclass(frozen=True)
class Settings:
    """How much is tried.

    Attributes:
        temperatures: of one try after the other.
        max_tokens: sampled at most in one try.
        max_passes: times that one window is decoded, each from where the last text ended.
        steps_per_call: tokens that one request to the decoder asks for; between requests a caller can give up.
    """

    temperatures: tuple
    max_tokens: int
    max_passes: int
    steps_per_call: int


@dataclass(frozen=True)
class Result:
    """What one try gave for one window.

    Attributes:
        tokens: with time stamps, without the end.
        mean_log_probability: of the tokens and the end.
    """

    tokens: list
    text: str
    mean_log_probability: float
    no_speech_probability: float
    temperature: float

    @property
    def compression_ratio(self):
        """Length of the text over its length after zlib."""
        written = self.text.encode()
        return len(written) / len(zlib.compress(written))

    @property
    def is_silence(self):
        """Whether the network doubts both that somebody speaks and what it has written."""
        return self.no_speech_probability > MAX_NO_SPEECH and not self.mean_log_probability > MIN_LOG_PROBABILITY

    @property
    def is_doubtful(self):
        """Whether another try may be better."""
        improbable = self.mean_log_probability < MIN_LOG_PROBABILITY
        if improbable and self.no_speech_probability > MAX_NO_SPEECH:
            return False
        return improbable or self.compression_ratio > MAX_COMPRESSION_RATIO


def first_logits(networks, cross, start):
    """Logits [N,V] after the first token alone, which tell language and silence; and the description of the tokens."""
    state, chance = _begin(cross, [[start]] * cross.shape[0]), np.zeros((cross.shape[0], 1), np.float32)
    found = _ask(networks, cross, state, 0.0, chance, ["logits", "tokenizer"])
    return found["logits"], found["tokenizer"].flat[0]


def languages(logits, tokens):
    """Probability of each language [N,languages], by the logits after the first token."""
    first = tokens.first_language
    return softmax(logits[:, first : first + len(tokens.languages)])


def decode(networks, cross, prompts, tokens, no_speech, settings, is_wanted):
    """Decode windows until no result is doubtful, or the temperatures are used up.

    Args:
        networks: of the batch.
        cross: of the encoder.
        prompts: tokens that begin the text of each window, equally many.
        tokens: the network's.
        no_speech: probability that nobody speaks, of each window.
        settings: how much is tried.
        is_wanted: whether anybody waits for a window, by its row; asked between the calls of the network.

    Returns:
        A `Result` for each window; None for those that nobody waits for any more.
    """
    results = [None] * cross.shape[0]
    waiting = list(range(cross.shape[0]))
    # The text has to fit into the decoder once more when it is aligned, with two tokens around it.
    limit = min(settings.max_tokens, tokens.context - len(prompts[0]) - 2)
    for number, temperature in enumerate(settings.temperatures):
        # The same numbers for every request and every row: equal sound gets equal text, whatever is decoded beside it.
        uniforms = np.random.default_rng(number).random(limit, np.float32)
        waiting, sampled, sums = _sample(
            networks, cross, waiting, prompts, tokens.end, temperature, uniforms, settings.steps_per_call, is_wanted
        )
        for row, said, total in zip(waiting, sampled, sums, strict=True):
            text = tokens.text(said).strip()
            results[row] = Result(said, text, total / (len(said) + 1), float(no_speech[row]), temperature)
        waiting = [row for row in waiting if results[row].is_doubtful]
        if not waiting:
            break
    return results


def _sample(networks, cross, rows, prompts, end, temperature, uniforms, steps_per_call, is_wanted):
    """Of the rows that are wanted to the end: their numbers, tokens before the end, and sums of log-probabilities."""
    outputs = ["sampled", "sampled_log_probabilities", "next_history", "next_cache"]
    cross, state = cross.rows(rows), _begin(cross, [prompts[row] for row in rows])
    taken, sums = np.zeros((len(rows), 0), np.int32), np.zeros(len(rows))
    for first in range(0, len(uniforms), steps_per_call):
        kept = [place for place, row in enumerate(rows) if is_wanted(row)]
        if len(kept) < len(rows):
            rows, taken, sums = [rows[place] for place in kept], taken[kept], sums[kept]
            cross, state = cross.rows(kept), {name: array[kept] for name, array in state.items()}
        if not rows:
            break
        chance = np.tile(uniforms[first : first + steps_per_call], (len(rows), 1))
        found = _ask(networks, cross, state, temperature, chance, outputs)
        taken = np.concatenate((taken, found["sampled"]), 1)
        sums += found["sampled_log_probabilities"].sum(1, dtype=np.float64)
        if (taken[:, -1] == end).all():
            break
        state = {"tokens": taken[:, -1:], "history": found["next_history"], "cache": found["next_cache"]}
    return rows, [row[: row.index(end)] if end in row else row for row in taken.tolist()], sums.tolist()


def _begin(cross, prompts):
    """State of the decoder before the prompts, one for each row."""
    _, parts, width, _ = cross.shape
    count = len(prompts)
    return {
        "tokens": np.array(prompts, np.int32),
        "history": np.full((count, 3), -1, np.int32),
        "cache": np.zeros((count, parts, 0, width), np.float32),
    }


def _ask(networks, cross, state, temperature, uniforms, outputs):
    inputs = {
        **state,
        "temperatures": np.full(cross.shape[0], temperature, np.float32),
        "uniforms": uniforms,
    }
    return networks.decode(cross, inputs, outputs)


def given(networks, cross, tokens):
    """For a text that is known: probability [S] of each token, and the scores [H,S,1500] of the aligning heads."""
    outputs = ["token_probabilities", "alignment_scores"]
    found = _ask(networks, cross, _begin(cross, [tokens]), 0.0, np.zeros((1, 1), np.float32), outputs)
    return found["token_probabilities"][0], found["alignment_scores"][0]


def softmax(scores):
    """Over the last axis."""
    raised = np.exp(scores - scores.max(-1, keepdims=True))
    return raised / raised.sum(-1, keepdims=True)
