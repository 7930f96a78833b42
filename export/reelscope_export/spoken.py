"""Speech to compare graphs with their libraries on: espeak-ng speaks it, so that it needs no recording."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from reelscope_export.verify import Array

SAMPLE_RATE_HZ = 16_000
"""What the networks that hear take."""

# speak_lib.h of espeak-ng.
_SYNCHRONOUS, _RATE, _UTF8 = 2, 1, 1


def say(text: str, voice: str = "en-us", words_per_minute: int = 150) -> Array:
    """Speak a text; float32 [n], 16 kHz, full scale +-1, espeak-ng's own pauses before and after it.

    Args:
        text: what is said.
        voice: name of a voice of espeak-ng, e.g. en-us or de.
        words_per_minute: espeak-ng's nominal speed.

    Raises:
        ValueError: there is no such voice.
    """
    import espeakng_loader
    import soxr

    library = ctypes.CDLL(str(espeakng_loader.get_library_path()))
    rate_hz = library.espeak_Initialize(_SYNCHRONOUS, 0, str(espeakng_loader.get_data_path()).encode(), 0)
    if library.espeak_SetVoiceByName(voice.encode()) != 0:
        raise ValueError(f"espeak-ng has no voice {voice!r}")
    library.espeak_SetParameter(_RATE, words_per_minute, 0)
    blocks: list[Array] = []

    def collect(samples: Any, count: int, events: int | None) -> int:
        if count > 0:
            blocks.append(np.ctypeslib.as_array(samples, (count,)).astype(np.float32) / 32768)
        return 0

    signature = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
    callback = signature(collect)  # held until the library is done with it
    library.espeak_SetSynthCallback(callback)
    encoded = text.encode()
    library.espeak_Synth(encoded, len(encoded) + 1, 0, 1, 0, _UTF8, None, None)
    library.espeak_Synchronize()
    return np.asarray(soxr.resample(np.concatenate(blocks), rate_hz, SAMPLE_RATE_HZ), np.float32)
