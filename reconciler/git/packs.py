"""Writes new objects into a repository as one pack: two files, where each object would be a file of its own."""

import contextlib
import hashlib
import os
import struct
import tempfile
import zlib
from itertools import accumulate
from pathlib import Path

import pygit2

# https://git-scm.com/docs/gitformat-pack: the kinds of objects, as a pack numbers them.
COMMIT, TREE, BLOB = b"commit", b"tree", b"blob"
NUMBERS = {COMMIT: 1, TREE: 2, BLOB: 3}
VERSION = 2
INDEX_MAGIC = b"\377tOc"
# The size of an object begins with four bits beside its kind and goes on with seven in each byte.
FIRST_BITS, MORE_BITS = 4, 7
MORE = 1 << MORE_BITS
# What gathers in memory at most; far below what an index without its large offsets can say.
LARGEST = 64 * 1024 * 1024


class Pack:
    """What is added is in `repository` once it is written: each batch before anything names it, and then all or nothing of it.

    Objects are stored as they are: compressing them is most of what writing them would cost. What is like something in another
    pack is stored as its difference by `Bare.tidy`; git tries no two again that stood whole in one pack.
    """

    def __init__(self, repository: pygit2.Repository) -> None:
        self._directory = Path(repository.path) / "objects" / "pack"
        # Id ⇒ kind and content.
        self._added: dict[str, tuple[bytes, bytes]] = {}
        self._bytes = 0

    def add(self, kind: bytes, content: bytes) -> str:
        """The object's id."""
        if self._bytes + len(content) > LARGEST:
            self.write()
        # What others have chosen the bytes of is hashed with libgit2's care for collisions that somebody has made.
        id = (
            str(pygit2.hash(content)) if kind == BLOB else hashlib.sha1(_head(kind, content), usedforsecurity=False).hexdigest()
        )
        if id not in self._added:
            self._added[id] = kind, content
            self._bytes += len(content)
        return id

    def tree(self, id: str) -> bytes | None:
        """The tree that was added as this, and is not written yet."""
        kind, content = self._added.get(id, (b"", b""))
        return content if kind == TREE else None

    def write(self) -> None:
        """Raises OSError, and then it has been given up."""
        added, self._added, self._bytes = self._added, {}, 0
        if not added:
            return
        parts = [struct.pack(">4sII", b"PACK", VERSION, len(added))]
        parts += [_size(NUMBERS[kind], len(content)) + zlib.compress(content, 0) for kind, content in added.values()]
        checksum = hashlib.sha1(b"".join(parts), usedforsecurity=False).digest()
        starts = list(accumulate(len(part) for part in parts))
        places = sorted(zip((bytes.fromhex(id) for id in added), starts, map(zlib.crc32, parts[1:]), strict=False))
        name = self._directory / f"pack-{checksum.hex()}"
        self._put(name.with_suffix(".pack"), b"".join((*parts, checksum)))
        try:
            # Only with its index it is a pack for anybody.
            self._put(name.with_suffix(".idx"), _index(places, checksum))
        except BaseException:
            if not name.with_suffix(".idx").exists():
                # Else each try would take more of a disk that is full.
                name.with_suffix(".pack").unlink(missing_ok=True)
            raise

    def _put(self, path: Path, content: bytes) -> None:
        # Under this name it is swept away where we are killed.
        descriptor, name = tempfile.mkstemp(prefix="tmp_pack_", dir=self._directory)
        try:
            with open(descriptor, "wb") as file:
                file.write(content)
            os.chmod(name, 0o444)
            os.rename(name, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(name)
            raise


def _head(kind: bytes, content: bytes) -> bytes:
    return b"%s %d\0%s" % (kind, len(content), content)


def _size(number: int, length: int) -> bytes:
    first, length = length & ((1 << FIRST_BITS) - 1), length >> FIRST_BITS
    written = bytearray([number << FIRST_BITS | first])
    while length:
        written[-1] |= MORE
        written.append(length & (MORE - 1))
        length >>= MORE_BITS
    return bytes(written)


def _index(places: list[tuple[bytes, int, int]], checksum: bytes) -> bytes:
    """An index of version 2: how many ids begin with at most each byte, the ids, their CRCs, where they are."""
    counts = [0] * 256
    for id, _, _ in places:
        counts[id[0]] += 1
    index = b"".join(
        (
            struct.pack(">4sI", INDEX_MAGIC, VERSION),
            struct.pack(">256I", *accumulate(counts)),
            b"".join(id for id, _, _ in places),
            struct.pack(f">{len(places)}I", *(crc for _, _, crc in places)),
            struct.pack(f">{len(places)}I", *(start for _, start, _ in places)),
            checksum,
        )
    )
    return index + hashlib.sha1(index, usedforsecurity=False).digest()
