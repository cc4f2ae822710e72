"""Text ⇒ documents that remember where they stand, and a Problem for everything in it that cannot be read."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain
from typing import Any, Protocol

from reconciler.core.compose import Composer, Trouble, said
from reconciler.core.model import Problem, Source, Where
from reconciler.core.outline import Node, find, outline

# A hundred times the size of a large hand-written file; what is larger is not looked at.
LARGEST_FILE = 5 * 1024 * 1024
# The largest fleet in our budgets, in one file.
MOST_DOCUMENTS = 10_000
# Of one file; who has more than that has one mistake many times over.
MOST_PROBLEMS = 1000

# https://yaml.org/spec/1.2.2/#914-explicit-documents. A marker ends whatever comes before it, open quotes included, so
# documents can be told apart before anything is parsed, and a broken one breaks no other.
MARKER = re.compile(rb"(?:\A|(?<=[\r\n]))(?:---|\.\.\.)(?=[ \t\r\n]|\Z)")
LINE_BREAK = re.compile(rb"\r\n|\r|\n")
# A line that is not blank, a comment or a directive: without one, a text can only belong to the `---` behind it.
CONTENT = re.compile(rb"(?:\A|(?<=[\r\n]))(?:[ \t]+[^\s#]|[^\s#%])")
DIRECTIVE = re.compile(r"(?:\A|(?<=[\r\n]))%[^\r\n]*")
LEADING_DIRECTIVE = re.compile(r"(?:[ \t]*(?:#[^\r\n]*)?(?:\r\n|\r|\n))*%")
OUR_DIRECTIVE = re.compile(r"%YAML[ \t]+1\.2[ \t]*(?:#.*)?")
# Blank lines and comments, up to the first word.
BEFORE_CONTENT = re.compile(rb"(?:[ \t]*(?:#[^\r\n]*)?(?:\r\n|\r|\n))*[ \t]*")
# Not printable in YAML 1.2 (https://yaml.org/spec/1.2.2/#51-character-set), and the line breaks and marks that nobody sees.
INVISIBLE = re.compile("[^\t\n\r\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
# https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md: what stands in a commit for a file that is kept elsewhere.
LFS_POINTER = b"version https://git-lfs.github.com/spec/"
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class Trail(Protocol):
    """Which texts a document was made from, where it is not written anywhere as it is (`core/trail.py`)."""

    def locate(self, path: tuple[str | int, ...], key: bool) -> Where:
        """Where what stands at this path was written."""

    def beside(self, path: tuple[str | int, ...]) -> str:
        """The other place that has a part in it, in words; empty where there is none."""

    def layers(self) -> tuple[Source, ...]:
        """Every text with a part in the document, in the order in which they came to it."""


@dataclass(frozen=True, slots=True, eq=False)
class Document:
    """One document: what it says, and its own bytes, `file[source.start:source.end]`.

    `raw` leaves out the `---` before it and begins `column` characters into its first line (more than 0 only where text stands
    on the line of the `---`). `trail` is there where those bytes are not all that `value` comes from: variables were filled
    in, patches applied. Equal only to itself; nothing may change `value`, whose parts aliases may share.
    """

    source: Source
    value: dict[str, Any]
    raw: bytes
    column: int = 0
    trail: Trail | None = None
    # What was found of it alone, by whoever looked first: several Loaders have the same documents.
    found: dict[Any, Any] = field(default_factory=dict, init=False, repr=False)


@dataclass(frozen=True, slots=True)
class Parsed:
    """The documents of one file, what is wrong with the rest of it, and the bytes of that rest."""

    documents: tuple[Document, ...]
    problems: tuple[Problem, ...] = ()
    unread: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Chunk:
    """The bytes of one document. `line` counts from 1, `column` from 0. A preamble holds only comments and directives."""

    start: int
    end: int
    line: int
    column: int
    raw: bytes
    preamble: bool


def parse(file: str, blob: str, text: bytes) -> Parsed:
    """Read one file. Raises nothing, whatever the text; documents without content are left out."""
    if len(text) > LARGEST_FILE:
        what = f"is {len(text)} bytes long; the most is {LARGEST_FILE}"
        return Parsed((), (Problem(Where(file), what, "split it into several files"),))
    if text.startswith((b"\xff\xfe", b"\xfe\xff", b"\0")) or text[1:2] == b"\0":
        return Parsed((), (Problem(Where(file), "is UTF-16 or UTF-32 where UTF-8 is read", "save it as UTF-8"),))
    if text.startswith(LFS_POINTER):
        hint = "keep documents in Git itself: take the path out of .gitattributes and run `git add --renormalize`"
        return Parsed((), (Problem(Where(file), "is a Git LFS pointer, not the file that it stands for", hint),), (text,))
    documents: list[Document] = []
    problems: list[Problem] = []
    unread: list[bytes] = []
    seen = 0
    for chunk in chunks(text):
        seen += not chunk.preamble
        if seen > MOST_DOCUMENTS or len(problems) >= MOST_PROBLEMS:
            problems.append(_too_many(file, chunk, seen))
            unread.append(text[chunk.start :])
            break
        value, troubles = read(chunk)
        for trouble in troubles:
            where = _where(file, chunk.line, chunk.column, (trouble.line, trouble.column))
            problems.append(Problem(where, trouble.what, trouble.hint))
        if not troubles and value is not None:
            source = Source(file, chunk.line, chunk.start, chunk.end, blob)
            documents.append(Document(source, value, chunk.raw, chunk.column))
        elif troubles:
            unread.append(chunk.raw)
    return Parsed(tuple(documents), tuple(problems), tuple(unread))


def _too_many(file: str, chunk: Chunk, seen: int) -> Problem:
    where = Where(file, chunk.line, chunk.column + 1)
    if seen > MOST_DOCUMENTS:
        return Problem(
            where, f"begins document {seen} of this file; the most is {MOST_DOCUMENTS}", "split it into several files"
        )
    return Problem(where, f"after {MOST_PROBLEMS} Problems in this file, what follows was not looked at", "mend those first")


def chunks(text: bytes) -> Iterator[Chunk]:
    """The documents' bytes, told apart by the marker lines; ends of a file without any content are left out."""
    base = len(BYTE_ORDER_MARK) if text.startswith(BYTE_ORDER_MARK) else 0
    body = text[base:]
    start, line, column, explicit = 0, 1, 0, False
    for marker in chain(MARKER.finditer(body), (None,)):
        end = marker.start() if marker else len(body)
        raw = body[start:end]
        preamble = not explicit and CONTENT.search(raw) is None
        if raw:
            yield Chunk(base + start, base + end, line, column, raw, preamble)
        if marker:
            line += _line_breaks(raw)
            start, column, explicit = marker.end(), 3, marker[0] == b"---"


