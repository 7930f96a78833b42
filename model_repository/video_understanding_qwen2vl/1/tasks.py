"""What can be asked about frames, and the JSON that answers it.

Answers are English, in printable ASCII without quotes and backslashes: a character is then one byte, nothing is
escaped, and no answer has more tokens than its longest form has bytes. That is the budget of a task, whatever the
tokenizer: an answer is never cut off. No text is longer than 120 characters, because xgrammar fills its mask in 20
microseconds up to there and in 7 milliseconds for a text of 320.
"""

import json
from dataclasses import dataclass

TEXT = r"[ !#-\[\]-~]"
"""Characters of a text."""
SHOT_SIZES = ("ECU", "CU", "MCU", "MS", "MLS", "LS", "EWS")
"""Extreme close-up to extreme wide shot."""
HOOKS = ("question", "claim", "demonstration", "surprise", "story", "person", "text", "other")
END_TOKENS = 1


def _text(longest, shortest=0):
    return {"type": "string", "maxLength": longest, "pattern": f"^{TEXT}{{{shortest},{longest}}}$"}


def _texts(count, longest):
    return {"type": "array", "items": _text(longest, 1), "maxItems": count}


def _object(**properties):
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


@dataclass(frozen=True)
class Task:
    """One kind of question."""

    name: str
    instruction: str
    schema: dict

    @property
    def new_tokens(self):
        """Tokens that the longest valid answer can have, and the one that ends it."""
        return longest_bytes(self.schema) + END_TOKENS

    @property
    def grammar(self):
        """The schema as JSON, without `maxLength`, which the patterns imply: xgrammar takes one of the two."""
        return json.dumps(_without_lengths(self.schema))

    def prompt(self, context):
        """What is said about the frames; `context` is what else is known, and cannot speak for the user."""
        quoted = context.replace("<|", "< |")
        return f"{self.instruction}\n\nAlso known:\n{quoted}" if quoted else self.instruction


def _without_lengths(schema):
    if not isinstance(schema, dict):
        return schema
    return {key: _without_lengths(value) for key, value in schema.items() if key != "maxLength"}


def longest_bytes(schema):
    """Length of the longest compact JSON that a schema of this module allows."""
    if "enum" in schema:
        return max(len(json.dumps(value)) for value in schema["enum"])
    if schema["type"] == "string":
        return schema["maxLength"] + 2
    if schema["type"] == "array":
        return 2 + schema["maxItems"] * (longest_bytes(schema["items"]) + 1) - 1
    return 1 + sum(len(json.dumps(name)) + 2 + longest_bytes(each) for name, each in schema["properties"].items())


TASKS = {
    task.name: task
    for task in (
        Task(
            "window",
            "These frames are consecutive moments of a short video. Say what is visible, nothing else, as JSON: a "
            "caption of one sentence, the subjects, what they do (action), where (setting), the shot size (ECU "
            "extreme close-up, CU close-up, MCU, MS medium shot, MLS, LS long shot, EWS extreme wide shot) and the "
            "mood. Mention a person only if one is visible.",
            _object(
                caption=_text(120, 1),
                subjects=_texts(3, 24),
                action=_text(40),
                setting=_text(32),
                shot_size={"type": "string", "enum": list(SHOT_SIZES)},
                mood=_text(16),
            ),
        ),
        Task(
            "synthesis",
            "These frames are moments of a short video in order; what was seen in each part follows. Sum the video "
            "up as JSON: a synopsis of up to three sentences, its genre, its topics, what its first seconds hook "
            "viewers with, the call to action if there is one, its claims, and the language (ISO 639-1) that it "
            "speaks or shows. Leave empty what it does not have.",
            _object(
                synopsis=_texts(3, 110),
                genre=_text(24),
                topics=_texts(4, 24),
                hook_type={"type": "string", "enum": list(HOOKS)},
                cta=_text(64),
                claims=_texts(2, 64),
                language={"type": "string", "maxLength": 2, "pattern": "^([a-z][a-z])?$"},
            ),
        ),
    )
}
"""By name."""
