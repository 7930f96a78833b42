"""Questions and their answers, and what can be wrong with either."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


class BadQuestion(Exception):
    """It cannot be answered, whoever asks; the message says why."""


class Cancelled(Exception):
    """Nobody waits for the answer any more, or its time is over."""


class NotFinite(Exception):
    """The network's output is not a number, or it only repeats itself."""


class OutOfMemory(Exception):
    """The answer needs more memory than there is."""


@dataclass(frozen=True)
class Question:
    """One task about some frames."""

    frames: np.ndarray
    """uint8 [n, h, w, 3] RGB."""
    task: str
    context: str
    is_cancelled: Callable[[], bool] = lambda: False
    """Asked between the steps of decoding."""


@dataclass(frozen=True)
class Answer:
    """What the network says."""

    text: str
    """JSON, by the task's schema."""
    frame_count: int
    """Frames that it saw; fewer than asked about where those were too many."""
    prompt_tokens: int
    answer_tokens: int
    """With the one that ends it."""
    prepared_seconds: float
    """Of the batch: frames resized and cut into patches, text into tokens."""
    first_token_seconds: float
    """Of the batch, from its beginning until the first token of every answer is known."""
    seconds: float
    """Of the batch, in all."""
