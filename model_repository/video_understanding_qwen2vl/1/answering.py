"""Batches of questions to answers; what one question meets is no other's business."""

import time

import numpy as np
import torch
from decoding import EagerDecoding, StaticDecoding
from pictures import checked, prepare
from questions import Answer, BadQuestion, Cancelled, NotFinite, OutOfMemory, Question
from rows import Rows
from tasks import TASKS

REPEATED_RATIO = 0.6
"""Share of one token in free text above which it only repeats itself; FP16 overflow gives "!!!!"."""
GOLDEN_TOKENS = 32


class Answerer:
    """Answers questions with one network."""

    def __init__(self, checkpoint, grammars, *, max_frames, max_prompt_tokens, max_rows, static):
        """Answer with `checkpoint`; `static` chooses the static cache, which has room for `max_rows` at once."""
        self._checkpoint, self._grammars = checkpoint, grammars
        self._tokenizer = checkpoint.processor.tokenizer
        self._device = checkpoint.network.device
        self._max_frames, self._max_prompt_tokens = max_frames, max_prompt_tokens
        if static:
            self._decoding = StaticDecoding(checkpoint.network, max_rows=max_rows, max_prompt_tokens=max_prompt_tokens)
        else:
            self._decoding = EagerDecoding(checkpoint.network, self._tokenizer)

    def answer(self, questions):
        """Answer questions together.

        Returns:
            For each, in order, its `Answer`, or the exception that says why it has none.
        """
        found = [self._checked(question) for question in questions]
        good = [place for place, each in enumerate(found) if isinstance(each, Question)]
        for place, answer in zip(good, self._together([found[place] for place in good]), strict=True):
            found[place] = answer
        return found

    def free_texts(self, prompts, videos, new_tokens):
        """Say what follows prompts, each with its frames, without a schema: ids of at most `new_tokens` each."""
        batch = self._batch(prompts, videos)
        questions = [Question(frames, "", prompt) for prompt, frames in zip(prompts, videos, strict=True)]
        rows = Rows(questions, None, self._tokenizer.eos_token_id, [new_tokens] * len(questions))
        self._decoding.run(batch, rows, new_tokens)
        if rows.broken:
            raise NotFinite("the network's output is not a number")
        return rows.tokens

    def require_sense(self):
        """Look at a grey ramp.

        Raises:
            NotFinite: the network says one thing over and over.
        """
        ramp = np.broadcast_to(np.linspace(0, 255, 224, dtype=np.uint8)[None, None, :, None], (2, 224, 224, 3))
        (said,) = self.free_texts(["Describe the picture."], [ramp], GOLDEN_TOKENS)
        if is_repetition(said):
            text = self._tokenizer.decode(said)
            raise NotFinite(f"it answers {text!r} to a plain question; these weights do not work in this precision")

    def _checked(self, question):
        """The question with the frames that are looked at, or what is wrong with it."""
        try:
            if question.task not in TASKS:
                raise BadQuestion(f"task is {question.task!r}; it must be one of: {', '.join(TASKS)}")
            frames = checked(question.frames, self._max_frames)
            if question.is_cancelled():
                raise Cancelled
        except (BadQuestion, Cancelled) as error:
            # Its traceback would hold this frame, and this frame what Triton wants back.
            return error.with_traceback(None)
        return Question(frames, question.task, question.context, question.is_cancelled)

    def _together(self, questions):
        """Answer checked questions; where memory does not suffice for all, fewer at a time."""
        if not questions:
            return []
        try:
            return self._decoded(questions)
        except torch.OutOfMemoryError as error:
            message = str(error)
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
        return [OutOfMemory(message)] if len(questions) == 1 else self._halved(questions)

    def _halved(self, questions):
        half = len(questions) // 2
        return self._together(questions[:half]) + self._together(questions[half:])

    def _decoded(self, questions):
        began = time.perf_counter()
        prompts = [TASKS[each.task].prompt(each.context) for each in questions]
        batch = self._batch(prompts, [each.frames for each in questions])
        lengths = batch["attention_mask"].sum(1).tolist()
        if too_long := {row for row, length in enumerate(lengths) if length > self._max_prompt_tokens}:
            return self._without(too_long, questions, lengths)
        prepared = time.perf_counter()
        budgets = [TASKS[each.task].new_tokens for each in questions]
        if len(questions) > self._decoding.rows_at_most(batch["input_ids"].shape[1] + max(budgets)):
            del batch
            return self._halved(questions)
        constraint = self._grammars.constraint([each.task for each in questions])
        rows = Rows(questions, constraint, self._tokenizer.eos_token_id, budgets)
        self._decoding.run(batch, rows, max(budgets))
        seconds = (prepared - began, rows.first_token_at - began, time.perf_counter() - began)
        return [self._outcome(row, rows, questions[row], lengths[row], seconds) for row in range(len(questions))]

    def _without(self, refused, questions, lengths):
        """Answer the others alone: a batch is as long as its longest prompt."""
        others = iter(self._together([each for row, each in enumerate(questions) if row not in refused]))
        message = f"the prompt has {{}} tokens with its frames; at most {self._max_prompt_tokens} are read"
        return [
            BadQuestion(message.format(lengths[row])) if row in refused else next(others)
            for row in range(len(questions))
        ]

    def _batch(self, prompts, videos):
        return prepare(self._checkpoint.processor, prompts, videos, self._device)

    def _outcome(self, row, rows, question, prompt_tokens, seconds):
        if row in rows.broken:
            return NotFinite("the network's output is not a number")
        if row in rows.cancelled:
            return Cancelled()
        tokens = rows.tokens[row]
        text = self._tokenizer.decode(tokens, skip_special_tokens=True)
        return Answer(text, len(question.frames), prompt_tokens, len(tokens), *seconds)


def is_repetition(tokens):
    """Whether one token makes up most of a text that is long enough to tell."""
    return len(tokens) >= 8 and max(tokens.count(token) for token in set(tokens)) / len(tokens) > REPEATED_RATIO
