"""Reads what Proxies are pinned to: Configurations as the commits that they name declare them."""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from reconciler.core.edition import differing
from reconciler.core.messages import Fault
from reconciler.core.model import Ref, Resource
from reconciler.core.pinned import Then, as_then, pin
from reconciler.git import NotThere, Tree

# Commits that one revision may name: each is a whole fleet to read, once.
MOST_COMMITS = 100
# Remembered beyond those in use: a rollout that is taken back names the commit before.
SPARE_COMMITS = 20


class Past(Protocol):
    """The part of a Source that is asked for commits of before."""

    def past(self, revision: str, commit: str) -> Tree: ...

    def read(self, blob_ids: Iterable[str]) -> Mapping[str, bytes]: ...


@dataclass(frozen=True, slots=True)
class Pinned:
    """Proxy ⇒ the Configuration that it is pinned to; and what is wrong, by the Proxy that says so."""

    configurations: Mapping[Ref, Resource] = field(default_factory=dict)
    faults: tuple[tuple[Ref, Fault], ...] = ()


class Pins:
    """Remembers by commit, for what a commit says never changes. `render` gives the documents of a tree, as a Loader does.

    Of two revisions that name the same commit, both get the very same Resource.
    """

    def __init__(self, render: Callable[[Tree, Past], Then]) -> None:
        self._render = render
        # (the fleet's directory, commit) ⇒ what that declares.
        self._known: OrderedDict[tuple[str, str], Then] = OrderedDict()
        # The resources of the last revision, and those Proxies among them that are pinned, in the order of their names.
        self._given: Mapping[Ref, Resource] = {}
        self._pinned: dict[Ref, tuple[Ref, str]] = {}

    def pinned(self, tree: Tree, resources: Mapping[Ref, Resource], past: Past | None) -> Pinned:
        """For all of the revision that this tree is of. Raises what `past` raises, save NotThere."""
        configurations: dict[Ref, Resource] = {}
        faults: list[tuple[Ref, Fault]] = []
        seen: dict[str, Then | Fault] = {}
        for proxy, (ref, commit) in self._pins(resources).items():
            if commit not in seen:
                seen[commit] = self._then(tree, commit, past) if len(seen) < MOST_COMMITS else _too_many()
            known = seen[commit]
            found = known if isinstance(known, Fault) else as_then(ref, commit, known)
            if isinstance(found, Fault):
                faults.append((proxy, found))
            else:
                configurations[proxy] = found
        while len(self._known) > len(seen) + SPARE_COMMITS:
            self._known.popitem(last=False)
        return Pinned(configurations, tuple(faults))

    def _pins(self, resources: Mapping[Ref, Resource]) -> Mapping[Ref, tuple[Ref, str]]:
        """Every pinned Proxy, with the Configuration it is pinned to, and the commit."""
        changed = {ref for ref in differing(self._given, resources) if ref.kind == "Proxy"}
        self._given = resources
        if changed:
            pinned = {ref: found for ref, found in self._pinned.items() if ref not in changed}
            found = ((ref, pin(resources[ref])) for ref in changed if ref in resources)
            pinned.update((ref, what) for ref, what in found if what is not None)
            self._pinned = dict(sorted(pinned.items()))
        return self._pinned

    def _then(self, tree: Tree, commit: str, past: Past | None) -> Then | Fault:
        if past is None:
            return Fault(("revision",), "a commit can be named only where the fleet is followed in Git", "leave it out")
        try:
            # Asked each time: a branch that was rewritten may have lost it.
            there = past.past(tree.revision, commit)
        except NotThere as error:
            return Fault(("revision",), error.what, error.hint)
        key = (there.root, commit)
        if key not in self._known:
            self._known[key] = self._render(there, past)
        self._known.move_to_end(key)
        return self._known[key]


def _too_many() -> Fault:
    what = f"more than {MOST_COMMITS} commits are named by the Proxies of this fleet"
    return Fault(("revision",), what, "move the oldest to a newer one")
