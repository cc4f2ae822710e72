"""One document takes another's place; every other byte of the file stays."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.envelope import digest_of
from reconciler.core.model import Ref
from reconciler.core.parse import parse
from reconciler.core.splice import NotSpliced, Written, broken, spliced, written

WEB = Ref("Host", "web")


def document(name: str, more: str = "") -> str:
    return f"apiVersion: convoy/v1\nkind: Host\nmetadata: {{name: {name}}}\nspec: {{driver: process}}{more}\n"


def found(text: str, ref: Ref = WEB, file: str = "f.yaml") -> Written:
    (one,) = written({file: "b"}, {"b": text.encode()}, ref, "")
    return one


def put(into: str, old: str) -> str:
    there = written({"f.yaml": "b"}, {"b": into.encode()}, WEB, "")
    return spliced(into.encode(), there[0] if there else None, found(old), WEB).decode()


OLD = document("web", "  # as it was")


@pytest.mark.parametrize(
    ("into", "old", "expected"),
    [
        (document("web"), OLD, OLD),
        (document("web"), f"---\n{OLD}", OLD),
        (f"---\n{document('web')}", OLD, f"---\n{OLD}"),
        (f"# head\n---\n{document('web')}---\n{document('b')}", OLD, f"# head\n---\n{OLD}---\n{document('b')}"),
        (f"{document('a')}---\n{document('web')}", f"{OLD}---\n{document('c')}", f"{document('a')}---\n{OLD}"),
        (f"{document('web')}---\n{document('b')}", OLD.rstrip(), f"{OLD}---\n{document('b')}"),
        (f"{document('a')}...\n{document('web')}", OLD, f"{document('a')}...\n{OLD}"),
        (document("a"), OLD, f"{document('a')}---\n{OLD}"),
        (document("a").rstrip(), f"---\n{OLD}", f"{document('a')}---\n{OLD}"),
        ("", f"--- # why\n{OLD}", f"# why\n{OLD}"),
        ("# nothing yet\n", OLD, f"# nothing yet\n{OLD}"),
        ("\ufeff" + document("web"), OLD, "\ufeff" + OLD),
        (document("web").replace("\n", "\r\n"), f"---\r\n{OLD}", OLD),
        (f"---\n{document('web')}", "--- {apiVersion: convoy/v1, kind: Host, metadata: {name: web}, spec: {}}", None),
        (document("web"), "--- {apiVersion: convoy/v1, kind: Host, metadata: {name: web}, spec: {}}", None),
    ],
)
def test_where_it_goes(into: str, old: str, expected: str | None) -> None:
    """Before, between and behind others, with and without markers, in an empty file, with odd ends of lines."""
    result = put(into, old)
    assert expected is None or result == expected
    assert found(result).digest == found(old).digest


NAMES = st.lists(st.sampled_from("abcdefg"), min_size=0, max_size=4, unique=True)
PIECES = st.sampled_from(["# a comment\n", "\n", "", "\n\n# two\n"])


@given(names=NAMES, at=st.integers(0, 4), before=PIECES, behind=PIECES, first=st.booleans(), cut=st.booleans())
def test_all_others_stay(names: list[str], at: int, before: str, behind: str, first: bool, cut: bool) -> None:
    """Whatever stands around it: the bytes before and behind its span are the same, and it says what it said."""
    documents = [f"{before}{document(name)}{behind}" for name in [*names[:at], "web", *names[at:]]]
    text = ("---\n" if first else "") + "---\n".join(documents)
    text = text.rstrip("\n") if cut else text
    there = found(text)
    result = spliced(text.encode(), there, found(f"---\n\n{OLD}# end"), WEB)

    assert result[: there.start] == text.encode()[: there.start]
    assert result.endswith(text.encode()[there.end :])
    parsed = parse("f.yaml", "", result)
    assert not parsed.problems
    assert [one.value["metadata"]["name"] for one in parsed.documents] == [*names[:at], "web", *names[at:]]
    assert found(result.decode()).digest == digest_of(parse("f", "", OLD.encode()).documents[0].value)


def test_a_document_that_cannot_be_read_is_found_by_its_words() -> None:
    """The one that names the kind and the name; where that is not clear, nothing is guessed."""
    text = f"{document('a')}---\n{document('web')}  bad: [\n---\n{document('b')}"
    there = broken("f.yaml", "b", text.encode(), WEB)
    assert there is not None
    assert spliced(text.encode(), there, found(OLD), WEB).decode() == f"{document('a')}---\n{OLD}---\n{document('b')}"
    assert broken("f.yaml", "b", document("a").encode(), WEB) is None
    for unclear in (f"x: [\n---\n{document('a')}", f"{document('web-2')}  bad: [\n", f"{document('web')} bad: [\n---\n" * 2):
        with pytest.raises(NotSpliced, match=r"f.yaml:\d+ cannot be read .* mend or remove it first"):
            broken("f.yaml", "b", unclear.encode(), WEB)


def test_a_tenants_document_is_its_own() -> None:
    """The same kind and name in another tenant's directory is another resource."""
    files = {"tenants/t/f.yaml": "b", "f.yaml": "b"}
    texts = {"b": document("web").encode()}
    assert [one.file for one in written(files, texts, WEB, "")] == ["f.yaml"]
    assert [one.file for one in written(files, texts, Ref("Host", "web", "t"), "")] == ["tenants/t/f.yaml"]
