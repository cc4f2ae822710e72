"""Questions and answers of `convoy plan --against`: what is written is read back, and what nobody wrote is refused in words."""

import base64
import json
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.against import (
    LARGEST_FILE,
    LONGEST_MESSAGE,
    MOST_FILES,
    Answer,
    AnswerError,
    Moment,
    Question,
    QuestionError,
    answer_json,
    question_json,
    read_answer,
    read_question,
)
from reconciler.core.model import Problem, Ref, Where, blob_id
from reconciler.core.pages import PageError, page_json, read_page
from reconciler.core.show_layout import BLANK, Block, Fixed, Page, Span, Table, Text, plain

MOMENT = Moment("6f1c", "abc", 4.25)
PAGE: Page = (Text((Span("plan", "strong"), Span(": 1")), 2, 4), BLANK, Fixed((Span("x", "bad"),), 1, (Span("1"),), 3))
PAGE = (*PAGE, Table(("A", ""), (((Span("a", "name"),), (Span("b"),)),), 2, (4, 1)))

names = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=20).filter(
    lambda name: name not in (".", "..")
)
paths = st.lists(names, min_size=1, max_size=4).map("/".join)


@given(st.dictionaries(paths, st.binary(max_size=100), max_size=5), st.sampled_from(["", "fleet/", "a/b/"]))
def test_a_question_is_read_as_it_was_written(files: dict[str, bytes], root: str) -> None:
    """Whatever the files hold, text or not."""
    problem = Problem(Where("a.yaml", 3, 4), "is a link", "put a file there", Ref("Host", "h"), True)
    question = Question(files, root, "r1", "words\n\nConvoy-Confirm: deletes\n", "me <m@e>", (problem,), "markdown", 5000)

    assert read_question(question_json(question)) == question


def asked(**changes: Any) -> bytes:
    return json.dumps({"files": {}, **changes}).encode()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'{"files": {"a": NaN}}', "neither text nor base64"),
        (b"9" * 10_000, "not JSON"),
        (b"[]", "not a JSON object"),
        (b"{}", "`files` is not"),
        (b"\xff\xfe{}", "not JSON"),
        (asked(shell="rm"), "no field 'shell'"),
        (asked(output="html"), "`output` is none of"),
        (asked(files={"/etc/passwd": ""}), "not the path of a file"),
        (asked(files={"../x.yaml": ""}), "not the path of a file"),
        (asked(files={"a//b": ""}), "not the path of a file"),
        (asked(files={"a/./b": ""}), "not the path of a file"),
        (asked(files={"a\0b": ""}), "not the path of a file"),
        (asked(files={"": ""}), "not the path of a file"),
        (asked(files={"\ud800": ""}), "not the path of a file"),
        (asked(files={"x" * 5000: ""}), "not the path of a file"),
        (asked(files={"a": "\ud800"}), "is not text"),
        (asked(files={"a": 1}), "neither text nor base64"),
        (asked(files={"a": {"base64": "?"}}), "is not base64"),
        (asked(files={"a": {"base64": "", "more": ""}}), "neither text nor base64"),
        (asked(files={"a": "x" * (LARGEST_FILE + 1)}), "is longer than"),
        (asked(files={f"{n}": "" for n in range(MOST_FILES + 1)}), "more than"),
        (asked(limit=10), "`limit` is no"),
        (asked(limit="many"), "`limit` is no"),
        (asked(root="../"), "not the path of a file"),
        (asked(root=7), "`root` is not text"),
        (asked(message="x" * (LONGEST_MESSAGE + 1)), "longer than"),
        (asked(problems=[{"what": 1}]), "a problem that is none"),
        (asked(problems=[{"what": "", "line": -1}]), "a problem nowhere"),
        (asked(problems=[{"what": "", "ref": "x"}]), "a problem of nothing"),
        (asked(problems={}), "no list"),
    ],
)
def test_what_is_no_question(body: bytes, words: str) -> None:
    """It is refused by name, and nothing of it is believed."""
    with pytest.raises(QuestionError, match=words):
        read_question(body)


def test_a_blob_is_named_as_git_names_it() -> None:
    """So that the loader knows a file again that it has read from a commit: `echo hello | git hash-object --stdin`."""
    assert blob_id(b"hello\n") == "ce013625030ba8dba906f756967f9e9ca394464a"


