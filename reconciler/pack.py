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

    def open(self) -> "Records":
        """What is there now; nothing when the file is not, or cannot be read."""
        try:
            self._seams.point("cache.read", self.path)
            if self.path.stat().st_size <= LARGEST:
                return Records(self.path.read_bytes())
        except OSError:
            pass
        return Records(b"")

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


class Records:
    """A pack's records by blob id; each is checked and read when it is asked for."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        # Blob id ⇒ where its record begins, its JSON, its text, and where it ends.
        self._places = dict(_places(content))

    def documents(self, blob: str, file: str) -> tuple[Document, ...] | None:
        """The documents of this blob, as those of this file; None when they are not here unharmed."""
        place = self._places.get(blob)
        if place is None:
            return None
        at, said, text, end = place
        digest = hashlib.sha256(self._content[at : said - DIGEST_BYTES] + self._content[said:end]).digest()
        if digest != self._content[said - DIGEST_BYTES : said]:
            return None
        try:
            return tuple(_documents(blob, file, self._content[said:text], self._content[text:end]))
        except (ValueError, TypeError):
            return None


def _places(content: bytes) -> Iterator[tuple[str, tuple[int, int, int, int]]]:
    at = 0
    while at < len(content):
        newline = content.find(b"\n", at, at + 256)
        words = content[at:newline].split(b" ")
        if newline < 0 or len(words) != 3 or not (words[1].isdigit() and words[2].isdigit()):
            return
        said = newline + 1 + DIGEST_BYTES
        text = said + int(words[1])
        end = text + int(words[2])
        yield words[0].decode("ascii", "replace"), (at, said, text, end)
        at = end


def _documents(blob: str, file: str, said: bytes, text: bytes) -> Iterator[Document]:
    offset = 0
    for line, start, end, column, value in orjson.loads(said):
        raw = text[offset : offset + end - start]
        offset += end - start
        yield Document(Source(file, line, start, end, blob), value, raw, column)
