"""From probabilities of speech to spans of speech."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from reelscope.runs import runs
from reelscope.signals import Parameter

ON_PROBABILITY, OFF_PROBABILITY = 0.5, 0.35
"""Speech begins at the first and is over below the second, as in silero-vad's own `get_speech_timestamps`; it ended
when it last was as probable as the first."""
LAG_FRAMES = 1
"""The network answers so much late: on espeak speech, clean and in noise, starts are then right within 0.08 s and ends
within 0.09 s, instead of 0.11 and 0.12."""
MIN_PAUSE_SECONDS = 0.25
"""What is shorter is no pause but a stop inside speech (ANALYZERS.md, speech_flow)."""
MIN_SPEECH_SECONDS = 0.1

PARAMETERS: dict[str, Parameter] = {
    "speech_on_probability": ON_PROBABILITY,
    "speech_off_probability": OFF_PROBABILITY,
    "speech_min_pause_seconds": MIN_PAUSE_SECONDS,
    "speech_min_seconds": MIN_SPEECH_SECONDS,
}


def speech_spans(probabilities: NDArray[np.float32], hop_seconds: float) -> NDArray[np.float64]:
    """Spans of speech, [k, 2] start and end in seconds from the first probability, sorted and disjoint.

    Args:
        probabilities: [n] of speech in [k * hop, (k + 1) * hop).
        hop_seconds: their spacing.
    """
    # A value between the thresholds leaves things as they are: carry the last decided one forward.
    decided = np.where(probabilities >= ON_PROBABILITY, 1, np.where(probabilities < OFF_PROBABILITY, 0, -1))
    last = np.maximum.accumulate(np.where(decided >= 0, np.arange(len(decided)), -1))
    is_speech = (last >= 0) & (decided[last] == 1)
    merged: list[list[float]] = []
    for first, after in runs(is_speech).tolist():
        start = max(0, first - LAG_FRAMES) * hop_seconds
        end = max(0, int(last[after - 1]) + 1 - LAG_FRAMES) * hop_seconds
        if merged and start - merged[-1][1] < MIN_PAUSE_SECONDS:
            merged[-1][1] = end
        else:
            merged.append([start, end])
    spans = np.array(merged, np.float64).reshape(-1, 2)
    return spans[spans[:, 1] - spans[:, 0] >= MIN_SPEECH_SECONDS]


def within(spans_seconds: NDArray[np.float64], end_seconds: float) -> NDArray[np.float64]:
    """Spans cut off at the end of the clip; those that lie behind it are left out."""
    clipped = np.minimum(spans_seconds, end_seconds)
    return clipped[clipped[:, 1] > clipped[:, 0]]
