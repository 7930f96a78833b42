"""What is decoded: windows of at most 30 s made of speech alone, cut where nobody speaks.

Spans of speech come from Silero's probabilities by its own rules (`get_speech_timestamps`, its defaults). Each span
keeps a margin of the sound around it; what lies between is left out, so that nothing is decoded where nobody speaks,
and no word can be put there. A span longer than a window is cut at its least certain moment. No sample is in two
windows: there are no seams to join.
"""

from dataclasses import dataclass

import numpy as np

RATE_HZ = 16_000
CHUNK_SAMPLES = 512
WINDOW_SAMPLES = 30 * RATE_HZ
MARGIN_SAMPLES = RATE_HZ // 5
"""Speech begins before it is certain; the specification allows words 0.2 s beyond it."""

_SPEECH, _NO_SPEECH = 0.5, 0.35
_MIN_SPEECH_SAMPLES, _MIN_SILENCE_SAMPLES = RATE_HZ // 4, RATE_HZ // 10


@dataclass(frozen=True)
class Window:
    """Sound to decode, and where its pieces come from."""

    samples: np.ndarray
    """float32 [n], n at most WINDOW_SAMPLES."""
    pieces: list
    """First and last-but-one sample of each piece in the request's waveform, in order, disjoint."""

    def moved(self, start_seconds, end_seconds):
        """A time span of the window in the request's time, within the piece that holds its middle."""
        lengths = np.array([end - start for start, end in self.pieces])
        begins = np.concatenate(([0], np.cumsum(lengths)[:-1])) / RATE_HZ
        middle = (start_seconds + end_seconds) / 2
        number = max(int(np.searchsorted(begins, middle, side="right")) - 1, 0)
        first, last = (edge / RATE_HZ for edge in self.pieces[number])
        shift = first - float(begins[number])
        return tuple(min(max(time + shift, first), last) for time in (start_seconds, end_seconds))


def windows(waveform, probabilities):
    """Windows of a waveform, float32 [n]; `probabilities` of speech, one for each 512 samples."""
    pieces = [
        part
        for piece in _with_margins(spans(probabilities, len(waveform)), len(waveform))
        for part in _short_enough(piece, probabilities)
    ]
    packed, room = [], 0
    for start, end in pieces:
        if end - start > room:
            packed.append([])
            room = WINDOW_SAMPLES
        packed[-1].append((start, end))
        room -= end - start
    return [Window(np.concatenate([waveform[start:end] for start, end in each]), each) for each in packed]


def spans(probabilities, sample_count):
    """Spans of speech as pairs of samples, sorted and disjoint."""
    found, start, quiet = [], None, None
    for number, probability in enumerate(probabilities):
        here = number * CHUNK_SAMPLES
        if probability >= _SPEECH:
            start, quiet = here if start is None else start, None
        elif start is not None and probability < _NO_SPEECH:
            quiet = here if quiet is None else quiet
            if here - quiet >= _MIN_SILENCE_SAMPLES:
                found.append((start, quiet))
                start = quiet = None
    if start is not None:
        found.append((start, sample_count))
    return [(start, end) for start, end in found if end - start > _MIN_SPEECH_SAMPLES]


def _with_margins(found, sample_count):
    """Spans with their margins; those that touch become one."""
    joined = []
    for start, end in found:
        start, end = max(start - MARGIN_SAMPLES, 0), min(end + MARGIN_SAMPLES, sample_count)
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return joined


def _short_enough(piece, probabilities):
    """Yield parts that fit into a window, cut in their second half where speech is least probable."""
    start, end = piece
    while end - start > WINDOW_SAMPLES:
        first, last = (-(-(start + part) // CHUNK_SAMPLES) for part in (WINDOW_SAMPLES // 2, WINDOW_SAMPLES))
        quietest = first + int(np.argmin(probabilities[first : last - 1]))
        cut = quietest * CHUNK_SAMPLES + CHUNK_SAMPLES // 2
        yield start, cut
        start = cut
    yield start, end
