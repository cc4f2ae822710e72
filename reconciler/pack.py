"""Parsed documents kept on disk by blob id, so that a restart does not parse ten thousand files again."""

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import orjson
import yaml

from reconciler.core import compose, parse, scalars
from reconciler.core.model import Source
from reconciler.core.parse import Document
from reconciler.seams import Seams

# A fleet of ten thousand documents makes 12 MB. What is larger than this is not ours.
LARGEST = 1 << 30
DIGEST_BYTES = 32


class Pack:
    """One file with the documents of every blob of the last revisions.

    It only saves work: a record is used when its digest is right, and whatever else is wrong with the file, it counts as
    empty. Each record is a line `blob length length`, a digest over all of it, what the documents say as JSON, and their text.
    """

    def __init__(self, directory: Path, seams: Seams) -> None:
        self._seams = seams
        self.path = directory / f"parsed-{fingerprint()}.pack"

    def load(self) -> dict[str, tuple[Document, ...]]:
        """Blob id ⇒ its documents, with an empty file name."""
        try:
            self._seams.point("cache.read", self.path)
            if self.path.stat().st_size > LARGEST:
                return {}
            content = self.path.read_bytes()
        except OSError:
            return {}
        return dict(_records(content))

    def save(self, blobs: Mapping[str, tuple[Document, ...]]) -> None:
        """Put exactly these in the file's place, or leave it as it is."""
        with contextlib.suppress(OSError):
            self._seams.point("cache.write", self.path)
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor, temporary = tempfile.mkstemp(prefix=".parsed-", dir=self.path.parent)
            try:
                with os.fdopen(descriptor, "wb") as file:
                    for blob, documents in blobs.items():
                        file.writelines(_record(blob, documents))
                os.replace(temporary, self.path)
            except BaseException:
                os.unlink(temporary)
                raise
            for other in self.path.parent.glob("parsed-*.pack"):
                if other != self.path:
                    other.unlink(missing_ok=True)


def fingerprint() -> str:
    """Names everything that decides what a text means: a pack written by other code is never read."""
    digest = hashlib.sha256(f"{yaml.__version__} {yaml.__with_libyaml__} {compose.READER.__name__}".encode())
    for module in (parse, compose, scalars):
        with contextlib.suppress(OSError):
            digest.update(Path(str(module.__file__)).read_bytes())
    return digest.hexdigest()[:16]


def _record(blob: str, documents: tuple[Document, ...]) -> Iterable[bytes]:
    about = [(one.source.line, one.source.start, one.source.end, one.column, one.value) for one in documents]
    said = orjson.dumps(about)
    text = b"".join(one.raw for one in documents)
    head = f"{blob} {len(said)} {len(text)}\n".encode()
    return head, hashlib.sha256(head + said + text).digest(), said, text


def _records(content: bytes) -> Iterator[tuple[str, tuple[Document, ...]]]:
    at = 0
    while at < len(content):
        newline = content.find(b"\n", at, at + 256)
        words = content[at:newline].split(b" ")
        if newline < 0 or len(words) != 3 or not (words[1].isdigit() and words[2].isdigit()):
            return
        said = newline + 1 + DIGEST_BYTES
        text, end = said + int(words[1]), said + int(words[1]) + int(words[2])
        head, wanted, body = content[at : newline + 1], content[newline + 1 : said], content[said:end]
        at = end
        if hashlib.sha256(head + body).digest() == wanted:
            with contextlib.suppress(ValueError, TypeError):
                yield words[0].decode(), tuple(_documents(words[0].decode(), content[said:text], content[text:end]))


def _documents(blob: str, said: bytes, text: bytes) -> Iterator[Document]:
    offset = 0
    for line, start, end, column, value in orjson.loads(said):
        raw = text[offset : offset + end - start]
        offset += end - start
        yield Document(Source("", line, start, end, blob), value, raw, column)
