"""Parsing reads YAML 1.2, and says of everything else where it stands and how to mend it."""

import pytest
import yaml

from reconciler.core import compose
from reconciler.core.parse import Parsed, locate, parse


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


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        *[
            (word, word)
            for word in (
                "yes",
                "no",
                "on",
                "off",
                "y",
                "n",
                "Yes",
                "NO",
                "12:30:45",
                "1_000",
                "0b11",
                "2024-01-01",
                "=",
                "0o8",
                "nulL",
            )
        ],
        ("true", True),
        ("True", True),
        ("TRUE", True),
        ("false", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("NULL", None),
        ("0755", 755),
        ("0o17", 15),
        ("0xfF", 255),
        ("-12", -12),
        ("+12", 12),
        ("-0", 0),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("1.", 1.0),
        ("-.5e-3", -0.0005),
        ("1e-999", 0.0),
        ("9223372036854775807", 2**63 - 1),
        ("18446744073709551615", 2**64 - 1),
        ("-9223372036854775808", -(2**63)),
        ("'12'", "12"),
        ('"true"', "true"),
        ("!!str 12", "12"),
        ('!!int "12"', 12),
        ("!!float 3", 3.0),
        ("!!map {}", {}),
        ("!!seq []", []),
        ('"\\u2028\\x07"', "\u2028\x07"),
    ],
)
def test_scalars_mean_what_yaml_1_2_says(text: str, meant: object) -> None:
    """The core schema of YAML 1.2 decides, not YAML 1.1: `no` is a word and 12:30:45 no number."""
    found = value(text)
    assert found == meant
    assert type(found) is type(meant)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (".nan", "not a finite number"),
        ("-.inf", "not a finite number"),
        (".INF", "not a finite number"),
        ("1e999", "too large"),
        ("18446744073709551616", "64 bits"),
        ("-9223372036854775809", "64 bits"),
        ("0x1ffffffffffffffff", "64 bits"),
        ("9" * 100_000, "64 bits"),
        ("!!python/object/apply:os.system [ls]", "!!python/object/apply:os.system is not accepted"),
        ("!!python/name:os.system ''", "is not accepted"),
        ("!<tag:yaml.org,2002:python/none> x", "is not accepted"),
        ("!local x", "is not accepted"),
        ("!!binary aGk=", "is not accepted"),
        ("!!timestamp 2024-01-01", "is not accepted"),
        ("!!set {a}", "is not accepted"),
        ("!!int x", "the tag says"),
        ("!!null x", "the tag says"),
        ("!!map []", "is not accepted"),
        ("!x!y z", "tags are not accepted"),
        ('"\\0"', "NUL"),
        ('"a\\0b"', "NUL"),
        ('"\\ud800"', "no character"),
        ("*nothing", "names nothing"),
        ("&a [*a]", "a cycle"),
        ("&a {b: *a}", "a cycle"),
        ("{<<: 3}", "merges mappings"),
        ("{<<: [{a: 1}, b]}", "merges mappings"),
        ("@x", "no value can begin"),
        ("`x`", "no value can begin"),
        ("[a", "lacks `,` or `]`"),
        ("{a", "lacks `,` or `}`"),
        ("'a", "not closed"),
        ('"a', "not closed"),
        ("b: c", "does not fit here"),
        ("|x\n", "cannot follow"),
    ],
)
def test_what_is_refused_is_refused_where_it_stands(text: str, words: str) -> None:
    """Tags, numbers that JSON cannot carry, cycles and broken syntax are each a Problem on their line."""
    problem = only_problem(f"a: 1\nv: {text}")
    assert problem.startswith("f.yaml:2:")
    assert words in problem
    assert len(problem) < 400


def test_places_count_characters_and_lines_from_one() -> None:
    """Line and column are those an editor shows: characters, not bytes, after every kind of line break."""
    assert only_problem("é: {ü: 1, ü: 2}").startswith("f.yaml:1:11: the key 'ü' is there twice")
    assert only_problem("a: 1\r\nb: 2\rb: 3\r\n").startswith("f.yaml:3:1:")
    assert only_problem("\ufeffa: 1\na: 2").startswith("f.yaml:2:1:")
    assert only_problem("--- {a: 1, a: 2}").startswith("f.yaml:1:12:")


def test_equal_keys_are_refused_in_every_mapping() -> None:
    """The last of two equal keys never wins in silence; each pair is one Problem."""
    parsed = read("a: 1\nb: {c: 1, 'c': 2}\na: 3\n")
    assert [str(problem.where) for problem in parsed.problems] == ["f.yaml:2:11", "f.yaml:3:1"]
    assert "2 lines above" in parsed.problems[1].hint


def test_keys_are_text() -> None:
    """Numbers, truth values, nothing, lists and mappings are no keys, each at its place."""
    parsed = read("1: a\ntrue: b\n~: c\n? [x]\n: d\n? {y: z}\n: e\n")
    assert len(parsed.problems) == 5
    assert parsed.problems[0].hint == 'put it in quotes: "1"'
    assert read("'1': a\nyes: b").documents[0].value == {"1": "a", "yes": "b"}


def test_merge_keys_fill_in_what_is_not_said() -> None:
    """`<<` adds what the mapping does not say itself; the first of several sources wins; a quoted one is a plain key."""
    text = "x: &x {a: 1, b: 1}\ny: &y {b: 2, c: 2}\nv: {<<: [*x, *y], a: 0}\nw:\n  <<: *y\n  '<<': 3\n"
    document = read(text).documents[0]
    assert document.value["v"] == {"a": 0, "b": 1, "c": 2}
    assert document.value["w"] == {"<<": 3, "b": 2, "c": 2}
    assert str(locate(document, ("v", "b"))) == "f.yaml:1:17"
    assert str(locate(document, ("w", "c"))) == "f.yaml:2:17"
    assert "a second `<<`" in only_problem("a: &a {}\nb: {<<: *a, <<: *a}")


