"""Guesses what somebody meant to write, without spending long on it."""

import difflib
from collections.abc import Iterable

# difflib takes microseconds per pair of short words, and quadratic time over long ones.
MOST_COMPARED, LONGEST_COMPARED = 200, 80


def nearest(word: str, words: Iterable[str]) -> str | None:
    """The word most like this one; None when none is much like it."""
    if len(word) > LONGEST_COMPARED:
        return None
    candidates = [other for other in words if abs(len(other) - len(word)) <= 1 + len(word) // 3]
    if len(candidates) > MOST_COMPARED:
        # Among many names the likely ones share their beginning or their end; they are ordered so that the answer does
        # not depend on the order of files.
        alike = [other for other in candidates if other[:2] == word[:2] or other[-2:] == word[-2:]]
        candidates = sorted(alike, key=lambda other: (abs(len(other) - len(word)), other))[:MOST_COMPARED]
    folded = {other.lower(): other for other in sorted(candidates, reverse=True)}
    found = difflib.get_close_matches(word.lower(), list(folded), 1)
    return folded[found[0]] if found else None


def did_you_mean(word: str, words: Iterable[str], otherwise: str = "") -> str:
    found = nearest(word, words)
    return f"did you mean {found!r}?" if found else otherwise


def listing(words: Iterable[str], most: int = 12) -> str:
    """`a, b, c`, cut short where there are many."""
    known = list(words)
    return ", ".join(known[:most]) + (f" and {len(known) - most} more" if len(known) > most else "")
