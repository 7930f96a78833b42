"""Which token comes next: Whisper's rules of what may, and the choice among those.

The rules are those of openai-whisper's `SuppressTokens` and `ApplyTimestampRules`; the choice is its `GreedyDecoder`'s.
They are part of the decoder's graph, so that logits of 50 000 tokens need not leave it in every step. Sampling inverts
the distribution function at a uniform number that the caller draws, so that a graph without randomness can do it and
equal requests get equal answers.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

_LAST_FIRST_STAMP = 50
"""Time stamps above this, 1 s, cannot come first (the library's max_initial_timestamp)."""
_NEVER = torch.finfo(torch.float32).min / 4
"""In the place of minus infinity, which has no difference to itself."""
NONE = -1
"""No token."""


class Rules(nn.Module):
    """What may come next."""

    ids: Tensor
    never: Tensor

    def __init__(self, tokenizer: Any) -> None:
        """Take the special tokens of a tokenizer of the library."""
        super().__init__()
        self.end, self.first_stamp = int(tokenizer.eot), int(tokenizer.timestamp_begin)
        self.register_buffer("ids", torch.arange(tokenizer.encoding.n_vocab, dtype=torch.int32))
        never = torch.zeros(tokenizer.encoding.n_vocab, dtype=torch.bool)
        never[suppressed(tokenizer)] = True
        self.register_buffer("never", never)

    def forward(self, logits: Tensor, history: Tensor) -> Tensor:
        """Logits [N,V] with what may not come made impossible; `history` [N,3] as `after` gives it."""
        before_last, last, stamp = (column.unsqueeze(1) for column in history.unbind(1))
        is_stamp, is_text = self.ids >= self.first_stamp, self.ids < self.end
        opens = (last >= self.first_stamp) & ((before_last >= self.first_stamp) | (before_last == NONE))
        closes = (last >= self.first_stamp) & ~opens
        # Time does not run backwards, and no segment is empty: its end lies behind its beginning.
        earliest = torch.where(stamp == NONE, self.first_stamp, stamp + torch.where(closes, 0, 1))
        forbidden = self.never | (is_stamp & (opens | (self.ids < earliest))) | (is_text & closes)
        first = last == NONE
        latest_first = self.first_stamp + _LAST_FIRST_STAMP
        forbidden = forbidden | (first & (~is_stamp | (self.ids > latest_first)))
        allowed = torch.where(forbidden, _NEVER, logits)
        stamps, others = allowed[:, self.first_stamp :], allowed[:, : self.first_stamp]
        stamped = torch.logsumexp(stamps, 1, keepdim=True) > others.amax(1, keepdim=True)
        return torch.where(stamped & ~is_stamp, _NEVER, allowed)

    def after(self, history: Tensor, token: Tensor) -> Tensor:
        """The history [N,3] when `token` [N] has come: the last but one, the last, the last time stamp, -1 for none."""
        _, last, stamp = history.unbind(1)
        return torch.stack((last, token, torch.where(token >= self.first_stamp, token, stamp)), 1)


class Choice(nn.Module):
    """The next token: the likeliest at temperature 0, else drawn."""

    def __init__(self, rules: Rules) -> None:
        """Choose among what `rules` allow."""
        super().__init__()
        self.rules = rules

    def forward(
        self, logits: Tensor, history: Tensor, temperatures: Tensor, uniform: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Token [N] int32, its log-probability [N] at temperature 1, and the history after it; an end stays one."""
        allowed = self.rules(logits, history)
        likeliest = allowed.argmax(1).to(torch.int32)
        heat = torch.where(temperatures > 0, temperatures, 1.0).unsqueeze(1)
        cumulated = torch.softmax(allowed / heat, 1).cumsum(1)
        below = cumulated <= uniform.unsqueeze(1) * cumulated[:, -1:]
        drawn = below.to(torch.int32).sum(1).to(torch.int32)
        token = torch.where(temperatures > 0, drawn, likeliest)
        chosen = allowed.gather(1, token.to(torch.int64).unsqueeze(1)).squeeze(1)
        ended = history[:, 1] == self.rules.end
        log_probability = torch.where(ended, 0.0, chosen - torch.logsumexp(allowed, 1))
        token = torch.where(ended, self.rules.end, token).to(torch.int32)
        return token, log_probability, self.rules.after(history, token)


def suppressed(tokenizer: Any) -> list[int]:
    """Tokens that are never said: notes in brackets, music, and what steers the network."""
    steering = (
        tokenizer.transcribe,
        tokenizer.translate,
        tokenizer.sot,
        tokenizer.sot_prev,
        tokenizer.sot_lm,
        tokenizer.no_speech,
        tokenizer.no_timestamps,
    )
    return sorted({*tokenizer.non_speech_tokens, *steering})
