"""What is remembered takes so much memory and no more."""

import tracemalloc
from collections.abc import Callable

import pytest

from reconciler.store.remembered import Remembered

MOST, PUT = 400_000, 3_000
# How each of many is found, and how long its text is.
KINDS: list[tuple[Callable[[int], tuple[object, ...]], int]] = [
    (lambda n: (f"{n}",), 0),
    (lambda n: (f"{n}" * 50,), 2),
    (lambda n: ("every", *((f"{n}", f"{n} {place}" * 5, n + 0.5) for place in range(30))), 2),
    (lambda n: (f"ünüsual\N{SNOWMAN} {n}",), 1000),
]


@pytest.mark.parametrize(("key", "length"), KINDS)
def test_so_much_memory(key: Callable[[int], tuple[object, ...]], length: int) -> None:
    """Whatever it is found by, and however short the texts are; and it is no less than may be."""
    kept: Remembered[bytes] = Remembered(MOST)
    tracemalloc.start()
    try:
        for n in range(PUT):
            kept.put(key(n), bytes(length))
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert MOST / 2 < held < MOST * 1.1
    assert kept.get(key(PUT - 1)) == bytes(length)
    assert kept.get(key(0)) is None


def test_what_is_put_again_counts_once() -> None:
    """Longer or shorter than before; and what is asked for stays."""
    kept: Remembered[str] = Remembered(10_000)
    for n in range(200):
        kept.put(("one",), "x" * (n % 100))
        kept.put(("other",), "y" * (n % 100))
    assert kept.get(("one",)) == "x" * 99
    for n in range(100):
        kept.put((n,), "z" * 1_000)
        assert kept.get(("one",)) is not None
    assert kept.get(("other",)) is None
