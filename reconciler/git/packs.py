"""Writes new objects into a repository as one pack: two files, where each object would be a file of its own."""

import contextlib
import hashlib
import os
import struct
import tempfile
import zlib
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path

import pygit2

# https://git-scm.com/docs/gitformat-pack: the kinds of objects, as a pack numbers them.
COMMIT, TREE, BLOB = b"commit", b"tree", b"blob"
NUMBERS = {COMMIT: 1, TREE: 2, BLOB: 3}
# What is said as the difference to an object that stands so many bytes before it; and after so many of these one stands whole.
DIFFERENCE, DEEPEST_DIFFERENCE = 6, 50
# The longest that one step of a difference can copy, and can add.
LONGEST_COPY, LONGEST_NEW = 0xFF_FF_FF, 0x7F
# Compared at once to find where two begin to differ.
BLOCK = 4096
VERSION, HEADER_BYTES = 2, 12
INDEX_MAGIC = b"\377tOc"
# The size of an object begins with four bits beside its kind and goes on with seven in each byte.
FIRST_BITS, MORE_BITS = 4, 7
MORE = 1 << MORE_BITS
# What gathers in memory at most; far below what an index without its large offsets can say.
LARGEST = 64 * 1024 * 1024


class Pack:
    """What is added is in `repository` once it is written: each batch before anything names it, and then all or nothing of it.

    Objects are not compressed, which is most of what writing them would cost. A tree that is nearly the one before stands as
    what it differs in: between two that once stood whole in one pack, git would never look for that again.
    """

    def __init__(self, repository: pygit2.Repository) -> None:
        self._directory = Path(repository.path) / "objects" / "pack"
        # Id ⇒ kind, content, and the one that it is nearly the same as.
        self._added: dict[str, tuple[bytes, bytes, str]] = {}
        self._bytes = 0

    def add(self, kind: bytes, content: bytes, like: str = "") -> str:
        """The object's id. `like` is one that has been added, perhaps, and that it is nearly the same as."""
        if self._bytes + len(content) > LARGEST:
            self.write()
        # What others have chosen the bytes of is hashed with libgit2's care for collisions that somebody has made.
        id = (
            str(pygit2.hash(content)) if kind == BLOB else hashlib.sha1(_head(kind, content), usedforsecurity=False).hexdigest()
        )
        if id not in self._added:
            self._added[id] = kind, content, like
            self._bytes += len(content)
        return id

    def tree(self, id: str) -> bytes | None:
        """The tree that was added as this, and is not written yet."""
        kind, content, _ = self._added.get(id, (b"", b"", ""))
        return content if kind == TREE else None

    def write(self) -> None:
        """Raises OSError, and then it has been given up."""
        added, self._added, self._bytes = self._added, {}, 0
        if not added:
            return
        parts, at = [struct.pack(">4sII", b"PACK", VERSION, len(added))], HEADER_BYTES
        # Id ⇒ where it stands, and how many have to be read for it.
        known: dict[str, tuple[int, int]] = {}
        for id, (kind, content, like) in added.items():
            base, depth = known.get(like, (0, DEEPEST_DIFFERENCE))
            said = difference(added[like][1], content) if depth < DEEPEST_DIFFERENCE else content
            if len(said) < len(content) // 2:
                part = _size(DIFFERENCE, len(said)) + _before(at - base)
            else:
                part, said, depth = _size(NUMBERS[kind], len(content)), content, -1
            known[id] = at, depth + 1
            parts.append(part + zlib.compress(said, 0))
            at += len(parts[-1])
        checksum = hashlib.sha1(b"".join(parts), usedforsecurity=False).digest()
        crcs = map(zlib.crc32, parts[1:])
        places = sorted((bytes.fromhex(id), start, crc) for (id, (start, _)), crc in zip(known.items(), crcs, strict=True))
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


def difference(old: bytes, new: bytes) -> bytes:
    """How git says what was put between a beginning and an end that both have."""
    most = min(len(old), len(new))
    begins = _alike(old, new, most)
    ends = _alike(old[::-1], new[::-1], most - begins)
    middle = new[begins : len(new) - ends]
    steps = [_length(len(old)), _length(len(new)), *_copies(0, begins)]
    for start in range(0, len(middle), LONGEST_NEW):
        piece = middle[start : start + LONGEST_NEW]
        steps.append(bytes((len(piece),)) + piece)
    return b"".join((*steps, *_copies(len(old) - ends, ends)))


def _alike(one: bytes, other: bytes, most: int) -> int:
    """How many bytes of these, so many at most, are the same at the beginning."""
    at, step = 0, BLOCK
    while step:
        if at + step <= most and one[at : at + step] == other[at : at + step]:
            at += step
        else:
            step //= 2
    return at


def _copies(start: int, length: int) -> Iterator[bytes]:
    while length:
        piece = min(length, LONGEST_COPY)
        numbers = start.to_bytes(4, "little") + piece.to_bytes(3, "little")
        # Of these bytes only those that are not zero are there, and which ones is what the first byte says.
        yield bytes((0x80 | sum(1 << i for i, one in enumerate(numbers) if one), *(one for one in numbers if one)))
        start, length = start + piece, length - piece


def _length(length: int) -> bytes:
    written = bytearray()
    while length >= MORE:
        written.append(MORE | length & (MORE - 1))
        length >>= MORE_BITS
    written.append(length)
    return bytes(written)


def _before(distance: int) -> bytes:
    """How many bytes before: seven bits in each byte, the highest first, and one less in each that is not the last."""
    written = bytearray([distance & (MORE - 1)])
    while distance := distance >> MORE_BITS:
        distance -= 1
        written.append(MORE | distance & (MORE - 1))
    return bytes(reversed(written))


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
