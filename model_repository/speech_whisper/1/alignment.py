"""When each word is said: the attention of the decoder's aligning heads, warped onto time.

As openai-whisper's `find_alignment` and `add_word_timestamps`: the heads' attention is normalised over the tokens and
smoothed, dynamic time warping finds the path of tokens through time, and words that come out implausibly long beside a
pause are shortened.
"""

import itertools
from dataclasses import dataclass

import numpy as np
from decoding import given, softmax
from segments import FRAMES_PER_SECOND

POSITIONS_PER_SECOND = 50
_SMOOTHED_POSITIONS = 7
_BOTH, _DOWN, _ALONG = range(3)
"""Steps of a path: to the next token and position, the next token, the next position."""
_MAX_MEDIAN_SECONDS = 0.7
_SENTENCE_ENDS = ".。!！?？"  # noqa: RUF001 - full width
_OPENING = "\"'“¿([{-"
_CLOSING = "\"'.。,，!！?？:：”)]}、"  # noqa: RUF001 - full width


@dataclass
class Word:
    """One word; times are seconds, from the beginning of the pass or, in a segment, of the window."""

    text: str
    tokens: list
    start: float
    end: float
    probability: float


def align(networks, cross, tokens, prompt, segments, language, seek, frame_count, last_speech_end):
    """Give the segments of one pass their words, and more exact times.

    Args:
        networks: of the batch.
        cross: of the encoder, of this window alone.
        tokens: the network's.
        prompt: tokens that began the text.
        segments: of the pass, changed in place.
        language: code of the language.
        seek: frame of the window at which the pass began.
        frame_count: frames of sound that it heard.
        last_speech_end: end of what was said before, in seconds of the window.
    """
    texts = [[token for token in segment.tokens if token < tokens.end] for segment in segments]
    said = [token for text in texts for token in text]
    if not said:
        return
    probabilities, scores = given(networks, cross, [*prompt, tokens.no_timestamps, *said, tokens.end])
    begins = times(scores, frame_count, len(prompt))
    words, place = [], 0
    for text, part in tokens.words(said, language):
        first, place = place, place + len(part)
        chances = probabilities[len(prompt) + 1 + first : len(prompt) + 1 + place]
        words.append(Word(text, part, float(begins[first]), float(begins[place]), float(np.mean(chances, dtype=float))))
    if not words:
        return
    typical = _typical_seconds(words)
    _shorten_at_sentence_ends(words, 2 * typical)
    merge_punctuation(words)
    _hand_out(words, segments, texts, seek / FRAMES_PER_SECOND)
    for segment in segments:
        if segment.words:
            last_speech_end = _settle(segment, typical, last_speech_end)


