"""Nothing that can stand in a file ends the process, raises, or takes long."""

import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from reconciler.core import compose
from reconciler.core.parse import LARGEST_FILE, MOST_DOCUMENTS, MOST_PROBLEMS, Parsed, locate, parse


def read(text: str | bytes) -> Parsed:
    return parse("f.yaml", "blob", text.encode() if isinstance(text, str) else text)


def value(text: str) -> object:
    """What the only value of a document means."""
    parsed = read(f"v: {text}")
    assert not parsed.problems
    return parsed.documents[0].value["v"]


def only_problem(text: str | bytes) -> str:
    """The one Problem of a text without documents, with its place and its hint."""
    parsed = read(text)
    assert not parsed.documents
    assert len(parsed.problems) == 1
    assert parsed.problems[0].hint
    return str(parsed.problems[0])


@pytest.mark.parametrize("depth", [100, 10_000, 100_000, 1_000_000])
@pytest.mark.parametrize("unit", ["[", "{a: ", "- ", "? ", "[\n", "- [\n", "{? "])
def test_deep_nesting_is_a_problem_and_no_crash(unit: str, depth: int) -> None:
    """Neither flow nor block nesting of any depth ends the process, or takes long."""
    start = time.process_time()
    parsed = read(unit * depth)
    assert not parsed.documents
    assert len(parsed.problems) == 1
    assert time.process_time() - start < 5


def test_deep_indentation_is_a_problem() -> None:
    """The same for levels that are lines of their own; and 64 levels are enough for every real message."""
    assert "levels deep" in only_problem("\n".join(" " * i + "a:" for i in range(1500)))
    assert not read("v: " + "[" * 63 + "]" * 63).problems
    assert "levels deep" in only_problem("v: " + "[" * 64 + "]" * 64)


def test_alias_bombs_are_counted_not_expanded() -> None:
    """Aliases are followed only as far as a whole document may be large, in things and in characters."""
    lists = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 30)
    )
    texts = f"a: &a {'x' * 1_000_000}\nb: [{','.join(['*a'] * 1000)}]"
    merges = "a0: &a0 {x: 1}\n" + "".join(f"a{i}: &a{i} {{<<: [{','.join([f'*a{i - 1}'] * 10)}]}}\n" for i in range(1, 30))
    start = time.process_time()
    for bomb in (lists, texts, merges):
        assert "aliases followed" in only_problem(bomb)
    assert time.process_time() - start < 5
    assert read("a: &a [1]\nb: *a").documents[0].value == {"a": [1], "b": [1]}


def test_sizes_are_bounded() -> None:
    """A file of 100 MB is not parsed, and neither is the end of a file with too many documents, Problems or things."""
    start = time.process_time()
    assert "the most is" in only_problem(b"a" * (100 * 1024 * 1024))
    assert time.process_time() - start < 5
    many = read("--- {}\n" * (MOST_DOCUMENTS + 5))
    assert len(many.documents) == MOST_DOCUMENTS
    assert f"document {MOST_DOCUMENTS + 1}" in str(many.problems[0])
    assert len(read("--- @\n" * (MOST_PROBLEMS + 500)).problems) == MOST_PROBLEMS + 1
    assert len(read("--- {" + "a: 1," * 5000 + "}").problems) <= compose.MOST_TROUBLES
    assert "says more than" in only_problem("v: [" + "a," * (compose.MOST_NODES + 1) + "]")


@pytest.mark.parametrize(
    "text",
    [
        "".join(f"%TAG !a{i}! x\n" for i in range(200_000)) + "---\na: 1",
        "--- {a: 1}\n" + "".join(f"%TAG !a{i}! x\n" for i in range(200_000)),
        "---\n" * 1_000_000,
        "- " * 2_000_000,
        "a: '" + "b\n\n" * 1_500_000 + "'",
        "#\n" * 2_500_000,
        " " * LARGEST_FILE,
        "\t" * 4_000_000 + "x: 1",
        "x" * LARGEST_FILE,
        "'" * 5_000_000,
        "[],\n" * 1_000_000,
        "&a " * 1_000_000,
        "? a\n" * 1_000_000,
        "\n".join(" " * i + "a:" for i in range(60)) + ("\n" + " " * 60 + "- b") * 60_000,
        "<<: {a: 1}\n" * 400_000,
    ],
    ids=lambda text: text[:12].encode("unicode_escape").decode(),
)
def test_no_text_takes_long(text: str) -> None:
    """Five megabytes of whatever is worst for a parser are read or refused within seconds."""
    start = time.process_time()
    read(text)
    assert time.process_time() - start < 60


fragments = st.sampled_from(
    [
        *("a", "b: ", "- ", "[", "]", "{", "}", ",", ": ", "&x ", "*x", "<<", "? ", "'", '"', "|\n", ">\n", "#", "\n", "\n  "),
        *("---\n", "...\n", "%YAML 1.2\n", "!!str ", "!x ", "\\", "\t", "\r", "\r\n", "0x", "1e9", ".inf", "~", "true"),
        *("\0", "\ufeff", "\u2028", "é", "😀", "@", "`", "%"),
    ]
)


@settings(max_examples=400, deadline=None)
@given(st.lists(fragments, max_size=40).map("".join))
@example("a: &a\n- *a")
@example("? - ? a\n")
@example("--- |\n---\n")
def test_no_text_makes_parse_raise(text: str) -> None:
    """Whatever pieces of YAML are put together: documents or Problems, in order, with true places and spans."""
    check(text.encode())


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_make_parse_raise(text: bytes) -> None:
    """The same for bytes that nobody wrote."""
    check(text)


def check(text: bytes) -> None:
    parsed = read(text)
    assert parsed == read(text) or parsed.documents
    lines = text.count(b"\n") + text.count(b"\r") + 1
    for problem in parsed.problems:
        assert problem.what
        assert problem.hint
        assert problem.what.isprintable()
        assert 1 <= problem.where.line <= lines + 1
        assert problem.where.column >= 1
    for document in parsed.documents:
        assert text[document.source.start : document.source.end] == document.raw
        assert all(isinstance(key, str) for key in document.value)
        for key in document.value:
            assert locate(document, (key,), key=True) >= locate(document, ())
