"""What `convoy plan --against` asks a running Convoy and what it is answered, as JSON that neither side has to trust."""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast, get_args

from reconciler.core.model import Problem, Where
from reconciler.core.pages import PageError, page_json, read_page
from reconciler.core.problems import problem_json, read_problems
from reconciler.core.show_layout import Page, harmless
from reconciler.core.show_plan_markdown import LEAST, LIMIT

Form = Literal["text", "json", "markdown"]
FORMS: tuple[Form, ...] = get_args(Form)

# A fleet of 10,000 documents is 3 to 5 MB, and 0.2 to 1.7 MB as gzip sends it (docs/decisions/0017).
LARGEST_QUESTION = 64 * 1024 * 1024
# As it comes over the wire, packed or not.
LARGEST_SENT = 32 * 1024 * 1024
MOST_FILES = 50_000
LARGEST_FILE = 5 * 1024 * 1024
LONGEST_PATH = 4096
LONGEST_REVISION = 200
# As much as trailers are read of.
LONGEST_MESSAGE = 65_536
# Of Markdown; more than any forge takes in a comment.
MOST_CHARACTERS = 10_000_000
# Deeper than any plan; what is deeper was made to hurt whoever reads it.
DEEPEST = 40
# `show_problems.inert` puts it into Markdown.
JOINT = "\u200b"


class QuestionError(Exception):
    """What was sent is no question: `code`, what is wrong in words, and how to mend it."""

    def __init__(self, what: str, hint: str = "", code: str = "bad-question") -> None:
        super().__init__(what)
        self.what, self.hint, self.code = what, hint, code


class AnswerError(Exception):
    """What came back is no answer of a Convoy's."""


@dataclass(frozen=True, slots=True)
class Question:
    """What would be done if these documents were the next revision?

    `files`: path from the repository's root ⇒ content, of every file that the fleet needs; `root`: the fleet's directory in
    there, "" or ending in "/". `message` and `author` are those of the commit, whose trailers count. `problems` are about
    files that could not be read as documents at all. `form`: as what the plan is to be worded; as Markdown, in at most `limit`
    characters.
    """

    files: Mapping[str, bytes]
    root: str = ""
    revision: str = ""
    message: str = ""
    author: str = ""
    problems: tuple[Problem, ...] = ()
    form: Form = "text"
    limit: int = LIMIT


@dataclass(frozen=True, slots=True)
class Moment:
    """What the answer was made from: whose observations, as they were how many seconds ago, with which revision in force."""

    installation: str
    revision: str
    seconds_ago: float


@dataclass(frozen=True, slots=True)
class Answer:
    """A plan, worded, or the Problems for which there is none. Only the one of `page`, `data` and `markdown` that was asked
    for is there. `closed`: whose secrets cannot be used."""

    revision: str
    moment: Moment
    problems: tuple[Problem, ...] = ()
    closed: tuple[Problem, ...] = ()
    changes: bool = False
    page: Page = ()
    data: Mapping[str, Any] = field(default_factory=dict)
    markdown: str = ""


# Questions


def question_json(question: Question) -> bytes:
    return json.dumps(
        {
            "files": {path: _text(content) for path, content in question.files.items()},
            "root": question.root,
            "revision": question.revision,
            "message": question.message,
            "author": question.author,
            "problems": [problem_json(problem) for problem in question.problems],
            "output": question.form,
            "limit": question.limit,
        },
        ensure_ascii=False,
    ).encode("utf-8", "replace")


def _text(content: bytes) -> str | dict[str, str]:
    """Content that is no text is sent all the same: what is wrong with it is for the loader to say."""
    try:
        return content.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(content).decode()}


def read_question(body: bytes) -> Question:
    """Raises QuestionError. Paths are names in here, and nobody opens a file by them."""
    if len(body) > LARGEST_QUESTION:
        raise QuestionError(f"the documents are more than {LARGEST_QUESTION} bytes together", "split the fleet", "too-large")
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError):
        raise QuestionError("the body is not JSON") from None
    if not isinstance(asked, dict):
        raise QuestionError("the body is not a JSON object")
    unknown = sorted(asked.keys() - {"files", "root", "revision", "message", "author", "problems", "output", "limit"})
    if unknown:
        raise QuestionError(f"there is no field {unknown[0]!r:.80} in a question", "use the `convoy` of the same version")
    files = asked.get("files")
    if not isinstance(files, dict):
        raise QuestionError("`files` is not an object of paths and contents")
    if len(files) > MOST_FILES:
        raise QuestionError(f"there are more than {MOST_FILES} files", "split the fleet into several", "too-large")
    form = asked.get("output", "json")
    if form not in FORMS:
        raise QuestionError("`output` is none of text, json and markdown")
    limit = asked.get("limit", LIMIT)
    if not isinstance(limit, int) or not LEAST <= limit <= MOST_CHARACTERS:
        raise QuestionError(f"`limit` is no number between {LEAST} and {MOST_CHARACTERS}")
    return Question(
        {_path(path): _content(path, content) for path, content in files.items()},
        _root(_string(asked, "root", LONGEST_PATH)),
        _string(asked, "revision", LONGEST_REVISION),
        _string(asked, "message", LONGEST_MESSAGE),
        _string(asked, "author", LONGEST_REVISION),
        read_problems(asked.get("problems", []), QuestionError),
        form,
        limit,
    )


