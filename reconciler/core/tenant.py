"""One tenant's documents while they are compiled: by kind and name, by what names them, and what has been made of them."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import cast

from reconciler.core.group import Part
from reconciler.core.kinds.proxy import Proxy
from reconciler.core.kinds.virtualhost import VirtualHost
from reconciler.core.model import Ref, Resource, Want
from reconciler.core.translate import upstreams

# Within a tenant: kind and name.
Name = tuple[str, str]
READ = ("Configuration", "Cluster")
RUNNING = ("Container", "Application")
# Ref ⇒ what it stood for and what it stands for now; None where it is not declared.
Changes = Mapping[Ref, tuple[Resource | None, Resource | None]]


@dataclass(frozen=True, slots=True)
class Told:
    """What was made of a ProxyGroup: `reads` is what that depends on besides its own and its proxies' documents."""

    reads: frozenset[Name]
    traffic: frozenset[Ref] = frozenset()
    workloads: frozenset[Ref] = frozenset()


class Tenant:
    """Its documents, kept along from revision to revision."""

    __slots__ = ("_leads", "_proxies", "_serving", "claims", "kinds", "shared", "told")

    def __init__(self) -> None:
        self.kinds: dict[str, dict[str, Resource]] = defaultdict(dict)
        # The clusters looked up so far, which stand outside of Configurations.
        self.shared: dict[str, Part | None] = {}
        # Workload ⇒ what is wanted under that name.
        self.claims: dict[Ref, Want] = {}
        # ProxyGroup ⇒ what was made of it.
        self.told: dict[str, Told] = {}
        # What runs ⇒ the documents whose clusters lead to it.
        self._leads: dict[Name, dict[Name, None]] = defaultdict(dict)
        # ProxyGroup ⇒ its Proxies and its VirtualHosts, by name.
        self._proxies: dict[str, dict[str, Resource]] = defaultdict(dict)
        self._serving: dict[str, dict[str, Resource]] = defaultdict(dict)

    def change(self, ref: Ref, old: Resource | None, new: Resource | None) -> None:
        """This name stands for `new` from now on."""
        if old is not None and (new is None or self._group(old) != self._group(new)):
            self._of_group(old).pop(ref.name, None)
        before, after = self._ends(old), self._ends(new)
        for end in before:
            if end not in after:
                self._leads[end].pop((ref.kind, ref.name), None)
        for end in after:
            self._leads[end][ref.kind, ref.name] = None
        if new is None:
            self.kinds[ref.kind].pop(ref.name, None)
        else:
            self.kinds[ref.kind][ref.name] = new
            self._of_group(new)[ref.name] = new

    def _group(self, resource: Resource) -> str | None:
        spec = resource.spec
        return spec.group if isinstance(spec, Proxy | VirtualHost) else None

    def _of_group(self, resource: Resource) -> dict[str, Resource]:
        spec = resource.spec
        if isinstance(spec, Proxy):
            return self._proxies[spec.group]
        return self._serving[spec.group] if isinstance(spec, VirtualHost) else {}

    def _ends(self, resource: Resource | None) -> set[Name]:
        return set(ends(resource)) if resource is not None and resource.ref.kind in READ else set()

    def targets(self, resource: Resource) -> tuple[Resource | None, ...]:
        """The Applications and Containers that a document's clusters lead to; None for a cluster that leads elsewhere."""
        return tuple(
            self.kinds["Application" if one.application else "Container"].get(one.application or one.container or "")
            for _, _, one in upstreams(resource.ref.name, resource.spec)
        )

    def readers(self, changes: Changes) -> list[Resource]:
        """The Configurations and Clusters of which something may be read otherwise after these changes."""
        names = dict.fromkeys((kind, ref.name) for kind in READ for ref in changes if ref.kind == kind)
        for ref in changes:
            if ref.kind in RUNNING:
                names.update(self._leads.get((ref.kind, ref.name), {}))
        found = (self.kinds[kind].get(name) for kind, name in names)
        return [one for one in found if one is not None]

    def groups(self, changes: Changes, readers: Iterable[Resource]) -> list[str]:
        """The ProxyGroups that may be told something else after these changes, those that are gone among them."""
        found: dict[str, None] = {}
        for ref, both in changes.items():
            if ref.kind == "ProxyGroup":
                found[ref.name] = None
            found.update((group, None) for one in both if one is not None and (group := self._group(one)) is not None)
        if any(ref.kind == "Certificate" for ref in changes):
            found.update(dict.fromkeys(self.told))
        names = {(ref.kind, ref.name) for ref in changes} | {(one.ref.kind, one.ref.name) for one in readers}
        found.update((group, None) for group, told in self.told.items() if not told.reads.isdisjoint(names))
        return list(found)

    def proxies(self, group: str) -> list[Resource]:
        """In the order of their names."""
        return sorted(self._proxies.get(group, {}).values(), key=lambda one: one.ref)

    def serving(self, group: str) -> tuple[Resource, ...]:
        """The VirtualHosts of a group."""
        return tuple(self._serving.get(group, {}).values())


def ends(resource: Resource) -> Iterator[Name]:
    """What runs, as the clusters of a document lead to it."""
    for _, _, one in upstreams(resource.ref.name, resource.spec):
        if one.application or one.container:
            yield "Application" if one.application else "Container", cast(str, one.application or one.container)
