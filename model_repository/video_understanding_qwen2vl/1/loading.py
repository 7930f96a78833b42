"""From a built file to answers: opened, checked, and on a GPU warm."""

import json

import checkpoint
import numpy as np
import torch
from answering import Answerer
from constraint import Grammars
from decoding import PROMPT_ROWS, SHORT_SLOTS
from questions import Answer, Question
from safetensors import SafetensorError

WARM_FRAMES = np.zeros((8, 392, 504, 3), np.uint8)
"""A window as the client sends it; upright ones have as many patches."""


class NotLoaded(Exception):
    """The model cannot serve; the message says what to do."""


def load(name, file, *, device, thread_count, max_frames, max_prompt_tokens, max_rows):
    """Open a built file.

    Returns:
        The `Answerer`, and the provenance as JSON.

    Raises:
        NotLoaded: the file cannot be opened, there is no GPU for it, or it is trained and talks nonsense.
    """
    on_gpu = device != "cpu"
    if on_gpu and not torch.cuda.is_available():
        raise NotLoaded(f"{name}: the config asks for a GPU and torch {torch.__version__} finds none")
    if thread_count:
        torch.set_num_threads(thread_count)
    try:
        opened = checkpoint.read(file, device)
    except (OSError, KeyError, ValueError, SafetensorError) as error:
        place = f"{file.parent.name}/{file.name}"
        raise NotLoaded(
            f"{name}: {place} cannot be opened ({error}); reelscope-export {name} --profile NAME --force"
        ) from error
    grammars = Grammars(opened.processor.tokenizer, opened.network.config.get_text_config().vocab_size)
    limits = {"max_frames": max_frames, "max_prompt_tokens": max_prompt_tokens, "max_rows": max_rows}
    answerer = Answerer(opened, grammars, static=on_gpu, **limits)
    if json.loads(opened.provenance)["trained"]:
        answerer.require_sense()
    if on_gpu:
        warm_up(answerer, opened.processor.tokenizer, max_rows)
    return answerer, opened.provenance


def warm_up(answerer, tokenizer, max_rows):
    """Ask what clients ask, short and long, one and many, so that no clip waits for what is done once.

    Raises:
        NotLoaded: it cannot be answered.
    """
    word = "so "
    per_word = len(tokenizer(word * 64).input_ids) / 64
    long = word * int(SHORT_SLOTS / per_word)
    for context, counts in (("", (1, PROMPT_ROWS, max_rows)), (long, (1, PROMPT_ROWS))):
        for rows in sorted({min(count, max_rows) for count in counts}):
            for found in answerer.answer([Question(WARM_FRAMES, "window", context)] * rows):
                if not isinstance(found, Answer):
                    raise NotLoaded(f"warming up failed: {found!r}") from found
