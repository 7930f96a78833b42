"""The key of the music: which major or minor scale its pitch classes belong to.

Source: the probe-tone profiles of Krumhansl & Kessler (1982), correlated with the mean constant-Q chroma (Krumhansl
1990). Every window counts alike, however loud: a voice must not outweigh the music under it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reelscope.signals import SoundSpectrum

NAMES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
MAJOR = np.array([6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88])
MINOR = np.array([6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17])
LEAST_CONTRAST = 0.15
"""Standard deviation of the mean chroma over its mean; noise has 0.02 to 0.07, triads 0.9, a bed 14 to 20 dB below a
voice 0.29."""
LEAST_CORRELATION = 0.7
"""With the key's profile; triads have 0.92, that bed 0.90, a single tone 0.68, voices, drums, clicks at most 0.45."""
LEAST_PITCH_CLASSES, PITCH_CLASS_RATIO = 3, 0.3
"""A key takes as many pitch classes with this part of the strongest one's chroma: the overtones of a single tone look
like a major triad, but weaker."""
SILENCE_DB = 50.0
"""Windows this far below the loudest do not count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A key, and how well it fits."""

    name: str
    """E.g. "C major"."""
    correlation: float
    """Of the chroma with the key's profile, LEAST_CORRELATION to 1."""


def find_key(spectrum: SoundSpectrum) -> Key | None:
    """The best of 24 keys; None where there is no harmony."""
    chroma = mean_chroma(spectrum)
    if chroma is None or chroma.std() < LEAST_CONTRAST * chroma.mean():
        return None
    if np.count_nonzero(chroma >= PITCH_CLASS_RATIO * chroma.max()) < LEAST_PITCH_CLASSES:
        return None
    profiles = np.array([np.roll(profile, tonic) for profile in (MAJOR, MINOR) for tonic in range(12)])
    fits = np.corrcoef(np.vstack((chroma, profiles)))[0, 1:]
    best = int(fits.argmax())
    if fits[best] < LEAST_CORRELATION:
        return None
    return Key(name=f"{NAMES[best % 12]} {'major' if best < 12 else 'minor'}", correlation=float(min(fits[best], 1.0)))


def mean_chroma(spectrum: SoundSpectrum) -> NDArray[np.float64] | None:
    """[12] mean of the windows' chroma, each scaled to a maximum of 1, in the tuning that fits; None in silence."""
    loudness = spectrum.chroma.max(axis=1, initial=0.0)
    counted = loudness > loudness.max(initial=0.0) * 10 ** (-SILENCE_DB / 20)
    if not counted.any():
        return None
    thirds = (spectrum.chroma[counted].astype(np.float64) / loudness[counted, None]).mean(axis=0)
    # The music is tuned to whichever third of a semitone holds most.
    offset = int(thirds.reshape(12, 3).sum(axis=0)[[2, 0, 1]].argmax()) - 1
    return np.asarray(np.roll(thirds, 1 - offset).reshape(12, 3).sum(axis=1))
