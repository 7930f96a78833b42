"""Speech to compare graphs with their libraries on: espeak-ng speaks it, so that it needs no recording.

In a process of its own: what a sentence sounds like does not depend on those before it, and the library, which crashes
now and then (SIGSEGV in `espeak_Synth`; the same sentence is spoken well the next time), takes no other with it.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

from reelscope_export.verify import Array

SAMPLE_RATE_HZ = 16_000
"""What the networks that hear take."""
_SPEAKER = Path(__file__).with_name("speaker.py")
_ATTEMPTS = 3
_NO_VOICE = 2


def say(text: str, voice: str = "en-us", words_per_minute: int = 150) -> Array:
    """Speak a text; float32 [n], 16 kHz, full scale +-1, espeak-ng's own pauses before and after it.

    Args:
        text: what is said.
        voice: name of a voice of espeak-ng, e.g. en-us or de.
        words_per_minute: espeak-ng's nominal speed.

    Raises:
        ValueError: there is no such voice.
        subprocess.CalledProcessError: espeak-ng does not work here; holds what it printed.
    """
    import soxr

    command = [sys.executable, str(_SPEAKER), voice, str(words_per_minute)]
    for _ in range(_ATTEMPTS):
        spoken = subprocess.run(command, input=text.encode(), capture_output=True, check=False)
        if spoken.returncode >= 0:  # not killed by a signal
            break
    if spoken.returncode == _NO_VOICE:
        raise ValueError(f"espeak-ng has no voice {voice!r}")
    spoken.check_returncode()
    rate_hz, _, samples = spoken.stdout.partition(b"\n")
    waveform = np.frombuffer(samples, np.int16).astype(np.float32) / 32768
    return np.asarray(soxr.resample(waveform, int(rate_hz), SAMPLE_RATE_HZ), np.float32)