@pytest.mark.parametrize(
    ("form", "answer"),
    [
        ("text", Answer("r2", MOMENT, changes=True, page=PAGE)),
        ("json", Answer("r2", MOMENT, changes=True, data={"steps": [{"ref": "Host/h"}], "wakeAt": None})),
        ("markdown", Answer("r2", MOMENT, changes=False, markdown="**1** http\u200b://x\n")),
        ("text", Answer("r2", MOMENT, (Problem(Where("a.yaml", 1, 2), "bad", "mend it", Ref("Host", "h")),))),
    ],
)
def test_an_answer_is_read_as_it_was_written(form: Any, answer: Answer) -> None:
    """In each form, and where there are problems instead of a plan."""
    assert read_answer(json.dumps(answer_json(answer, form)).encode(), form) == answer


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"[" * 100_000,
        b'{"problems": []}',
        json.dumps({"revision": "r", "against": {"installation": "i", "revision": "r", "secondsAgo": "soon"}}).encode(),
    ],
)
def test_what_is_no_answer(body: bytes) -> None:
    """Whatever answers there, it is one error."""
    with pytest.raises(AnswerError):
        read_answer(body, "json")


@pytest.mark.parametrize("form", ["text", "json", "markdown"])
def test_an_answer_cannot_drive_a_terminal(form: Any) -> None:
    """Escapes, controls and directions in what came back are written out."""
    evil = "\x1b]0;owned\x07\u202e\x9b2J"
    answer = Answer("r\x1b", Moment(evil, evil, 1.0), page=(Text((Span(evil),)),), data={evil: [evil]}, markdown=evil)
    found = read_answer(json.dumps(answer_json(answer, form)).encode(), form)
    shown = found.markdown + plain(found.page) + json.dumps(dict(found.data), ensure_ascii=False) + found.revision
    shown += found.moment.revision + found.moment.installation
    wrong = Answer("r", MOMENT, (Problem(Where(evil), evil, evil),), (Problem(Where(evil), evil, evil),))
    heard = read_answer(json.dumps(answer_json(wrong, form)).encode(), form)
    shown += "".join(one.where.file + one.what + one.hint for one in (*heard.problems, *heard.closed))

    assert not set(evil) & {"\x1b", "\x07", "\u202e", "\x9b"} & set(shown)


def test_a_page_is_read_as_it_was_written() -> None:
    """Every kind of block; a style that is not known here is left out."""
    assert read_page(json.loads(json.dumps(page_json(PAGE)))) == PAGE
    assert read_page([{"text": [["new", "sparkling"]]}]) == (Text((Span("new"),)),)


@pytest.mark.parametrize("block", PAGE, ids=lambda block: type(block).__name__)
def test_every_field_of_a_block_is_written(block: Block) -> None:
    """One that is new and forgotten here would make the plan from elsewhere look otherwise than that from here."""
    if block == BLANK:
        return
    for field in fields(block):
        assert getattr(block, field.name), f"the page that is tried leaves {field.name} as it is by default"
    assert read_page(json.loads(json.dumps(page_json((block,))))) == (block,)


@pytest.mark.parametrize(
    "said",
    [
        None,
        [1],
        [{}],
        [{"text": "x"}],
        [{"text": [[]]}],
        [{"text": [[1]]}],
        [{"text": [["a", "b", "c"]]}],
        [{"text": [], "indent": 10**9}],
        [{"text": [], "hang": "x"}],
        [{"table": [[[["a"]]]], "heads": ["A", "B"]}],
        [{"table": [], "heads": []}],
        [{"table": [], "heads": ["A"], "least": [1, 2]}],
        [{"table": [], "heads": ["a"] * 100}],
    ],
)
def test_what_is_no_page(said: Any) -> None:
    """What could not be laid out is refused before anybody tries."""
    with pytest.raises(PageError):
        read_page(said)


def test_content_that_is_no_text_is_sent_whole() -> None:
    """It is for the loader to say what is wrong with it."""
    body = json.loads(question_json(Question({"a.yaml": b"\xff"})))

    assert body["files"] == {"a.yaml": {"base64": base64.b64encode(b"\xff").decode()}}
