"""Where analyzers contradict each other, or what is shown contradicts what is heard. A rule that lacks an input, or
whose input comes from an untrained model, finds nothing.

- caption_and_speech: a caption, or a line in the captions' place, differs from what is said while it is there and a
  second before and after. Compared is the stretch of about as many words that fits best; strength: 1 less their
  likeness.
- face_and_voice: for half a second or more, a face smiles while the voice sounds negative, or shows anger, sadness,
  fear, disgust or contempt while the voice sounds positive. Apparent, both of them. Strength: the expression's
  probability times how far the voice is from neutral.
- speech_without_face: somebody speaks for a second or more, and no face can be seen: a voice-over, somebody off screen,
  or a mouth turned away. Strength: the share of that stretch of speech.
- call_to_action: what viewers are told to do in writing within two seconds of being told differs from what they are
  told. Strength: 1 less their likeness.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from reelscope.analyzers.base import Segment
from reelscope.analyzers.calls_to_action import is_call_to_action, words
from reelscope.analyzers.cross_kinds import CrossData, Observed, Rule, evidence
from reelscope.analyzers.edit_distance import edit_ratio
from reelscope.runs import runs

MIN_LIKENESS = 0.75
"""Captions and calls that fit what is said worse than this contradict it: two misheard letters in a word of eight do
not."""
CAPTION_SECONDS = 1.0
"""Captions come a little before what is said, and stay a little longer."""
CALL_SECONDS = 2.0
SAME_HEIGHT_RATIO = 0.8
"""Lines of one style differ by less in height."""
MIN_TOGETHER_SECONDS = 0.5
SURE_EXPRESSION = 0.5
"""Probability from which on an expression counts."""
NEGATIVE_VALENCE, POSITIVE_VALENCE = 0.35, 0.65
"""Of a voice, 0-1; between them it is about neutral."""
NEGATIVE = ("sad", "fear", "disgust", "anger", "contempt")
MIN_SPEECH_SECONDS = 1.0
SPEECH_GAP_SECONDS = 0.5
"""Speech that pauses for less goes on."""


def conflicts(observed: Observed) -> list[Segment[CrossData]]:
    """Everything that breaks a rule."""
    rules = (_captions, _faces_and_voices, _speech_without_face, _calls)
    return [conflict for rule in rules for conflict in rule(observed)]


def _conflict(
    rule: Rule, start: float, end: float, strength: float, text: str, *shown: Segment[Any]
) -> Segment[CrossData]:
    strength = float(np.clip(strength, 0, 1))
    return Segment(
        kind="span",
        start_seconds=start,
        end_seconds=end,
        label="conflict",
        score=strength,
        data=CrossData(evidence=evidence(*shown), strength=strength, text=text, rule=rule),
    )


def _captions(observed: Observed) -> Iterator[Segment[CrossData]]:
    lines = observed.segments("text_overlay", "caption", "text")
    captions = [line for line in lines if line.label == "caption"]
    for line in lines:
        if line.label == "caption" or any(_in_place_of(line, caption) for caption in captions):
            start, end = line.start_seconds - CAPTION_SECONDS, line.end_seconds + CAPTION_SECONDS
            utterances = [said for said in observed.segments("speech_transcription") if _overlap(said, line) > 0]
            heard = _heard(utterances, start, end)
            written = words(line.data.text)
            if heard and written and (likeness := _likeness(written, heard)) < MIN_LIKENESS:
                text = "a caption reads otherwise than what is said"
                times = line.start_seconds, line.end_seconds
                yield _conflict("caption_and_speech", *times, 1 - likeness, text, line, *utterances)


def _in_place_of(line: Segment[Any], caption: Segment[Any]) -> bool:
    """Whether a line stands where a caption does, in its size."""
    mine, its = (sum(segment.data.quad[1::2]) / 4 for segment in (line, caption))
    shorter, taller = sorted((line.data.height_percent, caption.data.height_percent))
    return bool(shorter >= SAME_HEIGHT_RATIO * taller and abs(mine - its) < taller / 200)


def _heard(utterances: Sequence[Segment[Any]], start: float, end: float) -> tuple[str, ...]:
    """Words of which something is said in [start, end)."""
    said = (word for utterance in utterances for word in utterance.data.words)
    return words(" ".join(word.spoken_word for word in said if word.start_seconds < end and word.end_seconds > start))


def _likeness(written: Sequence[str], heard: Sequence[str]) -> float:
    """Edit ratio 0-1 of a text and the stretch of what is said, a word shorter or longer at most, that fits it best."""
    text = " ".join(written)
    best = 0.0
    for count in range(max(1, len(written) - 1), len(written) + 2):
        for first in range(max(1, len(heard) - count + 1)):
            best = max(best, edit_ratio(text, " ".join(heard[first : first + count])))
    return best


def _overlap(one: Segment[Any], other: Segment[Any]) -> float:
    return min(one.end_seconds, other.end_seconds) - max(one.start_seconds, other.start_seconds)


def _faces_and_voices(observed: Observed) -> Iterator[Segment[CrossData]]:
    faces, voices = observed.segments("face_emotion", "happy", *NEGATIVE), observed.segments("speech_emotion")
    for face, voice in itertools.product(faces, voices):
        valence = voice.data.valence
        if valence is None or (face.score or 0) < SURE_EXPRESSION or _overlap(face, voice) < MIN_TOGETHER_SECONDS:
            continue
        smiles = face.label == "happy"
        if valence <= NEGATIVE_VALENCE if smiles else valence >= POSITIVE_VALENCE:
            start, end = max(face.start_seconds, voice.start_seconds), min(face.end_seconds, voice.end_seconds)
            strength = (face.score or 0) * abs(valence - 0.5) / 0.5
            shown, sound = ("a smile", "negative") if smiles else (f"an expression of {face.label}", "positive")
            text = f"{shown} with a voice that sounds {sound}"
            yield _conflict("face_and_voice", start, end, strength, text, face, voice)


def _speech_without_face(observed: Observed) -> Iterator[Segment[CrossData]]:
    """Between two sampled frames a face is taken to be where it is in the earlier one."""
    if observed.activity is None or observed.faces is None or not len(observed.faces.times_seconds):
        return
    times = observed.faces.times_seconds
    is_empty = np.bincount(observed.faces.frame, minlength=len(times)) == 0
    edges = np.append(times, observed.duration_seconds)
    said = (*observed.segments("speech_transcription"), *observed.segments("speech_rate"))
    for speech_start, speech_end in _stretches(observed.activity.spans_seconds.tolist()):
        for first, after in runs(is_empty).tolist():
            start, end = max(speech_start, float(edges[first])), min(speech_end, float(edges[after]))
            if end - start >= MIN_SPEECH_SECONDS:
                shown = [each for each in said if each.start_seconds < end and each.end_seconds > start]
                strength = (end - start) / (speech_end - speech_start)
                text = "speech while no face can be seen"
                yield _conflict("speech_without_face", start, end, strength, text, *shown)


def _stretches(spans: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Spans of speech, sorted, without their short pauses."""
    joined: list[tuple[float, float]] = []
    for start, end in spans:
        if joined and start - joined[-1][1] < SPEECH_GAP_SECONDS:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return joined


def _calls(observed: Observed) -> Iterator[Segment[CrossData]]:
    for said in observed.segments("speech_transcription"):
        near = [line for line in observed.segments("text_overlay", "cta") if _overlap(said, line) > -CALL_SECONDS]
        heard = words(said.data.text)
        if not near or not is_call_to_action(said.data.text) or not heard:
            continue
        together = " ".join(line.data.text for line in near)
        texts = [text for text in (together, *(line.data.text for line in near)) if words(text)]
        likeness = max((_likeness(words(text), heard) for text in texts), default=1.0)
        if likeness < MIN_LIKENESS:
            start = min(said.start_seconds, *(line.start_seconds for line in near))
            end = max(said.end_seconds, *(line.end_seconds for line in near))
            text = "the call to action that is said differs from the one in writing"
            yield _conflict("call_to_action", start, end, 1 - likeness, text, said, *near)
