"""How loud speech is over its background: signal-to-noise ratio by the shared mask of speech.

Conventions: power is the mean square of samples, full scale 1. The background is what is heard where nobody speaks, not
right before a span (the detector may be late) nor soon after it (the room still sounds). Digital silence is no
background: where there is nothing else, the ratio is not known.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from reelscope.signals import Parameter, SpeechActivity, VoiceAcoustics

BEFORE_SPEECH_SECONDS = 0.1
AFTER_SPEECH_SECONDS = 0.3
MIN_BACKGROUND_SECONDS = 0.3
"""With less background than this, its level is not known."""
MIN_SNR_DB = -20.0
"""Speech that does not stand out from the background is said to be this far below it."""

PARAMETERS: dict[str, Parameter] = {
    "background_before_speech_seconds": BEFORE_SPEECH_SECONDS,
    "background_after_speech_seconds": AFTER_SPEECH_SECONDS,
    "background_min_seconds": MIN_BACKGROUND_SECONDS,
}


def background_power(activity: SpeechActivity, acoustics: VoiceAcoustics) -> NDArray[np.float64]:
    """[k] power of every hop of background; empty where there is too little of it."""
    middles = acoustics.middles_seconds
    is_background = acoustics.power > 0
    for start, end in activity.spans_seconds:
        is_background[slice(*np.searchsorted(middles, (start - BEFORE_SPEECH_SECONDS, end + AFTER_SPEECH_SECONDS)))] = (
            False
        )
    power = acoustics.power[is_background].astype(np.float64)
    return power if len(power) * acoustics.hop_seconds >= MIN_BACKGROUND_SECONDS else power[:0]


def snr_db(
    spans_seconds: NDArray[np.float64], acoustics: VoiceAcoustics, background: NDArray[np.float64]
) -> float | None:
    """Power of what is said in the spans [k, 2] over that of the background; None where either is not known."""
    middles = acoustics.middles_seconds
    hops = [slice(*np.searchsorted(middles, span)) for span in spans_seconds]
    heard = np.concatenate([acoustics.power[:0], *(acoustics.power[each] for each in hops)]).astype(np.float64)
    if not heard.size or not background.size:
        return None
    noise = background.mean()
    # What is heard while somebody speaks is speech and background together.
    speech = max(heard.mean() - noise, noise * 10 ** (MIN_SNR_DB / 10))
    return decibels(speech / noise)


def decibels(power_ratio: float) -> float:
    """Level of a ratio of powers > 0."""
    return float(10 * np.log10(power_ratio))