def _string(asked: Mapping[str, Any], name: str, longest: int) -> str:
    value = asked.get(name, "")
    if not isinstance(value, str) or (not value.isascii() and not _encodes(value)):
        raise QuestionError(f"`{name}` is not text")
    if len(value) > longest:
        raise QuestionError(f"`{name}` is longer than {longest} characters", "", "too-large")
    return value


def _encodes(text: str) -> bool:
    """Not so where it holds half a character."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _path(path: str) -> str:
    parts = path.split("/")
    if len(path) > LONGEST_PATH or "\0" in path or not _encodes(path) or any(part in ("", ".", "..") for part in parts):
        raise QuestionError(f"{path!r:.100} is not the path of a file in a repository", "write it from the repository's root")
    return path


def _root(root: str) -> str:
    if root:
        _path(root.removesuffix("/"))
    return root if not root or root.endswith("/") else f"{root}/"


def _content(path: str, sent: object) -> bytes:
    content = b""
    if isinstance(sent, str):
        if not _encodes(sent):
            raise QuestionError(f"the content of {path!r:.100} is not text", "send it as base64")
        content = sent.encode()
    elif isinstance(sent, dict) and sent.keys() == {"base64"} and isinstance(sent["base64"], str):
        try:
            content = base64.b64decode(sent["base64"], validate=True)
        except (binascii.Error, ValueError):
            raise QuestionError(f"the content of {path!r:.100} is not base64") from None
    else:
        raise QuestionError(f"the content of {path!r:.100} is neither text nor base64")
    if len(content) > LARGEST_FILE:
        raise QuestionError(f"{path!r:.100} is longer than {LARGEST_FILE} bytes", "split it into several files", "too-large")
    return content


# Answers


def answer_json(answer: Answer, form: Form) -> dict[str, Any]:
    worded: dict[str, Any] = {}
    if not answer.problems and form == "text":
        worded = {"page": page_json(answer.page)}
    elif not answer.problems:
        worded = {"plan": dict(answer.data)} if form == "json" else {"markdown": answer.markdown}
    return {
        "revision": answer.revision,
        "against": {
            "installation": answer.moment.installation,
            "revision": answer.moment.revision,
            "secondsAgo": round(answer.moment.seconds_ago, 3),
        },
        "changes": answer.changes,
        "problems": [problem_json(problem) for problem in answer.problems],
        "unopened": [problem_json(problem) for problem in answer.closed],
        **worded,
    }


def read_answer(body: bytes, form: Form) -> Answer:
    """Raises AnswerError; what is in the answer cannot drive a terminal, and has the shapes that are shown."""
    try:
        said = json.loads(body)
        problems = _heard(said["problems"])
        about = said["against"]
        seconds_ago = float(about["secondsAgo"])
        moment = Moment(_named(about["installation"]), _named(about["revision"]), max(0.0, min(seconds_ago, 1e9)))
        answer = Answer(_named(said["revision"]), moment, problems, _heard(said["unopened"]), bool(said["changes"]))
        if problems:
            return answer
        parts = (answer.revision, moment, (), answer.closed, answer.changes)
        if form == "text":
            return Answer(*parts, page=read_page(said["page"]))
        if form == "json":
            return Answer(*parts, data=cast(Mapping[str, Any], _harmless(dict(said["plan"]), 0)))
        # The joints that keep a forge from reading mentions are ours.
        return Answer(*parts, markdown=JOINT.join(harmless(part) for part in str(said["markdown"]).split(JOINT)))
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError, PageError):
        raise AnswerError("what came back is no answer of a Convoy's") from None


def _heard(listed: object) -> tuple[Problem, ...]:
    return tuple(
        Problem(
            Where(harmless(one.where.file), one.where.line, one.where.column),
            harmless(one.what),
            harmless(one.hint),
            one.ref,
            one.quiet,
        )
        for one in read_problems(listed, AnswerError)
    )


def _named(value: object) -> str:
    if not isinstance(value, str) or len(value) > LONGEST_REVISION:
        raise AnswerError("a name that is none")
    return harmless(value)


def _harmless(value: object, depth: int) -> object:
    if depth > DEEPEST:
        raise AnswerError("nested too deeply")
    if isinstance(value, str):
        return harmless(value)
    if isinstance(value, dict):
        return {harmless(key): _harmless(one, depth + 1) for key, one in value.items()}
    if isinstance(value, list):
        return [_harmless(one, depth + 1) for one in value]
    return value
