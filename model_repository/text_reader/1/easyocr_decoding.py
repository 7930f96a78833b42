"""What the recognition says at each step, put together to a string.

Greedy decoding of connectionist temporal classification (Graves et al. 2006), with EasyOCR 1.7's confidence.
"""

import numpy as np

NONE_ID = 0
"""Index that stands for no character."""
_NAMED = {"<none>": "", "<space>": " "}
"""Lines of labels.txt that are no character themselves."""


def read_characters(labels):
    """Read the characters by index from the file labels.txt: one a line, with two that are named."""
    return [_NAMED.get(label, label) for label in labels.read_text(encoding="utf-8").splitlines()]


def decode(ids, probabilities, characters):
    """Decode one line.

    Args:
        ids: int32 [T], index of the best character at each step.
        probabilities: float32 [T] of these.
        characters: by index.

    Returns:
        The text, perhaps empty, and EasyOCR's confidence, 0-1: the product of the probabilities of all characters,
        to the power of 2 / sqrt(their number).
    """
    begins = np.append(True, ids[1:] != ids[:-1])
    text = "".join(characters[each] for each in ids[begins & (ids != NONE_ID)])
    said = probabilities[ids != NONE_ID]
    return text, float(said.prod() ** (2 / np.sqrt(len(said)))) if len(said) else 0.0
