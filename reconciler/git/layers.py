"""Finds the directories that an environment is made of, in one revision of a repository or of a folder."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from reconciler.core.layers import ENVIRONMENT, MOST_LAYERS, Base, Layer, OutOfReach, bases_in, resolved
from reconciler.core.model import Problem, Where
from reconciler.core.wording import quoted
from reconciler.git.source import MOST_ENTRIES, Tree

Files = Mapping[str, str]
# The document files below a directory ("" or ending in "/"), and what is wrong with them; raises NoDirectory.
Listed = Callable[[str], tuple[Files, tuple[Problem, ...]]]
Read = Callable[[Iterable[str]], Mapping[str, bytes]]


class NoDirectory(Exception):
    """The directory asked for is not there; what is there instead, if anything."""


def tree(revision: str, root: str, listed: Listed, read: Read) -> Tree:
    """The tree of the fleet in `root`: with those of its bases, where it is an environment. Raises what it is given raises."""
    files, problems = listed(root)
    blob = files.get(root + ENVIRONMENT)
    if blob is None or bases_in(root + ENVIRONMENT, read([blob])[blob]) is None:
        return Tree(revision, files, problems, root)
    found = _Found(listed, read, {root: files}, list(problems))
    found.visit(root, ())
    return found.tree(revision, root)


@dataclass
class _Found:
    listed: Listed
    read: Read
    files: dict[str, Files]
    problems: list[Problem]
    # In the order in which they come to the fleet: a base before whoever names it.
    layers: dict[str, Layer] = field(default_factory=dict)
    named: dict[str, Base] = field(default_factory=dict)

    def visit(self, root: str, above: tuple[str, ...]) -> None:
        file = root + ENVIRONMENT
        blob = self.files[root].get(file)
        bases = (bases_in(file, self.read([blob])[blob]) if blob is not None else None) or ()
        roots: list[str] = []
        for base in bases:
            try:
                below = self._base(root, base, (*above, root))
            except OutOfReach as error:
                what = f"{quoted(base.written)} cannot be a base: {error.what}"
                self.problems.append(Problem(base.where, what, error.hint))
            else:
                roots.append(below)
        self.layers[root] = Layer(root, tuple(roots))

    def _base(self, root: str, base: Base, above: tuple[str, ...]) -> str:
        below = resolved(root, base.written)
        if below in above:
            trail = " → ".join(shown(one) for one in (*above[above.index(below) :], below))
            raise OutOfReach(f"a cycle: {trail}", "remove one of these bases")
        if below in self.layers:
            return below
        if len(self.files) >= MOST_LAYERS:
            raise OutOfReach(f"the environment would have more than {MOST_LAYERS} layers", "join some of them")
        self.named.setdefault(below, base)
        try:
            files, problems = self.listed(below)
        except NoDirectory as error:
            what = str(error) or "there is no such directory with documents"
            raise OutOfReach(what, f"it was looked for at {shown(below)}") from None
        self.files[below] = files
        self.problems += problems
        self.visit(below, above)
        return below

    def tree(self, revision: str, root: str) -> Tree:
        for layer in self.layers:
            inside = [other for other in self.layers if other != layer and other.startswith(layer)]
            for other in inside:
                if other not in self._closure(layer):
                    where = self.named.get(layer) or self.named.get(other)
                    what = f"{shown(other)} lies in {shown(layer)}, which does not name it as a base"
                    hint = "keep the two side by side: else the outer one's documents are the inner one's as well"
                    self.problems.append(Problem(where.where if where else Where(root + ENVIRONMENT), what, hint))
        files: dict[str, str] = {}
        for layer in self.layers:
            inside = [other for other in self.layers if other != layer and other.startswith(layer)]
            mine = self.files[layer]
            files.update(mine if not inside else {path: mine[path] for path in mine if not path.startswith(tuple(inside))})
        if len(files) > MOST_ENTRIES:
            what = f"more than {MOST_ENTRIES} files, bases included"
            return Tree(revision, {}, (Problem(Where(root + ENVIRONMENT), what, "split the environment"),), root)
        problems = tuple(sorted(set(self.problems), key=lambda one: (one.where, one.what)))
        return Tree(revision, files, problems, root, tuple(self.layers.values()))

    def _closure(self, root: str) -> set[str]:
        found, waiting = set[str](), [root]
        while waiting:
            for base in self.layers[waiting.pop()].bases:
                if base not in found:
                    found.add(base)
                    waiting.append(base)
        return found


def shown(root: str) -> str:
    return root.rstrip("/") or "the repository's root"
