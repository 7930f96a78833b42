"""The rows of a batch while they are decoded: what each may say next, and when it is done."""

import time

import torch
from transformers import LogitsProcessor, StoppingCriteria


class Rows:
    """Follows every row from step to step; `constraint` may be None.

    Attributes:
        first_token_at: `time.perf_counter()` when the first tokens were known; None before.
        cancelled: rows that were stopped because nobody waits for them.
        broken: rows whose scores were no numbers.
        tokens: ids of every row so far.
    """

    def __init__(self, questions, constraint, end_token, new_tokens):
        """Begin; `new_tokens` is the budget of each row."""
        self._questions, self._constraint, self._end_token = questions, constraint, end_token
        self._new_tokens = new_tokens
        self.tokens = [[] for _ in questions]
        self.cancelled, self.broken = set(), set()
        self.first_token_at = None
        self._running = set(range(len(questions)))
        self._finite = None

    def restrict(self, scores):
        """Mask what the running rows may not say; the scores of others do not matter."""
        finite = torch.isfinite(scores[: len(self._questions)]).all(dim=1)
        self._finite = finite if self._finite is None else self._finite & finite
        if self._constraint is not None:
            self._constraint.mask(scores, sorted(self._running))
        return scores

    def advance(self, newest):
        """Take the newest token of every row; returns the rows that go on."""
        if self.first_token_at is None:
            self.first_token_at = time.perf_counter()
        for row in sorted(self._running):
            self._take(row, newest[row])
        return self._running

    def settle(self):
        """After the last step: note the rows whose scores were no numbers, which costs one look at the GPU."""
        if self._finite is not None:
            self.broken |= {row for row, finite in enumerate(self._finite.tolist()) if not finite}

    def _take(self, row, token):
        self.tokens[row].append(token)
        if self._constraint is not None and not self._constraint.accept(row, token):
            self.broken.add(row)
        elif self._questions[row].is_cancelled():
            self.cancelled.add(row)
        elif token != self._end_token and len(self.tokens[row]) < self._new_tokens[row]:
            return
        self._running.discard(row)


class Restriction(LogitsProcessor):
    """`Rows.restrict` as `generate` wants it."""

    def __init__(self, rows):
        """Wrap."""
        self._rows = rows

    def __call__(self, input_ids, scores):
        """Restrict."""
        return self._rows.restrict(scores)


class End(StoppingCriteria):
    """`Rows.advance` as `generate` wants it."""

    def __init__(self, rows):
        """Wrap."""
        self._rows = rows

    def __call__(self, input_ids, scores, **kwargs):
        """Advance; returns which rows are done, bool [rows]."""
        running = self._rows.advance(input_ids[:, -1].tolist())
        return torch.tensor([row not in running for row in range(len(input_ids))], device=input_ids.device)
