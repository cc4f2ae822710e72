"""What is wrong between documents: names taken twice, references to nothing, cycles, and ports of workloads that clash."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from reconciler.core.circles import circles, drawn
from reconciler.core.envelope import Checked, Key
from reconciler.core.kinds.container import Container
from reconciler.core.kinds.spec import Reference
from reconciler.core.model import DEFAULT_TENANT, Ref, Where
from reconciler.core.near import did_you_mean, listing
from reconciler.core.parse import Document
from reconciler.core.wording import Flaw, quoted

# A document with what was found out about it, in the order of files and lines.
Pair = tuple[Document, Checked]
Locate = Callable[[Document, tuple[str | int, ...]], Where]
Found = tuple[Document, Flaw]
NAME = ("metadata", "name")
# Of a cycle, in a message.
MOST_SHOWN = 8
# Kinds that decide which ports are taken where, besides workloads.
PORTS = frozenset({"Host", "ProxyGroup", "Proxy", "Configuration", "VirtualHost"})
# Kinds of which one that comes or goes is everybody's business: there is one of it, or its name is taken for all tenants.
EVERYBODYS = frozenset({"Settings", "Host"})
WORD = re.compile(rb"[a-z0-9][-a-z0-9]*")


# Guessing what was meant takes a look at every name there is; past this many guesses nobody reads them.
MOST_GUESSES = 1000


@dataclass(slots=True)
class Named:
    """Every name there is, of sound and of broken documents, and who had it first."""

    first: dict[Key, Pair]
    # Words of documents that could not be read: what they declare is not known, so nothing they hold is called missing.
    unread: frozenset[str] = frozenset()
    # Which kinds name which; whether any of them can name itself over others; whether any workload has a fixed port.
    between: Mapping[str, frozenset[str]] = field(default_factory=dict)
    circular: frozenset[str] = frozenset()
    fixed: bool = False
    # How many times each is named, there or not, as something that is needed or waited for; and uids that are written down.
    mentioned: dict[Key, int] = field(default_factory=dict)
    uids: set[str] = field(default_factory=set)
    guesses_left: int = MOST_GUESSES
    _names: dict[tuple[tuple[str, ...], str], list[str]] = field(default_factory=dict)

    def names(self, kinds: tuple[str, ...], tenant: str) -> list[str]:
        """In their order."""
        found = self._names.get((kinds, tenant))
        if found is None:
            found = sorted(name for kind, owner, name in self.first if owner == tenant and kind in kinds)
            self._names[kinds, tenant] = found
        return found

    def tenants(self, kinds: tuple[str, ...], name: str) -> list[str]:
        return sorted({owner for kind, owner, other in self.first if other == name and kind in kinds})

    def unaffected(self, gone: Mapping[Key, Pair], new: Mapping[Key, Pair]) -> bool:
        """Whether nothing between documents can be wrong once these are gone and those are there instead.

        Only ever true in a fleet without Problems.
        """
        if self.circular or not all(self._fits(key, gone.get(key), checked) for key, (_, checked) in new.items()):
            return False
        vanished = gone.keys() - new.keys()
        if any(key[0] in EVERYBODYS or (self.fixed and key[0] in PORTS) for key in vanished):
            return False
        written = [checked.uid for _, checked in new.values() if checked.uid is not None]
        taken = self.uids - {checked.uid for _, checked in gone.values()} if written else set()
        if len(set(written)) < len(written) or not taken.isdisjoint(written):
            return False
        left = {key: self.mentioned.get(key, 0) for key in vanished}
        for pairs, step in ((gone, -1), (new, 1)):
            for key in (key for _, checked in pairs.values() for key in mentions(checked) if key in left):
                left[key] += step
        if any(left.values()):
            return False
        for _, checked in new.values():
            for keys in checked.needs:
                if not any(key in new or (key in self.first and key not in vanished) for key in keys):
                    return False
        return True

    def _fits(self, key: Key, before: Pair | None, now: Checked) -> bool:
        """Whether this one document can be told by itself to clash with no other."""
        kind = key[0]
        if now.fixed or (self.fixed and kind in PORTS):
            return False
        if not self.between.get(kind, frozenset()).issuperset(now.names_kinds):
            return False
        if before is None:
            return key not in self.first and kind not in EVERYBODYS and not now.waits_for and not now.hook
        was = before[1]
        return not was.fixed and (was.waits_for, was.hook, registered(was)) == (now.waits_for, now.hook, registered(now))

    def became(self, gone: Mapping[Key, Pair], new: Mapping[Key, Pair]) -> None:
        for key, (_, checked) in gone.items():
            del self.first[key]
            self.uids.discard(checked.uid or "")
            for name in mentions(checked):
                self.mentioned[name] -= 1
                if not self.mentioned[name]:
                    del self.mentioned[name]
        for key, pair in new.items():
            self.first[key] = pair
            self.count(pair[1])
        self._names.clear()

    def count(self, checked: Checked) -> None:
        if checked.uid is not None:
            self.uids.add(checked.uid)
        for name in mentions(checked):
            self.mentioned[name] = self.mentioned.get(name, 0) + 1


def mentions(checked: Checked) -> Iterator[Key]:
    """All that it names, what it waits for among it."""
    for keys in checked.needs:
        yield from keys
    for need in checked.waits_for:
        yield need.kind, need.tenant, need.name


def registered(checked: Checked) -> bool:
    """Whether it runs without Convoy."""
    spec = checked.resource.spec if checked.resource else None
    return isinstance(spec, Container) and spec.registered


def named(pairs: Iterable[Pair], unread: Iterable[bytes]) -> tuple[Named, list[tuple[Pair, Pair]]]:
    """All names, and for each that is taken again the later document with the first one."""
    first: dict[Key, Pair] = {}
    twice = []
    # Most documents of a kind name the same kinds, so these are few.
    shapes: set[tuple[str, tuple[str, ...]]] = set()
    fixed = False
    for pair in pairs:
        checked = pair[1]
        ref = checked.ref
        if ref is not None:
            key = (ref.kind, ref.tenant, ref.name)
            other = first.setdefault(key, pair)
            if other is not pair:
                twice.append((pair, other))
            shapes.add((ref.kind, checked.names_kinds))
            fixed = fixed or checked.fixed
    between: dict[str, set[str]] = {}
    for kind, others in shapes:
        between.setdefault(kind, set()).update(others)
    edges = {kind: frozenset(others) for kind, others in between.items()}
    circular = frozenset(kind for kind in edges if _reaches(edges, kind))
    words = frozenset(word.decode() for raw in unread for word in WORD.findall(raw))
    names = Named(first, words, edges, circular, fixed)
    for _, checked in first.values():
        names.count(checked)
    return names, twice


def taken_twice(twice: Iterable[tuple[Pair, Pair]], locate: Locate) -> Iterator[Found]:
    for (document, checked), (first, _) in twice:
        what = f"{checked.ref} is declared twice: first at {locate(first, NAME)}"
        yield document, Flaw(NAME, what, "rename or remove one of the two")


def same_uid(pairs: Iterable[Pair], locate: Locate) -> Iterator[Found]:
    known: dict[str, Document] = {}
    for document, checked in pairs:
        if checked.uid is not None:
            first = known.setdefault(checked.uid, document)
            if first is not document:
                path = ("metadata", "uid")
                what = f"this uid is taken: first at {locate(first, path)}"
                yield document, Flaw(path, what, "remove it from the newer of the two: left out, one is made")


def settings(pairs: Iterable[Pair], locate: Locate) -> Iterator[Found]:
    """There is one Settings document at most, and it belongs to no tenant."""
    found = [(document, checked.ref) for document, checked in pairs if checked.ref and checked.ref.kind == "Settings"]
    for i, (document, ref) in enumerate(found):
        if ref.tenant != DEFAULT_TENANT:
            hint = "move it out of tenants/"
            yield document, Flaw(("kind",), "Settings are the whole fleet's, and this is a tenant's directory", hint)
        elif i and found[0][1] != ref:
            what = f"a second Settings document: the first is at {locate(found[0][0], NAME)}"
            yield document, Flaw(("kind",), what, "put everything into one")


def hosts(pairs: Iterable[Pair], locate: Locate) -> Iterator[Found]:
    """A host is one place, whoever declares it: what runs there is found again by the host's name alone."""
    known: dict[str, Pair] = {}
    for document, checked in pairs:
        if checked.ref is not None and checked.ref.kind == "Host":
            first, other = known.setdefault(checked.ref.name, (document, checked))
            if other.ref is not None and other.ref.tenant != checked.ref.tenant:
                what = f"{checked.ref} has the name of {other.ref}, declared at {locate(first, NAME)}"
                yield document, Flaw(NAME, what, "every tenant's hosts bear names of their own: rename one of the two")