def read(chunk: Chunk) -> tuple[dict[str, Any] | None, list[Trouble]]:
    """What one document says (None: nothing at all), and what is wrong with it."""
    try:
        text = chunk.raw.decode()
    except UnicodeDecodeError as error:
        what = f"the byte 0x{chunk.raw[error.start]:02x} is not UTF-8"
        return None, [_at_character(chunk.raw[: error.start].decode(errors="replace"), what, "save the file as UTF-8")]
    unseen = INVISIBLE.search(text)
    if unseen:
        what = f"the character U+{ord(unseen[0]):04X} cannot be seen"
        return None, [
            _at_character(text[: unseen.start()], what, f"write it as {escaped(unseen[0])} in double quotes, or remove it")
        ]
    if chunk.preamble or ("%" in text and LEADING_DIRECTIVE.match(text)) or text.count("\n%TAG") > 1:
        # libyaml compares each %TAG with all before it: a file of them would keep it busy for hours.
        return None, _directives(text, chunk.preamble)
    composer = Composer(text).run()
    if not composer.troubles and composer.value is not None and type(composer.value) is not dict:
        what = f"a document is a mapping, and this is {said(composer.value)}"
        return None, [Trouble(*outline(text).at, what, "write `apiVersion: …`, `kind: …`, `metadata: …` and `spec: …`")]
    return composer.value, composer.troubles


def locate(document: Document, path: tuple[str | int, ...], *, key: bool = False) -> Where:
    """Where a path from the document's root begins, or with `key` its key; the deepest part that is there.

    The first call for a document reads its text again, the next ones only look up.
    """
    if document.trail is not None:
        return document.trail.locate(path, key)
    source = document.source
    if not path:
        before = BEFORE_CONTENT.match(document.raw)
        skipped = document.raw[: before.end()] if before else b""
        start = max(skipped.rfind(b"\n"), skipped.rfind(b"\r")) + 1
        return _where(source.file, source.line, document.column, (_line_breaks(skipped), len(skipped) - start))
    return _where(source.file, source.line, document.column, find(_outline(document), path, key))


@lru_cache(maxsize=64)
def _outline(document: Document) -> Node:
    return outline(document.raw.decode())


def _where(file: str, line: int, column: int, at: tuple[int, int]) -> Where:
    """`line` and `column` are those of the text's first character; `at` counts lines and columns from there."""
    return Where(file, line + at[0], at[1] + 1 + (column if at[0] == 0 else 0))


def _line_breaks(text: bytes) -> int:
    return len(LINE_BREAK.findall(text)) if b"\r" in text else text.count(b"\n")


def _at_character(before: str, what: str, hint: str) -> Trouble:
    lines = re.split(r"\r\n|\r|\n", before)
    return Trouble(len(lines) - 1, len(lines[-1]), what, hint)


def _directives(text: str, preamble: bool) -> list[Trouble]:
    for found in DIRECTIVE.finditer(text):
        if not preamble or not OUR_DIRECTIVE.fullmatch(found[0]):
            hint = "remove the line: documents are YAML 1.2, without tags of their own"
            return [_at_character(text[: found.start()], "a line that begins with `%` is not accepted here", hint)]
    return []


def escaped(character: str) -> str:
    """How YAML's double quotes spell a character."""
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