def test_a_broken_document_hides_no_other() -> None:
    """Documents are told apart before they are parsed, so open quotes, brackets and bad bytes end where the document does."""
    text = b'a: "\n---\nb: 1\n---\nc: [1,\n---\nd: \xff\n---\ne: \x00\n---\nf: {g: 1, g: 2}\n---\nh: 5\n...\n---\ni: @\n'
    parsed = read(text)
    assert [document.value for document in parsed.documents] == [{"b": 1}, {"h": 5}]
    assert [problem.where.line for problem in parsed.problems] == [1, 6, 7, 9, 11, 16]
    assert len(parsed.unread) == 6


def test_documents_know_their_own_bytes() -> None:
    """A writer can replace one document by its span and touch nothing else; comments belong to it."""
    text = "\ufeff# head\na: 1 # one\n---\n# two\nb: 2\n\n--- {c: 3}\n...\n%YAML 1.2\n---\nd: é\n".encode()
    documents = read(text).documents
    assert [document.value for document in documents] == [{"a": 1}, {"b": 2}, {"c": 3}, {"d": "é"}]
    assert all(text[one.source.start : one.source.end] == one.raw for one in documents)
    assert [one.source.line for one in documents] == [1, 3, 7, 10]
    assert [one.source.blob for one in documents] == ["blob"] * 4
    edited = text[: documents[1].source.start] + b"\nb: changed\n" + text[documents[1].source.end :]
    assert [document.value for document in read(edited).documents] == [{"a": 1}, {"b": "changed"}, {"c": 3}, {"d": "é"}]


@pytest.mark.parametrize("text", ["", "---\n", "# only this\n", "---\n---\n...\n---\n# x\n", "\ufeff", "\n\n", "...\n", "~"])
def test_documents_without_content_are_nothing(text: str) -> None:
    """Empty files and empty documents declare nothing and are no mistake."""
    assert read(text) == Parsed(())


@pytest.mark.parametrize("text", ["hello", "- a\n- b\n", "12", "true", "[a]"])
def test_a_document_is_a_mapping(text: str) -> None:
    """Text, numbers and lists are no documents."""
    assert "a document is a mapping" in only_problem(text)


@pytest.mark.parametrize(
    "text",
    [
        "a: \x00",
        "a: \x07",
        "a: \x7f",
        "a: x\u0085y",
        "a: x\u2028y",
        "a: x\u2029y",
        "a: \ufeffx",
        "a: \ufffe",
        b"a: \xff",
        b"a: \xc0\x80",
        b"a: \xed\xa0\x80",
    ],
)
def test_invisible_characters_and_broken_utf8_are_refused(text: str | bytes) -> None:
    """What no reviewer can see does not get in raw, and every text is UTF-8."""
    assert only_problem(text).startswith("f.yaml:1:")


@pytest.mark.parametrize("text", ["a: 1".encode("utf-16"), "a: 1".encode("utf-16-be"), "a: 1".encode("utf-32")])
def test_other_encodings_are_named(text: bytes) -> None:
    """A file in UTF-16 is one Problem and not one for each of its bytes."""
    assert "UTF-16" in only_problem(text)


@pytest.mark.parametrize("text", ["%YAML 1.1\n---\na: 1", "%TAG ! x\n---\na: 1", "%foo\na: 1", "---\n%TAG ! x\n---\n"])
def test_directives_are_refused_save_the_one_that_changes_nothing(text: str) -> None:
    """Directives change what a text means; `%YAML 1.2` says what holds anyway."""
    assert any("`%`" in problem.what for problem in read(text).problems)
    assert not read("# c\n%YAML 1.2 # this\n---\na: 1").problems


def test_locate_finds_keys_and_values_or_the_nearest_there_is() -> None:
    """Places for messages: a value, its key, an entry of a list, and for what is missing the deepest part that is there."""
    text = "# c\nkind: X\nspec:\n  listeners:\n    - name: a\n      port: 80\n    - {name: b,\n       port: 81}\n  é: {x: 1}\n"
    document = read("a: 1\n---\n" + text).documents[1]
    places = {
        ((), False): "4:1",
        (("spec",), True): "5:1",
        (("spec",), False): "6:3",
        (("spec", "listeners", 0, "port"), False): "8:13",
        (("spec", "listeners", 0, "port"), True): "8:7",
        (("spec", "listeners", 1, "port"), False): "10:14",
        (("spec", "listeners", 1), False): "9:7",
        (("spec", "listeners", 7, "port"), False): "7:5",
        (("spec", "nothing", "here"), False): "6:3",
        (("spec", "é", "x"), False): "11:10",
    }
    for (path, key), place in places.items():
        assert str(locate(document, path, key=key)) == f"f.yaml:{place}", path


def test_the_reader_without_libyaml_says_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where PyYAML was built without libyaml, its own scanner reads the same values and refuses the same texts."""
    good = "a: [1, {b: 'x'}]\nc: &c {d: 1}\ne: {<<: *c}\nf: |\n  text\n"
    with_it = read(good).documents[0].value
    monkeypatch.setattr(compose, "READER", yaml.SafeLoader)
    assert read(good).documents[0].value == with_it
    for bad in ("a: [", "a: 1\na: 2", "a: !!python/none x", "a: b: c", "[" * 5000, "- " * 5000, "a: *b", "'"):
        assert len(read(bad).problems) == 1