def dangling(pairs: Iterable[Pair], names: Named) -> Iterator[Found]:
    """References to what is not there."""
    first = names.first
    for document, checked in pairs:
        for index, keys in enumerate(checked.needs):
            for key in keys:
                if key in first:
                    break
            else:
                if keys[0][2] in names.unread:
                    continue
                yield document, _missing(checked.references[index], keys[0][1], names)


def _missing(reference: Reference, tenant: str, names: Named) -> Flaw:
    # Mappings may name resources by their keys (`weights`): then the key is the place, and its value says nothing.
    by_key = reference.path[-1] == reference.name
    whose = "" if tenant == DEFAULT_TENANT else f" in tenant {tenant!r}"
    what = f"there is no {' or '.join(reference.kinds)} {quoted(reference.name)}{whose}"
    return Flaw(("spec", *reference.path), what, _guess(reference, tenant, names), by_key)


def _guess(reference: Reference, tenant: str, names: Named) -> str:
    names.guesses_left -= 1
    if names.guesses_left < 0:
        return ""
    elsewhere = names.tenants(reference.kinds, reference.name)
    if elsewhere:
        whose = f"tenant {elsewhere[0]!r} has one" if elsewhere[0] != DEFAULT_TENANT else "there is one outside tenants/"
        return f"{whose}, but documents name only what is their own tenant's"
    known = names.names(reference.kinds, tenant)
    if not known:
        return "declare one: there is none at all"
    return did_you_mean(reference.name, known, f"there is {listing(known)}")


