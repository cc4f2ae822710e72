"""Environments for tests: a repository as a mapping of paths to texts, read as Git reads one."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from reconciler.core.model import Problem
from reconciler.git import Tree
from reconciler.git.layers import NoDirectory, tree
from reconciler.load import Loaded, Loader
from reconciler.seams import Seams

HEAD = "apiVersion: convoy/v1\nkind: {}\nmetadata: {{name: {}}}\n"
PRODUCTION, BASE = "environments/production/", "bases/shop/"


def environment(name: str = "production", **spec: object) -> str:
    """An environment.yaml; what it says is given as YAML's flow style."""
    return HEAD.format("Environment", name) + "spec:\n" + "".join(f"  {key}: {value}\n" for key, value in spec.items())


def container(name: str, words: str = "command: [x]") -> str:
    return HEAD.format("Container", name) + f"spec:\n  host: local\n  {words}\n"


HOST = HEAD.format("Host", "local")


@dataclass
class Layered:
    """Files by path. The loader stays from one look to the next; `read` are the blobs that were read."""

    files: dict[str, str]
    root: str = PRODUCTION
    loader: Loader = field(default_factory=lambda: Loader(None, Seams()))
    read: list[str] = field(default_factory=list)

    def tree(self) -> Tree:
        blobs = {blob(text): text for text in self.files.values()}

        def listed(root: str) -> tuple[Mapping[str, str], tuple[Problem, ...]]:
            found = {path: blob(text) for path, text in sorted(self.files.items()) if path.startswith(root)}
            if not found:
                raise NoDirectory("there is no such directory")
            return found, ()

        return tree(hashlib.sha256(repr(sorted(blobs)).encode()).hexdigest()[:12], self.root, listed, self.contents)

    def contents(self, blobs: Iterable[str]) -> Mapping[str, bytes]:
        known = {blob(text): text.encode() for text in self.files.values()}
        wanted = list(blobs)
        self.read += wanted
        return {one: known[one] for one in wanted}

    def load(self) -> Loaded:
        return self.loader.load(self.tree(), self.contents)

    def documents(self) -> dict[str, dict[str, object]]:
        """`Kind/name` ⇒ what the rendered document says; fails with every Problem when there is one."""
        written = self.loader.render(self.tree(), self.contents)
        assert not written.problems, "\n".join(map(str, written.problems))
        return {f"{one.value['kind']}/{one.value['metadata']['name']}": one.value for one in written.documents}

    def problems(self) -> list[str]:
        return [f"{one.where}: {one.what} | {one.hint}" for one in self.load().problems]


def blob(text: str) -> str:
    content = text.encode()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def shop(spec: str = "", base: str = "", **files: str) -> Layered:
    """One environment over one base with a Host and a Container; `files` are named by `__` for `/`."""
    own = {name.replace("__", "/") + ".yaml": text for name, text in files.items()}
    return Layered(
        {
            BASE + "environment.yaml": HEAD.format("Environment", "shop") + (f"spec:\n{base}" if base else ""),
            BASE + "hosts.yaml": HOST,
            BASE + "web.yaml": container("web"),
            PRODUCTION + "environment.yaml": HEAD.format("Environment", "production")
            + f"spec:\n  bases: [../../bases/shop]\n{spec}",
            **own,
        }
    )
