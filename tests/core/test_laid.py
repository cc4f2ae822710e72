"""A mapping with changes laid over it is what a dict with the same changes is."""

from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.core import laid as module
from reconciler.core.laid import laid, whole

NAMES = st.integers(0, 8)
CHANGES = st.dictionaries(NAMES, st.one_of(st.none(), st.integers(1, 99)), max_size=4)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(NAMES, st.integers(1, 99)), st.lists(CHANGES, max_size=12), st.integers(1, 6))
def test_as_a_dict(first: dict[int, int], steps: list[dict[int, int | None]], most: int) -> None:
    """After each step, and none of those before it has changed."""
    module.MOST_OVER, before = most, module.MOST_OVER
    try:
        now, plain = laid(first, {}), dict(first)
        every = [(now, dict(plain))]
        for changes in steps:
            now = laid(now, changes)
            plain |= {key: value for key, value in changes.items() if value is not None}
            plain = {key: value for key, value in plain.items() if changes.get(key, value) is not None}
            every.append((now, dict(plain)))
    finally:
        module.MOST_OVER = before
    for found, wanted in every:
        assert dict(found) == wanted == whole(found)
        assert (len(found), all(key in found for key in wanted)) == (len(wanted), True)
        assert [found.get(key) for key in range(9)] == [wanted.get(key) for key in range(9)]