def cycles(pairs: Sequence[Pair], names: Named) -> Iterator[Found]:
    """Resources that need each other in a circle; each circle once, at the reference that closes it."""
    graph = _within_circles(pairs, names)
    for members, step in circles({ref: [target for target, _ in edges] for ref, (_, edges) in graph.items()}):
        document, edges = graph[members[-1]]
        what = f"a cycle: {drawn(members, MOST_SHOWN)}"
        yield document, Flaw(("spec", *edges[step][1].path), what, "remove one of these references")


def _within_circles(pairs: Sequence[Pair], names: Named) -> dict[Ref, tuple[Document, list[tuple[Ref, Reference]]]]:
    """Who names whom, among the kinds that can name themselves over others at all: most fleets have none of those."""
    graph: dict[Ref, tuple[Document, list[tuple[Ref, Reference]]]] = {}
    if names.circular:
        for document, checked in pairs:
            if checked.ref is not None and checked.ref.kind in names.circular:
                graph.setdefault(checked.ref, (document, list(_edges(checked, names))))
    return graph


def _edges(checked: Checked, names: Named) -> Iterator[tuple[Ref, Reference]]:
    for reference, keys in zip(checked.references, checked.needs, strict=True):
        for kind, tenant, name in keys:
            if kind in names.circular and (kind, tenant, name) in names.first:
                yield Ref(kind, name, tenant), reference
                break


def _reaches(between: Mapping[str, frozenset[str]], start: str) -> bool:
    seen: set[str] = set()
    waiting = list(between[start])
    while waiting:
        kind = waiting.pop()
        if kind == start:
            return True
        if kind not in seen:
            seen.add(kind)
            waiting += between.get(kind, ())
    return False
