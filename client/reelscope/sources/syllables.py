"""Syllables of words, by their pronunciation: espeak-ng turns letters into phonemes, whose vowels are counted.

Conventions: languages are ISO 639-1 codes as Whisper gives them. A syllable is a phoneme with a vowel in it, or a
consonant that is marked as syllabic. espeak-ng knows more than a hundred languages; where it knows none, or the script
leaves most vowels out, nothing is counted.

espeak-ng keeps its state in global variables, voice included: one lock guards every use from here, and the voice is
chosen anew every time, so that whoever else speaks with the library in between does no harm.
"""

from __future__ import annotations

import ctypes
import functools
import re
import threading
import unicodedata
from collections.abc import Sequence

import espeakng_loader

from reelscope.errors import SourceFailed

_VOICES = {"en": "en-us", "nn": "nb", "no": "nb", "zh": "cmn"}
"""Names of voices that differ from the language's code."""
_WITHOUT_WRITTEN_VOWELS = frozenset(("ar", "fa", "he", "ps", "sd", "ur", "yi"))
"""Languages whose script leaves short vowels out; espeak-ng does not put them back in, and would count too few."""
_IDEOGRAPHIC = frozenset(("yue", "zh"))
"""Languages whose ideographs espeak-ng can read; in all others it says "Chinese letter"."""

_VOWELS = frozenset("aeiouyæøœɐɑɒɔɘəɚɛɜɝɞɤɨɪɯɵɶʉʊʌʏᵻᵿ")  # noqa: RUF001
_SYLLABIC = "\N{COMBINING VERTICAL LINE BELOW}"
_MARKS = re.compile(r"\([a-z0-9-]+\)|[ˈˌ]")
"""Stress, and changes to another language within a word."""
_ENGLISH_MORE = re.compile(
    r"(?:^|[_ ])(?:aɪə|aɪɚ|iə(?!_?ɹ))(?=[_ ]|$)"  # noqa: RUF001
    r"|(?<=[dsz]_)n(?=_t(?:[_ ]|$))"
)
"""English syllables beyond one per phoneme with a vowel: quiet, fire, idea (but not, before r, serious); didn't."""

# speak_lib.h of espeak-ng.
_SYNCHRONOUS, _DONT_EXIT = 2, 0x8000
_UTF8 = 1
_IPA_SEPARATED = 0x02 | ord("_") << 8

_lock = threading.Lock()


def count(words: Sequence[str], language: str) -> list[int | None]:
    """Syllables of every word.

    Args:
        words: as they are written, punctuation and figures included.
        language: ISO 639-1 code of the language that they are pronounced in.

    Returns:
        For each word its syllables, >= 1; None where the language's pronunciation is not known or nothing of the word
        is pronounced.

    Raises:
        SourceFailed: espeak-ng cannot be used: its library or its data are missing.
    """
    return [_count(word, language) for word in words]


@functools.lru_cache(maxsize=8192)
def _count(word: str, language: str) -> int | None:
    is_readable = language in _IDEOGRAPHIC or not any(map(_is_ideograph, word))
    if language in _WITHOUT_WRITTEN_VOWELS or not is_readable:
        return None
    phonemes = _phonemes(word, _VOICES.get(language, language))
    if phonemes is None:
        return None
    spoken = unicodedata.normalize("NFD", _MARKS.sub("", phonemes))
    total = sum(bool(_VOWELS & {*phoneme}) or _SYLLABIC in phoneme for phoneme in re.split("[_ ]", spoken))
    if language == "en":
        total += len(_ENGLISH_MORE.findall(spoken))
    return total or None


def _is_ideograph(character: str) -> bool:
    return unicodedata.name(character, "").startswith("CJK")


def _phonemes(text: str, voice: str) -> str | None:
    """Phonemes in IPA, separated by _; None where there is no such voice."""
    encoded = ctypes.create_string_buffer(text.encode())
    rest = ctypes.c_void_p(ctypes.addressof(encoded))
    clauses = []
    with _lock:
        library = _library()
        if library.espeak_SetVoiceByName(voice.encode()) != 0:
            return None
        while rest.value:
            clauses.append(library.espeak_TextToPhonemes(ctypes.byref(rest), _UTF8, _IPA_SEPARATED).decode())
    return " ".join(clauses)


@functools.cache
def _library() -> ctypes.CDLL:
    """espeak-ng, ready for use; called with the lock held."""
    try:
        library = ctypes.CDLL(str(espeakng_loader.get_library_path()))
    except OSError as error:
        raise SourceFailed(f"espeak-ng cannot be loaded: {error}") from error
    library.espeak_TextToPhonemes.restype = ctypes.c_char_p
    library.espeak_TextToPhonemes.argtypes = (ctypes.POINTER(ctypes.c_void_p), ctypes.c_int, ctypes.c_int)
    data_path = str(espeakng_loader.get_data_path())
    # Unless told not to, it ends the whole process where its data are missing.
    if library.espeak_Initialize(_SYNCHRONOUS, 0, data_path.encode(), _DONT_EXIT) < 0:
        raise SourceFailed(f"espeak-ng cannot be initialised from {data_path}")
    return library
