"""Where speech is silent: pauses between sounds of speech, and the time in which there is sound.

Conventions: a hop is silent where nobody speaks by the shared mask, or where its power is `silence_below_speech_db`
below the loudest hops of its span of the mask: detectors hold on for a moment after the voice has ended, and the power
does not. Silences shorter than `min_pause_seconds` belong to the sound around them (closures of consonants), sounds
shorter than `min_sound_seconds` to the silence around them. Where music or noise goes on in a pause, the mask alone
decides.

Source: de Jong & Wempe (2009), doi:10.3758/BRM.41.2.385, for the threshold and the shortest sound; de Jong & Bosker
(2013), "Choosing a threshold for silent pauses to measure second language fluency", for the shortest pause.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reelscope.runs import runs
from reelscope.signals import Parameter, SpeechActivity, VoiceAcoustics

MIN_PAUSE_SECONDS = 0.25
MIN_SOUND_SECONDS = 0.1
SILENCE_BELOW_SPEECH_DB = 25.0
LOUD_QUANTILE = 0.99
"""The loudest hops of a span: this quantile of their power."""

PARAMETERS: dict[str, Parameter] = {
    "min_pause_seconds": MIN_PAUSE_SECONDS,
    "min_sound_seconds": MIN_SOUND_SECONDS,
    "silence_below_speech_db": SILENCE_BELOW_SPEECH_DB,
}


@dataclass(frozen=True, slots=True)
class Phonation:
    """Speech from its first sound to its last, and the pauses in it."""

    runs_seconds: NDArray[np.float64]
    """[k, 2] start and end of what is said without a pause, sorted; k >= 1."""

    @property
    def pauses_seconds(self) -> NDArray[np.float64]:
        """[k - 1, 2] start and end of the pauses between the runs."""
        return np.column_stack([self.runs_seconds[:-1, 1], self.runs_seconds[1:, 0]])

    @property
    def span_seconds(self) -> float:
        """From the first sound of speech to the last, pauses included."""
        return float(self.runs_seconds[-1, 1] - self.runs_seconds[0, 0])

    @property
    def sounding_seconds(self) -> float:
        """The same without the pauses."""
        return float((self.runs_seconds[:, 1] - self.runs_seconds[:, 0]).sum())


def phonation(activity: SpeechActivity, acoustics: VoiceAcoustics) -> Phonation | None:
    """Find the pauses; None where nobody speaks."""
    hop = acoustics.hop_seconds
    is_sound = _sounding(activity, acoustics)
    sounds = runs(is_sound)
    if not len(sounds):
        return None
    silences = np.column_stack([sounds[:-1, 1], sounds[1:, 0]])
    is_pause = silences[:, 1] - silences[:, 0] >= round(MIN_PAUSE_SECONDS / hop)
    sounds = np.column_stack([sounds[np.append(True, is_pause), 0], sounds[np.append(is_pause, True), 1]])
    lengths = sounds[:, 1] - sounds[:, 0]
    lasting = sounds[lengths >= min(round(MIN_SOUND_SECONDS / hop), lengths.max())]
    return Phonation(np.minimum(lasting * hop, activity.duration_seconds))


def _sounding(activity: SpeechActivity, acoustics: VoiceAcoustics) -> NDArray[np.bool_]:
    """[n] whether speech sounds in each hop."""
    middles = acoustics.middles_seconds
    is_sound = np.zeros(len(middles), np.bool_)
    for start, end in activity.spans_seconds:
        hops = slice(*np.searchsorted(middles, (start, end)))
        power = acoustics.power[hops]
        if power.size:
            quiet = np.quantile(power, LOUD_QUANTILE) * 10 ** (-SILENCE_BELOW_SPEECH_DB / 10)
            is_sound[hops] = power > quiet
    return is_sound
