"""A process that speaks: `python speaker.py VOICE WORDS_PER_MINUTE`, the text on its standard input.

Answers with a line that holds the sampling rate in Hz, and the samples: mono, 16 bits. Imports little: it starts for
every sentence. Exits with 2 when there is no such voice.
"""

from __future__ import annotations

import ctypes
import sys

import espeakng_loader

# speak_lib.h of espeak-ng.
SYNCHRONOUS, RATE, UTF8 = 2, 1, 1


def main(voice: str, words_per_minute: int) -> int:
    """Speak what standard input says; the exit code."""
    library = ctypes.CDLL(str(espeakng_loader.get_library_path()))
    rate_hz = library.espeak_Initialize(SYNCHRONOUS, 0, str(espeakng_loader.get_data_path()).encode(), 0)
    if library.espeak_SetVoiceByName(voice.encode()) != 0:
        return 2
    library.espeak_SetParameter(RATE, words_per_minute, 0)
    blocks: list[bytes] = []

    def collect(samples: int, count: int, events: int | None) -> int:
        if count > 0:
            blocks.append(ctypes.string_at(samples, 2 * count))
        return 0

    callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)(collect)
    library.espeak_SetSynthCallback(callback)
    text = sys.stdin.buffer.read()
    library.espeak_Synth(text, ctypes.c_size_t(len(text) + 1), 0, 1, 0, UTF8, None, None)
    library.espeak_Synchronize()
    sys.stdout.buffer.write(b"%d\n" % rate_hz + b"".join(blocks))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
