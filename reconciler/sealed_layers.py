"""Sealed secrets where several environments share a base: whose Settings hold, and where an environment keeps its own."""

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reconciler.core.layers import ENVIRONMENT, bases_in, root_of
from reconciler.core.model import DEFAULT_TENANT, Ref
from reconciler.core.own_layer import with_patch
from reconciler.core.parse import Document
from reconciler.core.spans import BEGIN, Placed
from reconciler.git import Directory, Tree
from reconciler.git.folder import repository_around
from reconciler.load import Loader
from reconciler.seams import Seams


@dataclass(frozen=True)
class Layered:
    """An environment in a folder: `top` is where its paths count from; `documents` are rendered, `problems` in words."""

    directory: Path
    top: Path
    tree: Tree
    documents: tuple[Document, ...]
    problems: tuple[str, ...]
    shared: tuple[Path, ...]

    @property
    def file(self) -> Path:
        return self.directory / ENVIRONMENT

    def takes_in(self, file: Path) -> bool:
        """Whether a file belongs to one of its bases."""
        with contextlib.suppress(ValueError):
            path = file.resolve().relative_to(self.top).as_posix()
            return path in self.tree.files and root_of(path, self.tree.roots) != self.tree.root
        return False


def is_environment(directory: Path) -> bool:
    try:
        return bases_in(ENVIRONMENT, (directory / ENVIRONMENT).read_bytes()) is not None
    except OSError:
        return False


def layered(directory: Path, seams: Seams) -> Layered:
    """The environment in this directory; raises SourceError. Files of bases that hold a sealed secret are `shared`."""
    directory = directory.resolve()
    with contextlib.closing(Directory(directory, seams)) as source:
        tree = source.tree(source.fetch())
        written = Loader(None, seams).render(tree, source.read)
        top, roots = repository_around(directory), tree.roots
        others = [path for path in tree.files if root_of(path, roots) != tree.root]
        texts = source.read({tree.files[path] for path in others})
        shared = tuple(top / path for path in others if BEGIN.encode() in texts[tree.files[path]])
    return Layered(directory, top, tree, tuple(written.documents), tuple(map(str, written.problems)), shared)


def patched(text: bytes, secrets: Iterable[tuple[Ref, Placed, str, str | None]]) -> bytes:
    """An environment.yaml with these secrets (of which resource, where, ciphertext, hash) in the place of a base's.

    Raises NotWritten.
    """
    for ref, at, age, hash in secrets:
        target = {"kind": ref.kind, "name": ref.name} | ({"tenant": ref.tenant} if ref.tenant != DEFAULT_TENANT else {})
        sealed: dict[str, Any] = {"age": age if age.endswith("\n") else age + "\n"}
        sealed |= {"hash": hash} if hash is not None else {}
        text = with_patch(text, {"target": target, **_at(at.path, sealed)}, "Another secret than the base's.")
    return text


def _at(path: tuple[str | int, ...], sealed: Mapping[str, Any]) -> dict[str, Any]:
    if any(isinstance(part, int) for part in path):
        pointer = "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)
        return {"json": [{"op": "replace", "path": pointer, "value": dict(sealed)}]}
    value: Any = dict(sealed)
    for part in reversed(path):
        value = {part: value}
    return {"merge": value}


def patch_refs(document: Document) -> Iterator[Ref]:
    """Of which resource a secret in each patch of an environment is; of the environment, where that are several."""
    metadata = document.value.get("metadata")
    name = str(metadata.get("name")) if isinstance(metadata, dict) else ""
    spec = document.value.get("spec")
    for patch in (spec.get("patches") or []) if isinstance(spec, dict) else []:
        target = patch.get("target") if isinstance(patch, dict) else None
        if isinstance(target, dict) and isinstance(target.get("kind"), str) and isinstance(target.get("name"), str):
            yield Ref(target["kind"], target["name"], str(target.get("tenant", DEFAULT_TENANT)))
        else:
            yield Ref("Environment", name)
