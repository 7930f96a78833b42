"""Calls to action in English and German: what a viewer is told to do."""

from __future__ import annotations

import operator
import re
import unicodedata

from reelscope.analyzers.edit_distance import are_alike

MIN_EDIT_RATIO = 0.85
"""So that a misread letter in six or more does not hide a call."""

PHRASES = (
    # English
    "link in bio",
    "link in my bio",
    "link in the bio",
    "link in description",
    "link below",
    "link in comments",
    "swipe up",
    "swipe left",
    "tap here",
    "tap the link",
    "tap to shop",
    "click here",
    "click the link",
    "shop now",
    "shop today",
    "buy now",
    "buy yours",
    "get yours",
    "get it now",
    "order now",
    "order yours",
    "order today",
    "book now",
    "try it now",
    "try now",
    "try it free",
    "start now",
    "sign up",
    "register now",
    "join now",
    "learn more",
    "find out more",
    "read more",
    "watch more",
    "see more",
    "download now",
    "download the app",
    "get the app",
    "install now",
    "use code",
    "use my code",
    "follow for",
    "follow me",
    "follow us",
    "like and follow",
    "subscribe now",
    "subscribe for",
    "subscribe to",
    "comment below",
    "tell me in the comments",
    "save this",
    "share this",
    "share with",
    "send this to",
    "tag a friend",
    "tag someone",
    "dm me",
    "dm us",
    "visit our",
    "visit us",
    # German
    "link in der bio",
    "link in meiner bio",
    "link in der beschreibung",
    "link in den kommentaren",
    "link unten",
    "wisch hoch",
    "nach oben wischen",
    "hier klicken",
    "klick hier",
    "klicke hier",
    "klick auf den link",
    "jetzt kaufen",
    "jetzt bestellen",
    "jetzt shoppen",
    "jetzt sichern",
    "jetzt entdecken",
    "jetzt buchen",
    "jetzt testen",
    "jetzt ausprobieren",
    "jetzt starten",
    "jetzt anmelden",
    "jetzt registrieren",
    "jetzt mitmachen",
    "jetzt bewerben",
    "jetzt herunterladen",
    "jetzt downloaden",
    "jetzt installieren",
    "jetzt ansehen",
    "jetzt abonnieren",
    "jetzt folgen",
    "hol dir",
    "sichere dir",
    "sichert euch",
    "mehr erfahren",
    "mehr dazu",
    "app laden",
    "app herunterladen",
    "mit dem code",
    "mit code",
    "rabattcode",
    "folge mir",
    "folge uns",
    "folgt mir",
    "folgt uns",
    "folgen für mehr",
    "abonniere",
    "abonniert",
    "kommentiere",
    "schreib in die kommentare",
    "schreibt in die kommentare",
    "speicher dir",
    "speichere dir",
    "teile das",
    "teile dieses",
    "teilt das",
    "markiere",
    "besuche uns",
    "besucht uns",
)
"""Anywhere in a line, as whole words."""

WHOLE_LINES = (
    "follow",
    "subscribe",
    "share",
    "save",
    "comment",
    "download",
    "order",
    "abonnieren",
    "folgen",
    "teilen",
    "speichern",
    "kommentieren",
    "herunterladen",
    "bestellen",
    "anmelden",
)
"""Calls only where nothing else stands in the line: a share may be one of the market, and a comment rude."""

_WORD = re.compile(r"\w+")


def words(text: str) -> tuple[str, ...]:
    """Words of a text without case, accents, punctuation and apostrophes."""
    plain = unicodedata.normalize(
        "NFKD", text.casefold().replace("'", "").replace("\N{RIGHT SINGLE QUOTATION MARK}", "")
    )
    return tuple(_WORD.findall("".join(letter for letter in plain if not unicodedata.combining(letter))))


_PHRASES = tuple(words(phrase) for phrase in PHRASES)
_WHOLE_LINES = frozenset(words(line) for line in WHOLE_LINES)


def is_call_to_action(text: str) -> bool:
    """Whether a text tells the viewer to do something, misread letters allowed for."""
    said = words(text)
    return said in _WHOLE_LINES or any(_says(said, phrase) for phrase in _PHRASES)


def _says(said: tuple[str, ...], phrase: tuple[str, ...]) -> bool:
    """Whether the phrase is in it; of several words one at least must have been read right."""
    wanted = " ".join(phrase)
    for first in range(len(said) - len(phrase) + 1):
        part = said[first : first + len(phrase)]
        is_near = len(phrase) == 1 or any(map(operator.eq, part, phrase))
        if is_near and are_alike(" ".join(part), wanted, MIN_EDIT_RATIO):
            return True
    return False
