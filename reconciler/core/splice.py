"""One document of a file replaced by another text of it; all other bytes stay."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from reconciler.core.envelope import digest_of, ref_of, tenant_of
from reconciler.core.kinds import KINDS
from reconciler.core.model import Ref
from reconciler.core.parse import Document, chunks, parse, read


class NotSpliced(Exception):
    """The file would not be what it should; the message says why."""


@dataclass(frozen=True, slots=True)
class Written:
    """A document where it stands: its file, that file's blob, its own bytes, and the digest of what it says."""

    file: str
    blob: str
    line: int
    start: int
    end: int
    raw: bytes
    digest: str


def written(files: Mapping[str, str], texts: Mapping[str, bytes], ref: Ref, root: str) -> list[Written]:
    """Every document about this resource. `files`: path ⇒ blob; `texts`: blob ⇒ content."""
    found: list[Written] = []
    for file, blob in files.items():
        if tenant_of(file, root)[0] != ref.tenant or ref.name.encode() not in texts[blob]:
            continue
        documents = parse(file, blob, texts[blob]).documents
        found += [_written(one, blob) for one in documents if ref_of(one.value, ref.tenant, KINDS) == ref]
    return found


def _written(document: Document, blob: str) -> Written:
    source = document.source
    return Written(source.file, blob, source.line, source.start, source.end, document.raw, digest_of(document.value))


def broken(file: str, blob: str, text: bytes, ref: Ref) -> Written | None:
    """The document that cannot be read and must be the one about this resource; None when nothing is wrong with the file.

    Raises NotSpliced where it is not clear which one that is.
    """
    unread = [(chunk, troubles) for chunk in chunks(text) for troubles in (read(chunk)[1],) if troubles]
    if not unread:
        return None
    kind = re.compile(rb"(?m)^[\"']?kind[\"']?[ \t]*:[ \t]*[\"']?%b[\"']?[ \t\r]*(?:#.*)?$" % re.escape(ref.kind.encode()))
    name = re.compile(rb"\bname[\"']?[ \t]*:[ \t]*[\"']?%b(?![\w-])" % re.escape(ref.name.encode()))
    mine = [chunk for chunk, _ in unread if kind.search(chunk.raw) and name.search(chunk.raw)]
    if len(mine) != 1:
        chunk, troubles = unread[0]
        line = chunk.line + troubles[0].line
        raise NotSpliced(f"{file}:{line} cannot be read ({troubles[0].what}), and it may be {ref}: mend or remove it first")
    (chunk,) = mine
    return Written(file, blob, chunk.line, chunk.start, chunk.end, chunk.raw, "")


def spliced(text: bytes, there: Written | None, old: Written, ref: Ref) -> bytes:
    """The file with the old text of the document in the place of the one that is `there`, or behind all others.

    Raises NotSpliced where any other document would become another one.
    """
    if there is not None:
        before, after, raw = text[: there.start], text[there.end :], old.raw
        if before.endswith((b"---", b"...")):
            # A document may begin on the line of its `---`, and on no other marker's.
            begun = raw.startswith((b"\n", b"\r") if before.endswith(b"...") else (b"\n", b"\r", b" ", b"\t"))
            raw = raw if begun else b"\n" + _alone(raw)
        else:
            raw = _alone(raw)
    else:
        others = any(not chunk.preamble for chunk in chunks(text))
        before = text + (b"" if not text or text.endswith((b"\n", b"\r")) else b"\n") + (b"---\n" if others else b"")
        after, raw = b"", _alone(old.raw)
    if after and not raw.endswith((b"\n", b"\r")):
        raw += b"\n"
    result = before + raw + after
    if _others(text, there, ref) != _others(result, None, ref) or _said(result, ref) != [old.digest]:
        raise NotSpliced(f"the other documents of {(there or old).file} would not stay as they are: put {ref} back by hand")
    return result


def _alone(raw: bytes) -> bytes:
    """A document's text as it stands without a `---` before it on its line."""
    if raw.startswith(b"\r\n"):
        return raw[2:]
    return raw[1:] if raw[:1] in (b"\n", b"\r", b" ", b"\t") else raw


def _others(text: bytes, there: Written | None, ref: Ref) -> list[bytes]:
    """All that is in a file beside this document; a line break at the very end of it aside."""
    parsed = parse("", "", text)
    raws = [one.raw for one in parsed.documents if ref_of(one.value, ref.tenant, KINDS) != ref]
    unread = [raw for raw in parsed.unread if there is None or raw != there.raw]
    listed = [*raws, *unread]
    return [*listed[:-1], listed[-1].rstrip(b"\r\n")] if listed else []


def _said(text: bytes, ref: Ref) -> list[str]:
    documents = parse("", "", text).documents
    return [digest_of(one.value) for one in documents if ref_of(one.value, ref.tenant, KINDS) == ref]
