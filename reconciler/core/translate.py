"""translate(): a Configuration or a Cluster ⇒ its pieces, and everything that is wrong in it."""

from collections.abc import Iterable, Sequence

from reconciler.core import clusters, listeners, routes
from reconciler.core.kinds.cluster import Cluster
from reconciler.core.kinds.configuration import Configuration
from reconciler.core.kinds.spec import Spec
from reconciler.core.kinds.traffic import Upstream
from reconciler.core.messages import Fault, Path
from reconciler.core.model import Resource
from reconciler.core.pieces import Piece, Translation


def upstreams(name: str, spec: Spec) -> Iterable[tuple[str, Path, Upstream]]:
    """The clusters of a document: name, place in the spec, and what it says."""
    if isinstance(spec, Cluster):
        return ((name, (), spec),)
    if isinstance(spec, Configuration):
        return ((one.name, ("clusters", i), one) for i, one in enumerate(spec.clusters))
    return ()


def translate(resource: Resource, targets: Sequence[Resource | None]) -> Translation:
    """`targets` are the Applications and Containers that its clusters name, in their order; None for those that name none."""
    faults: list[Fault] = []
    made: list[tuple[Piece | None, tuple[Fault, ...]]] = []
    for (name, path, upstream), target in zip(upstreams(resource.ref.name, resource.spec), targets, strict=True):
        eds = clusters.upstream_eds(upstream, target)
        if isinstance(eds, Fault):
            faults.append(Fault((*path, *eds.path), eds.what, eds.hint))
            eds = clusters.UNKNOWN_EDS
        made.append(clusters.cluster(name, upstream, eds, path))
    if isinstance(resource.spec, Configuration):
        made += [listeners.listener(one, ("listeners", i)) for i, one in enumerate(resource.spec.listeners)]
        made += [routes.routes(one, ("routes", i)) for i, one in enumerate(resource.spec.routes)]
        faults.extend(_twice(resource.spec))
    faults.extend(fault for _, wrong in made for fault in wrong)
    return Translation(tuple(piece for piece, _ in made if piece is not None), tuple(faults), frozenset(_declared(resource)))


def _declared(resource: Resource) -> Iterable[tuple[str, str]]:
    yield from (("cds", name) for name, _, _ in upstreams(resource.ref.name, resource.spec))
    if isinstance(resource.spec, Configuration):
        yield from (("lds", one.name) for one in resource.spec.listeners)
        yield from (("rds", one.name) for one in resource.spec.routes)


def _twice(spec: Configuration) -> Iterable[Fault]:
    for section, words in (("listeners", "listeners"), ("routes", "route configurations"), ("clusters", "clusters")):
        known: set[str] = set()
        for i, one in enumerate(getattr(spec, section)):
            if one.name in known:
                yield Fault((section, i, "name"), f"two {words} are named {one.name!r}", "rename one of them")
            known.add(one.name)
