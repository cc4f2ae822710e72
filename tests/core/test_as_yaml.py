"""A document written as YAML means the same when it is read again, and shows nothing that drives a terminal."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.core.as_yaml import as_yaml
from reconciler.core.parse import parse

# What YAML 1.1 and 1.2 read differently, what looks like structure, and what nobody can see.
ODD = "no 1e3 0o17 ~ << = 12:30:45 --- | > 0x1F 1_000 +1 .5 5. null True %x @a `a é 😀 a:b #x -x ? [ { & * ! : -".split()  # noqa: SIM905 - as a list it would be forty lines
SPACED = ["", " a", "a ", "a: b", "# x", "- x", "a\n", "\n", "\na", "  a\nb", "a\n\n", "a\n\n\nb\n", "\ta\nb", "x\n---\ny\n"]
UNSEEN = ["\u202e", "\u2028", "\x85", "\ufeff", "a\r\nb", "\r", "\x1b[31m", "a\u200bb"]
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8) | st.sampled_from(
    ODD + SPACED + UNSEEN
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=15,
)


@given(st.dictionaries(TEXTS, VALUES, min_size=1, max_size=5))
@settings(max_examples=400, deadline=None)
def test_it_is_read_as_what_was_written(document: dict[str, Any]) -> None:
    """Whatever the values: the same mapping, with its types and its order."""
    text = as_yaml(document)
    parsed = parse("x.yaml", "", f"---\n{text}".encode())
    assert parsed.problems == ()
    (again,) = parsed.documents
    assert again.value == document
    assert repr(again.value) == repr(document)
    assert all(character == "\n" or character.isprintable() for character in text)


def test_texts_of_several_lines_stay_legible() -> None:
    """Files and ciphertexts are blocks, as people write them."""
    assert as_yaml({"files": {"a": "one\ntwo\n"}, "no": "no"}) == "files:\n  a: |\n    one\n    two\n'no': 'no'\n"
