"""Syllables of words: known counts in two languages, what is not pronounced, languages that are not known, speed."""

from __future__ import annotations

import threading
import time

import pytest

from reelscope.sources import syllables

ENGLISH = {
    1: "cat strength uh world",
    2: "button little rhythm fire quiet create basic Hello, Wi-Fi didn't couldn't doesn't AI people",
    3: "idea area video banana 100",
    4: "ingredients experience",
    5: "university",
}
GERMAN = {
    1: "Haus Ähm, Link",
    2: "Straße laufen Software über",
    3: "Bäuerin Museum Geburtstag Theater",
    4: "Familie Situation 25",
    5: "Universität",
}
WORDS = [word for words in ENGLISH.values() for word in words.split()]


@pytest.mark.parametrize(("language", "known"), [("en", ENGLISH), ("de", GERMAN)])
def test_words_with_known_syllables(language, known):
    for count, words in known.items():
        found = dict(zip(words.split(), syllables.count(words.split(), language), strict=True))
        assert found == dict.fromkeys(words.split(), count)


@pytest.mark.parametrize(
    ("language", "word", "count"),
    [
        *(("fr", "oiseau", 2), ("es", "ciudad", 2), ("es", "guía", 2), ("zh", "你好", 2), ("ja", "こんにちは", 4)),
        *(("ru", "здравствуйте", 3), ("ko", "안녕하세요", 5), ("no", "sommer", 2), ("it", "grazie", 2)),
    ],
)
def test_other_languages(language, word, count):
    assert syllables.count([word], language) == [count]


def test_what_is_not_pronounced_has_none():
    assert syllables.count(["♪", "...", "", " ", "-", "psst"], "en") == [None] * 6


@pytest.mark.parametrize(
    ("language", "word"), [("jw", "apa"), ("zz", "abc"), ("", "abc"), ("ar", "مرحبا"), ("ja", "日本")]
)
def test_what_is_not_known_is_not_guessed(language, word):
    assert syllables.count([word], language) == [None]


def test_a_hundred_words_take_no_time():
    words = [f"{word}{number}" for number in range(5) for word in WORDS]
    syllables.count(["warm"], "en")
    began = time.process_time()
    syllables.count(words, "en")
    assert (time.process_time() - began) * 100 / len(words) < 0.05


def test_threads_do_not_mix_languages():
    """The voice is a global variable of the library: "Museum" has three syllables in both, "Familie" only in one."""
    found = {"en": [], "de": []}

    def ask(language: str) -> None:
        found[language] += [syllables.count([f"Straße{k}", f"fire{k}"], language) for k in range(40)]

    threads = [threading.Thread(target=ask, args=(language,)) for language in found for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    syllables._count.cache_clear()
    for language, answers in found.items():
        expected = [syllables.count([f"Straße{k}", f"fire{k}"], language) for k in range(40)]
        assert all(answers.count(answer) >= 1 for answer in expected), language
        assert all(answer in expected for answer in answers), language
