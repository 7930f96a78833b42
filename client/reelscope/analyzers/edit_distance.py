"""How alike two strings are: 1 minus the edit distance (Levenshtein 1966) over the length of the longer one.

The distance is counted by Hyyrö's form (2003, A bit-vector algorithm for computing Levenshtein and Damerau edit
distances) of Myers' algorithm (1999): one column of the table is the bits of an integer, and Python's integers are as
long as the string, so that 5,000 characters take milliseconds.
"""

from __future__ import annotations


def edit_distance(first: str, second: str) -> int:
    """Fewest characters to insert, delete or replace that turn one string into the other."""
    if not first or not second:
        return max(len(first), len(second))
    places: dict[str, int] = {}
    for place, character in enumerate(first):
        places[character] = places.get(character, 0) | 1 << place
    column, last = (1 << len(first)) - 1, 1 << len(first) - 1
    # Bits where the table's value is one more, or one less, than in the row above.
    more, less = column, 0
    distance = len(first)
    for character in second:
        same = places.get(character, 0)
        diagonal = (((same & more) + more) ^ more) | same | less
        rises, falls = less | (~(diagonal | more) & column), more & diagonal
        distance += bool(rises & last) - bool(falls & last)
        rises, falls = rises << 1 | 1, falls << 1
        more, less = (falls | ~(diagonal | rises)) & column, rises & diagonal & column
    return distance


def edit_ratio(first: str, second: str) -> float:
    """Likeness 0-1: 1 for equal strings, 0 when nothing of the longer one is left."""
    if first == second:
        return 1.0
    return 1 - edit_distance(first, second) / max(len(first), len(second))


def are_alike(first: str, second: str, min_ratio: float) -> bool:
    """Whether the edit ratio reaches `min_ratio`; strings of very different length are told apart by that alone."""
    shorter, longer = sorted((len(first), len(second)))
    return first == second or (shorter >= min_ratio * longer and edit_ratio(first, second) >= min_ratio)
