"""What files say, as they were read, and all that those of one revision say together."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from reconciler.core.model import Problem
from reconciler.core.parse import Document, Parsed
from reconciler.core.validate import ByFile


@dataclass(frozen=True, slots=True)
class File:
    """A file as it was in some revision; `size` is that of its documents in bytes."""

    blob: str
    parsed: Parsed
    size: int


@dataclass(frozen=True, slots=True)
class Written:
    """What a revision's files say, rendered. `ended`: with these Problems it makes no sense to look any further.

    `unread` are the texts of what could not be read or rendered; `whole`: there is nothing of that kind.
    """

    paths: Iterable[str]
    by_file: ByFile
    problems: list[Problem]
    unread: list[bytes]
    parsed: int
    whole: bool
    ended: bool = False

    @property
    def documents(self) -> list[Document]:
        """In the order of their paths in the tree, as if every file were new."""
        return [document for path in self.paths for document in self.by_file.get(path, ())]


class Parses:
    """What files say, by blob id, for several Loaders: none parses what another has. Each may forget for all of them."""

    def __init__(self) -> None:
        self.blobs: dict[str, File] = {}


def placed(file: File, path: str) -> File:
    """The same file at this path: what it says is the same, only where it says so is not."""
    parsed = file.parsed
    if all(one.source.file == path for one in parsed.documents) and all(one.where.file == path for one in parsed.problems):
        return file
    documents = tuple(replace(one, source=replace(one.source, file=path)) for one in parsed.documents)
    problems = tuple(replace(one, where=replace(one.where, file=path)) for one in parsed.problems)
    return replace(file, parsed=Parsed(documents, problems, parsed.unread))