def times(scores, frame_count, prompt_count):
    """When each token after the prompt and the one that follows it begins, in seconds of the pass.

    Args:
        scores: [H,S,1500] of the prompt, the token for no time stamps, the text and the end.
        frame_count: frames of sound; positions behind it do not count.
        prompt_count: tokens of the prompt.
    """
    weights = softmax(scores[:, :, : frame_count // 2].astype(np.float32))
    spread = weights.std(1, keepdims=True)
    # Where no token differs from another there is nothing to learn.
    weights = np.where(spread > 0, (weights - weights.mean(1, keepdims=True)) / np.where(spread > 0, spread, 1), 0)
    matrix = _smoothed(weights).mean(0)[prompt_count:-1]
    token_path, time_path = warp(-matrix.astype(np.float64))
    jumps = np.diff(token_path, prepend=-1).astype(bool)
    return time_path[jumps] / POSITIONS_PER_SECOND


def _smoothed(weights):
    """Median of seven neighbours in time; reflected at both ends.

    Neighbours are sorted by odd-even transposition, of whole arrays: numpy's sort takes each seven by themselves.
    """
    margin = _SMOOTHED_POSITIONS // 2
    if weights.shape[-1] <= margin:
        return weights
    padded = np.pad(weights, ((0, 0), (0, 0), (margin, margin)), mode="reflect")
    ranked = [padded[..., first : first + weights.shape[-1]] for first in range(_SMOOTHED_POSITIONS)]
    for turn in range(_SMOOTHED_POSITIONS):
        for place in range(turn % 2, _SMOOTHED_POSITIONS - 1, 2):
            pair = ranked[place], ranked[place + 1]
            ranked[place], ranked[place + 1] = np.minimum(*pair), np.maximum(*pair)
    return ranked[margin]


def warp(costs):
    """The cheapest path through [tokens, positions], forward in both: indices of its steps in each.

    Every step costs what it enters. All cells of an antidiagonal are computed at once, and lie in one row here.
    """
    height, width = costs.shape
    # [diagonal, token]; in cells that are no step, and around them, everything is infinite.
    entered = np.full((height + width + 1, height + 1), np.inf)
    for token in range(1, height + 1):
        entered[token + 1 : token + 1 + width, token] = costs[token - 1]
    # Sums are kept as openai-whisper keeps them, so that it and we choose alike between paths that are almost equal.
    total = np.full(entered.shape, np.inf, np.float32)
    total[0, 0] = 0
    for diagonal in range(2, len(total)):
        both, down, along = total[diagonal - 2, :-1], total[diagonal - 1, :-1], total[diagonal - 1, 1:]
        aside = np.minimum(both, down)
        # Where two are equal, the path goes along.
        cheapest = np.where((both != down) & (aside < along), aside, along)
        total[diagonal, 1:] = entered[diagonal, 1:] + cheapest
    both, down, along = total[:-2, :-1], total[1:-1, :-1], total[1:-1, 1:]
    steps = np.where((both < down) & (both < along), _BOTH, np.where((down < both) & (down < along), _DOWN, _ALONG))
    row, column, path = height, width, []
    while row > 0 or column > 0:
        path.append((row - 1, column - 1))
        step = _ALONG if row == 0 else _DOWN if column == 0 else steps[row + column - 2, row - 1]
        row, column = row - (step != _ALONG), column - (step != _DOWN)
    return np.array(path[::-1]).T


def _typical_seconds(words):
    lengths = [word.end - word.start for word in words if word.end != word.start]
    return min(_MAX_MEDIAN_SECONDS, float(np.median(lengths))) if lengths else 0.0


def _shorten_at_sentence_ends(words, longest):
    """A pause after a sentence belongs neither to its mark nor to the word that follows."""
    if not longest:
        return
    for before, word in itertools.pairwise(words):
        if word.end - word.start > longest:
            if word.text in _SENTENCE_ENDS:
                word.end = word.start + longest
            elif before.text in _SENTENCE_ENDS:
                word.start = word.end - longest


def merge_punctuation(words):
    """Put punctuation to the word that it belongs to; what has been put elsewhere is left without text and tokens."""
    following = words[-1]
    for word in reversed(words[:-1]):
        if word.text.startswith(" ") and word.text.strip() in _OPENING:
            following.text, following.tokens = word.text + following.text, word.tokens + following.tokens
            word.text, word.tokens = "", []
        else:
            following = word
    before = words[0]
    for word in words[1:]:
        if not before.text.endswith(" ") and word.text in _CLOSING:
            before.text, before.tokens = before.text + word.text, before.tokens + word.tokens
            word.text, word.tokens = "", []
        else:
            before = word


def _hand_out(words, segments, texts, begin):
    """Give each segment as many words as its tokens make, at times of the window, in hundredths of a second."""
    waiting = list(reversed(words))
    for segment, text in zip(segments, texts, strict=True):
        count = 0
        while waiting and count < len(text):
            word = waiting.pop()
            count += len(word.tokens)
            if word.text:
                word.start, word.end = round(begin + word.start, 2), round(begin + word.end, 2)
                segment.words.append(word)


def _settle(segment, typical, last_speech_end):
    """Shorten words at the segment's ends that are too long; returns the segment's end, which follows them.

    The heuristics are the library's, number by number.
    """
    words, longest = segment.words, 2 * typical
    first, last = words[0], words[-1]
    second = words[1] if len(words) > 1 else None
    after_pause = first.end - last_speech_end > 4 * typical
    if after_pause and (first.end - first.start > longest or (second and second.end - first.start > 2 * longest)):
        if second and second.end - second.start > longest:
            first.end = second.start = max(second.end / 2, second.end - longest)
        first.start = max(0, first.end - longest)
    if segment.start < first.end and segment.start - 0.5 > first.start:
        first.start = max(0, min(first.end - typical, segment.start))
    else:
        segment.start = first.start
    if segment.end > last.start and segment.end + 0.5 < last.end:
        last.end = max(last.start + typical, segment.end)
    else:
        segment.end = last.end
    return segment.end
