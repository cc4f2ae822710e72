"""Which directories make an environment: read from its `environment.yaml`, and never outside what is reviewed with it."""

import contextlib
import posixpath
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from reconciler.core.envelope import check
from reconciler.core.kinds.environment import KIND, Environment
from reconciler.core.kinds.spec import Spec
from reconciler.core.model import Where
from reconciler.core.parse import Document, locate, parse

# Where an environment is declared: in this file at the top of its directory.
ENVIRONMENT = "environment.yaml"
MEANT = re.compile(rb"^kind:[ \t]*['\"]?%b\b" % KIND.encode(), re.MULTILINE)
KINDS: dict[str, type[Spec]] = {KIND: Environment}
# More layers than this nobody has in mind at once, and each costs listing a directory.
MOST_LAYERS = 64
# A file that is larger is read anew each time, rather than kept.
LARGEST_KEPT = 256 * 1024


@dataclass(frozen=True, slots=True)
class Layer:
    """A directory of an environment: `root` is "" or ends in "/"; `bases` are the roots that it names, in its order."""

    root: str
    bases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Base:
    """A base as it is written, and where."""

    written: str
    where: Where


class OutOfReach(Exception):
    """A path that no base may have."""

    def __init__(self, what: str, hint: str) -> None:
        super().__init__(what)
        self.what, self.hint = what, hint


def bases_in(file: str, text: bytes) -> tuple[Base, ...] | None:
    """The bases that this file names; None where it declares no environment. What is wrong in other ways is told elsewhere."""
    if KIND.encode() not in text:
        return None
    return _bases_in(file, text) if len(text) <= LARGEST_KEPT else _bases_in.__wrapped__(file, text)


@lru_cache(maxsize=256)
def _bases_in(file: str, text: bytes) -> tuple[Base, ...] | None:
    parsed = parse(file, "", text)
    documents = declared(parsed.documents)
    if not documents:
        # One that cannot be read is one all the same, or its documents would be taken for a fleet of their own.
        return () if parsed.problems and MEANT.search(text) else None
    document = documents[0]
    spec = document.value.get("spec")
    listed = spec.get("bases") if isinstance(spec, dict) else None
    if not isinstance(listed, list) or check(document, "default", KINDS).problems:
        return ()
    return tuple(Base(one, locate(document, ("spec", "bases", number))) for number, one in enumerate(listed))


def declared(documents: Iterable[Document]) -> list[Document]:
    """The environments among these documents."""
    return [one for one in documents if one.value.get("kind") == KIND]


def resolved(root: str, written: str) -> str:
    """The root that a base's path means, seen from `root`; raises OutOfReach.

    Nothing but text is looked at: where a link stands on the way, the directory is not there (`git/layers.py`).
    """
    hint = "write it relative to this directory, like ../../bases/shop"
    if not written.isprintable() or "\\" in written:
        raise OutOfReach("it holds characters that no directory here has", hint)
    if written.startswith("/"):
        raise OutOfReach("it is an absolute path", hint)
    path = posixpath.normpath(posixpath.join("/", root, "./"))
    depth = [part for part in path.split("/") if part]
    for part in written.split("/"):
        if part == "..":
            if not depth:
                raise OutOfReach(
                    "it leads out of the repository", "take the base into it; a folder in no Git repository ends where it ends"
                )
            depth.pop()
        elif part not in ("", "."):
            depth.append(part)
    if any(part.startswith(".") for part in depth):
        raise OutOfReach("what begins with a dot is no part of a fleet", "move the base to a directory that can be seen")
    return "".join(f"{part}/" for part in depth)


def among(files: Mapping[str, bytes]) -> tuple[str, ...]:
    """The directories of the environments among these files that are nobody's base. `files`: path ⇒ text."""
    found: dict[str, tuple[Base, ...]] = {}
    for file, text in sorted(files.items()):
        bases = bases_in(file, text) if posixpath.basename(file) == ENVIRONMENT else None
        if bases is not None:
            found[file.removesuffix(ENVIRONMENT)] = bases
    used: set[str] = set()
    for root, bases in found.items():
        for base in bases:
            with contextlib.suppress(OutOfReach):
                used.add(resolved(root, base.written))
    return tuple(root for root in found if root not in used)


def root_of(file: str, roots: str | tuple[str, ...]) -> str:
    """The innermost of these directories that a file is in."""
    if isinstance(roots, str):
        return roots
    return max((root for root in roots if file.startswith(root)), key=len, default="")
